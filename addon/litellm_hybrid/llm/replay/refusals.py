r"""What LiteLLM, or the backend behind it, says against a replay, and what would make it pass: one table.

quota/error_shapes.py finds the error in the response: a 400, a 500 with the backend's 400 inside, or an error
event. Words count where llm/history.py says. What the table does not know is not tried again.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from litellm_hybrid.llm.history import QUOTES, Words, detect_history_rejection, said_at_beginning
from litellm_hybrid.llm.replay.remedies import CONFIG, HOSTED, Action, Remedy, is_option
from litellm_hybrid.message.json import decode
from litellm_hybrid.quota import error_shapes

_STATUSES = frozenset({200, 400, 404, 422, 500})
"""200 is an error event in a stream; LiteLLM passes a backend's 400 on as 500 where it cannot map it."""

_BESIDE_CONTENT = frozenset({"reasoning_content", "reasoning_details", "thinking_blocks", "annotations"})
"""Members of an assistant's message of which some servers say no more than the name."""

_OF_A_MODEL = frozenset({"unknown-member", "thinking-missing"})
"""Refusals of a history that tell how the model takes any; others are of who has made this one."""

type _Suggest = Callable[[re.Match[str]], Iterable[Remedy]]


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


def remedies(status: int, body: bytes) -> tuple[Remedy, ...]:
    """What could make a refused request pass, the best first; () for what the table does not know.

    `status` is 200, and `body` the event's data, for an error event inside a stream.
    """
    return tuple(dict.fromkeys(_found(status, body))) if status in _STATUSES else ()


def _found(status: int, body: bytes) -> Iterator[Remedy]:
    payload = decode(body)
    if (rejection := detect_history_rejection(status, body)) is not None:
        yield Remedy(Action.REDUCE_HISTORY, rejection, lasting=rejection in _OF_A_MODEL)
        if rejection in ("thinking-missing", "clear-thinking"):
            yield _NO_THINKING
    messages: list[Words] = []
    if (failure := error_shapes.read(payload, status)) is not None:
        named = next((source["param"] for source in failure.sources if source.get("param")), "")
        messages = [Words(message, f' "param": "{named}"') for message in failure.messages]
    if isinstance(payload, dict) and isinstance(payload.get("detail"), list):
        messages.append(Words(str(payload["detail"])))  # FastAPI's own refusals
    for table in (ROWS, WORDINGS) if rejection is None else (ROWS,):
        known = False
        for message in messages:
            for row in table:
                if row.status in (0, status) and (found := message.find(row.pattern)):
                    known = True
                    yield from row.suggest(found)
        if known:
            break


# -- what helps ---------------------------------------------------------------

_NO_THINKING = Remedy(Action.NO_THINKING)
_EFFORT = (Remedy(Action.OMIT, "reasoning_effort"), _NO_THINKING)
_NO_SEARCH = (Remedy(Action.OMIT_TOOLS, "web_search"), Remedy(Action.OMIT_TOOLS, "web_search_preview"))
_BY_CHAT = Remedy(Action.CHAT_COMPLETIONS)
_UNKNOWN_MEMBER = Remedy(Action.REDUCE_HISTORY, "unknown-member")


def _omit(found: re.Match[str]) -> Iterator[Remedy]:
    """Leave out what is named; a list of names is one refusal for each."""
    for name in re.findall(r"\w[\w.-]*(?:\[\d+\][\w.-]*)*", found["name"]):
        if name.endswith(".cache_control"):
            yield Remedy(Action.OMIT, "cache_control")
            continue
        if re.match(r"(?:body\.)?(?:messages|input|contents)[.\[]", name) and "cache_control." not in name:
            yield _UNKNOWN_MEMBER
            continue
        yield Remedy(Action.OMIT, name.strip("."))
        if name in _BESIDE_CONTENT:
            yield _UNKNOWN_MEMBER
        yield from _thinking_too(name)


