r"""What LiteLLM, or the backend behind it, says against a replay, and what would make it pass: one table.

quota/error_shapes.py finds the error in the response: a 400, a 500 with the backend's 400 inside, or an error
event. As in history/rejections.py, words count only where a message, or one that is quoted inside it, begins:
behind `litellm.BadRequestError: OpenAIException - `, a quote or a status, never in the middle of a sentence.
What the table does not know is not tried again.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from litellm_hybrid.llm.history.rejections import detect_history_rejection
from litellm_hybrid.llm.replay.remedies import HOSTED, Action, Remedy
from litellm_hybrid.message.json import decode
from litellm_hybrid.quota import error_shapes
from litellm_hybrid.routing.paths import Api

_LONGEST = 8_000
"""Characters of a message that are read: some servers repeat the whole request behind their words."""

_STATUSES = frozenset({200, 400, 404, 422, 500})
"""200 is an error event in a stream; LiteLLM passes a backend's 400 on as 500 where it cannot map it."""

type _Found = re.Match[str]
type _Suggest = Callable[[_Found, Api], Iterable[Remedy]]


@dataclass(frozen=True, slots=True)
class Row:
    """One refusal.

    Attributes:
        source: who says it, and where that was seen.
        pattern: its words.
        suggest: what could help, the best first.
        status: the response's status, where only one will do.
    """

    source: str
    pattern: re.Pattern[str]
    suggest: _Suggest
    status: int = 0


def remedies(status: int, body: bytes, api: Api) -> tuple[Remedy, ...]:
    """What could make a refused request pass, the best first; () for what the table does not know.

    Args:
        status: the response's HTTP status; 200 for an error event inside a stream.
        body: the response's body, decoded, or the `data` of the event.
        api: the request's.
    """
    if status not in _STATUSES:
        return ()
    return tuple(dict.fromkeys(_found(status, body, api)))


def _found(status: int, body: bytes, api: Api) -> Iterator[Remedy]:
    payload = decode(body)
    if (rejection := detect_history_rejection(status, body)) is not None:
        yield Remedy(Action.REDUCE_HISTORY, rejection, lasting=False)
        if rejection in ("thinking-missing", "clear-thinking"):
            yield Remedy(Action.NO_THINKING)
    failure = error_shapes.read(payload, status)
    messages = failure.messages if failure is not None else ()
    named = (
        next((source["param"] for source in failure.sources if source.get("param")), "") if failure else ""
    )
    messages = tuple(f'{message[:_LONGEST]} "param": "{named}"' for message in messages)
    if isinstance(payload, dict) and isinstance(payload.get("detail"), list):
        messages = (*messages, str(payload["detail"])[:_LONGEST])  # FastAPI's own refusals
    for message in messages:
        for row in ROWS:
            if row.status in (0, status) and (found := row.pattern.search(message)):
                yield from row.suggest(found, api)


# -- what helps ---------------------------------------------------------------


def _omit(found: _Found, _: Api) -> Iterator[Remedy]:
    """Leave out what is named; a list of names is one refusal for each."""
    for name in re.findall(r"\w[\w.-]*(?:\[\d+\][\w.-]*)*", found["name"]):
        if re.match(r"(?:body\.)?(?:messages|input|contents)[.\[]", name) and "cache_control." not in name:
            yield Remedy(Action.REDUCE_HISTORY, "unknown-member", lasting=False)
            continue
        yield Remedy(Action.OMIT, name.strip("."))
        if name in _BESIDE_CONTENT:
            yield Remedy(Action.REDUCE_HISTORY, "unknown-member", lasting=False)
        if _speaks_of_thinking(name):
            yield Remedy(Action.NO_THINKING)


def _omit_value(found: _Found, _: Api) -> Iterator[Remedy]:
    """The value is refused, and the error names its option beside the message, or it has to be looked for."""
    value = found["value"]
    param = re.search(rf"{_QUOTE}param{_QUOTE}:\s*{_QUOTE}([\w.]+)", found.string[found.end() :])
    if param is not None:
        yield Remedy(Action.OMIT, param[1])
        if _speaks_of_thinking(param[1]):
            yield Remedy(Action.NO_THINKING)
    else:
        for name in ("verbosity", "reasoning_effort", "reasoning.summary"):
            yield Remedy(Action.OMIT, f"{name}={value}")


def _omit_named(*names: str) -> _Suggest:
    return lambda _found, _api: [Remedy(Action.OMIT, name) for name in names]


def _effort(_: _Found, __: Api) -> Iterable[Remedy]:
    return Remedy(Action.OMIT, "reasoning_effort"), Remedy(Action.NO_THINKING)


def _omit_betas(found: _Found, _: Api) -> Iterable[Remedy]:
    return (Remedy(Action.OMIT_BETA, ", ".join(re.findall(r"[\w.-]+", found["name"]))),)


