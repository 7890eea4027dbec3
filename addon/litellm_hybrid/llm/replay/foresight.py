"""What is known of the backends behind a model before they are asked, from LiteLLM's `/model/info`.

A history that visibly holds what they refuse is reduced at once, and what LiteLLM would leave out or weaken
in silence is not left to it. Nothing is guessed: where LiteLLM does not tell, a history goes as it is, and
what it would lose for some of its providers is not sent.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from itertools import chain

from msgspec import Raw

from litellm_hybrid.llm.history import TOOL_LOOPS
from litellm_hybrid.llm.reduction import HistoryRejection
from litellm_hybrid.llm.replay.body import demanded
from litellm_hybrid.llm.replay.remedies import Action, Remedy
from litellm_hybrid.message.json import members, objects
from litellm_hybrid.message.json_edit import (
    RawObject,
    edit_body,
    is_empty,
    kind,
    last_element,
    member,
    objects_in,
    opened,
    raw_text,
)
from litellm_hybrid.routing.paths import Api

# Servers known to refuse members of a message that OpenAI's types do not have; of `openai/`, which compatible
# servers are called as well, only where the model is OpenAI's. Others are asked.
_STRICT = frozenset({"azure", "groq", "cerebras", "xai"})
_OPENAIS = re.compile(r"(?:^|/)(?:gpt-[345]|o\d|chatgpt|codex)")
_ANYBODYS = frozenset({"openai", "custom_openai", "openai_like"})

# Reasoning beside a message's words, as gateways and servers spell it, in a request or in an answer.
_REASONING = {
    b'"reasoning': re.compile(
        rb'"reasoning(?:(?:_content|_text)?"\s*+:\s*+"(?!")|_details"\s*+:\s*+\[\s*+\{)'
    ),
    b'"thinking_blocks"': re.compile(rb'"thinking_blocks"\s*+:\s*+\[\s*+\{'),
}

_WEAKENS_CHOICE = frozenset({"mistral", "codestral"})
"""LiteLLM 1.106.2, `llms/mistral/chat/transformation.py`: a tool is not forced by its name."""

_GOOGLES = frozenset({"gemini", "vertex_ai", "vertex_ai_beta", "vertex_ai-language-models"})
_LOSES_CHOICE = frozenset({"cohere", "cohere_chat", "ollama", "ollama_chat", "replicate", "sap"})
_FORMLESS = frozenset(
    {"amazon_nova", "gradient_ai", "maritalk", "morph", "snowflake", "v0", "volcengine", "zai"}
)
_TEXT_ONLY = frozenset(
    {
        *("a2a", "deepseek", "docker_model_runner", "gigachat", "heroku", "langflow", "langgraph"),
        *("nlp_cloud", "publicai", "sambanova"),
    }
)
_LOSES = {
    "named": _LOSES_CHOICE,
    "required": _LOSES_CHOICE | {"gigachat", "moonshot"},
    "none": _LOSES_CHOICE | {"deepinfra"},
    "json": _FORMLESS | {"bedrock", "bedrock_converse", "gigachat", "meta_llama"},
    "form": _FORMLESS,
    "image": _TEXT_ONLY,
    "file": _TEXT_ONLY | {"ollama", "ollama_chat"},
    "audio": _TEXT_ONLY | _WEAKENS_CHOICE | {"bedrock", "bedrock_converse", "ollama", "ollama_chat"},
}
"""What LiteLLM 1.106.2 leaves out of requests for a provider and says nothing, seen by having
`get_optional_params` and the provider's `transform_request` make one with each. Of DeepSeek's models those
that see get their images."""

_OF_CLAUDE_TOO = frozenset({"json", "audio"})

_DROPPED = {
    **dict.fromkeys(("named", "required", "none"), "tool_choice"),
    **dict.fromkeys(("json", "form"), "response_format"),
}
"""The option that says so, by LiteLLM's name. With `drop_params` in its own configuration, or of Claude Code
and Codex, it leaves out in silence what is not among a model's `supported_openai_params` (1.106.2,
`utils.get_optional_params`, `should_auto_drop_params_for_agentic_cli`)."""

_NO_CHOICE = r"deep-research|gpt-5-search-api|gpt-5\.5-cyber"
_NEVER = {
    "none": re.compile(_NO_CHOICE),
    **dict.fromkeys(
        ("named", "required"),
        re.compile(rf"claude-(?:(?:opus|sonnet)-5-5|(?:fable|mythos)-5-1)|{_NO_CHOICE}"),
    ),
    **dict.fromkeys(
        ("json", "form"), re.compile(r"(?:^|/)gpt-(?:4(?:-0\d{3})?|3\.5-turbo-16k)$|deep-research")
    ),
}
"""Models for which it does, though their provider does not: where `/model/info` is not read, or, as of
`supports_forced_tool_use`, does not tell."""

_KEEPS = frozenset(
    {
        *("anthropic", "azure", "cerebras", "dashscope", "databricks", "github_copilot", "groq"),
        *("hosted_vllm", "lm_studio", "minimax", "nvidia_nim", "openai", "openrouter", "together_ai"),
        *("vercel_ai_gateway", "volcengine", "watsonx", "xai", "zai"),
        *_GOOGLES,
    }
)
"""Providers that get all of it, seen in the same way."""

_KNOWN = _KEEPS.union(*_LOSES.values())

# How the seals of a maker begin, as CLIProxyAPI tells them apart (`internal/signature`): base64 of protobuf,
# Claude's also twice; of Vertex `A`.
_OF_CLAUDE = re.compile(r"[ER]")
_OF_GEMINI = re.compile(r"[ACE]|skip_thought_signature_validator|context_engineering_is_the_way_to_go")

_ATTACHED = {
    **dict.fromkeys(("image", "image_url", "input_image"), "image"),
    **dict.fromkeys(("file", "input_file", "document", "container_upload", "video_url"), "file"),
    "input_audio": "audio",
}
_SIGNS = re.compile(
    rb'"(?:tools|assistant|model"\s*[,}]|input_|image|inline_?[dD]ata|file|document|json_(?:object|schema)|response_?[mM])'
)
_INLINE = ("inlineData", "inline_data", "fileData", "file_data")


@dataclass(frozen=True, slots=True)
class Backend:
    """One deployment of a model.

    Attributes:
        provider: LiteLLM's name for it.
        model: LiteLLM's name for the model there, in lower case, with the provider's route before it.
        sees: it reads images.
        reasons: LiteLLM knows that it does.
        adaptive: it thinks without being given a budget; so no turn has to begin with thinking.
        lacks: the options of `_DROPPED` that LiteLLM does not have for it.
    """

    provider: str
    model: str
    sees: bool = False
    reasons: bool = False
    adaptive: bool = False
    lacks: frozenset[str] = frozenset()

    @property
    def is_strict(self) -> bool:
        """Whether members of a message that OpenAI's types do not have are refused."""
        of_openai = self.provider == "openai" and _OPENAIS.search(self.model) is not None
        return of_openai or self.provider in _STRICT

    @property
    def is_anybodys(self) -> bool:
        """Whether it may be any server that speaks OpenAI's language: what it refuses is not known."""
        return self.provider in _ANYBODYS and not self.is_strict

    @property
    def is_claude(self) -> bool:
        """Whether it is one of Anthropic's models, whoever serves it."""
        return "claude" in self.model

    @property
    def is_gemini(self) -> bool:
        """Whether it is one of Google's."""
        return "gemini" in self.model

    def loses(self, what: str) -> bool:
        """Whether LiteLLM leaves a demand (see `Demand`), an "image", a "file" or an "audio" out for it."""
        if what == "image" and self.sees:
            return False
        if _DROPPED.get(what) in self.lacks or (what in _NEVER and _NEVER[what].search(self.model)):
            return True
        return self.provider in _LOSES.get(what, ()) or (self.is_claude and what in _OF_CLAUDE_TOO)

    @property
    def wants_thinking(self) -> bool:
        """Whether it is a Claude that wants to find thinking where a turn goes on after a tool's result."""
        return self.is_claude and self.reasons and not self.adaptive


