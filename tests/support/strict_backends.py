"""Backends of LiteLLM that check a request as the providers do: strictly, and in their own words.

One server stands for all of them; the first part of the path says which, the second who asks. What a request may
hold is said by the request types of the official SDKs (and AWS's service model), with unknown
members refused, and by the table of strict_rules.py. What was accepted is kept, to see what became of it.
"""

import gzip
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from anthropic.types.beta.message_create_params import MessageCreateParamsBase
from google.genai import types as google
from openai.types.chat.completion_create_params import CompletionCreateParamsBase
from openai.types.responses.response_create_params import ResponseCreateParamsBase
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel

from support.bedrock_answers import EVENT_STREAM, converse_stream, conversed, invoke_stream
from support.dialects import CHAT, GEMINI, MESSAGES, RESPONSES, Dialect
from support.processes import BACKEND_KEY, LITELLM
from support.servers import Reply, Server
from support.strict_rules import RULES
from support.strict_types import Misfit, misfit, shape_misfit
from support.strict_words import misfit_words, refused
from support.wire import Request

type Json = dict[str, Any]

TEXT = "The backend answered."


@dataclass(frozen=True, slots=True)
class Deployment:
    """A model of LiteLLM, and how its backend judges.

    Attributes:
        name: LiteLLM's name for it, and the first part of its path here.
        model: what LiteLLM calls at the backend, with its provider.
        traits: what strict_rules.py goes by; the first is whose words are used.
        path: of the backend's address, behind the name.
        params: more of LiteLLM's parameters.
    """

    name: str
    model: str
    traits: str
    path: str = "/v1"
    params: Mapping[str, str] | None = None

    def litellm_params(self, url: str, asked_by: str) -> Json:
        """For LiteLLM's configuration, with this server at `url`; `asked_by` is kept with what it is asked."""
        base = f"{url}/{self.name}/{asked_by}{self.path}"
        params: Json = {"model": self.model, "api_key": BACKEND_KEY, "api_base": base}
        if self.model.startswith("bedrock/"):
            params |= {"aws_bedrock_runtime_endpoint": params.pop("api_base"), "aws_region_name": "us-east-1"}
            params |= {"aws_access_key_id": params.pop("api_key"), "aws_secret_access_key": BACKEND_KEY}
        return params | dict(self.params or {})


_AZURE = {"api_version": "2025-04-01-preview"}
_MANUAL = "no-adaptive no-max-effort no-mid-system"

DEPLOYMENTS: tuple[Deployment, ...] = (
    Deployment("openai-gpt-5", "openai/gpt-5", "openai reasoning"),
    Deployment("openai-gpt-4.1", "openai/gpt-4.1", "openai plain"),
    Deployment("azure-gpt-5", "azure/gpt-5", "azure openai reasoning", "", _AZURE),
    Deployment("azure-gpt-4.1", "azure/gpt-4.1", "azure openai plain", "", _AZURE),
    Deployment("claude-opus-4-7", "anthropic/claude-opus-4-7", "anthropic claude adaptive-only", ""),
    Deployment("claude-sonnet-4-5", "anthropic/claude-sonnet-4-5", f"anthropic claude {_MANUAL} no-effort", ""),
    Deployment("claude-haiku-4-5", "anthropic/claude-haiku-4-5", f"anthropic claude {_MANUAL} no-effort", ""),
    Deployment("gemini-2.5-pro", "gemini/gemini-2.5-pro", "gemini budget", ""),
    Deployment("gemini-3.1-pro", "gemini/gemini-3.1-pro-preview", "gemini signed", ""),
    Deployment("compatible-openai", "openai/qwen3-coder", "compatible text"),
    Deployment("compatible-vllm", "hosted_vllm/qwen3-coder", "vllm text"),
    Deployment("deepseek-chat", "deepseek/deepseek-chat", "deepseek text"),
    Deployment("groq-gpt-oss", "groq/openai/gpt-oss-120b", "groq text"),
    Deployment("xai-grok-code", "xai/grok-code-fast-1", "xai no-effort text"),
    Deployment("mistral-large", "mistral/mistral-large-latest", "mistral"),
    Deployment("openrouter-qwen", "openrouter/qwen/qwen3-coder", "openrouter text"),
    Deployment("bedrock-converse", "bedrock/converse/us.anthropic.claude-sonnet-4-5-20250929-v1:0", f"bedrock claude {_MANUAL} no-effort", ""),
    Deployment("bedrock-invoke", "bedrock/invoke/us.anthropic.claude-sonnet-4-5-20250929-v1:0", f"bedrock claude {_MANUAL} no-effort", ""),
)  # fmt: skip
"""Of each kind that people have one or two."""

LOSING = (
    Deployment("claude-opus-5-5", "anthropic/claude-opus-5-5", "anthropic claude adaptive-only", ""),
    Deployment("fireworks-new", "fireworks_ai/new-model", "compatible"),
    Deployment("perplexity", "perplexity/sonar", "compatible"),
    Deployment("zai-glm", "zai/glm-5", "compatible"),
)
"""For which LiteLLM leaves a forced tool, or the answer's form, out in silence, if `drop_params` says so."""

