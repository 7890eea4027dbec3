"""A replay that a backend behind LiteLLM refuses is sent again in a form that it takes."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from e2e.conftest import Start
from e2e.fallback_support import (
    CHAT,
    COOLDOWN,
    DROPS,
    FELL_BACK,
    MESSAGES,
    ON,
    OUT_OF_QUOTA,
    QUOTA,
    SSE,
    ask,
    failed,
    healthy,
    says,
)
from e2e.harness import Answer, Proxy, Stub, hello, said_hello, settings, until
from litellm_hybrid.cli.main import main
from support.ports import free_port
from support.servers import Handler, Reply
from support.wire import Request

__all__ = ["healthy"]

type Says = Callable[[Reply, str], Any]

CLAUDE_CODE = {
    "model": "o3",
    "max_tokens": 64000,
    "metadata": {"user_id": "u" * 150},
    "thinking": {"type": "adaptive"},
    "output_config": {"effort": "max"},
    "messages": [{"role": "user", "content": "hi"}],
}
TAKEN = {"model": "o3", "max_tokens": 8192, "messages": [{"role": "user", "content": "hi"}]} | DROPS


def error(words: str) -> dict[str, Any]:
    message = f"litellm.BadRequestError: AzureException BadRequestError - {words}. Received Model Group=o3"
    return {"error": {"message": message, "type": None, "param": None, "code": "400"}}


async def as_400(reply: Reply, words: str) -> None:
    await reply.json(400, error(words))


async def as_500(reply: Reply, words: str) -> None:
    await reply.json(500, error(words))


async def as_event(reply: Reply, words: str) -> None:
    event = {"type": "error", **error(words)}
    await reply.send(200, b"event: error\ndata: %b\n\n" % json.dumps(event).encode(), SSE)


def strict(refuse: Says = as_400) -> Handler:
    """Take no user of more than 64 characters, 8192 tokens, and neither effort nor thinking; say one at a time."""

    async def handler(request: Request, reply: Reply) -> None:
        body = request.json()
        if len(body.get("metadata", {}).get("user_id", "")) > 64:
            await refuse(reply, "Invalid 'user': string too long. Expected a string with maximum length 64")
        elif body.get("max_tokens", 0) > 8192:
            await refuse(
                reply, "max_tokens is too large: 64000. This model supports at most 8192 completion tokens"
            )
        elif "output_config" in body:
            await refuse(reply, "This model does not support the effort parameter")
        elif "thinking" in body:
            await refuse(reply, "adaptive thinking is not supported on this model")
        else:
            await hello(request, reply)

    return handler


async def refuses_everything(request: Request, reply: Reply) -> None:
    """Refuse another option of whatever is left."""
    name = next(name for name in request.json() if name not in {"model", "messages", "drop_params"})
    await as_400(reply, f"Unknown parameter: '{name}'")


@pytest.mark.parametrize("refuse", [as_400, as_500, as_event])
async def test_a_session_pays_once(start: Start, upstream: Stub, litellm: Stub, refuse: Says) -> None:
    """Each refusal costs an attempt; the next turn is sent as the backend takes it."""
    proxy = await start(fallback=ON | {"max-per-hour": 2})
    upstream.does, litellm.does = OUT_OF_QUOTA, strict(refuse)

    first = await ask(proxy, CLAUDE_CODE, MESSAGES)
    assert (first.status, first.route) == (200, FELL_BACK)
    assert len(litellm.requests) == 5
    assert litellm.last.json() == TAKEN
    assert len({tuple(request.headers) for request in litellm.requests}) == 5, "they differ in Content-Length"

    second = await ask(proxy, CLAUDE_CODE, MESSAGES)
    assert (second.status, second.route, len(litellm.requests)) == (200, FELL_BACK, 6)
    assert litellm.last.json() == TAKEN

    assert (await ask(proxy, CLAUDE_CODE, MESSAGES)).route == failed("budget"), "each was one replay"
    assert len(upstream.requests) == 3


async def test_the_status_page_and_explain_say_what_is_remembered(
    start: Start, upstream: Stub, litellm: Stub, tmp_path: Path
) -> None:
    """And what LiteLLM's configuration could say; it is gone once LiteLLM refuses all the same."""
    proxy = await start(fallback=ON)
    upstream.does, litellm.does = OUT_OF_QUOTA, strict()
    await ask(proxy, CLAUDE_CODE, MESSAGES)

    async def remembered() -> Any:
        return (await proxy.ask("GET", "/_hybrid/status")).json()["replay_changes"]

    assert await remembered() == [
        {
            "model": "o3",
            "api": "messages",
            "changes": ["omit user", "max_tokens at most 8192", "omit reasoning_effort", "omit thinking"],
            "settings": [
                'litellm_params: additional_drop_params: ["user"]',
                "litellm_settings: modify_params: true",
                'litellm_params: additional_drop_params: ["reasoning_effort"]',
            ],
        }
    ]
    page = await proxy.ask("GET", "/_hybrid/status", headers=[("accept", "text/html")])
    assert b"max_tokens at most 8192" in page.body
    assert b"additional_drop_params: [&#34;user&#34;]" in page.body

    file = tmp_path / "of-the-command.yaml"
    file.write_text(
        json.dumps(settings(f"http://127.0.0.1:{free_port()}", fallback=ON, listen=f"127.0.0.1:{proxy.port}"))
    )
    command = ["explain", "--config", str(file), "o3"]
    shown = await asyncio.to_thread(CliRunner().invoke, main, command)
    assert "o3 by messages: omit user, max_tokens at most 8192" in shown.output
    assert "litellm_settings: modify_params: true" in shown.output

    litellm.does = says(400, json.dumps(error("image input is not supported")).encode())
    await ask(proxy, CLAUDE_CODE, MESSAGES)
    assert await remembered() == []
    gone = await asyncio.to_thread(CliRunner().invoke, main, command)
    assert "goes to" in gone.output
    assert "by messages" not in gone.output


