r"""JSON that others wrote: read whatever it holds, one member of a large body changed, all others kept.

msgspec reads one member out of 2 MB in under a millisecond, but refuses what
clients really send and CLIProxyAPI serves: a lone surrogate (`\ud83d`, where
JavaScript cut a text off), a byte order mark, a trailing comma, comments, bytes
behind the object. Such bodies are read as CLIProxyAPI's gjson reads them: member
by member, and what stands between the members is passed over.

One rule for what is no character, a lone surrogate or a byte that is no UTF-8:
it is read as U+FFFD, as in Go, and written back as it came.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from litellm_hybrid.message.json_edit import readable

type Object = Mapping[str, Any]
"""A JSON object, decoded."""

MOST_TOKENS = 250_000
"""More strings and brackets than this and an irregular body is not read."""

MOST_PARTS = 2_000_000
"""More commas than this, in text or not, and a body is not read: no model takes as many words."""

MOST_HISTORY = 150_000
"""With more of them a conversation's history is left as it is, and is told from others by headers alone."""

_FEW = 1000
"""So many of a sign are looked for one by one."""

_MOST_IRREGULAR = 16 * 1024 * 1024
"""The longest irregular body that is read, in bytes: finding members takes several times as long."""

_BYTES_BETWEEN = 8
"""As many bytes of what stands between members count as a string or bracket."""

_MOST_BETWEEN = MOST_TOKENS * _BYTES_BETWEEN

_NO_CHARACTER = re.compile(r"[\ud800-\udfff]")

_BLANKS = re.compile(r"[ \t\r\n]*+")

# What may stand around the members of an irregular body. Nothing is given back, and neither a comment nor a
# string needs an end: so nothing is searched twice.
_COMMENT = rb"/\*(?:[^*]++|\*(?!/))*+(?:\*/)?|//[^\n]*+"
_OPENING = re.compile(rb"(?:\xef\xbb\xbf)?(?:[\s\0]++|" + _COMMENT + rb")*+\{")
_BEFORE_KEY = re.compile(rb'(?:[^"}/]++|' + _COMMENT + rb"|/)*+")
_BEFORE_VALUE = re.compile(rb"(?:[\s\0:]++|" + _COMMENT + rb")*+")
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_LITERAL = re.compile(rb'[^\s\0,:"/{}\[\]]++')
# The next ones of a kind, behind whatever is none, strings above all.
_BRACKETS = re.compile(rb'(?:[^"{}\[\]]++|"[^"\\]*+(?:\\.[^"\\]*+)*+"?)*+(?:([{\[]++|[}\]]++)|\Z)', re.DOTALL)

_raw = msgspec.json.Decoder(dict[str, msgspec.Raw])

_EARLY = (
    *("model", "agent", "previous_response_id", "conversation", "prompt", "container"),
    *("input", "messages", "contents", "tools"),
    *("system", "instructions", "systemInstruction", "system_instruction"),
)
"""The members that are found at once, the long ones among them. All others are found only where a body is
written anew."""
_ABSENT = msgspec.Raw()
_early = msgspec.json.Decoder(msgspec.defstruct("_Early", [(name, msgspec.Raw, _ABSENT) for name in _EARLY]))
_strict = msgspec.json.Decoder()
_NULL = b"null"
_lenient = json.JSONDecoder(strict=False)


_MOST_OUTSIDE = 100_000
"""Bytes outside the early members: what has more is looked at for how many members it has."""

_MOST_MEMBERS = 50_000
"""More colons than this outside the early members, and a body is not read: millions of members take
gigabytes."""

_MEMBER_COSTS = 100
"""A body has some dozens of members: as many tokens as this are counted for each."""

type Values = dict[str, msgspec.Raw | memoryview]
"""Members by their names, as they are written."""


class NotJSONError(ValueError):
    """The body is not JSON, or has too many parts to be read."""


# -- values ---------------------------------------------------------------------


def decode(data: str | bytes | memoryview | msgspec.Raw) -> object:
    """The JSON value, or None where this is no JSON, nested too deeply, or `null`."""
    try:
        return _strict.decode(data)
    except (ValueError, RecursionError):
        pass
    try:
        return _lenient.decode(_text(data if isinstance(data, str) else bytes(data)))
    except (ValueError, RecursionError):
        return None


def decode_cut_array(data: bytes) -> list[object]:
    """The elements of a JSON array up to where it ends, breaks off or is broken; [] for anything else."""
    return list(_elements(_text(data)))


def encode(value: object) -> str:
    """A value as JSON in a line; `…` for what is nested too deeply."""
    try:
        return json.dumps(value, ensure_ascii=False)
    except RecursionError:
        return "…"


def members(value: object) -> Object:
    """An object; {} for anything else."""
    return value if isinstance(value, dict) else {}


def items(value: object) -> list[Any]:
    """An array; [] for anything else."""
    return value if isinstance(value, list) else []


