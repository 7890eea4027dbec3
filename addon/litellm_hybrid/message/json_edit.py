r"""JSON that is changed in places and keeps its bytes everywhere else, half a character among them.

An object or array is opened one level at a time into `msgspec.Raw` members. Whatever is not changed is
written back as the very bytes it came as; only the containers around a change are encoded anew (compact,
keys in order).

Half a character is a lone surrogate (`\ud83d`), where JavaScript cut a text off. Clients send them and
CLIProxyAPI serves them; msgspec and LiteLLM refuse a body that has one. Such a body is read and edited with
something else in their place, and what is not edited is written back as it came.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from operator import is_
from secrets import token_hex

import msgspec
from msgspec import Raw

# -- edits -----------------------------------------------------------------------

type RawObject = dict[str, Raw]
"""A JSON object, opened one level."""

_OBJECT = msgspec.json.Decoder(dict[str, Raw])
_ARRAY = msgspec.json.Decoder(list[Raw])
_STRING = msgspec.json.Decoder(str)


def edit_body(body: bytes, edit: Callable[[RawObject], bool]) -> bytes:
    """A request body after `edit`, which changes its object in place and says whether it did.

    The same object if nothing changed, or if the body is no JSON object, broken, or nested too deeply. Lone
    surrogates are kept.
    """
    try:
        return _edit_body(body, edit)
    except RecursionError:
        return body
    except ValueError:  # msgspec's errors and UnicodeDecodeError are ValueErrors
        pass
    try:
        readable, mark = masked(body)
        after = _edit_body(readable, edit)
    except (ValueError, RecursionError):
        return body
    return body if after is readable else unmasked(after, mark)


def _edit_body(body: bytes, edit: Callable[[RawObject], bool]) -> bytes:
    members = _OBJECT.decode(body)
    return msgspec.json.encode(members) if edit(members) else body


def opened(raw: Raw) -> RawObject | None:
    """The members of an object, or None if the value is something else."""
    return _OBJECT.decode(raw) if _starts(raw, b"{") else None


def elements(raw: Raw | None) -> list[Raw] | None:
    """The elements of an array, or None if the value is something else or not there."""
    return _ARRAY.decode(raw) if raw is not None and _starts(raw, b"[") else None


def objects_in(array: Raw | None) -> Iterator[RawObject]:
    """The objects in an array; none if the value is something else or not there."""
    return (found for raw in elements(array) or () if (found := opened(raw)) is not None)


def raw_text(raw: Raw | None) -> str | None:
    """The value of a string, or None if the value is something else or not there."""
    return _STRING.decode(raw) if raw is not None and _starts(raw, b'"') else None


def member(holder: RawObject | None, *path: str) -> Raw | None:
    """The value under a path of names, or None if there is none."""
    *outer, last = path
    for name in outer:
        holder = opened(holder[name]) if holder is not None and name in holder else None
    return holder.get(last) if holder is not None else None


def number(raw: Raw | None) -> int | None:
    """The value of a whole number, or None if the value is something else or not there."""
    digits = bytes(raw).strip() if raw is not None else b""
    return int(digits) if digits.isdigit() and len(digits) < 16 else None


def encoded(value: object) -> Raw:
    """A value as JSON; `Raw` inside it keeps its bytes."""
    return Raw(msgspec.json.encode(value))


def is_true(raw: Raw | None) -> bool:
    """Whether the value is `true`."""
    return raw is not None and bytes(raw).strip() == b"true"


def is_empty(raw: Raw | None) -> bool:
    """Whether the value is missing, `null`, `""`, `[]` or `{}`."""
    if raw is None:
        return True
    value = bytes(raw)
    return len(value) < 64 and b"".join(value.split()) in {b"null", b'""', b"[]", b"{}"}


def kind(members: RawObject) -> str | None:
    """The member `type`, which tells items and blocks apart."""
    return raw_text(members.get("type"))


def filtered(array: Raw, visit: Callable[[Raw], Raw | None]) -> Raw:
    """`array` with each element as `visit` returns it, without those it returns None for: see `mapped`."""
    before = elements(array)
    if before is None:
        return array
    return _array(array, before, [new for old in before if (new := visit(old)) is not None])


def mapped(array: Raw, change: Callable[[Raw], Iterable[Raw]]) -> Raw:
    """`array` with other elements in the place of each.

    The same object if nothing changed, or if the value is no array.
    """
    before = elements(array)
    if before is None:
        return array
    return _array(array, before, [new for old in before for new in change(old)])


def _array(array: Raw, before: list[Raw], after: list[Raw]) -> Raw:
    same = len(after) == len(before) and all(map(is_, after, before))
    return array if same else encoded(after)


def edited(raw: Raw, edit: Callable[[RawObject], bool]) -> Raw:
    """The object after `edit`, which changes it in place and says whether it did.

    The same object if nothing changed, or if the value is no object.
    """
    members = opened(raw)
    return encoded(members) if members is not None and edit(members) else raw


def replace_and_prune(members: RawObject, key: str, change: Callable[[Raw], Raw]) -> bool:
    """As `replace`, and take the member out where nothing is left in it."""
    if not replace(members, key, change):
        return False
    if is_empty(members[key]):
        del members[key]
    return True


def replace(members: RawObject, key: str, change: Callable[[Raw], Raw]) -> bool:
    """Put `change` of a member in its place; says whether that made a difference."""
    before = members.get(key)
    if before is None:
        return False
    members[key] = change(before)
    return members[key] is not before


def _starts(raw: Raw, first: bytes) -> bool:
    return bytes(memoryview(raw)[:1]) == first


def last_element(array: Raw | None, skip: Callable[[RawObject], bool]) -> RawObject | None:
    """The last object in an array that is not to be skipped, or None."""
    objects = (opened(element) for element in reversed(elements(array) or ()))
    return next((found for found in objects if found is not None and not skip(found)), None)


# -- lone surrogates -------------------------------------------------------------

_MOST_ESCAPES = 1_000_000
"""More backslashes than this in a body with lone surrogates, and it is not read."""

MOST_LONE = 20_000
"""As many lone surrogates as this and a body is not read: a client leaves one where it cuts a text off."""

# Up to the next lone surrogate, over whatever is none: other escapes, `\\\\` above all, and pairs, which are
# characters. Replaced by a template, without a call for each: a megabyte has 170,000 of them.
_SURROGATE = rb"u[dD](?:[89a-fA-F][0-9a-fA-F]{2})"
_PAIR = rb"u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_LONE = re.compile(
    rb"((?:[^\\]++|\\(?!" + _SURROGATE + rb").|\\" + _PAIR + rb")*+)\\u([dD][0-9a-fA-F]{3})", re.DOTALL
)
_STOP = b"  \\ud800"
"""Put behind what is searched: without an end to find, each byte would be searched from anew."""
_MAYBE_LONE = re.compile(rb"\\u[dD][89a-fA-F]")


class TooManyError(ValueError):
    """The body has too many of them, or of other escapes beside one."""


def readable(data: bytes) -> bytes:
    r"""`data` with every lone surrogate (`\ud83d`) written as U+FFFD, which takes as many bytes.

    Raises:
        TooManyError: see the class.
    """
    return _with_lone(data, b"\\1\\\\ufffd")[: len(data)]


def masked(data: bytes) -> tuple[bytes, bytes]:
    """`data` with every lone surrogate written as a mark and its digits, and the mark (see `unmasked`).

    Raises:
        TooManyError: see the class.
    """
    mark = f"lone-surrogate-{token_hex(16)}-".encode()
    changed = _with_lone(data, b"\\1" + mark + b"\\2")
    return changed.removesuffix(b"  " + mark + b"d800"), mark


def _with_lone(data: bytes, template: bytes) -> bytes:
    """`data` and `_STOP` with every lone surrogate's escape replaced; a pair of them is a character."""
    if not _MAYBE_LONE.search(data):
        return data
    if len(data) > _MOST_ESCAPES and data.count(b"\\") > _MOST_ESCAPES:
        raise TooManyError("a body with characters cut in two has too many escapes")
    changed, many = _LONE.subn(template, data + _STOP, MOST_LONE + 1)
    if many > MOST_LONE:
        raise TooManyError("the body has too many characters cut in two")
    return changed


def unmasked(data: bytes, mark: bytes) -> bytes:
    """The reverse of `masked`."""
    return re.sub(re.escape(mark) + rb"([0-9a-fA-F]{4})", rb"\\u\1", data)
