"""What can be done to a body that a backend refuses, one `Remedy` at a time.

A remedy changes as little as it can, and nothing that is demanded: a tool that is forced stays forced, JSON
that is asked for stays asked for. One that would change the request's meaning, or changes nothing, leaves the
body as it is, and is none.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from msgspec import Raw

from litellm_hybrid.llm.anthropic import omit_clear_thinking
from litellm_hybrid.llm.replay.body import demanded, is_lost_by_chat_completions
from litellm_hybrid.message.json_edit import (
    RawObject,
    edit_body,
    edited,
    elements,
    encoded,
    filtered,
    is_empty,
    is_true,
    kind,
    member,
    number,
    opened,
    raw_text,
    replace,
    replace_and_prune,
)
from litellm_hybrid.routing.paths import Api

RETRIES_MAX = 5
"""How often a replay that was refused is sent again, each time with another change."""

HOSTED = "hosted"
"""Stands for the types of tools that a provider's own servers run."""

_HOSTED = (
    *("web_search", "file_search", "code_interpreter", "computer", "image_generation", "tool_search"),
    *("local_shell", "mcp"),
)


class Action(StrEnum):
    """What a remedy does."""

    OMIT = "omit"
    LIMIT = "limit"
    CHAT_COMPLETIONS = "use_chat_completions_api"
    OMIT_TOOLS = "omit tools"
    UNSEAL = "omit encrypted content"
    NO_THINKING = "omit thinking"
    SYSTEM_AS_USER = "system messages as user messages"
    OMIT_BETA = "omit anthropic-beta"
    REDUCE_HISTORY = "reduce history"
    ONLY_FORCED_TOOL = "only the forced tool"


@dataclass(frozen=True, slots=True)
class Remedy:
    """One change of a body.

    Attributes:
        name: the option that is left out, as the refusal spells it, `name=value` with this value alone; the
            type of the tools, `hosted`, or "" for all but functions; betas, or how they begin; the refusal
            of a history, see `llm/history.py`.
        limit: the most tokens that an answer may have.
        lasting: the model needs it again next time; else it answers this request's length.
    """

    action: Action
    name: str = ""
    limit: int = 0
    lasting: bool = field(default=True, compare=False)

    def __str__(self) -> str:
        """It in a few words, for the log."""
        if self.action is Action.LIMIT:
            return f"max_tokens at most {self.limit}"
        return f"{self.action} {self.name}".rstrip()

    @property
    def setting(self) -> str:
        """The line of LiteLLM's configuration that makes it unnecessary, "" if there is none."""
        if self.action is Action.OMIT and self.name != _MARK:
            return f'litellm_params: additional_drop_params: ["{canonical(self.name)}"]'
        return _SETTINGS.get(self.action, "")


_SETTINGS = {
    Action.LIMIT: "litellm_settings: modify_params: true",
    Action.CHAT_COMPLETIONS: "litellm_params: use_chat_completions_api: true",
    Action.OMIT_TOOLS: "litellm_params: use_chat_completions_api: true",
    Action.UNSEAL: 'litellm_params: additional_drop_params: ["include"]',
    Action.NO_THINKING: "litellm_settings: modify_params: true",
}

# The same option in the APIs, LiteLLM's name first, and other names that backends have for it.
CONFIG = ("generationConfig", "generation_config")
_EFFORT = "reasoning_effort reasoning.effort output_config.effort effort thinkingConfig.thinkingLevel"
_GROUPS = tuple(
    tuple(names.split())
    for names in (
        "user metadata.user_id",
        f"{_EFFORT} thinkingLevel",
        "thinking thinkingConfig thinkingConfig.thinkingBudget thinkingBudget reasoning",
        "verbosity text.verbosity",
        "stop stop_sequences",
        "parallel_tool_calls tool_choice.disable_parallel_tool_use",
        "include reasoning.encrypted_content",
        *["temperature", "top_p", "top_k", "seed", "presence_penalty", "frequency_penalty"],
    )
)
_LIMITS = ("max_tokens", "max_completion_tokens", "max_output_tokens", "maxOutputTokens")
_THINKING = (
    *("thinking", "reasoning", "reasoning_effort", "output_config.effort"),
    *(f"{config}.{name}" for config in CONFIG for name in ("thinkingConfig", "thinking_config")),
)

