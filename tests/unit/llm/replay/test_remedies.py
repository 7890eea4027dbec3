"""What a remedy changes of a body, and what it leaves alone."""

import json
from typing import Any

import pytest

from litellm_hybrid.llm.replay.remedies import HOSTED, Action, Remedy, apply, without_betas
from litellm_hybrid.routing.paths import Api

CHAT, MESSAGES, RESPONSES, GEMINI = Api.CHAT, Api.MESSAGES, Api.RESPONSES, Api.GENERATE_CONTENT
FUNCTION = {"type": "function", "name": "shell", "parameters": {}}
PATCH = {"type": "custom", "name": "apply_patch"}
SEARCH = {"type": "web_search"}
EPHEMERAL = {"type": "ephemeral", "scope": "global"}
FORCED: dict[str, Any] = {"tool_choice": {"type": "function", "name": "shell"}}


def omit(name: str) -> Remedy:
    return Remedy(Action.OMIT, name)


def at_most(limit: int) -> Remedy:
    return Remedy(Action.LIMIT, limit=limit)


NO_THINKING = Remedy(Action.NO_THINKING)
UNSEAL = Remedy(Action.UNSEAL)
BRIDGE = Remedy(Action.CHAT_COMPLETIONS)

CHANGED: list[tuple[Api, Remedy, dict[str, Any], dict[str, Any]]] = [
    (CHAT, omit("store"), {"store": False, "stream": True}, {"stream": True}),
    (CHAT, omit("body.store"), {"store": False}, {}),
    (
        MESSAGES,
        Remedy(Action.SYSTEM_AS_USER),
        {"messages": [{"role": "user", "content": "a"}, {"role": "system", "content": "b"}]},
        {"messages": [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]},
    ),
    (MESSAGES, omit("user"), {"metadata": {"user_id": "u"}}, {}),
    (MESSAGES, omit("user"), {"metadata": {"user_id": "u", "x": 1}}, {"metadata": {"x": 1}}),
    (RESPONSES, omit("metadata.user_id"), {"user": "u"}, {}),
    (RESPONSES, omit("verbosity=low"), {"text": {"verbosity": "low"}}, {}),
    (
        RESPONSES,
        Remedy(Action.OMIT_TOOLS, HOSTED),
        {"tools": [FUNCTION, PATCH, SEARCH, {"type": "web_search_preview"}]},
        {"tools": [FUNCTION, PATCH]},
    ),
    (RESPONSES, omit("verbosity"), {"text": {"verbosity": "low"}}, {}),
    (MESSAGES, omit("reasoning.effort"), {"output_config": {"effort": "max"}}, {}),
    (
        RESPONSES,
        omit("effort"),
        {"reasoning": {"effort": "max", "summary": "auto"}},
        {"reasoning": {"summary": "auto"}},
    ),
    (
        RESPONSES,
        omit("reasoning.summary"),
        {"reasoning": {"effort": "max", "summary": "auto"}},
        {"reasoning": {"effort": "max"}},
    ),
    (GEMINI, omit("top_p"), {"generationConfig": {"topP": 1, "topK": 2}}, {"generationConfig": {"topK": 2}}),
    (GEMINI, omit("top_k"), {"generation_config": {"top_k": 1}}, {}),
    (GEMINI, omit("stop"), {"generationConfig": {"stopSequences": ["a"]}}, {}),
    (GEMINI, omit("thinkingLevel"), {"generationConfig": {"thinkingConfig": {"thinkingLevel": "HIGH"}}}, {}),
    (
        MESSAGES,
        omit("parallel_tool_calls"),
        {"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
        {"tool_choice": {"type": "auto"}},
    ),
    (RESPONSES, omit("include"), {"include": ["reasoning.encrypted_content"]}, {}),
    (
        MESSAGES,
        omit("tools.0.custom.defer_loading"),
        {"tools": [{"name": "a", "defer_loading": True}, {"name": "b", "defer_loading": False}]},
        {"tools": [{"name": "a"}, {"name": "b"}]},
    ),
    (
        RESPONSES,
        omit("tools[3].strict"),
        {"tools": [FUNCTION | {"strict": True}, PATCH]},
        {"tools": [FUNCTION, PATCH]},
    ),
    (
        MESSAGES,
        omit("system.0.cache_control.scope"),
        {
            "system": [{"type": "text", "text": "s", "cache_control": EPHEMERAL}],
            "tools": [{"name": "a", "cache_control": {"scope": "global"}}],
            "messages": [{"role": "user", "content": [{"type": "text", "cache_control": EPHEMERAL}]}],
        },
        {
            "system": [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}],
            "tools": [{"name": "a"}],
            "messages": [
                {"role": "user", "content": [{"type": "text", "cache_control": {"type": "ephemeral"}}]}
            ],
        },
    ),
    (CHAT, at_most(100), {"max_tokens": 101}, {"max_tokens": 100}),
    (CHAT, at_most(100), {"max_completion_tokens": 200}, {"max_completion_tokens": 100}),
    (RESPONSES, at_most(100), {"max_output_tokens": 200}, {"max_output_tokens": 100}),
    (
        GEMINI,
        at_most(100),
        {"generationConfig": {"maxOutputTokens": 200}},
        {"generationConfig": {"maxOutputTokens": 100}},
    ),
    (
        MESSAGES,
        at_most(8192),
        {"max_tokens": 64000, "thinking": {"type": "enabled", "budget_tokens": 31999}},
        {"max_tokens": 8192, "thinking": {"type": "enabled", "budget_tokens": 8191}},
    ),
    (
        MESSAGES,
        at_most(1000),
        {"max_tokens": 64000, "thinking": {"type": "enabled", "budget_tokens": 2000}},
        {"max_tokens": 1000},
    ),
    (RESPONSES, BRIDGE, {"tools": [PATCH]}, {"tools": [PATCH], "use_chat_completions_api": True}),
    (MESSAGES, BRIDGE, {"stream": True}, {"stream": True, "use_chat_completions_api": True}),
    (
        RESPONSES,
        Remedy(Action.OMIT_TOOLS, "custom"),
        {"tools": [FUNCTION, PATCH, SEARCH]},
        {"tools": [FUNCTION, SEARCH]},
    ),
    (RESPONSES, Remedy(Action.OMIT_TOOLS), {"tools": [FUNCTION, PATCH, SEARCH]}, {"tools": [FUNCTION]}),
    (
        RESPONSES,
        Remedy(Action.OMIT_TOOLS),
        {"tools": [PATCH], "tool_choice": "auto", "parallel_tool_calls": True},
        {},
    ),
    (
        RESPONSES,
        UNSEAL,
        {
            "include": ["reasoning.encrypted_content"],
            "input": [{"type": "reasoning", "encrypted_content": "x"}, {"type": "message", "content": "a"}],
        },
        {"input": [{"type": "message", "content": "a"}]},
    ),
    (
        MESSAGES,
        NO_THINKING,
        {
            "thinking": {"type": "adaptive"},
            "output_config": {"effort": "max"},
            "context_management": {"edits": [{"type": "clear_thinking_20251015"}]},
        },
        {},
    ),
    (
        MESSAGES,
        NO_THINKING,
        {
            "context_management": {
                "edits": [{"type": "clear_thinking_20251015"}, {"type": "clear_tool_uses_1"}]
            }
        },
        {"context_management": {"edits": [{"type": "clear_tool_uses_1"}]}},
    ),
    (CHAT, NO_THINKING, {"reasoning_effort": "high", "seed": 1}, {"seed": 1}),
    (MESSAGES, omit("thinkingBudget"), {"thinking": {"type": "enabled", "budget_tokens": 2048}}, {}),
    (RESPONSES, omit("reasoning.encrypted_content"), {"include": ["reasoning.encrypted_content"]}, {}),
    (RESPONSES, NO_THINKING, {"reasoning": {"effort": "high"}}, {}),
    (
        GEMINI,
        NO_THINKING,
        {"generationConfig": {"thinkingConfig": {"thinkingBudget": -1}, "topP": 1}},
        {"generationConfig": {"topP": 1}},
    ),
]


