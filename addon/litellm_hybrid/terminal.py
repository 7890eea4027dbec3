"""Text for a terminal: aligned, and harmless whatever a request or a file puts into it."""

import re
from collections.abc import Iterable
from enum import Enum
from typing import NamedTuple

SHORTEST_HIDDEN = 8
"""Shorter secrets are not searched for in other text: they would be found in words."""


class Style(Enum):
    """The role of a line, which gives its color."""

    PLAIN = "plain"
    GOOD = "good"
    BAD = "bad"
    NOTICE = "notice"
    QUIET = "quiet"


class OutputLine(NamedTuple):
    """One line: a label at the left margin, and what it says; without a label it continues the one above.

    `indent`: the column of `text` in which it goes on where a terminal is too narrow for it.
    """

    label: str
    text: str
    style: Style = Style.PLAIN
    indent: int = 0


def printable(text: str) -> str:
    r"""`text` on one line and without control characters: `\x1b`, `\u202e`, `\udc80` in their place."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class SecretMask:
    """Writes `***` wherever one of some secrets stands in a text.

    A secret that begins with another one is masked whole: the longest is looked for first.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        long = sorted({secret for secret in secrets if len(secret) >= SHORTEST_HIDDEN}, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, long))) if long else None

    def __call__(self, text: str) -> str:
        """`text` without them."""
        return self._pattern.sub("***", text) if self._pattern else text


def hide(text: str, secrets: Iterable[str]) -> str:
    """`text` with `***` wherever one of the secrets stands in it."""
    return SecretMask(secrets)(text)


def counted(number: int, thing: str) -> str:
    """`1 event`, `2 events`."""
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"
