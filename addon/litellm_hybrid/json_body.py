r"""Read and change single members of a large JSON object without touching the others.

msgspec reads one member out of 2 MB in under a millisecond. It refuses what
JavaScript clients really send: half an emoji (a lone `\ud83d`) where a text
was cut off. For such bodies the standard library's slower parser steps in.
"""

import json
import re

import msgspec


class _Members(msgspec.Struct):
    """The members of a request body that decide where it goes; the others are skipped."""

    model: object = None
    agent: object = None
    previous_response_id: object = None


class NotJSONError(ValueError):
    """The body is not JSON, or is nested too deeply to be read."""


_BLANK = re.compile(r"[ \t\r\n]*")
_SURROGATE = re.compile(r"[\ud800-\udfff]")

_deciding = msgspec.json.Decoder(_Members)
_raw = msgspec.json.Decoder(dict[str, msgspec.Raw])
_lenient = json.JSONDecoder(strict=False)


def read_strings(body: bytes) -> dict[str, str]:
    """`model`, `agent` and `previous_response_id`, as far as they are there as non-blank strings.

    Of duplicate keys the last wins; JSON that is no object has none of them. What is no
    character in them (half an emoji, a byte that is no UTF-8) becomes U+FFFD, as in Go.

    Raises:
        NotJSONError: see the class.
    """
    try:
        decoded = _deciding.decode(body)
        found = {name: getattr(decoded, name) for name in _Members.__struct_fields__}
    except msgspec.ValidationError:
        return {}
    except (ValueError, RecursionError):  # DecodeError, or UnicodeDecodeError for bytes that are no UTF-8
        text, spans = _scan(body)
        found = {
            name: _lenient.decode(text[slice(*spans[name])])
            for name in _Members.__struct_fields__
            if name in spans
        }
    return {
        name: _SURROGATE.sub("\ufffd", value)
        for name, value in found.items()
        if isinstance(value, str) and value.strip()
    }


def replace(body: bytes, member: str, value: str) -> bytes:
    """`body` with one of its top-level members set to `value`, all others as they were, byte for byte.

    Raises:
        NotJSONError: the body is no JSON object that has this member.
    """
    encoded = msgspec.json.encode(value)
    try:
        members = _raw.decode(body)
    except (ValueError, RecursionError):
        text, spans = _scan(body)
        if member not in spans:
            raise NotJSONError(f"the body has no member {member!r}") from None
        start, end = spans[member]
        return _bytes(text[:start]) + encoded + _bytes(text[end:])
    if member not in members:
        raise NotJSONError(f"the body has no member {member!r}")
    members[member] = msgspec.Raw(encoded)
    return msgspec.json.encode(members)


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