def _omit_option(found: re.Match[str]) -> Iterator[Remedy]:
    """The same for words that are less telling: of what carries the request's meaning nothing is left out."""
    in_words = re.fullmatch(r"[a-z]+(?: [a-z]+)+", found["name"], re.IGNORECASE)
    names = found["name"].replace(" ", "_") if in_words else found["name"]
    for name in re.findall(r"\w[\w.-]*(?:\[\d+\][\w.-]*)*", names):
        first, last = re.split(r"[.\[]", name, maxsplit=1)[0], re.split(r"[.\]]", name)[-1]
        if last in _BESIDE_CONTENT:
            yield _UNKNOWN_MEMBER
        elif is_option(first) or (first in CONFIG and name != first):
            yield Remedy(Action.OMIT, name)
            yield from _thinking_too(name)


def _omit_value(found: re.Match[str]) -> Iterator[Remedy]:
    """The value is refused, and the error names its option beside the message, or it has to be looked for."""
    param = re.search(rf"param{QUOTES}:\s*[\\'\"`]{{1,20}}+([\w.]+)", found.string[found.end() :])
    if param is not None:
        yield Remedy(Action.OMIT, param[1])
        yield from _thinking_too(param[1])
    else:
        for name in ("verbosity", "reasoning_effort", "reasoning.summary"):
            yield Remedy(Action.OMIT, f"{name}={found['value']}")


def _thinking_too(name: str) -> Iterator[Remedy]:
    if any(word in name.lower() for word in ("effort", "thinking", "reasoning")):
        yield _NO_THINKING


def _omit_betas(found: re.Match[str]) -> Iterable[Remedy]:
    return (Remedy(Action.OMIT_BETA, ", ".join(re.findall(r"[\w.-]+", found["name"]))),)


def _limit(found: re.Match[str]) -> Iterable[Remedy]:
    most = int(found["most"]) - (1 if "below" in found.groupdict() else 0)
    return (Remedy(Action.LIMIT, limit=most),) if most > 0 else ()


def _limit_for_now(found: re.Match[str]) -> Iterable[Remedy]:
    left = int(found["context"]) - int(found["used"] or found["prompt"] or 0)
    return (Remedy(Action.LIMIT, limit=left, lasting=False),) if left > 0 else ()


def _tools(found: re.Match[str]) -> Iterable[Remedy]:
    kind = found.groupdict().get("kind") or ""
    kind = "" if kind == "function" else kind
    hosted = () if kind else (Remedy(Action.OMIT_TOOLS, HOSTED),)
    return _BY_CHAT, *hosted, Remedy(Action.OMIT_TOOLS, kind)


def _omit_tools(found: re.Match[str]) -> Iterable[Remedy]:
    return (Remedy(Action.OMIT_TOOLS, found["kind"]),)


# -- the table ------------------------------------------------------------------

