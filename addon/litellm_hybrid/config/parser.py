"""The configuration file: text in, one frozen `Settings` out, or every problem that it has.

The file may be CLIProxyAPI's own config.yaml, whose keys are left alone; what some say of its address, its
client keys and its waits is read as it is, without `${VAR}`. Our keys come in two forms, namespaced below
`extensions.litellm` and flat as in the fork (`litellm-…`); schema.py is the table of them.
"""

import re
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from litellm_hybrid.config.converters import flag, parse_listen
from litellm_hybrid.config.schema import (
    BY_FLAT,
    BY_NAME,
    FLAT_PREFIX,
    NAMESPACE,
    SECTIONS,
    Key,
    suggest_flat,
    suggest_namespaced,
    suggest_top_level,
)
from litellm_hybrid.config.settings import Address, Fallback, Patterns, Secret, Settings, Timeouts
from litellm_hybrid.config.yaml_nodes import BadValueError, Diagnostic, Location, Locations, Value, compose

UPSTREAM_KEYS = frozenset({"host", "port", "tls", "api-keys"})
"""The top-level keys of CLIProxyAPI that the settings depend on."""

_HINT_KEYS = frozenset({"max-retry-interval", "nonstream-keepalive-interval", "passthrough-headers"})
"""Those that only have a word for the user."""

_TEMPLATE_KEY = re.compile(r"your-api-key(-\d+)?")
"""The `api-keys` of CLIProxyAPI's config.example.yaml: everybody knows them."""

_IS_TEMPLATE = "is a key of CLIProxyAPI's example file, which everybody knows; put keys of your own there"

_DEFAULT_UPSTREAM = Address("http", "127.0.0.1", 8317)
_EVERY_INTERFACE = ("", "0.0.0.0", "::", "[::]")  # noqa: S104


class ConfigError(ValueError):
    """A configuration file that cannot be used.

    Attributes:
        problems: a line for each: `config.yaml:12: extensions.litellm.modles: unknown key; …`.
    """

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


@dataclass(frozen=True, slots=True)
class Parsed:
    """What a file says, its warnings in the order of its lines.

    Attributes:
        hints: what `check` and `doctor` say besides, and a start does not.
        has_keys, has_upstream_keys: whether any setting of ours, or of CLIProxyAPI's, is in the file.
    """

    settings: Settings
    warnings: tuple[Diagnostic, ...]
    has_keys: bool
    hints: tuple[Diagnostic, ...] = field(default=(), compare=False)
    has_upstream_keys: bool = field(default=False, compare=False)


def parse(text: str, *, source: str, env: Mapping[str, str]) -> Parsed:
    """The settings in a YAML file's content; with nothing in it every setting has its default.

    `source` is the file's name, for messages; `${VAR}` in our settings is looked up in `env`.

    Raises:
        ConfigError: all problems of the file, in the order of its lines.
    """
    keys = KeyCollector()
    try:
        root = compose(text)
    except BadValueError as e:
        keys.report("", e)
        root = None
    if root is not None and not (value := Value(root, env)).is_null:
        keys.top_level(value)

    values, locations = _converted(keys)
    settings = _settings(values, keys, locations)
    named = {key.name for key, _, _ in keys.given}
    if problems := [*keys.problems, *_errors(settings, locations, named)]:
        raise ConfigError(str(problem) for problem in _sorted(source, problems))
    warnings = [*keys.warnings, *_warnings(settings, locations)]
    hints = _sorted(source, _upstream_hints(keys.upstream))
    return Parsed(
        settings,
        _sorted(source, warnings),
        has_keys=bool(locations),
        hints=hints,
        has_upstream_keys=bool(keys.upstream),
    )


