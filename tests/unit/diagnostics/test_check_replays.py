"""What LiteLLM's configuration should say for replays, and what is found by asking in the agents' forms."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from litellm_hybrid.config.settings import Address, Secret, Settings
from litellm_hybrid.diagnostics.check_replays import FORMS, ask, cost, propose
from litellm_hybrid.diagnostics.probes import FailureKind, Probe, ProbeResult
from litellm_hybrid.llm.replay.remedies import RETRIES_MAX
from support.probes import failed, response

SETTINGS = Settings(base_url=Address("http", "127.0.0.1", 4000), api_key=Secret("sk-key-of-litellm"))
OWN = {"api_base": "http://127.0.0.1:8000/v1"}
USER = "additional_drop_params"
CHAT = "use_chat_completions_api"
MODIFY = {"modify_params": True, "use_chat_completions_url_for_anthropic_messages": True}


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"model": "openai/qwen", **OWN}, ["hosted_vllm/"]),
        ({"model": "openai/gpt-5"}, []),
        ({"model": "openai/gpt-5", "api_base": "https://eu.api.openai.com/v1"}, []),
        ({"model": "hosted_vllm/qwen", **OWN}, [CHAT]),
        ({"model": "hosted_vllm/qwen", CHAT: True}, []),
        ({"model": "azure/gpt-5"}, [USER]),
        ({"model": "xai/grok-5", USER: ["seed"]}, [USER]),
        ({"model": "azure/gpt-5", USER: ["user"]}, []),
        ({"model": "bedrock/us.anthropic.claude-sonnet-4-5-20250929-v1:0"}, ["bedrock/converse/"]),
        ({"model": "bedrock/converse/us.anthropic.claude-sonnet-4-5-20250929-v1:0"}, []),
        ({"model": "bedrock/amazon.nova-pro-v1:0"}, []),
        ({"model": "anthropic/claude-sonnet-4-5"}, []),
        ({}, []),
    ],
)
def test_lines_for_a_model(params: dict[str, Any], words: list[str]) -> None:
    found = propose([("m0", params)])
    assert [each.severity for each in found] == ["ok"] * len(words)
    for each, word in zip(found, words, strict=True):
        assert "m0" in each.symptom
        assert word in each.fix


@pytest.mark.parametrize(
    ("model", "settings", "words"),
    [
        ("anthropic/claude-sonnet-4-5", {}, ["modify_params: true"]),
        ("openai/gpt-4.1", {}, ["use_chat_completions_url_for_anthropic_messages: true"]),
        ("openai/gpt-5", {}, []),
        ("anthropic/claude-sonnet-4-5", MODIFY, []),
        ("openai/gpt-4.1", MODIFY, []),
        ("anthropic/claude-sonnet-4-5", None, []),
    ],
)
def test_lines_for_all_models_need_litellms_file(
    model: str, settings: dict[str, Any] | None, words: list[str]
) -> None:
    found = propose([("m0", {"model": model})], settings)
    assert [each.fix for each in found] == [f"in litellm_settings `{word}`" for word in words]


class LiteLLM:
    """Refuses with one of its words as long as a body has a member."""

    def __init__(self, refusals: dict[str, str], status: int = 400) -> None:
        self._refusals = refusals
        self._status = status
        self.asked: list[Probe] = []

    def send(self, probes: Mapping[str, Probe]) -> dict[str, ProbeResult]:
        self.asked += probes.values()
        return {name: self._answer(probe) for name, probe in probes.items()}

    def _answer(self, probe: Probe) -> ProbeResult:
        body = json.loads(probe.body)
        words = next((words for name, words in self._refusals.items() if name in body), None)
        return response({}) if words is None else response({"error": {"message": words}}, self._status)


def test_everything_is_taken() -> None:
    litellm = LiteLLM({})
    found = ask(SETTINGS, "m", litellm.send)
    assert [each.severity for each in found] == ["ok"] * len(FORMS)
    assert len(litellm.asked) == len(FORMS)
    for probe in litellm.asked:
        assert json.loads(probe.body)["drop_params"] is True
        assert ("Authorization", "Bearer sk-key-of-litellm") in probe.headers


def test_what_a_refusal_names_is_left_out_and_told() -> None:
    refusals = {
        "include": "Encrypted content is not supported with this model.",
        "reasoning": "Unsupported parameter: 'reasoning.effort' is not supported with this model.",
    }
    found = {each.symptom.partition(":")[0]: each for each in ask(SETTINGS, "m", LiteLLM(refusals).send)}
    assert [each.severity for each in found.values()] == ["ok", "warning", "ok", "ok"]
    codex = found["Codex"]
    assert "more attempts: " in codex.symptom
    assert "reasoning" in codex.symptom
    assert 'additional_drop_params: ["include"]' in codex.fix


def test_an_error_within_a_stream_is_a_refusal() -> None:
    """Agents stream, and LiteLLM has sent its 200 before some backends refuse."""
    opening = b'event: message_start\ndata: {"type":"message_start","message":{"content":[]}}\n\n'
    words = {"type": "error", "error": {"message": "Unsupported parameter: 'context_management' is not …"}}

    def send(probes: Mapping[str, Probe]) -> dict[str, ProbeResult]:
        refused = [name for name, probe in probes.items() if "context_management" in json.loads(probe.body)]
        event = b"event: error\ndata: %b\n\n" % json.dumps(words).encode()
        return {name: ProbeResult(200, body=opening + (event if name in refused else b"")) for name in probes}

    found = ask(SETTINGS, "m", send)
    assert [each.severity for each in found] == ["warning", "ok", "ok", "ok"]
    assert "omit context_management" in found[0].symptom


@pytest.mark.parametrize("words", ["image input is not supported", "Unsupported parameter: 'seed' is not …"])
def test_what_no_change_helps_against_is_asked_once(words: str) -> None:
    litellm = LiteLLM({"messages": words})
    found = ask(SETTINGS, "m", litellm.send)
    assert [each.severity for each in found] == ["error", "ok", "ok", "error"]
    assert words in found[0].symptom
    assert len(litellm.asked) == len(FORMS)


def test_a_backend_that_refuses_for_ever_is_left_alone() -> None:
    words = [f"Unsupported parameter: '{name}'" for name in json.loads(json.dumps(FORMS[1].body))]
    asked: list[Probe] = []

    def send(probes: Mapping[str, Probe]) -> dict[str, ProbeResult]:
        asked.extend(probes.values())
        return {
            name: response({"error": {"message": words[len(asked) % len(words)]}}, 400) for name in probes
        }

    found = ask(SETTINGS, "m", send)
    assert {each.severity for each in found} == {"error"}
    assert len(asked) <= len(FORMS) * (RETRIES_MAX + 1)


@pytest.mark.parametrize("cools_again", [False, True])
def test_a_server_without_responses_is_asked_again_once_litellm_asks_it(*, cools_again: bool) -> None:
    """LiteLLM leaves a backend alone for 5 s after a 404, whoever asks."""
    slept: list[float] = []
    cooling = "No deployments available for selected model, Try again in 5 seconds. Passed model=m"
    missing = 'litellm.NotFoundError: NotFoundError: OpenAIException - {"detail":"Not Found"}'

    def send(probes: Mapping[str, Probe]) -> dict[str, ProbeResult]:
        answers = {}
        for name, probe in probes.items():
            is_bridged = probe.path.startswith(("/v1/messages", "/v1/responses"))
            if is_bridged and b"use_chat_completions_api" not in probe.body:
                answers[name] = response({"error": {"message": missing}}, 404)
            elif name != "Gemini CLI" and (cools_again or not slept):
                answers[name] = response({"error": {"message": cooling}}, 429)
            else:
                answers[name] = response({})
        return answers

    found = ask(SETTINGS, "m", send, slept.append)
    assert slept == [6.0]
    if cools_again:
        assert [each.severity for each in found] == ["not checked", "not checked", "ok", "not checked"]
    else:
        assert [each.severity for each in found] == ["warning", "warning", "ok", "ok"]
        assert all("first replay fails" in each.symptom for each in found[:2])
        assert all("use_chat_completions_api: true" in each.fix for each in found[:2])


def test_no_response_and_no_litellm() -> None:
    gone = failed(FailureKind.UNREACHABLE, "connection refused")
    found = ask(SETTINGS, "m", lambda probes: dict.fromkeys(probes, gone))
    assert [each.severity for each in found] == ["error"] * len(FORMS)
    assert all("connection refused" in each.symptom for each in found)
    (none,) = ask(Settings(), "m", lambda _: pytest.fail("nothing is sent"))
    assert none.severity == "not checked"


def test_what_it_costs_is_said() -> None:
    assert all(form.agent in cost("gpt-5") for form in FORMS)
    assert "tokens" in cost("gpt-5")
