"""`fallback.to-upstream`: a listed model that LiteLLM cannot serve goes to upstream, once, and that is final."""

import json
from typing import Any

import pytest

from e2e.conftest import Start
from e2e.harness import LITELLM_502, Stub, hello, said_hello
from support.ports import free_port
from support.processes import MASTER_KEY
from support.servers import Handler, Reply
from support.wire import Request

BODY = {"model": "GPT-5(high)", "messages": [{"role": "user", "content": "Hello"}]}
CHAT = "/v1/chat/completions"


def error(status: int, message: str, **more: Any) -> Handler:
    async def fail(_: Request, reply: Reply) -> None:
        await reply.json(status, {"error": {"message": message, **more}})

    return fail


async def error_event(_: Request, reply: Reply) -> None:
    opening = {"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]}
    late = {"error": {"message": "litellm.RateLimitError: usage limit reached", "code": "429"}}
    await reply.events([f"data: {json.dumps(opening)}\n\n", f"data: {json.dumps(late)}\n\n"])


async def hang_up(_: Request, reply: Reply) -> None:
    await reply.close()


@pytest.mark.parametrize(
    ("fails", "route"),
    [
        (error(401, "Authentication Error"), "litellm-status=401"),
        (error(404, "litellm.NotFoundError: model gone"), "litellm-status=404"),
        (
            error(429, "No deployments available for selected model, Try again in 5 seconds"),
            "litellm-status=429",
        ),
        (error(500, "litellm.APIConnectionError"), "litellm-status=500"),
        (error(503, "litellm.ServiceUnavailableError"), "litellm-status=503"),
        (error(400, "Invalid model name passed in model=gpt-5. Call /v1/models"), "litellm-status=400"),
        (error_event, "litellm-status=200"),
        (hang_up, ""),
    ],
    ids=["401", "404", "429", "500", "503", "unknown", "event", "hang-up"],
)
async def test_what_litellm_cannot_serve_upstream_is_asked_for(
    start: Start, upstream: Stub, litellm: Stub, fails: Handler, route: str
) -> None:
    litellm.does = fails
    proxy = await start(fallback={"to-upstream": True})
    answer = await proxy.ask("POST", CHAT, BODY | {"stream": True}, [("Authorization", "Bearer sk-client")])
    assert (answer.status, answer.json()) == (200, said_hello(CHAT))
    assert answer.route == "; ".join(filter(None, ["upstream; reason=litellm-failed", route]))
    (asked,) = upstream.requests
    assert asked.json() == BODY | {"stream": True}, "under the client's spelling"
    assert asked.values("authorization") == ["Bearer sk-client"]
    assert MASTER_KEY not in repr(asked.headers)
    assert len(litellm.requests) == 1
    assert [line.fields["event"] for line in proxy.lines if line.level == "WARNING"][-1] == "litellm-failed"


async def test_an_unreachable_litellm_too(start: Start, upstream: Stub) -> None:
    proxy = await start(fallback={"to-upstream": True}, litellm_url=f"http://127.0.0.1:{free_port()}")
    answer = await proxy.ask("POST", CHAT, BODY)
    assert (answer.status, answer.route) == (200, "upstream; reason=litellm-failed")
    assert len(upstream.requests) == 1


@pytest.mark.parametrize("enabled", [False, True])
async def test_upstreams_answer_is_final(
    start: Start, upstream: Stub, litellm: Stub, *, enabled: bool
) -> None:
    litellm.does = error(503, "down")
    upstream.does = error(429, "usage_limit_reached", type="usage_limit_reached")
    proxy = await start(fallback={"to-upstream": True, "enabled": enabled})
    answer = await proxy.ask("POST", CHAT, BODY)
    assert (answer.status, answer.route) == (429, "upstream; reason=litellm-failed; litellm-status=503")
    assert (len(upstream.requests), len(litellm.requests)) == (1, 1)


async def test_where_neither_can_be_reached_the_client_gets_the_first(start: Start, litellm: Stub) -> None:
    litellm.does = error(503, "down")
    nowhere = f"http://127.0.0.1:{free_port()}"
    proxy = await start(fallback={"to-upstream": True}, upstream_url=nowhere)
    answer = await proxy.ask("POST", CHAT, BODY)
    assert (answer.status, answer.json()) == (503, {"error": {"message": "down"}})
    assert answer.route == "litellm; reason=model; fallback-failed=network_error"


async def test_where_nobody_answers_the_client_gets_our_502(start: Start) -> None:
    upstream, litellm = (f"http://{host}:{free_port()}" for host in ("127.0.0.1", "127.0.0.2"))
    proxy = await start(fallback={"to-upstream": True}, upstream_url=upstream, litellm_url=litellm)
    answer = await proxy.ask("POST", CHAT, BODY)
    assert (answer.status, answer.body) == (502, LITELLM_502)
    assert str(answer.route).startswith("litellm; reason=error")


REFUSED = error(400, "messages.0.content: Input should be a valid list", type="invalid_request_error")


@pytest.mark.parametrize(
    ("keys", "path", "body", "fails"),
    [
        ({"fallback": {}}, CHAT, BODY, error(503, "down")),
        ({}, CHAT, BODY, REFUSED),
        ({"models": [], "passthrough-mode": True}, CHAT, BODY, error(503, "down")),
        ({}, "/v1/responses", {"model": "gpt-5", "previous_response_id": "resp_1"}, error(503, "down")),
    ],
    ids=["off", "wrong-request", "passthrough", "stateful"],
)
async def test_what_stays_at_litellm(
    start: Start,
    upstream: Stub,
    litellm: Stub,
    keys: dict[str, Any],
    path: str,
    body: dict[str, Any],
    fails: Handler,
) -> None:
    litellm.does = fails
    proxy = await start(**({"fallback": {"to-upstream": True}} | keys))
    answer = await proxy.ask("POST", path, body)
    assert answer.status in {400, 503}
    assert str(answer.route).startswith("litellm; reason=")
    assert upstream.requests == []


async def test_a_history_that_upstream_refuses_is_tried_once_reduced(
    start: Start, upstream: Stub, litellm: Stub
) -> None:
    """LiteLLM has served the conversation before."""
    words = "messages.1.content.0.tool_use.provider_specific_fields: Extra inputs are not permitted"
    block = {"type": "tool_use", "id": "t", "name": "f", "input": {}}
    turns = [
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": [{**block, "x": 1}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "a"}]},
    ]
    body = {"model": "gpt-5", "max_tokens": 9, "messages": turns}

    async def strict(request: Request, reply: Reply) -> None:
        if "x" in request.json()["messages"][1]["content"][0]:
            await error(400, words, type="invalid_request_error")(request, reply)
        else:
            await hello(request, reply)

    proxy = await start(fallback={"to-upstream": True})
    assert (await proxy.ask("POST", "/v1/messages", body | {"messages": turns[:1]})).status == 200
    litellm.does, upstream.does = error(503, "down"), strict
    answer = await proxy.ask("POST", "/v1/messages", body)
    assert answer.status == 200
    assert answer.route == "upstream; reason=litellm-failed; litellm-status=503; history=reduced"
    assert len(upstream.requests) == 2


async def test_a_client_gets_the_rest_of_litellms_stream(start: Start, upstream: Stub, litellm: Stub) -> None:
    """What has begun with content is LiteLLM's, whatever comes then."""
    content = {"choices": [{"index": 0, "delta": {"content": "Hi"}}]}

    async def breaks(_: Request, reply: Reply) -> None:
        await reply.events([f"data: {json.dumps(content)}\n\n", 'data: {"error": {"code": 429}}\n\n'])

    litellm.does = breaks
    proxy = await start(fallback={"to-upstream": True})
    answer = await proxy.ask("POST", CHAT, BODY | {"stream": True})
    assert (answer.status, answer.route) == (200, "litellm; reason=model")
    assert b"Hi" in answer.body
    assert upstream.requests == []


async def test_what_was_left_out_for_litellm_is_there_again(
    start: Start, upstream: Stub, litellm: Stub
) -> None:
    """Upstream can read what its account has sealed."""
    litellm.does = error(503, "down")
    block = {"type": "thinking", "thinking": "t", "signature": "claude#EqQB"}
    turns = [
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": [block, {"type": "text", "text": "Hi"}]},
        {"role": "user", "content": "Go on"},
    ]
    body = {"model": "gpt-5", "max_tokens": 9, "messages": turns}
    proxy = await start(fallback={"to-upstream": True})
    answer = await proxy.ask("POST", "/v1/messages", body)
    assert answer.route == "upstream; reason=litellm-failed; litellm-status=503"
    assert block not in litellm.last.json()["messages"][1]["content"]
    assert upstream.last.json() == body