@pytest.mark.parametrize(
    ("api", "remedy", "before", "after"), CHANGED, ids=[f"{c[0]} {c[1]}" for c in CHANGED]
)
def test_what_changes(api: Api, remedy: Remedy, before: dict[str, Any], after: dict[str, Any]) -> None:
    changed = apply(json.dumps({"model": "m", **before}).encode(), api, remedy)
    assert json.loads(changed) == {"model": "m", **after}
    assert apply(changed, api, remedy) is changed, "a remedy that has helped changes nothing the second time"


LEFT: list[tuple[Api, Remedy, dict[str, Any]]] = [
    (CHAT, omit("store"), {"messages": [{"role": "user", "content": "store", "store": 1}]}),
    (MESSAGES, omit("max_tokens"), {"max_tokens": 1}),
    *(
        (api, omit(name), {name: "something"})
        for api in (CHAT, MESSAGES, RESPONSES)
        for name in ("messages", "input", "system", "instructions", "stream", "tools", "tool_choice", "model")
    ),
    (MESSAGES, omit("mcp_servers"), {"mcp_servers": [{"name": "a"}]}),
    (RESPONSES, omit("text"), {"text": {"format": {"type": "json_schema"}, "verbosity": "low"}}),
    (CHAT, omit("response_format"), {"response_format": {"type": "json_object"}}),
    (
        MESSAGES,
        omit("output_config"),
        {"output_config": {"format": {"type": "json_schema"}, "effort": "low"}},
    ),
    (GEMINI, omit("generationConfig"), {"generationConfig": {"topP": 1}}),
    (GEMINI, omit("responseSchema"), {"generationConfig": {"responseSchema": {"type": "OBJECT"}}}),
    (CHAT, omit("drop_params"), {"drop_params": True}),
    (RESPONSES, omit("input[0].content"), {"input": [{"content": "a"}]}),
    (RESPONSES, omit("verbosity=high"), {"text": {"verbosity": "low"}}),
    (CHAT, at_most(100), {"max_tokens": 100}),
    (CHAT, at_most(100), {"max_tokens": "200", "max_completion_tokens": None}),
    (CHAT, BRIDGE, {}),
    (GEMINI, BRIDGE, {}),
    (MESSAGES, BRIDGE, {"stream": False}),
    (MESSAGES, BRIDGE, {}),
    (RESPONSES, BRIDGE, {"use_chat_completions_api": False}),
    (RESPONSES, Remedy(Action.OMIT_TOOLS, "custom"), {"tools": [FUNCTION, PATCH], **FORCED}),
    (RESPONSES, Remedy(Action.OMIT_TOOLS), {"tools": [PATCH], "tool_choice": "required"}),
    (RESPONSES, Remedy(Action.OMIT_TOOLS), {"tools": [FUNCTION]}),
    (MESSAGES, Remedy(Action.OMIT_TOOLS), {"tools": [{"name": "a", "input_schema": {}}]}),
    (RESPONSES, UNSEAL, {"input": [{"type": "message", "content": "a"}]}),
    (MESSAGES, UNSEAL, {"include": ["a"]}),
    (CHAT, NO_THINKING, {"seed": 1}),
    (MESSAGES, Remedy(Action.OMIT_BETA, "a"), {"betas": ["a"]}),
    (MESSAGES, Remedy(Action.REDUCE_HISTORY, "tool-id"), {"messages": []}),
]


