"""Converters: from a value in the file, or a text as people write it, to what `Settings` holds."""

import difflib
import re
import shlex
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from litellm_hybrid.config.settings import (
    FALLBACK_KINDS,
    Address,
    Notifier,
    Patterns,
    Secret,
    StateStore,
    is_glob,
)
from litellm_hybrid.config.yaml_nodes import BadValueError, Value

type Network = IPv4Network | IPv6Network

_FLAGS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_MOST_DIGITS = 9

_NUMBER = r"([0-9]{1,12}(?:\.[0-9]{1,12})?)"
_SECONDS = re.compile(_NUMBER)
_WITH_UNITS = re.compile(rf"(?=.)(?:{_NUMBER}h)?(?:{_NUMBER}m)?(?:{_NUMBER}s)?(?:{_NUMBER}ms)?")
_DECIMAL = re.compile(r"[0-9]{1,9}(\.[0-9]{1,6})?")
_UNITS = (("h", Fraction(3600)), ("m", Fraction(60)), ("s", Fraction(1)), ("ms", Fraction(1, 1000)))

_DEFAULT_PORTS = {"http": 80, "https": 443}
_HOST_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?")
_LISTEN = re.compile(r"(?:(?P<host>\[[0-9A-Fa-f.]*:[0-9A-Fa-f.:]*\]|[^\[\]:]*):)?(?P<port>[0-9]{1,5})")


def parse_duration(text: str) -> float:
    """The seconds that a duration says: `500ms`, `10s`, `5m`, `1h`, `1m30s`, or a plain number of seconds.

    Raises:
        ValueError: it is no duration; negative and infinite ones are none.
    """
    text = text.strip().lower()
    if plain := _SECONDS.fullmatch(text):
        return float(plain[1])
    if not (parts := _WITH_UNITS.fullmatch(text)):
        raise ValueError
    # Fractions, so that 1m0.1s is the float nearest to 60.1 and not the sum of two rounded ones.
    return float(
        sum(
            Fraction(number) * seconds
            for number, (_, seconds) in zip(parts.groups(), _UNITS, strict=True)
            if number
        )
    )


def format_duration(seconds: float) -> str:
    """`seconds` with units, so that `parse_duration` reads the same number: 90.0 is `1m30s`, 0.0 is `0s`."""
    milliseconds = round(seconds * 1000)
    if milliseconds / 1000 != seconds:
        return f"{Decimal(repr(seconds)):f}s"
    parts = []
    for unit, size in _UNITS:
        count, milliseconds = divmod(milliseconds, int(size * 1000))
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def parse_url(text: str) -> Address:
    """The address in an http(s) URL; its path prefix stays, without a trailing slash.

    Raises:
        ValueError: what is wrong with the URL. The message repeats nothing of it: it may hold a password.
    """
    if any(not "!" <= char <= "~" for char in text):
        raise ValueError("a URL has only visible ASCII characters")
    if "@" in text:
        raise ValueError("no user name or password here; LiteLLM's key goes into api-key")
    if "?" in text or "#" in text:
        raise ValueError("no query and no fragment here")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as e:
        raise ValueError("the host or the port is malformed") from e
    if parts.scheme not in _DEFAULT_PORTS or not parts.netloc:
        raise ValueError("it must start with http:// or https://")
    if not parts.hostname or not _is_host(parts.hostname) or port == 0:
        raise ValueError("the host or the port is missing or malformed")
    return Address(parts.scheme, parts.hostname, port or _DEFAULT_PORTS[parts.scheme], parts.path.rstrip("/"))


def parse_listen(text: str) -> tuple[str, int]:
    """The host and port in `host:port`; without a host it is 127.0.0.1, never every interface.

    Raises:
        ValueError: it is not an address to listen on.
    """
    match = _LISTEN.fullmatch(text)
    if not match or not 1 <= int(match["port"]) <= 65535:
        raise ValueError("the port is missing or not 1 to 65535; an IPv6 address stands in brackets")
    host = (match["host"] or "127.0.0.1").removeprefix("[").removesuffix("]")
    if not _is_host(host):
        raise ValueError("the host is malformed")
    return host, int(match["port"])


