"""Turn the fork's flat keys (`litellm-models`) into the namespaced form (`extensions.litellm.models`).

The text is edited by lines and not written anew from what YAML reads in it: whatever
is not one of our keys keeps every byte. The lines are those that PyYAML counts, their
ends included, so a node's marks find them. The result is read again before anybody
sees it, and has to say the same.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import yaml

from litellm_hybrid.config.parser import ConfigError, Parsed, parse
from litellm_hybrid.config.schema import BY_FLAT, NAMESPACE
from litellm_hybrid.config.yaml_nodes import Value, compose

_BOM = "\ufeff"
_LINE = re.compile(r"[^\r\n\x85\u2028\u2029]*(?:\r\n|[\r\n\x85\u2028\u2029])|[^\r\n\x85\u2028\u2029]+")
_INDENT = 2
_SECTIONS = ("extensions", "litellm", "fallback")
"""Each of them is in the one before."""
_LITELLM, _FALLBACK = _SECTIONS[:2], _SECTIONS[2]


@dataclass(frozen=True, slots=True)
class Migrated:
    """A file in the namespaced form.

    Attributes:
        text: its content.
        changed: whether that is another one than before.
        notes: what a person should know about it, a line each.
    """

    text: str
    changed: bool
    notes: tuple[str, ...] = ()


class _Pair(NamedTuple):
    """A key of a mapping in block form, and its value."""

    key: yaml.Node
    value: yaml.Node

    @property
    def line(self) -> int:
        """The key's line, from 0."""
        return int(self.key.start_mark.line)

    @property
    def column(self) -> int:
        """Where in the line the key begins, from 0."""
        return int(self.key.start_mark.column)


class _Edit(NamedTuple):
    """Lines to put in the place of others: those from `start`, before `end`."""

    start: int
    end: int
    lines: tuple[str, ...] = ()


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

    pair: _Pair
    name: tuple[str, ...]
    start: int
    end: int
    comments: tuple[str, ...]
    body: tuple[str, ...]
    remark: str

    def at(self, column: int) -> tuple[str, ...]:
        """Its lines with the key at `column`."""
        return _indented((*self.comments, *self.body), column - self.pair.column)

    def beside(self, same: _Pair) -> _Edit:
        """The edit that leaves only its comments, at the key that says the same."""
        comments = [line for line in self.comments if not _is_blank(line)]
        if self.remark:
            comments.append(" " * self.pair.column + self.remark)
        return _Edit(same.line, same.line, _indented(comments, same.column - self.pair.column))


def migrate(text: str, *, source: str, env: Mapping[str, str]) -> Migrated:
    """The file whose content is `text`, with each flat key in its namespaced form.

    Comments, order, quotes, anchors, line ends and `${VAR}` stay as they are.

    Args:
        text: the file's content.
        source: the file's name, for messages.
        env: where `${VAR}` is looked up, to see what the file says; no value of it gets into the result.

    Raises:
        ConfigError: the file is not valid, or gives a setting in both forms with different values, or
            cannot be rewritten without changing what it says.
    """
    before = parse(text, source=source, env=env)
    plain = text.removeprefix(_BOM)
    root = compose(plain)
    if root is None or not _flat_keys(root):
        return Migrated(text, changed=False, notes=(f"{source}: has no flat key; nothing is changed",))
    try:
        block = _in_block_form(plain)
        candidates = [_moved(block, to_the_last=last) for last in (False, True)]
    except ValueError as e:
        raise ConfigError((f"{source}: {e}",)) from e
    # A text in a block may end the file now, and its last line have no end: that would be another text.
    endings = ("",) if block.endswith(("\n", "\r")) else ("", _newline(block))
    for candidate, dropped in (
        (moved + ending, dropped) for moved, dropped in candidates for ending in endings
    ):
        if _says_the_same(candidate, before, root, env):
            notes = tuple(f"{source}: {note}" for note in dropped)
            return Migrated(text[: len(text) - len(plain)] + candidate, changed=True, notes=notes)
    why = "perhaps because of an alias (`*name`) or a merge (`<<`); "
    raise ConfigError(
        (f"{source}: its flat keys cannot be moved, {why}move them below `{NAMESPACE.rstrip('.')}` by hand",)
    )


def _flat_keys(root: yaml.Node) -> frozenset[str]:
    """Those in force, merged ones (`<<`) among them."""
    return frozenset(key.name for key, _ in Value(root).pairs()) & BY_FLAT.keys()


def _says_the_same(candidate: str, before: Parsed, root: yaml.Node, env: Mapping[str, str]) -> bool:
    try:
        after = parse(candidate, source="", env=env)
        migrated = compose(candidate)
    except ValueError:  # no longer YAML, or no valid configuration
        return False
    assert migrated is not None
    same = after.settings == before.settings and _not_ours(migrated) == _not_ours(root)
    return same and not _flat_keys(migrated)


