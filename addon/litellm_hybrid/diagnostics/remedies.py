"""What to change so that a request would go to LiteLLM after all: at once, or by a fallback.

Each change of a route is tried on the settings, or on the request, and the route is decided anew, until it
says LiteLLM: a fix that is named here is complete.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from litellm_hybrid.config.settings import Address, Patterns, Settings, bare
from litellm_hybrid.diagnostics.reasons import REASONS
from litellm_hybrid.fallback import response_hold
from litellm_hybrid.fallback.response_hold import JudgedResponse
from litellm_hybrid.message.decoders import UndecodableError, decode
from litellm_hybrid.proxy.held_response import HoldDecision
from litellm_hybrid.quota import classifier
from litellm_hybrid.quota.classifier import Verdict
from litellm_hybrid.routing import access, paths
from litellm_hybrid.routing.paths import Exposure
from litellm_hybrid.routing.rules import Reason, Request, Routed, Target, route

EXAMPLE_BASE_URL = Address("http", "127.0.0.1", 4000)
WHOLE_CONVERSATION = "have the client send the whole conversation (`store: false`): then it may fall back"
_ASK_NO_MODEL = frozenset({"GET", "HEAD", "OPTIONS"})


def for_route(settings: Settings, request: Request) -> str:
    """Say all that has to change so that this request goes to LiteLLM at once; "" if it does."""
    said: list[str] = []
    while (routed := route(settings, request)).route.target is not Target.LITELLM:
        if last := _last_word(settings, request, routed):
            return "; ".join((*said, last))
        text, settings, request = _change(settings, request, routed)
        said.append(text)
    if routed.refusal is not None:
        said.append(for_access(settings))
    return "; ".join(said)


def for_access(settings: Settings) -> str:
    """Say how a client that is refused may spend the key."""
    where = "or come from this machine, with a loopback Host and without Origin"
    if settings.client_keys:
        known = "send one of the keys in `client-api-keys`"
        return f"{known}, {where}" if settings.local_without_key else known
    return f"set `client-api-keys` and send one of them, {where}"


def _last_word(settings: Settings, request: Request, routed: Routed) -> str:
    """Say what there is to do about a request of which nothing further can be said; "" if it can."""
    said = ""
    match routed.route.reason:
        case Reason.REFUSED:
            by_key = paths.exposure(request.method, request.sent.path) is Exposure.CLIENTS
            said = for_access(settings) if by_key else REASONS[Reason.REFUSED].fix
        case Reason.NOT_POST if request.method in _ASK_NO_MODEL:
            said = f"nothing to do: a {request.method} asks no model, and a list of models is upstream's"
        case Reason.UNREADABLE_BODY:
            problem = routed.named.problem if routed.named else ""
            said = f"send a body that can be read, JSON or a form ({problem})"
        case Reason.NO_MODEL:
            said = REASONS[Reason.NO_MODEL].fix
        case Reason.WEBSOCKET if routed.downgrade:
            said = "nothing to do: answered with 426, Codex sends the same as a POST, which is routed"
        case Reason.WEBSOCKET:
            helps = route(replace(settings, websocket="downgrade"), request).downgrade
            more = "; `websocket: downgrade` makes Codex do so" if helps else ""
            said = f"use HTTP: a websocket is never routed{more}"
        case Reason.NEVER_REROUTE if routed.named is not None:
            said = "send no `agent`: it lives on upstream's account, and only `model` can be routed"
        case Reason.NEVER_REROUTE if request.own_via:
            said = "break the loop: LiteLLM sends what it gets back to this proxy; give it another api_base"
        case Reason.NEVER_REROUTE:
            said = "nothing helps: only upstream can serve this path"
    return said


def _change(settings: Settings, request: Request, routed: Routed) -> tuple[str, Settings, Request]:
    """Return the next change, in words, and the settings and the request that it leaves."""
    if routed.route.reason is Reason.NOT_POST:
        text = f"send it as POST: LiteLLM gets nothing else, and this is {request.method}"
        return text, settings, replace(request, method="POST")
    if not settings.enabled:
        return "set `enabled: true`", replace(settings, enabled=True), request
    model = routed.route.model
    if settings.base_url is None or model is None:
        return REASONS[Reason.NO_BASE_URL].fix, replace(settings, base_url=EXAMPLE_BASE_URL), request
    listed = Patterns((*settings.models.entries, bare(model)))
    text = f'add "{bare(model)}" to `models`, or set `passthrough-mode: true`'
    return text, replace(settings, models=listed), request


# -- by a fallback ------------------------------------------------------------


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
) -> list[Obstacle]:
    """Find what keeps this response from being replayed; empty if nothing does."""
    kind = verdict(response, now=now).kind
    if kind == "none":
        return [Obstacle("the response is no reason to fall back")]
    if not response_hold.needs_inspection(response.head):
        return [Obstacle("a response of this status and type is never held back: the client has it")]
    if not _is_decided_in_time(response, now):
        most = response_hold.OPENING_MOST if response.head.is_stream else response_hold.MOST
        return [Obstacle(f"it is too long to be held back until it is clear (more than {most} bytes)")]
    decided = route(_switched_on(settings), request).route
    if decided.target is Target.LITELLM:
        return [Obstacle("the request goes to LiteLLM at once, upstream never answers it")]
    if decided.model is None or decided.litellm_model is None:
        return [Obstacle(f"such a request never falls back: {decided.reason}")]
    found = outside(settings, decided.model)
    if kind not in settings.fallback.on:
        found.append(
            Obstacle(f"`fallback.on` does not include the kind {kind}", f"add {kind} to `fallback.on`")
        )
    return found


def outside(settings: Settings, model: str) -> list[Obstacle]:
    """Find what keeps every response about this model from being replayed; empty if nothing does."""
    fallback, found = settings.fallback, []
    if not fallback.enabled:
        found.append(Obstacle("fallback is off", "set `fallback.enabled: true`"))
        if settings.base_url is None:
            found.append(Obstacle("there is no base-url", REASONS[Reason.NO_BASE_URL].fix))
        if settings.api_key is None and not settings.no_auth:
            fix = "set `api-key` (`none` for a LiteLLM without keys)"
            found.append(Obstacle("there is no api-key", fix))
    if (entry := fallback.excluded.match(model)) is not None:
        why = f"`fallback.except` excludes the model ({entry})"
        found.append(Obstacle(why, f"take {entry} out of `fallback.except`"))
    if fallback.models.match(model) is None:
        why = "`fallback.models` does not include the model"
        found.append(Obstacle(why, f'add "{bare(model)}" to `fallback.models`'))
    return found


def for_replay(settings: Settings, request: Request, found: Sequence[Obstacle]) -> str:
    """Say all that has to change so that the response is replayed; "" if nothing helps, or has to."""
    fixes = [obstacle.fix for obstacle in found]
    if not all(fixes):
        return ""
    if access.check(_switched_on(settings), request.client) is not None:
        fixes.append(for_access(settings))
    return "; ".join(fixes)


def _is_decided_in_time(response: UpstreamResponse, now: float) -> bool:
    held = JudgedResponse(
        response.head, since=0.0, hold_max=1.0, fails=lambda verdict: verdict.kind != "none"
    )
    step = held.feed(response.body, now=now, clock=0.0)
    return (held.end(now=now) if step is HoldDecision.HOLD else step) is HoldDecision.REPLACE


def _switched_on(settings: Settings) -> Settings:
    return replace(
        settings,
        base_url=settings.base_url or EXAMPLE_BASE_URL,
        no_auth=settings.no_auth or settings.api_key is None,
        fallback=replace(settings.fallback, enabled=True),
    )
