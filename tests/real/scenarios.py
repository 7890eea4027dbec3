"""What we rely on besides errors, each shown by a real CLIProxyAPI with the product in front.

Each scenario starts what it needs, returns what was seen in a few words, and raises `Differs` where that is not
as expected, `NotSeen` where this version has no such thing.
"""

import asyncio
import json
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from real.apis import CLIENT_KEY, Question, Seen, ask, question
from real.cliproxyapi import cliproxyapi, listed_models
from real.corpus import ProviderError
from real.providers import SERVED, Providers, mark
from real.rig import REPLAYED, LiteLLM, Rig, product, rig
from support.servers import in_thread

BEARER = (("Authorization", f"Bearer {CLIENT_KEY}"),)
MODELS = {
    "anthropic": ["a-claude", "b-claude"],
    "codex": ["a-codex", "b-codex"],
    "gemini": ["a-gemini"],
    "openai-compatible": ["a-compat"],
}
JSON = {"Content-Type": "application/json"}
USED_UP = ProviderError(
    "used_up",
    "codex",
    "quota",
    429,
    JSON,
    (
        '{"error":{"type":"usage_limit_reached","message":"The usage limit has been reached","resets_in_seconds":3600}}',
    ),
)
NO_WAIT = ProviderError(
    "no_wait",
    "anthropic",
    "quota",
    429,
    JSON,
    (
        '{"type":"error","error":{"type":"rate_limit_error","message":"This would exceed your account\'s rate limit."}}',
    ),
)
CASES = (USED_UP, NO_WAIT)


class NotSeen(Exception):  # noqa: N818  no error
    """It cannot be seen here; the text says why."""


class Differs(Exception):  # noqa: N818
    """It is not as expected; the text says what was seen."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a scenario works."""

    binary: Path
    folder: Path
    shared: Rig | None = None

    @contextmanager
    def plain(self) -> Iterator[Rig]:
        """The one that is shared by all who change nothing of it."""
        if self.shared is None:
            with self.rig() as started:
                yield started
        else:
            yield self.shared

    @contextmanager
    def rig(
        self, extra: Mapping[str, object] | None = None, fallback: Mapping[str, object] | None = None
    ) -> Iterator[Rig]:
        """All of it, with a model or two of each provider."""
        folder = self.folder / f"{time.monotonic_ns()}"
        with rig(self.binary, CASES, MODELS, folder, extra=extra, fallback=fallback) as started:
            yield started


def want(what: object, expected: object, seen: object) -> None:
    """Raise `Differs` unless they are equal."""
    if what != expected:
        raise Differs(f"{what!r} instead of {expected!r}: {str(seen)[:160]}")


def get(target: str, *headers: tuple[str, str]) -> Question:
    """A GET with a client's key."""
    return Question(target, (*BEARER, *headers), b"")


def post(target: str, body: object, *headers: tuple[str, str]) -> Question:
    """A POST with a client's key."""
    fields = (*BEARER, ("Content-Type", "application/json"), *headers)
    return Question(target, fields, json.dumps(body).encode())


def both(started: Rig, asked: Question, method: str = "POST") -> tuple[Seen, Seen]:
    """Ask CLIProxyAPI, and then the product."""

    async def two() -> tuple[Seen, Seen]:
        direct = await ask(started.upstream.port, asked, method=method)
        return direct, await ask(started.product.port, asked, method=method)

    return asyncio.run(two())


def through(started: Rig, asked: Question, method: str = "POST") -> Seen:
    """Ask the product."""
    return asyncio.run(ask(started.product.port, asked, method=method))


# -- the scenarios --------------------------------------------------------------


def passes_model_lists(place: Place) -> str:
    """`GET /v1/models` and `/v1beta/models`."""
    counts = []
    with place.plain() as started:
        for path, key in (("/v1/models", "data"), ("/v1beta/models", "models")):
            direct, passed = both(started, get(path), "GET")
            lists = [
                sorted(str(m.get("id", m.get("name"))) for m in json.loads(s.body)[key])
                for s in (direct, passed)
            ]
            want(lists[1], lists[0], path)
            counts.append(len(lists[0]))
    return f"{counts[0]} and {counts[1]} models, the same through us"


