"""The configuration file: text in, one frozen `Settings` out, or every problem that it has.

The file may be CLIProxyAPI's own config.yaml: keys that are not ours are left
alone. Ours come in two forms, namespaced below `extensions.litellm` and flat as
in the fork (`litellm-…`); config_keys.py is the table of them.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from litellm_hybrid.config import validation as config_checks
from litellm_hybrid.config.addresses import same_server
from litellm_hybrid.config.cliproxyapi import upstream_address, upstream_client_keys
from litellm_hybrid.config.key_walker import Reading
from litellm_hybrid.config.model_patterns import Patterns
from litellm_hybrid.config.report import changes, in_force
from litellm_hybrid.config.settings import Fallback, Settings, Timeouts
from litellm_hybrid.config.validation import Finding, Place
from litellm_hybrid.config.yaml_nodes import BadValueError, Value, compose

__all__ = ["ConfigError", "Parsed", "changes", "in_force", "parse", "same_server"]


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
    """What a file says.

    Attributes:
        warnings: lines like those of ConfigError, for the log.
        has_keys: whether any setting of ours is in the file.
    """

    settings: Settings
    warnings: tuple[str, ...]
    has_keys: bool


def parse(text: str, *, source: str, env: Mapping[str, str]) -> Parsed:
    """The settings in the YAML file whose content is `text`.

    Args:
        text: the file's content; with nothing in it every setting has its default.
        source: the file's name, for messages.
        env: where `${VAR}` in our settings is looked up.

    Raises:
        ConfigError: all problems of the file, in the order of its lines.
    """
    reading = Reading()
    try:
        root = compose(text)
    except BadValueError as e:
        reading.report("", e)
        root = None
    if root is not None and not (value := Value(root, env)).is_null:
        reading.top_level(value)

    values, places = _converted(reading)
    settings = _settings(values, reading, places)
    named = {key.name for key, _, _ in reading.given}
    if problems := [*reading.problems, *config_checks.errors(settings, places, named)]:
        raise ConfigError(_lines(source, problems))
    warnings = [*reading.warnings, *config_checks.warnings(settings, places)]
    return Parsed(settings, _lines(source, warnings), has_keys=bool(places))


def _lines(source: str, findings: Iterable[Finding]) -> tuple[str, ...]:
    return tuple(
        f"{source}:{found.line}: {_one_line(found)}" if found.line else f"{source}: {_one_line(found)}"
        for found in sorted(findings, key=lambda found: found.line)
    )


def _one_line(found: Finding) -> str:
    # A quoted key may have any character in it; a message is one line of a log.
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in str(found)
    )


def _converted(reading: Reading) -> tuple[dict[str, Any], dict[str, Place]]:
    """Attribute of Settings → value, and namespaced name → where the file gives it."""
    values: dict[str, Any] = {}
    places: dict[str, Place] = {}
    for key, place, value in reading.given:
        try:
            converted = key.convert(value)
        except BadValueError as e:
            reading.report(place.path, e)
            continue
        first = places.setdefault(key.name, place)
        if values.setdefault(key.field, converted) != converted:
            reading.problems.append(
                Finding(*place, f"says something else than {first.path} on line {first.line}; keep one")
            )
    return values, places


def _settings(values: dict[str, Any], reading: Reading, places: Mapping[str, Place]) -> Settings:
    fallback = Fallback(**_below("fallback.", values))
    timeouts = Timeouts(**_below("timeouts.", values))
    plain = {field: value for field, value in values.items() if "." not in field}
    if "api_key" in plain:
        plain["no_auth"] = plain["api_key"] is None
    if mappings := plain.pop("mappings", None):
        plain["mappings"] = {name.lower(): target for name, target in mappings.items()}
        plain["mapping_patterns"] = Patterns(mappings)
    if (base_url := plain.get("base_url")) and base_url.path.endswith("/v1"):
        plain["base_url"] = replace(base_url, path=base_url.path.removesuffix("/v1").rstrip("/"))
        reading.warnings.append(
            Finding(*places["base-url"], "the `/v1` at the end is dropped; every request brings its own")
        )
    if "client_keys" not in plain:
        plain["client_keys"], findings = upstream_client_keys(reading.upstream)
        reading.warnings += findings
    plain.setdefault("upstream", upstream_address(reading.upstream))
    return Settings(**plain, fallback=fallback, timeouts=timeouts)


def _below(prefix: str, values: Mapping[str, Any]) -> dict[str, Any]:
    return {field.removeprefix(prefix): value for field, value in values.items() if field.startswith(prefix)}
