"""What the configuration means once it has been parsed: one frozen `Settings`, and where it is kept.

parser.py makes it from a file; nobody changes it. A reload makes a new one and
swaps the reference in `SettingsStore`. Times are in seconds.
"""

import fnmatch
import re
import shlex
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property, lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

LogFormat = Literal["text", "json"]
WebsocketPolicy = Literal["downgrade", "pass"]
ModelsListPolicy = Literal["merge", "pass"]
HistoryPolicy = Literal["auto", "keep", "reduce"]
CooldownMax = float | Literal["auto"]
"""Seconds, 0 for no cooldown; or `auto`: only where upstream was slow to say that a quota is used up."""

StripProviderPrefix = bool | Literal["auto"]
"""`auto`: where upstream answers 404 below `/api/provider/`."""

FALLBACK_KINDS = (
    *("quota", "overload", "no-credential", "login", "account", "no-answer"),
    *("unknown-model", "context-length", "server-error", "unreachable"),
)
"""Every kind of failure that `fallback.on` may list; the first six are its default."""

DEFAULT_FALLBACK_KINDS = frozenset(FALLBACK_KINDS[:6])


# Model names as the configuration lists them: exact spellings and globs, compared trimmed and without case.
# A suffix in parentheses, as in `gpt-5(high)` or `gemini-2.5-pro(8192)`, is CLIProxyAPI's way to write a
# thinking setting and not part of the name. In a glob only `*` and `?` are special: `claude-sonnet-4-5[1m]`
# is a name that Claude Code really sends, for a longer context; it is looked past like the other suffix.

_SUFFIX = re.compile(r"\([^()]*\)$")
_LONG_CONTEXT = re.compile(r"\[1m\]$", re.IGNORECASE)


def bare(name: str) -> str:
    """`name` trimmed and without its suffixes, `(…)` and `[1m]`; one that is only a suffix stays as it is."""
    return _candidates(name)[-1]


def without_suffix(name: str) -> tuple[str, str]:
    """A name without its thinking setting, and that: `gpt-5`, `(high)`; "" where it has none."""
    found = _SUFFIX.search(name.rstrip())
    plain = name[: found.start()].rstrip() if found else ""
    return (plain, found[0]) if found and plain else (name, "")


def _candidates(name: str) -> tuple[str, ...]:
    """A name trimmed, without `(…)`, and without `[1m]` too."""
    trimmed = name.strip()
    if not trimmed.endswith((")", "]")):
        return (trimmed,)
    plain = _SUFFIX.sub("", trimmed).rstrip() or trimmed
    return tuple(dict.fromkeys((trimmed, plain, _LONG_CONTEXT.sub("", plain).rstrip() or plain)))


@dataclass(frozen=True, slots=True)
class Patterns:
    """A set of exact names and globs that knows which of its entries a name matches.

    Attributes:
        entries: the entries as they were written, trimmed, in order.
    """

    entries: tuple[str, ...]
    _exact: Mapping[str, str] = field(init=False, repr=False, compare=False)
    _globs: tuple[tuple[Callable[[str], object], str], ...] = field(init=False, repr=False, compare=False)
    _remembered: Callable[[str], str | None] = field(init=False, repr=False, compare=False)

    def __init__(self, entries: Iterable[str] = ()) -> None:
        trimmed = tuple(entry.strip() for entry in entries)
        exact: dict[str, str] = {}
        globs: list[str] = []
        for entry in trimmed:
            if is_glob(entry):
                globs.append(entry)
            else:
                exact.setdefault(entry.lower(), entry)
        # The glob that says more wins: its literal part is longer.
        globs.sort(key=lambda glob: len(glob) - glob.count("*") - glob.count("?"), reverse=True)
        object.__setattr__(self, "entries", trimmed)
        object.__setattr__(self, "_exact", exact)
        object.__setattr__(self, "_globs", tuple((_matcher(glob), glob) for glob in globs))
        object.__setattr__(self, "_remembered", lru_cache(_NAMES_REMEMBERED)(self._find))

    def __bool__(self) -> bool:
        return bool(self.entries)

    def match(self, name: str) -> str | None:
        """The entry that `name` matches, spelt as in the configuration, or None.

        An exact entry comes before any glob, a glob with a longer literal part before a shorter one. Either
        may match the whole name or the bare one, an exact entry the whole name first: it may name a suffix.
        """
        if not self.entries:
            return None
        return self._remembered(name) if len(name) <= _LONGEST_REMEMBERED else self._find(name)

    def _find(self, name: str) -> str | None:
        candidates = _candidates(name.lower())
        for candidate in candidates:
            if (entry := self._exact.get(candidate)) is not None:
                return entry
        for matches, glob in self._globs:
            for candidate in candidates:
                if matches(candidate):
                    return glob
        return None


