"""Refusals in words of nobody's in particular, what they have left out or lowered, and words that look alike."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from litellm_hybrid.llm.history import Words, reduce
from litellm_hybrid.llm.reduction import REJECTIONS
from litellm_hybrid.llm.replay import refusals
from litellm_hybrid.llm.replay.refusals import ROWS, WORDINGS, remedies
from litellm_hybrid.llm.replay.remedies import RETRIES_MAX, Action, Remedy, apply
from litellm_hybrid.routing.paths import Api

type Json = dict[str, Any]

CHAT, MESSAGES, RESPONSES, GEMINI = Api.CHAT, Api.MESSAGES, Api.RESPONSES, Api.GENERATE_CONTENT
LONG = "u" * 150
SPOKEN = f"The request was read up to the words of its user {'who goes on and on ' * 5}and asks whether "

BODIES: dict[Api, Json] = {
    CHAT: {
        "model": "m",
        "stream": True,
        "stream_options": {"include_usage": True},
        "reasoning_effort": "xhigh",
        "verbosity": "low",
        "parallel_tool_calls": True,
        "store": False,
        "prompt_cache_key": "abc",
        "service_tier": "auto",
        "max_completion_tokens": 64000,
        "temperature": 0.2,
        "top_p": 0.9,
        "logit_bias": {},
        "frequency_penalty": 0.1,
        "seed": 1,
        "user": LONG,
        "messages": [
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": "a", "reasoning_content": "hm"},
            {"role": "user", "content": "go"},
        ],
        "tools": [
            {
                "type": "function",
                "function": {"name": "shell", "parameters": {"type": "object", "properties": {}}},
            },
            {"type": "custom", "custom": {"name": "apply_patch"}},
        ],
    },
    MESSAGES: {
        "model": "m",
        "stream": True,
        "max_tokens": 64000,
        "temperature": 1,
        "top_p": 0.9,
        "top_k": 5,
        "thinking": {"type": "adaptive"},
        "output_config": {"effort": "xhigh"},
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        "metadata": {"user_id": LONG},
        "system": [{"type": "text", "text": "s"}],
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "hi", "cache_control": {"type": "ephemeral", "ttl": "1h"}}
                ],
            },
            {
                "role": "assistant",
                "content": [{"type": "tool_use", "id": "toolu_1", "name": "Bash", "input": {}}],
            },
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "x"}]},
        ],
        "tools": [
            {"name": "Bash", "input_schema": {"type": "object", "properties": {}}},
            {"type": "web_search_20250305", "name": "web_search", "max_uses": 3},
        ],
    },
    RESPONSES: {
        "model": "m",
        "stream": True,
        "store": False,
        "instructions": "i",
        "reasoning": {"effort": "xhigh", "summary": "auto"},
        "text": {"verbosity": "low"},
        "include": ["reasoning.encrypted_content"],
        "max_output_tokens": 64000,
        "prompt_cache_key": "k",
        "client_metadata": {"a": "b"},
        "parallel_tool_calls": False,
        "tool_choice": "auto",
        "input": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}],
        "tools": [
            {"type": "function", "name": "shell", "parameters": {"type": "object", "properties": {}}},
            {
                "type": "custom",
                "name": "apply_patch",
                "description": "d",
                "format": {"type": "grammar", "syntax": "lark", "definition": "start: x"},
            },
            {"type": "web_search"},
        ],
    },
    GEMINI: {
        "generationConfig": {
            "temperature": 1,
            "topP": 0.95,
            "topK": 64,
            "maxOutputTokens": 64000,
            "responseModalities": ["TEXT"],
            "thinkingConfig": {"thinkingLevel": "HIGH", "includeThoughts": True},
        },
        "contents": [{"role": "user", "parts": [{"text": "hi"}]}],
        "tools": [
            {
                "functionDeclarations": [
                    {"name": "shell", "parametersJsonSchema": {"type": "object", "properties": {}}}
                ]
            }
        ],
    },
}

REFUSALS: dict[tuple[Api, str, int], list[str]] = {
    (CHAT, "reasoning_effort", 0): [
        "`reasoning_effort` is not available for model 'mistral-small-2603'.",
        "Invalid value for reasoning_effort: 'xhigh'. Supported values are 'low', 'medium' and 'high'.",
        "reasoning_effort: expected one of 'low', 'high'; found 'xhigh'",
        "'reasoning_effort': Input should be 'none', 'low' or 'high'",
        'reasoning_effort "medium" is not supported by model claude-opus-4.7-high; supported values: [high]',
        'reasoning_effort "high" was provided, but model claude-sonnet-4.5 does not support reasoning effort',
        "Kwargs ['reasoning_effort'] are not supported by `Tokenizer.apply_chat_template`.",
        "AsyncCompletions.create() got an unexpected keyword argument 'reasoning_effort'",
    ],
    (CHAT, "parallel_tool_calls", 0): [
        "Unknown field 'parallel_tool_calls' in request",
        "The capability 'parallel_tool_calls' is not supported by this gateway. Remove the field.",
        "Parameter 'parallel_tool_calls' is not implemented for this backend",
    ],
    (CHAT, "store", 0): [
        "The following request fields are not recognised by this endpoint: store, prompt_cache_key",
        "Additional properties are not allowed ('service_tier', 'store' were unexpected)",
        "store: value is not permitted here",
        "The property store is not defined and the definition does not allow additional properties",
        "Request body contains unknown fields: ['store', 'verbosity']",
    ],
    (CHAT, "stream_options", 0): [
        "property 'stream_options' is unsupported, did you mean 'stream'?",
        "The parameter stream_options is not allowed.",
        "The 'stream_options' parameter is only allowed when 'stream' is enabled.",
    ],
    (CHAT, "verbosity", 0): [
        'json: unknown field "verbosity"',
        "This deployment rejects `verbosity`; remove it from the request.",
        "verbosity isn't supported by qwen3-max",
    ],
    (CHAT, "max_completion_tokens", 8192): [
        "max_completion_tokens must be less than or equal to 8192, but got 64000",
        "max_completion_tokens should be in [1, 8192]",
        "'max_completion_tokens' may not exceed 8192",
    ],
    (CHAT, "max_completion_tokens", 16384): [
        "Requested 64000 output tokens, which exceeds the model's maximum of 16384.",
        "The maximum value for max_completion_tokens is 16384.",
        "max_completion_tokens: 64000 is greater than the maximum of 16384",
    ],
    (CHAT, "max_completion_tokens", 32768): [
        "The value of max_completion_tokens (64000) is above the limit for this model (32768)",
        "max_completion_tokens must be in the range [1, 32768]",
    ],
    (CHAT, "max_completion_tokens", 4096): [
        "max_completion_tokens: Input should be less than or equal to 4096",
    ],
    (CHAT, "temperature", 0): [
        "This model doesn't support the temperature field. Remove temperature and try again.",
        "Model us.anthropic.claude-opus-5 does not support the temperature parameter.",
        "Error from provider (Moonshot AI): invalid temperature: only 1 is allowed for this model",
        "temperature参数非法。请检查文档。",
        "<400> InternalError.Algo.InvalidParameter: Temperature should be in [0.0, 2.0)",
        "This model only allows temperature=1. You sent temperature=0.2.",
    ],
    (CHAT, "top_p", 0): [
        "top_p: Sampling controls cannot be combined with temperature for this model; send only one of `temperature`, `top_p`",
        "The model does not accept a top_p value together with temperature.",
        "temperature and top_p can't be used together",
        "Please set only one of temperature / top_p",
    ],
    (CHAT, "logit_bias", 0): [
        "logit_bias is deprecated and no longer accepted",
        "unsupported argument(s): logit_bias",
        "We don't support 'logit_bias' for chat models yet",
        "invalid params, logit_bias is not supported",
    ],
    (CHAT, "frequency_penalty", 0): [
        "Frequency penalty is not supported by this model (frequency_penalty)",
        "model glm-5 doesn't accept frequency_penalty",
    ],
    (CHAT, "user", 0): [
        "Invalid 'user': string too long. Expected a string with maximum length 64, but got a string with length 151 instead.",
        "user must be at most 128 characters long",
        "user: String should have at most 64 characters",
        "'user' exceeds the limit of 64 characters",
        "the length of user is too long: at most 100",
        "user: value too long (max 64)",
        "Length of 'user' must not be over 64 characters",
    ],
    (CHAT, "seed", 0): [
        "Parameter `seed` cannot be used with model grok-code-fast",
        "{'seed': ['Unknown field.']}",
        "Got an unexpected keyword 'seed'",
    ],
    (CHAT, "messages.1.reasoning_content", 0): [
        "messages[1].reasoning_content: unknown field",
        "Field 'reasoning_content' in messages[1] is not supported",
    ],
    (CHAT, "tools.1", 0): [
        "tools.1.type: Input should be 'function'",
        "Tool type 'custom' cannot be used with this model",
        "tools[1]: type 'custom' is not supported",
    ],
    (MESSAGES, "top_k", 0): [
        "top_k is not supported when thinking is enabled by this provider: remove top_k",
        "top_k: parameter not supported by the provider",
        "top_k must be removed when thinking is adaptive",
    ],
    (MESSAGES, "context_management", 0): [
        "context_management: this field is not accepted by claude on this platform",
        "context_management is in beta and not enabled on this endpoint",
        "The field `context_management` is not part of this API version",
    ],
    (MESSAGES, "output_config.effort", 0): [
        "output_config.effort: xhigh effort isn't available for claude-haiku-4-5",
        "request.output_config.effort: Invalid enum value. Expected 'low' | 'high', received 'xhigh'",
        "This model does not accept the `effort` option.",
        "effort is not supported for this model",
        "The value 'xhigh' for output_config.effort is not allowed; allowed: low, medium, high",
    ],
    (MESSAGES, "thinking", 0): [
        "Extended thinking is unavailable for this model.",
        "thinking: adaptive is not accepted by this model",
        "This model does not support extended thinking",
        "thinking.type: adaptive is not an allowed value on Vertex",
        "Thinking is not available on this endpoint",
        "Value error, current model does not support parameter `enable_thinking`.",
        "thinking type should be enabled or disabled",
    ],
    (MESSAGES, "max_tokens", 10000): [
        "`max_tokens` cannot be greater than 10000 for this deployment",
    ],
    (MESSAGES, "metadata", 0): [
        "metadata.user_id: String should have at most 128 characters",
        "metadata.user_id may have at most 64 characters",
    ],
    (MESSAGES, "top_p", 0): [
        "temperature and top_p are mutually exclusive for this model",
        "Only one of temperature or top_p may be set",
        "Specify either temperature or top_p, not both",
        "`top_p` must be greater than or equal to 0.95 or unset when thinking is enabled",
    ],
    (MESSAGES, "tools.1", 0): [
        "The server tool web_search_20250305 is not available on this platform",
        "web_search_20250305 tools are not enabled for your platform",
        "'claude-haiku-4-5' does not support the web_search_20250305 tool",
    ],
    (RESPONSES, "include", 0): [
        "include: 'reasoning.encrypted_content' cannot be requested from a model without reasoning",
        "reasoning.encrypted_content is not available on this model",
        "This deployment cannot return encrypted reasoning: reasoning.encrypted_content is not supported",
    ],
    (RESPONSES, "text.verbosity", 0): [
        "text.verbosity is not available for this model",
        "verbosity 'low' is not supported by gpt-4.1; only 'medium'",
    ],
    (RESPONSES, "max_output_tokens", 16384): [
        "max_output_tokens must not exceed 16384 (received 64000)",
    ],
    (RESPONSES, "reasoning", 0): [
        "This model does not support reasoning. Remove the `reasoning` parameter.",
    ],
    (GEMINI, "generationConfig.maxOutputTokens", 8192): [
        "maxOutputTokens must be between 1 and 8192 inclusive",
        "max output tokens must be at most 8192",
    ],
    (GEMINI, "generationConfig.responseModalities", 0): [
        "Model does not support the responseModalities setting",
    ],
    (CHAT, "prompt_cache_key", 0): [
        'Invalid request: unexpected property "prompt_cache_key"',
        "prompt_cache_key: no such option",
    ],
    (CHAT, "service_tier", 0): [
        "body.service_tier unknown key",
    ],
    (MESSAGES, "temperature", 0): [
        "`temperature` may only be 1 when thinking is enabled",
    ],
    (MESSAGES, "messages.0.content.0.cache_control.ttl", 0): [
        "cache_control.ttl is not supported on this platform",
    ],
    (MESSAGES, "max_tokens", 8192): [
        "max_tokens may be at most 8192 for this model",
        "max_tokens is limited to 8192 for claude-3-5-haiku",
    ],
    (RESPONSES, "tools.1", 0): [
        "custom tools are not supported by this model",
        'tool type "custom" is unknown to this server',
    ],
    (RESPONSES, "tools.2", 0): [
        "The tool type web_search is not allowed here",
        "Hosted tools are not available on this deployment",
    ],
    (RESPONSES, "reasoning.effort", 0): [
        "Parameter reasoning.effort not supported",
        "validation failed: effort must be one of: low medium high",
    ],
    (RESPONSES, "max_output_tokens", 8192): [
        "max_output_tokens above the model limit (8192)",
        "max_tokens (64000) exceeds model's maximum output tokens (8192) for model deepseek-v4-flash:0731",
        "Field max_tokens: must be at most 8192, got 64000",
    ],
    (RESPONSES, "client_metadata", 0): [
        "unexpected keyword argument 'client_metadata'",
        "client_metadata was not expected",
    ],
    (GEMINI, "generationConfig.thinkingConfig.thinkingLevel", 0): [
        "thinkingLevel is not a valid setting for this model",
        "thinkingLevel: unsupported value HIGH",
    ],
    (GEMINI, "generationConfig.topK", 0): [
        "Unknown field topK",
        "generationConfig.topK is unsupported for this model",
    ],
    (MESSAGES, "output_config", 0): [
        "output_config is not a recognized field",
    ],
    (RESPONSES, "reasoning.summary", 0): [
        "reasoning.summary: unsupported on this model",
    ],
    (RESPONSES, "prompt_cache_key", 0): [
        "prompt_cache_key not allowed",
    ],
    (MESSAGES, "messages.0.content.0.cache_control", 0): [
        "messages.0.content.1.tool_result.cache_control: Extra inputs are not permitted",
        "Unknown parameter: 'messages[0].content[0].cache_control'.",
        "cache_control is not supported by this model",
    ],
    (GEMINI, "generationConfig.thinkingConfig", 0): [
        "thinkingBudget cannot be set for this model",
    ],
}
"""(API, what is refused, how much of it is taken) → the words."""

ALIKE: dict[Api, list[str]] = {
    CHAT: [
        "messages: at least one message is required; `temperature` is optional",
        "Your organization must be verified to use reasoning_effort with this model",
        "prompt is too long: 210000 tokens > 200000 maximum",
        "Invalid API key supplied; parameter 'api_key' must be set",
        "The model `gpt-9` does not exist or does not support the tools you have access to",
        "Content policy violation: the prompt mentions unsupported parameter: 'seed'",
        "Image input is not supported by this model",
        "tool_call_id not found in 'tool_calls' of previous message",
        "messages.3.tool_calls.0.function.arguments: Input should be a valid string",
        "Function calling is not supported with this model",
        "response_format is not supported by this model",
        "tool_choice is not supported by this model",
        "Streaming is not supported for this model",
        "Missing required parameter: 'messages[0].content'.",
        "The user account has been suspended: user is not allowed",
        "Rate limit: max tokens per minute 8192 exceeded, requested 64000",
        "Invalid schema for function 'apply_patch': 'top_p' is not of type 'object'",
        "Unsupported file type for 'user' upload",
        "The user's message contains unsupported characters",
        "Your store is not available in this region",
        "stop is reached: no output was generated",
        "This model does not support images",
        "This model does not support tools",
        "This model does not support the tool `apply_patch`",
        "Tool 'shell' is not supported",
        "The tool shell is not available",
        "tools[0].function.parameters is not allowed to be empty",
        "tools.0.function.name is not accepted: it must match ^[a-z]+$",
        "messages[2].content is not allowed to be null",
        "messages[0].role 'developer' is not supported",
        "The file type image/bmp is not supported",
        "mime_type is not supported: image/tiff",
        "image_url is not accepted by this model",
        "model is not available",
        "'gpt-5' is not available in your region",
        "The deployment for seed-oss is not available",
        "response_format is not supported",
        "stream is not supported for this model",
        "n is not supported",
        "invalid_api_key is not accepted",
        "The temperature of the reactor is not supported by the facts you gave",
        "Reasoning about weapons is not allowed",
        "Thinking about it, your request is not permitted by our policy",
        "Metadata in the picture is not supported by evidence",
        "Access to model m is not enabled for your account",
        "api_key is not enabled",
        "organization_id is unknown",
        "Additional credits are not available",
        "Unexpected end of JSON input",
        "Unknown model: qwen3",
        "Unsupported model 'm'",
        "max_completion_tokens must be at least 16",
        "The prompt has 200000 tokens, which exceeds the limit of 8192",
        "max_prompt_tokens is at most 8192",
        "Rate limit exceeded: requested 64000 output tokens per minute, limit 8000",
        "Both temperature and top_p look good",
        "Model 'kimi-k2.6' supports at most 1 image per prompt.",
        '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set',
        "registry.ollama.ai/library/deepseek-r1:latest does not support tools",
        "System role not supported",
        "Unsupported value: 'auto' tool choice is not supported with no tools.",
        "The model `llama-3.1-70b-versatile` has been decommissioned and is no longer supported.",
        "No endpoints found that can handle the requested parameters.",
        "The capability 'tools' is not supported by this gateway profile. Remove the field.",
        "The requested feature is not supported by your subscription",
        "[tools] are not supported by `apply_chat_template`",
        "invalid temperature unit: only celsius is allowed in your schema",
        "body -> messages\n  Extra inputs are not permitted (type=extra_forbidden)",
        "'messages.0' : for 'role:user' the following must be satisfied[('messages.0' : property 'content' is missing)]",
        "tool_calls.0.type\n  Input should be 'function' [type=literal_error, input_value=None]",
        "messages参数非法。请检查文档。",
        "The temperature should be in the report",
        "thinking is enabled but reasoning_content is missing in assistant tool call message at index 3",
        "Failed to initialize samplers: failed to parse grammar",
        "codellama:latest does not support tools",
        "Unsupported JSON schema fields: {'minItems', 'items'}",
        'Bad request: "parameters" is a required property for "function" object in parameter "tools"',
        "Invalid 'tools[5].function.name': empty string. Expected a string with minimum length 1, but got an empty string instead.",
        "<400> InternalError.Algo.InvalidParameter: Empty tool_calls is not supported in message.",
        "'functions' is not one of ['system', 'assistant', 'user', 'function'] - 'messages.0.role'",
        "[{'type': 'missing', 'loc': ('body', 'messages'), 'msg': 'Field required'}]",
        "[{'type': 'literal_error', 'loc': ('body', 'messages', 0, 'role'), 'msg': \"Input should be 'system' or 'user'\"}]",
        "[{'type': 'string_type', 'loc': ('body', 'model'), 'msg': 'Input should be a valid string'}]",
        "invalid params, function name or parameters is empty",
        "Requests with images must have less than 20 of them",
        "Image URLs are only allowed when the model sees",
        "Tools are only supported for chat models",
        "tool_choice is only allowed when tools are specified",
        "response_format is only supported by newer models",
        "model is only available in us-east-1",
        "1 validation error for list[function-wrap[log_extra_fields()]]\n Invalid JSON: EOF while parsing a string at line 57",
        "This model's maximum context length is 4096 tokens, however you requested 9096 tokens (9000 in your prompt; 96 for the completion).",
    ],
    MESSAGES: [
        'messages: roles must alternate between "user" and "assistant"',
        "max_tokens: Field required",
        "system: text content blocks must be non-empty",
        "messages.0.content.1.image.source.base64: invalid base64 data",
        "tools.0.custom.input_schema.type: Field required",
        "tool_use ids were found without tool_result blocks immediately after: toolu_01",
        "Your credit balance is too low to use extended thinking",
        "A maximum of 4 blocks with cache_control may be provided. Found 5.",
        "model: claude-x is not supported in your region",
        "tools: Tool names must be unique.",
        "Output blocked by content filtering policy (max_tokens 8192)",
        "thinking blocks are not allowed in user messages",
        "tool_choice forces tool use, which is not supported",
        "The system prompt is not accepted",
        "system is not allowed to be empty",
        "max_tokens is required",
        "This account does not support extended context",
        "cache_control blocks are at most 4",
        "metadata must be an object",
        "'claude-haiku-4-5-20251001' does not support tool_reference blocks. This feature is only available on Claude Sonnet 4+",
        "This request would exceed the limit: thinking must be counted as output",
        "The temperature in the room must not rise when thinking about it",
    ],
    RESPONSES: [
        "No tool output found for function call call_abc.",
        "Previous response with id 'resp_1' not found.",
        "Item 'rs_1' of type 'reasoning' was provided without its required following item.",
        "Your input exceeds the context window of this model. Please adjust your input and try again.",
        "Invalid type for 'input[3].content': expected one of an array of objects or string, but got null instead.",
        "The requested model 'gpt-5.9-codex' does not exist.",
        "Invalid 'tools[0].name': string does not match pattern. Expected a string that matches the pattern '^[a-zA-Z0-9_-]+$'.",
        "input[0].type 'compaction_trigger' is not supported",
        "previous_response_id is not supported",
        "input_image is not supported by this model",
        "The encrypted content could not be decrypted",
        "tool web_search found nothing",
        "Output of tool call should be 'Input text'",
        "The built-in tools of your kitchen are not supported",
        "Tool choice 'image_generation' not found in 'tools' parameter.",
    ],
    GEMINI: [
        "Please ensure that function call turn comes immediately after a user turn or after a function response turn.",
        "API key not valid. Please pass a valid API key.",
        "User location is not supported for the API use.",
        "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
        "Request contains an invalid argument.",
        "GenerateContentRequest.contents: contents is not specified",
        "models/gemini-9 is not found for API version v1beta, or is not supported for generateContent",
        "The caller does not have permission",
        "Function calling is not enabled for models/gemma",
        "Developer instruction is not enabled for models/gemma-3",
        "contents.parts must not be empty",
        "Unable to submit request because it must have a text parameter.",
        "Unable to submit request because function response parts must follow the function call.",
    ],
}
CASES = [(api, path, most, words) for (api, path, most), said in REFUSALS.items() for words in said]


def said(words: str) -> Iterator[tuple[int, bytes]]:
    """As LiteLLM passes a backend's words on: as 400, as 500 with the backend's body inside, as an event."""
    error = {"error": {"message": words, "type": "invalid_request_error", "param": None}}
    for status, text in (
        (400, f"litellm.BadRequestError: OpenAIException - {words}. Received Model Group=m"),
        (
            500,
            f"litellm.APIConnectionError: AnthropicException - {json.dumps(error, ensure_ascii=False)}. Received Model Group=m",
        ),
        (200, words),
    ):
        yield status, json.dumps({"error": {"message": text, "type": None, "code": str(status)}}).encode()


def applied(body: bytes, api: Api, remedy: Remedy) -> bytes:
    if remedy.action is not Action.REDUCE_HISTORY:
        return apply(body, api, remedy)
    return reduce(body, api, rejection=next(known for known in REJECTIONS if known == remedy.name)).body


def at(value: Any, path: str) -> Any:
    for name in path.split("."):
        if isinstance(value, list):
            value = value[int(name)] if int(name) < len(value) else None
        else:
            value = value.get(name) if isinstance(value, dict) else None
    return value


def is_taken(api: Api, path: str, most: int, body: bytes) -> bool:
    """Whether a server that refuses one thing takes a body."""
    sent, refused = json.loads(body), at(BODIES[api], path)
    if path.startswith("tools."):
        return refused not in sent.get("tools", []) or (
            api is RESPONSES and "use_chat_completions_api" in sent
        )
    left = at(sent, path)
    return left is None or (most > 0 and left <= most)


def passes(api: Api, path: str, most: int, words: str) -> bool:
    """Whether each of a replay's attempts in turn ends with one that is taken, in all that LiteLLM makes of it."""
    for status, error in said(words):
        body, tried = json.dumps(BODIES[api]).encode(), set[Remedy]()
        while len(tried) < RETRIES_MAX and not is_taken(api, path, most, body):
            new = (
                (remedy, applied(body, api, remedy))
                for remedy in remedies(status, error)
                if remedy not in tried
            )
            remedy, after = next(
                ((remedy, after) for remedy, after in new if after is not body), (None, body)
            )
            if remedy is None:
                return False
            tried.add(remedy)
            body = after
        if not is_taken(api, path, most, body):
            return False
    return True


