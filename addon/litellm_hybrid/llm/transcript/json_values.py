"""JSON as the content views read it: whatever stands in it, and wherever it was cut, nothing is raised."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

type Members = Mapping[str, Any]
"""A JSON object."""

_lenient = json.JSONDecoder(strict=False)
_BLANKS = " \t\r\n"


def decode(data: str | bytes) -> object:
    """The JSON value, or None where this is no JSON, nested too deeply, or `null`.

    Half an emoji and bytes that are no UTF-8 are read all the same, as JavaScript clients send them.
    """
    try:
        return msgspec.json.decode(data)
    except (ValueError, RecursionError):
        pass
    try:
        return _lenient.decode(_text(data))
    except (ValueError, RecursionError):
        return None


def decode_cut_array(data: bytes) -> list[object]:
    """The elements of a JSON array up to where it ends, breaks off or is broken; [] for anything else."""
    return list(_elements(_text(data)))


def _elements(array: str) -> Iterator[object]:
    at = _skip(array, 0)
    separator = "["
    while array.startswith(separator, at):
        at = _skip(array, at + 1)
        try:
            element, at = _lenient.raw_decode(array, at)
        except (ValueError, RecursionError):
            return
        yield element
        at = _skip(array, at)
        separator = ","


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in _BLANKS:
        at += 1
    return at


def _text(data: str | bytes) -> str:
    return data if isinstance(data, str) else data.decode(errors="replace")


def encode(value: object) -> str:
    """A value as JSON in a line; `…` for what is nested too deeply."""
    try:
        return json.dumps(value, ensure_ascii=False)
    except RecursionError:
        return "…"


def members(value: object) -> Members:
    """An object; {} for anything else."""
    return value if isinstance(value, dict) else {}


def items(value: object) -> list[Any]:
    """An array; [] for anything else."""
    return value if isinstance(value, list) else []


def objects(value: object) -> list[Members]:
    """The objects in an array."""
    return [item for item in items(value) if isinstance(item, dict)]


def text(value: object) -> str:
    """A string; "" for anything else."""
    return value if isinstance(value, str) else ""


def index(value: object) -> int:
    """A whole number; 0 for anything else."""
    return value if isinstance(value, int) else 0


def first(of: Members, *names: str) -> object:
    """The first of these members that is there and not empty, or None."""
    return next((of[name] for name in names if of.get(name)), None)
