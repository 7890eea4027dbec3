#!/usr/bin/env python3
"""The demo: real requests, split between upstream and a real LiteLLM proxy.

Everything runs on free ports of 127.0.0.1: a stand-in for CLIProxyAPI, a model
server, LiteLLM in front of that, and `mitmdump -s addon/hybrid.py` in front of
both. The requests come from the openai, anthropic and google-genai SDKs. Ends
with 0 only if every request went where it should. Start it with scripts/demo.
"""

import argparse
import shutil
import signal
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support.clients import (
    Answer,
    Ask,
    ask_chat,
    ask_gemini,
    ask_gemini_v1,
    ask_messages,
    ask_responses,
)
from support.models import ModelServer
from support.processes import MODELS, Process, ProcessError, hybrid_config, litellm, mitmdump
from support.sealed import USAGE_LIMIT
from support.servers import Reply, in_thread
from support.wire import Request

LITELLM, UPSTREAM = "LiteLLM", "upstream"
BY_MODEL, NOT_LISTED = "litellm; reason=model", "upstream; reason=not-listed"
FELL_BACK = "litellm; reason=fallback; upstream-status=429"
OWN_ANSWER = "litellm; reason=error"
LITELLM_DOWN = '{"error":"litellm_proxy_error","message":"Failed to reach LiteLLM proxy"}'
ANSWERED_BY = {"model server": LITELLM, "upstream": UPSTREAM}
"""Who answered, by the first words of the answer; only LiteLLM knows the model server."""

TERMINAL = sys.stdout.isatty()


@dataclass(frozen=True, slots=True)
class Case:
    """A request, and what must become of it.

    Attributes:
        prefix: of the base URL, as Amp has one.
        went_to: LITELLM, UPSTREAM, or "" for nowhere.
        body: of an error, exactly.
    """

    api: str
    ask: Ask
    model: str
    went_to: str
    route: str
    stream: bool = False
    prefix: str = ""
    status: int = 200
    body: str = ""

    def __str__(self) -> str:
        return f"{self.model}  {self.prefix}{self.api}{', streamed' if self.stream else ''}"


ON_EVERY_API: tuple[tuple[str, Ask, str], ...] = (
    ("/v1/chat/completions", ask_chat, "gpt-5"),
    ("/v1/responses", ask_responses, "gpt-5"),
    ("/v1/messages", ask_messages, "claude-sonnet-4-5"),
    ("/v1beta/models/M:generateContent", ask_gemini, "gemini-2.5-pro"),
)
LISTED = [
    Case(api, ask, model, LITELLM, BY_MODEL, stream=stream)
    for api, ask, model in ON_EVERY_API
    for stream in (False, True)
]
OTHER_PATHS = [
    Case("/v1/models/M:generateContent", ask_gemini_v1, "gemini-2.5-pro", LITELLM, BY_MODEL),
    Case("/v1/chat/completions", ask_chat, "gpt-5", LITELLM, BY_MODEL, prefix="/api/provider/openai"),
    Case(
        "/v1/messages", ask_messages, "claude-3-opus", UPSTREAM, NOT_LISTED, prefix="/api/provider/anthropic"
    ),
]
NOT_IN_THE_LIST = [
    Case("/v1/chat/completions", ask_chat, "gpt-4.1", UPSTREAM, NOT_LISTED),
    Case("/v1/messages", ask_messages, "claude-3-opus", UPSTREAM, NOT_LISTED, stream=True),
    Case("/v1beta/models/M:generateContent", ask_gemini, "gemini-2.0-flash", UPSTREAM, NOT_LISTED),
]
# Not listed either, but LiteLLM knows them under other names.
MAPPINGS = {"gpt-4.1": "gpt-5", "claude-3-opus": "claude-sonnet-4-5"}
SESSION: tuple[tuple[str, Ask, str], ...] = (
    ("/v1/responses", ask_responses, "gpt-4.1"),
    ("/v1/messages", ask_messages, "claude-3-opus"),
    ("/v1/chat/completions", ask_chat, "gpt-4.1"),
)
SERVED = [Case(api, ask, model, UPSTREAM, NOT_LISTED, stream=True) for api, ask, model in SESSION[:2]]
USED_UP = [
    Case(api, ask, model, LITELLM, FELL_BACK, stream=stream)
    for api, ask, model in SESSION
    for stream in (True, False)
]
WITHOUT_LITELLM = [
    Case("/v1/chat/completions", ask_chat, "gpt-5", "", OWN_ANSWER, status=502, body=LITELLM_DOWN),
    Case("/v1/chat/completions", ask_chat, "gpt-4.1", UPSTREAM, NOT_LISTED),
]
ALL = LISTED + OTHER_PATHS + NOT_IN_THE_LIST + USED_UP
WIDTHS = (max(len(str(case)) for case in ALL), 8, 6, max(len(case.route) for case in ALL))


