"""Real coding agents in a tool session whose quota runs out in the middle, and comes back.

    python -m real.agents --binary PATH [claude codex …]

Client → litellm-hybrid → a real CLIProxyAPI → a scripted provider that refuses, in its own words, from one step
to another; behind us a real LiteLLM whose backend goes on with the session. Every step writes a line to a file:
what stands there at the end, the exit code, and who served which turn are what is judged. The clients come from
their registries into .run/clients, as for `scripts/clients`, and see nothing of this machine's own settings.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx

from docs.clients import CLIENTS, install
from real.apis import CLIENT_KEY
from real.cliproxyapi import NOWHERE, accounts, cliproxyapi, forward_proxy
from real.coding_model import DONE, CodingModel, Turn
from real.corpus import ProviderError, provider_errors
from real.rig import product
from support.ports import free_port
from support.processes import BACKEND_KEY, LITELLM, MASTER_KEY, Process, running
from support.processes import _litellm_ready as litellm_ready
from support.servers import in_thread
from support.wire import Request

STEPS = 6
OUT = range(2, 4)
"""At which steps the quota is used up."""

TWICE = (2, 3, 6, 7)
"""Out and back, and once more."""

FOR_GOOD = range(2, 99)
"""The same where it does not come back."""

TASK = "Run the steps you are told to run, one after the other, and then say that you are done."


@dataclass(frozen=True, slots=True)
class Agent:
    """A client with its recipe.

    Attributes:
        client: its name in docs/clients.py.
        models: provider → the models it asks for, as LiteLLM has them too.
        refusal: what its provider refuses with, or the name of a case of the corpus.
        command: what is run; `files` are written below its home first, `env` is added to its environment.
        @URL stands for our address in all of them.
        key: what it signs in with.
        out: at which steps the provider refuses; at none: LiteLLM serves all.
        sticky: `fallback.sticky`; then the provider is asked once when its quota is used up.
        talks: it has no tools; its turns are questions of its own.
        own: more keys of `extensions.litellm`.
        behind: further models that LiteLLM has.
        subscribed: CLIProxyAPI has accounts in auth files, instead of keys.
        steps: how many commands it is asked to run.
        signs: both providers sign what they think, and refuse what the other has signed.
        excepted: its model may not fall back: the session ends as it would without us.
    """

    client: str
    models: Mapping[str, Sequence[str]]
    refusal: str | ProviderError
    command: Sequence[str]
    env: Mapping[str, str]
    files: Mapping[str, str]
    key: str = CLIENT_KEY
    out: Sequence[int] = OUT
    sticky: str = ""
    talks: bool = False
    own: Mapping[str, object] = field(default_factory=dict)
    behind: Sequence[str] = ()
    subscribed: bool = False
    steps: int = STEPS
    signs: bool = False
    excepted: bool = False


SONNET, HAIKU = "claude-sonnet-4-5-20250929", "claude-haiku-4-5-20251001"
CODEX_PROVIDER = """\
model = "gpt-5.5"
model_provider = "hybrid"

