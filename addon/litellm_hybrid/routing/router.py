"""Decide on a request: each step in its order, with what it said on the way.

The addon acts on it and `litellm-hybrid explain` shows it.
"""

from dataclasses import dataclass, replace
from functools import cached_property

from litellm_hybrid.config.settings import Settings
from litellm_hybrid.message import credentials
from litellm_hybrid.message.forwarded import ClientAddress, is_loopback
from litellm_hybrid.routing import access, paths, requested_model, rewrite, rules
from litellm_hybrid.routing.access import AccessDenied, Client
from litellm_hybrid.routing.requested_model import Named
from litellm_hybrid.routing.rewrite import Incoming
from litellm_hybrid.routing.rules import Reason, Route, Target


@dataclass(frozen=True)
class Request:
    """A request to decide on.

    Attributes:
        method: as the client sent it.
        sent: the rest of it.
        address: where it came from, as far as the proxies in front of this one may say.
        host: the client's own Host header, which mitmproxy overwrites in `sent`; "" if there was none.
    """

    method: str
    sent: Incoming
    address: ClientAddress
    host: str

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """The client keys that it presents."""
        return credentials.presented(self.sent.headers, self.sent.query)

    @cached_property
    def client(self) -> Client:
        """Who sent it."""
        origins = [value.decode("latin-1") for name, value in self.sent.headers if name.lower() == b"origin"]
        cross_site = self.sent.header(b"sec-fetch-site").lower() == "cross-site"
        return Client(
            ip=self.address.ip,
            host=self.host,
            origin=bool(origins) or cross_site,
            keys=self.keys,
            forwarded=not self.address.is_loopback and is_loopback(self.address.ip),
            foreign=cross_site or not all(map(_is_of_this_machine, origins)),
        )

    @property
    def own_via(self) -> bool:
        """Whether it has already been through litellm-hybrid."""
        return rewrite.VIA.decode() in self.sent.header(b"via")


@dataclass(frozen=True, slots=True)
class Routed:
    """What was decided about a request.

    Attributes:
        named: what the body and the path say; None: the head decided, and the body was not read.
        route: as rules.py made it.
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
    sent = request.sent
    if denied := access.check_upstream(settings, request.client, request.method, sent.path):
        return Routed(None, Route(Target.NONE, Reason.REFUSED), refusal=denied)
    by_head = rules.by_head(
        settings,
        request.method,
        sent.path,
        websocket=sent.header(b"upgrade").lower() == "websocket",
        own_via=request.own_via,
    )
    if by_head is not None:
        downgrade = (
            by_head.reason is Reason.WEBSOCKET
            and settings.websocket == "downgrade"
            and paths.takes_websocket(sent.path)
        )
        return Routed(None, by_head, downgrade=downgrade)
    content_type, coding = sent.header(b"content-type"), sent.header(b"content-encoding")
    named = requested_model.read(sent.path, content_type, coding, sent.body)
    routed = Routed(named, rules.decide(settings, sent.path, named))
    if named.too_long:
        message = f"The request's body is refused: {named.problem}."
        return replace(routed, refusal=AccessDenied(413, message, "request_too_large"))
    if routed.route.target is not Target.LITELLM:
        return routed
    return replace(routed, refusal=access.check(settings, request.client))


def _is_of_this_machine(origin: str) -> bool:
    """Whether an Origin is a page's that a server on this machine has served."""
    return is_loopback(access.host_name(origin.partition("://")[2]))
