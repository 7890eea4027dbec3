#!/usr/bin/env python3
"""The demo: real requests, split between upstream and a real LiteLLM proxy.

Everything runs on free ports of 127.0.0.1: a stand-in for CLIProxyAPI, a model
server, LiteLLM in front of that, and `mitmdump -s addon/hybrid.py` in front of
both. The requests come from the openai, anthropic and google-genai SDKs. Ends
with 0 only if every request went where it should. Start it with scripts/demo.
With --keep or --web it stays, and its account can be exhausted and refilled.
"""

import argparse
import math
import os
import re
import shutil
import signal
import sys
import tempfile
import termios
import threading
import time
import tty
import urllib.request
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
from support.ports import free_port
from support.processes import MODELS, ROOT, Process, ProcessError, hybrid_config, litellm, mitmdump
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

USED_UP_WORDS = f"429 {USAGE_LIMIT['error']['type']}"
CONTROL = ("/demo/exhaust", "/demo/refill")
RUNNING = ROOT / ".run" / "demo"
"""Where the demo that runs is told, for `scripts/demo exhaust`."""

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
OTHERS = {"gpt-*": "gpt-5", "claude-*": "claude-sonnet-4-5", "gemini-*": "gemini-2.5-pro"}
"""For what real clients ask besides, such as their small models."""
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
    """The account behind upstream: it serves some turns, and is used up then.

    A POST to `/demo/exhaust` and `/demo/refill` sets how many.
    """

    def __init__(self, server: ModelServer, turns: float) -> None:
        self.turns = turns
        self._server = server

    def told(self, what: str) -> None:
        """Exhaust it, or refill it."""
        self.turns = 0 if what == "exhaust" else math.inf
        is_now = (
            f"exhausted: upstream answers {USED_UP_WORDS}" if not self.turns else "refilled: upstream serves"
        )
        print(f"  The account is {is_now}.", flush=True)

    async def __call__(self, request: Request, reply: Reply) -> None:
        """Answer a request as CLIProxyAPI does."""
        if request.path in CONTROL:
            self.told(request.path.rpartition("/")[2])
            await reply.json(200, {})
            return
        if request.method == "POST" and self.turns == 0:
            await reply.json(429, USAGE_LIMIT)
            return
        self.turns -= request.method == "POST"
        await self._server.answer(request, reply)


def runs_out(demo: Demo) -> None:
    """A subscription that runs out in the middle of a session: LiteLLM serves until the quota is back."""
    subscription = Subscription(demo.upstream, len(SERVED))
    demo.upstream.handler = subscription
    demo.show(f"A subscription with {len(SERVED)} turns left", SERVED)
    demo.show(
        f"It runs out mid-session: upstream answers {USED_UP_WORDS}, the client does not notice", USED_UP
    )
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


def start(stack: ExitStack, folder: Path, *, web: bool) -> Demo:
    """Start everything, with mitmweb in place of mitmdump or not; `stack` ends it."""
    upstream = stack.enter_context(in_thread(ModelServer("upstream", models=("gpt-4.1", "claude-3-opus"))))
    backend = stack.enter_context(in_thread(ModelServer("model server", models=tuple(MODELS))))
    with progress("Starting LiteLLM (10 to 60 s)") as waiting:
        litellm_process = stack.enter_context(litellm(backend.url, folder, waiting=waiting))
    program = "mitmweb" if web else "mitmdump"
    options = ("--no-web-open-browser", "--web-port", str(free_port())) if web else ()
    with progress(f"Starting {program} -s addon/hybrid.py"):
        keys = {"fallback": {"enabled": True}, "model-mappings": MAPPINGS | OTHERS}
        config = hybrid_config(litellm_process.url, **keys)
        proxy = stack.enter_context(mitmdump(config, upstream.url, folder, *options, program=program))
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
    subscription = Subscription(demo.upstream, math.inf)
    demo.upstream.handler = subscription
    RUNNING.parent.mkdir(exist_ok=True)
    RUNNING.write_text(demo.upstream.url, encoding="utf-8")
    stack.callback(RUNNING.unlink, missing_ok=True)
    url = demo.proxy.url
    page = re.search(r"Web server listening at (\S+)", demo.proxy.output())
    print(f"""
Point real clients at it; the answers are the demo's own:

  # Claude Code, anthropic SDK
  export ANTHROPIC_BASE_URL={url} ANTHROPIC_AUTH_TOKEN=any
  # OpenAI SDK; Codex: CODEX_API_KEY=any codex exec -c 'openai_base_url="{url}/v1"' -m gpt-4.1 'Say hello'
  export OPENAI_BASE_URL={url}/v1 OPENAI_API_KEY=any
  # Gemini CLI, google-genai SDK
  export GOOGLE_GEMINI_BASE_URL={url} GEMINI_API_KEY=any

  {", ".join(MODELS)} go to LiteLLM at once; others ({", ".join(MAPPINGS)} …) when the account is exhausted.

  status page, with what it has cost    {url}/_hybrid/status""")
    if page:
        print(f"  mitmweb                               {page[1]}")
    print(
        f"""  log                                   {demo.proxy.log}
  configuration (read again within 2 s) {demo.folder / "config.yaml"}

  e  exhaust the account                elsewhere: ./scripts/demo exhaust
  r  refill it                          elsewhere: ./scripts/demo refill
  q  or Ctrl-C ends everything
""",
        flush=True,
    )
    with suppress(KeyboardInterrupt), keys() as pressed:
        for key in pressed:
            if key in "er":
                subscription.told("exhaust" if key == "e" else "refill")
            elif key == "q":
                return


@contextmanager
def keys() -> Iterator[Iterator[str]]:
    """Read single keys of the terminal as they are pressed; without one there are none, for ever."""
    terminal = sys.stdin.fileno()
    if not sys.stdin.isatty():
        yield iter(lambda: str(threading.Event().wait()), "")
        return
    before = termios.tcgetattr(terminal)
    tty.setcbreak(terminal)
    try:
        yield iter(lambda: os.read(terminal, 1).decode(errors="replace"), "")
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)


def tell(what: str) -> int:
    """Exhaust or refill the account of the demo that runs; returns the exit code."""
    try:
        url = RUNNING.read_text(encoding="utf-8")
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(
            f"{url}/demo/{what}", b"", timeout=10
        )
    except OSError:
        print("demo: none runs here: start it with ./scripts/demo --keep", file=sys.stderr)
        return 1
    print(f"The account is {what}ed.")
    return 0


def main() -> int:
    """Run the demo; returns its exit code."""
    parser = argparse.ArgumentParser(prog="scripts/demo", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave everything running until Ctrl-C")
    parser.add_argument("--web", action="store_true", help="the same, with mitmweb")
    parser.add_argument("what", nargs="?", choices=["exhaust", "refill"], help="of the demo that runs")
    arguments = parser.parse_args()
    if arguments.what:
        return tell(arguments.what)
    # Which models Anthropic retires, and when, is no matter of the demo.
    warnings.filterwarnings("ignore", "The model '.*' is deprecated", DeprecationWarning)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)

    folder = Path(tempfile.mkdtemp(prefix="litellm-hybrid-demo-"))
    try:
        with ExitStack() as stack:
            demo = start(stack, folder, web=arguments.web)
            print()
            line("request", "went to", "status", "x-hybrid-route", "")
            for part in PARTS:
                part(demo)
            report(demo)
            if arguments.keep or arguments.web:
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