[model_providers.hybrid]
name = "litellm-hybrid"
base_url = "@URL/v1"
env_key = "HYBRID_CLIENT_KEY"
wire_api = "responses"
"""
CHATGPT_PROVIDER = CODEX_PROVIDER.replace("@URL/v1", "@URL/backend-api/codex").replace(
    'env_key = "HYBRID_CLIENT_KEY"', "requires_openai_auth = true"
)
_CODEX = ("codex", "exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox")

GEMINI = "gemini-2.5-pro"
GEMINI_SETTINGS = json.dumps({"security": {"auth": {"selectedType": "gemini-api-key"}}})
_GEMINI = ("gemini", "--skip-trust", "--yolo", "-m", GEMINI, "-p", TASK)
OPENCODE = json.dumps(
    {
        "$schema": "https://opencode.ai/config.json",
        "autoupdate": False,
        "share": "disabled",
        "permission": {"bash": "allow"},
        "provider": {
            "openai": {"options": {"baseURL": "@URL/v1", "apiKey": CLIENT_KEY}},
            "anthropic": {"options": {"baseURL": "@URL/v1", "apiKey": CLIENT_KEY}},
            "compat": {
                "npm": "@ai-sdk/openai-compatible",
                "options": {"baseURL": "@URL/v1", "apiKey": CLIENT_KEY},
                "models": {"glm-5": {"tool_call": True}},
            },
        },
    }
)


_STREAM = {"Content-Type": "text/event-stream"}
ROLE_ONLY = ProviderError(
    "role_only",
    "openai-compatible",
    "overload",
    200,
    _STREAM,
    (
        (
            'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,'
            '"delta":{"role":"assistant","content":""},"finish_reason":null}]}\n\n'
        ),
        0.5,
        (
            'data: {"error":{"message":"The model is overloaded, try again later","type":"server_error",'
            '"code":503}}\n\n'
        ),
    ),
)
"""A chat stream that fails when a chunk with nothing but a role has gone out."""

NO_OUTPUT = ProviderError(
    "no_output",
    "gemini",
    "no-answer",
    200,
    _STREAM,
    (
        'data: {"candidates":[{"content":{"parts":[],"role":"model"},"index":0}],"modelVersion":"m"}\n\n',
        (
            'data: {"candidates":[{"content":{"parts":[],"role":"model"},"finishReason":"STOP","index":0}],'
            '"modelVersion":"m"}\n\n'
        ),
    ),
)
"""A Gemini stream that ends without any output, and counts none."""


def opencode(model: str, provider: str, refusal: str | ProviderError) -> Agent:
    """opencode with a model of one of its providers; the same for titles."""
    listed = {provider: [model.partition("/")[2]]}
    files = {
        ".config/opencode/opencode.json": OPENCODE.replace('"share"', f'"small_model": "{model}", "share"')
    }
    return Agent("opencode", listed, refusal, ("opencode", "run", "-m", model, TASK), {}, files)


_CODEX_ACCOUNT = accounts()["codex.json"]
TOKEN = str(_CODEX_ACCOUNT["access_token"])
LOGIN = {
    "OPENAI_API_KEY": None,
    "tokens": {
        name: _CODEX_ACCOUNT[name] for name in ("id_token", "access_token", "refresh_token", "account_id")
    },
    "last_refresh": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
}

AGENTS = {
    "claude": Agent(
        "claude",
        {"anthropic": [SONNET, HAIKU]},
        "an_429_weekly",
        ("claude", "-p", TASK, "--model", SONNET, "--allowedTools", "Bash", "--max-turns", "20"),
        {
            "ANTHROPIC_BASE_URL": "@URL",
            "ANTHROPIC_AUTH_TOKEN": CLIENT_KEY,
            "ANTHROPIC_DEFAULT_HAIKU_MODEL": HAIKU,
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        },
        {},
    ),
    "codex": Agent(
        "codex",
        {"codex": ["gpt-5.5"]},
        "cd_429_usage_team",
        (*_CODEX, TASK),
        {"HYBRID_CLIENT_KEY": CLIENT_KEY},
        {".codex/config.toml": CODEX_PROVIDER},
    ),
    "codex-stream": Agent(
        "codex",
        {"codex": ["gpt-5.5"]},
        "cd_s_rate",
        (*_CODEX, "-c", 'openai_base_url="@URL/v1"', "-m", "gpt-5.5", TASK),
        {},
        {".codex/auth.json": json.dumps({"OPENAI_API_KEY": CLIENT_KEY})},
    ),
    "codex-chatgpt": Agent(
        "codex",
        {"codex": ["gpt-5.5"]},
        "cd_429_credits",
        (*_CODEX, TASK),
        {},
        {".codex/auth.json": json.dumps(LOGIN), ".codex/config.toml": CHATGPT_PROVIDER},
        key=TOKEN,
    ),
    "gemini": Agent(
        "gemini",
        {"gemini": [GEMINI, "gemini-2.5-flash", "gemini-2.5-flash-lite"]},
        "go_429_free",
        _GEMINI,
        {"GOOGLE_GEMINI_BASE_URL": "@URL", "GEMINI_API_KEY": CLIENT_KEY},
        {".gemini/settings.json": GEMINI_SETTINGS},
    ),
    "opencode-chat": opencode("compat/glm-5", "openai-compatible", "za_429_1308"),
    "opencode-anthropic": opencode(f"anthropic/{SONNET}", "anthropic", "an_429_weekly"),
    "opencode-responses": opencode("openai/gpt-5.5", "codex", "cd_429_usage_team"),
    "opencode-role-chunk": opencode("compat/glm-5", "openai-compatible", ROLE_ONLY),
    "qwen-role-chunk": Agent(
        "qwen",
        {"openai-compatible": ["glm-5"]},
        ROLE_ONLY,
        ("qwen", "--auth-type", "openai", "--yolo", "-p", TASK),
        {
            "OPENAI_BASE_URL": "@URL/v1",
            "OPENAI_API_KEY": CLIENT_KEY,
            "OPENAI_MODEL": "glm-5",
            "HTTPS_PROXY": "",  # it would take it for this machine, too, whatever NO_PROXY says
        },
        {".qwen/settings.json": json.dumps({"privacy": {"usageStatisticsEnabled": False}})},
    ),
    "aider-role-chunk": Agent(
        "aider",
        {"openai-compatible": ["glm-5"]},
        ROLE_ONLY,
        (
            *("aider", "--model", "openai/glm-5", "--no-git", "--no-check-update", "--no-pretty"),
            *("--no-show-model-warnings", "--analytics-disable", "--yes-always", "--load", "questions.txt"),
        ),
        {"OPENAI_API_BASE": "@URL/v1", "OPENAI_API_KEY": CLIENT_KEY},
        {
            "../project/questions.txt": "".join(f"/ask question {n}\n" for n in range(1, STEPS + 2))
            + "/exit\n"
        },
        talks=True,
    ),
    "codex-gemini-no-output": Agent(
        "codex",
        {"gemini": [GEMINI]},
        NO_OUTPUT,
        (*_CODEX, TASK),
        {"HYBRID_CLIENT_KEY": CLIENT_KEY},
        {".codex/config.toml": CODEX_PROVIDER.replace("gpt-5.5", GEMINI)},
    ),
}
AGENTS |= {
    f"{name}-sticky": replace(AGENTS[name], out=FOR_GOOD, sticky="10m") for name in ("codex", "codex-chatgpt")
}


ANTIGRAVITY = "claude-sonnet-4-6"
"""A Claude that Antigravity has."""


def antigravity() -> Agent:
    """Claude Code on Antigravity's Claude; both sides sign what they think."""
    claude = AGENTS["claude"]
    return replace(
        claude,
        models={"antigravity": [ANTIGRAVITY]},
        refusal="go_429_spend",
        command=[ANTIGRAVITY if word == SONNET else word for word in claude.command],
        env={**claude.env, "ANTHROPIC_DEFAULT_HAIKU_MODEL": ANTIGRAVITY},
        steps=10,
        out=TWICE,
        signs=True,
        subscribed=True,
    )