class Backends:
    """The backends of each model of LiteLLM's."""

    def __init__(self, info: object = None) -> None:
        """Read `{"data": [{"model_name": …, "litellm_params": {"model": …}, "model_info": {…}}]}`."""
        self._of: dict[str, list[Backend]] = {}
        for entry in objects(members(info).get("data")):
            details, params = members(entry.get("model_info")), members(entry.get("litellm_params"))
            model = str(params.get("model") or details.get("key") or "").lower()
            provider = str(details.get("litellm_provider") or model.partition("/")[0])
            sees, reasons, adaptive = (details.get(f"supports_{name}") is True for name in _SUPPORTS)
            known = details.get("supported_openai_params")
            lacks = frozenset(_DROPPED.values()) - {*known} if isinstance(known, list) else frozenset[str]()
            backend = Backend(provider, model, sees, reasons, adaptive, lacks)
            self._of.setdefault(str(entry.get("model_name")), []).append(backend)
        self._patterns = [name for name in self._of if "*" in name]

    def lack(self, model: str) -> bool:
        """Whether there are some, and none serves a model, by LiteLLM's name for it.

        A wildcard `openai/*` also serves names without the prefix, which are not told.
        """
        return bool(self._of) and model not in self._of and not self._patterns

    def __getitem__(self, model: str) -> tuple[Backend, ...]:
        """Return the backends of a model, by LiteLLM's name for it; () where that is not known."""
        if model in self._of:
            return tuple(self._of[model])
        patterns = [name for name in self._patterns if fnmatchcase(model, name)]
        if not patterns:
            return ()
        found = self._of[max(patterns, key=len)]
        # A deployment `openai/*` is of that provider; where `*` leads to is told by the name that is asked.
        asked = model.lower().partition("/")[0] if "/" in model else ""
        named = ((backend, backend.provider.strip("*") or asked) for backend in found)
        return tuple(replace(backend, provider=of, model=model.lower()) for backend, of in named if of)