def _not_ours(root: yaml.Node) -> str:
    """All of a file but our settings, in one way of writing it."""
    return yaml.serialize(_without(root, {*BY_FLAT, "extensions.litellm"}))


def _without(node: yaml.Node, names: set[str], prefix: str = "") -> yaml.Node:
    """A mapping without some of its keys, and without `extensions` if nothing else is in it."""
    if not isinstance(node, yaml.MappingNode):
        return node
    kept = []
    for key, value in node.value:
        rest = value
        if key.value == "extensions" and not prefix:
            rest = _without(value, names, "extensions.")
            if not rest.value or Value(rest).is_null:
                continue
        if f"{prefix}{key.value}" not in names:
            kept.append((key, rest))
    return yaml.MappingNode(node.tag, kept)


def _moved(text: str, *, to_the_last: bool) -> tuple[str, tuple[str, ...]]:
    """The text with the flat keys moved, and a line for each that the namespaced form had already.

    Args:
        text: valid, and in block form (see _in_block_form).
        to_the_last: where there is no `extensions` yet, it takes the place of the last flat key instead of
            the first one's.

    Raises:
        ValueError: a flat key does not begin its line.
    """
    eol = _newline(text)
    closed = text if text.endswith(("\n", "\r")) else text + eol
    lines, root = _LINE.findall(closed), compose(closed)
    assert root is not None
    fresh: list[_Piece] = []
    edits: list[_Edit] = []
    dropped: list[str] = []
    pieces = list(_pieces(root, lines))
    for piece in pieces:
        same = _find(root, (*_LITELLM, *piece.name))
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
    result = "".join(_edited(lines, edits))
    return result if closed == text else result.removesuffix(eol), tuple(dropped)


def _pieces(root: yaml.Node, lines: Sequence[str]) -> Iterator[_Piece]:
    """The flat keys, in order. Comments right above a key are its own; between two of them all are."""
    found = _pairs(root)
    limits = [pair.line for pair in found[1:]] + [root.end_mark.line]
    previous, follows = 0, False
    for pair, limit in zip(found, limits, strict=True):
        end = _end_of(lines, pair.line, limit, pair.column + 1)
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
    while line > least and _is_comment(lines[line - 1]):
        line -= 1
    return line


def _comments_below(lines: Sequence[str], line: int, limit: int) -> int:
    """The line behind the comments at `line`, unless they stand right above something else."""
    end = line
    while end < limit and _is_comment(lines[end]):
        end += 1
    return end if end == len(lines) or _is_blank(lines[end]) else line


def _renamed(line: str, pair: _Pair, name: str) -> str:
    before, after = line[: pair.column], line[pair.key.end_mark.column :]
    if before.strip():
        raise ValueError(f"{pair.key.value} does not begin its line; write it so")
    written = line[pair.column : pair.key.end_mark.column]  # perhaps in quotes
    flat = pair.key.value
    return before + (written.replace(flat, name) if flat in written else name) + after


def _remark(lines: Sequence[str], pair: _Pair) -> str:
    end = pair.value.end_mark
    rest = lines[end.line][end.column :].lstrip() if end.line < len(lines) else ""
    return rest if _is_comment(rest) and end.line >= pair.line else ""


def _insertions(
    root: yaml.Node, lines: Sequence[str], fresh: Sequence[_Piece], place: int, eol: str
) -> Iterator[_Edit]:
    has_fallback = _find(root, _SECTIONS) is not None
    inner = [piece for piece in fresh if has_fallback and piece.name[0] == _FALLBACK]
    for names, some in ((_LITELLM, [piece for piece in fresh if piece not in inner]), (_SECTIONS, inner)):
        if not some:
            continue
        line, column, missing = _place(root, lines, names, place)
        heads = [" " * (column + _INDENT * depth) + f"{name}:{eol}" for depth, name in enumerate(missing)]
        column += _INDENT * len(missing)
        body: list[str] = []
        for piece in some:
            own = piece.at(column)
            if piece.name[0] == _FALLBACK and names is _LITELLM:
                blank = next(number for number, line in enumerate(own) if not _is_blank(line))
                own = (*own[:blank], " " * column + f"{_FALLBACK}:{eol}", *_indented(own[blank:], _INDENT))
            body += own
        while _is_blank(body[0]):
            del body[0]
        yield _Edit(line, line, (*heads, *body))


def _place(
    root: yaml.Node, lines: Sequence[str], names: Sequence[str], otherwise: int
) -> tuple[int, int, Sequence[str]]:
    """The line and the column for keys of a section, and what is missing on the way to it."""
    for depth in range(len(names), 0, -1):
        pair = _find(root, names[:depth])
        if pair is None:
            continue
        children = _pairs(pair.value)
        if not children:
            return pair.line + 1, pair.column + _INDENT, names[depth:]
        column = children[0].column
        limit = pair.value.end_mark.line
        return _end_of(lines, pair.line, limit, column), column, names[depth:]
    return otherwise, _pairs(root)[0].column, names


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