@pytest.mark.parametrize(("api", "path", "most", "words"), CASES)
def test_what_is_refused_in_other_words_is_left_out(api: Api, path: str, most: int, words: str) -> None:
    assert passes(api, path, most, words)


@pytest.mark.parametrize("words", [words for *_, words in CASES])
def test_the_same_words_within_a_sentence(words: str) -> None:
    """Only what they quote themselves begins there."""
    spoken = SPOKEN + words.lstrip("'\"`<{[")
    known = [Words(spoken).find(row.pattern) for row in (*ROWS, *WORDINGS)]
    assert not [found for found in known if found is not None and found.start() <= len(SPOKEN)]


def test_none_of_the_wordings_can_be_spared(monkeypatch: pytest.MonkeyPatch) -> None:
    spared = []
    for row in WORDINGS:
        monkeypatch.setattr(refusals, "WORDINGS", tuple(other for other in WORDINGS if other is not row))
        if all(passes(*case) for case in CASES):
            spared.append(row.pattern.pattern)
    assert spared == []


@pytest.mark.parametrize(("api", "words"), [(api, words) for api, said in ALIKE.items() for words in said])
def test_words_that_only_look_alike_cost_no_attempt(api: Api, words: str) -> None:
    body = json.dumps(BODIES[api]).encode()
    for status, error in said(words):
        assert [remedy for remedy in remedies(status, error) if applied(body, api, remedy) is not body] == []
