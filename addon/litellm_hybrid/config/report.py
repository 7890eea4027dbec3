"""What is in force and what a reload changed, key by key, as people write it and with every secret masked."""

from collections.abc import Mapping
from operator import attrgetter

from litellm_hybrid.config.durations import format_duration
from litellm_hybrid.config.model_patterns import Patterns
from litellm_hybrid.config.schema import KEYS, Key
from litellm_hybrid.config.settings import FALLBACK_KINDS, Settings

NOT_SET = "not set"


def effective_settings(settings: Settings) -> tuple[tuple[str, str], ...]:
    """(namespaced key, its value as text) for every setting; secrets are `***`."""
    return tuple((key.name, _text(_value(key, settings))) for key in KEYS)


def diff(old: Settings, new: Settings) -> tuple[str, ...]:
    """A line for each setting that differs: `models: [a] → [a, b]`, `api-key: *** → *** (changed)`."""
    return tuple(
        _change(key.name, _text(before), _text(after))
        for key in KEYS
        if (before := _value(key, old)) != (after := _value(key, new))
    )


def _change(name: str, before: str, after: str) -> str:
    return f"{name}: {before} → {after}" + (" (changed)" if before == after else "")


def _value(key: Key, settings: Settings) -> object:
    match key.name:
        case "api-key" if settings.no_auth:
            return "none"
        case "model-mappings":
            return {entry: settings.mappings[entry.lower()] for entry in settings.mapping_patterns.entries}
        case "listen":
            host, port = settings.listen
            return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        case _:
            return attrgetter(key.field)(settings)


def _text(value: object) -> str:  # noqa: PLR0911  a table of types
    match value:
        case None:
            return NOT_SET
        case bool():
            return str(value).lower()
        case float():  # every setting that is one is a duration
            return format_duration(value)
        case Patterns():
            return _list(value.entries)
        case frozenset():
            return _list(tuple(kind for kind in FALLBACK_KINDS if kind in value))
        case tuple():
            return _list(value)
        case Mapping():
            return "{" + ", ".join(f"{name}: {target}" for name, target in value.items()) + "}"
        case _:
            return str(value)


def _list(values: tuple[object, ...]) -> str:
    return "[" + ", ".join(str(value) for value in values) + "]"


DEFAULTS = dict(effective_settings(Settings()))
"""Namespaced key → its default as text."""
