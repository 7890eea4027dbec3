"""Turn the fork's flat keys (`litellm-models`) into the namespaced form (`extensions.litellm.models`).

The text is edited by lines and not written anew from what YAML reads in it: whatever
is not one of our keys keeps every byte. The lines are those that PyYAML counts, their
ends included, so a node's marks find them. The result is read again before anybody
sees it, and has to say the same.
"""

import math
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
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


@dataclass(frozen=True, slots=True)
class Migrated:
    """A file in the namespaced form; `notes`: what a person should know about it, a line each."""

    text: str
    changed: bool
    notes: tuple[str, ...] = ()


class _Piece(NamedTuple):
    """A flat key with its value and its comments.

    Attributes:
        name: what `flat` becomes, below `extensions.litellm`: ("models",), ("fallback", "enabled").
        column: of the key, from 0.
        start: its first line, that of its comments if it has any; from 0.
        end: the line behind it.
        lines: what is to stand elsewhere, with its new name.
        comments: those before it, and the one behind its value.
    """

    flat: str
    name: tuple[str, ...]
    column: int
    start: int
    end: int
    lines: list[str]
    comments: list[str]


def migrate(text: str, *, source: str, env: Mapping[str, str]) -> Migrated:
    """The file whose content is `text`, with each flat key in its namespaced form.

    Comments, order, quotes, anchors, line ends and `${VAR}` stay as they are. `env`: where `${VAR}` is looked
    up, to see what the file says; no value of it gets into the result.

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
        for candidate, dropped in _candidates(_in_block_form(plain, root)):
            if _says_the_same(candidate, before, root, env):
                notes = tuple(f"{source}: {note}" for note in dropped)
                return Migrated(text[: len(text) - len(plain)] + candidate, changed=True, notes=notes)
    except ValueError as e:
        raise ConfigError((f"{source}: {e}",)) from e
    why = "perhaps because of an alias (`*name`) or a merge (`<<`); "
    raise ConfigError(
        (f"{source}: its flat keys cannot be moved, {why}move them below `{NAMESPACE.rstrip('.')}` by hand",)
    )


def _flat_keys(root: yaml.Node) -> frozenset[str]:
    """Those in force, merged ones (`<<`) among them."""
    return frozenset(key.name for key, _ in Value(root).pairs()) & BY_FLAT.keys()


def _says_the_same(candidate: str, before: Parsed, root: yaml.Node, env: Mapping[str, str]) -> bool:
    try:
        after, migrated = parse(candidate, source="", env=env), compose(candidate)
    except ValueError:  # no longer YAML, or no valid configuration
        return False
    assert migrated is not None
    same = after.settings == before.settings and _not_ours(migrated) == _not_ours(root)
    return same and not _flat_keys(migrated)


def _not_ours(root: yaml.Node) -> list[str]:
    """All of a file but our settings, in one way of writing it."""
    extensions = _find(root, _SECTIONS[:1])
    kept = [pair for pair in root.value if Value(pair[0]).name not in (*BY_FLAT, "extensions")]
    if extensions is not None and isinstance(extensions[1], yaml.MappingNode):
        kept += [pair for pair in extensions[1].value if Value(pair[0]).name != "litellm"]
    return [yaml.serialize(node) for pair in kept for node in pair]


def _in_block_form(text: str, root: yaml.Node) -> str:
    """The text with the mappings that lead to our keys in block form: a line for each key, no braces.

    Raises:
        ValueError: there is a comment, which would be lost.
    """
    found = (_find(root, _SECTIONS[:depth]) for depth in (1, 2, 3))
    values = [root, *(pair[1] for pair in found if pair)]
    sections = [node for node in values if isinstance(node, yaml.MappingNode)]
    if not any(node.flow_style for node in sections):
        for node in values[len(sections) :]:  # `~`: nothing, but in letters
            text = text[: node.start_mark.index] + text[node.end_mark.index :]
        return text
    if re.search(r"(^|\s)#", text):
        raise ValueError("sections in braces cannot be opened; write them without, a line for each key")
    for node in sections:
        node.flow_style = False
    return str(yaml.serialize(root, width=math.inf, allow_unicode=True))


def _candidates(text: str) -> Iterator[tuple[str, list[str]]]:
    """The ways to move the flat keys, each with a line for each key that the namespaced form had already.

    A new section stands in the place of the first flat key or, where an alias needs that, of the last one.
    A last line without an end stays so, unless that makes another text of what stands on it now.
    """
    found = re.search(r"\r\n|\r|\n", text)
    eol = found[0] if found else "\n"
    closed = text if text.endswith(("\n", "\r")) else text + eol
    lines, root = _LINE.findall(closed), compose(closed)
    assert isinstance(root, yaml.MappingNode)
    pieces = list(_pieces(root, lines))
    for piece in (*pieces[:1], *pieces[1:][-1:]):
        inserted, dropped = _insertions(root, lines, pieces, piece.start, eol)
        moved = "".join(_edited(lines, inserted, {n for each in pieces for n in range(each.start, each.end)}))
        if closed != text:
            yield moved.removesuffix(eol), dropped
        yield moved, dropped


def _pieces(root: yaml.MappingNode, lines: Sequence[str]) -> Iterator[_Piece]:
    """The flat keys, in order. Comments right above a key are its own; between two of them all are.

    Raises:
        ValueError: a flat key does not begin its line.
    """
    limits = [key.start_mark.line for key, _ in root.value[1:]] + [root.end_mark.line]
    previous, follows = 0, False
    for (key, value), limit in zip(root.value, limits, strict=True):
        flat, line, column = Value(key).name, key.start_mark.line, key.start_mark.column
        end = _end_of(lines, line, limit, column + 1)
        if flat in BY_FLAT:
            start = line
            while start > previous and (follows or _is_comment(lines[start - 1])):
                start -= 1
            below = end
            while below < limit and _is_comment(lines[below]):
                below += 1
            if below == len(lines) or _is_blank(lines[below]):  # else they are the next key's
                end = below
            if lines[line][:column].strip():
                raise ValueError(f"{flat} does not begin its line; write it so")
            name = tuple(BY_FLAT[flat].name.split("."))
            written, rest = lines[line][column : key.end_mark.column], lines[line][key.end_mark.column :]
            # Perhaps in quotes, or with an escape.
            renamed = written.replace(flat, name[-1]) if flat in written else name[-1]
            body = [*lines[start:line], lines[line][:column] + renamed + rest, *lines[line + 1 : end]]
            comments = [each for each in lines[start:line] if not _is_blank(each)]
            behind = lines[value.end_mark.line : value.end_mark.line + 1]
            if behind and _is_comment(remark := behind[0][value.end_mark.column :]):
                comments.append(" " * column + remark.lstrip())
            yield _Piece(flat, name, column, start, end, body, comments)
        previous, follows = end, flat in BY_FLAT


def _insertions(
    root: yaml.MappingNode, lines: Sequence[str], pieces: Sequence[_Piece], place: int, eol: str
) -> tuple[Mapping[int, list[str]], list[str]]:
    """The line before which something is inserted → that; and what to say of keys in both forms.

    `place`: where a section stands that is not there yet.
    """
    inserted: dict[int, list[str]] = defaultdict(list)
    dropped: list[str] = []
    written: set[tuple[str, ...]] = set()
    for piece in pieces:
        path = (*_SECTIONS[:2], *piece.name)
        if (same := _find(root, path)) is not None:  # its comments are all that is new
            mark = same[0].start_mark
            inserted[mark.line] += _indented(piece.comments, mark.column - piece.column)
            dropped.append(f"{piece.flat} is left out, because {'.'.join(path)} says the same")
            continue
        line, column, depth = _end_of_section(root, lines, path[:-1]) or (place, root.start_mark.column, 0)
        target = inserted[line]
        blank = list(takewhile(_is_blank, piece.lines))
        target += blank if target else []
        for name in range(depth, len(path) - 1):
            if path[: name + 1] not in written:
                written.add(path[: name + 1])
                target.append(f"{' ' * column}{path[name]}:{eol}")
            column += _INDENT
        target += _indented(piece.lines[len(blank) :], column - piece.column)
    return inserted, dropped


def _end_of_section(
    root: yaml.Node, lines: Sequence[str], path: tuple[str, ...]
) -> tuple[int, int, int] | None:
    """Line and column for a key of a section, or of the innermost around it; and how deep that one is."""
    for depth in range(len(path), 0, -1):
        if (pair := _find(root, path[:depth])) is None:
            continue
        (key, value), line = pair, pair[0].start_mark.line
        if not isinstance(value, yaml.MappingNode) or not value.value:
            return line + 1, key.start_mark.column + _INDENT, depth
        column = value.value[0][0].start_mark.column
        return _end_of(lines, line, value.end_mark.line, column), column, depth
    return None


def _edited(lines: Sequence[str], inserted: Mapping[int, list[str]], cut: set[int]) -> list[str]:
    """The lines with others inserted and some cut, and without the blank ones that would be left twice."""
    result: list[str] = []
    has_cut = False
    for number, line in enumerate((*lines, "")):
        if number in inserted:
            result += inserted[number]
            has_cut = False
        if number in cut:
            has_cut = True
        elif not (has_cut and _is_blank(line) and (not result or _is_blank(result[-1]))):
            result.append(line)
            has_cut = False
    while has_cut and result and _is_blank(result[-1]):
        result.pop()
    return result


def _is_blank(line: str) -> bool:
    return not line.strip()


def _is_comment(line: str) -> bool:
    return line.lstrip().startswith("#")


def _indented(lines: Sequence[str], by: int) -> list[str]:
    """The lines, further to the right; empty ones stay empty."""
    return [" " * by + line if line.strip("\r\n") else line for line in lines]


def _find(root: yaml.Node, path: Sequence[str]) -> tuple[yaml.Node, yaml.Node] | None:
    """The key at the end of a path, and its value, or None; what is merged (`<<`) does not count."""
    pair: tuple[yaml.Node, yaml.Node] | None = None
    for name in path:
        node = pair[1] if pair else root
        pairs = node.value if isinstance(node, yaml.MappingNode) else ()
        if (pair := next((each for each in pairs if each[0].value == name), None)) is None:
            return None
    return pair


def _end_of(lines: Sequence[str], start: int, limit: int, column: int) -> int:
    """The line behind what begins at `start`, without the blank lines and comments that are not part of it.

    `limit`: the first line that belongs to something else for sure; `column`: of what is inside it, a comment
    left of that is about what follows.
    """
    end = limit
    while end > start + 1:
        line = lines[end - 1]
        is_outside = _is_comment(line) and len(line) - len(line.lstrip()) < column
        if not _is_blank(line) and not is_outside:
            break
        end -= 1
    return end
