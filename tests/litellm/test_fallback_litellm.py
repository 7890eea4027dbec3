"""A real LiteLLM answers what upstream cannot; where it cannot either, the client gets upstream's answer."""

import json
import time
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from support.clients import CLIENT_KEY, Ask, ask_chat, ask_gemini, ask_gemini_v1, ask_messages, ask_responses
from support.models import ModelServer
from support.processes import BACKEND_KEY, Process, hybrid_config, litellm, mitmdump
from support.sealed import USAGE_LIMIT
from support.servers import Handler, Reply, Server, in_thread
from support.wire import Request

pytestmark = [
    pytest.mark.litellm,
    # Which models Anthropic retires, and when, is no matter of these tests.
    pytest.mark.filterwarnings("ignore:The model '.*' is deprecated:DeprecationWarning"),
]

SSE = {"content-type": "text/event-stream"}
OVERLOADED = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
EXHAUSTED = {"error": {"code": 429, "message": "Resource has been exhausted", "status": "RESOURCE_EXHAUSTED"}}
FAILED = {
    "type": "response.failed",
    "response": {"status": "failed", "error": {"code": "usage_limit_reached", "message": "used up"}},
}

# With the failure that each API hides in a stream of status 200, and what LiteLLM makes of it if it comes
# from its backend: for two of them it passes the event on.
APIS: dict[str, tuple[Ask, str, dict[str, Any], str]] = {
    "chat": (ask_chat, "gpt-5", USAGE_LIMIT, "500"),
    "responses": (ask_responses, "gpt-5", FAILED, "error-event"),
    "messages": (ask_messages, "claude-sonnet-4-5", OVERLOADED, "error-event"),
    "gemini": (ask_gemini, "gemini-2.5-pro", EXHAUSTED, "429"),
    "gemini-v1": (ask_gemini_v1, "gemini-2.5-pro", EXHAUSTED, "429"),
}
apis = pytest.mark.parametrize(("ask", "model"), [api[:2] for api in APIS.values()], ids=APIS)
plain_and_streamed = pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])

ANSWER = json.dumps(USAGE_LIMIT)
LONGEST_COOLDOWN = 45.0
"""Seconds; LiteLLM's own is 5, and a model that it does not know is not asked for during a minute."""

PATHS: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "Hello"}]},
    "/v1/responses": {"input": "Hello"},
    "/v1/messages": {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 16},
    "/v1beta/models/{model}:generateContent": {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]},
    "/v1beta/models/{model}:streamGenerateContent?alt=sse": {
        "contents": [{"role": "user", "parts": [{"text": "Hello"}]}]
    },
}


def says(status: int, value: object) -> Handler:
    async def handler(_: Request, reply: Reply) -> None:
        await reply.json(status, value)

    return handler


def streams(*events: object) -> Handler:
    async def handler(_: Request, reply: Reply) -> None:
        await reply.events([f"data: {json.dumps(event)}\n\n" for event in events])

    return handler


@pytest.fixture(scope="module")
def exhausted() -> Iterator[Server]:
    """An upstream without quota."""
    with in_thread(Server(says(429, USAGE_LIMIT))) as server:
        yield server


@pytest.fixture(scope="module")
def fallback(
    real_litellm: Process, exhausted: Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Process]:
    """The proxy in front of it; no model is listed. Histories go as they are, to see what is refused."""
    settings = {"enabled": True, "history": "keep"}
    config = hybrid_config(real_litellm.url, models=[], fallback=settings)
    with mitmdump(config, exhausted.url, tmp_path_factory.mktemp("mitmdump")) as process:
        yield process


@pytest.fixture(autouse=True)
def _only_new_requests_of_upstream(exhausted: Server) -> None:
    exhausted.requests.clear()


# -- LiteLLM answers ----------------------------------------------------------------------