def _is_host(host: str) -> bool:
    if ":" not in host:
        # Longer or empty labels cannot be looked up (RFC 1035, 2.3.4).
        labels = host.removesuffix(".").split(".")
        return _HOST_NAME.fullmatch(host) is not None and all(0 < len(label) < 64 for label in labels)
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class Converter[T]:
    """Makes a setting's value of what is in the file; it raises BadValueError for what it cannot take.

    Attributes:
        takes: what it takes, as messages and the reference say it.
    """

    takes: str
    convert: Callable[[Value], T]

    def __call__(self, value: Value) -> T:
        """The value in `Settings` for one in the file."""
        return self.convert(value)


def _scalar[T](takes: str, parse: Callable[[str], T]) -> Converter[T]:
    """A converter for one text; `parse` raises a ValueError, whose message may say what is wrong with it."""

    def convert(value: Value) -> T:
        text = value.text(takes)
        try:
            return parse(text)
        except ValueError as e:
            # A URL may carry a password or a key; then it is not repeated.
            got = "" if set("@?#") & set(text) else f", got {value.shown}"
            raise value.bad(f"expected {takes}{got}" + (f": {e}" if str(e) else "")) from e

    return Converter(takes, convert)


def _flag(text: str) -> bool:
    if (found := _FLAGS.get(text.lower())) is None:
        raise ValueError
    return found


def _only[T](parse: Callable[[str], T], is_taken: Callable[[T], bool]) -> Callable[[str], T]:
    def parsed(text: str) -> T:
        if not is_taken(value := parse(text)):
            raise ValueError
        return value

    return parsed


def _or_auto[T](parse: Callable[[str], T]) -> Callable[[str], T | Literal["auto"]]:
    return lambda text: "auto" if text.lower() == "auto" else parse(text)


def _decimal(text: str) -> Decimal:
    if not _DECIMAL.fullmatch(text):
        raise ValueError
    return Decimal(text)


def at_least(least: int) -> Converter[int]:
    """A converter for whole numbers that are `least` or more."""

    def parse(text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS and int(text) >= least):
            raise ValueError
        return int(text)

    return _scalar(f"a whole number, {least} or more", parse)


def one_of(*choices: str) -> Converter[str]:
    """A converter for one word out of several."""
    takes = " or ".join(f"`{choice}`" for choice in choices)
    return _scalar(takes, _only(str.lower, lambda word: word in choices))


def _server(text: str) -> Address:
    address = parse_url(text)
    if address.path:
        raise ValueError("no path here")
    return address


def _kind(text: str) -> str:
    if text.lower() not in FALLBACK_KINDS:
        near = difflib.get_close_matches(text.lower(), FALLBACK_KINDS, 1)
        raise ValueError(
            f"did you mean `{near[0]}`?" if near else f"the kinds are {', '.join(FALLBACK_KINDS)}"
        )
    return text.lower()


def _network(text: str) -> Network:
    try:
        return ip_network(text, strict=False)
    except ValueError:
        raise ValueError from None


def _name(value: Value) -> str:
    text = value.text("a model name")
    if value.tag == "bool":
        message = f"expected a model name, got {value.shown}, a boolean in YAML; quote it if it is a name"
        raise value.bad(message)
    if not text.isprintable():
        raise value.bad(f"expected a model name without control characters, got {value.shown}")
    return text


def _target(value: Value) -> str:
    text = _name(value)
    if is_glob(text):
        raise value.bad(f"expected the one name that LiteLLM knows, got the glob {value.shown}")
    return text


def _name_map(value: Value) -> dict[str, str]:
    lines: dict[str, int] = {}

    def convert(pair: tuple[Value, Value]) -> tuple[str, str]:
        requested, line = _name(pair[0]), pair[0].line
        if first := lines.get(requested.lower()):
            raise pair[0].bad(f"`{requested}` is there already, on line {first}; keep one")
        lines[requested.lower()] = line
        return requested, _target(pair[1])

    return dict(_each(value.pairs(), convert))