def _without_long_context(_: _Found, __: Api) -> Iterable[Remedy]:
    return (Remedy(Action.OMIT_BETA, "context-1m-"),)


def _thinking(_: _Found, __: Api) -> Iterable[Remedy]:
    return (Remedy(Action.NO_THINKING),)


def _limit(found: _Found, _: Api) -> Iterable[Remedy]:
    most = int(found["most"]) - (1 if "below" in found.groupdict() else 0)
    return (Remedy(Action.LIMIT, limit=most),) if most > 0 else ()


def _limit_for_now(found: _Found, _: Api) -> Iterable[Remedy]:
    left = int(found["context"]) - int(found["used"])
    return (Remedy(Action.LIMIT, limit=left, lasting=False),) if left > 0 else ()


def _tools(found: _Found, _: Api) -> Iterable[Remedy]:
    kind = found.groupdict().get("kind") or ""
    kind = "" if kind == "function" else kind
    hosted = () if kind else (Remedy(Action.OMIT_TOOLS, HOSTED),)
    return Remedy(Action.CHAT_COMPLETIONS), *hosted, Remedy(Action.OMIT_TOOLS, kind)


def _without_search(_: _Found, __: Api) -> Iterable[Remedy]:
    return Remedy(Action.OMIT_TOOLS, "web_search"), Remedy(Action.OMIT_TOOLS, "web_search_preview")


def _chat_completions(_: _Found, __: Api) -> Iterable[Remedy]:
    return (Remedy(Action.CHAT_COMPLETIONS),)


def _unsealed(_: _Found, __: Api) -> Iterable[Remedy]:
    return Remedy(Action.UNSEAL), Remedy(Action.CHAT_COMPLETIONS)


_BESIDE_CONTENT = frozenset({"reasoning_content", "reasoning_details", "thinking_blocks", "annotations"})
"""Members of an assistant's message of which some servers say no more than the name."""


def _speaks_of_thinking(name: str) -> bool:
    return any(word in name.lower() for word in ("effort", "thinking", "reasoning"))


def _system_as_user(_: _Found, __: Api) -> Iterable[Remedy]:
    return (Remedy(Action.SYSTEM_AS_USER),)


# -- the table ------------------------------------------------------------------

_QUOTE = r"[\\'\"`]{0,20}+"
_BEGINNING = r"(?:^|[\"'>:\-]\s*|\d{3}\s)"
_PARAM = r"~(?P<name>[\w.\[\]-]{1,80})~"
_SPENT = r"(?:max_tokens|max_completion_tokens|max_output_tokens|max_new_tokens|maxOutputTokens)"
_MODEL = r"\w[\w./:@-]{0,100}+(?: models?)?(?: \([^)]{1,80}\))?"


def _row(source: str, pattern: str, suggest: _Suggest, *, status: int = 0) -> Row:
    """`~` in a pattern stands for the quotes around a name, however JSON and Python have escaped them."""
    text = _BEGINNING + pattern.replace("~", _QUOTE)
    return Row(source, re.compile(text, re.IGNORECASE | re.DOTALL), suggest, status)