PICKED = "claude-fable-5-dd-5.5-tpg"
"""gpt-5.5, as Claude Code's picker shows it since CLIProxyAPI 7.2."""


def picked(**changes: Any) -> Agent:
    """Claude Code with gpt-5.5 from its picker."""
    claude = AGENTS["claude"]
    command = [PICKED if word == SONNET else word for word in claude.command]
    return replace(
        claude,
        **{
            "models": {"codex": ["gpt-5.5"], "anthropic": [HAIKU]},
            "refusal": "cd_429_usage_team",
            "command": command,
            **changes,
        },
    )


AGENTS |= {
    "claude-account": replace(AGENTS["claude"], subscribed=True),
    "claude-gemini-interlude": replace(
        AGENTS["claude"], own={"model-mappings": {SONNET: GEMINI}}, behind=[GEMINI], subscribed=True
    ),
    "claude-antigravity": antigravity(),
    "claude-signatures": replace(AGENTS["claude"], steps=10, out=TWICE, signs=True, subscribed=True),
    "claude-picker": picked(),
    "claude-picker-mapped": picked(own={"model-mappings": {"gpt-5.5": SONNET}}, behind=[SONNET]),
    "claude-picker-listed": picked(own={"enabled": True, "models": ["gpt-5.5"]}, out=()),
    "claude-picker-excepted": picked(excepted=True),
    "codex-account": replace(AGENTS["codex"], subscribed=True),
    "codex-claude": replace(
        AGENTS["codex"],
        models={"anthropic": [SONNET]},
        refusal="an_429_weekly",
        files={".codex/config.toml": CODEX_PROVIDER.replace("gpt-5.5", SONNET)},
        subscribed=True,
    ),
}


