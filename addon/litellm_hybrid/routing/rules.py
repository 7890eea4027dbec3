"""Settings and a request make a Route: which server gets it, why, and under which model name.

The order is the fork's: the explicit list first, passthrough after it, and a
fallback only once upstream has failed.
"""

from dataclasses import dataclass
from enum import StrEnum

from litellm_hybrid.config.model_patterns import bare, is_glob
from litellm_hybrid.config.settings import Settings
from litellm_hybrid.routing import paths
from litellm_hybrid.routing.requested_model import Named


class Target(StrEnum):
    """Which server a request is for."""

    LITELLM = "litellm"
    UPSTREAM = "upstream"
    NONE = "none"


class Reason(StrEnum):
    """Why a request went where it went: one closed list for header, log, metric and `explain`."""

    # to LiteLLM
    MODEL = "model"
    PASSTHROUGH = "passthrough"
    FALLBACK = "fallback"
    UNREACHABLE = "unreachable"
    COOLDOWN = "cooldown"
    STICKY = "sticky"
    # to upstream
    DISABLED = "disabled"
    NO_BASE_URL = "no-base-url"
    NOT_LISTED = "not-listed"
    NOT_POST = "not-post"
    NO_MODEL = "no-model"
    UNREADABLE_BODY = "unreadable-body"
    NEVER_REROUTE = "never-reroute"
    WEBSOCKET = "websocket"
    STATEFUL = "stateful"
    FALLBACK_FAILED = "fallback-failed"
    # answered here
    OWN_PAGE = "own-page"
    REFUSED = "refused"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Route:
    """A decision.

    Attributes:
        model: the model as the client spelt it, or None.
        litellm_model: the name that LiteLLM would be sent for it, or None.
        entry: the entry of `models` that matched, or None.
        may_fall_back: whether an upstream failure of this request may be replayed to LiteLLM.
    """

    target: Target
    reason: Reason
    model: str | None = None
    litellm_model: str | None = None
    entry: str | None = None
    may_fall_back: bool = False


def by_head(settings: Settings, method: str, path: str, *, websocket: bool, own_via: bool) -> Route | None:
    """The decision, where the request's head alone makes it; None: the body has to be read.

    Args:
        settings: those in force.
        method: as sent.
        path: without its query, provider prefix and all.
        websocket: whether the request asks for an upgrade to websocket.
        own_via: whether it has already been through here (`Via: … litellm-hybrid`).
    """
    if not settings.active:
        return _upstream(Reason.NO_BASE_URL if settings.enabled else Reason.DISABLED)
    if websocket:
        return _upstream(Reason.WEBSOCKET)
    if own_via:
        return _upstream(Reason.NEVER_REROUTE)
    if method != "POST":
        return _upstream(Reason.NOT_POST)
    return None if paths.is_model_endpoint(path) else _upstream(Reason.NEVER_REROUTE)


def decide(  # noqa: PLR0911 (one return a reason)
    settings: Settings, path: str, named: Named
) -> Route:
    """The decision for a request whose head left it open (see `by_head`)."""
    if named.content is None:
        return _upstream(Reason.UNREADABLE_BODY)
    if named.agent and paths.is_interactions(path):
        return _upstream(Reason.NEVER_REROUTE, named.model)
    if named.model is None:
        return _upstream(Reason.NO_MODEL)
    model = named.model
    entry = settings.models.match(model)
    litellm_model = name_for_litellm(settings, model, entry)
    if settings.routing and entry is not None:
        return Route(Target.LITELLM, Reason.MODEL, model, litellm_model, entry)
    if settings.routing and settings.passthrough:
        return Route(Target.LITELLM, Reason.PASSTHROUGH, model, litellm_model)
    if settings.fallback.enabled and named.stateful:
        return _upstream(Reason.STATEFUL, model)
    return Route(
        Target.UPSTREAM,
        Reason.NOT_LISTED if settings.routing else Reason.DISABLED,
        model,
        litellm_model,
        may_fall_back=settings.fallback.enabled and settings.fallback.covers(model),
    )


def name_for_litellm(settings: Settings, model: str, entry: str | None) -> str:
    """How LiteLLM spells a requested model; its names are case-sensitive."""
    mapped = settings.mapped(model)
    if mapped is not None:
        return mapped
    if entry is not None and not is_glob(entry):
        return entry
    return bare(model)


def _upstream(reason: Reason, model: str | None = None) -> Route:
    return Route(Target.UPSTREAM, reason, model)