async def test_what_is_remembered_is_of_a_model_on_an_api(
    start: Start, upstream: Stub, litellm: Stub
) -> None:
    proxy = await start(fallback=ON)
    upstream.does, litellm.does = OUT_OF_QUOTA, strict()
    await ask(proxy, CLAUDE_CODE, MESSAGES)
    litellm.requests.clear()

    await ask(proxy, CLAUDE_CODE | {"model": "o4"}, MESSAGES)
    assert len(litellm.requests) == 5
    litellm.requests.clear()
    await ask(proxy, {"max_tokens": 64000}, CHAT)
    assert [request.json()["max_tokens"] for request in litellm.requests] == [64000, 8192]
    litellm.requests.clear()
    await ask(proxy, {"max_tokens": 100, "messages": []}, MESSAGES)
    assert litellm.last.json() == {"model": "o3", "max_tokens": 100, "messages": []} | DROPS


async def test_a_reload_forgets(start: Start, upstream: Stub, litellm: Stub) -> None:
    proxy = await start(fallback=ON)
    upstream.does, litellm.does = OUT_OF_QUOTA, strict()
    await ask(proxy, CLAUDE_CODE, MESSAGES)
    litellm.requests.clear()

    proxy.write(settings(litellm.url, fallback=ON | {"hold-max": "1m"}))
    await until(lambda: proxy.log("fallback.hold-max: 45s → 1m"))
    await ask(proxy, CLAUDE_CODE, MESSAGES)

    assert len(litellm.requests) == 5


