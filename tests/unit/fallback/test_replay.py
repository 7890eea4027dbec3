"""The requests that replay.py makes; the order of refusals is in test_policy.py."""

import gzip
import json
import logging
from dataclasses import replace
from typing import Any

import pytest

from litellm_hybrid.config.settings import (
    Address,
    Fallback,
    HistoryPolicy,
    Patterns,
    Secret,
    Settings,
    SettingsStore,
)
from litellm_hybrid.fallback.replay import REMEDIES_MAX, RETRIES_FOR, Replays
from litellm_hybrid.fallback.state import FallbackState
from litellm_hybrid.flow.exchange import Exchange
from litellm_hybrid.llm.replay.foresight import Backend
from litellm_hybrid.llm.replay.refusals import remedies
from litellm_hybrid.llm.replay.remedies import Action, Remedy
from litellm_hybrid.routing.rules import Reason, Target
from support.flows import upstream_flow

BASE = Settings(
    base_url=Address("http", "127.0.0.1", 4000, "/prefix"),
    api_key=Secret("sk-litellm"),
    models=Patterns(["gpt-5"]),
    fallback=Fallback(enabled=True),
)
USER = {"role": "user", "content": "Hello"}
SEALED = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "x"}
FOREIGN = json.dumps({"model": "o3", "input": [USER, SEALED]}).encode()
KEPT = {"model": "o3", "input": [USER]}
SIGNED = {
    "model": "claude",
    "messages": [
        USER,
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "t", "signature": "s"},
                {"type": "text", "text": "Hi"},
            ],
        },
        USER,
    ],
}


def replays(policy: HistoryPolicy = "auto", **changes: Any) -> Replays:
    settings = replace(BASE, fallback=replace(BASE.fallback, history=policy, **changes))
    return Replays(SettingsStore(settings), FallbackState())


def parsed(content: bytes | None) -> Any:
    assert content is not None
    return json.loads(content)


# -- for LiteLLM --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "reduced"), [("auto", True), ("reduce", True), ("keep", False)], ids=["auto", "reduce", "keep"]
)
def test_a_foreign_history_goes_as_configured(policy: HistoryPolicy, *, reduced: bool) -> None:
    flow, exchange = upstream_flow(FOREIGN, headers=((b"authorization", b"Bearer sk-client"),))

    request = replays(policy).build_fallback_request(flow, exchange)

    assert request is not None
    assert (request.host, request.port, request.path) == ("127.0.0.1", 4000, "/prefix/v1/responses")
    assert request.headers["authorization"] == "Bearer sk-litellm"
    assert parsed(request.content) == (KEPT if reduced else json.loads(FOREIGN)) | {"drop_params": True}
    assert request.headers.get_all("content-length") == [str(len(request.content or b""))]
    assert exchange.outcome.reduced is reduced
    assert flow.request.content == FOREIGN


@pytest.mark.parametrize(("litellm_model", "reduced"), [("claude-4", False), ("openai/gpt-5", True)])
def test_auto_asks_whose_model_litellm_is_sent(litellm_model: str, *, reduced: bool) -> None:
    body = json.dumps(SIGNED).encode()
    flow, exchange = upstream_flow(body, path="/v1/messages", model="claude", litellm_model=litellm_model)
    request = replays().build_fallback_request(flow, exchange)
    assert request is not None
    assert parsed(request.content)["model"] == litellm_model
    assert exchange.outcome.reduced is reduced
    assert (b"thinking" in (request.content or b"")) is not reduced


@pytest.mark.parametrize("path", ["/v1/responses", "/v1/embeddings"])
def test_a_history_of_its_own_keeps_its_bytes(path: str) -> None:
    body = b'{ "model":"o3","input" : [ {"role":"user","content":"\\u00e9"}]}'
    flow, exchange = upstream_flow(body, path=path)
    request = replays("reduce").build_fallback_request(flow, exchange)
    assert request is not None
    assert request.content == body.removesuffix(b"}") + (b',"drop_params":true}' if "resp" in path else b"}")
    assert exchange.outcome.reduced is False


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/v1/responses", True),
        ("/v1/chat/completions", True),
        ("/api/provider/anthropic/v1/messages", True),
        ("/v1beta/models/o3:streamGenerateContent", True),
        ("/v1/messages/count_tokens", False),
        ("/v1beta/models/o3:countTokens", False),
        ("/v1/embeddings", False),
        ("/v1/completions", False),
    ],
)
def test_litellm_may_drop_what_its_backend_does_not_know(path: str, *, told: bool) -> None:
    for setting in (True, False):
        flow, exchange = upstream_flow(
            b'{"model":"o3"}', path=path, headers=((b"user-agent", b"codex_cli_rs/0.1"),)
        )
        request = replays(drop_params=setting).build_fallback_request(flow, exchange)
        assert request is not None
        assert (b"drop_params" in (request.content or b"")) is (told and setting)
        assert request.headers["user-agent"] == "codex_cli_rs/0.1"


