"""The configuration file: text in, one frozen `Settings` out, or every problem that it has.

The file may be CLIProxyAPI's own config.yaml: keys that are not ours are left
alone. Ours come in two forms, namespaced below `extensions.litellm` and flat as
in the fork (`litellm-…`); schema.py is the table of them.
"""

from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from litellm_hybrid.config.cliproxyapi import (
    HINT_KEYS,
    IS_TEMPLATE,
    TEMPLATE_KEY,
    UPSTREAM_KEYS,
    upstream_address,
    upstream_client_keys,
    upstream_hints,
)
from litellm_hybrid.config.model_patterns import Patterns
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
from litellm_hybrid.config.settings import Address, Fallback, Settings, Timeouts
from litellm_hybrid.config.yaml_nodes import BadValueError, Diagnostic, Location, Locations, Value, compose


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

    Args:
        text: the file's content.
        source: the file's name, for messages.
        env: where `${VAR}` in our settings is looked up.

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
    hints = _sorted(source, upstream_hints(keys.upstream))
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
            elif name in UPSTREAM_KEYS | HINT_KEYS:
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
    if any(TEMPLATE_KEY.fullmatch(key.value) for key in plain.get("client_keys", ())):
        keys.problems.append(Diagnostic(*locations["client-api-keys"], IS_TEMPLATE))
    upstream_keys, found = upstream_client_keys(keys.upstream)
    if "client_keys" in plain:
        plain["upstream_keys"] = upstream_keys
    else:
        plain["client_keys"] = upstream_keys
        keys.problems += [one for one in found if one.code == "invalid"]
        keys.warnings += [one for one in found if one.code != "invalid"]
    plain.setdefault("upstream", upstream_address(keys.upstream))
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
