"""Which refusals are known, in whose words, and what is not taken for one."""

import json

import pytest

from litellm_hybrid.llm.history import Words
from litellm_hybrid.llm.replay import refusals
from litellm_hybrid.llm.replay.refusals import ROWS, WORDINGS, remedies
from litellm_hybrid.llm.replay.remedies import HOSTED, Action, Remedy

CHAT = Action.CHAT_COMPLETIONS


def omit(*names: str) -> list[Remedy]:
    return [Remedy(Action.OMIT, name) for name in names]


def at_most(limit: int, *, lasting: bool = True) -> list[Remedy]:
    return [Remedy(Action.LIMIT, limit=limit, lasting=lasting)]


NO_THINKING = Remedy(Action.NO_THINKING)
VALUED = ("verbosity", "reasoning_effort", "reasoning.summary")
EFFORT = [*omit("reasoning_effort"), NO_THINKING]
UNKNOWN_MEMBER = Remedy(Action.REDUCE_HISTORY, "unknown-member", lasting=False)


def tools(kind: str = "") -> list[Remedy]:
    hosted = [] if kind else [Remedy(Action.OMIT_TOOLS, HOSTED)]
    return [Remedy(CHAT), *hosted, Remedy(Action.OMIT_TOOLS, kind)]


KNOWN: list[tuple[str, list[Remedy]]] = [
    (
        "openai does not support parameters: ['metadata', 'seed'], for model=gpt-4.1. To drop these, set …",
        omit("metadata", "seed"),
    ),
    ("together_ai does not support parameters: tool_choice, stop, for model=m", omit("tool_choice", "stop")),
    (
        "gpt-5 models (including gpt-5-codex) don't support temperature=0.2. Only temperature=1 is supported",
        omit("temperature"),
    ),
    ("openai/o3 doesn't support `reasoning.effort` when …", [*omit("reasoning.effort"), NO_THINKING]),
    (
        "effort='max' is not supported by this model. Got model: claude-opus-4-5",
        [*omit("effort"), NO_THINKING],
    ),
    (
        "reasoning_effort=xhigh is not supported for gpt-5. To drop unsupported params set …",
        [*omit("reasoning_effort"), NO_THINKING],
    ),
    (
        "Unsupported parameter: 'prompt_cache_retention' is not supported with this model.",
        omit("prompt_cache_retention"),
    ),
    ("Unknown parameter: 'client_metadata'.", omit("client_metadata")),
    ("gpt-5 only supports top_p when reasoning.effort resolves to 'none', …", omit("top_p")),
    (
        'messages: Unexpected role "system". The Messages API accepts a top-level `system` parameter, …',
        [Remedy(Action.SYSTEM_AS_USER)],
    ),
    ("messages.3.role: Input should be 'user' or 'assistant'", [Remedy(Action.SYSTEM_AS_USER)]),
    (
        "[{'type': 'literal_error', 'loc': ('body', 'tools', 1, 'type'), 'msg': \"Input should be 'function'\"}]",
        tools(),
    ),
    ("'tools.1.type' : value is not one of the allowed values ['function']", tools()),
    (
        (
            "Failed to deserialize the JSON body into the target type: tools[1]: unknown variant `custom`, "
            "expected `function` at line 1"
        ),
        tools("custom"),
    ),
    ("Unknown parameter: 'input[3].phase'.", [UNKNOWN_MEMBER]),
    (
        "Unsupported parameter: 'reasoning.effort' is not supported with this model.",
        [*omit("reasoning.effort"), NO_THINKING],
    ),
    ("Unrecognized request argument supplied: stream_options. Please contact us", omit("stream_options")),
    ("Unrecognized request arguments supplied: store, metadata", omit("store", "metadata")),
    (
        "Unsupported value: 'temperature' does not support 0 with this model. Only the default (1) …",
        omit("temperature"),
    ),
    ("context_management: Extra inputs are not permitted", omit("context_management")),
    ("tools.0.custom.defer_loading: Extra inputs are not permitted", omit("tools.0.custom.defer_loading")),
    ("messages.1.content.0.tool_use.text: Extra inputs are not permitted", [UNKNOWN_MEMBER]),
    (
        "system.0.cache_control.scope: Extra inputs are not permitted",
        omit("system.0.cache_control.scope"),
    ),
    (
        "The model returned the following errors: reasoning: Extra inputs are not permitted",
        [*omit("reasoning"), NO_THINKING],
    ),
    ("Extra inputs are not permitted, field: 'prompt_cache_key', value: 'x'", omit("prompt_cache_key")),
    ("body.store: property 'body.store' is unsupported", omit("body.store")),
    ("property 'store' is unsupported, did you mean 'stop'?", omit("store")),
    (
        "messages.1.assistant.reasoning_content: property 'messages.1.assistant.reasoning_content' is unsupported",
        [UNKNOWN_MEMBER],
    ),
    ("extraneous key [top_k] is not permitted, please reformat your input", omit("top_k")),
    ("Argument not supported on this model: stop", omit("stop")),
    (
        "Unexpected value(s) `prompt-caching-scope-2026-01-05`, `effort-2025-11-24` for the `anthropic-beta` header.",
        [Remedy(Action.OMIT_BETA, "prompt-caching-scope-2026-01-05, effort-2025-11-24")],
    ),
    (
        "The long context beta is not yet available for this subscription.",
        [Remedy(Action.OMIT_BETA, "context-1m-")],
    ),
    (
        "Unrecognized request argument supplied: reasoning_content",
        [*omit("reasoning_content"), UNKNOWN_MEMBER, NO_THINKING],
    ),
    (
        "Invalid value for 'web_search_options.search_context_size'. Supported values are: 'low'.",
        [Remedy(Action.OMIT_TOOLS, "web_search"), Remedy(Action.OMIT_TOOLS, "web_search_preview")],
    ),
    (
        "Unsupported value: 'low' is not supported with the 'gpt-4.1' model. Supported values are: 'medium'.",
        omit("verbosity=low", "reasoning_effort=low", "reasoning.summary=low"),
    ),
    (
        (
            "Invalid JSON payload received. Unknown name \"thinkingLevel\" at 'generation_config.thinking_config': "
            "Cannot find field."
        ),
        [*omit("thinkingLevel"), NO_THINKING],
    ),
    ('Invalid JSON payload received. Unknown name "foo": Cannot find field.', omit("foo")),
    (
        (
            "Invalid 'user': string too long. Expected a string with maximum length 64, but got a string with "
            "length 150 instead."
        ),
        omit("user"),
    ),
    (
        (
            "max_tokens is too large: 32000. This model supports at most 16384 completion tokens, whereas you "
            "provided 32000."
        ),
        at_most(16384),
    ),
    (
        "max_tokens: 64000 > 8192, which is the maximum allowed number of output tokens for claude-3-5",
        at_most(8192),
    ),
    (
        (
            "The parameter `max_completion_tokens` specified in the request are not valid: integer above maximum "
            "value, expected a value <= 12288, but got 32000 instead."
        ),
        at_most(12288),
    ),
    (
        "Invalid 'max_output_tokens': integer above maximum value. Expected a value <= 32768, but got 64000",
        at_most(32768),
    ),
    (
        "`max_tokens` must be less than or equal to `8192`, the maximum value for `max_tokens` is …",
        at_most(8192),
    ),
    ("Invalid max_tokens value, the valid range of max_tokens is [1, 8192]", at_most(8192)),
    ("Range of max_tokens should be [1, 8192]", at_most(8192)),
    (
        (
            "Unable to submit request because it has a maxOutputTokens value of 100000 but the supported range is "
            "from 1 (inclusive) to 65537 (exclusive). Update the value and try again."
        ),
        at_most(65536),
    ),
    ("The maximum tokens you requested exceeds the model limit of 4096. Try again with …", at_most(4096)),
    (
        (
            "'max_tokens' or 'max_completion_tokens' is too large: 64000. This model's maximum context length is "
            "64001 tokens and your request has 24235 input tokens (64000 > 64001 - 24235)."
        ),
        at_most(39766, lasting=False),
    ),
    (
        "`temperature` and `top_p` cannot both be specified for this model. Please use only one.",
        omit("top_p"),
    ),
    ("`temperature` is deprecated for this model.", omit("temperature")),
    ("`top_k` must be unset when thinking is enabled.", omit("top_k")),
    ('Only `type:"function"` tools are supported; unknown tool type custom', tools("custom")),
    (
        'Only `type:"function"` tools are supported on this endpoint. Built-in tools (web_search) are not',
        tools(),
    ),
    ("unknown tool type: namespace", tools("namespace")),
    ('Failed to parse tools: Unsupported tool type: {"type":"namespace","name":"x"}', tools("namespace")),
    ("tool type namespace not supported", tools("namespace")),
    ("'type' of tool must be 'function'", tools()),
    ("Hosted tool 'web_search_preview' is not supported with gpt-4.1-nano.", tools("web_search_preview")),
    ("Invalid value: 'custom'. Supported values are: 'function'.", tools("custom")),
    ("Unsupported Responses API input item type: 'custom_tool_call'", [Remedy(CHAT)]),
    (
        "Encrypted content is not supported with this model.",
        [Remedy(Action.UNSEAL), Remedy(CHAT)],
    ),
    ("Your organization must be verified to generate reasoning summaries.", omit("reasoning.summary")),
    ("Function tools with reasoning_effort are not supported for gpt-5.4 in /v1/chat/completions.", EFFORT),
    ("This model does not support the effort parameter.", EFFORT),
    ("This model does not support effort level 'xhigh'. Supported levels: high, low, max, medium.", EFFORT),
    ("output_config.effort 'xhigh' is not supported when thinking is disabled on this model.", EFFORT),
    ("Thinking level is not supported for this model.", [NO_THINKING]),
    ("Thinking level MINIMAL is not supported for this model.", [NO_THINKING]),
    ("Unable to submit request because thinking_level MEDIUM is not supported by this model.", [NO_THINKING]),
    ("thinking_config is not supported", [NO_THINKING]),
    ("Budget 0 is invalid. This model only works in thinking mode.", [NO_THINKING]),
    ("adaptive thinking is not supported on this model", [NO_THINKING]),
    (
        '"thinking.type.enabled" is not supported for this model. Use "thinking.type.adaptive" …',
        [NO_THINKING],
    ),
    ("Thinking may not be enabled when tool_choice forces tool use.", [NO_THINKING]),
    ("`max_tokens` must be greater than `thinking.budget_tokens`.", [NO_THINKING]),
    ('"llama3.1:8b" does not support thinking', [NO_THINKING]),
    (
        "messages.1.content.0.type: Expected `thinking` or `redacted_thinking`, but found `tool_use`.",
        [Remedy(Action.REDUCE_HISTORY, "thinking-missing", lasting=False), NO_THINKING],
    ),
    (
        "`clear_thinking_20251015` strategy requires `thinking` to be enabled or adaptive",
        [Remedy(Action.REDUCE_HISTORY, "clear-thinking", lasting=False), NO_THINKING],
    ),
    (
        "thinking: Input tag 'adaptive' found using 'type' does not match any of the expected tags: 'enabled'",
        [*omit("thinking"), NO_THINKING],
    ),
    (
        "thinking.enabled.budget_tokens: Input should be greater than or equal to 1024",
        [*omit("thinking.enabled.budget_tokens"), NO_THINKING],
    ),
    (
        "output_config.effort: Input should be 'low', 'medium', 'high' or 'max'",
        [*omit("output_config.effort"), NO_THINKING],
    ),
    ("stop_sequences: each stop sequence must contain non-whitespace", omit("stop_sequences")),
    (
        "The 'prompt_cache_retention' parameter is not supported with this model.",
        omit("prompt_cache_retention"),
    ),
    (
        "The parameter 'parallel_tool_calls' is not supported in this API version.",
        omit("parallel_tool_calls"),
    ),
    ("reasoning_effort is not supported with this model", EFFORT),
    ("verbosity parameter is not available for this model.", omit("verbosity")),
    ("effort parameter is not supported for this model", [*omit("effort"), NO_THINKING]),
    ("`reasoning_effort` must be one of `none` or `default`", EFFORT),
    (
        "Failed to deserialize the JSON body into the target type: reasoning_effort: unknown variant `xhigh`, …",
        EFFORT,
    ),
    ("Unrecognized key(s) in object: 'store', 'metadata'", omit("store", "metadata")),
    ("Unrecognized key: 'reasoning_content'", [*omit("reasoning_content"), UNKNOWN_MEMBER, NO_THINKING]),
    ("This model doesn't support the stopSequences field. Remove it and try again.", omit("stopSequences")),
    (
        (
            "This model's maximum context length is 32768 tokens. However, you requested 64000 output tokens and "
            "your prompt contains at least 9001 input tokens, for a total of at least 73001 tokens."
        ),
        at_most(23767, lasting=False),
    ),
    (
        (
            "This model's maximum context length is 40960 tokens. However, you requested 66000 tokens (2000 in "
            "the messages, 64000 in the completion)."
        ),
        at_most(38960, lasting=False),
    ),
    (
        (
            "Requested token count exceeds the model's maximum context length of 32768 tokens. You requested a "
            "total of 74000 tokens: 10000 tokens from the input messages and 64000 tokens for the completion."
        ),
        at_most(22768, lasting=False),
    ),
    (
        (
            "This endpoint's maximum context length is 262144 tokens. However, you requested about 300000 tokens "
            "(236000 of text input, 64000 in the output)."
        ),
        at_most(26144, lasting=False),
    ),
    (
        "`inputs` tokens + `max_new_tokens` must be <= 32769. Given: 12000 `inputs` tokens and 64000 …",
        at_most(20769, lasting=False),
    ),
    (
        "input length and `max_tokens` exceed context limit: 150000 + 64000 > 200000, decrease input length",
        at_most(50000, lasting=False),
    ),
    ("Penalty is not enabled for models/gemini-2.5-flash", omit("presence_penalty", "frequency_penalty")),
    (
        "Unable to submit request because it has a topK value of 100 but the supported range is from 1 …",
        omit("topK"),
    ),
    ("it has a presencePenalty value of -3.5 but the supported range is from …", omit("presencePenalty")),
    (
        "Invalid value: 'namespace'. Supported values are: 'code_interpreter', 'function', and 'mcp'.",
        [*(Remedy(Action.OMIT, f"{name}=namespace") for name in VALUED), *tools("namespace")],
    ),
    (
        "tools.1: Input tag 'web_search_20260209' found using 'type' does not match any of the expected tags: …",
        [Remedy(Action.OMIT_TOOLS, "web_search_20260209")],
    ),
    ("Tool use with function calling is unsupported", [Remedy(Action.OMIT_TOOLS, HOSTED)]),
    (
        "Unable to submit request because Multiple tools are supported only when they are all search tools.",
        [Remedy(Action.OMIT_TOOLS, HOSTED)],
    ),
    ("invalid beta flag", [Remedy(Action.OMIT_BETA)]),
    (
        "No endpoints available that support Anthropic's context management features (context-management-x)",
        [*omit("context_management"), Remedy(Action.OMIT_BETA, "context-management-")],
    ),
    (
        "body -> presence_penalty\n  Extra inputs are not permitted (type=extra_forbidden)",
        omit("presence_penalty"),
    ),
    (
        "'messages.4' : for 'role:assistant' the following must be satisfied[('messages.4' : property 'annotations' is unsupported)]",
        [UNKNOWN_MEMBER],
    ),
    ("Unsupported Responses tool type: 'custom'", [Remedy(CHAT), Remedy(Action.OMIT_TOOLS, "custom")]),
    ("Unable to submit request because Thinking can't be disabled for this model. Remove …", [NO_THINKING]),
    ("thinking is not configurable in this model; please remove …", [NO_THINKING]),
    *(
        (words, [NO_THINKING])
        for words in (
            "The thinking budget 65536 is invalid. Please choose a value between 128 and 32768.",
            "Unable to submit request because thinking_budget is out of range; supported values are …",
            "Thinking_config.include_thoughts is only enabled when thinking is enabled.",
            "Thinking is not enabled for models/gemini-2.0-flash",
            "Thinking is not enabled for this model.",
            "You can only set one of thinking budget and thinking level.",
            "The thinking_budget parameter must be a positive integer and not greater than 38912",
            "parameter.enable_thinking must be set to false for non-streaming calls",
            "Reasoning is mandatory for this endpoint and cannot be disabled.",
            "think value `max` is not supported for this model",
        )
    ),
    ("Only one of `reasoning.effort` and `reasoning.max_tokens` can be specified", EFFORT),
    ("Requests with max_tokens > 4096 must have stream=true", at_most(4096, lasting=False)),
    (
        "1 validation error:\n {'type': 'literal_error', 'loc': ('body', 'reasoning_effort'), 'msg': 'no'}",
        EFFORT,
    ),
    ("[{'type': 'less_than_equal', 'loc': ('body', 'temperature'), 'msg': 'no'}]", omit("temperature")),
    ("[{'type': 'literal_error', 'loc': ('body', 'tool_choice'), 'msg': 'no'}]", []),
    ("Unrecognized chat message", [UNKNOWN_MEMBER]),
    ("'xhigh' is not one of ['low', 'high'] - 'reasoning_effort'", EFFORT),
    ("'functions' is not one of ['system', 'user'] - 'messages.0.role'", []),
    (
        "This model's maximum context length is 4097 tokens, however you requested 4322 tokens (66 in your prompt; 4256 for …",
        at_most(4031, lasting=False),
    ),
    ("reasoning_effort must be a string", EFFORT),
    ("Validation: `thinking.type` must be `enabled` or `disabled`", [NO_THINKING]),
    ("The thinking_budget parameter must be a positive integer", [NO_THINKING]),
    ("enable thinking can not be support when `stream=False`", [NO_THINKING]),
    ("cannot specify both 'thinking' and 'reasoning_effort'", EFFORT),
    ("Reasoning prompt mode is not enabled for this model", [*omit("prompt_mode"), *EFFORT]),
    ("tool_choice 'specified' is incompatible with thinking enabled", [NO_THINKING]),
    ("Invalid Value: 'tools.namespace'. User-defined namespace 'image_gen' collides", tools("namespace")),
]