def test_what_was_dropped_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "litellm_hybrid")
    flow, exchange = upstream_flow(FOREIGN)
    replays().build_fallback_request(flow, exchange)
    assert "litellm: history reduced for o3: reasoning (1)" in caplog.messages


# -- for the same server ------------------------------------------------------------------


def test_a_retry_changes_the_body_alone() -> None:
    flow, exchange = upstream_flow(
        FOREIGN, headers=((b"X-Odd", b"1"), (b"content-length", b"%d" % len(FOREIGN)))
    )

    request = replays().build_reduced_retry(exchange, "encrypted-content")

    assert request is not None
    assert parsed(request.content) == KEPT
    assert (request.host, request.path) == (flow.request.host, flow.request.path)
    assert request.headers["x-odd"] == "1"
    assert request.headers.get_all("content-length") == [str(len(request.content or b""))]
    assert exchange.outcome.reduced is True
    assert flow.request.content == FOREIGN


def test_a_compressed_history_is_read_and_sent_plain() -> None:
    _, exchange = upstream_flow(gzip.compress(FOREIGN), headers=((b"content-encoding", b"gzip"),))
    request = replays().build_reduced_retry(exchange, "encrypted-content")
    assert request is not None
    assert parsed(request.raw_content) == KEPT
    assert "content-encoding" not in request.headers


def test_one_retry_for_each_request() -> None:
    _, exchange = upstream_flow(FOREIGN)
    assert replays().build_reduced_retry(exchange, "encrypted-content") is not None
    assert replays().build_reduced_retry(exchange, "encrypted-content") is None


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (json.dumps(KEPT).encode(), "/v1/responses"),
        (FOREIGN, "/v1/embeddings"),
        (b"not json", "/v1/responses"),
        (b"", "/v1/responses"),
    ],
)
def test_where_nothing_can_be_reduced_there_is_none(body: bytes, path: str) -> None:
    _, exchange = upstream_flow(body, path=path)
    assert replays().build_reduced_retry(exchange, "encrypted-content") is None
    assert exchange.outcome.reduced is False


@pytest.mark.parametrize(
    ("refusal", "thinks"), [("thinking-missing", False), ("thinking-signature", True), ("unheard of", True)]
)
def test_the_refusal_decides_what_is_switched_off(refusal: str, *, thinks: bool) -> None:
    """The tool loop has ended, so that `thinking` stays unless it is said to be missed."""
    body = SIGNED | {"thinking": {"type": "enabled", "budget_tokens": 1024}}
    _, exchange = upstream_flow(json.dumps(body).encode(), path="/v1/messages")
    request = replays().build_reduced_retry(exchange, refusal)
    assert request is not None
    assert ("thinking" in parsed(request.content)) is thinks


# -- a conversation that has been on the other side ------------------------------------------

FOREIGN_BLOCK = {"type": "tool_use", "id": "t", "name": "f", "input": {}}
GEMINI_MADE = {
    "model": "claude",
    "messages": [
        USER,
        {"role": "assistant", "content": [FOREIGN_BLOCK | {"provider_specific_fields": {"signature": "x"}}]},
        USER,
    ],
}


def test_upstream_gets_nothing_that_litellm_has_added() -> None:
    flow, exchange = upstream_flow(json.dumps(GEMINI_MADE).encode(), path="/v1/messages")
    replays().adapt_history(flow.request, exchange, exchange.content, "upstream")
    assert parsed(flow.request.content)["messages"][1]["content"] == [FOREIGN_BLOCK]
    assert exchange.outcome.reduced is True


@pytest.mark.parametrize("body", [json.dumps(SIGNED).encode(), b"not json"])
def test_what_upstream_can_read_keeps_its_bytes(body: bytes) -> None:
    flow, exchange = upstream_flow(body, path="/v1/messages")
    replays().adapt_history(flow.request, exchange, exchange.content, "upstream")
    assert flow.request.raw_content == body
    assert exchange.outcome.reduced is False