async def test_a_backend_that_always_refuses_costs_five_further_attempts(
    start: Start, upstream: Stub, litellm: Stub
) -> None:
    proxy = await start(fallback=ON)
    upstream.does, litellm.does = OUT_OF_QUOTA, refuses_everything
    options = {f"option_{number}": number for number in range(9)}

    for _ in range(2):
        litellm.requests.clear()
        answer = await ask(proxy, options)
        assert (answer.status, answer.body, answer.route) == (429, QUOTA, failed("400"))
        assert len(litellm.requests) == 6
        assert litellm.requests[0].json() == {"model": "o3"} | options | DROPS, "nothing was remembered"
    line = proxy.log("litellm fallback failed")[0]
    assert "tried: omit option_0, omit option_1, omit option_2, omit option_3, omit option_4" in line.message
    assert "Unknown parameter: 'option_5'" in line.fields["litellm_message"]


@pytest.mark.parametrize(
    "words",
    [
        "image input is not supported",
        "Unknown parameter: 'messages'",
        "Unknown parameter: 'not_there'",
        "max_tokens is too large: 9. This model supports at most 99999 completion tokens",
    ],
)
async def test_what_the_table_does_not_help_costs_no_second_attempt(
    start: Start, upstream: Stub, litellm: Stub, words: str
) -> None:
    proxy = await start(fallback=ON)
    upstream.does = OUT_OF_QUOTA
    litellm.does = says(400, json.dumps(error(words)).encode())

    answer = await ask(proxy, CLAUDE_CODE, MESSAGES)

    assert (answer.status, answer.body, answer.route) == (429, QUOTA, failed("400"))
    assert len(litellm.requests) == 1


async def test_the_same_change_is_not_tried_twice(start: Start, upstream: Stub, litellm: Stub) -> None:
    proxy = await start(fallback=ON)
    upstream.does = OUT_OF_QUOTA
    litellm.does = says(400, json.dumps(error("Unknown parameter: 'metadata'")).encode())

    assert (await ask(proxy, CLAUDE_CODE, MESSAGES)).route == failed("400")

    assert ["metadata" in request.json() for request in litellm.requests] == [True, False]


async def test_a_routed_request_is_sent_as_it_is(start: Start, litellm: Stub) -> None:
    proxy = await start(models=["o3"], fallback=ON)
    litellm.does = strict()

    answer = await ask(proxy, CLAUDE_CODE, MESSAGES)

    assert answer.status == 400
    assert [request.json() for request in litellm.requests] == [CLAUDE_CODE]


@pytest.mark.parametrize("keys", [{"cooldown-max": "1h"}, {"sticky": "1h"}])
async def test_what_passes_upstream_by_is_helped_as_well(
    start: Start, upstream: Stub, litellm: Stub, keys: dict[str, str]
) -> None:
    proxy = await start(fallback=ON | keys)
    upstream.does = says(429, COOLDOWN)
    await ask(proxy, {"messages": CLAUDE_CODE["messages"], "max_tokens": 1}, MESSAGES)
    litellm.does = strict()
    upstream.requests.clear()

    answer = await ask(proxy, CLAUDE_CODE, MESSAGES)

    assert answer.status == 200
    assert upstream.requests == []
    assert litellm.last.json() == TAKEN


async def test_a_forced_tool_stays_forced(start: Start, upstream: Stub, litellm: Stub) -> None:
    """And LiteLLM is not told that it may leave something out."""
    litellm.deployments = BY_OPENAI
    proxy = await start(fallback=ON)
    upstream.does, litellm.does = OUT_OF_QUOTA, refuses_everything

    answer = await ask_when_told(proxy, FORCED, "demand")

    assert (answer.status, answer.route) == (429, failed("400"))
    assert [request.json() for request in litellm.requests] == [{"model": "o3"} | FORCED]


async def ask_when_told(proxy: Proxy, asks: dict[str, Any], unknown: str) -> Answer:
    """Ask once LiteLLM, which is asked at the start, has told who serves the model."""
    for _ in range(1200):
        answer = await ask(proxy, asks, MESSAGES)
        if answer.route != failed(unknown):
            break
        await asyncio.sleep(0.05)
    return answer