BACKENDS = {
    "as it is": "{}",
    "LiteLLM, OpenAI": "litellm.BadRequestError: OpenAIException - {}. Received Model Group=m",
    "LiteLLM, Bedrock": 'litellm.BadRequestError: BedrockException - {{"message":{json}}}',
    "LiteLLM, Gemini": 'litellm.BadRequestError: GeminiException - {{\n  "error": {{\n    "code": 400,\n    "message": {json}}}}}',
    "LiteLLM, Python's bytes": 'litellm.APIConnectionError: AnthropicException - b\'{{"error":{{"message":{json}}}}}\'',
    "the SDK's words": "Error code: 400 - {{'error': {{'message': {json}, 'type': 'invalid_request_error'}}}}",
}


def body(message: str, *, anthropic: bool = False) -> bytes:
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": "400"}
    return json.dumps({"type": "error", "error": error} if anthropic else {"error": error}).encode()


@pytest.mark.parametrize("wrapper", list(BACKENDS))
@pytest.mark.parametrize(("words", "expected"), KNOWN, ids=[words[:60] for words, _ in KNOWN])
def test_the_table(words: str, expected: list[Remedy], wrapper: str) -> None:
    """Behind whatever LiteLLM puts around a backend's words; as 400, as 500, or as an event in a 200."""
    message = BACKENDS[wrapper].format(words, json=json.dumps(words))
    for status in (400, 500, 200):
        assert list(remedies(status, body(message))) == expected
        assert list(remedies(status, body(message, anthropic=True))) == expected