@pytest.mark.parametrize("policy", ["auto", "keep"])
def test_what_a_side_has_refused_it_does_not_get_again(policy: HistoryPolicy) -> None:
    ours, body = replays(policy), json.dumps(SIGNED).encode()
    _, refused = upstream_flow(body, path="/v1/messages")
    assert ours.build_reduced_retry(refused, "thinking-signature") is not None

    flow, exchange = upstream_flow(body, path="/v1/messages")
    ours.adapt_history(flow.request, exchange, exchange.content, "upstream")
    assert b"thinking" not in (flow.request.content or b"")

    flow, exchange = upstream_flow(body, path="/v1/messages")
    ours.adapt_history(flow.request, exchange, exchange.content, "litellm")
    assert flow.request.content == body, "the other side has refused nothing"


@pytest.mark.parametrize(("last", "thinks"), [("tool_result", False), ("text", True)])
def test_thinking_that_was_missed_is_left_out_while_the_tool_loop_lasts(last: str, *, thinks: bool) -> None:
    ours = replays()
    question = {"role": "user", "content": [{"type": last, "text": "a", "tool_use_id": "t"}]}
    call = {"role": "assistant", "content": [FOREIGN_BLOCK]}
    body = {"model": "claude", "thinking": {"type": "adaptive"}, "messages": [USER, call, question]}
    _, refused = upstream_flow(json.dumps(body).encode(), path="/v1/messages")
    assert ours.build_reduced_retry(refused, "thinking-missing") is not None

    flow, exchange = upstream_flow(json.dumps(body).encode(), path="/v1/messages")
    ours.adapt_history(flow.request, exchange, exchange.content, "upstream")
    assert ("thinking" in parsed(flow.request.content)) is thinks


HIGH = "claude-sonnet-4-5(high)"
CALLED = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/messages", {"messages": [USER, {"role": "assistant", "content": [FOREIGN_BLOCK]}]}),
        ("/v1/chat/completions", {"messages": [USER, {"role": "tool", "tool_call_id": "c", "content": ""}]}),
        (
            "/v1/responses",
            {"input": [CALLED, {"type": "function_call_output", "call_id": "c", "output": ""}]},
        ),
    ],
)
def test_a_setting_in_the_models_name_asks_for_no_thinking_either(path: str, body: dict[str, Any]) -> None:
    """CLIProxyAPI would switch thinking on again."""
    ours, sent = replays(), json.dumps({"model": HIGH, **body}).encode()
    _, refused = upstream_flow(sent, path=path)
    retry = ours.build_reduced_retry(refused, "thinking-missing")
    assert retry is not None
    assert parsed(retry.content)["model"] == "claude-sonnet-4-5"

    flow, exchange = upstream_flow(sent, path=path)
    ours.adapt_history(flow.request, exchange, exchange.content, "upstream")
    assert parsed(flow.request.content)["model"] == "claude-sonnet-4-5", "nor in the next turn of the loop"

    _, other = upstream_flow(sent, path=path)
    retry = replays().build_reduced_retry(other, "unknown-member")
    assert retry is None or parsed(retry.content)["model"] == HIGH


@pytest.mark.parametrize("model", ["claude-opus-4-5(high)", "claude-opus-4-5%28high%29"])
def test_nor_does_one_in_the_path(model: str) -> None:
    path = f"/v1beta/models/{model}:streamGenerateContent?alt=sse"
    _, exchange = upstream_flow(b'{"contents":[]}', path=path)
    retry = replays().build_reduced_retry(exchange, "thinking-missing")
    assert retry is not None
    assert retry.path == "/v1beta/models/claude-opus-4-5:streamGenerateContent?alt=sse"


# -- what a backend refuses --------------------------------------------------------------


def refusal(name: str) -> bytes:
    return json.dumps({"error": {"message": f"Unknown parameter: '{name}'", "code": "400"}}).encode()


OPTIONS = {f"option_{number}": number for number in range(9)}


def replayed(ours: Replays) -> Exchange:
    """A request with many options, which has gone to LiteLLM."""
    flow, exchange = upstream_flow(json.dumps({"model": "o3"} | OPTIONS).encode())
    request = ours.build_fallback_request(flow, exchange)
    assert request is not None
    exchange.set_outcome(Target.LITELLM, Reason.FALLBACK)
    exchange.begin_attempt(request)
    return exchange


