r"""Read and change single members of a large JSON object without touching the others.

msgspec reads one member out of 2 MB in under a millisecond. It refuses what
JavaScript clients really send: half an emoji (a lone `\ud83d`) where a text
was cut off. For such bodies the standard library's slower parser steps in.
"""

import json
import re
from collections.abc import Mapping
from typing import Protocol, override

import msgspec


class NotJSONError(ValueError):
    """The body is not JSON, or is nested too deeply to be read."""


class Members(Protocol):
    """The top-level members of a body that has been read once."""

    def decode(self, name: str) -> object:
        """One member's value; None if there is none. Of duplicate keys the last wins."""
        ...

    def replace(self, name: str, value: str) -> bytes:
        """The body with this member set to `value`, the values of all others as they were, byte for byte.

        Raises:
            NotJSONError: the body is no JSON object that has this member.
        """
        ...


_DECIDING = ("model", "agent", "previous_response_id")
"""The members that decide where a request goes."""

_BLANK = re.compile(r"[ \t\r\n]*")
_SURROGATE = re.compile(r"[\ud800-\udfff]")

_raw = msgspec.json.Decoder(dict[str, msgspec.Raw])
_any = msgspec.json.Decoder()
_lenient = json.JSONDecoder(strict=False)


class _Found(Members):
    """As msgspec found them; the values are views of the body."""

    def __init__(self, members: dict[str, msgspec.Raw]) -> None:
        self._members = members

    @override
    def decode(self, name: str) -> object:
        if name not in self._members:
            return None
        try:
            return _any.decode(self._members[name])
        except ValueError:  # half an emoji, or bytes that are no UTF-8
            return _lenient.decode(bytes(self._members[name]).decode("utf-8", "surrogateescape"))

    @override
    def replace(self, name: str, value: str) -> bytes:
        if name not in self._members:
            raise NotJSONError(f"the body has no member {name!r}")
        changed = self._members | {name: msgspec.Raw(msgspec.json.encode(value))}
        # Joined, not encoded: that would grow its buffer as it goes, up to twice the body.
        parts: list[bytes | msgspec.Raw] = []
        for key, raw in changed.items():
            parts += (b"," if parts else b"{", msgspec.json.encode(key), b":", raw)
        return b"".join((*parts, b"}"))


class _Scanned(Members):
    """As the standard library's parser found them."""

    def __init__(self, text: str, spans: Mapping[str, tuple[int, int]]) -> None:
        self._text = text
        self._spans = spans

    @override
    def decode(self, name: str) -> object:
        return _lenient.decode(self._text[slice(*self._spans[name])]) if name in self._spans else None

    @override
    def replace(self, name: str, value: str) -> bytes:
        if name not in self._spans:
            raise NotJSONError(f"the body has no member {name!r}")
        start, end = self._spans[name]
        return _bytes(self._text[:start]) + msgspec.json.encode(value) + _bytes(self._text[end:])


def read(body: bytes) -> Members:
    """Find a body's top-level members; JSON that is no object has none.

    Raises:
        NotJSONError: see the class.
    """
    try:
        return _Found(_raw.decode(body))
    except msgspec.ValidationError:
        return _Found({})
    except (ValueError, RecursionError):  # DecodeError, or UnicodeDecodeError for bytes that are no UTF-8
        return _Scanned(*_scan(body))


def strings(members: Members) -> dict[str, str]:
    """`model`, `agent` and `previous_response_id`, as far as they are there as non-blank strings.

    What is no character in them (half an emoji, a byte that is no UTF-8) becomes U+FFFD, as in Go.
    """
    found = {name: members.decode(name) for name in _DECIDING}
    return {
        name: _SURROGATE.sub("\ufffd", value)
        for name, value in found.items()
        if isinstance(value, str) and value.strip()
    }


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _scan(body: bytes) -> tuple[str, dict[str, tuple[int, int]]]:
    """The body as text, and where in it the value of each top-level member stands."""
    if not body.lstrip(b" \t\r\n").startswith(b"{"):  # say so before megabytes of binary become text
        raise NotJSONError("the body is no JSON object")
    text = body.decode("utf-8", "surrogateescape")
    try:
        return text, dict(_spans(text))
    except (ValueError, RecursionError, IndexError) as e:
        raise NotJSONError(str(e)) from e


def _spans(text: str) -> list[tuple[str, tuple[int, int]]]:
    spans: list[tuple[str, tuple[int, int]]] = []
    at = _skip(text, _skip(text, 0) + 1)  # behind the opening brace
    if text[at] == "}":
        return _nothing_left(text, at + 1, spans)
    while True:
        if text[at] != '"':
            raise ValueError(f"expected a key at character {at}")
        key, at = _lenient.raw_decode(text, at)
        at = _skip(text, at)
        if text[at] != ":":
            raise ValueError(f"expected a colon at character {at}")
        start = _skip(text, at + 1)
        _, end = _lenient.raw_decode(text, start)
        spans.append((key, (start, end)))
        at = _skip(text, end)
        if text[at] == "}":
            return _nothing_left(text, at + 1, spans)
        if text[at] != ",":
            raise ValueError(f"expected a comma at character {at}")
        at = _skip(text, at + 1)


def _skip(text: str, at: int) -> int:
    match = _BLANK.match(text, at)
    return match.end() if match else at


def _nothing_left(
    text: str, at: int, spans: list[tuple[str, tuple[int, int]]]
) -> list[tuple[str, tuple[int, int]]]:
    if _skip(text, at) != len(text):
        raise ValueError(f"something follows the JSON at character {at}")
    return spans
