"""Move the flat keys of a configuration file below `extensions.litellm`, with their comments."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import yaml

from litellm_hybrid.config.schema import BY_FLAT, NAMESPACE
from litellm_hybrid.config.yaml_nodes import compose
from litellm_hybrid.diagnostics.migrate import lines as migrate_text
from litellm_hybrid.diagnostics.migrate.lines import (
    INDENT,
    SECTIONS,
    Edit,
    Pair,
    find,
    indented,
    is_blank,
    is_comment,
    pairs,
)

_LITELLM, _FALLBACK = SECTIONS[:2], SECTIONS[2]


@dataclass(frozen=True, slots=True)
class _Piece:
    """A flat key with its value and its comments.

    Attributes:
        name: what it becomes, below `extensions.litellm`: ("models",), ("fallback", "enabled").
        start: its first line, that of its comments if it has any; from 0.
        end: the line behind it.
        comments: the lines before the key's.
        body: the key's line, with its new name, and those that follow.
        remark: the comment behind the value, on the same line; "" if there is none.
    """

    pair: Pair
    name: tuple[str, ...]
    start: int
    end: int
    comments: tuple[str, ...]
    body: tuple[str, ...]
    remark: str

    def at(self, column: int) -> tuple[str, ...]:
        """Its lines with the key at `column`."""
        return indented((*self.comments, *self.body), column - self.pair.column)

    def beside(self, same: Pair) -> Edit:
        """The edit that leaves only its comments, at the key that says the same."""
        comments = [line for line in self.comments if not is_blank(line)]
        if self.remark:
            comments.append(" " * self.pair.column + self.remark)
        return Edit(same.line, same.line, indented(comments, same.column - self.pair.column))


def moved(text: str, *, to_the_last: bool) -> tuple[str, tuple[str, ...]]:
    """The text with the flat keys moved, and a line for each that the namespaced form had already.

    Args:
        text: valid, and in block form (see migrate_text.in_block_form).
        to_the_last: where there is no `extensions` yet, it takes the place of the last flat key instead of
            the first one's.

    Raises:
        ValueError: a flat key does not begin its line.
    """
    eol = migrate_text.newline(text)
    closed = text if text.endswith(("\n", "\r")) else text + eol
    lines, root = migrate_text.split(closed), compose(closed)
    assert root is not None
    fresh: list[_Piece] = []
    edits: list[Edit] = []
    dropped: list[str] = []
    pieces = list(_pieces(root, lines))
    for piece in pieces:
        same = find(root, (*_LITELLM, *piece.name))
        if same is None:
            fresh.append(piece)
            continue
        edits.append(piece.beside(same))
        name = f"{NAMESPACE}{'.'.join(piece.name)}"
        dropped.append(f"{piece.pair.key.value} is left out, because {name} says the same")
    if fresh:
        place = fresh[-1 if to_the_last else 0].start
        edits += _insertions(root, lines, fresh, place, eol)
    kept = {edit.start for edit in edits}
    edits += [_cut(lines, start, end, kept) for start, end in _runs(pieces)]
    result = "".join(migrate_text.edited(lines, edits))
    return result if closed == text else result.removesuffix(eol), tuple(dropped)


def _pieces(root: yaml.Node, lines: Sequence[str]) -> Iterator[_Piece]:
    """The flat keys, in order. Comments right above a key are its own; between two of them all are."""
    found = pairs(root)
    limits = [pair.line for pair in found[1:]] + [root.end_mark.line]
    previous, follows = 0, False
    for pair, limit in zip(found, limits, strict=True):
        end = migrate_text.end_of(lines, pair.line, limit, pair.column + 1)
        flat = pair.key.value
        key = BY_FLAT.get(flat) if isinstance(flat, str) else None
        if key is not None:
            start = previous if follows else _comments_above(lines, pair.line, previous)
            end = _comments_below(lines, end, limit)
            name = tuple(key.name.split("."))
            body = (_renamed(lines[pair.line], pair, name[-1]), *lines[pair.line + 1 : end])
            comments = tuple(lines[start : pair.line])
            yield _Piece(pair, name, start, end, comments, body, _remark(lines, pair))
        previous, follows = end, key is not None


def _comments_above(lines: Sequence[str], line: int, least: int) -> int:
    while line > least and is_comment(lines[line - 1]):
        line -= 1
    return line


def _comments_below(lines: Sequence[str], line: int, limit: int) -> int:
    """The line behind the comments at `line`, unless they stand right above something else."""
    end = line
    while end < limit and is_comment(lines[end]):
        end += 1
    return end if end == len(lines) or is_blank(lines[end]) else line


def _renamed(line: str, pair: Pair, name: str) -> str:
    before, after = line[: pair.column], line[pair.key.end_mark.column :]
    if before.strip():
        raise ValueError(f"{pair.key.value} does not begin its line; write it so")
    written = line[pair.column : pair.key.end_mark.column]  # perhaps in quotes
    flat = pair.key.value
    return before + (written.replace(flat, name) if flat in written else name) + after


def _remark(lines: Sequence[str], pair: Pair) -> str:
    end = pair.value.end_mark
    rest = lines[end.line][end.column :].lstrip() if end.line < len(lines) else ""
    return rest if is_comment(rest) and end.line >= pair.line else ""


def _insertions(
    root: yaml.Node, lines: Sequence[str], fresh: Sequence[_Piece], place: int, eol: str
) -> Iterator[Edit]:
    has_fallback = find(root, SECTIONS) is not None
    inner = [piece for piece in fresh if has_fallback and piece.name[0] == _FALLBACK]
    for names, some in ((_LITELLM, [piece for piece in fresh if piece not in inner]), (SECTIONS, inner)):
        if not some:
            continue
        line, column, missing = _place(root, lines, names, place)
        heads = [" " * (column + INDENT * depth) + f"{name}:{eol}" for depth, name in enumerate(missing)]
        column += INDENT * len(missing)
        body: list[str] = []
        for piece in some:
            own = piece.at(column)
            if piece.name[0] == _FALLBACK and names is _LITELLM:
                blank = next(number for number, line in enumerate(own) if not is_blank(line))
                own = (*own[:blank], " " * column + f"{_FALLBACK}:{eol}", *indented(own[blank:], INDENT))
            body += own
        while is_blank(body[0]):
            del body[0]
        yield Edit(line, line, (*heads, *body))


def _place(
    root: yaml.Node, lines: Sequence[str], names: Sequence[str], otherwise: int
) -> tuple[int, int, Sequence[str]]:
    """The line and the column for keys of a section, and what is missing on the way to it."""
    for depth in range(len(names), 0, -1):
        pair = find(root, names[:depth])
        if pair is None:
            continue
        children = pairs(pair.value)
        if not children:
            return pair.line + 1, pair.column + INDENT, names[depth:]
        column = children[0].column
        limit = pair.value.end_mark.line
        return migrate_text.end_of(lines, pair.line, limit, column), column, names[depth:]
    return otherwise, pairs(root)[0].column, names


def _runs(pieces: Sequence[_Piece]) -> Iterator[tuple[int, int]]:
    """First and last line of what is taken out, pieces that touch each other as one."""
    run: tuple[int, int] | None = None
    for piece in pieces:
        if run and run[1] == piece.start:
            run = run[0], piece.end
            continue
        if run:
            yield run
        run = piece.start, piece.end
    if run:
        yield run


def _cut(lines: Sequence[str], start: int, end: int, kept: set[int]) -> Edit:
    """Take lines out, and the blank ones that would be left behind twice."""
    if start not in kept:
        while end < len(lines) and is_blank(lines[end]) and (start == 0 or is_blank(lines[start - 1])):
            end += 1
        while end == len(lines) and start > 0 and is_blank(lines[start - 1]):
            start -= 1
    return Edit(start, end)
