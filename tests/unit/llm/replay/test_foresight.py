"""What a replay needs at once, by what LiteLLM says of the backends, and what it does not."""

import json
from typing import Any

import pytest

from litellm_hybrid.llm.replay.foresight import Backend, Backends, drops_attachment, foreseen
from litellm_hybrid.llm.replay.remedies import Action, Remedy, apply
from litellm_hybrid.routing.paths import Api

type Json = dict[str, Any]

RESPONSES, MESSAGES, CHAT, GEMINI = Api.RESPONSES, Api.MESSAGES, Api.CHAT, Api.GENERATE_CONTENT
GPT = Backend("openai", "openai/gpt-5", sees=True, reasons=True)
OPUS = Backend("anthropic", "anthropic/claude-opus-4-7", sees=True, reasons=True, adaptive=True)
SONNET = Backend("anthropic", "anthropic/claude-sonnet-4-5", sees=True, reasons=True)
CONVERSE = Backend("bedrock_converse", "bedrock/converse/us.anthropic.claude-sonnet-4-5", reasons=True)
INVOKE = Backend("bedrock_converse", "bedrock/invoke/us.anthropic.claude-sonnet-4-5", reasons=True)
PRO = Backend("gemini", "gemini/gemini-2.5-pro", sees=True, reasons=True)
VLLM = Backend("hosted_vllm", "hosted_vllm/qwen3-coder")
DEEPSEEK = Backend("deepseek", "deepseek/deepseek-chat")
MISTRAL = Backend("mistral", "mistral/mistral-large-latest")