_WORD = r"[a-zA-Z][\w.\[\]-]{0,80}"
_NOUNS = (
    r"(?:param|parameter|field|argument|option|property|key|keyword|kwarg|member|setting|attribute|feature"
    r"|capability)(?:s|\(s\))?|properties|capabilities"
)
_NEW = r"(?:unsupported|unknown|unrecogni[sz]ed|unexpected|extra|extraneous|additional|disallowed)"
_SHORT = {
    "<PARAM>": r"~(?P<name>[\w.\[\]-]{1,80})~",
    "<SPENT>": r"(?:max_tokens|max_completion_tokens|max_output_tokens|max_new_tokens|maxOutputTokens)",
    "<MODEL>": r"\w[\w./:@-]{0,100}+(?: models?)?(?: \([^)]{1,80}\))?",
    # A name's own quote, within a sentence, begins nothing.
    "<NOT_INSIDE>": r"(?<![a-z.,] ['\"])",
    # What is no word of a language, or is quoted; and the options that are words.
    "<OPTION>": rf"""(?P<name>[\\'"`]{{1,20}}+{_WORD}(?=[\\'"`])"""
    r"|(?-i:(?!litellm)[a-z]{1,40}(?:[_.\[][\w.\[\]-]{0,60}|[A-Z][\w.]{0,60}))"
    r"|(?:frequency|presence) penalty|reasoning (?:effort|summary)|stop sequences"
    r"|parallel tool calls|stream options)~",
    "<ONE_WORD>": r"(?P<name>(?-i:effort|include|logprobs|metadata|seed|stop|store|temperature|truncation"
    r"|verbosity)|thinking|reasoning)",
    "<KIND>": r"(?P<kind>custom|namespace|mcp|local_shell|code_interpreter|image_generation|file_search"
    r"|(?:web|tool)_search\w{0,20}|computer\w{0,20})",
    "<VALUED>": r"(?P<name>temperature|top_?[pk]|(?:frequency|presence)_penalty|reasoning_effort|verbosity)",
    "<LIST>": rf"(?P<name>~{_WORD}~(?:,? (?:and )?~{_WORD}~){{0,20}})",
    "<NOUNS>": rf"(?:{_NOUNS})",
    "<NEW>": _NEW,
    "<REFUSED>": rf"(?:(?:(?:is|are|was|were)(?: not|n't)|not|no longer) (?:yet |currently |be )?(?:supported"
    r"|available|accepted|allowed|permitted|recogni[sz]ed|implemented|known|enabled"
    rf"|expected|defined|part of|an? \w{{1,20}} (?:{_NOUNS}|value))|(?:is |are |was |were )?{_NEW}"
    r"|(?:is|are) (?:unavailable|deprecated|forbidden|rejected|refused)"
    r"|(?:is|are) only (?:allowed|supported|available|valid|enabled) (?:when|with|for|if|on|in|by)"
    r"|(?:cannot|can't|may not|must not) be (?:used|set|specified|requested|sent"
    r"|given)|must be (?:unset|removed|omitted|left out))",
    "<REFUSES>": r"(?:(?:does not|doesn't|do not|don't|cannot|can't|will not) (?:support|accept|allow|take"
    r"|recogni[sz]e|implement|permit|handle)|rejects|refuses) (?:(?:the|an?|any|using|setting) ){0,2}",
    "<MOST>": r"(?:(?:at (?:the )?most|less than or equal to|<=|no (?:more|larger|greater) than"
    r"|(?:not|n't|cannot) exceed|(?:not|n't) be (?:greater|larger|higher|more) than|between \d{1,9} and"
    r"|\[\d{1,9},|(?:maximum|limit) (?:of|is)|limited to) ?|(?:above|over|exceeds?"
    r"|beyond) (?:the )?[a-z' ]{0,40}(?:limit|maximum)[a-z ]{0,30}\(?)~(?P<most>\d{1,9})",
}
"""What stands for longer patterns in the tables."""


def _row(source: str, helps: _Suggest | Remedy | tuple[Remedy, ...], pattern: str, *, status: int = 0) -> Row:
    for short, long in _SHORT.items():
        pattern = pattern.replace(short, long)
    if isinstance(helps, Remedy):
        helps = (helps,)
    suggest = (lambda _: helps) if isinstance(helps, tuple) else helps
    return Row(source, said_at_beginning(pattern), suggest, status)


