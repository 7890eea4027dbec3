"""The text of a configuration file in lines, and which of them belong to a key.

The lines are those that PyYAML counts, their ends included, so a node's marks
find them, and what is not touched stays byte for byte as it was.
"""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import yaml

from litellm_hybrid.config.yaml_nodes import compose

_LINE = re.compile(r"[^\r\n\x85\u2028\u2029]*(?:\r\n|[\r\n\x85\u2028\u2029])|[^\r\n\x85\u2028\u2029]+")

INDENT = 2
"""How much deeper than its key a section that is made here stands."""

SECTIONS = ("extensions", "litellm", "fallback")
"""Each of them is in the one before."""


class Pair(NamedTuple):
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


class Edit(NamedTuple):
    """Lines to put in the place of others: those from `start`, before `end`."""

    start: int
    end: int
    lines: tuple[str, ...] = ()


def split(text: str) -> list[str]:
    """The lines of a text, each with its end."""
    return _LINE.findall(text)


def newline(text: str) -> str:
    """How its lines end: as the first one does."""
    found = re.search(r"\r\n|\r|\n", text)
    return found[0] if found else "\n"


def is_blank(line: str) -> bool:
    """Whether nothing is on it."""
    return not line.strip()


def is_comment(line: str) -> bool:
    """Whether nothing but a comment is on it."""
    return line.lstrip().startswith("#")


def indented(lines: Iterable[str], by: int) -> tuple[str, ...]:
    """The lines, further to the right; empty ones stay empty."""
    return tuple(" " * by + line if line.strip("\r\n") else line for line in lines)


def edited(lines: Sequence[str], edits: Iterable[Edit]) -> list[str]:
    """The lines after all edits, none of which cuts into another one."""
    result = list(lines)
    for edit in sorted(edits, key=lambda edit: (edit.start, edit.end), reverse=True):
        result[edit.start : edit.end] = edit.lines
    return result


def pairs(mapping: yaml.Node) -> list[Pair]:
    """The keys of a mapping in the order of their lines; [] for anything else."""
    if not isinstance(mapping, yaml.MappingNode):
        return []
    return [Pair(key, value) for key, value in mapping.value]


def find(root: yaml.Node, names: Iterable[str]) -> Pair | None:
    """The key at the end of a path of names, or None; what is merged (`<<`) does not count."""
    found: Pair | None = None
    node = root
    for name in names:
        found = next((pair for pair in pairs(node) if pair.key.value == name), None)
        if found is None:
            return None
        node = found.value
    return found


def end_of(lines: Sequence[str], start: int, limit: int, column: int) -> int:
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
    while end > start + 1 and (is_blank(lines[end - 1]) or _is_outside(lines[end - 1], column)):
        end -= 1
    return end


def _is_outside(line: str, column: int) -> bool:
    return is_comment(line) and len(line) - len(line.lstrip()) < column


def in_block_form(text: str) -> str:
    """The text with the mappings that lead to our keys in block form: a line for each key, no braces.

    Raises:
        ValueError: there is a comment, an anchor or a tag that would be lost.
    """
    for depth in range(len(SECTIONS) + 1):
        root = compose(text)
        assert root is not None
        if depth == 0:
            node, column = root, 0
        elif pair := find(root, SECTIONS[:depth]):
            node, column = pair.value, pair.column + INDENT
        else:
            return text
        start, end = node.start_mark.index, node.end_mark.index
        if isinstance(node, yaml.MappingNode) and node.flow_style:
            try:
                entries = indented(_entries(text, node), column)
            except ValueError as e:
                raise ValueError(f"{'.'.join(SECTIONS[:depth]) or 'the file'} {e}") from e
            before = text[:start].rstrip(" ") + newline(text) if depth else ""
            text = before + newline(text).join(entries) + text[end:]
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
