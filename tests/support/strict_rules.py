"""What providers refuse beside unknown members, in their own words, a row each; LiteLLM 1.106, 2026-11.

A rule holds for a deployment that has all of its traits (strict_backends.py lists them), and refuses a
request in which it finds something. What it finds is put into its words.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

type Json = dict[str, Any]
type Finds = Callable[[Json], object]

USER_MAX = 64
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
_IMAGES = frozenset({"image", "image_url", "input_image"})


@dataclass(frozen=True, slots=True)
class Rule:
    """A row: whose (traits, by blanks), what it finds, what it says of it, and of which parameter."""

    traits: str
    finds: Finds
    says: str
    param: str | None = None

    def refusal(self, traits: frozenset[str], body: Json) -> str | None:
        """Its words if it refuses a request; None if it does not."""
        if not traits.issuperset(self.traits.split()):
            return None
        found = self.finds(body)
        return None if found in (None, False, "") else self.says.replace("{}", str(found))


def at(body: object, path: str) -> Any:
    """The value at a dotted path; None where there is none."""
    for name in path.split("."):
        body = body.get(name) if isinstance(body, dict) else None
    return body


def has(path: str) -> Finds:
    """The value itself, False or 0 too, as text."""
    return lambda body: None if (value := at(body, path)) is None else f"{value}"


def other(path: str, *allowed: object) -> Finds:
    """A value that is none of these."""
    return lambda body: None if (value := at(body, path)) in (None, *allowed) else value


def above(path: str, most: int) -> Finds:
    """A number that is too large."""
    return lambda body: value if isinstance(value := at(body, path), int) and value > most else None


def longer(path: str, most: int) -> Finds:
    """The length of a text that is too long."""
    return lambda body: len(value) if isinstance(value := at(body, path), str) and len(value) > most else None


def both(one: str, two: str) -> Finds:
    """Whether two parameters are set."""
    return lambda body: at(body, one) is not None and at(body, two) is not None


def parts(value: object) -> Iterator[Json]:
    """Every object in a value, at any depth."""
    if isinstance(value, dict):
        yield value
    for member in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from parts(member)


def an_image(body: Json) -> bool:
    """Whether a conversation holds an image."""
    said = [body.get(name) for name in ("messages", "input")]
    return any(part.get("type") in _IMAGES for part in parts(said))


def tool_type(body: Json) -> object:
    """The type of the first tool that is no function."""
    return next(
        (tool.get("type") for tool in body.get("tools") or () if tool.get("type") != "function"), None
    )


def bad_name(body: Json) -> object:
    """The position of the first tool whose name has other characters."""
    names = [str(tool.get("name") or at(tool, "function.name") or "") for tool in body.get("tools") or ()]
    return next((f"{n}" for n, name in enumerate(names) if name and not _NAME.fullmatch(name)), None)


def foreign_encrypted(body: Json) -> object:
    """The beginning of reasoning that another organisation has encrypted."""
    seals = (part["encrypted_content"] for part in parts(body.get("input")) if part.get("encrypted_content"))
    return next((f"{seal}"[:4] for seal in seals), None)


def foreign_signature(body: Json) -> object:
    """Where a thinking block is that somebody else has signed."""
    for number, message in enumerate(body["messages"]):
        for place, block in enumerate(_blocks(message)):
            if block.get("type") in ("thinking", "redacted_thinking"):
                return f"{number}.content.{place}"
    return None


def _blocks(message: Json) -> list[Json]:
    content = message.get("content")
    return content if isinstance(content, list) else []


def _in_turn(body: Json) -> list[Json]:
    return [message for message in body["messages"] if message["role"] != "system"]


def found_instead_of_thinking(body: Json) -> object:
    """The type that a tool loop's turn begins with, where manual thinking wants thinking."""
    messages = _in_turn(body)
    if at(body, "thinking.type") != "enabled" or len(messages) < 2:
        return None
    if not any(block.get("type") == "tool_result" for block in _blocks(messages[-1])):
        return None
    first = next(iter(_blocks(messages[-2])), {}).get("type")
    return None if first in ("thinking", "redacted_thinking") else first


def clears_without_thinking(body: Json) -> bool:
    """Whether thinking is to be cleared where there is none."""
    edits = at(body, "context_management.edits") or ()
    clears = any(str(edit.get("type")).startswith("clear_thinking") for edit in edits)
    return clears and at(body, "thinking.type") not in ("enabled", "adaptive")


def forced_with_thinking(body: Json) -> bool:
    """Whether a tool is forced while Claude thinks."""
    return at(body, "tool_choice.type") in ("any", "tool") and at(body, "thinking.type") in (
        "enabled",
        "adaptive",
    )


def thinks(body: Json) -> bool:
    """Whether Claude is asked to think."""
    return at(body, "thinking.type") in ("enabled", "adaptive")


def warm_while_thinking(body: Json) -> bool:
    """Whether another temperature is set while Claude thinks."""
    return thinks(body) and at(body, "temperature") not in (None, 1, 1.0)