def passes_counting(place: Place) -> str:
    """`count_tokens` and Codex's `compact`."""
    turn = [{"role": "user", "content": "hi"}]
    seen = []
    with place.plain() as started:
        for path, body in (
            ("/v1/messages/count_tokens", {"model": "a-claude", "messages": turn}),
            ("/v1/responses/compact", {"model": "a-codex", "input": turn}),
        ):
            direct, passed = both(started, post(path, body))
            want((passed.status, passed.body), (direct.status, direct.body), path)
            seen.append(f"{path.rpartition('/')[2]} {direct.status}")
    return f"{' and '.join(seen)}, byte for byte"


AMP = {
    "/api/provider/anthropic/v1/messages": "messages",
    "/api/provider/openai/v1/chat/completions": "chat",
    "/api/provider/openai/chat/completions": "chat",
    "/api/provider/openai/v1/responses": "responses",
    "/api/provider/openai/responses": "responses",
    "/api/provider/groq/chat/completions": "chat",
    "/api/provider/google/v1beta/models/a-gemini:generateContent": "gemini",
    "/api/provider/google/v1beta1/publishers/google/models/a-gemini:generateContent": "gemini",
}
"""The forms of Amp's requests that v6 and v7.1 have routes for."""
_AMP_MODEL = {"messages": "a-claude", "chat": "a-compat", "responses": "a-codex", "gemini": "a-gemini"}


def serves_amp(place: Place) -> str:
    """What CLIProxyAPI serves below `/api/provider/`, and what comes of it through us."""
    with place.plain() as started:
        direct = _amp_statuses(started.upstream.port)
        ours = _amp_statuses(started.product.port)
    # Anything but 200 and 404 is Amp's own server, that it has no account for.
    missing = [path for path, status in ours.items() if status != 200 and direct[path] in {200, 404}]
    if missing:
        raise Differs(f"{len(missing)} of {len(AMP)} forms are not served: {missing[0]}: {ours[missing[0]]}")
    count = sum(status == 200 for status in direct.values())
    return f"{count} of {len(AMP)} forms served by itself, {list(ours.values()).count(200)} through us"


def _amp_statuses(port: int) -> dict[str, int]:
    async def statuses() -> dict[str, int]:
        found = {}
        for path, api in AMP.items():
            asked = question(api, _AMP_MODEL[api], stream=False)
            found[path] = (await ask(port, Question(path, asked.headers, asked.body))).status
        return found

    return asyncio.run(statuses())


def downgrades_websockets(place: Place) -> str:
    """101 directly, 426 through us, so that Codex uses HTTP."""
    handshake = (
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    )
    with place.plain() as started:
        direct, passed = both(started, get("/v1/responses", *handshake), "GET")
    want((direct.status, passed.status), (101, 426), "/v1/responses")
    return "101 from it, 426 through us"


def passes_keepalives(place: Place) -> str:
    """Blank lines before a whole answer, comments in a stream."""
    extra = {"nonstream-keepalive-interval": 1, "streaming": {"keepalive-seconds": 1}}
    with place.rig(extra) as started:
        started.providers.delay = 2.4
        whole, stream = (
            question("messages", "a-claude", stream=False),
            question("messages", "a-claude", stream=True),
        )

        async def two() -> list[Seen]:
            return await asyncio.gather(*(ask(started.product.port, asked) for asked in (whole, stream)))

        blank, comments = asyncio.run(two())
    want((blank.status, blank.body[:1], SERVED in blank.text), (200, b"\n", True), blank.text)
    want((comments.status, SERVED in comments.text), (200, True), comments.text)
    noted = "comments" if ": keep-alive" in comments.text else "no comments"
    return f"blank lines pass, {noted} in a stream that starts late"


