"""What becomes of one refused request: how often it is tried, where, and what is said about it."""

import gzip
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import zstandard

from e2e.conftest import Start
from e2e.fallback_support import DROPS, JSON, ON, OUT_OF_QUOTA, SSE, ask, healthy, plain, says
from e2e.harness import Answer, Proxy, Stub, hello
from e2e.history_support import (
    AT_UPSTREAM,
    ENCRYPTED,
    FELL_BACK,
    KEY_A,
    KEY_B,
    REDUCED,
    Turn,
    claude_code,
    codex,
)
from support.dialects import data
from support.servers import Handler, Reply
from support.wire import Request

__all__ = ["healthy"]

type Ask = Callable[[], Awaitable[Answer]]

RESPONSES = "/v1/responses"
USER = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hello"}]}
SEALED = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAAA"}
CALL = {"type": "function_call", "call_id": "call_1", "name": "shell", "arguments": "{}"}
RESULT = {"type": "function_call_output", "call_id": "call_1", "output": "ok"}
HISTORY: dict[str, Any] = {"model": "o3", "input": [USER, SEALED, CALL, RESULT], "store": False}
REFUSES = says(400, ENCRYPTED)
OTHER_400 = says(400, b'{"error": {"message": "Unknown parameter: foo", "type": "invalid_request_error"}}')


def in_turn(*handlers: Handler) -> Handler:
    """A handler of its own for each request; more requests than that fail the test."""
    left = list(handlers)

    async def handler(request: Request, reply: Reply) -> None:
        await left.pop(0)(request, reply)

    return handler


async def breaks(_: Request, reply: Reply) -> None:
    """Close the connection without an answer."""
    await reply.close()


async def sent_away(proxy: Proxy, upstream: Stub, litellm: Stub) -> Ask:
    """Have a conversation served by LiteLLM, forget that, and return how to ask on."""

    async def further() -> Answer:
        return await ask(proxy, HISTORY, RESPONSES)

    upstream.does, litellm.does = OUT_OF_QUOTA, hello
    assert (await further()).status == 200
    upstream.requests.clear()
    litellm.requests.clear()
    return further


def attempts(upstream: Stub, litellm: Stub) -> tuple[int, int]:
    return len(upstream.requests), len(litellm.requests)


# -- back at upstream ---------------------------------------------------------------------


async def test_a_conversation_that_was_never_on_litellm_gets_upstreams_refusal(
    start: Start, upstream: Stub, litellm: Stub
) -> None:
    proxy = await start(fallback=ON)
    upstream.does = REFUSES

    answer = await ask(proxy, HISTORY, RESPONSES)

    assert (answer.status, answer.body, answer.route) == (400, ENCRYPTED, AT_UPSTREAM)
    assert attempts(upstream, litellm) == (1, 0)
    assert plain(answer) == [("content-type", "application/json"), ("content-length", str(len(ENCRYPTED)))]


@pytest.mark.parametrize("other", ["session", "key", "opening"])
async def test_another_conversation_was_not_away(
    start: Start, upstream: Stub, litellm: Stub, other: str
) -> None:
    proxy = await start(fallback=ON)
    await sent_away(proxy, upstream, litellm)
    upstream.does = REFUSES

    headers = {"session": [("session_id", "other")], "key": KEY_B, "opening": []}[other]
    first = {**USER, "content": [{"type": "input_text", "text": "Good morning"}]}
    history = {**HISTORY, "input": [first, SEALED]} if other == "opening" else HISTORY
    answer = await ask(proxy, history, RESPONSES, headers)

    assert answer.status == 400
    assert attempts(upstream, litellm) == (1, 0)