BY_OPENAI = [{"model_name": "o3", "litellm_params": {"model": "openai/o3"}}]
FORCED = {"tool_choice": {"type": "tool", "name": "f"}, "tools": [{"name": "f", "input_schema": {}}]}
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBO"}}


async def test_a_client_that_has_left_costs_no_further_attempt(
    start: Start, upstream: Stub, litellm: Stub
) -> None:
    proxy = await start(fallback=ON)
    upstream.does, has_left = OUT_OF_QUOTA, asyncio.Event()

    async def refuse_late(_: Request, reply: Reply) -> None:
        await has_left.wait()
        await as_400(reply, "Unknown parameter: 'metadata'")

    litellm.does = refuse_late
    client = await proxy.client()
    await client.request("POST", MESSAGES, CLAUDE_CODE)
    await litellm.seen()
    await client.close()
    await until(lambda: proxy.log("client disconnected"))
    has_left.set()
    litellm.does = hello
    assert (await ask(proxy, {"messages": []}, MESSAGES)).route == FELL_BACK
    assert ["metadata" in request.json() for request in litellm.requests] == [True, False]
    assert len(upstream.requests) == 2


SHOWN = {"messages": [{"role": "user", "content": [IMAGE]}]}


def answers(model: str, headers: dict[str, str] | None = None) -> Handler:
    """Answer as a deployment of a model; "": LiteLLM does not say which."""
    named = {"x-litellm-model-name": model} if model else {}
    labels = {"content-type": "application/json"} | (headers or {}) | named

    async def handler(request: Request, reply: Reply) -> None:
        await reply.send(200, json.dumps(said_hello(request.path)), labels)

    return handler


@pytest.mark.parametrize(
    ("asks", "why", "keeps", "loses"),
    [
        (FORCED, "demand", "openai/gpt-5", "ollama/qwen3"),
        (SHOWN, "attachment", "xai/grok-4", "deepseek/chat"),
    ],
)
@pytest.mark.parametrize("says", [True, False])
async def test_who_answers_decides_where_it_is_not_known_who_may_be_asked(
    start: Start,
    upstream: Stub,
    litellm: Stub,
    asks: dict[str, Any],
    why: str,
    keeps: str,
    loses: str,
    says: bool,
) -> None:
    """An answer of one that has not got all of the request goes to nobody, and for an hour none is asked for."""
    proxy = await start(fallback=ON)
    upstream.does, litellm.does = OUT_OF_QUOTA, answers(keeps)
    assert (await ask(proxy, asks, MESSAGES)).route == FELL_BACK
    assert litellm.last.json() == {"model": "o3"} | asks | ({} if asks is FORCED else DROPS)

    litellm.does = answers(loses if says else "")
    for _ in range(2):
        answer = await ask(proxy, asks, MESSAGES)
        assert (answer.status, answer.body, answer.route) == (429, QUOTA, failed(why))
    assert len(litellm.requests) == 2
    litellm.does = answers(keeps)
    assert (await ask(proxy, {"messages": []}, MESSAGES)).route == FELL_BACK


async def test_a_stream_that_cannot_be_read_is_judged_by_its_head(
    start: Start, upstream: Stub, litellm: Stub
) -> None:
    proxy = await start(fallback=ON)
    upstream.does = OUT_OF_QUOTA
    compressed = {"content-type": "text/event-stream", "content-encoding": "br"}
    for model, status in (("openai/gpt-5", 200), ("ollama/qwen3", 429)):
        litellm.does = answers(model, compressed)
        assert (await ask(proxy, FORCED, MESSAGES)).status == status