BY_NAME = {deployment.name: deployment for deployment in (*DEPLOYMENTS, *LOSING)}


_EXTRA = {
    "openrouter": frozenset({"usage", "reasoning", "provider", "transforms", "models", "include_reasoning"}),
    "deepseek": frozenset({"thinking"}),
    "groq": frozenset({"reasoning_format", "include_reasoning"}),
    "mistral": frozenset({"safe_prompt", "random_seed", "prompt_mode"}),
}
"""Members that compatible servers have beside OpenAI's."""

_TAKE_REASONING = frozenset({"deepseek", "vllm", "openrouter"})
"""Servers whose own models want their reasoning back: DeepSeek refuses a history without it ("The
reasoning_content in the thinking mode must be passed back to the API", QwenLM/qwen-code#3724), vLLM reads
it (`CustomChatCompletionMessageParam`), OpenRouter calls it another name of its `reasoning`
(openrouter.ai/docs/guides/best-practices/reasoning-tokens, "Preserving Reasoning"); LiteLLM passes it on."""


class _GenerateContent(BaseModel):
    """A request of generateContent: google-genai has types for its members, and none for the whole."""

    model_config = ConfigDict(extra="forbid", alias_generator=to_camel, populate_by_name=True)

    model: str | None = None  # of the path, and allowed in the body
    contents: list[google.Content]
    system_instruction: google.Content | None = None
    tools: list[google.Tool] | None = None
    tool_config: google.ToolConfig | None = None
    safety_settings: list[google.SafetySetting] | None = None
    generation_config: google.GenerationConfig | None = None
    cached_content: str | None = None


BETAS = {
    "context_management": "context-management-2025-06-27",
    "mcp_servers": "mcp-client-2025-11-20",
    "container": "code-execution",
    "output_format": "structured-outputs-2025",
}
"""Members that Anthropic knows only with a beta header that begins so."""


@cache
def _bedrock() -> Mapping[str, Any]:
    """AWS's service model, which LiteLLM's environment has."""
    (file,) = (
        Path(LITELLM).parents[1].glob("lib/*/site-packages/botocore/data/bedrock-runtime/*/service-2.json.gz")
    )
    shapes: Mapping[str, Any] = json.loads(gzip.decompress(file.read_bytes()))["shapes"]
    return shapes


def _google_misfit(body: Json) -> Misfit | None:
    try:
        _GenerateContent.model_validate(body)
    except ValidationError as error:
        first = error.errors()[0]
        what = {"extra_forbidden": "unknown", "missing": "missing"}.get(first["type"], "value")
        return Misfit(what, first["loc"], (first["msg"],))  # type: ignore[arg-type]
    return None


_EARLIER = frozenset({"temperature", "top_p", "top_k", "output_format"})
"""What Anthropic still takes, and the newest SDK no longer has."""


def _chat_misfit(body: Json) -> Misfit | None:
    """OpenAI's request, whose tool calls may be numbered: refused for half a day in April 2024, and never since."""
    calls = [call for message in body.get("messages", ()) for call in message.get("tool_calls") or ()]
    for call in calls:
        call.pop("index", None)
    return misfit(body, CompletionCreateParamsBase)


def _messages_misfit(body: Json, betas: str) -> Misfit | None:
    missing = next((name for name, beta in BETAS.items() if name in body and beta not in betas), None)
    if missing:
        return Misfit("unknown", (missing,))
    known = {name: value for name, value in body.items() if name not in _EARLIER}
    return misfit(known, MessageCreateParamsBase)


def _invoke_misfit(body: Json, _: Request) -> Misfit | None:
    """Anthropic's body without model and stream, with version and betas in it."""
    if "anthropic_version" not in body:
        return Misfit("missing", ("anthropic_version",))
    if (foreign := next((name for name in ("model", "stream") if name in body), None)) is not None:
        return Misfit("unknown", (foreign,))
    own = {name: value for name, value in body.items() if not name.startswith("anthropic_")}
    return _messages_misfit(own | {"model": "m"}, ",".join(body.get("anthropic_beta", ())))


def _converse_misfit(body: Json, _: Request) -> Misfit | None:
    found = shape_misfit(body, _bedrock(), "ConverseStreamRequest")
    more = body.get("additionalModelRequestFields", {})
    allowed = {"thinking", "top_k", "anthropic_beta", "tool_choice", "tools", "output_config"}
    unknown = next((name for name in more if name not in allowed), None)
    return found or (Misfit("unknown", (unknown,)) if unknown else None)


def _as_messages(body: Json) -> Json:
    """What Claude sees of a Converse request, for the rules that are Claude's."""
    config = body.get("inferenceConfig", {})
    names = {"maxTokens": "max_tokens", "temperature": "temperature", "topP": "top_p"}
    seen = {to: config[name] for name, to in names.items() if name in config}
    messages = [
        {"role": message["role"], "content": [_as_block(block) for block in message["content"]]}
        for message in body["messages"]
    ]
    choice = body.get("toolConfig", {}).get("toolChoice")
    forced = {"tool_choice": {"type": next(iter(choice))}} if choice else {}
    return {
        "max_tokens": 4096,
        **seen,
        **forced,
        **body.get("additionalModelRequestFields", {}),
        "messages": messages,
    }