@pytest.mark.parametrize(
    "refusal",
    [
        ENCRYPTED,
        b'{"error":{"message":"The thinking signature is invalid","code":"thinking_signature_invalid"}}',
    ],
    ids=["openai", "cliproxyapi"],
)
async def test_what_a_retry_sends(start: Start, upstream: Stub, litellm: Stub, refusal: bytes) -> None:
    proxy = await start(fallback=ON)
    further = await sent_away(proxy, upstream, litellm)
    upstream.does = in_turn(says(400, refusal), hello)

    answer = await further()

    assert (answer.status, answer.route) == (200, AT_UPSTREAM + REDUCED)
    first, second = upstream.requests
    assert first.json() == HISTORY
    assert second.json() == {**HISTORY, "input": [USER, CALL, RESULT]}
    assert second.header("content-length") == str(len(second.body))
    same = ("content-length",)
    assert [field for field in second.headers if field[0].decode().lower() not in same] == [
        field for field in first.headers if field[0].decode().lower() not in same
    ]
    assert litellm.requests == []


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
async def test_a_compressed_history_is_retried_plain(
    start: Start, upstream: Stub, litellm: Stub, coding: str
) -> None:
    proxy = await start(fallback=ON)
    body = json.dumps(HISTORY).encode()
    packed = gzip.compress(body) if coding == "gzip" else zstandard.ZstdCompressor().compress(body)
    headers = [("content-type", "application/json"), ("content-encoding", coding)]
    upstream.does = in_turn(OUT_OF_QUOTA, REFUSES, hello)

    assert (await proxy.ask("POST", RESPONSES, packed, headers)).route == FELL_BACK + REDUCED
    assert (await proxy.ask("POST", RESPONSES, packed, headers)).route == AT_UPSTREAM + REDUCED

    assert [request.body == packed for request in upstream.requests] == [True, True, False]
    assert upstream.last.header("content-encoding") is None
    assert upstream.last.json() == {**HISTORY, "input": [USER, CALL, RESULT]}
    assert litellm.last.json() == upstream.last.json() | DROPS


async def test_a_retry_is_logged_and_counted(start: Start, upstream: Stub, litellm: Stub) -> None:
    proxy = await start(fallback=ON)
    further = await sent_away(proxy, upstream, litellm)
    upstream.does = in_turn(REFUSES, hello)
    before = len(proxy.log("history reduced"))

    await further()

    (line,) = proxy.log("history reduced")[before:]
    assert line.message == "litellm: history reduced for o3: reasoning (1)"
    assert line.fields["target"] == "upstream"
    assert proxy.addon._fallbacks.counts["history-reduced"] == 1


@pytest.mark.parametrize(
    ("second", "status"), [(REFUSES, 400), (OTHER_400, 400), (breaks, 400), (says(404, b"{}"), 404)]
)
async def test_a_retry_that_fails_costs_no_third_attempt(
    start: Start, upstream: Stub, litellm: Stub, second: Handler, status: int
) -> None:
    proxy = await start(fallback=ON)
    further = await sent_away(proxy, upstream, litellm)
    upstream.does = in_turn(REFUSES, second)

    answer = await further()

    assert answer.status == status
    assert answer.route is not None
    assert answer.route.startswith(AT_UPSTREAM)
    assert attempts(upstream, litellm) == (2, 0)
    assert proxy.log("litellm fallback failed") == []


async def test_the_refusal_comes_back_as_it_was_where_reducing_did_not_help(
    start: Start, upstream: Stub, litellm: Stub
) -> None:
    proxy = await start(fallback=ON)
    further = await sent_away(proxy, upstream, litellm)
    again = json.dumps({"error": {"message": "again", "code": "invalid_encrypted_content"}}).encode()
    upstream.does = in_turn(REFUSES, says(400, again))

    answer = await further()

    assert (answer.status, answer.body, answer.route) == (400, ENCRYPTED, AT_UPSTREAM)
    (line,) = proxy.log("a reduced history did not help")
    assert line.message == (
        "litellm: a reduced history did not help for o3 (400): "
        "the client gets upstream's first answer (status 400)"
    )
    assert proxy.addon._fallbacks.counts["history-retry-failed"] == 1


async def test_a_retried_upstream_that_is_out_of_quota_falls_back_once(
    start: Start, upstream: Stub, litellm: Stub
) -> None:
    proxy = await start(fallback=ON)
    further = await sent_away(proxy, upstream, litellm)
    upstream.does = in_turn(REFUSES, OUT_OF_QUOTA)

    answer = await further()

    assert (answer.status, answer.route) == (200, FELL_BACK + REDUCED)
    assert attempts(upstream, litellm) == (2, 1)


