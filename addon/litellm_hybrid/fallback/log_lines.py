"""What the log says about fallbacks. Users of the fork grep for some of these lines."""

import difflib
import logging

from litellm_hybrid.config.settings import Settings
from litellm_hybrid.fallback import cooldowns as memory
from litellm_hybrid.fallback.response_hold import JudgedResponse
from litellm_hybrid.flow import exchange
from litellm_hybrid.flow.exchange import Record
from litellm_hybrid.observability.logging import logger as log
from litellm_hybrid.quota.classifier import Verdict

_WORDS = 500
"""How much of LiteLLM's answer a line may quote, in bytes."""


def fell_back(record: Record, status: int, verdict: Verdict) -> None:
    """A failed answer is being replaced; the fork's line, with the rule that decided behind it."""
    log.emit(
        logging.WARNING,
        f"litellm fallback: OAuth failed for {record['model']} (status {status}), retrying with LiteLLM",
        event="fallback",
        kind=verdict.kind,
        rule=verdict.reason,
        retry_after=verdict.retry_after,
        upstream_message=verdict.message or None,
        **exchange.fields(record),
    )


def unreachable(record: Record) -> None:
    """Upstream gave no answer at all."""
    message = f"litellm fallback: upstream is unreachable for {record['model']}, retrying with LiteLLM"
    log.emit(logging.WARNING, message, event="fallback", **exchange.fields(record))


def failed(record: Record, why: str, status: int, held: JudgedResponse | None) -> None:
    """LiteLLM could not help either: both answers in a line."""
    log.emit(
        logging.ERROR,
        f"litellm fallback failed for {record['model']} ({why}): "
        f"the client gets upstream's answer (status {status})",
        event="fallback-failed",
        litellm_message=bytes(held.body[:_WORDS]).decode(errors="replace") if held is not None else None,
        **exchange.fields(record),
    )


def retry_failed(record: Record, why: str, status: int) -> None:
    """A server that had refused a history did not take it reduced either."""
    message = f"litellm: a reduced history did not help for {record['model']} ({why}): "
    log.emit(
        logging.WARNING,
        f"{message}the client gets {record['target']}'s first answer (status {status})",
        event="history-retry-failed",
        **exchange.fields(record),
    )


def login_gone(record: Record) -> None:
    """The provider has refused upstream's sign-in: somebody has to act."""
    message = f"litellm: upstream's login for {record['model']} is gone; sign in again at CLIProxyAPI"
    log.emit(logging.ERROR, message, event="upstream-login-expired", **exchange.fields(record))


def unknown_model(record: Record, name: str, settings: Settings) -> None:
    """LiteLLM does not know a model under this name."""
    known = [*settings.models.entries, *settings.mappings.values()]
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    hint = f"; near misses: {', '.join(near)}" if near else ""
    log.emit(
        logging.WARNING,
        f"litellm: LiteLLM does not know the model {name!r}, no fallback to it for "
        f"{memory.UNKNOWN_FOR:.0f} s or until a reload{hint}; model-mappings gives it another name",
        event="unknown-model",
        **exchange.fields(record),
    )


def released_at_limit(record: Record, length: int) -> None:
    """An answer was held as long as may be."""
    log.emit(
        logging.INFO,
        f"litellm: an answer was passed through unclassified after {length} bytes",
        event="hold-limit-reached",
        **exchange.fields(record),
    )


def not_held(record: Record, most: int) -> None:
    """So many answers are held already that this one goes to the client as it comes."""
    message = f"litellm: an answer was not held, {most} are being held already"
    log.emit(logging.WARNING, message, event="hold-capacity-reached", **exchange.fields(record))


def stateful(record: Record) -> None:
    """A client continues stored responses, which only the server that stored them has."""
    message = (
        "litellm: requests with previous_response_id never fall back, no other server has what they continue"
    )
    log.emit(logging.WARNING, message, event="stateful", **exchange.fields(record))