@plain_and_streamed
@pytest.mark.parametrize(("status", "answer"), [(429, USAGE_LIMIT), (529, OVERLOADED)])
@apis
def test_an_error_status_is_answered_by_litellm(
    *,
    fallback: Process,
    exhausted: Server,
    backend: ModelServer,
    monkeypatch: pytest.MonkeyPatch,
    ask: Ask,
    model: str,
    status: int,
    answer: object,
    stream: bool,
) -> None:
    monkeypatch.setattr(exhausted, "handler", says(status, answer))

    got = ask(fallback.url, model, stream=stream)

    assert (got.status, got.route) == (200, f"litellm; reason=fallback; upstream-status={status}"), got.body
    assert got.text == ("".join(backend.pieces(model)) if stream else backend.text(model))
    assert (len(exhausted.requests), len(backend.requests)) == (1, 1)
    assert CLIENT_KEY in f"{exhausted.requests[0].headers}"
    assert CLIENT_KEY not in f"{backend.requests[0].headers}"
    fallback.wait_for(f"litellm fallback: OAuth failed for {model} (status {status}), retrying with LiteLLM")


@pytest.mark.parametrize(("ask", "model", "event"), [api[:3] for api in APIS.values()], ids=APIS)
def test_an_error_in_a_stream_is_answered_by_litellm(
    fallback: Process,
    exhausted: Server,
    backend: ModelServer,
    monkeypatch: pytest.MonkeyPatch,
    ask: Ask,
    model: str,
    event: object,
) -> None:
    monkeypatch.setattr(exhausted, "handler", streams(event))

    got = ask(fallback.url, model, stream=True)

    assert (got.status, got.route) == (200, "litellm; reason=fallback; upstream-status=200"), got.body
    assert got.text == "".join(backend.pieces(model))


# -- LiteLLM cannot help either -----------------------------------------------------------


@plain_and_streamed
@apis
def test_litellms_own_429_leaves_the_client_upstreams_answer(
    *,
    fallback: Process,
    backend: ModelServer,
    monkeypatch: pytest.MonkeyPatch,
    ask: Ask,
    model: str,
    stream: bool,
) -> None:
    limited = {"error": {"message": "Rate limit reached", "type": "rate_limit_error", "code": 429}}
    monkeypatch.setattr(backend, "handler", says(429, limited))

    got = ask(fallback.url, model, stream=stream)

    assert (got.status, got.body) == (429, ANSWER)
    assert got.route == "upstream; reason=fallback-failed; fallback-failed=429"
    assert len(backend.requests) == 1


@pytest.mark.parametrize(("ask", "model", "event", "why"), APIS.values(), ids=APIS)
def test_an_error_in_litellms_first_event_leaves_the_client_upstreams_answer(
    fallback: Process,
    backend: ModelServer,
    monkeypatch: pytest.MonkeyPatch,
    ask: Ask,
    model: str,
    event: object,
    why: str,
) -> None:
    monkeypatch.setattr(backend, "handler", streams(event))

    got = ask(fallback.url, model, stream=True)

    assert (got.status, got.body) == (429, ANSWER)
    assert got.route == f"upstream; reason=fallback-failed; fallback-failed={why}"


@pytest.mark.parametrize("path", PATHS)
def test_a_model_that_litellm_does_not_know(fallback: Process, backend: ModelServer, path: str) -> None:
    model = f"not-in-the-list-{list(PATHS).index(path)}"
    body = {"model": model, **PATHS[path]}
    routes = []
    for _ in range(2):
        got = httpx.post(f"{fallback.url}{path.format(model=model)}", json=body, timeout=60)
        assert (got.status_code, got.text) == (429, ANSWER)
        routes.append(got.headers["x-hybrid-route"])

    # The second time it is not even asked.
    assert routes == [
        "upstream; reason=fallback-failed; fallback-failed=400",
        "upstream; reason=fallback-failed; fallback-failed=unknown-model",
    ]
    assert backend.requests == []
    assert fallback.output().count(f"LiteLLM does not know the model '{model}'") == 1


# -- its words for a refused history ------------------------------------------------------

SEAL = "EhlzZWFsZWQtZWxzZXdoZXJl"
"""As Anthropic's and Google's begin: that another account has set it shows only in the refusal."""
USER = {"role": "user", "content": "Hello"}
THINKING = {"type": "thinking", "thinking": "Hm", "signature": SEAL}


def a_session() -> dict[str, str]:
    """A conversation of its own: what was refused in one is reduced at once from then on."""
    return {"session_id": str(uuid.uuid4())}