async def test_the_only_tool_is_forced_where_none_is_by_its_name(
    start: Start, upstream: Stub, litellm: Stub
) -> None:
    """It costs an attempt once; told by the head alone."""
    proxy = await start(fallback=ON)
    upstream.does, litellm.does = OUT_OF_QUOTA, answers("mistral/mistral-large-latest")
    other = {"name": "g", "input_schema": {}}
    asks = FORCED | {"tools": [*FORCED["tools"], other]}
    taken = {"model": "o3", "tool_choice": {"type": "any"}, "tools": FORCED["tools"]}
    for attempts in (2, 3):
        assert (await ask(proxy, asks, MESSAGES)).route == FELL_BACK
        assert (len(litellm.requests), litellm.last.json()) == (attempts, taken)


async def test_what_only_an_answer_can_tell_waits_for_upstreams_refusal(
    start: Start, upstream: Stub, litellm: Stub
) -> None:
    """In a cooldown there is nothing yet that the client could get in place of an answer that loses something."""
    proxy = await start(fallback=ON | {"cooldown-max": "60s"})
    upstream.does, litellm.does = says(429, COOLDOWN), answers("openai/gpt-5")
    assert (await ask(proxy, {"messages": []}, MESSAGES)).route == FELL_BACK
    assert (await ask(proxy, {"messages": []}, MESSAGES)).route != FELL_BACK
    assert len(upstream.requests) == 1
    assert (await ask(proxy, FORCED, MESSAGES)).route == FELL_BACK
    assert len(upstream.requests) == 2


@pytest.mark.parametrize("known", [False, True])
async def test_an_attachment_that_would_be_lost_is_upstreams_alone(
    start: Start, upstream: Stub, litellm: Stub, known: bool
) -> None:
    """A PDF in a tool's result, where the backend is asked by chat completions: told by a refusal, or known."""
    litellm.deployments = BY_OPENAI
    proxy = await start(fallback=ON | {"max-per-hour": 5000})
    spent = proxy.addon._fallbacks.budget._spent
    upstream.does = OUT_OF_QUOTA
    image = {"messages": [{"role": "user", "content": [IMAGE]}]}
    assert (await ask_when_told(proxy, image, "attachment")).route == FELL_BACK
    pdf = {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}
    found = {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "document", "source": pdf}]}
    read = {"messages": [{"role": "user", "content": [found]}], "stream": True}

    async def only_by_chat_completions(request: Request, reply: Reply) -> None:
        if "use_chat_completions_api" in request.json():
            await hello(request, reply)
        else:
            await as_400(reply, "Encrypted content is not supported with this model")

    litellm.does = only_by_chat_completions
    taken = {"messages": [], "stream": True}
    if known:
        assert (await ask(proxy, taken, MESSAGES)).route == FELL_BACK
    litellm.requests.clear()
    before = len(spent)

    answer = await ask(proxy, read, MESSAGES)

    why = "attachment" if known else "400"
    assert (answer.status, answer.body, answer.route) == (429, QUOTA, failed(why))
    assert len(litellm.requests) == len(spent) - before == (0 if known else 1)
    assert (await ask(proxy, taken, MESSAGES)).route == FELL_BACK


@pytest.mark.parametrize(("model", "route"), [("o3", FELL_BACK), ("gpt-5", "litellm; reason=model")])
async def test_a_responses_body_on_the_path_of_chat_completions(
    start: Start, upstream: Stub, litellm: Stub, model: str, route: str
) -> None:
    """Cursor's, replayed or routed; upstream gets it as it is."""
    proxy = await start(fallback=ON)
    upstream.does = OUT_OF_QUOTA
    tool = {"name": "ls", "parameters": {"type": "object"}}
    cursor = {
        "model": model,
        "input": [{"role": "user", "content": "hi"}],
        "tools": [{"type": "function", **tool}],
    }

    answer = await ask(proxy, cursor, CHAT)

    assert (answer.status, answer.route) == (200, route)
    chat = {
        "model": model,
        "messages": [{"role": "user", "content": "hi"}],
        "tools": [{"type": "function", "function": tool}],
    }
    assert litellm.last.json() == (chat | DROPS if route is FELL_BACK else chat)
    assert [request.json() for request in upstream.requests] == ([cursor] if route is FELL_BACK else [])