# fmt: off
ROWS: tuple[Row, ...] = (
    # An option that is named.
    _row("LiteLLM 1.106 utils.py, UnsupportedParamsError", _omit,
         r"[\w-]{1,60} does not support parameters: (?P<name>[^\n]{1,500}?), for model="),
    _row("LiteLLM 1.106 gpt_5_transformation.py, anthropic/chat/transformation.py", _omit,
         r"<PARAM>=~[\w.]{1,40}~ is not supported"),
    _row("OpenAI, Azure", _omit, r"(?:Unsupported|Unknown) parameters?: <PARAM>"),
    _row("OpenAI, Azure: nashsu/llm_wiki#336, Pythagora-io/gpt-pilot#1022", _omit,
         r"Unrecognized request arguments? supplied: (?P<name>\w{1,60}(?:, \w{1,60}){0,20})"),
    _row("OpenAI: QwenLM/qwen-code#921", _omit, r"Unsupported value: <PARAM> does not support"),
    _row("OpenAI: the value first, the option as `param`", _omit_value,
         r"(?:Unsupported|Invalid) value: ~(?P<value>[\w.-]{1,40})~(?: is not supported with|\. Supported "
         r"values are: [\\'\"`]*+(?!function))"),
    _row("Anthropic, Vertex, Bedrock: anthropics/claude-code#31033, BerriAI/litellm#13609", _omit,
         r"(?:\w+: )?(?P<name>[\w.\[\]-]{1,120}): Extra inputs are not permitted"),
    _row("Anthropic, of a value", _omit,
         r"(?P<name>(?:thinking|output_config|context_management)[\w.]{0,80}|stop_sequences): (?:Input "
         r"(?:should|tag) |each stop sequence must )"),
    _row("Groq, Databricks, Perplexity: BerriAI/litellm#42347, perplexityai/perplexity-py#45", _omit,
         r"~(?P<name>reasoning_\w{1,20}|verbosity|effort)~ must be (?:one of\b|an? )"),
    _row("servers with zod, such as OpenRouter", _omit,
         r"Unrecognized keys?(?:\(s\))?(?: in object)?: (?P<name>~[\w.-]{1,80}~"
         r"""(?:, ~[\w.-]{1,80}[\\'"`]{1,20}+(?!:)){0,20})"""),
    _row("Fireworks: LiteLLM 1.106 fireworks_ai/chat/transformation.py", _omit,
         r"Extra inputs are not permitted, field: <PARAM>"),
    _row("Mistral, vLLM and other servers with pydantic", _omit,
         r"extra_forbidden~, ?~loc~: ?[\[(]~body~, ?(?P<name>~[\w.-]{1,80}~)[\])]"),
    _row("NVIDIA NIM: BerriAI/litellm#4558", _omit,
         r"body -> (?P<name>[\w.-]{1,80})(?:\\{1,4}n|\n)\s*Extra (?:inputs|fields) (?:are )?not permitted"),
    _row("Groq, of a message: SimonSchubert/Kai#265", _UNKNOWN_MEMBER,
         r"~messages\.\d+~ ?: for ~role: ?assistant~ the following must be satisfied[\[(]{1,2}"
         r"~messages\.\d+~ ?: property ~\w{1,40}~ is unsupported"),
    _row("the same, and StepFun, of a message: HKUDS/nanobot#795", _UNKNOWN_MEMBER,
         r"(?:extra_forbidden~, ?~loc~: ?[\[(]~body~, ?~messages~, ?\d|Unrecognized chat message)"),
    _row("SGLang and vLLM, of a value: decolua/9router#2665", _omit_option,
         r"(?:literal_error|enum|(?:string|dict|bool|int)_type|(?:less|greater)_than(?:_equal)?)~, ?~loc~: ?"
         r"[\[(]~body~, ?(?P<name>~[\w.-]{1,80}~)[\])]"),
    _row("OpenAI, by JSON schema", _omit_option,
         r"~[\w.-]{1,40}~ is not one of \[[^\]\n]{0,200}\] - (?P<name>~[\w.]{1,80}~)"),
    _row("Bedrock", _omit, r"extraneous key \[(?P<name>[\w.-]{1,80})\] is not permitted"),
    _row("xAI", _omit, r"Argument not supported on this model: <PARAM>"),
    _row("Google", _omit,
         r"Invalid JSON payload received\. Unknown name (?P<name>~\w{1,80}~)(?: at "
         r"~(?:generation_config|generation_config\.thinking_config)~)?: Cannot find field"),
    # Too long, too large, too many.
    _row("Anthropic", _limit,
         r"<SPENT>: \d+ > (?P<most>\d{1,9}), which is the maximum allowed number of output tokens"),
    _row("OpenAI, Volcengine: Gitlawb/openclaude#331", _limit,
         r'[^"]{0,40}~<SPENT>~[^"]{0,60}: integer above maximum value\W{1,3}expected a value <= '
         r"(?P<most>\d{1,9})"),
    _row("DeepSeek, DashScope", _limit,
         r"(?:Invalid <SPENT> value, the valid )?range of <SPENT> (?:is|should be) \[\d+, "
         r"?(?P<most>\d{1,9})\]"),
    _row("Vertex, Gemini", _limit,
         r"(?:Unable to submit request because )?it has a maxOutputTokens value of \d+ but the supported "
         r"range is from \d+ \(inclusive\) to (?P<most>(?P<below>\d{1,9})) \(exclusive\)"),
    _row("Bedrock, which takes the number that it calls too large: langgenius/dify#10390", _limit,
         r"The maximum tokens you requested exceeds the model limit of (?P<most>\d{1,9})"),
    _row("vLLM: claude-code-best/claude-code#272", _limit_for_now,
         r"~<SPENT>~(?: or ~<SPENT>~)? is too large: \d+\. This model's maximum context length is "
         r"(?P<context>\d{1,9}) tokens and your request has (?P<used>\d{1,9}) input tokens"),
    _row("vLLM, earlier versions", _limit_for_now,
         r"This model's maximum context length is (?P<context>\d{1,9}) tokens[.,] However,? you requested "
         r"\d{1,9} (?:output tokens and your prompt contains (?:at least )?(?P<used>\d{1,9}) input tokens"
         r"|tokens \((?P<prompt>\d{1,9}) in (?:the messages|your prompt)[,;] )"),
    _row("Fireworks, of what is not streamed: nextlevelbuilder/goclaw#660", _limit_for_now,
         r"Requests with ~<SPENT>~ > (?P<context>\d{1,9})(?P<used>)(?P<prompt>) must have ~stream"),
    _row("SGLang", _limit_for_now,
         r"Requested token count exceeds the model's maximum context length of (?P<context>\d{1,9}) tokens\. "
         r"You requested a total of \d{1,9} tokens: (?P<used>\d{1,9}) tokens from the input"),
    _row("OpenRouter", _limit_for_now,
         r"This endpoint's maximum context length is (?P<context>\d{1,9}) tokens\. However, you requested "
         r"about \d{1,9} tokens \((?P<used>\d{1,9}) of text input, \d{1,9} in the output"),
    _row("Together, TGI", _limit_for_now,
         r"~inputs~ tokens \+ ~max_new_tokens~ must be <= (?P<context>\d{1,9})\. Given: (?P<used>\d{1,9}) "
         r"~inputs~"),
    _row("Anthropic", _limit_for_now,
         r"input length and ~max_tokens~ exceed context limit: (?P<used>\d{1,9}) \+ \d{1,9} > "
         r"(?P<context>\d{1,9})"),
    # Sampling.
    _row("Gemini", tuple(Remedy(Action.OMIT, f"{what}_penalty") for what in ("presence", "frequency")),
         r"Penalty is not enabled for (?:models/|this model)"),
    _row("Vertex, of a value out of its range", _omit,
         r"(?:Unable to submit request because )?it has a (?P<name>top[KP]|temperature|seed|"
         r"(?:presence|frequency)Penalty) value of -?[\d.]{1,20} but the supported range"),
    # Tools.
    _row("OpenAI-compatible servers: CommandCodeAI/command-code#885", _tools,
         r'Only ~(?:type:?\s?~)?function~ tools (?:are (?:supported|allowed|accepted)|(?:may|can) be used)'
         r'(?:[^"]{0,120}unknown tool type '
         r"~(?P<kind>\w{1,40}))?"),
    _row("the same", _tools, r"(?:Unknown|Unsupported) (?:\w{1,20} )?tool type:? ~(?P<kind>[a-z]\w{1,40})"),
    _row("ollama/ollama#17618", _tools,
         r"(?:Failed to parse tools: )?Unsupported tool type: \{~type~: ?~(?P<kind>\w{1,40})"),
    _row("vLLM, whose servers are given pydantic's own words", _tools,
         r"literal_error~, ?~loc~: ?[\[(]~body~, ~tools~, \d+, ~type~[\])], ?~msg~: ?~Input should be "
         r"~function~"),
    _row("Groq: openai/codex#7094", _tools,
         r"~tools\.\d+\.type~ ?: value is not one of the allowed values \[~function~"),
    _row("xAI, DeepSeek and others in Rust: james-6-23/codex2api#516", _tools,
         r"(?:Failed to deserialize the JSON body into the target type: )?(?:[\w.\[\]]{1,60}: )?unknown "
         r"variant ~(?P<kind>\w{1,40})~, expected (?:one of )?~function~"),
    _row("OpenAI-compatible servers, of the search that LiteLLM makes of a tool", _NO_SEARCH,
         r"Invalid value for ~web_search_options\b"),
    _row("llama.cpp: ggml-org/llama.cpp#20156", _tools, r"~type~ of tool must be ~function~"),
    _row("OpenAI, of one value where others are known; Copilot: caozhiyuan/copilot-api#312", _tools,
         r"Invalid value: ~(?:tools\.)?"
         r"(?P<kind>custom|namespace|web_search|tool_search|local_shell|image_generation)~\. (?:Supported "
         r"values are: [\w\\'\"`, ]{0,300}~function~|User-defined namespace)"),
    _row("Anthropic before the tool", _omit_tools,
         r"tools\.\d+: Input tag ~(?P<kind>\w{1,40})~ found using ~type~ does not match"),
    _row("Gemini, Vertex", Remedy(Action.OMIT_TOOLS, HOSTED),
         r"(?:Tool use with function calling is unsupported|(?:Unable to submit request because )?Multiple "
         r"tools are supported only when they are all search tools)"),
    _row("mxyhi/token_proxy#307, CommandCodeAI/command-code#893", _BY_CHAT,
         r"(?:Unsupported|Unknown|Invalid) (?:Responses API )?input item type:? ~\w{1,40}"),
    _row("servers without /responses, which LiteLLM's `openai/` asks for", _BY_CHAT,
         r"OpenAIException - (?:404 page not found|\{~detail~: ?~Not Found~\}|Not Found\b)", status=404),
    # Headers.
    _row("Anthropic, Vertex: anthropics/claude-code#53855, QuantumNous/new-api#2975", _omit_betas,
         r"Unexpected value\(s\) (?P<name>[\w.,`'\"\\ -]{1,500}) for the ~anthropic-beta~ header"),
    _row("Anthropic, of keys without it", Remedy(Action.OMIT_BETA, "context-1m-"),
         r"The long context beta is not (?:yet )?available for this"),
    _row("Bedrock, Vertex", Remedy(Action.OMIT_BETA), r"invalid beta flag"),
    _row("OpenRouter: YishenTu/claudian#433",
         (Remedy(Action.OMIT, "context_management"), Remedy(Action.OMIT_BETA, "context-management-")),
         r"No endpoints available that support Anthropic's context management features"),
    # Roles.
    _row("Anthropic before Claude Opus 4.8: anthropics/claude-agent-sdk-typescript#350",
         Remedy(Action.SYSTEM_AS_USER),
         r"messages(?:: Unexpected role ~system~|\.\d+\.role: Input should be ~user~ or ~assistant~)"),
    # Reasoning.
    _row("OpenAI: gpt-4.1 by Responses", (Remedy(Action.UNSEAL), _BY_CHAT),
         r"Encrypted content is not supported(?: with this model)?"),
    _row("OpenAI", Remedy(Action.OMIT, "reasoning.summary"),
         r"Your organization must be verified to generate reasoning summaries"),
    _row("OpenAI, gpt-5.4 and newer by chat completions", _EFFORT,
         r"Function tools with reasoning_effort are not supported"),
    _row("Anthropic: BerriAI/litellm#27223, anthropics/claude-code#81084", _EFFORT,
         r"(?:This model does not support (?:the effort parameter|effort level ~\w{1,20})"
         r"|output_config\.effort ~\w{1,20}~ is not supported)"),
    _row("OpenRouter, Moonshot: HKUDS/nanobot#3939", _EFFORT,
         r"(?:Only one of ~reasoning\.effort~ and ~reasoning\.max_tokens~"
         r"|cannot specify both ~thinking~ and ~reasoning_effort~)"),
    _row("Mistral: earendil-works/pi#3096", (Remedy(Action.OMIT, "prompt_mode"), *_EFFORT),
         r"Reasoning prompt mode is not enabled for this model"),
    _row("Google: RooCodeInc/Roo-Code#10700, langchain-ai/langchain-google#972, Veloera/Veloera#41, "
         "egoist/chatwise-releases#800, jenslys/opencode-gemini-auth#14", _NO_THINKING,
         r"(?:Unable to submit request because )?(?:(?:The )?Thinking[_ ](?:level|budget|config)[\w.]{0,20}"
         r"(?: \w{1,20})? (?:is (?:not (?:supported|available)|invalid\.|out of range|only enabled when)"
         r"|must be )|Thinking (?:is not (?:enabled|configurable|supported)|can(?:'t|not) be "
         r"(?:disabled|enabled|turned \w{2,3})) (?:for|in|by) (?:models/|this model)"
         r"|You can only set (?:only )?one of thinking budget and thinking level"
         r"|Budget \d+ is invalid\. This model only works in thinking)"),
    _row("DashScope, NVIDIA NIM: musistudio/claude-code-router#948, CherryHQ/cherry-studio#7263, "
         "decolua/9router#2023, farion1231/cc-switch#1489", _NO_THINKING,
         r"(?:(?:parameter\.)?enable[_ ]thinking~ (?:must be set to false|can ?not be support)"
         r"|(?:the )?~thinking(?:[. ]type|_budget)~ (?:parameter )?(?:must|should) be )"),
    _row("Anthropic, Moonshot: can1357/oh-my-pi#1077", _NO_THINKING,
         r"(?:(?:adaptive thinking|~thinking\.type\.(?:enabled|disabled|adaptive)~) is not supported "
         r"(?:on|for|by) this model|Thinking may not be enabled when ~tool_choice~ forces tool use"
         r"|~tool_choice~ ~specified~ is incompatible with thinking enabled"
         r"|~max_tokens~ must be greater than ~thinking\.budget_tokens)"),
    _row("Ollama, OpenRouter and others", _NO_THINKING,
         r"(?:think value ~\w{1,20}~ is not supported|~[\w./:@-]{1,100}~ does not support thinking"
         r"|Reasoning is mandatory for this endpoint)"),
)
# fmt: on
"""In the order in which they are asked; a message may be known to several."""

