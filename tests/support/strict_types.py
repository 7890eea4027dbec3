"""Whether a JSON value is of the type that a provider's own SDK, or AWS's service model, gives it.

The first thing that does not fit is found, as a server that validates strictly finds it:
a member that the type does not have, one that is missing, or a value of another type.
"""

import collections.abc
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Literal

import typing_extensions

type What = Literal["unknown", "missing", "value"]

_NOT_DEMANDED = frozenset({"id", "status", "annotations", "logprobs", "summary", "strict"})
"""Members that the types of the openai SDK require of what was received, and the API does not of what is sent."""


@dataclass(frozen=True, slots=True)
class Misfit:
    """What does not fit.

    Attributes:
        path: to it, member names and positions.
        expected: of a value: what it may be.
        value: that was found there.
        here: how much of the type around it fits; tells which of several types was meant.
    """

    what: What
    path: tuple[str | int, ...]
    expected: tuple[object, ...] = ()
    here: int = 0
    value: object = None

    @property
    def dotted(self) -> str:
        """As Anthropic writes it: `messages.0.content`."""
        return ".".join(map(str, self.path))

    @property
    def bracketed(self) -> str:
        """As OpenAI and Google write it: `messages[0].content`."""
        return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in self.path)[1:]


def misfit(value: object, hint: Any, path: tuple[str | int, ...] = ()) -> Misfit | None:
    """The first thing in a value that does not fit a type hint of an SDK; None: it fits."""
    if typing_extensions.is_typeddict(hint):
        return _members(value, hint, path)
    origin = typing.get_origin(hint)
    if origin is None:
        return _plain(value, hint, path)
    for kinds, check in _CHECKS:
        if origin in kinds:
            return check(value, typing.get_args(hint), path)
    return _items(value, typing.get_args(hint), path)  # Iterable, List, the SDK's own SequenceNotStr


def _plain(value: object, hint: Any, path: tuple[str | int, ...]) -> Misfit | None:
    if not isinstance(hint, type) or hint is object:
        return None
    fits = isinstance(value, (int, float) if hint is float else hint)
    return None if fits else Misfit("value", path, (hint.__name__,))


def _literal(value: object, allowed: Sequence[Any], path: tuple[str | int, ...]) -> Misfit | None:
    return None if value in allowed else Misfit("value", path, tuple(allowed), value=value)


def _members(value: object, hint: Any, path: tuple[str | int, ...]) -> Misfit | None:
    if not isinstance(value, dict):
        return Misfit("value", path, ("object",))
    hints, required = _fields(hint)
    tags = [name for name in ("type", "role") if typing.get_origin(hints.get(name)) is Literal]
    here = sum(value.get(name) in typing.get_args(hints[name]) for name in tags)
    for name in sorted(required - value.keys() - _NOT_DEMANDED):
        return Misfit("missing", (*path, name), here=here)
    for name, member in sorted(value.items(), key=lambda item: item[0] not in tags):
        if name not in hints:
            return Misfit("unknown", (*path, name), here=here)
        if member is None and name not in required:
            continue  # no server minds it
        if found := misfit(member, hints[name], (*path, name)):
            return replace(found, here=here + found.here)
    return None


def _one_of(value: object, hints: Sequence[Any], path: tuple[str | int, ...]) -> Misfit | None:
    nearest: Misfit | None = None
    for hint in hints:
        found = misfit(value, hint, path)
        if found is None:
            return None
        if nearest is None or (found.here, len(found.path)) > (nearest.here, len(nearest.path)):
            nearest = found
    return nearest


def _mapping(value: object, of: Sequence[Any], path: tuple[str | int, ...]) -> Misfit | None:
    if not isinstance(value, dict):
        return Misfit("value", path, ("object",))
    hint = of[1] if len(of) > 1 else Any
    found = (misfit(member, hint, (*path, name)) for name, member in value.items())
    return next(filter(None, found), None)


def _items(value: object, of: Sequence[Any], path: tuple[str | int, ...]) -> Misfit | None:
    if not isinstance(value, list):
        return Misfit("value", path, ("array",))
    found = (misfit(item, of[0], (*path, number)) for number, item in enumerate(value))
    return next(filter(None, found), None)


_CHECKS = (
    ((typing.Union, types.UnionType), _one_of),
    ((Literal,), _literal),
    ((dict, collections.abc.Mapping), _mapping),
)


@cache
def _fields(hint: Any) -> tuple[dict[str, Any], frozenset[str]]:
    """The types of the members, by the names that they have on the wire, and those that must be there."""
    hints = typing_extensions.get_type_hints(hint)
    return {name.rstrip("_"): kind for name, kind in hints.items()}, frozenset(
        name.rstrip("_") for name in hint.__required_keys__
    )


def shape_misfit(value: object, shapes: Mapping[str, Any], name: str) -> Misfit | None:
    """The same for a shape of one of AWS's service models."""
    return next(_shape_misfits(value, shapes, name, ()), None)


def _shape_misfits(
    value: object, shapes: Mapping[str, Any], name: str, path: tuple[str | int, ...]
) -> Iterator[Misfit]:
    shape = shapes[name]
    kind = {"structure": dict, "list": list}.get(shape["type"], object)
    if not isinstance(value, kind):
        yield Misfit("value", path, (shape["type"],))
    elif isinstance(value, dict) and kind is dict and not shape.get("document"):
        members = shape["members"]
        for key in shape.get("required", ()):
            if key not in value and "location" not in members[key]:
                yield Misfit("missing", (*path, key))
        for key, member in value.items():
            if key not in members:
                yield Misfit("unknown", (*path, key))
            else:
                yield from _shape_misfits(member, shapes, members[key]["shape"], (*path, key))
    elif isinstance(value, list) and kind is list:
        for number, item in enumerate(value):
            yield from _shape_misfits(item, shapes, shape["member"]["shape"], (*path, number))
    elif "enum" in shape and value not in shape["enum"]:
        yield Misfit("value", path, tuple(shape["enum"]))