def _sorted(source: str, found: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    return tuple(replace(one, source=source) for one in sorted(found, key=lambda one: one.line))


_OUR_OWN = frozenset(name.partition(".")[0] for name in BY_NAME)
"""The first parts of our namespaced keys; CLIProxyAPI has no key of such a name."""


@dataclass(slots=True)
class KeyCollector:
    """Walks over a file and gathers which of its keys are ours, in either form, and which are mistakes.

    Attributes:
        given: (setting, where, what) for each of our keys, in the order of the file.
        upstream: CLIProxyAPI's own top-level keys that say something about it.
    """

    given: list[tuple[Key, Location, Value]] = field(default_factory=list)
    upstream: dict[str, Value] = field(default_factory=dict)
    problems: list[Diagnostic] = field(default_factory=list)
    warnings: list[Diagnostic] = field(default_factory=list)

    def report(self, path: str, error: BadValueError) -> None:
        """Add the problems of `error` under the key `path`."""
        self.problems += [Diagnostic(line, path, message) for line, message in error.problems]

    def top_level(self, root: Value) -> None:
        """Walk over the whole file."""
        for name, key, value in self._pairs("", root):
            if name == "extensions":
                self._extensions(value)
            elif name in UPSTREAM_KEYS | _HINT_KEYS:
                # CLIProxyAPI does not know `${VAR}`: what it takes by its letters is no variable for us.
                self.upstream[name] = replace(value, env=None)
            elif name in BY_FLAT:
                self._take(BY_FLAT[name], Location(key.line, name), value)
            elif name.startswith(FLAT_PREFIX):
                self.problems.append(Diagnostic(key.line, name, f"unknown key; {suggest_flat(name)}"))
            elif name in _OUR_OWN:
                # CLIProxyAPI moves comments to column 0 where it rewrites its file.
                message = f"is not read at the top of the file; indent it below `{NAMESPACE.rstrip('.')}`"
                self.warnings.append(Diagnostic(key.line, name, message, "misplaced-key"))
            elif known := suggest_top_level(name):
                message = f"is not read; did you mean `{known}`?"
                self.warnings.append(Diagnostic(key.line, name, message, "misspelt-key"))

    def _extensions(self, extensions: Value) -> None:
        if extensions.is_null:
            return
        for name, _, value in self._pairs("extensions", extensions):
            if name == "litellm":
                self._section("", value)

    def _section(self, prefix: str, section: Value) -> None:
        if section.is_null:  # all that was in it is commented out
            return
        for last, key, value in self._pairs((NAMESPACE + prefix).rstrip("."), section):
            name = prefix + last
            location = Location(key.line, NAMESPACE + name)
            if name in SECTIONS:
                self._section(name + ".", value)
            elif name not in BY_NAME:
                self.problems.append(Diagnostic(*location, f"unknown key; {suggest_namespaced(name)}"))
            elif "." in last:
                outer, _, inner = last.partition(".")
                message = f"unknown key; write `{inner}` in a mapping `{outer}`"
                self.problems.append(Diagnostic(*location, message))
            else:
                self._take(BY_NAME[name], location, value)

    def _take(self, key: Key, location: Location, value: Value) -> None:
        self.given.append((key, location, replace(value, secret=key.secret)))

    def _pairs(self, path: str, mapping: Value) -> Iterator[tuple[str, Value, Value]]:
        """(name, key, value) of a mapping's keys; one of ours that is there twice is reported instead."""
        lines: dict[str, int] = {}
        try:
            pairs = list(mapping.pairs())
        except BadValueError as e:
            self.report(path, e)
            return
        for key, value in pairs:
            name = key.name
            if name in lines and _is_ours(path, name):
                message = f"is there already, on line {lines[name]}; keep one"
                self.problems.append(Diagnostic(key.line, f"{path}.{name}".lstrip("."), message))
                continue
            lines[name] = key.line
            yield name, key, value


def _is_ours(path: str, name: str) -> bool:
    if path == "":
        return name in {"extensions", *UPSTREAM_KEYS} or name.startswith(FLAT_PREFIX)
    return path.startswith(NAMESPACE.rstrip(".")) or name == "litellm"


def _converted(keys: KeyCollector) -> tuple[dict[str, Any], dict[str, Location]]:
    """Attribute of Settings → value, and namespaced name → where the file gives it."""
    values: dict[str, Any] = {}
    locations: dict[str, Location] = {}
    for key, location, value in keys.given:
        try:
            converted = key.convert(value)
        except BadValueError as e:
            keys.report(location.path, e)
            continue
        first = locations.setdefault(key.name, location)
        if values.setdefault(key.field, converted) != converted:
            message = f"says something else than {first.path} on line {first.line}; keep one"
            keys.problems.append(Diagnostic(*location, message))
    return values, locations


def _settings(values: dict[str, Any], keys: KeyCollector, locations: Locations) -> Settings:
    plain: dict[str, Any] = {}
    parts: dict[str, dict[str, Any]] = {"fallback": {}, "timeouts": {}}
    for name, value in values.items():
        section, _, attribute = name.rpartition(".")
        (parts[section] if section else plain)[attribute] = value
    if "api_key" in plain:
        plain["no_auth"] = plain["api_key"] is None
    if mappings := plain.pop("mappings", None):
        plain["mappings"] = {name.lower(): target for name, target in mappings.items()}
        plain["mapping_patterns"] = Patterns(mappings)
    if (base_url := plain.get("base_url")) and base_url.path.endswith("/v1"):
        plain["base_url"] = replace(base_url, path=base_url.path.removesuffix("/v1").rstrip("/"))
        message = "the `/v1` at the end is dropped, every request brings its own; write base-url without it"
        keys.warnings.append(Diagnostic(*locations["base-url"], message, "base-url-ends-in-v1"))
    if any(_TEMPLATE_KEY.fullmatch(key.value) for key in plain.get("client_keys", ())):
        keys.problems.append(Diagnostic(*locations["client-api-keys"], _IS_TEMPLATE))
    upstream_keys, found = _upstream_client_keys(keys.upstream)
    if "client_keys" in plain:
        plain["upstream_keys"] = upstream_keys
    else:
        plain["client_keys"] = upstream_keys
        keys.problems += [one for one in found if one.code == "invalid"]
        keys.warnings += [one for one in found if one.code != "invalid"]
    plain.setdefault("upstream", _upstream_address(keys.upstream))
    return Settings(**plain, fallback=Fallback(**parts["fallback"]), timeouts=Timeouts(**parts["timeouts"]))


def _errors(settings: Settings, locations: Locations, named: Container[str]) -> Iterator[Diagnostic]:
    """Settings that contradict each other; what is `named` and could not be read is not missing."""
    if settings.fallback.enabled:
        here = locations["fallback.enabled"]
        if "base-url" not in named:
            yield Diagnostic(*here, "fallback needs LiteLLM's address; set base-url")
        if "api-key" not in named:
            yield Diagnostic(
                *here, "fallback needs LiteLLM's key; set api-key (`none` for a LiteLLM that takes no keys)"
            )
    yield from _loops(settings, locations)


def _warnings(settings: Settings, locations: Locations) -> Iterator[Diagnostic]:
    """Settings that have no effect, and what a start should say."""
    if settings.enabled and not settings.base_url:
        yield Diagnostic(
            *locations["enabled"],
            "has no effect without base-url; set it to LiteLLM's address: `base-url: http://127.0.0.1:4000`",
            "routing-without-base-url",
        )
    if settings.routing and not settings.models and not settings.passthrough:
        yield Diagnostic(
            *locations["enabled"],
            "has no effect while models is empty and passthrough-mode is off; `models: [NAME, …]`",
            "routing-without-models",
        )
    if settings.passthrough and not settings.enabled:
        yield Diagnostic(
            *locations["passthrough-mode"],
            "has no effect without enabled; `enabled: true`, or take passthrough-mode out",
            "passthrough-without-enabled",
        )
    if settings.base_url and not settings.fallback.enabled:
        yield Diagnostic(
            0,
            "",
            "fallback is off: quota failures reach the client; `fallback: {enabled: true}` turns it on",
            "fallback-off",
        )


def _loops(settings: Settings, locations: Locations) -> Iterator[Diagnostic]:
    # Only what the file says. mitmdump has its addresses from its mode, and the addon compares those.
    addresses = {
        "base-url": settings.base_url,
        "upstream-url": settings.upstream,
        "listen": Address("http", *settings.listen),
    }
    given = [(name, address) for name, address in addresses.items() if address and name in locations]
    for index, (name, address) in enumerate(given):
        for other, other_address in given[index + 1 :]:
            if address.is_same_server(other_address):
                yield Diagnostic(
                    *locations[name],
                    f"is the same server as {locations[other].path} (line {locations[other].line}); "
                    "LiteLLM, CLIProxyAPI and this proxy each have a port of their own",
                )


# -- what CLIProxyAPI's own keys say -------------------------------------------------


def _upstream_address(top: Mapping[str, Value]) -> Address:
    """CLIProxyAPI's address by its `host`, `port` and `tls.enable`; what is missing or odd is the default."""
    host = top["host"].name.strip() if "host" in top else ""
    if host in _EVERY_INTERFACE:
        host = _DEFAULT_UPSTREAM.host
    if ":" in host and not host.startswith("["):
        host = f"[{host}]"
    port = top["port"].name if "port" in top else str(_DEFAULT_UPSTREAM.port)
    try:
        tls = {key.name: value for key, value in top["tls"].pairs()} if "tls" in top else {}
        scheme = "https" if "enable" in tls and flag(tls["enable"]) else _DEFAULT_UPSTREAM.scheme
        return Address(scheme, *parse_listen(f"{host}:{port}"))
    except ValueError:
        return _DEFAULT_UPSTREAM


def _upstream_client_keys(top: Mapping[str, Value]) -> tuple[tuple[Secret, ...], tuple[Diagnostic, ...]]:
    """The client keys in CLIProxyAPI's `api-keys`, and what is wrong with it."""
    keys: list[Secret] = []
    found: list[Diagnostic] = []
    entries = top.get("api-keys")
    try:
        items = [] if entries is None or entries.is_null else list(entries.items())
    except BadValueError as e:
        message = "is no list; no client key is read from it"
        return (), (Diagnostic(e.problems[0][0], "api-keys", message, "unreadable-client-key"),)
    for item in items:
        key = item.name.strip()
        if item.tag != "str" or not key:
            message = "an entry that is no text is left out; quote it"
            found.append(Diagnostic(item.line, "api-keys", message, "unreadable-client-key"))
        elif _TEMPLATE_KEY.fullmatch(key):
            found.append(Diagnostic(item.line, "api-keys", _IS_TEMPLATE))
        else:
            keys.append(Secret(key))
    return tuple(keys), tuple(found)


def _upstream_hints(top: Mapping[str, Value]) -> Iterator[Diagnostic]:
    """What CLIProxyAPI's settings could say better for a proxy in front of it, if the file has any."""
    if not top:
        return
    wait = top.get("max-retry-interval")
    if wait is not None and _is_above_zero(wait):
        message = (
            f"{wait.name}: CLIProxyAPI tries again for up to half a minute before it fails, and "
            "clients wait that long to fall back; `max-retry-interval: 0`, other accounts are still tried"
        )
        yield Diagnostic(wait.line, "max-retry-interval", message, "upstream-retries")
    blank = top.get("nonstream-keepalive-interval")
    if blank is not None and _is_above_zero(blank):
        message = (
            f"{blank.name}: CLIProxyAPI tells every failure of a whole request under status 200; "
            "`nonstream-keepalive-interval: 0`, so that failures have their status"
        )
        yield Diagnostic(blank.line, "nonstream-keepalive-interval", message, "upstream-keepalive")
    passed = top.get("passthrough-headers")
    if passed is None or passed.name.strip().lower() not in ("true", "yes", "on"):
        message = (
            "CLIProxyAPI keeps the providers' headers to itself, which say how much of a quota is used; "
            "`passthrough-headers: true`"
        )
        line = passed.line if passed is not None else 0
        yield Diagnostic(line, "passthrough-headers", message, "upstream-headers")


def _is_above_zero(value: Value) -> bool:
    try:
        return float(value.name) > 0
    except ValueError:
        return False