@dataclass(frozen=True, slots=True)
class Session:
    """What came of a session."""

    code: int
    steps: list[str]
    output: str
    provider: list[Turn]
    backend: list[Turn]
    routes: list[str]
    agent: Agent
    left: int
    served: float

    def problems(self) -> Iterator[str]:
        """What is not as it should be."""
        if self.agent.excepted:
            yield from self._excepted_problems()
            return
        if self.code:
            yield f"exit code {self.code}"
        steps = self.agent.steps
        wanted = [] if self.agent.talks else [f"step {number}" for number in range(1, steps + 1)]
        if self.steps != wanted:
            yield f"it has run {self.steps}, not each of {steps} steps once"
        if self.output.count(DONE) < (steps + 1 if self.agent.talks else 1):
            yield "it does not say that it is done"
        yield from self._route_problems()
        for name, turns in (("provider", self.provider), ("LiteLLM's backend", self.backend)):
            if len(lost := {turn.step for turn in turns if turn.unread}) > 1:
                yield f"{name} refused the history at {len(lost)} steps, and not only at the first"

    def _excepted_problems(self) -> Iterator[str]:
        if any("gpt-5.5" in turn.model for turn in self.backend):
            yield "LiteLLM served a turn of a model that is excepted"
        if not any(turn.refused for turn in self.provider) or len(self.steps) != self.agent.out[0]:
            yield f"it has run {self.steps}, not all until its provider refused"

    def _route_problems(self) -> Iterator[str]:
        out = self.agent.out
        if not out:
            if any("gpt-5.5" in turn.model for turn in self.provider):
                yield "the provider served a turn of a model that is LiteLLM's"
            return
        if not any(turn.step in out for turn in self.backend):
            yield "LiteLLM served no turn"
        if out is FOR_GOOD:
            yield from self._sticky_problems()
        elif not any(turn.step > out[-1] and not turn.refused for turn in self.provider):
            yield "the provider served no turn after its quota came back"

    def _sticky_problems(self) -> Iterator[str]:
        refused = sum(turn.refused for turn in self.provider)
        if refused != 1:
            yield f"the provider was asked {refused} times when its quota was used up"
        if self.left:
            yield f"{self.left} lines say that the client disconnected"
        if self.served < len(self.backend):
            yield f"the metrics say that {self.served:g} of {len(self.backend)} turns were served by LiteLLM"

    def transcript(self) -> Iterator[str]:
        """Who served which turn, and what the client printed."""
        for name, turns in (("provider", self.provider), ("LiteLLM's backend", self.backend)):
            for turn in turns:
                yield f"  {name}: {turn.model} after {turn.step} results: {turn.said}"
        yield from (f"  log: {route}" for route in self.routes)
        yield from (f"  | {line}" for line in self.output.splitlines())


