"""What replays need of LiteLLM: lines for its configuration, and, asked for, a request in each agent's form.

The lines, and why, were measured with LiteLLM 1.106.2 and strict backends (docs/replays.md).
"""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from litellm_hybrid.config.settings import Settings
from litellm_hybrid.diagnostics.probes import Deployments, Probe, ProbeResult, bearer, litellm_key
from litellm_hybrid.diagnostics.report import Finding, error, not_checked, ok, some, warning
from litellm_hybrid.llm.replay import body as replay_body
from litellm_hybrid.llm.replay.refusals import remedies
from litellm_hybrid.llm.replay.remedies import RETRIES_MAX, Action, Remedy, apply
from litellm_hybrid.message import sse
from litellm_hybrid.message.json import decode, members
from litellm_hybrid.quota.retry_after import seconds_of_cooldown
from litellm_hybrid.routing.paths import Api
from litellm_hybrid.terminal import counted

type Json = dict[str, Any]

CHECK = "replay"
WITHIN = 60.0
"""Seconds for one request."""

_OWN = ("openai.com", "azure.com")


@dataclass(frozen=True, slots=True)
class ConfigLine:
    """One line for LiteLLM's configuration.

    Attributes:
        holds: whether a model's `litellm_params` call for it.
        reason: what happens without it.
    """

    line: str
    holds: Callable[[Json], bool]
    reason: str

    @property
    def key(self) -> str:
        """What stands before its colon, where it is not the model."""
        key = self.line.partition(":")[0]
        return "" if key in ("model", "additional_drop_params") else key


def _is(*prefixes: str) -> Callable[[Json], bool]:
    return lambda params: str(params.get("model")).startswith(prefixes)


def is_compatible(params: Json) -> bool:
    """Tell whether it is a server that only speaks like OpenAI's."""
    base = str(params.get("api_base") or "")
    return _is("openai/")(params) and bool(base) and not any(own in base for own in _OWN)


def _is_claude(params: Json) -> bool:
    return "claude" in str(params.get("model"))


LINES: tuple[ConfigLine, ...] = (
    ConfigLine(
        "model: hosted_vllm/… in place of openai/…, with use_chat_completions_api: true",
        is_compatible,
        "LiteLLM asks what is behind it for /responses, which few but OpenAI's have",
    ),
    ConfigLine(
        "use_chat_completions_api: true",
        _is("hosted_vllm/"),
        "Codex's custom tools are refused by servers that know functions only",
    ),
    ConfigLine(
        'additional_drop_params: ["user"]',
        lambda params: (
            _is("azure/", "xai/")(params) and "user" not in (params.get("additional_drop_params") or ())
        ),
        "Claude Code's metadata.user_id becomes `user`, which may have 64 characters and has 150",
    ),
    ConfigLine(
        "model: bedrock/converse/…",
        lambda params: (
            _is_claude(params) and _is("bedrock/")(params) and not _is("bedrock/converse/")(params)
        ),
        "Codex's requests fit Bedrock's Converse, not what else its Claude models speak",
    ),
)
"""For a model's `litellm_params`."""

SETTINGS: tuple[ConfigLine, ...] = (
    ConfigLine(
        "modify_params: true",
        _is_claude,
        "thinking that another account has signed is missed in a tool loop",
    ),
    ConfigLine(
        "use_chat_completions_url_for_anthropic_messages: true",
        _is("openai/gpt-4", "gpt-4"),
        "Claude Code's requests ask OpenAI for encrypted reasoning, which models that do not reason refuse",
    ),
)
"""For `litellm_settings`, which only LiteLLM's file tells."""


def propose(backends: Deployments, settings: Json | None = None) -> list[Finding]:
    """Name the lines that models which may fall back would be better served with.

    `settings` are `litellm_settings` of LiteLLM's file; None: it was not given.
    """
    own = settings or {}
    lines = [("litellm_params", line) for line in LINES]
    if settings is not None:
        lines += [("litellm_settings", line) for line in SETTINGS if not own.get(line.key)]
    return [
        ok("backends", f"{some(names)}: {line.reason}", f"in {where} `{line.line}`")
        for where, line in lines
        if (names := [name for name, params in backends if line.holds(params) and not params.get(line.key)])
    ]


# -- one request in each agent's form -----------------------------------------------


