"""Text for a terminal: aligned, and harmless whatever a request or a file puts into it."""

import re
from collections.abc import Iterable
from enum import Enum
from typing import NamedTuple

_SHORTEST_HIDDEN = 8
"""Shorter secrets are not searched for in other text: they would be found in words."""


class Tone(Enum):
    """What a line is, for its color."""

    PLAIN = "plain"
    GOOD = "good"
    BAD = "bad"
    NOTICE = "notice"
    QUIET = "quiet"


class Line(NamedTuple):
    """One line: a label at the left margin, and what it says; without a label it continues the one above."""

    label: str
    text: str
    tone: Tone = Tone.PLAIN


def label_width(lines: Iterable[Line]) -> int:
    """How wide the column of labels is."""
    return max((len(line.label) for line in lines), default=0)


def printable(text: str) -> str:
    r"""`text` on one line and without control characters: `\x1b`, `\u202e`, `\udc80` in their place."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def hide(text: str, secrets: Iterable[str]) -> str:
    """`text` with `***` wherever one of the secrets stands in it."""
    long = sorted({secret for secret in secrets if len(secret) >= _SHORTEST_HIDDEN}, key=len, reverse=True)
    return re.sub("|".join(map(re.escape, long)), "***", text) if long else text