def run_client(
    agent: Agent,
    command: Sequence[str],
    url: str,
    home: Path,
    work: Path,
    *,
    within: float,
    env: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run an agent's client against us, with its files and variables and no way to anywhere else.

    Args:
        agent: whose settings are used.
        command: what is run.
        url: ours, for each `@URL` in files, variables and the command.
        home: its home.
        work: the folder that it works in.
        within: how many seconds it has.
        env: variables besides the agent's own.
    """
    bins, _ = install(agent.client, CLIENTS[agent.client])
    for file, text in agent.files.items():
        (home / file).parent.mkdir(parents=True, exist_ok=True)
        (home / file).write_text(text.replace("@URL", url), encoding="utf-8")
    environment = {"HOME": str(home), "HTTPS_PROXY": NOWHERE, "NO_PROXY": "127.0.0.1"}
    environment |= {name: value.replace("@URL", url) for name, value in {**agent.env, **(env or {})}.items()}
    environment["PATH"] = f"{bins / 'node_modules' / '.bin'}:{bins / 'bin'}:{os.environ['PATH']}"
    return subprocess.run(
        [word.replace("@URL", url) for word in command],
        cwd=work,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=within,
        check=False,
    )


def play_session(name: str, binary: Path, folder: Path) -> Session:
    """Run one agent's session."""
    agent = AGENTS[name]
    refusal = agent.refusal
    if isinstance(refusal, str):
        refusal = next(case for case in provider_errors() if case.name == agent.refusal)
    listed = [*(model for models in agent.models.values() for model in models), *agent.behind]

    def fails(request: Request, step: int) -> ProviderError | None:
        is_turn = agent.talks or b'"tools"' in request.body
        return refusal if is_turn and step in agent.out else None

    keys = {"api-keys": [CLIENT_KEY, agent.key]}
    fallback: dict[str, object] = {"sticky": agent.sticky} if agent.sticky else {}
    if agent.excepted:
        fallback["except"] = ["gpt-5.5"]
    home = folder / "home"
    work = folder / "project"
    home.mkdir(parents=True)
    work.mkdir()
    with (
        in_thread(CodingModel("provider", agent.steps, fails, signs=agent.signs)) as provider,
        in_thread(CodingModel("backend", agent.steps, signs=agent.signs)) as backend,
        real_litellm(backend.url, listed, folder) as litellm,
        forward_proxy(provider, folder) if agent.subscribed else nullcontext() as accounts_proxy,
        cliproxyapi(
            binary,
            provider,
            agent.models,
            folder / "upstream",
            extra=keys,
            subscriptions=accounts_proxy,
        ) as upstream,
        product(upstream.process.url, litellm.url, folder / "product", fallback, keys, agent.own) as hybrid,
    ):
        url = hybrid.process.url
        done = run_client(agent, agent.command, url, home, work, within=240)
        steps = work / "steps.txt"
        routes = [
            f"{line.get('status')} {line.get('target')} {line.get('reason')} {line.get('path')} {line['message']}"
            for line in hybrid.log()
            if line.get("event") in {"answered", "fallback", "failed", "history-reduced"}
        ]
        return Session(
            done.returncode,
            steps.read_text(encoding="utf-8").splitlines() if steps.exists() else [],
            done.stdout + done.stderr,
            list(provider.turns),
            list(backend.turns),
            routes,
            agent,
            sum(line.get("event") == "client-disconnected" for line in hybrid.log()),
            served_by_litellm(url),
        )


def served_by_litellm(url: str) -> float:
    """How many requests LiteLLM has served with a good status, by the metrics."""
    text = httpx.get(f"{url}/_hybrid/metrics", trust_env=False).text
    found = re.findall(
        r'^litellm_hybrid_requests_total\{(?=[^}]*target="litellm")(?=[^}]*status_class="2xx")[^}]*\} (\S+)$',
        text,
        re.MULTILINE,
    )
    return sum(map(float, found))


FAMILIES = {"cla": "anthropic", "gem": "gemini"}
"""How a model's name begins → LiteLLM's provider; OpenAI's for all others."""


@contextmanager
def real_litellm(backend: str, models: Sequence[str], folder: Path) -> Iterator[Process]:
    """Run a real LiteLLM whose models are of their own family: Anthropic's by messages, OpenAI's by responses."""
    listed = []
    for model in models:
        family = FAMILIES.get(model[:3], "openai")
        name = f"{family}/{model}"
        base = f"{backend}/{family}"
        listed.append(
            {"model_name": model, "litellm_params": {"model": name, "api_key": BACKEND_KEY, "api_base": base}}
        )
    config = {
        "model_list": listed,
        "litellm_settings": {"telemetry": False, "num_retries": 0},
        "general_settings": {"master_key": MASTER_KEY},
    }
    file = folder / "litellm.yaml"
    file.write_text(json.dumps(config), encoding="utf-8")
    port = free_port()
    environment = {
        "PATH": f"{LITELLM.parent}:{os.defpath}",
        "HOME": str(folder),
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_LOG": "ERROR",
        "NO_DOCS": "True",
    }
    command: list[str | Path] = [LITELLM, "--config", file, "--host", "127.0.0.1", "--port", str(port)]
    with running(
        command,
        name="LiteLLM",
        log=folder / "litellm.log",
        port=port,
        ready=litellm_ready,
        within=120,
        env=environment,
    ) as process:
        yield process


@dataclass(frozen=True, slots=True)
class Played:
    """A session's result, for the page of versions."""

    name: str
    versions: str
    problems: list[str]
    lines: list[str]


def play_all(binary: Path, names: Sequence[str] = ()) -> Iterator[Played]:
    """Run the sessions that are named, or all of them."""
    for name in names or list(AGENTS):
        _, versions = install(AGENTS[name].client, CLIENTS[AGENTS[name].client])
        with tempfile.TemporaryDirectory(prefix="agents-", ignore_cleanup_errors=True) as folder:
            session = play_session(name, binary.absolute(), Path(folder))
        yield Played(name, versions, list(session.problems()), list(session.transcript()))


def main() -> int:
    """Run the sessions that are named, or all; returns an exit code."""
    parser = argparse.ArgumentParser(prog="python -m real.agents", description=__doc__)
    parser.add_argument("agent", nargs="*", help=f"which, of {', '.join(AGENTS)}; default: all")
    parser.add_argument("--binary", type=Path, required=True, help="a CLIProxyAPI")
    parser.add_argument(
        "-v", "--verbose", action="store_true", help="show the transcript also where all is well"
    )
    arguments = parser.parse_args()
    failed = False
    for played in play_all(arguments.binary, arguments.agent):
        failed = failed or bool(played.problems)
        sys.stdout.write(f"{played.name} ({played.versions}): {'; '.join(played.problems) or 'ok'}\n")
        if played.problems or arguments.verbose:
            sys.stdout.write("".join(f"{line}\n" for line in played.lines))
        sys.stdout.flush()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
