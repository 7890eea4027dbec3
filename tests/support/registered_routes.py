"""The routes that CLIProxyAPI registers, and who may reach each: tests/security/cliproxyapi_routes.txt."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from support.processes import ROOT

TABLE = ROOT / "tests" / "security" / "cliproxyapi_routes.txt"
LISTED = "gpt-5"
"""The model that paths name."""

_ANY = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
"""Gin's `Any`, without CONNECT and TRACE, which no proxy passes on."""


@dataclass(frozen=True, slots=True)
class Registered:
    """A row of the table, for one of its methods.

    Attributes:
        who: "anybody", "upstream", "litellm" or "machine".
        versions: those that say so themselves at their start: "6.10", "7.1", "7.2".
        pattern: the path as Gin has it.
    """

    who: str
    versions: tuple[str, ...]
    method: str
    pattern: str

    @property
    def path(self) -> str:
        """A path that the route serves."""
        action = f"{LISTED}:generateContent" if self.method == "POST" else LISTED
        path = self.pattern.replace(":provider", "openai").replace("*action", action)
        path = path.replace("/v1internal:method", "/v1internal:generateContent")
        return re.sub(r"(?<=/)[:*]\w+", "x", path)


def table() -> list[Registered]:
    """All of it."""
    return [
        Registered(who, versions, method, path)
        for who, versions, methods, path in _rows()
        for method in methods
    ]


def registered_by(version: str) -> dict[str, set[str]]:
    """What a version says that it registers: path → methods, or {"ANY"}."""
    found: dict[str, set[str]] = {}
    for _, versions, methods, path in _rows(any_as=("ANY",)):
        if version in versions:
            found.setdefault(path, set()).update(methods)
    return found


def _rows(any_as: tuple[str, ...] = _ANY) -> Iterator[tuple[str, tuple[str, ...], tuple[str, ...], str]]:
    for line in TABLE.read_text().splitlines():
        if line and not line.startswith("#"):
            who, versions, methods, path = line.split()
            split = any_as if methods == "ANY" else tuple(methods.split(","))
            yield who, tuple(versions.replace("-", "").split(",")), split, path
