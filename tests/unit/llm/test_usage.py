"""Tokens as the four APIs name them, in a body and in the events of a stream; what they cost."""

import json
from typing import Any

import pytest

from litellm_hybrid.llm import usage
from litellm_hybrid.llm.usage import Price, PriceList, Usage
from support.dialects import data

MESSAGES = {
    "input_tokens": 12,
    "cache_creation_input_tokens": 100,
    "cache_read_input_tokens": 4000,
    "output_tokens": 1,
}
RESPONSES = {
    "input_tokens": 50,
    "input_tokens_details": {"cached_tokens": 40},
    "output_tokens": 9,
    "output_tokens_details": {"reasoning_tokens": 4},
}
CHAT = {
    "prompt_tokens": 50,
    "completion_tokens": 9,
    "prompt_tokens_details": {"cached_tokens": 40, "audio_tokens": 0},
}
GEMINI = {
    "promptTokenCount": 50,
    "candidatesTokenCount": 5,
    "thoughtsTokenCount": 4,
    "cachedContentTokenCount": 40,
    "totalTokenCount": 59,
}


def _body(**members: object) -> bytes:
    return json.dumps(members).encode()


def _stream(*events: object) -> bytes:
    return b"".join(map(data, events))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (_body(type="message", content=[], usage=MESSAGES), Usage(4112, 1, 4000, 100)),
        (_body(usage={"input_tokens": 3, "output_tokens": 4}), Usage(3, 4)),
        (_body(choices=[], usage=CHAT), Usage(50, 9, 40)),
        (_body(output=[], usage=RESPONSES, user=None), Usage(50, 9, 40)),
        (_body(candidates=[], usageMetadata=GEMINI), Usage(50, 9, 40)),
        # An embedding has no output.
        (_body(data=[], usage={"prompt_tokens": 7, "total_tokens": 7}), Usage(7, 0)),
        # LiteLLM names Anthropic's cache in a chat completion, where it is part of the prompt.
        (_body(usage={**CHAT, "cache_read_input_tokens": 40}), Usage(50, 9, 40)),
        (_body(usage={"prompt_tokens": None, "completion_tokens": "9"}), None),
        (_body(usage=None), None),
        (_body(text='"usage": {"input_tokens": 1}'), None),
        (b'{"usage": {"input_tokens": 1', None),
        (b'{"usage": ' + b'{"a": ' * 5000, None),
        (b"\xff\xfe not json", None),
        (b"", None),
    ],
)
def test_of_a_body(body: bytes, expected: Usage | None) -> None:
    assert usage.read(b"", body) == expected


def test_of_a_stream_of_messages_the_input_is_in_the_first_event() -> None:
    """And the output in the last but one, which may say the input again."""
    begins = _stream({"type": "message_start", "message": {"usage": MESSAGES}})
    counts = _stream({"type": "message_delta", "usage": {"output_tokens": 77}}, {"type": "message_stop"})
    again = _stream({"type": "message_delta", "usage": {**MESSAGES, "output_tokens": 77}})
    assert usage.read(begins, counts) == Usage(4112, 77, 4000, 100)
    assert usage.read(begins, again) == Usage(4112, 77, 4000, 100)
    assert usage.read(begins + counts, begins + counts) == Usage(4112, 77, 4000, 100)


@pytest.mark.parametrize(
    "events",
    [
        [{"choices": [{}], "usage": None}, {"choices": [], "usage": CHAT}],
        [{"type": "response.completed", "response": {"output": [], "usage": RESPONSES}}],
        [{"usageMetadata": {"promptTokenCount": 50}}, {"candidates": [], "usageMetadata": GEMINI}],
        [{"response": {"candidates": [], "usageMetadata": GEMINI}}],
    ],
)
def test_of_other_streams_the_last_event_says_it_all(events: list[object]) -> None:
    assert usage.read(b"", _stream(*events)) == Usage(50, 9, 40)


@pytest.mark.parametrize("number", ["9" * 400, "9" * 5000, "1" + "0" * 12, "true", "-1", "1.5"])
def test_a_number_that_is_no_count_is_none(number: str) -> None:
    """A model may write whatever JSON it likes into the arguments of a call."""
    text = '{"content":[{"input":{"usage":{"input_tokens":NUMBER}}}],"usage":{"output_tokens":3}}'
    assert usage.read(b"", text.replace("NUMBER", number).encode()) == Usage(0, 3)


@pytest.mark.parametrize("piece", ['"usage":{', '"usage":{"a":'])
def test_objects_that_never_end_are_read_a_few_times(piece: str, monkeypatch: pytest.MonkeyPatch) -> None:
    read, tries = usage._decoder.raw_decode, []

    class Counting:
        def raw_decode(self, text: str, at: int) -> object:
            tries.append(at)
            return read(text, at)

    monkeypatch.setattr(usage, "_decoder", Counting())
    assert usage.read(b"", piece.encode() * 8000) is None
    assert len(tries) <= 40