@pytest.mark.parametrize(("later", "tried"), [(0.0, True), (RETRIES_FOR, True), (RETRIES_FOR + 0.1, False)])
def test_no_attempt_starts_later_than_five_seconds_after_the_first_refusal(
    later: float, *, tried: bool
) -> None:
    ours = replays()
    exchange = replayed(ours)
    assert ours.build_remedied_retry(exchange, remedies(400, refusal("option_0")), 100.0) is not None
    assert (
        ours.build_remedied_retry(exchange, remedies(400, refusal("option_1")), 100.0 + later) is not None
    ) is tried


def test_an_hour_after_its_last_use_a_change_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, now = replays(), 1000.0
    monkeypatch.setattr("litellm_hybrid.fallback.replay.monotonic", lambda: now)
    exchange = replayed(ours)
    assert ours.build_remedied_retry(exchange, remedies(400, refusal("option_0")), now) is not None
    ours.remember_remedies(exchange, served=True)
    for later, known in ((3599.0, True), (3599.0, True), (3601.0, False)):
        now += later
        assert bool(replayed(ours).remedies) is known


def test_what_is_remembered_is_bounded() -> None:
    ours = replays()
    for number in range(3 * REMEDIES_MAX):
        exchange = replayed(ours)
        exchange.remedies.append(Remedy(Action.OMIT, f"option_{number + 10}"))
        ours.remember_remedies(exchange, served=True)
    known = ours._state.remedies.get(("o3", "responses"), 0.0)
    assert known is not None
    assert [remedy.name for remedy in known] == [
        f"option_{number + 10}" for number in range(2 * REMEDIES_MAX, 3 * REMEDIES_MAX)
    ]


def test_what_answers_one_requests_length_is_not_remembered() -> None:
    ours = replays()
    exchange = replayed(ours)
    exchange.remedies.append(Remedy(Action.LIMIT, limit=10, lasting=False))
    ours.remember_remedies(exchange, served=True)
    assert len(ours._state.remedies) == 0


def test_a_call_without_a_signature_gets_the_placeholder_from_then_on() -> None:
    """And no other loses its own."""
    ours, path = replays(), "/v1beta/models/gemini-3-pro:generateContent"
    own = {"functionCall": {"name": "f", "args": {}}, "thoughtSignature": "CtwC"}
    made = {"functionCall": {"name": "f", "args": {}}}
    sent = json.dumps(
        {"contents": [{"role": "model", "parts": [own]}, {"role": "model", "parts": [made]}]}
    ).encode()
    _, refused = upstream_flow(sent, path=path)
    assert ours.build_reduced_retry(refused, "thought-signature-missing") is not None

    flow, exchange = upstream_flow(sent, path=path)
    ours.adapt_history(flow.request, exchange, exchange.content, "upstream")
    placeholder = {**made, "thoughtSignature": "skip_thought_signature_validator"}
    contents = parsed(flow.request.content)["contents"]
    assert [content["parts"] for content in contents] == [[own], [placeholder]]


# -- what is known of a backend ----------------------------------------------------------

TOLD = Backend("openai", "openai/gpt-5", reasons=True)
WITH_REASONING = {
    "model": "o3",
    "messages": [USER, {"role": "assistant", "content": "Hi", "reasoning_content": "Greet."}, USER],
}


@pytest.mark.parametrize("told", [True, False])
def test_what_is_known_of_a_backend_is_seen_to_at_once(*, told: bool) -> None:
    ours = replays()
    ours._state.backends = lambda name: (TOLD,) if told and name == "o3" else ()
    flow, exchange = upstream_flow(json.dumps(WITH_REASONING).encode(), path="/v1/chat/completions")
    request = ours.build_fallback_request(flow, exchange)
    assert request is not None
    assert (b"reasoning_content" in (request.content or b"")) is not told
    assert exchange.outcome.reduced is told


def test_what_litellm_would_leave_out_in_silence_is_not_sent() -> None:
    ours = replays()
    ours._state.backends = lambda _: (Backend("deepseek", "deepseek/deepseek-chat"),)
    image = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:"}}]}
    body = json.dumps({"model": "o3", "messages": [image]}).encode()
    flow, exchange = upstream_flow(body, path="/v1/chat/completions")
    assert ours.build_fallback_request(flow, exchange) is None
    assert exchange.outcome.fallback_failed == "attachment"