def cools_down(place: Place) -> str:
    """With cooling on, the second question is `model_cooldown`, which states the wait."""
    words = mark("used_up", "cooling")
    with place.rig({"disable-cooling": False}) as started:
        asked = question("responses", "a-codex", stream=False, text=words)
        first, second = (asyncio.run(ask(started.upstream.port, asked)) for _ in range(2))
        want("model_cooldown" in second.text, True, second.text)
        fell = through(
            started, question("responses", "a-codex", stream=False, text=words, request_id="cooling")
        )
        want(REPLAYED in fell.text, True, fell.header("x-hybrid-route"))
        wait = started.product.fallback("cooling").get("retry_after")
        asked_of_provider = started.providers.asked["used_up", "cooling"]
    want(asked_of_provider, 1, "questions to the provider")
    if not wait or not 3500 < float(wait) <= 3600:
        raise Differs(f"the wait was read as {wait}: {second.text[:160]}")
    return (
        f"{first.status}, then model_cooldown; falls back, {float(wait):.0f} s read, the provider asked once"
    )


def asks_again(place: Place) -> str:
    """With cooling off, each question goes to the provider."""
    words = mark("used_up", "off")
    with place.plain() as started:
        asked = question("responses", "a-codex", stream=False, text=words)
        fell = [through(started, asked) for _ in range(2)]
        times = started.providers.asked["used_up", "off"]
    want([REPLAYED in seen.text for seen in fell], [True, True], fell[0].text)
    return f"{times} of 2 questions reach the provider, both fall back"


def passes_headers(place: Place) -> str:
    """`passthrough-headers: true`: whose X-Request-Id an answer has, and whether it states a wait."""
    ids = []
    with place.rig({"passthrough-headers": True, "disable-cooling": False}) as started:
        for api, model in _AMP_MODEL.items():
            for stream in (False, True):
                good = through(started, question(api, model, stream=stream, request_id="ours"))
                want(SERVED in good.text, True, good.text)
                ids.append(good.header("x-request-id"))
        asked = question("responses", "a-codex", stream=False, text=mark("used_up", "headers"))
        asyncio.run(ask(started.upstream.port, asked))
        second = asyncio.run(ask(started.upstream.port, asked))
    wait = second.header("retry-after")
    waits = f"model_cooldown with Retry-After: {wait}" if wait else "model_cooldown without Retry-After"
    return f"{waits}; the provider's X-Request-Id in {ids.count('of-the-provider')} of {len(ids)} answers"


def refuses_redis(place: Place) -> str:
    """Its port answers Redis too, for usage tools; ours speaks HTTP."""
    with place.plain() as started:
        direct, ours = (_says_to_redis(server.port) for server in (started.upstream, started.product))
    want(ours[:12], b"HTTP/1.1 400", ours)
    return f"{direct.split(b'\r')[0].decode() or 'nothing'} from it, 400 from us"


def _says_to_redis(port: int) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as asking:
        asking.sendall(b"*1\r\n$4\r\nPING\r\n")
        return asking.recv(200)


def falls_back_when_an_account_goes(place: Place) -> str:
    """The provider's section leaves its config.yaml while it runs."""
    with place.rig() as started:
        asked = question("responses", "a-codex", stream=False)
        want(SERVED in through(started, asked).text, True, "before")
        config = json.loads(started.upstream.config.read_text(encoding="utf-8"))
        del config["codex-api-key"]
        # In place: it watches the file, not its name.
        with started.upstream.config.open("r+", encoding="utf-8") as file:
            file.seek(0)
            file.truncate()
            json.dump(config, file)
        deadline = time.monotonic() + 15
        while "a-codex" in listed_models(started.upstream.port):
            if time.monotonic() > deadline:
                raise NotSeen("it has not reloaded its config.yaml in 15 s")
            time.sleep(0.1)
        direct, passed = both(started, asked)
    want(REPLAYED in passed.text, True, f"{passed.header('x-hybrid-route')} {direct.text}")
    return f"{direct.status} for a model that it has served before: falls back"


