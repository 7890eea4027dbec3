"""What is wrong, or worth a word, in settings that are each fine by themselves."""

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from litellm_hybrid.config.addresses import same_server
from litellm_hybrid.config.settings import Address, Settings

Code = Literal[
    "invalid",
    "routing-without-base-url",
    "routing-without-models",
    "passthrough-without-enabled",
    "fallback-off",
    "base-url-ends-in-v1",
    "unreadable-client-key",
    "misspelt-key",
    "misplaced-key",
    "upstream-retries",
    "upstream-keepalive",
    "upstream-headers",
]
"""What a warning is about, for programs; every error is `invalid`."""


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """An error or a warning about the file; as a string it is one printable line.

    Attributes:
        line: where, from 1; 0: nowhere in particular.
        path: the key as the file spells it; "": none in particular.
        message: what is wrong; behind the first `; ` what to do about it.
        source: the file's name.
    """

    line: int
    path: str
    message: str
    code: Code = "invalid"
    source: str = ""

    def __str__(self) -> str:
        where = f"{self.source}:{self.line}" if self.line else self.source
        line = ": ".join(part for part in (where, self.path, self.message) if part)
        # A quoted key may have any character in it.
        return "".join(
            char if char.isprintable() else char.encode("unicode_escape").decode() for char in line
        )


class Location(NamedTuple):
    """Where the file gives a setting: its line, from 1, and the key as it is spelt there."""

    line: int
    path: str


type Locations = Mapping[str, Location]
"""Namespaced name → where the file gives it; a setting that it does not give is missing."""


def errors(settings: Settings, locations: Locations, named: Container[str]) -> Iterator[Diagnostic]:
    """Settings that contradict each other.

    Args:
        settings: what the file says.
        locations: where, for each setting that could be read.
        named: the settings that the file has, those that could not be read too: they are no longer missing.
    """
    if settings.fallback.enabled:
        here = locations["fallback.enabled"]
        if "base-url" not in named:
            yield Diagnostic(*here, "fallback needs LiteLLM's address; set base-url")
        if "api-key" not in named:
            yield Diagnostic(
                *here, "fallback needs LiteLLM's key; set api-key (`none` for a LiteLLM that takes no keys)"
            )
    yield from _loops(settings, locations)


def warnings(settings: Settings, locations: Locations) -> Iterator[Diagnostic]:
    """Settings that have no effect, and what a start should say."""
    if settings.enabled and not settings.base_url:
        yield Diagnostic(
            *locations["enabled"],
            "has no effect without base-url; nothing goes to LiteLLM",
            "routing-without-base-url",
        )
    if settings.routing and not settings.models and not settings.passthrough:
        yield Diagnostic(
            *locations["enabled"],
            "has no effect while models is empty and passthrough-mode is off",
            "routing-without-models",
        )
    if settings.passthrough and not settings.enabled:
        yield Diagnostic(
            *locations["passthrough-mode"], "has no effect without enabled", "passthrough-without-enabled"
        )
    if settings.base_url and not settings.fallback.enabled:
        yield Diagnostic(
            0,
            "",
            "fallback is off: quota failures reach the client; fallback.enabled replays them to LiteLLM",
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
            if same_server(address, other_address):
                yield Diagnostic(
                    *locations[name],
                    f"is the same server as {locations[other].path} (line {locations[other].line}); "
                    "LiteLLM, CLIProxyAPI and this proxy each have a port of their own",
                )