@dataclass(frozen=True, slots=True)
class Form:
    """What an agent's first request looks like, as short as it can be."""

    agent: str
    api: Api
    path: str
    body: Json
    headers: Mapping[str, str]


_SAY = "Answer with one word."
_SCHEMA = {"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]}
_FUNCTION = {"name": "shell", "description": "Runs a command.", "parameters": _SCHEMA}

FORMS: tuple[Form, ...] = (
    Form(
        "Claude Code",
        Api.MESSAGES,
        "/v1/messages?beta=true",
        {
            "max_tokens": 2048,
            "system": [{"type": "text", "text": _SAY, "cache_control": {"type": "ephemeral"}}],
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": _SAY}]},
                {"role": "system", "content": "This is a test."},
            ],
            "tools": [{"name": "Bash", "description": "Runs a command.", "input_schema": _SCHEMA}],
            "thinking": {"type": "adaptive"},
            "output_config": {"effort": "low"},
            "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
            "metadata": {"user_id": "doctor-" + "0" * 143},
            "stream": True,
        },
        {
            "user-agent": "claude-cli/2.1.332 (external, cli)",
            "anthropic-version": "2023-06-01",
            "anthropic-beta": "claude-code-20250219,context-management-2025-06-27,effort-2025-11-24",
        },
    ),
    Form(
        "Codex",
        Api.RESPONSES,
        "/v1/responses",
        {
            "instructions": _SAY,
            "input": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": _SAY}]}],
            "tools": [
                {"type": "function", "strict": False, **_FUNCTION},
                {"type": "custom", "name": "apply_patch", "description": "Edits files."},
                {"type": "web_search"},
            ],
            "tool_choice": "auto",
            "reasoning": {"effort": "low", "summary": "auto"},
            "include": ["reasoning.encrypted_content"],
            "prompt_cache_key": "doctor",
            "text": {"verbosity": "low"},
            "store": False,
            "stream": True,
        },
        {"user-agent": "codex_cli_rs/0.171.0", "originator": "codex_cli_rs"},
    ),
    Form(
        "Gemini CLI",
        Api.GENERATE_CONTENT,
        "/v1beta/models/{}:generateContent",
        {
            "contents": [{"role": "user", "parts": [{"text": _SAY}]}],
            "systemInstruction": {"parts": [{"text": _SAY}]},
            "tools": [
                {
                    "functionDeclarations": [
                        {"name": "shell", "description": "x", "parametersJsonSchema": _SCHEMA}
                    ]
                }
            ],
            "generationConfig": {
                "temperature": 1,
                "topP": 0.95,
                "topK": 64,
                "thinkingConfig": {"includeThoughts": True, "thinkingBudget": 512},
            },
        },
        {"user-agent": "GeminiCLI/0.61.0"},
    ),
    Form(
        "opencode",
        Api.CHAT,
        "/v1/chat/completions",
        {
            "messages": [{"role": "system", "content": _SAY}, {"role": "user", "content": _SAY}],
            "max_tokens": 2048,
            "reasoning_effort": "low",
            "tools": [{"type": "function", "function": _FUNCTION}],
            "tool_choice": "auto",
        },
        {"user-agent": "opencode/1.18.33"},
    ),
)


@dataclass(slots=True)
class _Trial:
    """What has been tried of one form; `waited`: LiteLLM asked no backend for some seconds in between."""

    form: Form
    probe: Probe
    tried: tuple[Remedy, ...] = ()
    waited: bool = False
    result: ProbeResult | None = None


def cost(model: str) -> str:
    """Say what asking costs, for before it is done."""
    agents = ", ".join(form.agent for form in FORMS)
    return (
        f"LiteLLM for {model} in the form of {agents}: some hundred tokens each, "
        f"{RETRIES_MAX + 1} attempts at most; its provider bills what it answers"
    )


