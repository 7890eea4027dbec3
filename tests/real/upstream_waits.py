"""How long CLIProxyAPI retries before it says that a quota is used up, with settings of its own."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from time import monotonic

from real.apis import ask, question
from real.cliproxyapi import cliproxyapi
from real.corpus import ProviderError
from real.providers import Providers, mark
from real.report import Wait
from support.servers import in_thread

JSON = {"Content-Type": "application/json"}


def _claude(name: str, retry_after: str = "") -> ProviderError:
    headers = JSON | ({"retry-after": retry_after} if retry_after else {})
    body = (
        '{"type":"error","error":{"type":"rate_limit_error","message":"This would exceed your rate limit."}}'
    )
    return ProviderError(name, "anthropic", "quota", 429, headers, (body,))


def _codex(name: str, seconds: int) -> ProviderError:
    body = '{"error":{"type":"usage_limit_reached","message":"The usage limit has been reached","resets_in_seconds":%d}}'
    return ProviderError(name, "codex", "quota", 429, JSON, (body % seconds,))


QUESTIONS = {
    "no wait stated": _claude("bare"),
    "reset in 5 s": _codex("soon", 5),
    "reset in 1 h": _codex("hour", 3600),
}
"""What is answered → the answer."""

EXAMPLE: Mapping[str, object] = {"request-retry": 3, "max-retry-interval": 30, "disable-cooling": False}
"""As in CLIProxyAPI's example configuration."""

NO_RETRY: Mapping[str, object] = {**EXAMPLE, "max-retry-interval": 0}


def measure_waits(binary: Path, folder: Path) -> list[Wait]:
    """The first and the second question after each, with both settings; all at the same time."""
    found = []
    for name, extra in (("example settings", EXAMPLE), ("max-retry-interval: 0", NO_RETRY)):
        with (
            in_thread(Providers(QUESTIONS.values())) as providers,
            cliproxyapi(
                binary, providers, _models(), folder / name.split(":")[0].replace(" ", "-"), extra=extra
            ) as up,
        ):
            found += asyncio.run(_ask(up.port, name))
    return found


def _models() -> dict[str, list[str]]:
    models: dict[str, list[str]] = {"anthropic": [], "codex": []}
    for case in QUESTIONS.values():
        models[case.provider].append(f"wait-{case.name}")
    return models


async def _ask(port: int, settings: str) -> list[Wait]:
    async def twice(what: str, case: ProviderError) -> list[Wait]:
        found = []
        for turn in ("first", "second"):
            began = monotonic()
            asked = question("messages", f"wait-{case.name}", stream=False, text=mark(case.name, turn))
            await ask(port, asked, within=110)
            found.append(Wait(f"{what}, {turn} request", settings, monotonic() - began))
        return found

    lists = await asyncio.gather(*(twice(what, case) for what, case in QUESTIONS.items()))
    return [wait for waits in lists for wait in waits]