def _as_block(block: Json) -> Json:
    (kind,) = (key for key in block if key != "cachePoint") if len(block) > 1 else block
    if kind == "reasoningContent":
        return {"type": "thinking"}
    if kind == "toolUse":
        return {"type": "tool_use", "id": block[kind]["toolUseId"]}
    if kind == "toolResult":
        return {"type": "tool_result", "tool_use_id": block[kind]["toolUseId"]}
    return {"type": kind}


@dataclass(frozen=True, slots=True)
class _Door:
    """One way to ask: where it is, what its requests look like, how it answers."""

    misfit: Callable[[Json, Request], Misfit | None]
    dialect: Dialect
    seen: Callable[[Json], Json] = lambda body: body


_DOORS: dict[str, _Door] = {
    "/chat/completions": _Door(lambda body, _: _chat_misfit(body), CHAT),
    "/responses": _Door(lambda body, _: misfit(body, ResponseCreateParamsBase), RESPONSES),
    "/messages": _Door(
        lambda body, request: _messages_misfit(body, request.header("anthropic-beta") or ""), MESSAGES
    ),
    "enerateContent": _Door(lambda body, _: _google_misfit(body), GEMINI),
    "/converse": _Door(_converse_misfit, MESSAGES, _as_messages),
    "/invoke": _Door(_invoke_misfit, MESSAGES),
}
_APIS = {"/chat/completions": "chat", "/responses": "responses"}
_HAVE_RESPONSES = frozenset({"openai", "xai", "openrouter", "vllm"})


@dataclass(frozen=True, slots=True)
class Judged:
    """A request that a backend has had: whose, what it held, and the words of its refusal if it was refused."""

    deployment: str
    asked_by: str
    path: str
    body: Json
    refusal: str | None


class StrictBackends(Server):
    """The server.

    Attributes:
        judged: every request, in order.
    """

    def __init__(self) -> None:
        super().__init__(self._answer)
        self.judged: list[Judged] = []

    async def _answer(self, request: Request, reply: Reply) -> None:
        _, name, asked_by, *rest = request.path.split("/")
        deployment, path = BY_NAME[name], "/" + "/".join(rest)
        traits = frozenset(deployment.traits.split())
        streamed = path.endswith("-stream") or "streamG" in path
        path = path.removesuffix("-stream").removesuffix("-with-response")
        end = next((end for end in _DOORS if path.endswith(end)), None)
        if end is None or (end == "/responses" and traits.isdisjoint(_HAVE_RESPONSES)):
            await reply.json(404, {"detail": "Not Found"})  # as FastAPI says it
            return
        door, body = _DOORS[end], request.json()
        whose = deployment.traits.split()[0]
        words, param = judge(whose, traits | {_APIS.get(end, "")}, door, body, request)
        self.judged.append(Judged(name, asked_by, path, body, words))
        if words is not None:
            await reply.json(*refused(whose, words, param))
        else:
            await _speak(reply, end, door.dialect, body, streamed=streamed or body.get("stream") is True)


def judge(
    whose: str, traits: frozenset[str], door: _Door, body: Json, request: Request
) -> tuple[str | None, str | None]:
    """The words in which a request is refused, and the parameter that they are about; None: it is accepted."""
    known = {name: value for name, value in body.items() if name not in _EXTRA.get(whose, ())}
    for message in known.get("messages", ()) if whose in _TAKE_REASONING else ():
        message.pop("reasoning_content", None)
    if whose == "mistral" and known.get("tool_choice") == "any":
        del known["tool_choice"]  # Mistral's own word for `required`
    if isinstance(known.get("stream"), bool) and whose not in ("gemini", "bedrock"):
        del known["stream"]  # has a type of its own in each SDK
    if (found := door.misfit(known, request)) is not None:
        return misfit_words(whose, found), found.bracketed
    seen = door.seen(body)
    refusals = ((rule.refusal(traits, seen), rule.param) for rule in RULES)
    return next((refusal for refusal in refusals if refusal[0]), (None, None))


_BEDROCK = {"/converse": converse_stream, "/invoke": invoke_stream}


async def _speak(reply: Reply, end: str, dialect: Dialect, body: Json, *, streamed: bool) -> None:
    model = str(body.get("model", "m"))
    if end in _BEDROCK and streamed:
        await reply.send(200, _BEDROCK[end](TEXT), EVENT_STREAM)
    elif end == "/converse":
        await reply.json(200, conversed(TEXT))
    elif streamed:
        stream = dialect.streamed(model, [TEXT])
        await reply.events(filter(None, [stream.opening, *stream.pieces, stream.closing]))
    else:
        # LiteLLM reads Groq's tier of every answer that is whole.
        await reply.json(200, dialect.plain(model, TEXT) | {"service_tier": "on_demand"})