_SUPPORTS = ("vision", "reasoning", "adaptive_thinking")


def may_matter(body: bytes) -> bool:
    """Whether a request is one whose backends are worth asking for: of an agent's, or with more than text."""
    return _SIGNS.search(body) is not None


def holds_reasoning(body: bytes) -> bool:
    """Whether a history of chat completions, or an answer as far as it has come, holds reasoning."""
    return any(name in body and pattern.search(body) for name, pattern in _REASONING.items())


def foreseen(
    body: bytes, api: Api, backends: Collection[Backend], known: Iterable[Remedy] = ()
) -> tuple[Remedy, ...]:
    """Return what a replay needs at its first attempt.

    Args:
        body: of the replay, without content coding.
        api: its shape.
        backends: of the model; only what all of them need is done.
        known: what the model has needed on this API before. A refusal of a history is among them again only
            where this one holds what was refused.
    """
    known = tuple(known)
    learned = {remedy.name for remedy in known if remedy.action is Action.REDUCE_HISTORY}
    needed = [remedy for remedy in known if remedy.action is not Action.REDUCE_HISTORY]
    if not (learned or backends):
        return known

    def look(request: RawObject) -> bool:
        found = set(_refused(request, api, backends, learned))
        needed.extend(Remedy(Action.REDUCE_HISTORY, rejection) for rejection in sorted(found))
        is_forced = any(demand.what == "named" for demand in demanded(request, api))
        if is_forced and _weakens_choice(api, backends):
            needed.append(Remedy(Action.ONLY_FORCED_TOOL))
        return False

    edit_body(body, look)
    return tuple(needed)


def lost_in_silence(body: bytes, api: Api, backends: Collection[Backend]) -> str:
    """Say what LiteLLM would leave out of a request for one of these, and say nothing, if it would.

    "attachment": an image or a file; "demand": a tool that is forced or forbidden, or JSON that is asked for.
    Where no backend is known it may be one for which it does; its answer's head tells (`served_by`).
    """
    lost = ""
    may_be_adapted = not backends or any(backend.provider not in _GOOGLES for backend in backends)

    def loses(what: str) -> bool:
        return any(backend.loses(what) for backend in backends) if backends else what in _LOSES

    def look(request: RawObject) -> bool:
        nonlocal lost
        demands = {demand.what for demand in demanded(request, api)}
        if "form" in demands:
            demands.discard("json")
        if "named" in demands and _weakens_choice(api, backends):
            demands.add("required")  # which is what it becomes
        if any(loses(what) for what in demands) or (
            may_be_adapted and demands & {"named", "required", "none"} and _is_passed_over(request)
        ):
            lost = "demand"
        elif any(loses(what) for _, part in _parts(request, api) for what in _attached(part)):
            lost = "attachment"
        return False

    edit_body(body, look)
    return lost


def served_by(headers: Mapping[str, str]) -> tuple[Backend, ...]:
    """Return who has answered, by a head of LiteLLM's (names in lower case); () if it does not tell.

    The model there is that of the deployment, with its provider where the configuration writes one (1.106.2,
    `common_request_processing._get_deployment_model_name`): a name of another kind tells nothing.
    """
    model = headers.get("x-litellm-model-name", "").lower()
    provider, slash, _ = model.partition("/")
    return (Backend(provider, model),) if slash and provider in _KNOWN else ()


def _is_passed_over(request: RawObject) -> bool:
    """Whether Gemini's choice of a tool is spelt as only Google's own servers read it (LiteLLM 1.106.2)."""
    return any(
        member(request, config, *path) is not None
        for config in ("toolConfig", "tool_config")
        for path in (("function_calling_config",), ("functionCallingConfig", "allowed_function_names"))
    )


