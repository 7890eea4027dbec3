"""What a replay needs at once, by what LiteLLM says of the backends, and what it does not."""

import json
from typing import Any

import pytest

from litellm_hybrid.llm.replay.foresight import (
    Backend,
    Backends,
    foreseen,
    holds_reasoning,
    lost_in_silence,
    may_matter,
    served_by,
)
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

NAMED: Json = {"tool_choice": {"type": "function", "name": "edit"}}
ALLOWED: Json = {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["edit"]}}
ONLY = Remedy(Action.ONLY_FORCED_TOOL)

CASES: list[tuple[str, Api, Json, list[Backend], list[Remedy]]] = [
    # members beside an assistant's words
    ("OpenAI's types have no reasoning", CHAT, CHAT_LOOP, [GPT], UNKNOWN),
    ("nor Azure", CHAT, CHAT_LOOP, [Backend("azure", "azure/mine", reasons=True)], UNKNOWN),
    ("nor Groq, whatever it reads", CHAT, CHAT_LOOP, [Backend("groq", "groq/openai/gpt-oss-120b")], UNKNOWN),
    ("a compatible server may take it", CHAT, CHAT_LOOP, [Backend("openai", "openai/qwen3-coder")], []),
    ("OpenRouter as well", CHAT, CHAT_LOOP, [Backend("openrouter", "openrouter/moonshotai/kimi-k3")], []),
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
    ("it weakens what is forced", RESPONSES, NAMED, [MISTRAL], [ONLY]),
    ("one of several may be asked", RESPONSES, NAMED, [MISTRAL, GPT], [ONLY]),
    ("others do not", RESPONSES, NAMED, [GPT], []),
    ("no tool is forced", RESPONSES, {"tool_choice": "required"}, [MISTRAL], []),
    ("of generateContent", GEMINI, {"toolConfig": ALLOWED}, [GPT], [ONLY]),
    ("but for Google's own servers", GEMINI, {"toolConfig": ALLOWED}, [PRO], []),
]  # fmt: skip


@pytest.mark.parametrize(
    ("api", "body", "backends", "needed"), [case[1:] for case in CASES], ids=[c[0] for c in CASES]
)
def test_what_is_needed_at_once(api: Api, body: Json, backends: list[Backend], needed: list[Remedy]) -> None:
    assert list(foreseen(json.dumps(body).encode(), api, backends)) == needed


@pytest.mark.parametrize("provider", ["azure", "groq", "cerebras", "xai"])
def test_who_refuses_reasoning_beside_the_words(provider: str) -> None:
    body = json.dumps(CHAT_LOOP).encode()
    assert list(foreseen(body, CHAT, [Backend(provider, f"{provider}/qwen3-coder")])) == UNKNOWN


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
    (CHAT, {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "data:"}]}]}),
    (RESPONSES, {"input": [{"type": "function_call_output", "output": [{"type": "input_file"}]}]}),
    (GEMINI, {"contents": [{"parts": [{"inlineData": {"mimeType": "image/png", "data": "iVBO"}}]}]}),
    (GEMINI, {"contents": [{"parts": [{"file_data": {"file_uri": "gs://a"}}]}]}),
]


def lost(api: Api, body: Json, *backends: Backend) -> str:
    return lost_in_silence(json.dumps(body).encode(), api, backends)


@pytest.mark.parametrize(("api", "body"), WITH_IMAGES)
def test_an_image_is_dropped_by_those_who_make_one_text_of_all(api: Api, body: Json) -> None:
    assert lost(api, body, DEEPSEEK) == "attachment"
    assert lost(api, body, GPT, DEEPSEEK) == "attachment", "it may be the one that is asked"
    assert lost(api, body) == "attachment", "it may be such a one"
    assert lost(api, body, VLLM) == "", "which says that it cannot"