async def test_a_fallback_after_a_retry_that_fails_gives_back_the_refusal(
    start: Start, upstream: Stub, litellm: Stub
) -> None:
    proxy = await start(fallback=ON)
    further = await sent_away(proxy, upstream, litellm)
    upstream.does, litellm.does = in_turn(REFUSES, OUT_OF_QUOTA), says(500, b"{}")

    answer = await further()

    assert (answer.status, answer.body) == (400, ENCRYPTED)
    assert answer.route == "upstream; reason=fallback-failed; fallback-failed=500"
    assert attempts(upstream, litellm) == (2, 1)


async def test_a_retry_spends_nothing(start: Start, upstream: Stub, litellm: Stub) -> None:
    proxy = await start(fallback=ON | {"max-per-hour": 1})
    further = await sent_away(proxy, upstream, litellm)
    upstream.does = in_turn(REFUSES, hello)

    assert (await further()).status == 200
    assert litellm.requests == []


async def test_a_conversation_that_was_routed_to_litellm_by_its_model_was_away(
    start: Start, upstream: Stub
) -> None:
    proxy = await start(fallback=ON)
    assert (await ask(proxy, HISTORY | {"model": "gpt-5"}, RESPONSES)).route == "litellm; reason=model"
    upstream.does = in_turn(REFUSES, hello)

    assert (await ask(proxy, HISTORY, RESPONSES)).route == AT_UPSTREAM + REDUCED


async def test_nothing_is_retried_after_the_first_byte(start: Start, upstream: Stub, litellm: Stub) -> None:
    proxy = await start(fallback=ON)
    further = await sent_away(proxy, upstream, litellm)
    delta = data({"type": "response.output_text.delta", "delta": "Hi"}, "response.output_text.delta")
    stream = delta + b"event: error\ndata: " + ENCRYPTED + b"\n\n"
    upstream.does = says(200, stream, SSE, chunks=[stream])

    answer = await further()

    assert (answer.status, answer.body) == (200, stream)
    assert attempts(upstream, litellm) == (1, 0)


async def test_a_refusal_without_anything_to_reduce_passes(
    start: Start, upstream: Stub, litellm: Stub
) -> None:
    proxy = await start(fallback=ON)
    await sent_away(proxy, upstream, litellm)
    upstream.does = REFUSES

    answer = await ask(proxy, HISTORY | {"input": [USER, CALL, RESULT]}, RESPONSES)

    assert (answer.status, answer.body, answer.route) == (400, ENCRYPTED, AT_UPSTREAM)
    assert attempts(upstream, litellm) == (1, 0)


async def test_with_fallback_off_a_refusal_passes(start: Start, upstream: Stub) -> None:
    proxy = await start()
    await ask(proxy, HISTORY | {"model": "gpt-5"}, RESPONSES)
    upstream.does = REFUSES

    assert (await ask(proxy, HISTORY, RESPONSES)).status == 400
    assert len(upstream.requests) == 1


# -- towards LiteLLM ----------------------------------------------------------------------


@pytest.mark.parametrize("make", [codex, claude_code])
async def test_litellm_is_asked_twice_at_most(
    start: Start, upstream: Stub, litellm: Stub, make: Callable[..., Any]
) -> None:
    proxy = await start(fallback=ON | {"history": "keep"})
    talk = make(proxy, upstream, litellm)
    await talk.turns(2)
    litellm.does = says(400, json.dumps(talk.litellm.error(_REFUSALS[make])).encode())
    talk.upstream.out_of_quota = True
    upstream.requests.clear()

    answer = await proxy.ask("POST", talk.agent.path, talk.agent.body(), talk.agent.headers)

    assert answer.status == 429
    assert answer.json()["error"]["type"] == "usage_limit_reached"
    assert answer.route == "upstream; reason=fallback-failed; fallback-failed=400"
    assert attempts(upstream, litellm) == (1, 2)