_NAMES_REMEMBERED = 256
_LONGEST_REMEMBERED = 200
"""Of the names that clients have asked for, how many, and of how many characters at most."""


def is_glob(entry: str) -> bool:
    """Whether an entry has a wildcard."""
    return "*" in entry or "?" in entry


def _matcher(glob: str) -> Callable[[str], object]:
    # fnmatch's translation cannot backtrack badly; a bracket is no wildcard here.
    return re.compile(fnmatch.translate(glob.lower().replace("[", "[[]"))).match


@dataclass(frozen=True, slots=True, repr=False)
class Secret:
    """A credential that does not print itself."""

    value: str

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__


def host_port(host: str, port: int) -> str:
    """`host:port`, with an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server is: `scheme://host:port` and a path prefix.

    Attributes:
        path: "" or a prefix that starts with "/" and does not end with one.
    """

    scheme: str
    host: str
    port: int
    path: str = ""

    def __str__(self) -> str:
        default = {"http": 80, "https": 443}.get(self.scheme)
        written = f"{self.scheme}://{host_port(self.host, self.port)}"
        return (written.removesuffix(f":{default}") if self.port == default else written) + self.path

    def is_same_server(self, other: "Address") -> bool:
        """Whether both reach the same port of the same host, every name of the local host being equal.

        0.0.0.0 and :: are such names, too: as an address to listen on they include it.
        """
        return self.port == other.port and _canonical(self.host) == _canonical(other.host)


def _canonical(host: str) -> str:
    name = host.lower().rstrip(".")
    try:
        ip = ip_address(name)
    except ValueError:
        return name
    if isinstance(ip, IPv6Address) and ip.ipv4_mapped:
        ip = ip.ipv4_mapped
    return "localhost" if ip.is_loopback or ip.is_unspecified else str(ip)


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Limits in seconds: on a request's upload as a whole, and on one attempt at one server."""

    connect: float = 10.0
    first_byte: float = 600.0
    idle: float = 300.0
    upload: float = 300.0


@dataclass(frozen=True, slots=True)
class Fallback:
    """The keys below `fallback`, which schema.py explains; times are in seconds, 0 is no limit, or never."""

    enabled: bool = False
    to_upstream: bool = False
    on: frozenset[str] = DEFAULT_FALLBACK_KINDS
    models: Patterns = field(default_factory=lambda: Patterns(["*"]))
    excluded: Patterns = field(default_factory=Patterns)
    hold_max: float = 45.0
    opening_max: float = 20.0
    first_byte: float = 0.0
    cooldown_max: CooldownMax = "auto"
    max_per_hour: int = 0
    budget_strict: bool = False
    max_cost_per_day: Decimal = Decimal(0)
    history: HistoryPolicy = "auto"
    sticky: float = 0.0
    spill_at: Decimal = Decimal(0)
    drop_params: bool = True

    def covers(self, model: str) -> bool:
        """Whether requests for this model may fall back."""
        return self.models.match(model) is not None and self.excluded.match(model) is None


@dataclass(frozen=True, slots=True)
class StateStore:
    """Where it is kept what is remembered between requests.

    Attributes:
        path: of SQLite's file; None: the workers of a `serve` meet in one of their own.
        url: of Redis, with its password.
    """

    kind: Literal["memory", "sqlite", "redis"] = "memory"
    path: Path | None = None
    url: Secret | None = None

    def __str__(self) -> str:
        if self.url is None:
            return self.kind if self.path is None else f"{self.kind}:{self.path}"
        parts = urlsplit(self.url.value)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