def _weakens_choice(api: Api, backends: Collection[Backend]) -> bool:
    """Whether LiteLLM would force any tool, where one of these is asked, though one is forced by its name.

    Of generateContent it passes names on to Google's own servers alone (1.106.2, `google_genai/adapters`).
    """
    return any(
        backend.provider in _WEAKENS_CHOICE
        or (api is Api.GENERATE_CONTENT and backend.provider not in _GOOGLES)
        for backend in backends
    )


def _attached(part: RawObject) -> Iterator[str]:
    if (what := _ATTACHED.get(kind(part) or "")) is not None:
        yield what
    for name in _INLINE:
        if (data := opened(part[name]) if name in part else None) is not None:
            media = raw_text(data.get("mimeType") or data.get("mime_type")) or ""
            yield media.partition("/")[0] if media.startswith(("image/", "audio/")) else "file"


def _refused(
    request: RawObject, api: Api, backends: Collection[Backend], learned: Collection[str]
) -> Iterator[HistoryRejection]:
    """What of a history will be refused, because a backend's kind is known or has refused it before."""
    if api is Api.CHAT and ("unknown-member" in learned or _all_are(b.is_strict for b in backends)):
        yield "unknown-member"
    if (
        api is Api.MESSAGES
        and _all_are(b.is_claude for b in backends)
        and _holds_seal(request, api, _OF_CLAUDE)
    ):
        yield "thinking-signature"
    if (
        api is Api.GENERATE_CONTENT
        and _all_are(b.is_gemini for b in backends)
        and _holds_seal(request, api, _OF_GEMINI)
    ):
        yield "thought-signature"
    wants = "thinking-missing" in learned or (
        _all_are(b.wants_thinking for b in backends) and _is_translated(api, backends)
    )
    if wants and _misses_thinking(request, api):
        yield "thinking-missing"


def _all_are(so: Iterable[bool]) -> bool:
    """Whether there is any backend, and all are so."""
    known = tuple(so)
    return bool(known) and all(known)


def _is_translated(api: Api, backends: Collection[Backend]) -> bool:
    """Whether LiteLLM writes the request anew, and asks for thinking in the way that wants it everywhere.

    Of Messages it does so for Bedrock's Converse alone.
    """
    return api in (Api.CHAT, Api.RESPONSES) or (
        api is Api.MESSAGES
        and all(
            backend.provider == "bedrock_converse" and "/invoke/" not in backend.model for backend in backends
        )
    )


_THINKING = frozenset({"thinking", "redacted_thinking"})
_OPTIONS = (("thinking",), ("reasoning_effort",), ("reasoning",), ("output_config", "effort"))


def _misses_thinking(request: RawObject, api: Api) -> bool:
    """Whether thinking is asked for in the middle of a turn that did not begin with it."""
    asked = [member(request, *path) for path in _OPTIONS]
    if api not in TOOL_LOOPS or all(is_empty(option) for option in asked) or not TOOL_LOOPS[api](request):
        return False
    said = last_element(request.get("messages"), lambda message: raw_text(message.get("role")) != "assistant")
    if said is None:
        return True
    begins = next((kind(block) for block in objects_in(said.get("content"))), None)
    return is_empty(said.get("thinking_blocks")) and begins not in _THINKING


def _holds_seal(request: RawObject, api: Api, readable: re.Pattern[str]) -> bool:
    """Whether a history holds a seal that another maker's model has set."""
    return any(
        not is_empty(seal) and not readable.match(raw_text(seal) or "")
        for role, part in _parts(request, api)
        if role in ("assistant", "model")
        for seal in _seals(part)
    )


def _seals(part: RawObject) -> Iterator[Raw | None]:
    if kind(part) == "redacted_thinking":
        yield part.get("data")
    elif kind(part) == "thinking":
        yield part.get("signature")
    elif kind(part) is None:
        yield part.get("thoughtSignature")
        yield part.get("thought_signature")


def _parts(request: RawObject, api: Api) -> Iterator[tuple[str | None, RawObject]]:
    """Every part of a conversation, those within a tool's result too, and who has said it."""
    # Cursor's requests have `input` on the path of chat completions.
    names, inner = (
        (["contents"], "parts") if api is Api.GENERATE_CONTENT else (["messages", "input"], "content")
    )
    for message in chain.from_iterable(objects_in(request.get(name)) for name in names):
        role = raw_text(message.get("role"))
        for part in (*objects_in(message.get(inner)), *objects_in(message.get("output"))):
            yield role, part
            yield from ((role, deep) for deep in objects_in(part.get("content")))
