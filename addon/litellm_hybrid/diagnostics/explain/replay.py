"""What upstream's response means: the rule that decides, and what keeps it from being replayed to LiteLLM."""

from dataclasses import dataclass, replace
from typing import NamedTuple

from litellm_hybrid.config.model_patterns import bare
from litellm_hybrid.config.settings import Settings
from litellm_hybrid.diagnostics.explain import remedies
from litellm_hybrid.diagnostics.explain.reasons import REASONS
from litellm_hybrid.fallback import response_hold
from litellm_hybrid.fallback.response_hold import JudgedResponse
from litellm_hybrid.message.decoders import UndecodableError, decode
from litellm_hybrid.proxy.held_response import HoldDecision
from litellm_hybrid.quota import classifier
from litellm_hybrid.quota.classifier import Verdict
from litellm_hybrid.routing import access
from litellm_hybrid.routing.rules import Reason, Request, Target, route


@dataclass(frozen=True, slots=True)
class UpstreamResponse:
    """A complete response of upstream's.

    Attributes:
        body: raw, its content coding still on it.
    """

    head: response_hold.ResponseHead
    body: bytes = b""


class Obstacle(NamedTuple):
    """One thing that keeps a response from being replayed.

    Attributes:
        fix: what to change; "": nothing helps.
    """

    why: str
    fix: str = ""


def verdict(response: UpstreamResponse, *, now: float) -> Verdict:
    """Classify a response; `now` in epoch seconds."""
    headers = response.head.headers
    try:
        body = decode(response.body, headers.get("content-encoding", ""))
    except UndecodableError:
        return classifier.classify_unread(response.head.status, headers, now=now)
    return classifier.classify(response.head.status, headers, body, now=now)


def obstacles(
    settings: Settings, request: Request, response: UpstreamResponse, *, now: float
) -> tuple[Obstacle, ...]:
    """Find what keeps this response from being replayed; empty if nothing does."""
    kind = verdict(response, now=now).kind
    if kind == "none":
        return (Obstacle("the response is no reason to fall back"),)
    if not response_hold.needs_inspection(response.head):
        why = "a response of this status and type is never held back, so it is at the client already"
        return (Obstacle(why),)
    if not _is_decided_in_time(response, now):
        most = response_hold.OPENING_MOST if response.head.is_stream else response_hold.MOST
        why = f"it is too long to be held back until it is clear (more than {most} bytes)"
        return (Obstacle(why),)
    found, settings = _off(settings), _switched_on(settings)
    decided = route(settings, request).route
    if decided.target is Target.LITELLM:
        return (Obstacle("the request goes to LiteLLM at once, upstream never answers it"),)
    if decided.model is None or decided.litellm_model is None:
        return (Obstacle(f"such a request never falls back: {decided.reason}"),)
    found += _not_covered(settings, decided.model)
    if kind not in settings.fallback.on:
        why = f"`fallback.on` does not include the kind {kind}"
        found.append(Obstacle(why, f"add {kind} to `fallback.on`"))
    return tuple(found)


def outside(settings: Settings, model: str) -> tuple[Obstacle, ...]:
    """Find what keeps every response about this model from being replayed; empty if nothing does."""
    return (*_off(settings), *_not_covered(settings, model))


def fix(settings: Settings, request: Request, found: tuple[Obstacle, ...]) -> str:
    """Say all that has to change so that the response is replayed; "" if nothing helps, or has to."""
    fixes = [obstacle.fix for obstacle in found]
    if not all(fixes):
        return ""
    if access.check(_switched_on(settings), request.client) is not None:
        fixes.append(remedies.for_access(settings))
    return "; ".join(fixes)


def _is_decided_in_time(response: UpstreamResponse, now: float) -> bool:
    held = JudgedResponse(
        response.head, since=0.0, hold_max=1.0, fails=lambda verdict: verdict.kind != "none"
    )
    step = held.feed(response.body, now=now, clock=0.0)
    return (held.end(now=now) if step is HoldDecision.HOLD else step) is HoldDecision.REPLACE


def _off(settings: Settings) -> list[Obstacle]:
    if settings.fallback.enabled:
        return []
    found = [Obstacle("fallback is off", "set `fallback.enabled: true`")]
    if settings.base_url is None:
        found.append(Obstacle("there is no base-url", REASONS[Reason.NO_BASE_URL].fix))
    if settings.api_key is None and not settings.no_auth:
        found.append(Obstacle("there is no api-key", "set `api-key` (`none` for a LiteLLM without keys)"))
    return found


def _switched_on(settings: Settings) -> Settings:
    return replace(
        settings,
        base_url=settings.base_url or remedies.EXAMPLE_BASE_URL,
        no_auth=settings.no_auth or settings.api_key is None,
        fallback=replace(settings.fallback, enabled=True),
    )


def _not_covered(settings: Settings, model: str) -> list[Obstacle]:
    fallback, found = settings.fallback, []
    if (entry := fallback.excluded.match(model)) is not None:
        why = f"`fallback.except` excludes the model ({entry})"
        found.append(Obstacle(why, f"take {entry} out of `fallback.except`"))
    if fallback.models.match(model) is None:
        why = "`fallback.models` does not include the model"
        found.append(Obstacle(why, f'add "{bare(model)}" to `fallback.models`'))
    return found
