"""The lists of models that real clients read, with what is routed in them.

    python -m real.model_lists --binary PATH…

Client → litellm-hybrid → a real CLIProxyAPI; behind us a real LiteLLM that has more models than are routed. Told is
what each client asks for (our log), what it shows of that, and who serves what is chosen from it.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep

from litellm_hybrid.routing.requested_model import is_disguised, undisguised
from real.agents import AGENTS, SONNET, real_litellm, run_client
from real.cliproxyapi import CLIProxyAPI, cliproxyapi
from real.coding_model import CodingModel
from real.rig import Product, product
from support.servers import in_thread

MODELS = {"anthropic": [SONNET], "codex": ["gpt-5.5"], "gemini": ["gemini-2.5-pro"]}
"""Upstream's."""

ROUTED = ["gpt-4.1", "claude-opus-4-5", "gemini-2.5-flash"]
"""LiteLLM's: the first is listed, the second covered by a glob, the third mapped."""

OWN: Mapping[str, object] = {
    "enabled": True,
    "models": ["gpt-4.1", "claude-opus-*", "my-gemini"],
    "model-mappings": {"my-gemini": ROUTED[2]},
}
NAMES = ["gpt-4.1", "claude-opus-4-5", "my-gemini"]
"""Under which clients find them."""


DISCOVERS = {
    "CLAUDE_CODE_ENABLE_GATEWAY_MODEL_DISCOVERY": "1",
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "",
}
"""Without these Claude Code asks for no list."""


@dataclass(frozen=True, slots=True)
class Place:
    """All of it, serving."""

    upstream: CLIProxyAPI
    hybrid: Product
    folder: Path

    def run(self, name: str, *command: str, env: Mapping[str, str] | None = None) -> str:
        """Run a client with the settings of one of the agents; what it prints."""
        agent = AGENTS[name]
        home = self.folder / agent.client
        home.mkdir(exist_ok=True)
        done = run_client(agent, command, self.hybrid.process.url, home, home, within=120, env=env)
        return done.stdout + done.stderr

    def asked(self) -> list[str]:
        """What has been asked so far: method, path and who answered."""
        lines = (line for line in self.hybrid.log() if line.get("event") == "answered")
        return [f"{line.get('method')} {line.get('path')} {line.get('target')}" for line in lines]

    def serves(self, name: str, *command: str, env: Mapping[str, str] | None = None) -> Iterator[str]:
        """What is wrong where a client is to be served by LiteLLM, without having asked for a list."""
        before = len(self.asked())
        self.run(name, *command, env=env)
        served = self.told(before, "litellm")  # opencode asks another model for a title
        asked = self.asked()[before:]
        if not served or any(line.startswith("GET") for line in asked):
            yield f"{' '.join(command)}: {asked}"

    def told(self, before: int, target: str) -> bool:
        """Whether the log tells, soon, of a request that this server has answered, behind so many others."""
        deadline = monotonic() + 20
        while not (told := any(line.endswith(target) for line in self.asked()[before:])):
            if monotonic() > deadline:
                break
            sleep(0.1)
        return told

    def claude(self) -> Iterator[str]:
        """What is wrong with what Claude Code's picker shows, and with what it gets of that."""
        self.run("claude", "claude", "-p", "Hello", "--model", SONNET, env=DISCOVERS)
        self.told(1, "upstream")  # behind the list
        cache = self.folder / "claude" / ".claude" / "cache" / "gateway-models.json"
        shown = [model["id"] for model in json.loads(cache.read_text(encoding="utf-8"))["models"]]
        names = {undisguised(model): model for model in shown}
        # It shows what begins so.
        wanted = [name for name in NAMES if any(map(is_disguised, shown)) or name.startswith("claude")]
        sys.stdout.write(f"  Claude Code shows {', '.join(shown)}\n")
        if missing := [name for name in wanted if name not in names]:
            yield f"Claude Code does not show {missing}"
        for name in wanted:
            yield from self.serves("claude", "claude", "-p", "Hello", "--model", names[name])

    def opencode(self) -> Iterator[str]:
        """The same of opencode, whose list is its own and of its configuration."""
        self.run("opencode-chat", "opencode", "models")
        yield from self.serves("opencode-chat", "opencode", "run", "-m", "openai/gpt-4.1", "Hello")

    def gemini(self) -> Iterator[str]:
        """The same of Gemini CLI, whose list is its own."""
        yield from self.serves("gemini", "gemini", "--skip-trust", "-m", "my-gemini", "-p", "Hello")


def play(binary: Path, folder: Path) -> Iterator[str]:
    """What is wrong with one version of CLIProxyAPI."""
    with (
        in_thread(CodingModel("provider", 0)) as provider,
        in_thread(CodingModel("backend", 0)) as backend,
        real_litellm(backend.url, ROUTED, folder) as litellm,
        cliproxyapi(binary, provider, MODELS, folder / "upstream") as upstream,
        product(upstream.process.url, litellm.url, folder / "product", own=OWN) as hybrid,
    ):
        place = Place(upstream, hybrid, folder)
        sys.stdout.write(f"{upstream.version}:\n")
        for client in (place.claude, place.opencode, place.gemini):
            yield from client()
        sys.stdout.write("".join(f"  {line}\n" for line in place.asked()))


def main() -> int:
    """Run the three clients with each version; returns an exit code."""
    parser = argparse.ArgumentParser(prog="python -m real.model_lists", description=__doc__)
    parser.add_argument("--binary", type=Path, required=True, nargs="+", help="a CLIProxyAPI, or several")
    problems: list[str] = []
    for binary in parser.parse_args().binary:
        with tempfile.TemporaryDirectory(prefix="lists-", ignore_cleanup_errors=True) as folder:
            problems += play(binary.absolute(), Path(folder))
    sys.stdout.write("".join(f"{problem}\n" for problem in problems) or "ok\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
