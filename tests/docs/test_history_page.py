"""docs/history.md says what the code does: its parts are reduced, its words judged."""

import json
import re
from pathlib import Path
from typing import Any, get_args

import pytest

from docs.blocks import rows
from litellm_hybrid.llm.history import detect_history_rejection, reduce, reduce_again, travels
from litellm_hybrid.llm.openai_responses import COMPACTION_NOTE
from litellm_hybrid.llm.reduction import HistoryRejection
from litellm_hybrid.routing.paths import Api

PAGE = (Path(__file__).parents[2] / "docs" / "history.md").read_text("utf-8")


@pytest.mark.parametrize(("api", "models", "goes"), rows(PAGE, "API", "model", "goes"))
def test_what_auto_does(api: str, models: str, goes: str) -> None:
    for model in re.findall(r"`([^`]+)`", models):
        assert travels("auto", Api(api.strip("`")), model) is (goes == "as it is"), model


def body(api: Api, part: Any) -> bytes:
    parts = [] if part is None else [part]
    requests = {
        Api.MESSAGES: {
            "messages": [{"role": "assistant", "content": [{"type": "text", "text": "a"}, *parts]}]
        },
        Api.CHAT: {"messages": [{"role": "assistant", "content": [{"type": "text", "text": "a"}, *parts]}]},
        Api.RESPONSES: {"input": [{"role": "user", "content": "a"}, *parts]},
        Api.GENERATE_CONTENT: {"contents": [{"role": "model", "parts": [{"text": "a"}, *parts]}]},
    }
    return json.dumps(requests[api]).encode()


def becomes(cell: str, part: Any) -> Any:
    if cell == "stays":
        return part
    if cell == "goes":
        return None
    if cell == "a note to the model":
        content = [{"type": "input_text", "text": COMPACTION_NOTE}]
        return {"type": "message", "role": "user", "content": content}
    return json.loads(cell.strip("`"))


@pytest.mark.parametrize(
    ("api", "part", "reduced", "to_litellm", "to_upstream"),
    rows(PAGE, "API", "part", "reduced", "to LiteLLM", "to upstream"),
)
def test_what_becomes_of_a_part(api: str, part: str, reduced: str, to_litellm: str, to_upstream: str) -> None:
    shape, whole = Api(api.strip("`")), json.loads(part.strip("`"))
    sent = body(shape, whole)
    for cell, result in (
        (reduced, reduce(sent, shape)),
        (to_litellm, reduce_again(sent, shape, "litellm", ())),
        (to_upstream, reduce_again(sent, shape, "upstream", ())),
    ):
        assert json.loads(result.body) == json.loads(body(shape, becomes(cell, whole)))
        assert (result.body is sent) == (cell == "stays")


@pytest.mark.parametrize(("api", "options"), rows(PAGE, "API", "options"))
def test_the_options_that_ask_for_thinking(api: str, options: str) -> None:
    shape = Api(api.strip("`"))
    request: dict[str, Any] = json.loads(body(shape, None))
    kept = json.dumps(request)
    for option in re.findall(r"`([^`…]+)`", options):
        outer, _, inner = option.partition(".")
        request[outer] = {inner: "x"} if inner else "x"
    assert json.loads(
        reduce(json.dumps(request).encode(), shape, rejection="thinking-missing").body
    ) == json.loads(kept)


@pytest.mark.parametrize(("refusal", "words", "seen"), rows(PAGE, "refusal", "words", "seen in"))
def test_the_words_are_known(refusal: str, words: str, seen: str) -> None:
    error = {"type": "error", "error": {"type": "invalid_request_error", "message": words.strip('"')}}
    assert detect_history_rejection(400, json.dumps(error).encode()) == refusal.strip("`")
    assert seen


def test_every_refusal_is_on_the_page() -> None:
    named = {refusal.strip("`") for refusal, *_ in rows(PAGE, "refusal", "words", "seen in")}
    assert named == set(get_args(HistoryRejection.__value__))
