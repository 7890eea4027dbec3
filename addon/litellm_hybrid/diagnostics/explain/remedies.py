"""What to change so that a request would go to LiteLLM after all.

Each change is tried on the settings, or on the request, and the route is decided anew, until it says
LiteLLM: a fix that is named here is complete.
"""

from dataclasses import replace

from litellm_hybrid.config.model_patterns import Patterns, bare
from litellm_hybrid.config.settings import Address, Settings
from litellm_hybrid.diagnostics.explain.reasons import REASONS
from litellm_hybrid.routing import paths
from litellm_hybrid.routing.paths import Exposure
from litellm_hybrid.routing.rules import Reason, Request, Routed, Target, route

EXAMPLE_BASE_URL = Address("http", "127.0.0.1", 4000)
WHOLE_CONVERSATION = "have the client send the whole conversation (`store: false`): then it may fall back"
_ASK_NO_MODEL = frozenset({"GET", "HEAD", "OPTIONS"})

type _Change = tuple[str, Settings | None, Request | None]
"""A change in words, and what it leaves; neither settings nor request: nothing further can be said."""


def for_route(settings: Settings, request: Request) -> str:
    """Say all that has to change so that this request goes to LiteLLM at once; "" if it does."""
    said: list[str] = []
    while (routed := route(settings, request)).route.target is not Target.LITELLM:
        text, changed, sent = _change(settings, request, routed)
        said.append(text)
        if changed is None and sent is None:
            return "; ".join(said)
        settings, request = changed or settings, sent or request
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


def _change(settings: Settings, request: Request, routed: Routed) -> _Change:  # noqa: PLR0911 (one a reason)
    reason, model = routed.route.reason, routed.route.model
    match reason:
        case Reason.REFUSED:
            by_key = paths.exposure(request.method, request.sent.path) is Exposure.CLIENTS
            return for_access(settings) if by_key else REASONS[reason].fix, None, None
        case Reason.NOT_POST if request.method in _ASK_NO_MODEL:
            text = f"nothing to do: a {request.method} asks no model, and a list of models is upstream's"
            return text, None, None
        case Reason.NOT_POST:
            text = f"send it as POST: LiteLLM gets nothing else, and this is {request.method}"
            return text, None, replace(request, method="POST")
        case Reason.UNREADABLE_BODY:
            problem = routed.named.problem if routed.named else ""
            return f"send a body that can be read, JSON or a form ({problem})", None, None
        case Reason.NEVER_REROUTE | Reason.WEBSOCKET:
            return _cannot(settings, request, routed), None, None
        case Reason.NO_MODEL:
            return REASONS[reason].fix, None, None
    if not settings.enabled:
        return "set `enabled: true`", replace(settings, enabled=True), None
    if settings.base_url is None or model is None:
        return REASONS[Reason.NO_BASE_URL].fix, replace(settings, base_url=EXAMPLE_BASE_URL), None
    listed = Patterns((*settings.models.entries, bare(model)))
    text = f'add "{bare(model)}" to `models`, or set `passthrough-mode: true`'
    return text, replace(settings, models=listed), None


def _cannot(settings: Settings, request: Request, routed: Routed) -> str:
    """Say what there is to do about a request that can never be routed as it is."""
    if routed.route.reason is Reason.WEBSOCKET:
        if routed.downgrade:
            return "nothing to do: answered with 426, Codex sends the same as a POST, which is routed"
        helps = route(replace(settings, websocket="downgrade"), request).downgrade
        more = "; `websocket: downgrade` makes Codex do so" if helps else ""
        return f"use HTTP: a websocket is never routed{more}"
    if routed.named is not None:
        return "send no `agent`: it lives on upstream's account, and only `model` can be routed"
    if request.own_via:
        return "break the loop: LiteLLM sends what it gets back to this proxy; give it another api_base"
    return "nothing helps: only upstream can serve this path"