_ESSENTIAL = frozenset(
    {
        *("model", "messages", "input", "contents", "prompt", "system", "instructions"),
        *("systeminstruction", "tools", "functions", "mcpservers", "websearchoptions", "container"),
        *("previousresponseid", "conversation", "stream", "n", "modalities", "audio", "generationconfig"),
        *("toolchoice", "toolconfig", "dropparams", "usechatcompletionsapi"),
    }
)
"""Members without which a request means something else; LiteLLM takes the last two itself."""

_HISTORY = frozenset({"messages", "input", "contents"})
_TAGS = frozenset({"custom", "function"})
"""What validators put between a tool's number and its member."""

_MARK = "cache_control"


def canonical(name: str) -> str:
    """LiteLLM's name for an option, as the refusals of backends spell it."""
    name = name.partition("=")[0]
    key = _key(name)
    return next((group[0] for group in _GROUPS if key in map(_key, group)), name)


def is_option(name: str) -> bool:
    """Whether a member of a request may be left out at all."""
    return _key(name) not in _ESSENTIAL


def settings_for(remedies: Iterable[Remedy]) -> tuple[str, ...]:
    """The lines of LiteLLM's configuration that make remedies unnecessary, each once."""
    return tuple(dict.fromkeys(remedy.setting for remedy in remedies if remedy.setting))


def apply(body: bytes, api: Api, remedy: Remedy) -> bytes:
    """A body (without content coding) with a remedy applied; the same object where it does not help.

    `REDUCE_HISTORY` is `history.reduce`'s, `OMIT_BETA` is for `without_betas`: they do nothing here.
    """

    def edit(request: RawObject) -> bool:
        before = demanded(request, api)
        changed = _apply(request, api, remedy)
        return changed and (remedy.action is Action.ONLY_FORCED_TOOL or demanded(request, api) == before)

    return edit_body(body, edit)


def without_betas(given: str, names: str) -> str:
    """Return a header `anthropic-beta` without the betas that begin so; `given` itself if it has none."""
    betas = [beta for part in given.split(",") if (beta := part.strip())]
    kept = [beta for beta in betas if not beta.startswith(tuple(names.split(", ")))]
    return given if len(kept) == len(betas) else ",".join(kept)


def _apply(request: RawObject, api: Api, remedy: Remedy) -> bool:
    changes = {
        Action.OMIT: lambda: _omit(request, api, remedy.name),
        Action.LIMIT: lambda: _limit(request, remedy.limit),
        Action.CHAT_COMPLETIONS: lambda: _ask_for_chat_completions(request, api),
        Action.OMIT_TOOLS: lambda: _omit_tools(request, api, remedy.name),
        Action.UNSEAL: lambda: api is Api.RESPONSES and _unseal(request),
        Action.NO_THINKING: lambda: _without_thinking(request),
        Action.SYSTEM_AS_USER: lambda: api is Api.MESSAGES and _system_as_user(request),
        Action.ONLY_FORCED_TOOL: lambda: _only_forced_tool(request, api),
    }
    return changes.get(remedy.action, bool)()


def _ask_for_chat_completions(request: RawObject, api: Api) -> bool:
    """LiteLLM asks the backend by chat completions, whatever API the client has used.

    Of a Messages response that is not streamed it loses the content then (1.106.2).
    """
    if api is Api.MESSAGES and (is_lost_by_chat_completions(request) or not is_true(request.get("stream"))):
        return False
    if api not in (Api.RESPONSES, Api.MESSAGES) or Action.CHAT_COMPLETIONS in request:
        return False
    request[Action.CHAT_COMPLETIONS] = Raw(b"true")
    return True