ROWS: tuple[Row, ...] = (
    # An option that is named.
    _row(
        "LiteLLM 1.106 utils.py, UnsupportedParamsError",
        r"[\w-]{1,60} does not support parameters: (?P<name>[^\n]{1,500}?), for model=",
        _omit,
    ),
    _row(
        "LiteLLM 1.106 llms/*, UnsupportedParamsError about a value",
        rf"{_MODEL} (?:do|does)(?:n't| not) support (?:parameter )?{_PARAM}(?:=| when| with|\.)",
        _omit,
    ),
    _row(
        "LiteLLM 1.106 gpt_5_transformation.py, of top_p",
        rf"{_MODEL} only supports ~(?P<name>top_p|temperature)~ when ",
        _omit,
    ),
    _row(
        "LiteLLM 1.106 gpt_5_transformation.py, anthropic/chat/transformation.py",
        rf"{_PARAM}={_QUOTE}[\w.]{{1,40}}{_QUOTE} is not supported",
        _omit,
    ),
    _row(
        "OpenAI, Azure",
        rf"(?:Unsupported|Unknown) parameters?: {_PARAM}",
        _omit,
    ),
    _row(
        "OpenAI, Azure: nashsu/llm_wiki#336, Pythagora-io/gpt-pilot#1022",
        r"Unrecognized request arguments? supplied: (?P<name>\w{1,60}(?:, \w{1,60}){0,20})",
        _omit,
    ),
    _row("OpenAI: QwenLM/qwen-code#921", rf"Unsupported value: {_PARAM} does not support", _omit),
    _row(
        "OpenAI: the value first, the option as `param`",
        r"(?:Unsupported|Invalid) value: ~(?P<value>[\w.-]{1,40})~"
        r"(?: is not supported with|\. Supported values are: [\\'\"`]*+(?!function))",
        _omit_value,
    ),
    _row(
        "Anthropic, Vertex, Bedrock: anthropics/claude-code#31033, BerriAI/litellm#13609",
        r"(?:\w+: )?(?P<name>[\w.\[\]-]{1,120}): Extra inputs are not permitted",
        _omit,
    ),
    _row(
        "Fireworks: LiteLLM 1.106 fireworks_ai/chat/transformation.py",
        rf"Extra inputs are not permitted, field: {_PARAM}",
        _omit,
    ),
    _row(
        "Mistral, vLLM and other servers with pydantic",
        r"(?:extra_forbidden)~, ?~loc~: ?[\[(]~body~, (?P<name>~[\w.-]{1,80}~)[\])]",
        _omit,
    ),
    _row(
        "Groq, Cerebras: openclaw/openclaw#51058, fanenr/chatbot#21",
        rf"property {_PARAM} is unsupported",
        _omit,
    ),
    _row("Bedrock", r"extraneous key \[(?P<name>[\w.-]{1,80})\] is not permitted", _omit),
    _row("xAI", rf"Argument not supported on this model: {_PARAM}", _omit),
    _row(
        "Google",
        r"Invalid JSON payload received\. Unknown name (?P<name>~\w{1,80}~)"
        r"(?: at ~(?:generation_config|generation_config\.thinking_config)~)?: Cannot find field",
        _omit,
    ),
    # Too long, too large, too many.
    _row(
        "OpenAI, Azure: Claude Code's metadata.user_id has 150 characters, `user` takes 64",
        r"Invalid ~(?P<name>user|metadata\.user_id|safety_identifier|prompt_cache_key)~: string too long",
        _omit,
    ),
    _row(
        "OpenAI: enoch3712/ExtractThinker#346",
        rf"{_SPENT} is too large: \d+\. This model supports at most (?P<most>\d{{1,9}}) ",
        _limit,
    ),
    _row(
        "Anthropic",
        rf"{_SPENT}: \d+ > (?P<most>\d{{1,9}}), which is the maximum allowed number of output tokens",
        _limit,
    ),
    _row(
        "OpenAI, Volcengine: Gitlawb/openclaude#331",
        rf"[^\"]{{0,40}}~{_SPENT}~[^\"]{{0,60}}: integer above maximum value\W{{1,3}}expected a value <= "
        r"(?P<most>\d{1,9})",
        _limit,
    ),
    _row(
        "Groq",
        rf"~{_SPENT}~ must be less than or equal to ~(?P<most>\d{{1,9}})~",
        _limit,
    ),
    _row(
        "DeepSeek, DashScope",
        rf"(?:Invalid {_SPENT} value, the valid )?range of {_SPENT} (?:is|should be) "
        r"\[\d+, ?(?P<most>\d{1,9})\]",
        _limit,
    ),
    _row(
        "Vertex, Gemini",
        r"(?:Unable to submit request because )?it has a maxOutputTokens value of \d+ but the supported "
        r"range is from \d+ \(inclusive\) to (?P<most>(?P<below>\d{1,9})) \(exclusive\)",
        _limit,
    ),
    _row(
        "Bedrock, which takes the number that it calls too large: langgenius/dify#10390",
        r"The maximum tokens you requested exceeds the model limit of (?P<most>\d{1,9})",
        _limit,
    ),
    _row(
        "vLLM: claude-code-best/claude-code#272",
        rf"~{_SPENT}~(?: or ~{_SPENT}~)? is too large: \d+\. This model's maximum context length is "
        r"(?P<context>\d{1,9}) tokens and your request has (?P<used>\d{1,9}) input tokens",
        _limit_for_now,
    ),
    # Sampling.
    _row(
        "Anthropic, Bedrock: skydiscover-ai/skydiscover#15",
        r"~temperature~ and ~top_p~ cannot both be specified",
        _omit_named("top_p"),
    ),
    _row(
        "Anthropic: with thinking, and the models since Claude Opus 4.7",
        r"~(?P<name>temperature|top_p|top_k)~ (?:may only be set to|must be (?:unset|greater)|"
        r"is deprecated|is not supported)",
        _omit,
    ),
    # Tools.
    _row(
        "OpenAI-compatible servers: CommandCodeAI/command-code#885",
        r"Only ~(?:type:?\s?~)?function~ tools are supported"
        r"(?:[^\"]{0,120}unknown tool type ~(?P<kind>\w{1,40}))?",
        _tools,
    ),
    _row("the same", r"(?:Unknown|Unsupported) tool type:? ~(?P<kind>[a-z]\w{1,40})", _tools),
    _row(
        "ollama/ollama#17618",
        r"(?:Failed to parse tools: )?Unsupported tool type: \{~type~: ?~(?P<kind>\w{1,40})",
        _tools,
    ),
    _row("vllm-project/vllm#49493", r"tool type ~(?P<kind>\w{1,40})~ not supported", _tools),
    _row(
        "vLLM, whose servers are given pydantic's own words",
        r"literal_error~, ?~loc~: ?[\[(]~body~, ~tools~, \d+, ~type~[\])], ?~msg~: ?"
        r"~Input should be ~function~",
        _tools,
    ),
    _row(
        "Groq: openai/codex#7094",
        r"~tools\.\d+\.type~ ?: value is not one of the allowed values \[~function~",
        _tools,
    ),
    _row(
        "xAI, DeepSeek and others in Rust: james-6-23/codex2api#516",
        r"(?:Failed to deserialize the JSON body into the target type: )?(?:[\w.\[\]]{1,60}: )?"
        r"unknown variant ~(?P<kind>\w{1,40})~, expected (?:one of )?~function~",
        _tools,
    ),
    _row(
        "OpenAI-compatible servers, of the search that LiteLLM makes of a tool",
        r"Invalid value for ~web_search_options\b",
        _without_search,
    ),
    _row("llama.cpp: ggml-org/llama.cpp#20156", r"~type~ of tool must be ~function~", _tools),
    _row(
        "OpenAI",
        r"(?:Hosted )?tool ~(?P<kind>\w{1,40})~ is not supported with",
        _tools,
    ),
    _row(
        "OpenAI, of one value where others are known",
        r"Invalid value: ~(?P<kind>custom|namespace|web_search|tool_search|local_shell|image_generation)~\. "
        r"Supported values are: ~function~",
        _tools,
    ),
    _row(
        "mxyhi/token_proxy#307, CommandCodeAI/command-code#893",
        r"(?:Unsupported|Unknown|Invalid) (?:Responses API )?input item type:? ~\w{1,40}",
        _chat_completions,
    ),
    _row(
        "servers without /responses, which LiteLLM's `openai/` asks for",
        r"OpenAIException - (?:404 page not found|\{~detail~: ?~Not Found~\}|Not Found\b)",
        _chat_completions,
        status=404,
    ),
    # Headers.
    _row(
        "Anthropic, Vertex: anthropics/claude-code#53855, QuantumNous/new-api#2975",
        r"Unexpected value\(s\) (?P<name>[\w.,`'\"\\ -]{1,500}) for the ~anthropic-beta~ header",
        _omit_betas,
    ),
    _row(
        "Anthropic, of keys without it",
        r"The long context beta is not (?:yet )?available for this",
        _without_long_context,
    ),
    # Roles.
    _row(
        "Anthropic before Claude Opus 4.8: anthropics/claude-agent-sdk-typescript#350",
        r"messages(?:: Unexpected role ~system~|\.\d+\.role: Input should be ~user~ or ~assistant~)",
        _system_as_user,
    ),
    # Reasoning.
    _row(
        "OpenAI: gpt-4.1 by Responses",
        r"Encrypted content is not supported(?: with this model)?",
        _unsealed,
    ),
    _row(
        "OpenAI",
        r"Your organization must be verified to generate reasoning summaries",
        _omit_named("reasoning.summary"),
    ),
    _row(
        "OpenAI, gpt-5.4 and newer by chat completions",
        r"Function tools with reasoning_effort are not supported",
        _effort,
    ),
    _row("Anthropic", r"This model does not support the effort parameter", _effort),
    _row(
        "Anthropic: BerriAI/litellm#27223, anthropics/claude-code#81084",
        r"(?:This model does not support effort level ~\w{1,20}"
        r"|output_config\.effort ~\w{1,20}~ is not supported)",
        _effort,
    ),
    _row(
        "Google: RooCodeInc/Roo-Code#10700, jenslys/opencode-gemini-auth#14, Veloera/Veloera#41",
        r"(?:Unable to submit request because )?Thinking[_ ](?:level|budget|config)(?: \w{1,20})? is "
        r"not supported",
        _thinking,
    ),
    _row("Google", r"Budget \d+ is invalid\. This model only works in thinking mode", _thinking),
    _row(
        "Anthropic",
        r"(?:adaptive thinking|~thinking\.type\.(?:enabled|disabled|adaptive)~) is not supported "
        r"(?:on|for|by) this model",
        _thinking,
    ),
    _row("Anthropic", r"Thinking may not be enabled when ~tool_choice~ forces tool use", _thinking),
    _row("Anthropic", r"~max_tokens~ must be greater than ~thinking\.budget_tokens", _thinking),
    _row("Ollama and others", r"~[\w./:@-]{1,100}~ does not support thinking", _thinking),
)
"""In the order in which they are asked; a message may be known to several."""
