"""The commands in a Markdown file, with the output that it shows for them.

    ```bash         each line a command (continued by a backslash, quotes, a here-document, do … done)
    ```console      `$ ` before a command; what follows is its output
    ```yaml         a first line `# name.yaml` names the file that the commands behind it read
    ```             only lines that begin with one of our programs; two blanks end the command
    `inline`        a call of one of our programs with arguments; without any, or only with options
                    that have no value, it is named

In an output `…` stands for anything on the line, and alone on a line for any lines.
"""

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

_PROGRAM = (
    r"(?:litellm-hybrid|(?:\./)?scripts/\w[\w-]*|mitmdump|mitmweb|mitmproxy|curl|haproxy|socat|docker|systemctl"
    r"|systemd-analyze|journalctl|promtool|hadolint|npm|npx|pip|pipx|uv|apt-get|apt|kill|python3?|bash)"
)
_CALL = re.compile(rf"(?:[A-Z_]+=\S+ )*{_PROGRAM}(?= |$)")
_NAMED = re.compile(
    r"(?:(?:\./)?scripts/[\w-]+|litellm-hybrid(?: [a-z]+)?|mitmdump|mitmweb|mitmproxy|curl)(?: --?[a-z][\w-]*)*"
)
_FENCE = re.compile(
    r"^(?P<indent> *)```(?P<language>\w*)[^\n]*\n(?P<body>.*?)^(?P=indent)```", re.MULTILINE | re.DOTALL
)
_INLINE = re.compile(r"(?<!`)`([^`]+)`(?!`)")
_FILE = re.compile(r"# ([\w.-]+\.yaml)\n")


class Kind(Enum):
    """Where a command stands."""

    BLOCK = "block"
    INLINE = "inline"
    NAMED = "named"
    """A program that is only mentioned, perhaps with options: it has to have them."""
    FILE = "file"
    """No command: a file, whose name is the text and whose content is the output."""


@dataclass(frozen=True, slots=True)
class Command:
    """A command of a document.

    Attributes:
        line: where it begins, from 1.
        text: as it is written; inline, on one line.
        output: what the document shows; None: nothing.
    """

    document: str
    line: int
    kind: Kind
    text: str
    output: str | None = None

    def __str__(self) -> str:
        return f"{self.document}:{self.line}: {self.text}"


def commands(document: str, text: str) -> list[Command]:
    """All commands of a document, in order."""
    found: list[Command] = []
    prose = text
    for fence in _FENCE.finditer(text):
        # Blanks instead, so that the lines of what is left keep their numbers.
        prose = prose.replace(fence[0], re.sub(r"[^\n]", " ", fence[0]), 1)
        start = text.count("\n", 0, fence.start("body")) + 1
        indent = len(fence["indent"])
        lines = [line[indent:] for line in fence["body"].splitlines()]
        found += _READERS.get(fence["language"], _nothing)(document, start, lines)
    found += _inline(document, prose)
    return sorted(found, key=lambda command: command.line)


def yaml_blocks(text: str) -> Iterator[tuple[int, str]]:
    """The line and the text of every ```yaml block."""
    for fence in _FENCE.finditer(text):
        if fence["language"] == "yaml":
            yield text.count("\n", 0, fence.start("body")) + 1, fence["body"]


def log_lines(text: str) -> str:
    """The log lines that a document shows as JSON."""
    shown = "".join(fence["body"] for fence in _FENCE.finditer(text) if fence["language"] == "json")
    return "".join(line for line in shown.splitlines(keepends=True) if line.startswith('{"time": '))


def is_call(text: str) -> bool:
    """Whether a text calls one of our programs."""
    return _CALL.match(text) is not None


def _nothing(_document: str, _start: int, _lines: list[str]) -> list[Command]:
    return []


def _bash(document: str, start: int, lines: list[str]) -> list[Command]:
    found, number = [], 0
    while number < len(lines):
        first = number
        if not lines[number].strip() or lines[number].lstrip().startswith("#"):
            number += 1
            continue
        number = _end(lines, first)
        found.append(Command(document, start + first, Kind.BLOCK, "\n".join(lines[first:number])))
    return found


def _console(document: str, start: int, lines: list[str]) -> list[Command]:
    found, number = [], 0
    while number < len(lines):
        first = number
        if not lines[number].startswith("$ "):
            raise ValueError(f"{document}:{start + number}: a console block begins with `$ ` and a command")
        typed = [lines[first][2:], *lines[first + 1 :]]
        length = _end(typed, 0)
        number = first + length
        shown = number
        while number < len(lines) and not lines[number].startswith("$ "):
            number += 1
        output = "\n".join(lines[shown:number]).strip("\n")
        found.append(Command(document, start + first, Kind.BLOCK, "\n".join(typed[:length]), output))
    return found


def _plain(document: str, start: int, lines: list[str]) -> list[Command]:
    return [
        Command(document, start + number, Kind.BLOCK, re.split(r" {2,}", line)[0])
        for number, line in enumerate(lines)
        if is_call(line)
    ]


def _yaml(document: str, start: int, lines: list[str]) -> list[Command]:
    text = "\n".join(lines) + "\n"
    name = _FILE.match(text)
    return [Command(document, start, Kind.FILE, name[1], text)] if name else []


def _inline(document: str, prose: str) -> Iterator[Command]:
    at = 0
    for paragraph in re.split(r"(\n\s*\n)", prose):
        for span in _INLINE.finditer(paragraph):
            text = " ".join(span[1].split())
            line = prose.count("\n", 0, at + span.start()) + 1
            if _NAMED.fullmatch(text):
                yield Command(document, line, Kind.NAMED, text)
            elif is_call(text) and " " in text:
                yield Command(document, line, Kind.INLINE, text)
        at += len(paragraph)


def _end(lines: list[str], first: int) -> int:
    """Where the command that begins at `first` ends."""
    for end in range(first + 1, len(lines) + 1):
        text = "\n".join(lines[first:end])
        if text.endswith("\\"):
            continue
        checked = subprocess.run(["bash", "-n", "-c", text], capture_output=True, check=False)
        # An open here-document is only a warning.
        if checked.returncode == 0 and not checked.stderr:
            return end
    return len(lines)


_READERS = {"bash": _bash, "sh": _bash, "shell": _bash, "console": _console, "": _plain, "yaml": _yaml}


def documents(root: Path) -> list[Path]:
    """Every document that users read."""
    named = ["README.md", "SECURITY.md", "deploy/README.md", "tests/bench/README.md"]
    return [*(root / name for name in named), *sorted((root / "docs").glob("*.md"))]


def chapter(page: str, title: str) -> str:
    """What stands below a heading that begins so, up to the next heading."""
    found = re.search(rf"^#+ {re.escape(title)}[^\n]*\n(.*?)(?=^#+ |\Z)", page, re.MULTILINE | re.DOTALL)
    assert found, title
    return found[1]


def rows(page: str, *header: str) -> list[list[str]]:
    """The cells of the table with these columns, row by row."""
    table = page.partition(f"| {' | '.join(header)} |\n")[2].partition("\n\n")[0].splitlines()[1:]
    found = [[cell.strip() for cell in re.split(r"(?<!\\)\|", row.strip("|"))] for row in table]
    assert found, header
    assert all(len(row) == len(header) for row in found), header
    return found