_REFUSALS = {
    codex: "litellm.BadRequestError: OpenAIException - The encrypted content gAAA could not be verified.",
    claude_code: "messages.1.content.0: Invalid `signature` in `thinking` block",
}


async def test_any_other_400_of_litellm_is_not_tried_again(
    start: Start, upstream: Stub, litellm: Stub
) -> None:
    proxy = await start(fallback=ON | {"history": "keep"})
    upstream.does, litellm.does = OUT_OF_QUOTA, OTHER_400

    answer = await ask(proxy, HISTORY, RESPONSES)

    assert answer.status == 429
    assert attempts(upstream, litellm) == (1, 1)


async def test_a_refusal_at_litellm_after_its_first_byte_passes(
    start: Start, upstream: Stub, litellm: Stub
) -> None:
    proxy = await start(fallback=ON | {"history": "keep"})
    delta = data({"type": "response.output_text.delta", "delta": "Hi"}, "response.output_text.delta")
    stream = delta + b"event: error\ndata: " + ENCRYPTED + b"\n\n"
    upstream.does, litellm.does = OUT_OF_QUOTA, says(200, stream, SSE, chunks=[delta, stream[len(delta) :]])

    answer = await ask(proxy, HISTORY, RESPONSES)

    assert (answer.status, answer.body, answer.route) == (200, stream, FELL_BACK)
    assert attempts(upstream, litellm) == (1, 1)


async def test_the_log_says_what_was_dropped_and_switched_off(
    start: Start, upstream: Stub, litellm: Stub
) -> None:
    proxy = await start(fallback=ON)
    talk = claude_code(proxy, upstream, litellm)
    await talk.turns(2)
    assert await talk.turns(1, out_of_quota=True) == [Turn(FELL_BACK + REDUCED, 1, 2)]

    (line,) = proxy.log("history reduced")
    assert line.message == (
        "litellm: history reduced for claude-opus-4-5: thinking (2); "
        "switched off for this turn: thinking, context_management.clear_thinking"
    )


# -- what is left alone -------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["keep", "reduce", "auto"])
@pytest.mark.parametrize(
    ("path", "body"),
    [
        (RESPONSES, b'{"model":"o3" , "input":[ {"role":"user","content":"H\\u00e9 \xc3\xa9"} ], "x": 1.0 }'),
        ("/v1/messages", b'{ "messages":[{"role":"user","content":"a"}],"model":"o3","max_tokens":1e2}'),
        ("/v1/chat/completions", b'{"messages":[{"role":"user","content":"a" }],\n"model":"o3"}'),
        ("/v1beta/models/o3:generateContent", b'{"contents" : [{"role":"user","parts":[{"text":"a"}]}]}'),
        ("/v1/embeddings", b'{"model":"o3", "input":"a"}'),
    ],
)
async def test_a_request_without_foreign_parts_keeps_its_bytes(
    start: Start, upstream: Stub, litellm: Stub, policy: str, path: str, body: bytes
) -> None:
    proxy = await start(fallback=ON | {"history": policy})
    upstream.does = OUT_OF_QUOTA

    answer = await proxy.ask("POST", path, body, JSON.items())

    assert (answer.status, answer.route) == (200, FELL_BACK)
    dropping = body if path.endswith("embeddings") else body.rstrip()[:-1].rstrip() + b',"drop_params":true}'
    assert (upstream.last.body, litellm.last.body) == (body, dropping)


async def test_stored_responses_are_never_replayed_and_that_is_said_once_for_each_client(
    start: Start, upstream: Stub, litellm: Stub
) -> None:
    proxy = await start(fallback=ON)
    upstream.does = OUT_OF_QUOTA

    for key in (KEY_A, KEY_A, KEY_B):
        answer = await ask(proxy, HISTORY | {"previous_response_id": "resp_1"}, RESPONSES, key)
        assert (answer.status, answer.route) == (429, "upstream; reason=stateful")

    assert litellm.requests == []
    assert len(proxy.log("previous_response_id")) == 2