@dataclass(slots=True)
class Demo:
    """What is running, and what has gone wrong so far."""

    folder: Path
    upstream: ModelServer
    backend: ModelServer
    litellm: Process
    proxy: Process
    asked: int = 0
    problems: list[str] = field(default_factory=list)

    def show(self, title: str, cases: Iterable[Case]) -> None:
        """Send requests, and print a line of the table for each."""
        print(bold(f"\n{title}"))
        for case in cases:
            answer = case.ask(self.proxy.url + case.prefix, case.model, stream=case.stream)
            wrong = differences(case, answer)
            line(case, went_to(answer) or "nowhere", answer.status, answer.route, "WRONG" if wrong else "ok")
            self.asked += 1
            self.problems += [f"{case}: {problem}" for problem in wrong]
            if case.body and not wrong:
                print(f"  {answer.body}")


def listed_and_unlisted(demo: Demo) -> None:
    """Listed models reach LiteLLM on every API; all others reach upstream."""
    demo.show("Listed models", LISTED)
    demo.show("Other paths that clients use", OTHER_PATHS)
    demo.show("Models that are not listed", NOT_IN_THE_LIST)


class Subscription:
    """The account behind upstream: it serves some turns, and is used up then."""

    def __init__(self, server: ModelServer, turns: int) -> None:
        self.turns = turns
        self._server = server

    async def __call__(self, request: Request, reply: Reply) -> None:
        """Answer a request as CLIProxyAPI does."""
        if self.turns == 0:
            await reply.json(429, USAGE_LIMIT)
            return
        self.turns -= 1
        await self._server.answer(request, reply)


def runs_out(demo: Demo) -> None:
    """A subscription that runs out in the middle of a session: LiteLLM serves until the quota is back."""
    subscription = Subscription(demo.upstream, len(SERVED))
    demo.upstream.handler = subscription
    demo.show(f"A subscription with {len(SERVED)} turns left", SERVED)
    words = f"429 {USAGE_LIMIT['error']['type']}"
    demo.show(f"It runs out mid-session: upstream answers {words}, the client does not notice", USED_UP)
    subscription.turns = len(SERVED)
    demo.show("Its quota is back", SERVED)
    demo.upstream.handler = demo.upstream.answer


def litellm_stopped(demo: Demo) -> None:
    """Without LiteLLM a listed model gets a JSON 502 at once, and upstream's models are served as before."""
    demo.litellm.stop()
    demo.show("LiteLLM stopped", WITHOUT_LITELLM)


# A further part of the demo goes here, before the one that stops LiteLLM.
PARTS: tuple[Callable[[Demo], None], ...] = (listed_and_unlisted, runs_out, litellm_stopped)


def went_to(answer: Answer) -> str:
    """LITELLM or UPSTREAM, by the answer's own words; "" if neither answered."""
    return next((where for name, where in ANSWERED_BY.items() if answer.text.startswith(name)), "")


def differences(case: Case, answer: Answer) -> list[str]:
    """What is not as it should be, in words."""
    checks = {
        "status": (case.status, answer.status),
        "x-hybrid-route": (case.route, answer.route),
        "answered by": (case.went_to, went_to(answer)),
        "body": (case.body, answer.body),
        "pieces": (True, len(answer.pieces) > 1 if case.stream else len(answer.pieces) <= 1),
    }
    return [f"{what} is {got!r}, not {wanted!r}" for what, (wanted, got) in checks.items() if got != wanted]


def bold(text: str) -> str:
    """`text` for a heading."""
    return f"\033[1m{text}\033[0m" if TERMINAL else text


def line(*cells: object) -> None:
    """Print a line of the table."""
    widths = (*WIDTHS, 0)
    print(
        "  " + "  ".join(str(cell).ljust(width) for cell, width in zip(cells, widths, strict=True)),
        flush=True,
    )