def _secret(value: Value) -> Secret:
    text = value.text("a key")
    if value.tag == "bool":
        raise value.bad("expected a key, got a boolean; quote it if it is one")
    if any(not "!" <= char <= "~" for char in text):
        raise value.bad("expected a key of visible ASCII characters without spaces")
    return Secret(text)


def _secret_or_none(value: Value) -> Secret | None:
    key = _secret(value)
    return None if key.value.lower() == "none" else key


def _list[T](takes: str, entry: Callable[[Value], T]) -> Converter[tuple[T, ...]]:
    return Converter(takes, lambda value: tuple(_each(value.items(), entry)))


def _notifier(text: str) -> Notifier:
    if text.lower().startswith(("http://", "https://")):
        if any(not "!" <= char <= "~" for char in text) or not urlsplit(text).hostname:
            raise ValueError("the URL is malformed")
        return Notifier(url=Secret(text))
    return Notifier(command=tuple(shlex.split(text)))


def _state(text: str) -> StateStore:
    if text.lower() == "memory":
        return StateStore()
    kind, _, rest = text.partition(":")
    if kind.lower() == "sqlite" and rest:
        return StateStore("sqlite", Path(rest).expanduser())
    # Nothing of a malformed URL is repeated: it may hold a password.
    parts = urlsplit(text)
    if parts.scheme not in ("redis", "rediss") or not parts.hostname:
        raise ValueError
    if parts.port == 0 or not (parts.path.strip("/").isdecimal() or not parts.path.strip("/")):
        raise ValueError("behind the host there is a port, and the number of a database")
    return StateStore("redis", url=Secret(text))


flag = _scalar("true or false", _flag)
flag_or_auto = _scalar("`auto`, true or false", _or_auto(_flag))
duration = _scalar("a duration such as 10s, 5m or 1m30s", parse_duration)
"""Seconds, 0 or more."""
limit = _scalar("a duration such as 10s, longer than 0s", _only(parse_duration, lambda seconds: seconds > 0))
"""Seconds, more than 0."""
duration_or_auto = _scalar("`auto` or a duration such as 10s, 5m or 1m30s", _or_auto(parse_duration))
dollars = _scalar("an amount of US dollars such as 5 or 2.50", _decimal)
share = _scalar("a share between 0 and 1 such as 0.95", _only(_decimal, lambda share: share <= 1))
state = _scalar("`memory`, `sqlite:PATH`, or a URL such as redis://127.0.0.1:6379/0", _state)
file = _scalar("a file's name", lambda text: Path(text).expanduser())
url = _scalar("a URL such as http://127.0.0.1:4000", parse_url)
server = _scalar("a URL without a path such as http://127.0.0.1:8317", _server)
listen = _scalar("host:port such as 127.0.0.1:8318", parse_listen)
name_map = Converter("a mapping of names or globs to names", _name_map)
"""Requested names or globs as they are written → the names that LiteLLM knows."""
_entries = _list("a list of model names or globs", _name)
names = Converter(_entries.takes, lambda value: Patterns(_entries(value)))
_kinds = _list(
    "a list of kinds of failure: " + ", ".join(f"`{kind}`" for kind in FALLBACK_KINDS),
    _scalar("a kind of failure", _kind),
)
kinds = Converter(_kinds.takes, lambda value: frozenset(_kinds(value)))
secret_or_none = Converter("a key, or the word `none`", _secret_or_none)
"""LiteLLM's key; None for the word `none`, said of a LiteLLM that takes no keys."""
secrets = _list("a list of keys", _secret)
notifiers = _list("a list of URLs and commands", _scalar("a URL, or a command", _notifier))
_path = _only(str, lambda text: text.startswith("/") and "*" not in text[:-1])
paths = _list("a list of paths", _scalar("a path such as /v1/ws, or with a `*` at its end", _path))
networks = _list(
    "a list of addresses and networks", _scalar("an address or a network such as 10.0.0.0/8", _network)
)


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