def _cut(lines: Sequence[str], start: int, end: int, kept: set[int]) -> _Edit:
    """Take lines out, and the blank ones that would be left behind twice."""
    if start not in kept:
        while end < len(lines) and _is_blank(lines[end]) and (start == 0 or _is_blank(lines[start - 1])):
            end += 1
        while end == len(lines) and start > 0 and _is_blank(lines[start - 1]):
            start -= 1
    return _Edit(start, end)


def _newline(text: str) -> str:
    """How its lines end: as the first one does."""
    found = re.search(r"\r\n|\r|\n", text)
    return found[0] if found else "\n"


def _is_blank(line: str) -> bool:
    """Whether nothing is on it."""
    return not line.strip()


def _is_comment(line: str) -> bool:
    """Whether nothing but a comment is on it."""
    return line.lstrip().startswith("#")


def _indented(lines: Iterable[str], by: int) -> tuple[str, ...]:
    """The lines, further to the right; empty ones stay empty."""
    return tuple(" " * by + line if line.strip("\r\n") else line for line in lines)


def _edited(lines: Sequence[str], edits: Iterable[_Edit]) -> list[str]:
    """The lines after all edits, none of which cuts into another one."""
    result = list(lines)
    for edit in sorted(edits, key=lambda edit: (edit.start, edit.end), reverse=True):
        result[edit.start : edit.end] = edit.lines
    return result


def _pairs(mapping: yaml.Node) -> list[_Pair]:
    """The keys of a mapping in the order of their lines; [] for anything else."""
    if not isinstance(mapping, yaml.MappingNode):
        return []
    return [_Pair(key, value) for key, value in mapping.value]


def _find(root: yaml.Node, names: Iterable[str]) -> _Pair | None:
    """The key at the end of a path of names, or None; what is merged (`<<`) does not count."""
    found: _Pair | None = None
    node = root
    for name in names:
        found = next((pair for pair in _pairs(node) if pair.key.value == name), None)
        if found is None:
            return None
        node = found.value
    return found


def _end_of(lines: Sequence[str], start: int, limit: int, column: int) -> int:
    """The line behind what begins at `start`.

    Blank lines at its end are not part of it, nor comments that stand left of `column`: they are about
    what follows.

    Args:
        lines: those of the file.
        start: its first line.
        limit: the first line that belongs to something else for sure.
        column: of what is inside it.
    """
    end = limit
    while end > start + 1 and (_is_blank(lines[end - 1]) or _is_outside(lines[end - 1], column)):
        end -= 1
    return end


def _is_outside(line: str, column: int) -> bool:
    return _is_comment(line) and len(line) - len(line.lstrip()) < column


def _in_block_form(text: str) -> str:
    """The text with the mappings that lead to our keys in block form: a line for each key, no braces.

    Raises:
        ValueError: there is a comment, an anchor or a tag that would be lost.
    """
    for depth in range(len(_SECTIONS) + 1):
        root = compose(text)
        assert root is not None
        if depth == 0:
            node, column = root, 0
        elif pair := _find(root, _SECTIONS[:depth]):
            node, column = pair.value, pair.column + _INDENT
        else:
            return text
        start, end = node.start_mark.index, node.end_mark.index
        if isinstance(node, yaml.MappingNode) and node.flow_style:
            try:
                entries = _indented(_entries(text, node), column)
            except ValueError as e:
                raise ValueError(f"{'.'.join(_SECTIONS[:depth]) or 'the file'} {e}") from e
            before = text[:start].rstrip(" ") + _newline(text) if depth else ""
            text = before + _newline(text).join(entries) + text[end:]
        elif not isinstance(node, yaml.MappingNode):  # `~`: nothing, but in letters
            text = text[:start] + text[end:]
    return text


def _entries(text: str, mapping: yaml.MappingNode) -> list[str]:
    def between(start: yaml.Mark, end: yaml.Mark) -> str:
        return text[start.index : end.index]

    marks = [mapping.start_mark]
    entries = []
    for key, value in mapping.value:
        marks += [key.start_mark, value.end_mark]
        name, said = between(key.start_mark, key.end_mark), between(value.start_mark, value.end_mark)
        entries.append(f"{name}: {said}" if said else f"{name}:")
    marks.append(mapping.end_mark)
    gaps = [between(start, end) for start, end in zip(marks[::2], marks[1::2], strict=True)]
    if any(set(gap) - set("{},? \t\r\n") for gap in gaps):
        raise ValueError("cannot be taken out of its braces; write it without them, a line for each key")
    return entries