@dataclass(frozen=True, slots=True)
class Notifier:
    """A webhook or a command that is told of events.

    Attributes:
        url: gets each event as a POST with JSON; it is shown nowhere, since it may hold a token.
        command: a program and its arguments; it gets the event in its environment.
    """

    url: Secret | None = None
    command: tuple[str, ...] = ()

    def __str__(self) -> str:
        return str(self.url) if self.url is not None else shlex.join(self.command)


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that the configuration file says about litellm-hybrid; schema.py explains the keys.

    Attributes:
        base_url: where LiteLLM is; None: nothing can be routed there.
        api_key: LiteLLM's key; `none` in the file is `no_auth`; None: the client's own credential goes
            along.
        no_auth: LiteLLM takes no keys: requests go there without any credential.
        mappings: lower-cased requested name or glob → the name that LiteLLM knows.
        client_keys: who may spend the LiteLLM key.
        upstream_keys: CLIProxyAPI's own `api-keys`, where the file has them beside client_keys.
        state: None: memory, or SQLite where `serve` has several workers.
        upstream: CLIProxyAPI's address; `serve` uses it, in `mitmdump` the mode says it.
        routing: listed models (or all, with passthrough) go to LiteLLM.
        active: anything at all may go to LiteLLM.
    """

    enabled: bool = False
    base_url: Address | None = None
    api_key: Secret | None = None
    no_auth: bool = False
    models: Patterns = field(default_factory=Patterns)
    mappings: Mapping[str, str] = field(default_factory=dict)
    mapping_patterns: Patterns = field(default_factory=Patterns)
    passthrough: bool = False
    fallback: Fallback = field(default_factory=Fallback)
    timeouts: Timeouts = field(default_factory=Timeouts)
    client_keys: tuple[Secret, ...] = ()
    upstream_keys: tuple[Secret, ...] = ()
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = ()
    tls_ca: Path | None = None
    state: StateStore | None = None
    websocket: WebsocketPolicy = "downgrade"
    strip_provider_prefix: StripProviderPrefix = "auto"
    models_list: ModelsListPolicy = "merge"
    upstream: Address = field(default_factory=lambda: Address("http", "127.0.0.1", 8317))
    listen: tuple[str, int] = ("127.0.0.1", 8318)
    workers: int = 1
    listen_without_keys: bool = False
    local_without_key: bool = False
    upstream_paths: tuple[str, ...] = ()
    max_in_flight: int = 0
    grace_period: float = 30.0
    log_format: LogFormat = "text"
    notify: tuple[Notifier, ...] = ()
    routing: bool = field(init=False, repr=False, compare=False)
    active: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        routing = self.enabled and self.base_url is not None
        object.__setattr__(self, "routing", routing)
        object.__setattr__(self, "active", routing or self.fallback.enabled)

    def mapped(self, model: str) -> str | None:
        """The name that `model-mappings` gives LiteLLM for a requested model, if any."""
        entry = self.mapping_patterns.match(model)
        return None if entry is None else self.mappings[entry.lower()]


class NoSettingsError(RuntimeError):
    """There is no valid configuration."""


class SettingsStore:
    """Holds one frozen `Settings`, and swaps the reference at a reload.

    Attributes:
        path: the file that they are from; None: there has been none.
        broken: the file has an error now, and `current` are the last good ones.
    """

    path: Path | None
    broken: bool

    def __init__(self, settings: Settings | None = None) -> None:
        if settings is not None:
            self.current = settings
        self._listeners: list[Callable[[Settings], None]] = []
        self.path = None
        self.broken = False

    @property
    def is_empty(self) -> bool:
        """Whether there are no settings, because the file had an error at the start."""
        return "current" not in vars(self)

    @cached_property  # a plain attribute while there are some: a request asks for it a dozen times
    def current(self) -> Settings:
        """Return those in force.

        Raises:
            NoSettingsError: there are none.
        """
        raise NoSettingsError("there is no valid configuration")

    def subscribe(self, listener: Callable[[Settings], None]) -> None:
        """Have a listener called with each new Settings, once they are in force."""
        self._listeners.append(listener)

    def publish(self, settings: Settings) -> list[Exception]:
        """Put settings in force and tell all listeners; return what some of them raised."""
        self.current, self.broken = settings, False
        raised: list[Exception] = []
        for listener in self._listeners:
            try:
                listener(settings)
            except Exception as e:  # noqa: BLE001 (one must not keep the others from new settings)
                raised.append(e)
        return raised

    def clear(self) -> None:
        """Have no settings: nothing is forwarded."""
        vars(self).pop("current", None)
        self.path, self.broken = None, False