@contextmanager
def progress(what: str) -> Iterator[Callable[[float], None]]:
    """Say what is being started, how long it has taken so far, and when it is ready."""
    start = time.monotonic()
    told = 0

    def waiting(seconds: float) -> None:
        nonlocal told
        if TERMINAL:
            print(f"\r{what} … {seconds:.0f} s", end="", flush=True)
        elif seconds >= told + 5:
            told = int(seconds)
            print(f"{what} … {told} s", flush=True)

    print(f"{what} …", end="" if TERMINAL else "\n", flush=True)
    yield waiting
    print(f"{'\r' if TERMINAL else ''}{what}: ready after {time.monotonic() - start:.1f} s", flush=True)


def start(stack: ExitStack, folder: Path) -> Demo:
    """Start everything; `stack` ends it."""
    upstream = stack.enter_context(in_thread(ModelServer("upstream", models=("gpt-4.1", "claude-3-opus"))))
    backend = stack.enter_context(in_thread(ModelServer("model server", models=tuple(MODELS))))
    with progress("Starting LiteLLM (10 to 60 s)") as waiting:
        litellm_process = stack.enter_context(litellm(backend.url, folder, waiting=waiting))
    with progress("Starting mitmdump -s addon/hybrid.py"):
        keys = {"fallback": {"enabled": True}, "model-mappings": MAPPINGS}
        config = hybrid_config(litellm_process.url, **keys)
        proxy = stack.enter_context(mitmdump(config, upstream.url, folder))
    return Demo(folder, upstream, backend, litellm_process, proxy)


def report(demo: Demo) -> None:
    """Print the last word, and what helps to find out what went wrong."""
    if not demo.problems:
        print(bold(f"\nAll {demo.asked} requests went where they should."))
        return
    print(bold("\nNot as it should be:"))
    for problem in demo.problems:
        print(f"  {problem}")
    for process in (demo.proxy, demo.litellm):
        print(bold(f"\nThe end of {process.log}:"))
        print(process.tail(25))


def keep(stack: ExitStack, demo: Demo) -> None:
    """Leave everything running for real clients, until Ctrl-C."""
    with progress("Starting LiteLLM again") as waiting:
        port = demo.litellm.port
        stack.enter_context(litellm(demo.backend.url, demo.folder, port=port, waiting=waiting))
    url = demo.proxy.url
    print(f"""
Point real clients at it ({", ".join(MODELS)} go to LiteLLM; the answers are the demo's own):

  # Claude Code, anthropic SDK
  export ANTHROPIC_BASE_URL={url} ANTHROPIC_AUTH_TOKEN=any
  # OpenAI SDK; Codex: CODEX_API_KEY=… codex exec -c openai_base_url={url}/v1
  export OPENAI_BASE_URL={url}/v1 OPENAI_API_KEY=any
  # Gemini CLI, google-genai SDK
  export GOOGLE_GEMINI_BASE_URL={url} GEMINI_API_KEY=any

  configuration (edit it: it is read again within 2 s) {demo.folder / "config.yaml"}
  log                                                    {demo.proxy.log}

Ctrl-C ends everything.""")
    with suppress(KeyboardInterrupt):
        threading.Event().wait()


def main() -> int:
    """Run the demo; returns its exit code."""
    parser = argparse.ArgumentParser(prog="scripts/demo", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave everything running until Ctrl-C")
    arguments = parser.parse_args()
    # Which models Anthropic retires, and when, is no matter of the demo.
    warnings.filterwarnings("ignore", "The model '.*' is deprecated", DeprecationWarning)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)

    folder = Path(tempfile.mkdtemp(prefix="litellm-hybrid-demo-"))
    try:
        with ExitStack() as stack:
            demo = start(stack, folder)
            print()
            line("request", "went to", "status", "x-hybrid-route", "")
            for part in PARTS:
                part(demo)
            report(demo)
            if arguments.keep:
                keep(stack, demo)
    except ProcessError as e:
        print(f"\n{e}\n\nConfiguration and logs are in {folder}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        shutil.rmtree(folder, ignore_errors=True)
        print("\nEverything has been ended.")
        return 130
    if demo.problems:
        print(f"\nConfiguration and logs are in {folder}")
        return 1
    shutil.rmtree(folder, ignore_errors=True)
    return 0


def _interrupt(_number: int, _frame: object) -> NoReturn:
    """Leave as Ctrl-C does: through every `finally`, so that nothing stays behind."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
