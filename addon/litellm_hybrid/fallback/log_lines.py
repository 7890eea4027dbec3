"""What the log says about fallbacks. Users of the fork grep for some of these lines."""

import difflib
from collections.abc import Mapping
from logging import ERROR, INFO, WARNING

from litellm_hybrid.config.settings import Settings
from litellm_hybrid.errors import Failure
from litellm_hybrid.fallback.response_hold import JudgedResponse
from litellm_hybrid.fallback.state import UNKNOWN_FOR
from litellm_hybrid.flow.exchange import Exchange
from litellm_hybrid.observability.log_format import Event
from litellm_hybrid.quota.classifier import Verdict

_WORDS = 500
"""How much of LiteLLM's response a line may quote, in bytes."""


KINDS_IN_WORDS = {
    "quota": "usage limit",
    "overload": "overloaded",
    "no-credential": "no account",
    "login": "login expired",
    "account": "account refused",
    "no-answer": "empty response",
    "unknown-model": "unknown model",
    "context-length": "too long",
    "server-error": "server error",
}
"""The kinds of `fallback.on` in two words."""

_LINES: Mapping[Event, tuple[int, str]] = {
    "litellm-failed": (WARNING, "litellm: LiteLLM cannot serve {model} ({why}), asking upstream"),
    "fallback-failed": (
        ERROR,
        "litellm: nor can upstream serve {model} ({why}): the client gets LiteLLM's answer",
    ),
    "upstream-login-expired": (
        ERROR,
        "litellm: upstream's login for {model} is gone; sign in again at CLIProxyAPI",
    ),
    "account-refused": (ERROR, "litellm: upstream's account for {model} is refused ({why})"),
    "hold-limit-reached": (INFO, "litellm: an answer was passed through unclassified after {why} bytes"),
    "hold-capacity-reached": (WARNING, "litellm: an answer was not held, {why} are being held already"),
    "loop": (
        ERROR,
        "litellm: a request for {why} comes back from LiteLLM: give it another api_base there",
    ),
    "stateful": (
        WARNING,
        (
            "litellm: a request that relies on what one server has stored (previous_response_id, "
            "conversation, files, containers) never falls back"
        ),
    ),
}
"""Event → level and message, of those that say nothing else."""


def say(exchange: Exchange, event: Event, why: object = "") -> None:
    """Log one of `_LINES`."""
    level, message = _LINES[event]
    exchange.log(level, message.format(model=exchange.model_name, why=why), event=event)


def fell_back(exchange: Exchange, status: int, verdict: Verdict) -> None:
    """A failed response is being replaced: the fork's line, what the failure was, the rule that decided.

    The rule's own words are names for many; those that upstream has used stand beside them.
    """
    line = (
        f"litellm fallback: OAuth failed for {exchange.model_name} (status {status}), retrying with LiteLLM"
    )
    exchange.log(
        WARNING,
        f"{line}: {verdict.kind} ({KINDS_IN_WORDS.get(verdict.kind, verdict.kind)})",
        event="fallback",
        kind=verdict.kind,
        rule=verdict.rule,
        retry_after=verdict.retry_after,
        upstream_message=verdict.message or None,
        first_failure=exchange.first_failure,
    )


def no_response(exchange: Exchange, what: str, failure: Failure | None, kind: str | None = None) -> None:
    """Upstream gave no response: `what` says why, `failure` more of it."""
    message = f"litellm fallback: upstream {what} for {exchange.model_name}, retrying with LiteLLM"
    error = failure.detail if failure is not None else None
    exchange.log(WARNING, message, event="fallback", kind=kind, error=error)


def remedied(exchange: Exchange, status: int, words: bytes) -> None:
    """LiteLLM, or the backend behind it, has refused a replay, which is sent again with a change."""
    message = f"litellm: a replay for {exchange.model_name} was refused (status {status}), trying again: "
    quoted = words[:_WORDS].decode(errors="replace")
    exchange.log(INFO, message + str(exchange.remedies[-1]), event="replay-retried", litellm_message=quoted)


def failed(exchange: Exchange, why: str, status: int, held: JudgedResponse | None) -> None:
    """LiteLLM could not help either: both responses in a line."""
    message = f"litellm fallback failed for {exchange.model_name} ({why}{_tried(exchange)}): "
    message += f"the client gets upstream's answer (status {status})"
    quoted = bytes(held.body[:_WORDS]).decode(errors="replace") if held is not None else None
    exchange.log(ERROR, message, event="fallback-failed", litellm_message=quoted)


def retry_failed(exchange: Exchange, why: str, status: int) -> None:
    """A server that had refused a request did not take it with a change either, such as less history."""
    what = "another form" if exchange.retries else "a reduced history"
    message = f"litellm: {what} did not help for {exchange.model_name} ({why}{_tried(exchange)}): "
    message += f"the client gets {exchange.outcome.target}'s first answer (status {status})"
    exchange.log(WARNING, message, event="history-retry-failed")


def _tried(exchange: Exchange) -> str:
    return f"; tried: {', '.join(map(str, exchange.remedies))}" if exchange.remedies else ""


def unknown_model(exchange: Exchange, name: str, settings: Settings) -> None:
    """LiteLLM does not know a model under this name."""
    known = [*settings.models.entries, *settings.mappings.values()]
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    hint = f"; near misses: {', '.join(near)}" if near else ""
    message = f"litellm: LiteLLM does not know the model {name!r}, no fallback to it for {UNKNOWN_FOR:.0f} s "
    message += f"or until a reload{hint}; model-mappings gives it another name"
    exchange.log(WARNING, message, event="unknown-model")