USER = {"role": "user", "content": "Hello"}
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
CHAT_LOOP: Json = {
    "reasoning_effort": "medium",
    "messages": [
        USER,
        {"role": "assistant", "content": "I look.", "reasoning_content": "Look.", "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "c", "content": "result"},
    ],
}
INPUT_LOOP: Json = {
    "reasoning": {"effort": "medium"},
    "input": [
        USER,
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": "result"},
    ],
}


def thought(seal: str) -> Json:
    return {"type": "thinking", "thinking": "t", "signature": seal}


def messages_loop(*blocks: Json) -> Json:
    call = {"type": "tool_use", "id": "t", "name": "f", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "t", "content": "result"}
    return {
        "thinking": {"type": "adaptive"},
        "messages": [
            USER,
            {"role": "assistant", "content": [*blocks, call]},
            {"role": "user", "content": [result]},
        ],
    }


def contents(seal: str) -> Json:
    call = {"functionCall": {"name": "f", "args": {}}, "thoughtSignature": seal}
    return {"contents": [{"role": "user", "parts": [{"text": "a"}]}, {"role": "model", "parts": [call]}]}


def reduced(*rejections: str) -> list[Remedy]:
    return [Remedy(Action.REDUCE_HISTORY, rejection) for rejection in rejections]


UNKNOWN, UNSIGNED = reduced("unknown-member"), reduced("thinking-missing")
GENUINE = "EqQBCkYIBRgCKkDs"

CASES: list[tuple[str, Api, Json, list[Backend], list[Remedy]]] = [
    # members beside an assistant's words
    ("OpenAI's types have no reasoning", CHAT, CHAT_LOOP, [GPT], UNKNOWN),
    ("nor Azure", CHAT, CHAT_LOOP, [Backend("azure", "azure/mine", reasons=True)], UNKNOWN),
    ("nor Groq, whatever it reads", CHAT, CHAT_LOOP, [Backend("groq", "groq/openai/gpt-oss-120b")], UNKNOWN),
    ("nor a server that LiteLLM takes for OpenAI", CHAT, CHAT_LOOP, [Backend("openai", "openai/qwen3-coder")], UNKNOWN),
    ("but for those that want it back", CHAT, CHAT_LOOP, [Backend("openai", "openai/deepseek-v4")], []),
    ("or are said to reason", CHAT, CHAT_LOOP, [Backend("openai", "openai/mine", reasons=True)], []),
    ("by OpenRouter too", CHAT, CHAT_LOOP, [Backend("openrouter", "openrouter/moonshotai/kimi-k3")], []),
    ("vLLM takes it", CHAT, CHAT_LOOP, [VLLM], []),
    ("DeepSeek takes it", CHAT, CHAT_LOOP, [DEEPSEEK], []),
    ("one of several takes it", CHAT, CHAT_LOOP, [GPT, VLLM], []),
    ("all of several do not", CHAT, CHAT_LOOP, [GPT, GPT], UNKNOWN),
    ("nothing is known", CHAT, CHAT_LOOP, [], []),
    ("another API has types of its own", RESPONSES, INPUT_LOOP, [GPT], []),
    # thinking that Claude misses
    ("chat, in a tool loop", CHAT, CHAT_LOOP, [SONNET], UNSIGNED),
    ("Responses, in a tool loop", RESPONSES, INPUT_LOOP, [SONNET], UNSIGNED),
    ("Messages by Converse, in a tool loop", MESSAGES, messages_loop(), [CONVERSE], UNSIGNED),
    ("of Messages LiteLLM sees to it elsewhere", MESSAGES, messages_loop(), [INVOKE], []),
    ("and Anthropic is sent what the client says", MESSAGES, messages_loop(), [SONNET], []),
    ("it begins with thinking", MESSAGES, messages_loop(thought(GENUINE)), [CONVERSE], []),
    ("adaptive thinking misses none", RESPONSES, INPUT_LOOP, [OPUS], []),
    ("no thinking is asked for", RESPONSES, INPUT_LOOP | {"reasoning": None}, [SONNET], []),
    ("the loop has ended", RESPONSES, {**INPUT_LOOP, "input": [*INPUT_LOOP["input"], USER]}, [SONNET], []),
    ("one of several does not miss it", RESPONSES, INPUT_LOOP, [SONNET, OPUS], []),
    # seals
    ("another maker's signature", MESSAGES, messages_loop(thought("c2VhbGVk")), [SONNET], reduced("thinking-signature")),
    ("another maker's sealed thinking", MESSAGES, messages_loop({"type": "redacted_thinking", "data": "gAAA"}), [OPUS], reduced("thinking-signature")),
    ("one of each", MESSAGES, messages_loop(thought(GENUINE), thought("c2VhbGVk")), [OPUS], reduced("thinking-signature")),
    ("Anthropic's own", MESSAGES, messages_loop(thought(GENUINE)), [OPUS], []),
    ("Anthropic's own, encoded twice", MESSAGES, messages_loop(thought("RXFRQkNr")), [OPUS], []),
    ("none", MESSAGES, messages_loop(thought("")), [OPUS], []),
    ("who is no Claude", MESSAGES, messages_loop(thought("c2VhbGVk")), [DEEPSEEK], []),
    ("one of several is no Claude", MESSAGES, messages_loop(thought("c2VhbGVk")), [OPUS, GPT], []),
    ("another maker's thought", GEMINI, contents("c2VhbGVk"), [PRO], reduced("thought-signature")),
    ("Google's own", GEMINI, contents("CiQB"), [PRO], []),
    ("Google's own, of another kind", GEMINI, contents("EqQB"), [PRO], []),
    ("Vertex's own", GEMINI, contents("AVSoXO"), [PRO], []),
    ("the one that stands for any", GEMINI, contents("skip_thought_signature_validator"), [PRO], []),
    ("who is no Gemini", GEMINI, contents("c2VhbGVk"), [SONNET], []),
    # a tool that is forced
    ("it weakens what is forced", RESPONSES, {}, [MISTRAL], [Remedy(Action.ONLY_FORCED_TOOL)]),
    ("one of several does not", RESPONSES, {}, [MISTRAL, GPT], []),
]  # fmt: skip


@pytest.mark.parametrize(
    ("api", "body", "backends", "needed"), [case[1:] for case in CASES], ids=[c[0] for c in CASES]
)
def test_what_is_needed_at_once(api: Api, body: Json, backends: list[Backend], needed: list[Remedy]) -> None:
    assert list(foreseen(json.dumps(body).encode(), api, backends)) == needed


@pytest.mark.parametrize("provider", ["azure", "groq", "cerebras", "xai", "openai", "openrouter"])
def test_who_refuses_reasoning_beside_the_words(provider: str) -> None:
    body = json.dumps(CHAT_LOOP).encode()
    assert list(foreseen(body, CHAT, [Backend(provider, f"{provider}/qwen3-coder")])) == UNKNOWN


@pytest.mark.parametrize(
    "model",
    [
        *(
            "deepseek-v4",
            "kimi-k3",
            "moonshot-v1",
            "glm-5",
            "minimax-m3",
            "mimo-v2",
            "qwen3-thinking",
            "reasoner",
        ),
        *("qwq-32b", "magistral-small", "gpt-oss-120b", "hunyuan-t1", "ernie-x1", "seed-oss-36b", "step-3"),
    ],
)
def test_whose_makers_want_their_reasoning_back(model: str) -> None:
    body = json.dumps(CHAT_LOOP).encode()
    assert foreseen(body, CHAT, [Backend("openai", f"openai/{model}")]) == ()


@pytest.mark.parametrize(
    "model", ["gpt-3.5-turbo", "gpt-4.1", "gpt-5-codex", "o3", "chatgpt-4o-latest", "codex-mini"]
)
def test_openais_models_have_no_place_for_it(model: str) -> None:
    body = json.dumps(CHAT_LOOP).encode()
    assert list(foreseen(body, CHAT, [Backend("openai", model, reasons=True)])) == UNKNOWN


LIMIT = Remedy(Action.LIMIT, limit=10)


@pytest.mark.parametrize(
    ("api", "body", "known", "needed"),
    [
        (CHAT, CHAT_LOOP, [LIMIT, *UNKNOWN], [LIMIT, *UNKNOWN]),
        (CHAT, CHAT_LOOP, UNSIGNED, UNSIGNED),
        (CHAT, {"reasoning_effort": "low", "messages": [USER]}, UNSIGNED, []),
        (RESPONSES, INPUT_LOOP, [*UNSIGNED, LIMIT], [LIMIT, *UNSIGNED]),
        (MESSAGES, messages_loop(), UNSIGNED, UNSIGNED),
        (MESSAGES, messages_loop(thought("s")), UNSIGNED, []),
        (MESSAGES, messages_loop(thought("s")), UNKNOWN, []),
        (CHAT, {"messages": "broken"}, UNSIGNED, []),
        (CHAT, [], UNSIGNED, []),
    ],
)
def test_what_a_model_has_refused_of_a_history_it_gets_of_none(
    api: Api, body: Json, known: list[Remedy], needed: list[Remedy]
) -> None:
    assert list(foreseen(json.dumps(body).encode(), api, (), known)) == needed


IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO"}}
BLOCK = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBO"}}
RESULT = {"type": "tool_result", "tool_use_id": "t", "content": [BLOCK]}
WITH_IMAGES: list[tuple[Api, Json]] = [
    (CHAT, {"messages": [{"role": "user", "content": [IMAGE]}]}),
    (MESSAGES, {"messages": [{"role": "user", "content": [BLOCK]}]}),
    (MESSAGES, {"messages": [{"role": "user", "content": [RESULT]}]}),
    (MESSAGES, {"messages": [{"role": "user", "content": [BLOCK | {"type": "document"}]}]}),
    (RESPONSES, {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "data:"}]}]}),
    (RESPONSES, {"input": [{"type": "function_call_output", "output": [{"type": "input_file"}]}]}),
    (GEMINI, {"contents": [{"parts": [{"inlineData": {"mimeType": "image/png", "data": "iVBO"}}]}]}),
    (GEMINI, {"contents": [{"parts": [{"file_data": {"file_uri": "gs://a"}}]}]}),
]