REFUSED_BY_OPENAI = {
    "error": {
        "message": "The encrypted content c2Vh... could not be verified. Reason: "
        "Encrypted content organization_id did not match the target organization.",
        "type": "invalid_request_error",
        "param": None,
        "code": "invalid_encrypted_content",
    }
}
REFUSED_BY_ANTHROPIC = {
    "type": "error",
    "error": {
        "type": "invalid_request_error",
        "message": "messages.1.content.0: Invalid `signature` in `thinking` block",
    },
}
REFUSED_BY_GOOGLE = {
    "error": {"code": 400, "message": "Corrupted thought signature.", "status": "INVALID_ARGUMENT"}
}
HISTORIES = [
    (
        "/v1/responses",
        {
            "model": "gpt-5",
            "input": [
                USER,
                {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": SEAL},
                USER,
            ],
        },
        REFUSED_BY_OPENAI,
    ),
    (
        "/v1/chat/completions",
        {
            "model": "claude-sonnet-4-5",
            "messages": [USER, {"role": "assistant", "content": "Hi", "thinking_blocks": [THINKING]}, USER],
            "thinking": {"type": "enabled", "budget_tokens": 1024},
            "max_tokens": 2048,
        },
        REFUSED_BY_ANTHROPIC,
    ),
    (
        "/v1beta/models/gemini-2.5-pro:generateContent",
        {
            "contents": [
                {"role": "user", "parts": [{"text": "Hello"}]},
                {"role": "model", "parts": [{"text": "Hi", "thoughtSignature": SEAL}]},
                {"role": "user", "parts": [{"text": "Go on"}]},
            ]
        },
        REFUSED_BY_GOOGLE,
    ),
]


@plain_and_streamed
@pytest.mark.parametrize(
    ("path", "body", "refusal"), HISTORIES, ids=["responses", "chat", "generate-content"]
)
def test_a_refusal_that_litellm_wraps_is_tried_again_reduced(
    *,
    fallback: Process,
    backend: ModelServer,
    monkeypatch: pytest.MonkeyPatch,
    path: str,
    body: dict[str, Any],
    refusal: object,
    stream: bool,
) -> None:
    async def sealed(request: Request, reply: Reply) -> None:
        if SEAL.encode() in request.body:
            await reply.json(400, refusal)
        else:
            await backend.answer(request, reply)

    monkeypatch.setattr(backend, "handler", sealed)
    if stream and "contents" in body:
        path = path.replace(":generateContent", ":streamGenerateContent?alt=sse")
    elif stream:
        body = body | {"stream": True}

    got = httpx.post(fallback.url + path, json=body, headers=a_session(), timeout=60)

    assert got.status_code == 200, got.text
    assert got.headers["x-hybrid-route"].startswith(
        "litellm; reason=fallback; upstream-status=429; history=reduced"
    )
    assert "model server answered" in got.text
    assert [SEAL.encode() in request.body for request in backend.requests] == [True, False]


@plain_and_streamed
def test_litellm_itself_repeats_refused_messages_without_their_thinking(
    *, fallback: Process, backend: ModelServer, monkeypatch: pytest.MonkeyPatch, stream: bool
) -> None:
    async def sealed(request: Request, reply: Reply) -> None:
        if SEAL.encode() in request.body:
            await reply.json(400, REFUSED_BY_ANTHROPIC)
        else:
            await backend.answer(request, reply)

    monkeypatch.setattr(backend, "handler", sealed)
    turn = {"role": "assistant", "content": [THINKING, {"type": "text", "text": "Hi"}]}
    body = {
        "model": "claude-sonnet-4-5",
        "messages": [USER, turn, USER],
        "thinking": {"type": "enabled", "budget_tokens": 1024},
        "max_tokens": 2048,
        "stream": stream,
    }

    got = httpx.post(f"{fallback.url}/v1/messages", json=body, headers=a_session(), timeout=60)

    assert got.status_code == 200, got.text
    assert got.headers["x-hybrid-route"].startswith("litellm; reason=fallback; upstream-status=429; model=")
    assert [SEAL.encode() in request.body for request in backend.requests] == [True, False]


# -- what it says before it knows ---------------------------------------------------------

KINDS = dict(zip(APIS, ("openai/gpt-5", "openai/gpt-5", "anthropic/x", "gemini/x", "gemini/x"), strict=True))


def _models(backend: str) -> dict[str, dict[str, str]]:
    """A model of its own for each test: one failure puts a model into cooldown."""
    return {
        f"{name}-{api}": {
            "model": model,
            "api_key": BACKEND_KEY,
            "api_base": backend + ("/v1" if model.startswith("openai/") else ""),
        }
        for api, model in KINDS.items()
        for name in ("dead", "slow", "pair")
    }


@pytest.fixture(scope="module")
def pinging(
    backend: ModelServer, exhausted: Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Process]:
    """The proxy in front of a LiteLLM that sends pings before its backend answers, and has groups of two."""
    folder = tmp_path_factory.mktemp("pinging")
    settings = {"sse_keepalive_ping_interval_seconds": 0.3}
    with litellm(
        backend.url, folder, models=_models(backend.url), deployments=2, settings=settings
    ) as server:
        config = hybrid_config(server.url, models=[], fallback={"enabled": True})
        with mitmdump(config, exhausted.url, folder) as process:
            yield process


@pytest.mark.parametrize(("api", "ask"), [(api, APIS[api][0]) for api in APIS])
def test_pings_before_a_dead_backend_are_no_answer(
    pinging: Process, backend: ModelServer, monkeypatch: pytest.MonkeyPatch, api: str, ask: Ask
) -> None:
    async def die(_: Request, reply: Reply) -> None:
        await reply.pause(1.5)
        await reply.close()

    monkeypatch.setattr(backend, "handler", die)

    got = ask(pinging.url, f"dead-{api}", stream=True)

    assert (got.status, got.body) == (429, ANSWER)
    assert got.route.startswith("upstream; reason=fallback-failed; fallback-failed="), got.route


# Google's SDK takes no comments in a stream, from LiteLLM itself neither.
@pytest.mark.parametrize(("api", "ask"), [(api, APIS[api][0]) for api in APIS if "gemini" not in api])
def test_pings_before_an_answer_are_passed_on(
    pinging: Process, backend: ModelServer, monkeypatch: pytest.MonkeyPatch, api: str, ask: Ask
) -> None:
    async def late(request: Request, reply: Reply) -> None:
        await reply.pause(1.5)
        await backend.answer(request, reply)

    monkeypatch.setattr(backend, "handler", late)

    got = ask(pinging.url, f"slow-{api}", stream=True)

    assert (got.status, got.route) == (200, "litellm; reason=fallback; upstream-status=429"), got.body


# -- its own cooldown ---------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
def test_a_group_that_cools_down_serves_again_when_it_says(
    *, pinging: Process, backend: ModelServer, monkeypatch: pytest.MonkeyPatch, stream: bool
) -> None:
    """One 429 of each deployment, and LiteLLM has none left for a moment; it says for how long."""
    left = [0, 0]
    limited = {"error": {"message": "Rate limit reached", "type": "rate_limit_error", "code": 429}}

    async def once_each(request: Request, reply: Reply) -> None:
        if left:
            left.pop()
            await reply.json(429, limited)
        else:
            await backend.answer(request, reply)

    monkeypatch.setattr(backend, "handler", once_each)
    model = f"pair-{'messages' if stream else 'chat'}"
    ask = ask_messages if stream else ask_chat
    routes: list[str] = []
    began = time.monotonic()
    while not routes or not routes[-1].startswith("litellm"):
        assert time.monotonic() - began < LONGEST_COOLDOWN, routes
        got = ask(pinging.url, model, stream=stream)
        routes.append(got.route)
        if got.route.startswith("upstream"):
            assert (got.status, got.body) == (429, ANSWER)
            time.sleep(0.2)

    failed = [route.rpartition("fallback-failed=")[2] for route in routes[:-1]]
    assert failed[:2] == ["429", "429"], failed
    assert set(failed) == {"429", "litellm-cooldown"}, failed
    assert failed.count("429") < 6, "it is asked again only when the wait is over"
    assert routes[-1] == "litellm; reason=fallback; upstream-status=429"