# -- options ------------------------------------------------------------------


def _omit(request: RawObject, api: Api, name: str) -> bool:
    name, _, value = name.partition("=")
    path = _path(name)
    if _MARK in path:
        return _omit_from_marks(request, path[-1])
    if not path or path[0] in _HISTORY:
        return False
    group = next((group for group in _GROUPS if _key(".".join(path)) in map(_key, group)), (".".join(path),))
    omitted = False
    for alias in group:
        parts = alias.split(".")
        for holder in ((), *((config,) for config in CONFIG)):
            where = [*holder, *parts]
            if not value or raw_text(member(request, *where)) == value:
                omitted |= _take_out(request, where, api)
    return omitted


def _path(name: str) -> list[str]:
    """`tools.0.custom.defer_loading` and `tools[0].defer_loading` are `tools.defer_loading`."""
    parts = [part for part in name.replace("[", ".").replace("]", "").split(".") if part]
    parts = [part for part in parts if not part.isdigit()]
    while parts and parts[0] in ("body", "request"):
        del parts[0]
    if len(parts) > 2 and parts[0] == "tools" and parts[1] in _TAGS:
        del parts[1]
    return parts


def _key(name: str) -> str:
    return name.replace("_", "").lower()


def _take_out(members: RawObject, path: list[str], api: Api, *, top: bool = True) -> bool:
    """Leave out what stands under a path, whatever the spelling of its names, and what is empty then."""
    found = next((name for name in members if _key(name) == _key(path[0])), None)
    if found is None:
        return False
    if len(path) == 1:
        essential = _key(found) in _ESSENTIAL or (api is Api.MESSAGES and found == "max_tokens")
        if not (top and essential):
            del members[found]
        return not (top and essential)
    return replace_and_prune(members, found, lambda raw: _taken_out(raw, path[1:], api))


def _taken_out(raw: Raw, path: list[str], api: Api) -> Raw:
    if elements(raw) is not None:
        return filtered(raw, lambda element: _taken_out(element, path, api))
    return edited(raw, lambda members: _take_out(members, path, api, top=False))


def _omit_from_marks(request: RawObject, name: str) -> bool:
    """Leave a member out of every mark of the prompt cache (`cache_control.scope`), or all of each mark."""

    def visit(raw: Raw) -> Raw:
        return edited(raw, edit)

    def edit(members: RawObject) -> bool:
        return replace(members, "content", walk) | take(members)

    def take(members: RawObject) -> bool:
        if name == _MARK:
            return members.pop(_MARK, None) is not None
        return replace_and_prune(members, _MARK, unmark)

    def unmark(raw: Raw) -> Raw:
        return edited(raw, lambda mark: mark.pop(name, None) is not None)

    def walk(raw: Raw) -> Raw:
        return filtered(raw, visit)

    changed = [replace(request, key, walk) for key in ("system", "tools", "messages")]
    return take(request) or any(changed)


def _limit(request: RawObject, most: int) -> bool:
    changed = _lower(request, most)
    for config in CONFIG:
        changed |= replace(request, config, lambda raw: edited(raw, lambda inner: _lower(inner, most)))
    # Anthropic: thinking has to leave room for an answer.
    if changed and (thinking := opened(request["thinking"]) if "thinking" in request else None):
        budget = number(thinking.get("budget_tokens"))
        if budget is not None and budget >= most:
            if most > _LEAST_BUDGET:
                request["thinking"] = encoded({**thinking, "budget_tokens": most - 1})
            else:
                del request["thinking"]
    return changed


_LEAST_BUDGET = 1024
"""Tokens: Anthropic's least budget for thinking."""