@pytest.mark.parametrize(("api", "body"), WITH_IMAGES)
def test_an_image_is_dropped_by_those_who_make_one_text_of_all(api: Api, body: Json) -> None:
    raw = json.dumps(body).encode()
    assert drops_attachment(raw, api, [DEEPSEEK])
    assert drops_attachment(raw, api, [GPT, DEEPSEEK]), "it may be the one that is asked"
    assert not drops_attachment(raw, api, [Backend("deepseek", "deepseek/v5", sees=True)])
    assert not drops_attachment(raw, api, [VLLM]), "which says that it cannot"
    assert not drops_attachment(raw, api, [])


@pytest.mark.parametrize("provider", ["deepseek", "docker_model_runner", "heroku", "publicai", "sambanova"])
def test_for_whom_all_becomes_one_text(provider: str) -> None:
    assert drops_attachment(json.dumps(WITH_IMAGES[0][1]).encode(), CHAT, [Backend(provider, "m")])


@pytest.mark.parametrize(
    "body",
    [CHAT_LOOP, {"messages": [{"role": "user", "content": [{"type": "text", "text": '"image_url"'}]}]}],
)
def test_a_text_is_no_image(body: Json) -> None:
    assert not drops_attachment(json.dumps(body).encode(), CHAT, [DEEPSEEK])