@pytest.mark.parametrize(
    ("name", "image", "named"),
    [
        ("openai/gpt-5", "", ""),
        ("anthropic/claude-opus-4-7", "", ""),
        ("Bedrock/us.anthropic.claude-sonnet-4-5", "", ""),
        ("deepseek/deepseek-chat", "attachment", ""),
        ("mistral/mistral-large-latest", "", ""),
        ("ollama_chat/qwen3", "", "demand"),
        # who it is that is not known, or may be somebody else's organisation
        *((name, "attachment", "demand") for name in ("", "gpt-5", "openai", "acme/chat", "mistralai/small")),
    ],
)
def test_the_head_of_an_answer_says_who_has_got_all_of_it(name: str, image: str, named: str) -> None:
    backends = served_by({"x-litellm-model-name": name} if name else {})
    assert [lost(api, body, *backends) for api, body in WITH_IMAGES[:2]] == [image] * 2
    forced = NAMED | {"messages": [USER]}
    assert lost(CHAT, forced, *backends) == named
    needed = foreseen(json.dumps(forced).encode(), CHAT, backends)
    assert (ONLY in needed) is name.startswith("mistral/")


@pytest.mark.parametrize("config", ["toolConfig", "tool_config"])
@pytest.mark.parametrize(
    ("calling", "is_lost"),
    [
        ({"function_calling_config": {"mode": "ANY"}}, True),
        ({"function_calling_config": {"mode": "NONE"}}, True),
        ({"function_calling_config": {"mode": "ANY", "allowed_function_names": ["f"]}}, True),
        ({"functionCallingConfig": {"mode": "ANY", "allowed_function_names": ["f"]}}, True),
        ({"functionCallingConfig": {"mode": "ANY"}}, False),
        ({"function_calling_config": {"mode": "AUTO"}}, False),
    ],
)
def test_a_choice_that_only_google_reads(config: str, calling: Json, *, is_lost: bool) -> None:
    """LiteLLM's adapter looks for `functionCallingConfig` alone, and takes its names from `allowedFunctionNames`."""
    body = {"contents": [], config: calling, "generationConfig": {"responseMimeType": "application/json"}}
    assert lost(GEMINI, body, GPT) == ("demand" if is_lost else "")
    assert lost(GEMINI, body, PRO, GPT) == ("demand" if is_lost else "")
    assert lost(GEMINI, body, PRO) == ""


def test_deepseeks_models_that_see_get_their_images() -> None:
    assert lost(*WITH_IMAGES[0], Backend("deepseek", "deepseek/v5", sees=True)) == ""


@pytest.mark.parametrize(
    "provider",
    [
        *("a2a", "deepseek", "docker_model_runner", "gigachat", "heroku", "langflow", "langgraph"),
        *("nlp_cloud", "publicai", "sambanova"),
    ],
)
def test_for_whom_all_becomes_one_text(provider: str) -> None:
    assert lost(*WITH_IMAGES[0], Backend(provider, "m")) == "attachment"


@pytest.mark.parametrize(
    "body",
    [CHAT_LOOP, {"messages": [{"role": "user", "content": [{"type": "text", "text": '"image_url"'}]}]}],
)
def test_a_text_is_no_image(body: Json) -> None:
    assert lost(CHAT, body, DEEPSEEK) == lost(CHAT, body) == ""


