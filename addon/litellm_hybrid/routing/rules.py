"""Settings and a request make a Route: which server gets it, why, under which model name, and whether it may.

The order is the fork's: the explicit list first, passthrough after it, and a
fallback only once upstream has failed. The addon acts on it and
`litellm-hybrid explain` shows it.
"""

from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

from litellm_hybrid.config.settings import Settings, bare, is_glob
from litellm_hybrid.message import credentials, decoders
from litellm_hybrid.message.forwarded import ClientAddress, is_loopback, without_port
from litellm_hybrid.routing import access, paths, requested_model, rewrite
from litellm_hybrid.routing.access import AccessDenied, Client
from litellm_hybrid.routing.requested_model import Named
from litellm_hybrid.routing.rewrite import Incoming


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
    SPILL = "spill"
    # to upstream
    DISABLED = "disabled"
    NO_BASE_URL = "no-base-url"
    LITELLM_FAILED = "litellm-failed"
    NOT_LISTED = "not-listed"
    NOT_POST = "not-post"
    NO_MODEL = "no-model"
    UNREADABLE_BODY = "unreadable-body"
    NEVER_REROUTE = "never-reroute"
    WEBSOCKET = "websocket"
    STATEFUL = "stateful"
    FALLBACK_FAILED = "fallback-failed"
    EXCEPTED = "excepted"
    # answered here
    OWN_PAGE = "own-page"
    REFUSED = "refused"
    ERROR = "error"


IN_UPSTREAMS_PLACE = frozenset(
    {Reason.FALLBACK, Reason.UNREACHABLE, Reason.COOLDOWN, Reason.STICKY, Reason.SPILL}
)
"""Why LiteLLM serves what upstream would have served; the reasons of a replay."""


@dataclass(slots=True)
class Route:
    """A decision.

    Attributes:
        model: the model as the client spelt it, or None.
        litellm_model: the name that LiteLLM would be sent for it, or None.
        may_fall_back: whether an upstream failure of this request may be replayed to LiteLLM.
    """

    target: Target
    reason: Reason
    model: str | None = None
    litellm_model: str | None = None
    may_fall_back: bool = False


@dataclass
class Request:
    """A request to decide on.

    Attributes:
        sent: it without its method.
        address: where it came from, as far as the proxies in front of this one may say.
        host: the client's own Host header, which mitmproxy overwrites in `sent`; "" if there was none.
    """

    method: str
    sent: Incoming
    address: ClientAddress
    host: str

    @property
    def keys(self) -> tuple[str, ...]:
        """The client keys that it presents."""
        return self.client.keys

    @cached_property
    def client(self) -> Client:
        """Who sent it."""
        sent, origins = self.sent, []
        if sent.has(b"origin"):
            origins = [value.decode("latin-1") for name, value in sent.headers if name.lower() == b"origin"]
        cross_site = sent.has(b"sec-fetch-site") and sent.header(b"sec-fetch-site").lower() == "cross-site"
        return Client(
            ip=self.address.ip,
            host=self.host,
            origin=bool(origins) or cross_site,
            keys=credentials.presented(sent.headers, sent.query),
            forwarded=not self.address.is_loopback and is_loopback(self.address.ip),
            foreign=cross_site or not all(map(_is_of_this_machine, origins)),
        )

    def read(self, limit: int = decoders.MAX_DECODED) -> Named:
        """What its path and body say of its model; of a body that is longer, decoded, only that it is."""
        sent = self.sent
        content_type, coding = sent.header(b"content-type"), sent.header(b"content-encoding")
        return requested_model.read(sent.path, content_type, coding, sent.body, limit=limit)

    @property
    def own_via(self) -> bool:
        """Whether it has already been through litellm-hybrid."""
        return self.sent.has(b"via") and rewrite.VIA.decode() in self.sent.header(b"via")


@dataclass(slots=True)
class Routed:
    """What was decided about a request.

    Attributes:
        named: what the body and the path say; None: the head decided, and the body was not read.
        refusal: why the client may not spend the LiteLLM key on it; None: it may, or nothing would spend it.
        downgrade: the websocket is answered with 426, so that the client comes again by HTTP.
    """

    named: Named | None
    route: Route
    refusal: AccessDenied | None = None
    downgrade: bool = False

    @property
    def reason(self) -> Reason:
        """The reason in the route header."""
        return Reason.REFUSED if self.refusal else self.route.reason


def route(settings: Settings, request: Request) -> Routed:
    """Decide where a request goes."""
    return without_body(settings, request) or with_body(settings, request, request.read())


def without_body(settings: Settings, request: Request) -> Routed | None:
    """The decision, where the address, the keys, the path and the other headers make it; else None."""
    sent = request.sent
    if denied := access.check_upstream(settings, request.client, request.method, sent.path):
        return Routed(None, Route(Target.NONE, Reason.REFUSED), refusal=denied)
    decided = by_head(
        settings,
        request.method,
        sent.path,
        websocket=sent.has(b"upgrade") and sent.header(b"upgrade").lower() == "websocket",
        own_via=request.own_via,
    )
    if decided is not None:
        downgrade = (
            decided.reason is Reason.WEBSOCKET
            and settings.websocket == "downgrade"
            and paths.takes_websocket(sent.path)
        )
        return Routed(None, decided, downgrade=downgrade)
    if (
        sent.has(b"content-encoding")
        and decoders.has_several(sent.header(b"content-encoding"))
        and _is_litellms_anyway(settings, sent.path)
        and access.check(settings, request.client) is not None
    ):
        message = "The request's body is in more than one content coding, and is not read."
        denied = AccessDenied(415, message, "unsupported_content_coding")
        return Routed(None, Route(Target.NONE, Reason.REFUSED), refusal=denied)
    return None


def with_body(settings: Settings, request: Request, named: Named) -> Routed:
    """The decision for a request whose head left it open."""
    route, refusal = decide(settings, request.sent.path, named), None
    if named.too_long:
        message = f"The request's body is refused: {named.problem}."
        refusal = AccessDenied(413, message, "request_too_large")
    elif route.target is Target.LITELLM:
        refusal = access.check(settings, request.client)
    return Routed(named, route, refusal)


def _is_litellms_anyway(settings: Settings, path: str) -> bool:
    """Whether a POST to this path goes to LiteLLM whatever model its body names."""
    in_path = paths.model_path(path)
    listed = in_path is not None and bool(in_path.verb) and settings.models.match(in_path.model) is not None
    return settings.routing and (settings.passthrough or listed)


def by_head(settings: Settings, method: str, path: str, *, websocket: bool, own_via: bool) -> Route | None:
    """The decision, where the request's head alone makes it; None: the body has to be read.

    `path` is without its query, provider prefix and all; `own_via`: it has been through here (`Via: …
    litellm-hybrid`).
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
        return Route(Target.LITELLM, Reason.MODEL, model, litellm_model)
    if settings.routing and settings.passthrough:
        return Route(Target.LITELLM, Reason.PASSTHROUGH, model, litellm_model)
    if settings.fallback.enabled and named.seen_stateful:
        return _upstream(Reason.STATEFUL, model)
    takes_it = entry is not None or settings.passthrough
    return Route(
        Target.UPSTREAM,
        Reason.DISABLED if takes_it and not settings.routing else Reason.NOT_LISTED,
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


def _is_of_this_machine(origin: str) -> bool:
    """Whether an Origin is a page's that a server on this machine has served."""
    return is_loopback(without_port(origin.partition("://")[2]))