@pytest.mark.parametrize(("api", "remedy", "request_"), LEFT, ids=[f"{c[0]} {c[1]}" for c in LEFT])
def test_what_stays_as_it_is(api: Api, remedy: Remedy, request_: dict[str, Any]) -> None:
    body = json.dumps({"model": "m", **request_}).encode()
    assert apply(body, api, remedy) is body


@pytest.mark.parametrize(
    ("given", "names", "kept"),
    [
        ("a-1, context-1m-2025-08-07,b-2", "context-1m-", "a-1,b-2"),
        ("a-1,b-2", "a-1, b-2", ""),
        ("a-1, b-2", "c-3", "a-1, b-2"),
        ("", "a-1", ""),
    ],
)
def test_betas_that_are_left_out(given: str, names: str, kept: str) -> None:
    assert without_betas(given, names) == kept


@pytest.mark.parametrize("body", [b"", b"[]", b"not json", b'{"store":'])
def test_what_is_no_request_stays(body: bytes) -> None:
    assert apply(body, CHAT, omit("store")) is body


def test_what_is_not_changed_keeps_its_bytes() -> None:
    body = b'{"model":"m","messages":[ {"content" : "\\ud83d \\u00e9 1.0"} ],"store":false,"temperature":1.0}'
    assert apply(body, CHAT, omit("store")) == body.replace(b'"store":false,', b"")


def test_a_forced_tool_stays_forced_whatever_else_goes() -> None:
    body = json.dumps(
        {"model": "m", "tools": [FUNCTION, PATCH], "reasoning": {"effort": "max"}, **FORCED}
    ).encode()
    after = json.loads(apply(body, RESPONSES, NO_THINKING))
    assert after == {"model": "m", "tools": [FUNCTION, PATCH], **FORCED}


@pytest.mark.parametrize(
    ("remedy", "words", "setting"),
    [
        (
            omit("metadata.user_id"),
            "omit metadata.user_id",
            'litellm_params: additional_drop_params: ["user"]',
        ),
        (omit("store"), "omit store", 'litellm_params: additional_drop_params: ["store"]'),
        *(
            (omit(spelled), f"omit {spelled}", f'litellm_params: additional_drop_params: ["{name}"]')
            for spelled, name in (
                ("Temperature", "temperature"),
                ("topP", "top_p"),
                ("topK", "top_k"),
                ("Seed", "seed"),
                ("presencePenalty", "presence_penalty"),
                ("frequencyPenalty", "frequency_penalty"),
            )
        ),
        (at_most(8192), "max_tokens at most 8192", "litellm_settings: modify_params: true"),
        (BRIDGE, "use_chat_completions_api", "litellm_params: use_chat_completions_api: true"),
        (
            Remedy(Action.OMIT_TOOLS, "custom"),
            "omit tools custom",
            "litellm_params: use_chat_completions_api: true",
        ),
    ],
)
def test_what_is_said_of_it(remedy: Remedy, words: str, setting: str) -> None:
    assert (str(remedy), remedy.setting) == (words, setting)