def survives_a_restart(place: Place) -> str:
    """It ends under streams, and is started again: nothing is sent twice, and it serves again."""
    folder = place.folder / "restart"
    folder.mkdir()
    with in_thread(Providers(CASES)) as providers, in_thread(LiteLLM()) as litellm:
        providers.pace = 0.4
        with cliproxyapi(place.binary, providers, MODELS, folder / "first") as upstream:
            port = upstream.port
            with product(upstream.process.url, litellm.url, folder / "product") as hybrid:
                cut = asyncio.run(_streams_cut(hybrid.port, upstream.process.popen.kill))
                down = asyncio.run(ask(hybrid.port, question("chat", "a-compat", stream=False)))
                began = time.monotonic()
                with cliproxyapi(place.binary, providers, MODELS, folder / "second", port=port):
                    up = asyncio.run(ask(hybrid.port, question("chat", "a-compat", stream=False)))
                    took = time.monotonic() - began
    want((cut, len(litellm.asked)), (5, 0), litellm.asked)
    want((down.status, SERVED in up.text), (502, True), up.text)
    return f"{cut} streams cut, none replayed after content; 502 while it is down, serves {took:.1f} s after its start"


async def _streams_cut(port: int, stop: Callable[[], object]) -> int:
    streams = [
        asyncio.create_task(ask(port, question("messages", "a-claude", stream=True))) for _ in range(5)
    ]
    await asyncio.sleep(1.1)
    await asyncio.to_thread(stop)
    seen = await asyncio.gather(*streams)
    return sum(SERVED in answer.text and "message_stop" not in answer.text for answer in seen)


def falls_back_while_it_is_down(place: Place) -> str:
    """With `unreachable` and `server-error` opted in."""
    kinds = ["quota", "unreachable", "server-error"]
    with place.rig(None, {"on": kinds}) as started:
        want(SERVED in through(started, question("chat", "a-compat", stream=False)).text, True, "before")
        started.upstream.process.stop()
        seen = through(started, question("chat", "a-compat", stream=False))
    want(REPLAYED in seen.text, True, f"{seen.status} {seen.header('x-hybrid-route')}")
    return seen.header("x-hybrid-route")


@dataclass(frozen=True, slots=True)
class Scenario:
    """One of them, with what it would mean if it were otherwise."""

    text: str
    check: Callable[[Place], str]
    means: str


SCENARIOS = (
    Scenario("model lists pass", passes_model_lists, "clients choose from another list: models-list"),
    Scenario(
        "count_tokens and compact pass", passes_counting, "clients count or compact wrongly: routing/paths.py"
    ),
    Scenario("Amp's paths are served", serves_amp, "Amp gets 404: strip-provider-prefix, routing/paths.py"),
    Scenario(
        "Codex's websockets are answered with 426",
        downgrades_websockets,
        "Codex is never replayed: websocket",
    ),
    Scenario("keep-alives pass", passes_keepalives, "clients time out: fallback/response_hold.py"),
    Scenario(
        "cooling on: model_cooldown falls back",
        cools_down,
        "its own waits are not read: quota/retry_after.py",
    ),
    Scenario("cooling off: each failure falls back", asks_again, "quota/classifier.py"),
    Scenario("passthrough-headers", passes_headers, "Retry-After is not where we look: quota/retry_after.py"),
    Scenario("its port's Redis side", refuses_redis, "docs/operations.md says that it is refused"),
    Scenario(
        "an account that is removed while it runs",
        falls_back_when_an_account_goes,
        "a session ends when its account is removed: fallback/",
    ),
    Scenario("a restart under streams", survives_a_restart, "answers are lost or doubled: proxy/stream.py"),
    Scenario(
        "it is down, with `unreachable` and `server-error` on",
        falls_back_while_it_is_down,
        "those who opted in get its 502: proxy/stream.py",
    ),
)