def objects(value: object) -> list[Object]:
    """The objects in an array."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def text(value: object) -> str:
    """A string; "" for anything else."""
    return value if isinstance(value, str) else ""


def index(value: object) -> int:
    """A whole number; 0 for anything else."""
    return value if isinstance(value, int) else 0


def first(of: Object, *names: str) -> object:
    """The first of these members that is there and not empty, or None."""
    return next((of[name] for name in names if of.get(name)), None)


# -- the members of a body ----------------------------------------------------------


class Members:
    """The top-level members of a body that has been read once; their values are kept as they came.

    Of duplicate names the last counts, of `model` the first, as in CLIProxyAPI. `irregular`: a strict
    reader refuses the body, or sees another `model` in it; `joined` is what LiteLLM can read.
    """

    def __init__(
        self,
        values: Values,
        keys: Mapping[str, bytes] | None = None,
        *,
        body: bytes | None = None,
        irregular: bool = False,
    ) -> None:
        self._values = values
        self._keys = keys or {}
        self._body = body  # of which only the early members have been found
        self.irregular = irregular

    def decode(self, name: str) -> object:
        """One member's value; None if there is none."""
        value = self.raw(name)
        return None if value is None else decode(value)

    def raw(self, name: str) -> msgspec.Raw | memoryview | None:
        """One member as it is written; None if there is none."""
        if (value := self._values.get(name)) is not None or self._body is None or name in _EARLY:
            return value
        return self._all().get(name)

    def has(self, name: str) -> bool:
        """Whether there is such a member."""
        return self.raw(name) is not None

    def _all(self) -> Values:
        if self._body is not None:
            body, self._body = self._body, None
            try:
                found: Values = self._beside_longest(body) or {**_raw.decode(body)}
            except ValueError:  # a name that is no UTF-8
                found, self._keys, _ = _scan_all(body)
            self._values = found | self._values
        return self._values

    def _beside_longest(self, body: bytes) -> Values | None:
        """All members, `null` for the one that most of the body is: it has been found, and is not read again.

        None: there is no such member, or it cannot be told where it stands.
        """
        sizes = {name: memoryview(value).nbytes for name, value in self._values.items()}
        name = max(sizes, key=sizes.__getitem__, default="")
        rest = len(body) - (size := sizes.get(name, 0))
        key = re.search(rb'"%s"\s*:\s*' % name.encode(), body[:rest]) if 2 * rest < len(body) else None
        if key is None:
            return None
        start, end = key.end(), key.end() + size
        if msgspec.Raw(memoryview(body)[start:end]) != msgspec.Raw(memoryview(self._values[name])):
            return None
        found = _raw.decode(body[:start] + _NULL + body[end:])
        # Where that was within another member, nothing has become of this one.
        return {**found} if bytes(found.get(name, b"")) == _NULL else None

    def strings(self, *names: str) -> dict[str, str]:
        """Those of these members that are non-blank strings."""
        found: dict[str, str] = {}
        for name in names:
            raw = self.raw(name)
            # Only strings are decoded: anything else may be as long as the body.
            if raw is None or bytes(memoryview(raw)[:1]) != b'"':
                continue
            if isinstance(value := decode(raw), str) and value.strip():
                found[name] = value
        return found

    def joined(self) -> bytes:
        """The body with each member once and nothing between them, every value as it was, byte for byte."""
        # Joined, not encoded: that would grow its buffer as it goes, up to twice the body.
        parts: list[bytes | memoryview | msgspec.Raw] = []
        for name, value in self._all().items():
            key = self._keys.get(name) or msgspec.json.encode(name)
            parts += (b"," if parts else b"{", key, b":", value)
        return b"".join((*parts, b"}")) if parts else b"{}"

    def put(self, changes: Mapping[str, object]) -> bytes:
        """`joined` with these members set to other values; those that are new stand at the end."""
        encoded = {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in changes.items()}
        return Members({**self._all(), **encoded}, self._keys).joined()


def read(body: bytes) -> Members:
    """Find a body's top-level members; JSON that is no object has none.

    Raises:
        NotJSONError: see the class.
    """
    if has_many_parts(body, MOST_PARTS):
        raise NotJSONError("the body has too many parts")
    try:
        early = _early.decode(body)
    except msgspec.ValidationError:
        return Members({})
    except (ValueError, RecursionError):
        return _scanned(body)
    found = zip(_EARLY, msgspec.structs.astuple(early), strict=True)
    values: Values = {name: raw for name, raw in found if raw is not _ABSENT}
    sizes = [memoryview(raw).nbytes for raw in values.values()]
    if len(body) > _MOST_OUTSIDE and len(body) - sum(sizes) > _MOST_OUTSIDE:
        inside = sum(bytes(raw).count(b":") for raw in values.values())
        if body.count(b":") - inside > _MOST_MEMBERS:
            raise NotJSONError("the body has too many members")
    model = values.get("model")
    if model is None or not _may_repeat_model(body, len(body) - max(sizes)):
        return Members(values, body=body)
    if (stated := _first_model(body)) is not None and bytes(model) != bytes(stated):
        return Members(values | {"model": stated}, body=body, irregular=True)
    return Members(values, body=body)