def test_a_refusal_of_any_history_is_remembered_of_the_model() -> None:
    ours = replays()
    body = json.dumps(WITH_REASONING).encode()
    flow, exchange = upstream_flow(body, path="/v1/chat/completions")
    exchange.begin_attempt(ours.build_fallback_request(flow, exchange) or flow.request)
    assert (
        ours.build_remedied_retry(exchange, remedies(400, refusal("messages[1].reasoning_content")), 0.0)
        is not None
    )
    ours.remember_remedies(exchange, served=True)

    other = WITH_REASONING | {
        "messages": [{"role": "user", "content": "Else"}, *WITH_REASONING["messages"][1:]]
    }
    flow, exchange = upstream_flow(json.dumps(other).encode(), path="/v1/chat/completions")
    request = ours.build_fallback_request(flow, exchange)
    assert request is not None
    assert b"reasoning_content" not in (request.content or b"")


ANYBODYS = (Backend("openai", "openai/qwen3-coder"),)
PLAIN_ANSWER = b'{"choices":[{"message":{"content":"Hi","reasoning_content":null}}]}'
REASONED_ANSWER = b'{"choices":[{"message":{"content":"Hi","reasoning_content":"Greet."}}]}'


def second_turn(
    *answers: bytes,
    first: dict[str, Any] | None = None,
    backends: tuple[Backend, ...] = ANYBODYS,
    head: dict[str, str] | None = None,
    path: str = "/v1/chat/completions",
) -> tuple[bytes, Exchange]:
    """The body of a replay with another account's reasoning, after these answers to `first`."""
    ours = replays()
    ours._state.backends = lambda _: backends
    for answer in answers:
        flow, exchange = upstream_flow(
            json.dumps(first or {"model": "o3", "messages": [USER]}).encode(), path=path
        )
        exchange.begin_attempt(ours.build_fallback_request(flow, exchange) or flow.request)
        ours.note_answer(exchange, head or {}, answer)
    flow, exchange = upstream_flow(json.dumps(WITH_REASONING).encode(), path="/v1/chat/completions")
    request = ours.build_fallback_request(flow, exchange)
    assert request is not None
    return request.content or b"", exchange


def test_a_server_without_reasoning_of_its_own_gets_none_of_anothers() -> None:
    body, exchange = second_turn(PLAIN_ANSWER)
    assert parsed(body)["messages"] == [USER, {"role": "assistant", "content": "Hi"}, USER]
    assert exchange.outcome.reduced
    assert exchange.remedies == []  # nothing of what the model needs


def test_it_is_seen_from_the_answers_head_where_litellm_tells_nothing() -> None:
    told = {"x-litellm-model-name": "openai/qwen3-coder"}
    assert b"reasoning_content" not in second_turn(PLAIN_ANSWER, backends=(), head=told)[0]
    assert b"reasoning_content" in second_turn(PLAIN_ANSWER, backends=())[0]


@pytest.mark.parametrize(
    "known",
    [
        {"answers": ()},
        {"answers": (REASONED_ANSWER,)},
        {"answers": (PLAIN_ANSWER, REASONED_ANSWER)},
        {"answers": (REASONED_ANSWER, PLAIN_ANSWER)},
        {"answers": (PLAIN_ANSWER,), "first": WITH_REASONING},
        {"answers": (PLAIN_ANSWER,), "backends": (Backend("hosted_vllm", "hosted_vllm/qwen3-coder"),)},
        {"answers": (PLAIN_ANSWER,), "backends": (*ANYBODYS, Backend("deepseek", "deepseek/deepseek-chat"))},
        {"answers": (PLAIN_ANSWER,), "path": "/v1/messages"},
    ],
    ids=["not known", "reasons", "reasons now", "has reasoned", "has taken it", "vllm", "two", "another API"],
)
def test_what_may_be_taken_is_sent_byte_for_byte(known: dict[str, Any]) -> None:
    known = dict(known)
    body, exchange = second_turn(*known.pop("answers"), **known)
    assert body == json.dumps(WITH_REASONING).encode()[:-1] + b',"drop_params":true}'
    assert not exchange.outcome.reduced


@pytest.mark.parametrize(
    ("body", "asked"),
    [
        ({"messages": [USER]}, False),
        ({"messages": [USER], "tools": []}, True),
        (WITH_REASONING, True),
        ({"contents": [{"role": "model", "parts": []}]}, True),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, True),
    ],
)
def test_who_serves_a_model_is_asked_for_where_it_may_matter(body: dict[str, Any], *, asked: bool) -> None:
    ours, names = replays(), []
    ours._state.backends = lambda name: names.append(name) or ()  # type: ignore[func-returns-value]
    flow, exchange = upstream_flow(json.dumps({"model": "o3", **body}).encode(), path="/v1/chat/completions")
    ours.build_fallback_request(flow, exchange)
    assert set(names) == ({"o3"} if asked else set())