def test_it_is_read_as_litellm_tells_it() -> None:
    def entry(name: str, model: str, **details: object) -> Json:
        return {"model_name": name, "litellm_params": {"model": model}, "model_info": details}

    backends = Backends(
        {
            "data": [
                entry("a", "openai/gpt-5", litellm_provider="openai", supports_vision=True, supports_reasoning=True),
                entry("a", "openai/GPT-5", litellm_provider="openai"),
                entry("b", "bedrock/invoke/c", litellm_provider="bedrock_converse", supports_adaptive_thinking=True),
                entry("c", "groq/openai/gpt-oss-120b"),
                {"model_name": "d"},
                "broken",
            ]
        }
    )  # fmt: skip
    assert backends["a"] == (GPT, Backend("openai", "openai/gpt-5"))
    assert backends["b"] == (Backend("bedrock_converse", "bedrock/invoke/c", adaptive=True),)
    assert backends["c"] == (Backend("groq", "groq/openai/gpt-oss-120b"),)
    assert backends["d"] == (Backend("", ""),)
    assert backends["other"] == ()
    for nothing in (None, 1, {"data": 1}):
        assert Backends(nothing)["a"] == ()


NAMED_FUNCTION = {"type": "function", "function": {"name": "edit"}}
FUNCTIONS = [{"type": "function", "function": {"name": name}} for name in ("bash", "edit")]
FLAT = [{"type": "function", "name": name} for name in ("bash", "edit")]
TOOLS: list[Json] = [{"name": name, "input_schema": {}} for name in ("bash", "edit")]


@pytest.mark.parametrize(
    ("api", "tools", "choice", "tools_after", "choice_after"),
    [
        (CHAT, FUNCTIONS, NAMED_FUNCTION, FUNCTIONS[1:], "required"),
        (RESPONSES, FLAT, {"type": "function", "name": "edit"}, FLAT[1:], "required"),
        (MESSAGES, TOOLS, {"type": "tool", "name": "edit"}, TOOLS[1:], {"type": "any"}),
        (CHAT, FUNCTIONS, "required", FUNCTIONS, "required"),
        (CHAT, FUNCTIONS, "auto", FUNCTIONS, "auto"),
        (MESSAGES, TOOLS, {"type": "any"}, TOOLS, {"type": "any"}),
        (CHAT, FUNCTIONS, {"type": "function", "function": {"name": "x"}}, FUNCTIONS, {"type": "function", "function": {"name": "x"}}),
    ],
)  # fmt: skip
def test_a_forced_tool_is_the_only_one(
    api: Api, tools: list[Json], choice: object, tools_after: list[Json], choice_after: object
) -> None:
    body = json.dumps({"tools": tools, "tool_choice": choice}).encode()
    after = apply(body, api, Remedy(Action.ONLY_FORCED_TOOL))
    assert json.loads(after) == {"tools": tools_after, "tool_choice": choice_after}
    assert (after is body) is (tools == tools_after)