def has_many_parts(body: bytes, most: int) -> bool:
    """Whether a body may have more members and elements than this, by commas and brackets, those in text too.

    Each takes two bytes with its comma: what is shorter than that need not be counted.
    """
    return len(body) > 2 * most and any(_has_more(body, sign, most) for sign in (b",", b"[", b"{"))


def _has_more(body: bytes, sign: bytes, most: int) -> bool:
    # To count takes twenty times as long as to find that there are no more.
    at, few = -1, min(most, _FEW)
    for _ in range(few):
        at = body.find(sign, at + 1)
        if at < 0:
            return False
    return body.count(sign, at + 1) > most - few


def _may_repeat_model(body: bytes, rest: int) -> bool:
    """Whether `model` may stand there twice; `rest` is how much of the body is not its longest member.

    Only the ends have to be searched, where all that is outside that member stands.
    """
    if 2 * rest >= len(body):
        return body.count(b'"model"') > 1
    return body.count(b'"model"', 0, rest) + body.count(b'"model"', len(body) - rest) > 1


def _first_model(body: bytes) -> memoryview | None:
    try:
        return next((value for name, _, value in _scan(body) if name == "model"), None)
    except NotJSONError:
        return None


def _scanned(body: bytes) -> Members:
    if len(body) > _MOST_IRREGULAR:
        raise NotJSONError("the body is too long for one that is not strictly JSON")
    values, keys, twice = _scan_all(body)
    if not values:
        raise NotJSONError("the body is no JSON object")
    return Members(values, keys, irregular=twice or not _is_regular(body))


def _scan_all(body: bytes) -> tuple[Values, dict[str, bytes], bool]:
    """The members, their names as they are written, and whether there is more than one `model`."""
    values: Values = {}
    keys: dict[str, bytes] = {}
    twice = False
    for name, key, value in _scan(body):
        if name == "model" and name in values:
            twice = True
        else:
            values[name], keys[name] = value, key
    return values, keys, twice


def _is_regular(body: bytes) -> bool:
    """Whether a strict reader would take the body, were it not for what is no character in it."""
    try:
        _early.decode(readable(body))
    except (ValueError, RecursionError):
        return False
    return True


def _scan(body: bytes) -> Iterator[tuple[str, bytes, memoryview]]:
    """The members of an object, however broken: the name, as it is written, and its value's bytes.

    Raises:
        NotJSONError: the body has too many parts, or is no object.
    """
    if (opening := _OPENING.match(body, 0, _MOST_BETWEEN)) is None:
        raise NotJSONError("the body is no JSON object")
    view, at, left = memoryview(body), opening.end(), MOST_TOKENS
    while (key := _STRING.match(body, found := _end(_BEFORE_KEY, body, at))) is not None:
        start = _end(_BEFORE_VALUE, body, key.end())
        left -= _MEMBER_COSTS + (found - at + start - key.end()) // _BYTES_BETWEEN
        at, left = _value_end(body, start, left)
        name, value = decode(key[0]), view[start:at]
        # A name that the body ends in, as in `{"model":"gpt-`, is none.
        if value and isinstance(name, str) and (name != "model" or not _is_cut(value)):
            yield name, key[0], value


def _is_cut(value: memoryview) -> bool:
    return bytes(value[:5]) == b"null" or (bytes(value[:1]) == b'"' and decode(value) is None)


def _value_end(body: bytes, start: int, left: int) -> tuple[int, int]:
    """Where a value ends, and how many tokens may still be read."""
    _some_left(left)
    opening = body[start : start + 1]
    if opening == b'"':
        return _end(_STRING, body, start), left
    if opening not in (b"{", b"["):
        return _end(_LITERAL, body, start), left
    depth = 0
    for found in _BRACKETS.finditer(body, start):
        brackets = found[1]
        if brackets is None:  # the body ends within the value
            break
        left -= (many := len(brackets))
        if left < 0:
            break
        if brackets[0] in b"{[":
            depth += many
        elif many < depth:
            depth -= many
        else:
            end = found.start(1) + depth
            return end, _some_left(left - body.count(b'"', start, end) // 2)
    return len(body), _some_left(left - body.count(b'"', start) // 2)


def _some_left(left: int) -> int:
    if left < 0:
        raise NotJSONError("the body has too many parts for one that is not strictly JSON")
    return left


def _end(pattern: re.Pattern[bytes], body: bytes, at: int) -> int:
    longest = len(body) if pattern in (_STRING, _LITERAL) else at + _MOST_BETWEEN
    found = pattern.match(body, at, longest)
    end = found.end() if found else at
    if end == longest < len(body):
        raise NotJSONError("there is too much between the members of the body")
    return end


# -- reading text -----------------------------------------------------------------


def _text(data: str | bytes) -> str:
    raw = _NO_CHARACTER.sub("\ufffd", data).encode() if isinstance(data, str) else data
    return readable(raw).decode("utf-8", "replace")


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


def _skip(array: str, at: int) -> int:
    found = _BLANKS.match(array, at)
    return found.end() if found else at