def ask(
    settings: Settings,
    model: str,
    send: Callable[[Mapping[str, Probe]], Mapping[str, ProbeResult]],
    sleep: Callable[[float], None] = time.sleep,
) -> list[Finding]:
    """Send LiteLLM's `model` each agent's form as a replay would go, with the remedies that it would get.

    `send` sends named probes, all at once. After a 404 LiteLLM asks no backend for some seconds, which are
    waited for once: a replay does not.
    """
    if settings.base_url is None:
        return [not_checked(CHECK, "LiteLLM was not asked", "`base-url` and `api-key`")]
    trials = {form.agent: _Trial(form, _probe(settings, form, model)) for form in FORMS}
    waiting = dict(trials)
    for _ in range(RETRIES_MAX + 1):
        for agent, result in send({agent: trial.probe for agent, trial in waiting.items()}).items():
            waiting[agent].result = result
        cooling = {agent: trial for agent, trial in waiting.items() if _cooldown(trial) and not trial.waited}
        waiting = cooling | {agent: trial for agent, trial in waiting.items() if _try_another(trial)}
        if not waiting:
            break
        if cooling:
            sleep(max(map(_cooldown, cooling.values())) + 1)
            for trial in waiting.values():
                trial.waited = True
    return [_finding(trial, model) for trial in trials.values()]


def _probe(settings: Settings, form: Form, model: str) -> Probe:
    assert settings.base_url is not None
    named = {} if "{}" in form.path else {"model": model}
    body = replay_body.prepare(
        json.dumps(named | form.body).encode(), form.api, drop_params=settings.fallback.drop_params
    )
    fields = (*bearer(litellm_key(settings)), ("Content-Type", "application/json"), *form.headers.items())
    return Probe(settings.base_url, form.path.format(model), "POST", fields, body, WITHIN)


def _try_another(trial: _Trial) -> bool:
    """Whether there is a change to try after a refusal; makes it."""
    result = trial.result
    if result is None or not _is_refusal(result) or len(trial.tried) >= RETRIES_MAX:
        return False
    for remedy in remedies(result.status, _error_event(result) or result.body):
        if remedy in trial.tried or remedy.action is Action.REDUCE_HISTORY:
            continue
        changed = apply(trial.probe.body, trial.form.api, remedy)
        if changed is not trial.probe.body:
            trial.probe = replace(trial.probe, body=changed)
            trial.tried = (*trial.tried, remedy)
            return True
    return False


def _cooldown(trial: _Trial) -> float:
    """For how many seconds LiteLLM says that it asks no backend, at most a minute; 0: it does not."""
    return min(seconds_of_cooldown(trial.result.body) or 0, 60) if trial.result is not None else 0


def _is_refusal(result: ProbeResult) -> bool:
    is_error = result.status >= 300 or result.member("error") is not None or bool(_error_event(result))
    return result.failure is None and is_error


def _error_event(result: ProbeResult) -> bytes:
    """The data of the error event with which a stream begins or ends, b"" if it has none."""
    if result.status != 200 or result.json is not None:
        return b""
    for event in sse.EventReader().feed(result.body + b"\n\n"):
        said = members(decode(event.data))
        if said.get("error") or said.get("type") in ("error", "response.failed"):
            return event.data.encode()
    return b""


def _finding(trial: _Trial, model: str) -> Finding:
    agent, result = trial.form.agent, trial.result
    assert result is not None
    if result.failure is not None:
        symptom = f"{agent}: no response for {model}: {result.detail or result.failure}"
        return error(CHECK, symptom, "see what is said of LiteLLM above, and its log")
    if _cooldown(trial):
        symptom = f"{agent}: LiteLLM asks no backend of {model} at the moment"
        return not_checked(CHECK, symptom, "the same again in a minute")
    if _is_refusal(result):
        after = f" after {counted(len(trial.tried), 'change')}" if trial.tried else ""
        symptom = f"{agent}: {model} refuses its requests{after}: {result.status} {result.error}".rstrip()
        return error(CHECK, symptom, "another model in `model-mappings`, or `fallback.except`")
    if trial.tried:
        symptom = f"{agent}: {model} takes its requests after {counted(len(trial.tried), 'more attempt')}: "
        first = "; a session's first replay fails: LiteLLM asks no backend for some seconds after its refusal"
        symptom += _listed(map(str, trial.tried)) + (first if trial.waited else "")
        return warning(CHECK, symptom, _settings(trial.tried))
    return ok(CHECK, f"{agent}: {model} takes its requests at once")


def _settings(tried: Iterable[Remedy]) -> str:
    lines = _listed(f"`{remedy.setting}`" for remedy in tried if remedy.setting)
    return (
        f"in LiteLLM's configuration: {lines}" if lines else "nothing: replays are changed so by themselves"
    )


def _listed(texts: Iterator[str] | Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(texts))
