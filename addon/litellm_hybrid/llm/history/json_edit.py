"""JSON that is changed in places and keeps its bytes everywhere else.

An object or array is opened one level at a time into `msgspec.Raw` members.
Whatever is not changed is written back as the very bytes it came as; only the
containers around a change are encoded anew (compact, keys in order).
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import msgspec
from msgspec import Raw

type Object = dict[str, Raw]
"""A JSON object, opened one level."""

_OBJECT = msgspec.json.Decoder(dict[str, Raw])
_ARRAY = msgspec.json.Decoder(list[Raw])
_STRING = msgspec.json.Decoder(str)


@dataclass(slots=True)
class Changes:
    """What a reduction has done so far.

    Attributes:
        dropped: how many parts of each kind were taken out or made neutral, by
            the name that the part has in JSON.
        switched_off: options of the request that were switched off, by their path.
    """

    dropped: Counter[str] = field(default_factory=Counter)
    switched_off: list[str] = field(default_factory=list)


def opened(raw: Raw) -> Object | None:
    """The members of an object, or None if the value is something else."""
    return _OBJECT.decode(raw) if _starts(raw, b"{") else None


def elements(raw: Raw | None) -> list[Raw] | None:
    """The elements of an array, or None if the value is something else or not there."""
    return _ARRAY.decode(raw) if raw is not None and _starts(raw, b"[") else None


def text(raw: Raw | None) -> str | None:
    """The value of a string, or None if the value is something else or not there."""
    return _STRING.decode(raw) if raw is not None and _starts(raw, b'"') else None


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


def kind(members: Object) -> str | None:
    """The member `type`, which tells items and blocks apart."""
    return text(members.get("type"))


def filtered(array: Raw, visit: Callable[[Raw], Raw | None]) -> Raw:
    """`array` with each element as `visit` returns it, without those it returns None for.

    The same object if nothing changed, or if the value is no array.
    """
    before = elements(array)
    if before is None:
        return array
    after = [kept for element in before if (kept := visit(element)) is not None]
    same = len(after) == len(before) and all(new is old for new, old in zip(after, before, strict=True))
    return array if same else encoded(after)


def edited(raw: Raw, edit: Callable[[Object], bool]) -> Raw:
    """The object after `edit`, which changes it in place and says whether it did.

    The same object if nothing changed, or if the value is no object.
    """
    members = opened(raw)
    return encoded(members) if members is not None and edit(members) else raw


def replace(members: Object, key: str, change: Callable[[Raw], Raw]) -> bool:
    """Put `change` of a member in its place; says whether that made a difference."""
    before = members.get(key)
    if before is None:
        return False
    members[key] = change(before)
    return members[key] is not before


def remove(members: Object, keys: Iterable[str], changes: Changes) -> bool:
    """Take members out and count them; an empty one (see `is_empty`) binds nobody and stays."""
    found = [key for key in keys if not is_empty(members.get(key))]
    for key in found:
        del members[key]
        changes.dropped[key] += 1
    return bool(found)


def _starts(raw: Raw, first: bytes) -> bool:
    return bytes(memoryview(raw)[:1]) == first


def thinned(
    raw: Raw, member: str, reduce: Callable[[Raw], Raw | None], changes: Changes, name: str
) -> Raw | None:
    """An object whose list `member` has been filtered; None, counted as `name`, if nothing is left in it."""
    whole = opened(raw)
    if whole is None or not replace(whole, member, lambda elements: filtered(elements, reduce)):
        return raw
    if is_empty(whole[member]):
        changes.dropped[name] += 1
        return None
    return encoded(whole)
