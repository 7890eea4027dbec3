"""Everything between a client and a provider, on loopback: LiteLLM (scripted), the product, CLIProxyAPI, providers."""

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from real.apis import CLIENT_KEY
from real.cliproxyapi import CLIProxyAPI, Models, cliproxyapi
from real.corpus import ProviderError
from real.providers import MARK, Providers, good_answer, good_events
from support.ports import free_port
from support.processes import MASTER_KEY, Process, running
from support.servers import Reply, Server, in_thread
from support.wire import Request

REPLAYED = "served by LiteLLM"


class LiteLLM(Server):
    """A stand-in that answers on all four APIs, and notes what it was asked.

    Attributes:
        asked: model and path of each POST, and the case that its text names ("" for none).
    """

    def __init__(self) -> None:
        super().__init__(self._reply)
        self.asked: list[tuple[str, str, str]] = []

    async def _reply(self, request: Request, reply: Reply) -> None:
        self.requests.clear()
        if request.method != "POST":
            await reply.json(200, {"object": "list", "data": []})
            return
        found = MARK.search(request.body)
        case = f"{found[1].decode()}-in-{found[2].decode()}" if found else ""
        body = request.json() if request.body else {}
        self.asked.append((str(body.get("model")), request.path, case))
        if "count_tokens" in request.path:
            await reply.json(200, {"input_tokens": 7})
            return
        style = (
            "gemini" if "enerateContent" in request.path else request.path.rpartition("/v1/")[2].split("/")[0]
        )
        if body.get("stream") or "stream" in request.path:
            await reply.events(good_events(style, REPLAYED))
        else:
            await reply.json(200, good_answer(style, REPLAYED))


@dataclass(slots=True)
class Product:
    """litellm-hybrid in front of a CLIProxyAPI."""

    process: Process

    @property
    def port(self) -> int:
        """Where it listens on 127.0.0.1."""
        return self.process.port

    def log(self) -> list[dict[str, Any]]:
        """Its log lines so far, parsed."""
        found = (line for line in self.process.output().splitlines() if line.startswith("{"))
        return [json.loads(line) for line in found]

    def fallbacks(self) -> dict[str, dict[str, Any]]:
        """What it logged of each request that fell back, by request id."""
        return {line["request_id"]: line for line in self.log() if line.get("event") == "fallback"}

    def fallback(self, request_id: str) -> dict[str, Any]:
        """The same of one request that has been answered; `serve` writes its lines a moment later."""
        self.process.wait_for(f'"{request_id}"')
        return self.fallbacks().get(request_id, {})


@contextmanager
def product(
    upstream: str,
    litellm: str,
    folder: Path,
    fallback: Mapping[str, object] | None = None,
    keys: Mapping[str, object] | None = None,
    own: Mapping[str, object] | None = None,
) -> Iterator[Product]:
    """Run `litellm-hybrid serve`, with fallback on and nothing routed.

    Args:
        fallback: more keys of `fallback`.
        keys: more keys of the file, at its top.
        own: more keys of `extensions.litellm`.
    """
    folder.mkdir(exist_ok=True)
    named = {"base-url": litellm, "api-key": MASTER_KEY, "log-format": "json", **(own or {})}
    config = {"api-keys": [CLIENT_KEY], **(keys or {})}
    config["extensions"] = {"litellm": {**named, "fallback": {"enabled": True, **(fallback or {})}}}
    file = folder / "hybrid.yaml"
    # JSON is YAML.
    file.write_text(json.dumps(config), encoding="utf-8")
    port = free_port()
    command: list[str | Path] = [
        Path(sys.executable).with_name("litellm-hybrid"),
        *("serve", "--config", file, "--upstream", upstream, "--listen", f"127.0.0.1:{port}"),
    ]
    log = folder / "hybrid.log"

    def serves(_port: int) -> bool:
        # By what it says: a connection would also be accepted by whoever has taken the port meanwhile.
        return '"event": "serving"' in log.read_text(encoding="utf-8")

    with running(command, name="litellm-hybrid", log=log, port=port, ready=serves, within=60) as process:
        yield Product(process)


@dataclass(frozen=True, slots=True)
class Rig:
    """All of it, serving."""

    providers: Providers
    upstream: CLIProxyAPI
    litellm: LiteLLM
    product: Product


@contextmanager
def rig(
    binary: Path,
    cases: Iterable[ProviderError],
    models: Models,
    folder: Path,
    *,
    extra: Mapping[str, object] | None = None,
    fallback: Mapping[str, object] | None = None,
) -> Iterator[Rig]:
    """Start all of it; `extra` are keys of CLIProxyAPI's config.yaml, `fallback` of the product's."""
    folder.mkdir(parents=True, exist_ok=True)
    with (
        in_thread(Providers(cases)) as providers,
        in_thread(LiteLLM()) as litellm,
        cliproxyapi(binary, providers, models, folder / "upstream", extra=extra) as upstream,
        product(upstream.process.url, litellm.url, folder / "product", fallback) as hybrid,
    ):
        yield Rig(providers, upstream, litellm, hybrid)