def _lower(members: RawObject, most: int) -> bool:
    found = [name for name in _LIMITS if (number(members.get(name)) or 0) > most]
    members.update({name: encoded(most) for name in found})
    return bool(found)


def _without_thinking(request: RawObject) -> bool:
    """Leave all options together out that ask for thinking: LiteLLM makes each of another."""
    found = [_take_out(request, path.split("."), Api.CHAT) for path in _THINKING]
    return omit_clear_thinking(request) or any(found)


def _system_as_user(request: RawObject) -> bool:
    """Let the user say what the client says as the system within a conversation, after its first words."""

    def edit(message: RawObject) -> bool:
        if raw_text(message.get("role")) != "system":
            return False
        message["role"] = encoded("user")
        return True

    return replace(request, "messages", lambda raw: filtered(raw, lambda message: edited(message, edit)))


# -- tools and sealed content -----------------------------------------------------


def _omit_tools(request: RawObject, api: Api, name: str) -> bool:
    """Leave tools of a type out; nobody is forced to use one of them."""
    if demanded(request, api):
        return False

    def keep(raw: Raw) -> Raw | None:
        tool = opened(raw)
        of_type = kind(tool) if tool is not None else None
        if name == HOSTED:
            unwanted = any((of_type or "").startswith(hosted) for hosted in _HOSTED)
        else:
            unwanted = of_type == name if name else of_type not in (None, "function")
        return None if unwanted else raw

    if not replace(request, "tools", lambda raw: filtered(raw, keep)):
        return False
    if is_empty(request["tools"]):
        for member in ("tools", "tool_choice", "parallel_tool_calls"):
            request.pop(member, None)
    return True


def _only_forced_tool(request: RawObject, api: Api) -> bool:
    """Where a tool is forced by its name, leave the others out and force any: that is this one."""
    if api is Api.GENERATE_CONTENT:
        return _only_allowed_functions(request)
    choice = request.get("tool_choice")
    name = _tool_name(opened(choice)) if choice is not None else None
    tools = [tool for tool in elements(request.get("tools")) or () if _tool_name(opened(tool)) == name]
    if name is None or not tools:
        return False
    request["tools"] = encoded(tools)
    request["tool_choice"] = encoded({"type": "any"} if api is Api.MESSAGES else "required")
    return True


def _only_allowed_functions(request: RawObject) -> bool:
    """The same for Gemini's `allowedFunctionNames`."""
    allowed: set[str | None] = set()

    def take(calling: RawObject) -> bool:
        names = calling.pop("allowedFunctionNames", None)
        allowed.update(raw_text(name) for name in (elements(names) if names is not None else None) or ())
        return bool(allowed)

    def keep(raw: Raw) -> Raw | None:
        function = opened(raw)
        return raw if function is not None and raw_text(function.get("name")) in allowed else None

    replace(
        request,
        "toolConfig",
        lambda raw: edited(
            raw, lambda config: replace(config, "functionCallingConfig", lambda inner: edited(inner, take))
        ),
    )
    return bool(allowed) and replace_and_prune(
        request,
        "tools",
        lambda raw: filtered(
            raw,
            lambda tool: edited(
                tool,
                lambda declared: replace_and_prune(
                    declared, "functionDeclarations", lambda functions: filtered(functions, keep)
                ),
            ),
        ),
    )


def _tool_name(tool: RawObject | None) -> str | None:
    """The name of a tool, or of the tool that a choice forces."""
    return raw_text(member(tool, "function", "name") or member(tool, "name"))


def _unseal(request: RawObject) -> bool:
    """Ask for no encrypted reasoning, and send none."""
    changed = request.pop("include", None) is not None
    return replace(request, "input", lambda raw: filtered(raw, _unsealed)) or changed


def _unsealed(raw: Raw) -> Raw | None:
    item = opened(raw)
    if item is None or "encrypted_content" not in item:
        return raw
    if kind(item) == "reasoning":
        return None
    del item["encrypted_content"]
    return encoded(item)
