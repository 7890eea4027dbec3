"""Converters: from a value in the file to what `Settings` holds.

Each raises BadValueError for what it cannot take.
"""

import difflib
from collections.abc import Callable, Iterable
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Literal

from litellm_hybrid.config.addresses import parse_listen, parse_url
from litellm_hybrid.config.durations import parse_duration
from litellm_hybrid.config.model_patterns import Patterns, is_glob
from litellm_hybrid.config.settings import FALLBACK_KINDS, Address, Secret
from litellm_hybrid.config.yaml_nodes import BadValueError, Value

type Network = IPv4Network | IPv6Network

_FLAGS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_MOST_DIGITS = 9


def flag(value: Value) -> bool:
    """`true` or `false`, or another of YAML's spellings, in any case."""
    found = _FLAGS.get(value.text("true or false").lower())
    if found is None:
        raise value.bad(f"expected true or false, got {value.shown}")
    return found


def duration(value: Value, expected: str = "a duration such as 10s, 5m or 1m30s") -> float:
    """Seconds, 0 or more."""
    text = value.text(expected)
    try:
        return parse_duration(text)
    except ValueError as e:
        raise value.bad(f"expected {expected}, got {value.shown}") from e


def duration_or_auto(value: Value) -> float | Literal["auto"]:
    """Seconds, 0 or more, or the word `auto`."""
    expected = "`auto` or a duration such as 10s, 5m or 1m30s"
    return "auto" if value.text(expected).lower() == "auto" else duration(value, expected)


def limit(value: Value) -> float:
    """Seconds, more than 0."""
    seconds = duration(value)
    if seconds <= 0:
        raise value.bad(f"expected a duration longer than 0s, got {value.shown}")
    return seconds


def at_least(least: int) -> Callable[[Value], int]:
    """A converter for whole numbers that are `least` or more."""
    expected = f"a whole number, {least} or more"

    def convert(value: Value) -> int:
        text = value.text(expected)
        digits = text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS
        if not digits or int(text) < least:
            raise value.bad(f"expected {expected}, got {value.shown}")
        return int(text)

    return convert


def one_of(*choices: str) -> Callable[[Value], str]:
    """A converter for one word out of several."""
    expected = " or ".join(f"`{choice}`" for choice in choices)

    def convert(value: Value) -> str:
        text = value.text(expected).lower()
        if text not in choices:
            raise value.bad(f"expected {expected}, got {value.shown}")
        return text

    return convert


def name(value: Value) -> str:
    """A model's name or a glob; a number counts by its text (`4.1`)."""
    text = value.text("a model name")
    if value.is_bool:
        raise value.bad(
            f"expected a model name, got {value.shown}, a boolean in YAML; quote it if it is a name"
        )
    if not text.isprintable():
        raise value.bad(f"expected a model name without control characters, got {value.shown}")
    return text


def names(value: Value) -> Patterns:
    """A list of model names and globs."""
    return Patterns(_each(value.items(), name))


def name_map(value: Value) -> dict[str, str]:
    """Requested names or globs as they are written → the names that LiteLLM knows."""
    lines: dict[str, int] = {}

    def convert(pair: tuple[Value, Value]) -> tuple[str, str]:
        requested, line = name(pair[0]), pair[0].line
        if first := lines.get(requested.lower()):
            raise pair[0].bad(f"`{requested}` is there already, on line {first}; keep one")
        lines[requested.lower()] = line
        return requested, _target(pair[1])

    return dict(_each(value.pairs(), convert))


def kinds(value: Value) -> frozenset[str]:
    """A list of the kinds of failure that fall back."""
    return frozenset(_each(value.items(), _kind))


def secret(value: Value) -> Secret:
    """A credential, as it is compared or sent in a header."""
    text = value.text("a key")
    if value.is_bool:
        raise value.bad("expected a key, got a boolean; quote it if it is one")
    if any(not "!" <= char <= "~" for char in text):
        raise value.bad("expected a key of visible ASCII characters without spaces")
    return Secret(text)


def secret_or_none(value: Value) -> Secret | None:
    """LiteLLM's key; None for the word `none`, said of a LiteLLM that takes no keys."""
    key = secret(value)
    return None if key.value.lower() == "none" else key


def secrets(value: Value) -> tuple[Secret, ...]:
    """A list of credentials."""
    return tuple(_each(value.items(), secret))


def networks(value: Value) -> tuple[Network, ...]:
    """A list of addresses and networks (`10.0.0.0/8`)."""
    return tuple(_each(value.items(), _network))


def url(value: Value) -> Address:
    """An http(s) URL; its path prefix stays."""
    return _checked(value, "a URL such as http://127.0.0.1:4000", parse_url)


def server(value: Value) -> Address:
    """An http(s) URL without a path."""
    address = url(value)
    if address.path:
        raise value.bad(f"expected a URL without a path, such as http://127.0.0.1:8317, got {value.shown}")
    return address


def listen(value: Value) -> tuple[str, int]:
    """Host and port to listen on."""
    return _checked(value, "host:port such as 127.0.0.1:8318", parse_listen)


def _target(value: Value) -> str:
    text = name(value)
    if is_glob(text):
        raise value.bad(f"expected the one name that LiteLLM knows, got the glob {value.shown}")
    return text


def _kind(value: Value) -> str:
    text = value.text("a kind of failure").lower()
    if text not in FALLBACK_KINDS:
        near = difflib.get_close_matches(text, FALLBACK_KINDS, 1)
        hint = f"did you mean `{near[0]}`?" if near else f"the kinds are {', '.join(FALLBACK_KINDS)}"
        raise value.bad(f"unknown kind of failure {value.shown}; {hint}")
    return text


def _network(value: Value) -> Network:
    expected = "an address or a network such as 10.0.0.0/8"
    text = value.text(expected)
    try:
        return ip_network(text, strict=False)
    except ValueError as e:
        raise value.bad(f"expected {expected}, got {value.shown}") from e


def _checked[T](value: Value, expected: str, parse: Callable[[str], T]) -> T:
    text = value.text(expected)
    try:
        return parse(text)
    except ValueError as e:
        # A URL may carry a password or a key; then it is not repeated.
        got = "" if set("@?#") & set(text) else f", got {value.shown}"
        raise value.bad(f"expected {expected}{got}: {e}") from e


def _each[V, T](values: Iterable[V], convert: Callable[[V], T]) -> list[T]:
    """All of them converted, or one BadValueError with the problems of all of them."""
    converted: list[T] = []
    problems: list[tuple[int, str]] = []
    for value in values:
        try:
            converted.append(convert(value))
        except BadValueError as e:
            problems += e.problems
    if problems:
        raise BadValueError(*problems)
    return converted