OTHERWISE = [
    (422, json.dumps({"detail": [{"type": "extra_forbidden", "loc": loc, "msg": "Extra inputs"}]}).encode())
    for loc in (["body", "store"], ["body", "messages", 2, "assistant", "reasoning_content"])
] + [(404, body("litellm.NotFoundError: NotFoundError: OpenAIException - 404 page not found"))]


def test_none_of_the_rows_can_be_spared(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = [(words, 400, body(words)) for words, _ in KNOWN]
    shown += [(str(json.loads(said)), status, said) for status, said in OTHERWISE]
    spared = []
    for row in ROWS:
        of_row = [(status, said) for words, status, said in shown if row.pattern.search(words)]
        known = [remedies(*said) for said in of_row]
        with monkeypatch.context() as without:
            without.setattr(refusals, "ROWS", tuple(other for other in ROWS if other is not row))
            if known == [remedies(*said) for said in of_row]:
                spared.append(row.source)
    assert spared == []


SPOKEN = f"The request was read up to the words of its user {'who goes on and on ' * 5}and asks whether "


@pytest.mark.parametrize("words", [words for words, _ in KNOWN], ids=lambda words: words[:60])
def test_the_same_words_within_a_sentence(words: str) -> None:
    """Only what they quote themselves begins there."""
    spoken = SPOKEN + words.lstrip("'\"`")
    known = [Words(spoken).find(row.pattern) for row in (*ROWS, *WORDINGS)]
    assert not [found for found in known if found is not None and found.start() <= len(SPOKEN)]


@pytest.mark.parametrize(
    "words",
    [
        "extra_forbidden', 'loc': ['body', 'store'] is what they see",
        "extra_forbidden', 'loc': ['body', 'messages', 2] is what they see",
        "OpenAIException - 404 page not found is what they see",
    ],
)
def test_other_words_within_a_sentence(words: str) -> None:
    assert remedies(404, body(SPOKEN + words)) == ()


def test_the_option_beside_a_value_that_is_refused() -> None:
    inner = {
        "error": {
            "message": "Unsupported value: 'xhigh' is not supported with the 'gpt-5' model. Supported values are: 'low'.",
            "type": "invalid_request_error",
            "param": "reasoning.effort",
            "code": "unsupported_value",
        }
    }
    wrapped = f"litellm.BadRequestError: OpenAIException - {json.dumps(inner)}"
    expected = (*omit("reasoning.effort"), NO_THINKING)
    assert remedies(400, body(wrapped)) == expected
    assert remedies(400, json.dumps(inner).encode()) == expected
    inner["error"]["param"] = "text.verbosity"
    assert remedies(400, json.dumps(inner).encode()) == tuple(omit("text.verbosity"))


@pytest.mark.parametrize(
    ("loc", "expected"),
    [
        (["body", "store"], omit("store")),
        (["body", "messages", 2, "assistant", "reasoning_content"], [UNKNOWN_MEMBER]),
        (["body", "tools", 2, "strict"], []),
    ],
)
@pytest.mark.parametrize("separators", [(", ", ": "), (",", ":")])
def test_a_list_of_refused_members(
    loc: list[object], expected: list[Remedy], separators: tuple[str, str]
) -> None:
    detail = [{"type": "extra_forbidden", "loc": loc, "msg": "Extra inputs are not permitted"}]
    assert remedies(422, json.dumps({"detail": detail}).encode()) == tuple(expected)
    inner = json.dumps({"object": "error", "message": {"detail": detail}}, separators=separators)
    assert remedies(400, body(f"litellm.BadRequestError: MistralException - {inner}")) == tuple(expected)


def test_a_value_without_its_option_is_looked_for() -> None:
    inner = {"error": {"message": "Invalid value: 'xhigh'. Supported values are: 'low'.", "param": None}}
    said = body(f"litellm.BadRequestError: OpenAIException - {json.dumps(inner)}")
    assert remedies(400, said) == tuple(Remedy(Action.OMIT, f"{name}=xhigh") for name in VALUED)


def test_a_server_without_responses() -> None:
    for words in ('{"detail":"Not Found"}', "404 page not found", "Not Found"):
        said = body(f"litellm.NotFoundError: NotFoundError: OpenAIException - {words}")
        assert remedies(404, said) == (Remedy(CHAT),)
        assert remedies(400, said) == ()


@pytest.mark.parametrize(
    "words",
    [
        "",
        "image input is not supported",
        "This model's maximum context length is 8192 tokens. However, you requested 9000 tokens.",
        "prompt is too long: 210000 tokens > 200000 maximum",
        "Invalid model name passed in model=gpt-9",
        "Invalid 'tools[0].function.name': string too long. Expected a string with maximum length 64",
        "Authentication Error, Invalid proxy server token passed",
        "The user saw unknown variant `custom`, expected `function`",
        "messages.1: Unexpected text in the role system",
        "Unexpected value(s) `a` for the `anthropic-version` header.",
        "The long context is not available for this model",
        "messages.0.content: Input should be a valid list",
        "gpt-5 only supports images when they are small",
        "The user asked what Unsupported parameter: 'temperature' means",
        "I saw that context_management: Extra inputs are not permitted is an error",
        "max_tokens is too small: 1. This model needs at least 16 completion tokens",
        "You are not supported",
        "`temperature` and `top_p` can both be specified",
        "Only the function of tools are supported",
        "Thinking about this level is not supported for this model",
        "The encrypted content is supported",
        "temperature: Input should be less than or equal to 1",
        "messages: at least one message is required",
        "tools.0.input_schema: Field required",
        "Your request was rejected as a result of our safety system: max_tokens is too large",
        "We could not parse the JSON body. The parameter 'temperature' is not supported where the body ends.",
        "The model's thinking: it should be left out",
        "messages.0.content.0.thinking: Input should be a valid string",
        "The feature behind this parameter is not supported with this model",
        "`tool_choice` must be one of `none` or `auto`",
        "messages[0].role: unknown variant `developer`, expected one of `system`, `user`",
        "tool_choice: unknown variant `any`, expected one of `auto`, `none`",
        "The server said Unrecognized key(s) in object: 'x' once",
        "This model doesn't support the toolConfig.toolChoice.tool field. Remove it and try again.",
        "This model's maximum context length is 128000 tokens. However, your messages resulted in 150000 tokens.",
        "This model's maximum context length is 100 tokens. However, you requested 66000 tokens (2000 in the messages, 64000 in the completion).",
        "This endpoint's maximum context length is 262144 tokens. Your messages have more.",
        "The input length and `max_tokens` are fine",
        "it has a maxOutputTokens value that is odd",
        "The penalty is not enabled for the user's question",
        "tools.1.name: Input should be a valid string",
        "Tool use is unsupported while streaming",
        "Could not process page 2: the invalid beta flag is on it",
        "The user is thinking of a budget that is invalid",
        "The thinking budget is a word of the prompt",
        "The reasoning is mandatory in this essay",
        "Only one of `tools` and `functions` can be specified",
        "I think value is not supported by facts",
    ],
)
def test_words_that_only_look_alike(words: str) -> None:
    for wrapper in BACKENDS.values():
        for status in (400, 404, 500, 200):
            assert remedies(status, body(wrapper.format(words, json=json.dumps(words)))) == ()


@pytest.mark.timeout(60)
@pytest.mark.parametrize("text", ["'", "\\", "-", ": ", "a-", "'a", "- max_tokens ", ": m (", "400 "])
def test_words_that_never_end_do_not_keep_the_proxy_busy(text: str) -> None:
    """Less than a second; with quantifiers inside each other it was two minutes."""
    assert remedies(400, body(text * (240_000 // len(text)))) == ()


@pytest.mark.parametrize("status", [401, 402, 403, 408, 429, 502, 503, 529])
def test_statuses_of_which_no_words_are_read(status: int) -> None:
    assert remedies(status, body("Unknown parameter: 'store'.")) == ()


@pytest.mark.parametrize("said", [b"", b"<html>Unknown parameter: 'store'</html>", b"[]", b'{"choices":[]}'])
def test_what_is_no_error_is_none(said: bytes) -> None:
    assert remedies(400, said) == ()


def test_an_answer_that_quotes_a_refusal_is_none() -> None:
    said = {"choices": [{"message": {"content": "Unknown parameter: 'store'."}}]}
    assert remedies(200, json.dumps(said).encode()) == ()