async def test_what_litellm_could_not_try_is_tried_next_time(
    start: Start, upstream: Stub, litellm: Stub
) -> None:
    """After a backend's 404, here of one without /responses, LiteLLM asks nobody for some seconds."""
    proxy = await start(fallback=ON)
    upstream.does = OUT_OF_QUOTA
    missing = {"error": {"message": "litellm.NotFoundError: OpenAIException - 404 page not found"}}
    cooling = {"error": {"message": "No deployments available for selected model, Try again in 0.2 seconds."}}
    said = [(404, missing), (429, cooling)]

    async def without_responses(request: Request, reply: Reply) -> None:
        if said:
            await reply.json(*said.pop(0))
        else:
            assert request.json()["use_chat_completions_api"] is True
            await hello(request, reply)

    litellm.does = without_responses
    streamed = {"messages": [], "stream": True}
    assert (await ask(proxy, streamed, MESSAGES)).route == failed("429")
    await asyncio.sleep(0.3)

    assert (await ask(proxy, streamed, MESSAGES)).route == FELL_BACK
    assert len(litellm.requests) == 3


async def test_a_beta_that_the_backend_does_not_know(start: Start, upstream: Stub, litellm: Stub) -> None:
    proxy = await start(fallback=ON)
    upstream.does = OUT_OF_QUOTA

    async def without_scopes(request: Request, reply: Reply) -> None:
        if "scope-1" in (request.header("anthropic-beta") or ""):
            await as_400(reply, "Unexpected value(s) `scope-1` for the `anthropic-beta` header.")
        else:
            await hello(request, reply)

    litellm.does = without_scopes
    betas = [("anthropic-beta", "thinking-1,scope-1")]
    for attempts in (2, 3):
        assert (await ask(proxy, {"messages": []}, MESSAGES, betas)).route == FELL_BACK
        assert len(litellm.requests) == attempts
    assert litellm.last.values("anthropic-beta") == ["thinking-1"]
    assert upstream.last.values("anthropic-beta") == ["thinking-1,scope-1"]


REASONED = {
    "messages": [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hi", "reasoning": "Greet."},
    ]
}


def in_chunks(*deltas: dict[str, str]) -> Handler:
    """Answer as a stream of a server's of which nothing is known."""

    async def handler(_: Request, reply: Reply) -> None:
        chunks = (json.dumps({"choices": [{"index": 0, "delta": delta}]}) for delta in deltas)
        events = b"".join(b"data: %b\n\n" % chunk.encode() for chunk in chunks)
        await reply.send(200, events + b"data: [DONE]\n\n", SSE | {"x-litellm-model-name": "openai/qwen3"})

    return handler


@pytest.mark.parametrize("reasons", [True, False])
async def test_an_unknown_server_gets_anothers_reasoning_unless_it_has_none_of_its_own(
    start: Start, upstream: Stub, litellm: Stub, *, reasons: bool
) -> None:
    proxy = await start(fallback=ON)
    upstream.does = OUT_OF_QUOTA
    thought = [{"reasoning_content": "Greet."}] if reasons else []
    litellm.does = in_chunks({"role": "assistant", "content": ""}, *thought, {"content": "Hello"})
    await ask(proxy, {"messages": REASONED["messages"][:1], "stream": True})

    await ask(proxy, REASONED)
    assert (b'"reasoning"' in litellm.last.body) is reasons
    if reasons:
        assert litellm.last.json() == {"model": "o3"} | REASONED | DROPS

    proxy.write(settings(litellm.url, fallback=ON | {"hold-max": "1m"}))
    await until(lambda: proxy.log("fallback.hold-max: 45s → 1m"))
    await ask(proxy, REASONED)
    assert b'"reasoning"' in litellm.last.body, "a reload forgets"
