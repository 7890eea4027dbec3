"""What the log says about fallbacks. Users of the fork grep for some of these lines."""

import difflib
from logging import ERROR, INFO, WARNING

from litellm_hybrid.config.settings import Settings
from litellm_hybrid.errors import Failure
from litellm_hybrid.fallback.response_hold import JudgedResponse
from litellm_hybrid.fallback.state import UNKNOWN_FOR
from litellm_hybrid.flow.exchange import Exchange
from litellm_hybrid.quota.classifier import Verdict

_WORDS = 500
"""How much of LiteLLM's response a line may quote, in bytes."""


def fell_back(exchange: Exchange, status: int, verdict: Verdict) -> None:
    """A failed response is being replaced; the fork's line, with the rule that decided behind it."""
    exchange.log(
        WARNING,
        f"litellm fallback: OAuth failed for {exchange.model_name} (status {status}), retrying with LiteLLM",
        event="fallback",
        kind=verdict.kind,
        rule=verdict.reason,
        retry_after=verdict.retry_after,
        upstream_message=verdict.message or None,
        first_failure=exchange.first_failure,
    )


def no_response(exchange: Exchange, what: str, failure: Failure | None, kind: str | None = None) -> None:
    """Upstream gave no response: `what` says why, `failure` more of it."""
    message = f"litellm fallback: upstream {what} for {exchange.model_name}, retrying with LiteLLM"
    error = failure.detail if failure is not None else None
    exchange.log(WARNING, message, event="fallback", kind=kind, error=error)


def litellm_failed(exchange: Exchange, why: str) -> None:
    """LiteLLM could not serve a model that is listed; upstream is asked."""
    message = f"litellm: LiteLLM cannot serve {exchange.model_name} ({why}), asking upstream"
    exchange.log(WARNING, message, event="litellm-failed")


def upstream_failed(exchange: Exchange, why: str) -> None:
    """Upstream could not be reached for it either."""
    message = (
        f"litellm: nor can upstream serve {exchange.model_name} ({why}): the client gets LiteLLM's answer"
    )
    exchange.log(ERROR, message, event="fallback-failed")


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


def login_expired(exchange: Exchange) -> None:
    """The provider has refused upstream's sign-in: somebody has to act."""
    message = f"litellm: upstream's login for {exchange.model_name} is gone; sign in again at CLIProxyAPI"
    exchange.log(ERROR, message, event="upstream-login-expired")


def account_refused(exchange: Exchange, verdict: Verdict) -> None:
    """The provider serves upstream's account no longer: somebody has to look."""
    words = verdict.message or "no words"
    message = f"litellm: upstream's account for {exchange.model_name} is refused ({words})"
    exchange.log(ERROR, message, event="account-refused")


def unknown_model(exchange: Exchange, name: str, settings: Settings) -> None:
    """LiteLLM does not know a model under this name."""
    known = [*settings.models.entries, *settings.mappings.values()]
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    hint = f"; near misses: {', '.join(near)}" if near else ""
    message = f"litellm: LiteLLM does not know the model {name!r}, no fallback to it for {UNKNOWN_FOR:.0f} s "
    message += f"or until a reload{hint}; model-mappings gives it another name"
    exchange.log(WARNING, message, event="unknown-model")


def hold_limit_reached(exchange: Exchange, length: int) -> None:
    """A response was held for as long, or as much of it, as may be."""
    message = f"litellm: an answer was passed through unclassified after {length} bytes"
    exchange.log(INFO, message, event="hold-limit-reached")


def hold_capacity_reached(exchange: Exchange, most: int) -> None:
    """So many responses are held already that this one goes to the client as it comes."""
    message = f"litellm: an answer was not held, {most} are being held already"
    exchange.log(WARNING, message, event="hold-capacity-reached")


def came_back(exchange: Exchange, model: str) -> None:
    """LiteLLM has sent a request here that it had got from here."""
    message = f"litellm: a request for {model} comes back from LiteLLM: give it another api_base there"
    exchange.log(ERROR, message, event="loop")


def stateful(exchange: Exchange) -> None:
    """A client continues stored responses, which only the server that stored them has."""
    message = "litellm: a request that relies on what one server has stored (previous_response_id, "
    message += "conversation, files, containers) never falls back"
    exchange.log(WARNING, message, event="stateful")