AUDIO: Json = {"messages": [{"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}]}
FILE: Json = {"messages": [{"role": "user", "content": [{"type": "file", "file": {}}]}]}
SOUND: Json = {"contents": [{"parts": [{"inlineData": {"mimeType": "audio/wav", "data": "UklG"}}]}]}
OLLAMA = Backend("ollama_chat", "ollama_chat/qwen3", sees=True)


@pytest.mark.parametrize(
    ("body", "backend", "is_lost"),
    [
        (AUDIO, SONNET, True),
        (AUDIO, CONVERSE, True),
        (AUDIO, MISTRAL, True),
        (AUDIO, OLLAMA, True),
        (AUDIO, GPT, False),
        (FILE, OLLAMA, True),
        (FILE, SONNET, False),
        (SOUND, SONNET, True),
        (SOUND, PRO, False),
    ],
)
def test_what_is_no_image_is_lost_elsewhere(body: Json, backend: Backend, *, is_lost: bool) -> None:
    api = GEMINI if "contents" in body else CHAT
    assert bool(lost(api, body, backend)) is is_lost


FORCED = {"type": "function", "function": {"name": "edit"}}
CALLING = {"functionCallingConfig": {"mode": "ANY"}}
DEMANDS: list[tuple[str, Api, Json]] = [
    ("named", CHAT, {"tool_choice": FORCED}),
    ("named", CHAT, {"function_call": {"name": "edit"}}),
    ("named", MESSAGES, {"tool_choice": {"type": "tool", "name": "edit"}}),
    ("named", RESPONSES, {"tool_choice": {"type": "function", "name": "edit"}}),
    ("required", CHAT, {"tool_choice": "required"}),
    ("required", MESSAGES, {"tool_choice": {"type": "any"}}),
    ("required", GEMINI, {"toolConfig": CALLING}),
    ("none", CHAT, {"tool_choice": "none"}),
    ("none", GEMINI, {"toolConfig": {"functionCallingConfig": {"mode": "NONE"}}}),
    ("json", CHAT, {"response_format": {"type": "json_object"}}),
    ("json", RESPONSES, {"text": {"format": {"type": "json_object"}}}),
    ("json", GEMINI, {"generationConfig": {"responseMimeType": "application/json"}}),
    ("form", CHAT, {"response_format": {"type": "json_schema", "json_schema": {}}}),
    (
        "form",
        GEMINI,
        {"generationConfig": {"responseMimeType": "application/json", "responseSchema": {"type": "OBJECT"}}},
    ),
    ("", CHAT, {"tool_choice": "auto", "response_format": {"type": "text"}}),
]
LOSES_ALL_CHOICES = ["cohere", "cohere_chat", "ollama", "ollama_chat", "replicate", "sap"]
FORMLESS = ["volcengine", "zai"]
WHO_LOSES = {
    "named": LOSES_ALL_CHOICES,
    "required": [*LOSES_ALL_CHOICES, "gigachat", "moonshot"],
    "none": [*LOSES_ALL_CHOICES, "deepinfra"],
    "json": ["anthropic", "bedrock", "bedrock_converse", "gigachat", "meta_llama", "vertex_ai", *FORMLESS],
    "form": FORMLESS,
    "": [],
}


@pytest.mark.parametrize(("what", "api", "body"), DEMANDS)
def test_what_is_demanded_and_litellm_would_leave_out_is_not_sent(what: str, api: Api, body: Json) -> None:
    everybody = {provider for providers in WHO_LOSES.values() for provider in providers} | {"openai", "xai"}
    models = {"anthropic": "claude-opus-4-7", "vertex_ai": "vertex_ai/claude-opus-4-7"}
    losing = {who for who in everybody if lost(api, body, Backend(who, models.get(who, "m"))) == "demand"}
    assert losing == set(WHO_LOSES[what])
    assert lost(api, body, GPT) == ""
    assert lost(api, body) == ("demand" if WHO_LOSES[what] else ""), "it is not known who serves it"


def test_a_name_that_becomes_a_choice_of_one_is_lost_where_that_is() -> None:
    assert lost(CHAT, {"tool_choice": FORCED}, MISTRAL) == ""
    assert lost(CHAT, {"tool_choice": FORCED}, MISTRAL, Backend("moonshot", "moonshot/kimi-k3")) == "demand"
    assert lost(GEMINI, {"toolConfig": ALLOWED}, GPT) == ""
    assert lost(GEMINI, {"toolConfig": ALLOWED}, Backend("moonshot", "moonshot/kimi-k3")) == "demand"


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
                entry("openai/*", "openai/*"),
                entry("openai/gpt-oss*", "groq/*", litellm_provider="groq"),
                entry("*", "*"),
                {"model_name": "d"},
                "broken",
            ]
        }
    )  # fmt: skip
    assert backends["a"] == (GPT, Backend("openai", "openai/gpt-5"))
    assert backends["b"] == (Backend("bedrock_converse", "bedrock/invoke/c", adaptive=True),)
    assert backends["c"] == (Backend("groq", "groq/openai/gpt-oss-120b"),)
    assert backends["d"] == (Backend("", ""),)
    assert backends["openai/gpt-5"] == (Backend("openai", "openai/gpt-5"),)
    assert backends["openai/gpt-oss-120b"] == (Backend("groq", "openai/gpt-oss-120b"),), "the longest pattern"
    assert backends["mistral/large"] == (Backend("mistral", "mistral/large"),), "as it is asked for"
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


def test_of_gemini_the_allowed_functions_are_the_only_ones() -> None:
    def body(names: list[str], **calling: object) -> Json:
        declared = [{"functionDeclarations": [{"name": name} for name in names]}]
        return {"tools": declared, "toolConfig": {"functionCallingConfig": {"mode": "ANY", **calling}}}

    remedy = Remedy(Action.ONLY_FORCED_TOOL)
    asked = json.dumps(body(["bash", "edit"], allowedFunctionNames=["edit"])).encode()
    assert json.loads(apply(asked, GEMINI, remedy)) == body(["edit"])
    free = json.dumps(body(["bash", "edit"])).encode()
    assert apply(free, GEMINI, remedy) is free


