"""The walk over the file: which of its keys are ours, in either form, and which are mistakes."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from litellm_hybrid.config.cliproxyapi import UPSTREAM_KEYS
from litellm_hybrid.config.schema import (
    BY_FLAT,
    BY_NAME,
    FLAT_PREFIX,
    NAMESPACE,
    SECTIONS,
    Key,
    nearest_flat,
    nearest_namespaced,
    resembles,
)
from litellm_hybrid.config.validation import Finding, Place
from litellm_hybrid.config.yaml_nodes import BadValueError, Value

_SECTION = NAMESPACE.rstrip(".")


@dataclass(slots=True)
class Reading:
    """What the walk over a file gathers.

    Attributes:
        given: (setting, where, what) for each of our keys, in the order of the file.
        upstream: CLIProxyAPI's own top-level keys that say something about it.
    """

    given: list[tuple[Key, Place, Value]] = field(default_factory=list)
    upstream: dict[str, Value] = field(default_factory=dict)
    problems: list[Finding] = field(default_factory=list)
    warnings: list[Finding] = field(default_factory=list)

    def report(self, path: str, error: BadValueError) -> None:
        """Adds the problems of `error` under the key `path`."""
        self.problems += [Finding(line, path, message) for line, message in error.problems]

    def top_level(self, root: Value) -> None:
        """Walks the whole file."""
        for name, key, value in self._pairs("", root):
            if name == "extensions":
                self._extensions(value)
            elif name in UPSTREAM_KEYS:
                # CLIProxyAPI does not know `${VAR}`: what it takes by its letters is no variable for us.
                self.upstream[name] = replace(value, env=None)
            elif name in BY_FLAT:
                self._take(BY_FLAT[name], Place(key.line, name), value)
            elif name.startswith(FLAT_PREFIX):
                self.problems.append(Finding(key.line, name, f"unknown key; {nearest_flat(name)}"))
            elif similar := resembles(name):
                self.warnings.append(Finding(key.line, name, f"is not read; did you mean `{similar}`?"))

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
            place = Place(key.line, NAMESPACE + name)
            if name in SECTIONS:
                self._section(name + ".", value)
            elif name not in BY_NAME:
                self.problems.append(Finding(*place, f"unknown key; {nearest_namespaced(name)}"))
            elif "." in last:
                outer, _, inner = last.partition(".")
                self.problems.append(Finding(*place, f"unknown key; write `{inner}` in a mapping `{outer}`"))
            else:
                self._take(BY_NAME[name], place, value)

    def _take(self, key: Key, place: Place, value: Value) -> None:
        self.given.append((key, place, replace(value, secret=key.secret)))

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
                self.problems.append(
                    Finding(
                        key.line,
                        f"{path}.{name}".lstrip("."),
                        f"is there already, on line {lines[name]}; keep one",
                    )
                )
                continue
            lines[name] = key.line
            yield name, key, value


def _is_ours(path: str, name: str) -> bool:
    if path == "":
        return name in {"extensions", *UPSTREAM_KEYS} or name.startswith(FLAT_PREFIX)
    return path.startswith(_SECTION) or name == "litellm"
