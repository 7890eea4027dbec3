import json
from typing import Any

import pytest

from litellm_hybrid.message.json import read
from litellm_hybrid.routing.apis import Api
from litellm_hybrid.routing.thinking_suffix import thinking_members


@pytest.mark.parametrize(
    ("model", "api", "body", "expected"),
    [
        ("gpt-5", Api.CHAT, {}, {}),
        ("gpt-5(high)", Api.CHAT, {}, {"reasoning_effort": "high"}),
        (" gpt-5 (HIGH) ", Api.CHAT, {"reasoning_effort": "low"}, {"reasoning_effort": "high"}),
        ("gpt-5(8192)", Api.CHAT, {}, {"reasoning_effort": "medium"}),
        ("gpt-5(0)", Api.CHAT, {}, {"reasoning_effort": "none"}),
        ("gpt-5(thinking)", Api.CHAT, {}, {}),
        ("gpt-5(-1)", Api.CHAT, {}, {}),
        ("gpt-5(\u0663)", Api.CHAT, {}, {}),
        ("gpt-5[1m](xhigh)", Api.RESPONSES, {}, {"reasoning": {"effort": "xhigh"}}),
        (
            "gpt-5(low)",
            Api.RESPONSES,
            {"reasoning": {"effort": "high", "summary": "auto"}},
            {"reasoning": {"effort": "low", "summary": "auto"}},
        ),
        ("c(8192)", Api.MESSAGES, {}, {"thinking": {"type": "enabled", "budget_tokens": 8192}}),
        ("c(high)", Api.MESSAGES, {}, {"thinking": {"type": "enabled", "budget_tokens": 24576}}),
        (
            "c(high)",
            Api.MESSAGES,
            {"max_tokens": 9000},
            {"thinking": {"type": "enabled", "budget_tokens": 8999}},
        ),
        (
            "c(10)",
            Api.MESSAGES,
            {"max_tokens": 9000},
            {"thinking": {"type": "enabled", "budget_tokens": 1024}},
        ),
        ("c(high)", Api.MESSAGES, {"max_tokens": 1024}, {}),
        ("c(none)", Api.MESSAGES, {"thinking": {"type": "enabled"}}, {"thinking": {"type": "disabled"}}),
        (
            "g(8192)",
            Api.GENERATE_CONTENT,
            {
                "generationConfig": {
                    "topK": 1,
                    "thinkingConfig": {"includeThoughts": True, "thinkingLevel": "LOW"},
                }
            },
            {
                "generationConfig": {
                    "topK": 1,
                    "thinkingConfig": {"includeThoughts": True, "thinkingBudget": 8192},
                }
            },
        ),
        (
            "g(high)",
            Api.GENERATE_CONTENT,
            {},
            {"generationConfig": {"thinkingConfig": {"thinkingBudget": 24576}}},
        ),
        ("whisper(high)", None, {}, {}),
    ],
)
def test_a_suffix_in_the_form_of_the_api(
    model: str, api: Api | None, body: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert thinking_members(model, api, read(json.dumps(body).encode())) == expected