def _entry(name: str, deployment: str, **info: Any) -> dict[str, Any]:
    return {"model_name": name, "litellm_params": {}, "model_info": {"id": deployment, **info}}


SONNET = {
    "input_cost_per_token": 3e-06,
    "output_cost_per_token": 15e-06,
    "cache_read_input_token_cost": 3e-07,
    "cache_creation_input_token_cost": 3.75e-06,
}
PLAIN = {"input_cost_per_token": 1e-06, "output_cost_per_token": 2e-06, "cache_read_input_token_cost": None}


@pytest.mark.parametrize(
    ("usage", "cost"),
    [
        (Usage(1000, 100), 0.0045),
        (Usage(1000, 100, 900), 0.3e-3 + 0.27e-3 + 1.5e-3),
        (Usage(1000, 100, 0, 1000), 3.75e-3 + 1.5e-3),
        (Usage(0, 0), 0.0),
    ],
)
def test_of_a_response(usage: Usage, cost: float) -> None:
    price = PriceList({"data": [_entry("sonnet", "a", **SONNET)]}).find("sonnet")
    assert price
    assert price.of(usage) == pytest.approx(cost)


def test_a_cache_without_a_price_of_its_own_costs_as_much_as_the_rest() -> None:
    assert PriceList({"data": [_entry("m", "a", **PLAIN)]}).find("m") == Price(
        1e-06, 2e-06, 1e-06, 1e-06, 1e-06
    )


def test_the_deployment_tells_more_than_the_name() -> None:
    prices = PriceList({"data": [_entry("m", "a", **PLAIN), _entry("m", "b", **SONNET)]})
    assert prices.find("m", "a") == Price(1e-06, 2e-06, 1e-06, 1e-06, 1e-06)
    assert prices.find("m", "b") != prices.find("m", "a")
    assert prices.find("m") is None, "which of them has answered is not known"
    assert prices.find("m", "c") is None


@pytest.mark.parametrize(
    "info",
    [
        None,
        [],
        {"data": None},
        {"data": [None, {"model_name": "m"}, {"model_name": "m", "model_info": []}]},
        {"data": [_entry("m", "a")]},
        {"data": [_entry("m", "a", input_cost_per_token=0, output_cost_per_token=0.0)]},
        {"data": [_entry("m", "a", input_cost_per_token="1", output_cost_per_token=-1)]},
        {"data": [_entry("m", "a", **PLAIN), _entry("m", "b")]},
    ],
)
def test_nothing_is_guessed(info: object) -> None:
    assert PriceList(info).find("m") is None


def test_what_stays_in_the_cache_for_an_hour_costs_more() -> None:
    said = {**MESSAGES, "cache_creation": {"ephemeral_5m_input_tokens": 40, "ephemeral_1h_input_tokens": 60}}
    used = usage.read(_body(usage=said), b"")
    assert used == Usage(4112, 1, 4000, 100, 60)
    priced = {**SONNET, "cache_creation_input_token_cost_above_1hr": 6e-06}
    price = PriceList({"data": [_entry("m", "a", **priced)]}).find("m")
    plain = PriceList({"data": [_entry("m", "a", **SONNET)]}).find("m")
    assert price is not None
    assert plain is not None
    written = SONNET["cache_creation_input_token_cost"]
    assert price.of(used) - plain.of(used) == pytest.approx(60 * (6e-06 - written))


@pytest.mark.parametrize(
    ("tokens", "cost"),
    [(200_000, 0.2), (200_001, 0.400002), (300_000, 0.6), (300_001, 1.500005)],
)
def test_a_long_input_costs_more_for_every_token(tokens: int, cost: float) -> None:
    """As LiteLLM names it, in thousands or in tokens; what is not said for a long one stays."""
    tiers = {
        "input_cost_per_token_above_300000_tokens": 5e-06,
        "input_cost_per_token_above_200k_tokens": 2e-06,
        "input_cost_per_token_above_100k_tokens_priority": 9e-06,
        "cache_read_input_token_cost_above_200k_tokens": 5e-07,
    }
    price = PriceList({"data": [_entry("m", "a", **PLAIN, **tiers)]}).find("m")
    assert price is not None
    assert price.of(Usage(tokens, 0)) == pytest.approx(cost)
    assert price.of(Usage(200_001, 0, cached=200_001)) == pytest.approx(200_001 * 5e-07)
    assert price.of(Usage(300_001, 0, cached=300_001)) == pytest.approx(300_001 * 5e-07)
    assert price.of(Usage(300_001, 10)) == pytest.approx(300_001 * 5e-06 + 10 * 2e-06)