# fmt: off
WORDINGS: tuple[Row, ...] = (
    _row("what is not known", _omit_option,
         r"(?:(?:the )?request(?: body)? (?:contains|has) )?(?:got )?(?:an? )?<NEW> (?:\w{1,20} )?<NOUNS>"
         r"(?: [a-z]{1,12}){0,4}: ?\[?<LIST>"),
    _row("the same", _omit_option,
         r"(?:[\w.]{1,60}\(\) )?(?:got )?(?:an? )?<NEW> (?:\w{1,20} )?<NOUNS> (?:<OPTION>)"),
    _row("the same", _omit_option, r"<OPTION>: no such <NOUNS>"),
    _row("several that are refused", _omit_option,
         r"(?:the following |these )?(?:\w{1,20} )?<NOUNS> <REFUSED>(?: [\w-]{1,20}){0,6}(?:: | \()<LIST>"),
    _row("the same: vLLM with Mistral's tokenizer, vllm-project/vllm#38560", _omit_option,
         r"(?:the |these )?(?:<NOUNS>:? )?[\[({]<LIST>[\])}] <REFUSED>"),
    _row("one that is refused: Azure, Groq, Cerebras, Anthropic, Rust's serde", _omit_option,
         r"<NOT_INSIDE>(?:invalid params?, )?"
         r"(?:(?:the|this|request|body|value(?: ~[\w.]{1,30}~)? (?:of|for|in)|<NOUNS>) ){0,4}"
         r"<OPTION>[=:]?(?: ~[\w.]{1,30}~)?(?: [^\s\"{}]{1,30}){0,5}?[ \[]{1,2}~<REFUSED>"),
    _row("the same", _omit_option,
         r"<NOT_INSIDE>(?:(?:the|this|extended|adaptive|<NOUNS>) ){0,3}<ONE_WORD>~[=:]?"
         r"(?: (?:value|adaptive|enabled|<NOUNS>|['`][\w.-]{1,20}['`]))?"
         r"[ \[]{1,2}~<REFUSED>"),
    _row("who refuses one: LiteLLM, Bedrock's Converse, SiliconFlow", _omit_option,
         r"(?:value error, )?(?:(?:the|this|we|<MODEL>) ){0,3}<REFUSES>(?:<NOUNS> )?<OPTION>"),
    _row("the same", _omit_option,
         r"(?:(?:the|this|we|<MODEL>) ){0,3}<REFUSES>(?:(?:extended|adaptive) )?~<ONE_WORD>~(?: <NOUNS>)?"
         r"(?![\w-]|\.\w| [a-z])"),
    _row("the one value that is taken", _omit_option,
         r"(?:the |this )?<MODEL> only (?:allows|supports|accepts|takes) "
         r"~(?P<name>temperature|top_?p|top_?k)~(?: ?=| of | when )"),
    _row("a value", _omit_option,
         r"(?:invalid|unsupported) value (?:for|of|in) ~(?P<name>[\w.]{0,60}(?:effort|verbosity|summary"
         r"|thinking_?level)|temperature|top_?p|top_?k)~"),
    _row("the same, by zod: Alishahryar1/free-claude-code#410", _omit_option,
         r"~(?P<name>[\w.]{0,60}(?:effort|verbosity|summary|thinking_?level))~: "
         r"(?:expected one of|input should be|invalid (?:enum value|option|input)\b)"),
    _row("a range: DashScope", _omit_option,
         r"~<VALUED>~(?: parameter)? (?:should|must) be (?:in|within) (?:the range )?[\[(]"),
    _row("the one value that is taken: Moonshot", _omit_option,
         r"invalid (?:value (?:for|of) )?~<VALUED>~(?: value)?: only [\w., ]{1,40}? (?:is|are) "
         r"(?:allow|support)ed"),
    _row("Zhipu: songquanpeng/one-api#1141", _omit_option,
         r"~<VALUED>~ ?(?:参数)?(?:取值)?(?:非法|无效|不合法|不支持|不正确|错误|超出范围)"),
    _row("sampling, with thinking", _omit_option,
         r"~(?P<name>temperature|top_?p|top_?k)~ (?:(?:may|can|must) (?:only )?be (?:set to )?1\b"
         r"|(?:may|can|must|should) [^\"\n]{1,60} when thinking)"),
    _row("one of two: Anthropic", Remedy(Action.OMIT, "top_p"),
         r"(?=[^\n]{0,120}\btemperature)(?=[^\n]{0,120}\btop_?p)[^\n]{0,60}?(?:only one|mutually exclusive"
         r"|not both"
         r"|(?:not|n't) (?:be )?[^\n]{0,40}?(?:both|together|combined|simultaneously|at the same time))"),
    _row("too long: OpenAI's `user` takes 64 characters, Claude Code's user_id has 150", _omit,
         r"(?:invalid |the |length of |value of ){0,3}~(?P<name>user|metadata\.user_id|safety_identifier"
         r"|prompt_cache_key)~ ?(?::|must|should|may|is|exceeds|can)[^\"\n]{0,40}?(?:too long|longer than"
         r"|\d{2,4} (?:char|byte)|maximum (?:length|of) )"),
    _row("too large: OpenAI, Groq", _limit,
         r"(?:the |value (?:of|for) |field ){0,3}~(?:<SPENT>|max\w{0,4} output tokens)~[^\"\n]{0,60}?<MOST>"),
    _row("the most", _limit,
         r"(?:the )?(?:maximum|largest|highest) (?:\w{1,12} )?(?:for|of) ~<SPENT>~ (?:is|may be) "
         r"(?P<most>\d{1,9})"),
    _row("the same", _limit,
         r"requested \d{1,9} (?:output|completion) tokens,? (?:which |that )?"
         r"(?:exceeds?|is (?:more|over|above))"
         r"[^\"\n\d]{0,50}(?P<most>\d{1,9})(?! (?:tokens )?per)"),
    _row("a tool's type", _tools,
         r"(?:tools[.\[]\d+\]?(?:\.type)?: |(?:the|hosted|server|built-in|native) ){0,2}"
         r"(?:tool(?: type)?|type) ~<KIND>~ <REFUSED>"),
    _row("the same", _tools, r"~<KIND>~ tools <REFUSED>"),
    _row("the same", _tools, r"(?:(?:the|this|we|<MODEL>)~ ){0,3}<REFUSES>~<KIND>~ tools?\b"),
    _row("the same", Remedy(Action.OMIT_TOOLS, HOSTED),
         r"(?:hosted|built-in|server(?:-side)?|native) tools <REFUSED>"),
    _row("the types that are taken", _tools,
         r"tools[.\[]\d+\]?\.type: (?:input should|must|should|has to) be ~function~"),
)
# fmt: on
"""How servers say the same that are not in the table; asked where that knows nothing."""