async def test_a_long_request_is_searched_for_stored_files_once_upstream_fails(
    start: Start, upstream: Stub, litellm: Stub
) -> None:
    proxy = await start(fallback=ON)
    part = {"type": "input_file", "file_id": "file-1"}
    turns = [{"role": "user", "content": [part, {"type": "input_text", "text": "x" * 300_000}]}]

    served = await ask(proxy, HISTORY | {"input": turns}, RESPONSES, KEY_A)
    upstream.does = OUT_OF_QUOTA
    refused = await ask(proxy, HISTORY | {"input": turns}, RESPONSES, KEY_A)

    assert (served.status, served.route) == (200, "upstream; reason=not-listed")
    assert (refused.status, refused.route) == (429, "upstream; reason=stateful")
    assert litellm.requests == []
    assert len(proxy.log("previous_response_id")) == 1


# -- what a maker on the other side has added ------------------------------------------------

MESSAGES = "/v1/messages"
QUESTION = {"role": "user", "content": "list files"}
CALL_BLOCK = {"type": "tool_use", "id": "toolu_1", "name": "Bash", "input": {"command": "ls"}}
RESULT_TURN = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "a"}]}
CLEAR_THINKING = {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]}


def claude_turn(*blocks: dict[str, Any]) -> dict[str, Any]:
    history = [QUESTION, {"role": "assistant", "content": list(blocks)}, RESULT_TURN]
    return {
        "model": "claude-opus-4-5",
        "thinking": {"type": "adaptive"},
        "context_management": CLEAR_THINKING,
        "messages": history,
    }


async def test_a_claude_session_survives_a_gemini_model_behind_litellm(
    start: Start, upstream: Stub, litellm: Stub
) -> None:
    """LiteLLM adds provider_specific_fields, the client sends them back, Anthropic refuses them for ever."""
    proxy = await start(fallback=ON)
    upstream.does, litellm.does = OUT_OF_QUOTA, hello
    await ask(proxy, claude_turn(CALL_BLOCK), MESSAGES)
    upstream.requests.clear()
    upstream.does = hello

    added = claude_turn(CALL_BLOCK | {"provider_specific_fields": {"thought_signature": "x"}})
    answers = [await ask(proxy, added, MESSAGES) for _ in range(2)]

    assert [(answer.status, answer.route) for answer in answers] == [(200, AT_UPSTREAM + REDUCED)] * 2
    assert [request.json() for request in upstream.requests] == [claude_turn(CALL_BLOCK)] * 2


async def test_claude_codes_replay_where_litellm_leaves_the_edit_behind(
    start: Start, upstream: Stub, litellm: Stub
) -> None:
    proxy = await start(fallback=ON)
    refusal = {
        "error": {
            "message": "litellm.BadRequestError: AnthropicException - `clear_thinking_20251015` strategy requires "
            "`thinking` to be enabled or adaptive",
            "code": "400",
        }
    }
    upstream.does = OUT_OF_QUOTA
    litellm.does = in_turn(says(400, json.dumps(refusal).encode()), hello, hello)
    sealed = claude_turn({"type": "thinking", "thinking": "t", "signature": "EqQB"}, CALL_BLOCK)

    answers = [await ask(proxy, sealed, MESSAGES) for _ in range(2)]

    assert [(answer.status, answer.route) for answer in answers] == [(200, FELL_BACK + REDUCED)] * 2
    first, *others = [request.json() for request in litellm.requests]
    assert first == sealed | DROPS
    without = {k: v for k, v in claude_turn(CALL_BLOCK).items() if k != "context_management"} | DROPS
    assert others == [without] * 2


async def test_what_needs_no_reduction_goes_upstream_byte_for_byte(
    start: Start, upstream: Stub, litellm: Stub
) -> None:
    proxy = await start(fallback=ON)
    body = json.dumps(claude_turn(CALL_BLOCK), indent=1).encode()
    upstream.does, litellm.does = OUT_OF_QUOTA, hello
    await proxy.ask("POST", MESSAGES, body)
    upstream.does = hello

    answer = await proxy.ask("POST", MESSAGES, body)

    assert answer.route == AT_UPSTREAM
    assert upstream.last.body == body
