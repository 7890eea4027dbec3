"""What is wrong, or worth a word, in settings that are each fine by themselves."""

from collections.abc import Container, Iterator, Mapping
from typing import NamedTuple

from litellm_hybrid.config.addresses import same_server
from litellm_hybrid.config.settings import Address, Settings


class Finding(NamedTuple):
    """One thing to say about the file.

    Attributes:
        line: where, from 1; 0: nowhere in particular.
        path: the key as the file spells it; "": none in particular.
    """

    line: int
    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


class Place(NamedTuple):
    """Where the file gives a setting: its line, from 1, and the key as it is spelt there."""

    line: int
    path: str


type Places = Mapping[str, Place]
"""Namespaced name → where the file gives it; a setting that it does not give is missing."""


def errors(settings: Settings, places: Places, named: Container[str]) -> Iterator[Finding]:
    """Settings that contradict each other.

    Args:
        settings: what the file says.
        places: where, for each setting that could be read.
        named: the settings that the file has, those that could not be read too: they are no longer missing.
    """
    if settings.fallback.enabled:
        here = places["fallback.enabled"]
        if "base-url" not in named:
            yield Finding(*here, "fallback needs LiteLLM's address; set base-url")
        if "api-key" not in named:
            yield Finding(
                *here, "fallback needs LiteLLM's key; set api-key (`none` for a LiteLLM that takes no keys)"
            )
    yield from _loops(settings, places)


def warnings(settings: Settings, places: Places) -> Iterator[Finding]:
    """Settings that have no effect, and what a start should say."""
    if settings.enabled and not settings.base_url:
        yield Finding(*places["enabled"], "has no effect without base-url; nothing goes to LiteLLM")
    if settings.routing and not settings.models and not settings.passthrough:
        yield Finding(*places["enabled"], "has no effect while models is empty and passthrough-mode is off")
    if settings.passthrough and not settings.enabled:
        yield Finding(*places["passthrough-mode"], "has no effect without enabled")
    if settings.base_url and not settings.fallback.enabled:
        yield Finding(
            0,
            "",
            "fallback is off: quota failures reach the client; fallback.enabled replays them to LiteLLM",
        )


def _loops(settings: Settings, places: Places) -> Iterator[Finding]:
    # Only what the file says. mitmdump has its addresses from its mode, and the addon compares those.
    addresses = {
        "base-url": settings.base_url,
        "upstream-url": settings.upstream,
        "listen": Address("http", *settings.listen),
    }
    given = [(name, address) for name, address in addresses.items() if address and name in places]
    for index, (name, address) in enumerate(given):
        for other, other_address in given[index + 1 :]:
            if same_server(address, other_address):
                yield Finding(
                    *places[name],
                    f"is the same server as {places[other].path} (line {places[other].line}); "
                    "LiteLLM, CLIProxyAPI and this proxy each have a port of their own",
                )