def unpaired(body: Json) -> object:
    """The first tool call of chat completions or Messages without a result."""
    made = [part["id"] for part in parts(body["messages"]) if part.get("type") in ("tool_use", "function")]
    got = {part.get("tool_use_id") or part.get("tool_call_id") for part in parts(body["messages"])}
    return next((call for call in made if call not in got), None)


def unsigned_call(body: Json) -> object:
    """The position of a function call that has lost its thought signature, in the turn that goes on."""
    for number, content in enumerate(body["contents"]):
        for part in content.get("parts", ()):
            if "functionCall" in part and not (part.get("thoughtSignature") or part.get("thought_signature")):
                return f"{number}"
    return None


def foreign_thought(body: Json) -> bool:
    """Whether a thought signature is somebody else's."""
    signatures = [part.get("thoughtSignature") for part in parts(body["contents"])]
    return any(str(seal).startswith(FOREIGN) for seal in signatures if seal)


FOREIGN = "c2VhbGVkLWVsc2V3aGVyZS4u"
"""What the histories of agent_requests.py seal begins so: nobody here can read it."""

_LEVELS = "Supported values are: 'minimal', 'low', 'medium', and 'high'."

RULES: tuple[Rule, ...] = (
    # OpenAI's reasoning models
    Rule("openai reasoning", has("max_tokens"), "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.", "max_tokens"),
    Rule("openai reasoning", other("temperature", 1, 1.0), "Unsupported parameter: 'temperature' is not supported with this model.", "temperature"),
    Rule("openai reasoning", has("top_p"), "Unsupported parameter: 'top_p' is not supported with this model.", "top_p"),
    Rule("openai reasoning", has("stop"), "Unsupported parameter: 'stop' is not supported with this model.", "stop"),
    Rule("openai reasoning", other("reasoning_effort", "minimal", "low", "medium", "high"), "Unsupported value: '{}' is not supported with the 'gpt-5' model. " + _LEVELS, "reasoning_effort"),
    Rule("openai reasoning", other("reasoning.effort", "minimal", "low", "medium", "high"), "Unsupported value: '{}' is not supported with the 'gpt-5' model. " + _LEVELS, "reasoning.effort"),
    # and those that do not reason
    Rule("openai plain", has("reasoning_effort"), "Unrecognized request argument supplied: reasoning_effort"),
    Rule("openai plain", has("reasoning.effort"), "Unsupported parameter: 'reasoning.effort' is not supported with this model.", "reasoning.effort"),
    Rule("openai plain", has("reasoning.summary"), "Unsupported parameter: 'reasoning.summary' is not supported with this model.", "reasoning.summary"),
    Rule("openai plain", lambda body: "reasoning.encrypted_content" in (body.get("include") or ()), "Encrypted content is not supported with this model.", "include"),
    Rule("openai plain", other("text.verbosity", "medium"), "Unsupported value: '{}' is not supported with the 'gpt-4.1' model. Supported values are: 'medium'.", "text.verbosity"),
    Rule("openai plain", has("verbosity"), "Unrecognized request argument supplied: verbosity"),
    Rule("openai plain chat", above("max_tokens", 32_768), "max_tokens is too large: {}. This model supports at most 32768 completion tokens, whereas you provided {}.", "max_tokens"),
    Rule("openai plain chat", above("max_completion_tokens", 32_768), "max_tokens is too large: {}. This model supports at most 32768 completion tokens, whereas you provided {}.", "max_tokens"),
    Rule("openai plain responses", above("max_output_tokens", 32_768), "Invalid 'max_output_tokens': integer above maximum value. Expected a value <= 32768, but got {} instead.", "max_output_tokens"),
    # all of OpenAI's
    Rule("openai", longer("user", USER_MAX), "Invalid 'user': string too long. Expected a string with maximum length 64, but got a string with length {} instead.", "user"),
    Rule("openai chat", bad_name, "Invalid 'tools[{}].function.name': string does not match pattern. Expected a string that matches the pattern '^[a-zA-Z0-9_-]+$'.", "tools"),
    Rule("openai responses", bad_name, "Invalid 'tools[{}].name': string does not match pattern. Expected a string that matches the pattern '^[a-zA-Z0-9_-]+$'.", "tools"),
    Rule("openai responses", foreign_encrypted, "The encrypted content {}... could not be verified. Reason: Encrypted content organization_id did not match the target organization."),
    Rule("openai chat", unpaired, "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. The following tool_call_ids did not have response messages: {}", "messages"),
    # Anthropic, by whatever door
    Rule("claude", both("temperature", "top_p"), "`temperature` and `top_p` cannot both be specified for this model. Please use only one."),
    Rule("claude", warm_while_thinking, "`temperature` may only be set to 1 when thinking is enabled or in adaptive mode. Please consult our documentation at https://docs.claude.com/en/docs/build-with-claude/extended-thinking"),
    Rule("claude", lambda body: thinks(body) and at(body, "top_k"), "`top_k` must be unset when thinking is enabled or in adaptive mode."),
    Rule("claude", forced_with_thinking, "Thinking may not be enabled when tool_choice forces tool use."),
    Rule("claude", foreign_signature, "messages.{}: Invalid `signature` in `thinking` block"),
    Rule("claude", found_instead_of_thinking, "messages.1.content.0.type: Expected `thinking` or `redacted_thinking`, but found `{}`. When `thinking` is enabled, a final `assistant` message must start with a thinking block (preceeding the lastmost set of `tool_use` and `tool_result` blocks). We recommend you include thinking blocks from previous turns. To avoid this requirement, disable `thinking`."),
    Rule("claude", clears_without_thinking, "`clear_thinking_20251015` strategy requires `thinking` to be enabled or adaptive"),
    Rule("claude", lambda body: (at(body, "thinking.budget_tokens") or 0) >= body.get("max_tokens", 0) and thinks(body), "`max_tokens` must be greater than `thinking.budget_tokens`. Please consult our documentation at https://docs.claude.com/en/docs/build-with-claude/extended-thinking#max-tokens-and-context-window-size"),
    Rule("claude", unpaired, "messages.1: `tool_use` ids were found without `tool_result` blocks immediately after: {}. Each `tool_use` block must have a corresponding `tool_result` block in the next message."),
    Rule("claude no-effort", has("output_config.effort"), "This model does not support the effort parameter."),
    Rule("claude no-adaptive", lambda body: at(body, "thinking.type") == "adaptive", "adaptive thinking is not supported on this model"),
    Rule("claude adaptive-only", lambda body: at(body, "thinking.type") == "enabled", '"thinking.type.enabled" is not supported for this model. Use "thinking.type.adaptive" and "output_config.effort" to control thinking behavior.'),
    Rule("claude adaptive-only", has("temperature"), "`temperature` is deprecated for this model."),
    Rule("claude adaptive-only", has("top_p"), "`top_p` is deprecated for this model."),
    Rule("claude no-max-effort", lambda body: at(body, "output_config.effort") in ("max", "xhigh"), "output_config.effort: effort='max' is not supported by this model. Supported values: 'low', 'medium', 'high'."),
    Rule("claude no-mid-system", lambda body: any(message["role"] == "system" for message in body["messages"]), 'messages: Unexpected role "system". The Messages API accepts a top-level `system` parameter, not "system" as an input message role.'),
    Rule("claude", above("max_tokens", 128_000), "max_tokens: {} > 128000, which is the maximum allowed number of output tokens for this model"),
    Rule("claude no-adaptive", above("max_tokens", 64_000), "max_tokens: {} > 64000, which is the maximum allowed number of output tokens for this model"),
    # Google
    Rule("gemini budget", has("generationConfig.thinkingConfig.thinkingLevel"), "Thinking level is not supported for this model."),
    Rule("gemini budget", above("generationConfig.thinkingConfig.thinkingBudget", 32_768), "The thinking budget {} is invalid. Please choose a value between 128 and 32768."),
    Rule("gemini", both("generationConfig.thinkingConfig.thinkingLevel", "generationConfig.thinkingConfig.thinkingBudget"), "You can only set one of thinking budget and thinking level."),
    Rule("gemini", above("generationConfig.maxOutputTokens", 65_536), "Unable to submit request because it has a maxOutputTokens value of {} but the supported range is from 1 (inclusive) to 65537 (exclusive)."),
    Rule("gemini signed", unsigned_call, "Function call is missing a thought_signature in functionCall parts. This is required for tools to work correctly. Additional data, function call position {}."),
    Rule("gemini", foreign_thought, "Corrupted thought signature."),
    # compatible servers
    Rule("vllm", tool_type, "[{'type': 'literal_error', 'loc': ('body', 'tools', 1, 'type'), 'msg': \"Input should be 'function'\", 'input': '{}'}]"),
    Rule("compatible", tool_type, 'Only `type:"function"` tools are supported, got {}'),
    Rule("deepseek", tool_type, "Failed to deserialize the JSON body into the target type: tools[1]: unknown variant `{}`, expected `function` at line 1 column 4711"),
    Rule("deepseek", above("max_tokens", 8_192), "Invalid max_tokens value, the valid range of max_tokens is [1, 8192]"),
    Rule("deepseek", lambda body: at(body, "response_format.type") == "json_schema", "This response_format type is unavailable now"),
    Rule("groq", tool_type, "'tools.1.type' : value is not one of the allowed values ['function']: {}"),
    Rule("groq", above("max_completion_tokens", 65_536), "`max_completion_tokens` must be less than or equal to `65536`, the maximum value for `max_completion_tokens` is less than the `context_window` for this model"),
    Rule("xai", tool_type, 'Only `type:"function"` tools are supported, got {}'),
    Rule("xai", has("stop"), "Argument not supported on this model: stop"),
    Rule("xai no-effort", has("reasoning_effort"), "Argument not supported on this model: reasoningEffort"),
    Rule("xai no-effort", has("reasoning.effort"), "Argument not supported on this model: reasoningEffort"),
    Rule("xai", longer("user", USER_MAX), "Invalid 'user': string too long. Expected a string with maximum length 64, but got a string with length {} instead."),
    Rule("openrouter", tool_type, "Provider returned error: unknown tool type {}"),
    Rule("text", an_image, "image input is not supported"),
)  # fmt: skip
"""In the order in which they are looked at; unknown members come first."""