@pytest.mark.parametrize(
    ("body", "holds"),
    [
        (b'{"role":"assistant","reasoning_content":"Look."}', True),
        (b'{"delta": {"reasoning" : "Look."}}', True),
        (b'{"reasoning_details":[{"type":"reasoning.text"}]}', True),
        (b'{"thinking_blocks": [ {"type":"thinking"}]}', True),
        (b'{"delta":{"reasoning_content":"","content":"Hi"}}', False),
        (b'{"message":{"reasoning_content":null,"reasoning_details":[],"thinking_blocks":[]}}', False),
        (b'{"reasoning_effort":"low","reasoning":{"effort":"low"}}', False),
        (b'{"content":"{\\"reasoning_content\\":\\"Look.\\"}"}', False),
    ],
)
def test_whether_reasoning_stands_beside_the_words(body: bytes, *, holds: bool) -> None:
    assert holds_reasoning(body) is holds


@pytest.mark.parametrize(
    ("provider", "model", "may_be_anybodys"),
    [
        ("openai", "openai/qwen3-coder", True),
        ("custom_openai", "custom_openai/m", True),
        ("openai", "openai/gpt-5", False),
        ("hosted_vllm", "hosted_vllm/qwen3-coder", False),
        ("openrouter", "openrouter/qwen/qwen3-coder", False),
    ],
)
def test_a_server_that_may_be_anybodys(provider: str, model: str, *, may_be_anybodys: bool) -> None:
    assert Backend(provider, model).is_anybodys is may_be_anybodys


FORM = {"response_format": {"type": "json_schema", "json_schema": {"name": "v", "schema": {}}}}
OPTIONS = ["tools", "tool_choice", "response_format"]


@pytest.mark.parametrize(
    ("model", "supported", "forced", "any_tool", "form"),
    [
        ("fireworks_ai/m", OPTIONS, "", "", ""),
        ("fireworks_ai/m", ["tools", "response_format"], "demand", "demand", ""),
        ("zai/glm-5", ["tools", "tool_choice"], "", "", "demand"),
        ("zai/glm-5", None, "", "", "demand"),
        ("anthropic/claude-opus-5-5", OPTIONS, "demand", "demand", ""),
        ("bedrock/us.anthropic.claude-sonnet-5-5-v1:0", OPTIONS, "demand", "demand", ""),
        ("anthropic/claude-haiku-5-5", OPTIONS, "", "", ""),
    ],
)
def test_what_litellm_leaves_out_where_its_own_settings_say_drop_params(
    model: str, supported: list[str] | None, forced: str, any_tool: str, form: str
) -> None:
    details = {"supported_openai_params": supported}
    entry = {"model_name": "m", "litellm_params": {"model": model}, "model_info": details}
    backends = Backends({"data": [entry]})["m"]
    asked = {"messages": [USER]}
    assert lost(CHAT, NAMED | asked, *backends) == forced
    assert lost(CHAT, NAMED | asked | {"tool_choice": "required"}, *backends) == any_tool
    assert lost(CHAT, NAMED | asked | {"tool_choice": "auto"}, *backends) == ""
    assert lost(CHAT, FORM | asked, *backends) == form
    assert may_matter(json.dumps(FORM | asked).encode())


@pytest.mark.parametrize(
    ("name", "forced", "none", "form"),
    [
        ("openai/gpt-5", "", "", ""),
        ("anthropic/claude-sonnet-5-5", "demand", "", ""),
        ("openai/o3-deep-research", "demand", "demand", "demand"),
        ("openai/gpt-4-0613", "", "", "demand"),
        ("openai/gpt-4-turbo", "", "", ""),
    ],
)
def test_the_head_of_an_answer_names_a_model_for_which_more_is_left_out(
    name: str, forced: str, none: str, form: str
) -> None:
    backends = served_by({"x-litellm-model-name": name})
    asked = {"messages": [USER]}
    assert lost(CHAT, NAMED | asked, *backends) == forced
    assert lost(CHAT, NAMED | asked | {"tool_choice": "none"}, *backends) == none
    assert lost(CHAT, FORM | asked, *backends) == form
