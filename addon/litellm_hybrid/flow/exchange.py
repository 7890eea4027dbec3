"""One exchange: everything that is known of a client's request, from its first byte to its end.

A hook finds it by `Exchange.of(flow)`: it goes with the flow. What other addons, mitmweb and saved flows may
see of it stands in `flow.metadata["litellm_hybrid"]`, see `Snapshot`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from time import monotonic
from typing import Unpack
from urllib.parse import quote

from mitmproxy import http

from litellm_hybrid.config.settings import Secret, Settings
from litellm_hybrid.errors import Failure
from litellm_hybrid.flow.outcome import METADATA, Outcome, ServerAttempt, Snapshot
from litellm_hybrid.flow.response import BodyMask, ResponseTap
from litellm_hybrid.llm.replay.remedies import Remedy
from litellm_hybrid.llm.usage import Usage
from litellm_hybrid.message import forwarded, ids
from litellm_hybrid.message.credentials import Headers, RequestHead
from litellm_hybrid.message.decoders import StreamDecoder, UndecodableError, decode
from litellm_hybrid.message.forwarded import ClientAddress
from litellm_hybrid.observability import log
from litellm_hybrid.observability.counters import RequestCounters
from litellm_hybrid.observability.history import FallbackRecord
from litellm_hybrid.observability.log_format import Fields, OfRequest
from litellm_hybrid.proxy.fast_path import message_like
from litellm_hybrid.routing import paths
from litellm_hybrid.routing.access import Client
from litellm_hybrid.routing.requested_model import Named
from litellm_hybrid.routing.rewrite import Incoming, Outgoing
from litellm_hybrid.routing.rules import Reason, Request, Routed, Target
from litellm_hybrid.terminal import SHORTEST_HIDDEN

_ATTRIBUTE = "litellm_hybrid_exchange"

# LiteLLM's responses name the provider behind it, its address and the price.
_REVEALING = (b"x-litellm-", b"llm_provider-")

_UNQUOTED = "/:@+*()[]!$&'="
"""What may stand in a model's name as it is, beside letters, digits and `_.-~`."""

_BUFFERED_MAX = 1024 * 1024
"""Responses of a known length up to this, in bytes, are passed on whole."""


@dataclass(slots=True, eq=False)
class Exchange:
    """What is known of one request of a client's.

    Attributes:
        id: its X-Request-ID: the client's, or one of ours.
        request: as the client sent it; its body is there from when all of it has come to the end.
        headers: the client's, with the X-Forwarded-For and X-Request-ID that the servers see.
        port: of this proxy, which it has come to; 0 until it is complete.
        model: what the request says of its model; None: it was decided by the head, or not yet.
        complete_at: when all of the request had come, on the monotonic clock; None: it is not timed.
        failure: what went wrong last.
        first_failure: what upstream has suspended an account for, where it says only that it has.
        place: in a budget of several processes, which a replay of it may take.
        decided: whether it has been decided where it goes; not where another addon has answered it.
        counters: where it is one of the requests in flight.
        tap: what is kept of a response that is passed on piece by piece (`streaming`).
        usage: the tokens that its response says it took.
        words: what the server says of its 4xx or 5xx that the client gets.
        served: the client has got the event that ends its response, though somebody hung up before the
            connection's own end.
        unrouted: as upstream would get it, where it may go there if LiteLLM cannot serve it.
        cooldown_key: of the cooldown that it probes or that sent it to LiteLLM.
        is_probe: it finds out whether upstream serves again.
        conversation: what the conversation that it belongs to is known by, None if that cannot be told; ():
            nobody has asked yet.
        history_retried: upstream was asked once more with a reduced history.
        remedies: what was changed of a replay for the backend behind LiteLLM, in order.
        refused_at: when LiteLLM first refused the replay, on the monotonic clock.
        retries: how often the replay was sent again.
        unsure: what of the replay LiteLLM may leave out in silence, see `lost_in_silence`; "": nothing.
        unpaid: which budget is spent, where that keeps it from LiteLLM.
        draft: what LiteLLM would get by these settings, made while upstream works on the request.
        untold: logs the fallback, once the replay is on its way.
        is_away: LiteLLM is asked, and will have served the conversation.
        sent_head: its head as it was sent, for a replay from mitmweb.
        sent_response: the response as its client gets it, where the flow shows less.
        body_mask: masks keys in the response's body.
        comment: what we have written beside its row in mitmweb.
    """

    id: str
    request: Request
    headers: Headers
    trace: ids.Trace | None = None
    port: int = 0
    model: Named | None = None
    outcome: Outcome = field(default_factory=Outcome)
    attempts: list[ServerAttempt] = field(default_factory=list)
    complete_at: float | None = None
    failure: Failure | None = None
    first_failure: str | None = None
    decided: bool = False
    counters: RequestCounters | None = None
    streaming: bool = False
    tap: ResponseTap | None = None
    body_mask: BodyMask | None = None
    usage: Usage | None = None
    cost_usd: float | None = None
    words: str = ""
    served: bool = False
    ended: bool = False
    unrouted: http.Request | None = None
    place: tuple[str, str, bool | None] | None = None
    cooldown_key: tuple[str, str] | None = None
    is_probe: bool = False
    conversation: tuple[str | None, ...] = ()
    history_retried: bool = False
    remedies: list[Remedy] = field(default_factory=list)
    refused_at: float | None = None
    retries: int = 0
    unsure: str = ""
    unpaid: str = ""
    draft: tuple[Settings, Outgoing] | None = None
    untold: Callable[[], None] | None = None
    is_away: bool = False
    fallback: FallbackRecord | None = None
    sent_head: RequestHead | None = None
    sent_response: http.Response | None = None
    comment: str = ""
    _content: bytes | None = None
    _model_name: str | None = None

    @classmethod
    def begin(cls, flow: http.HTTPFlow, host: str = "") -> "Exchange":
        """Make a flow's exchange from what there is of its request, perhaps without its body.

        `host`: the Host header as the client sent it, "" if it sent none: mitmproxy overwrites it.
        """
        peer = flow.client_conn.peername[0] if flow.client_conn.peername else ""
        request = flow.request
        path, _, query = request.path.partition("?")
        sent = Incoming(path, query, request.headers.fields, request.raw_content or b"")
        given, traceparent = sent.header(b"x-request-id"), sent.header(b"traceparent")
        exchange = cls(
            id=ids.choose(given) if given else ids.generate(),
            request=Request(request.method, sent, ClientAddress(peer, forwarded.is_loopback(peer)), host),
            headers=sent.headers,
            trace=ids.parse_traceparent(traceparent) if traceparent else None,
        )
        exchange.attach(flow)
        return exchange

    @staticmethod
    def announce(flow: http.HTTPFlow, host: str) -> None:
        """Say that a flow has come in here, before there is need of its exchange; see `begin`."""
        vars(flow)[_ATTRIBUTE] = host

    @staticmethod
    def of(flow: http.HTTPFlow) -> "Exchange | None":
        """Return a flow's exchange; None: it did not come in here, but from a file for example."""
        found: Exchange | str | None = vars(flow).get(_ATTRIBUTE)
        return Exchange.begin(flow, found) if isinstance(found, str) else found

    def attach(self, flow: http.HTTPFlow) -> None:
        """Make it the one of a flow."""
        # Not in a dict of an addon's: mitmproxy may load its script anew in the middle of a request.
        vars(flow)[_ATTRIBUTE] = self

    def publish(self, flow: http.HTTPFlow) -> None:
        """Let everybody see what was decided about the flow, as it is now."""
        if self.decided:
            flow.metadata[METADATA] = self.snapshot()

    # -- the request ------------------------------------------------------

    def receive(self, flow: http.HTTPFlow, trusted: forwarded.Networks) -> bool:
        """Take a complete request, find out where it comes from, and let the servers see that in its headers.

        `trusted`: whose X-Forwarded-For is believed. Returns whether the client's X-Request-ID was kept,
        if it sent one.
        """
        request, sent = self.request, self.request.sent
        address = request.address
        if forwarded.is_forwarded(sent.headers):
            address = forwarded.find(address.ip, sent.headers, trusted)
            self.request = Request(request.method, sent, address, request.host)
        headers, is_kept = flow.request.headers, True
        if sent.has(b"x-request-id"):
            is_kept = headers["X-Request-ID"] == self.id
            headers["X-Request-ID"] = self.id
            fields = headers.fields
        else:  # at an eighth of the cost
            fields = (*headers.fields, (b"X-Request-ID", self.id.encode()))
        self.headers = headers.fields = forwarded.put(fields, address.ip)
        return is_kept

    @property
    def method(self) -> str:
        """The client's."""
        return self.request.method

    @property
    def path(self) -> str:
        """The client's, without its query."""
        return self.request.sent.path

    @property
    def client(self) -> Client:
        """Who sent it, and the keys that it presents."""
        return self.request.client

    @property
    def client_ip(self) -> str:
        """The address that it came from; behind trusted proxies, their client's."""
        return self.request.address.ip

    @property
    def model_name(self) -> str | None:
        """The model as the client spells it; None: it names none, or that was not looked for."""
        model = self.model
        return model.model if model is not None else self._model_name

    @property
    def wants_stream(self) -> bool:
        """Whether the client asks for its response piece by piece; a whole one begins only at its end."""
        members = self.model.members if self.model is not None else None
        is_asked_for = members is not None and members.decode("stream") is True
        return is_asked_for or ":stream" in self.path  # Gemini's `:streamGenerateContent`

    @property
    def content(self) -> bytes:
        """The body without its content coding; b"" if it cannot be read. It is decoded once."""
        if self.model is not None:
            return self.model.content or b""
        if self._content is None:
            sent = self.request.sent
            try:
                self._content = decode(sent.body, sent.header(b"content-encoding"))
            except UndecodableError:
                self._content = b""
        return self._content

    @property
    def forwarded(self) -> Incoming:
        """The client's request, with the headers that the servers see."""
        sent = self.request.sent
        return Incoming(sent.path, sent.query, self.headers, sent.body)

    # -- where it goes ----------------------------------------------------

    def decide(self, routed: Routed) -> None:
        """Take over what was decided about it."""
        self.decided = True
        self.model = routed.named
        route, outcome = routed.route, self.outcome
        outcome.target, outcome.reason = route.target, routed.reason
        outcome.litellm_model, outcome.may_fall_back = route.litellm_model, route.may_fall_back

    def set_outcome(
        self,
        target: Target,
        reason: Reason,
        *,
        upstream_status: int | None = None,
        litellm_status: int | None = None,
        fallback_failed: str = "",
    ) -> None:
        """Write down where it goes after all, and why."""
        outcome = self.outcome
        outcome.target, outcome.reason = target, reason
        outcome.upstream_status, outcome.litellm_status = upstream_status, litellm_status
        outcome.fallback_failed = fallback_failed

    def begin_attempt(self, request: http.Request) -> None:
        """A request is handed over to be sent to the target; what was there before is over."""
        self._end_attempt()
        self.attempts.append(ServerAttempt(self.outcome.target, request, monotonic()))

    def _end_attempt(self) -> None:
        if self.attempts and self.attempts[-1].until is None:
            self.attempts[-1].until = monotonic()

    def time_at(self, target: Target) -> float | None:
        """Return how long, in milliseconds, a server has had the request; None: it was not asked."""
        times = [attempt.milliseconds for attempt in self.attempts if attempt.target is target]
        if len(times) > 1:
            return round(sum(times), 1)
        return times[0] if times else None

    def mask(self, response: http.Response, settings: Settings) -> None:
        """Mask keys that a server's words quote.

        LiteLLM's own in whatever LiteLLM says; the other server's in an error: LiteLLM's key in upstream's,
        upstream's and the clients' keys in LiteLLM's.
        """
        by_litellm, is_error = self.outcome.target is Target.LITELLM, response.status_code >= 400
        if not (by_litellm or is_error) or not self.is_from_server:
            return
        if not by_litellm and not paths.is_model_endpoint(self.path):
            return
        others = (*settings.upstream_keys, *settings.client_keys) if by_litellm and is_error else ()
        secrets = _as_written(settings.api_key, others)
        if not secrets:
            return
        self.body_mask = BodyMask(secrets)
        fields, field = response.headers.fields, self.body_mask.field
        if self.body_mask.is_in(b"\n".join([value for _, value in fields])):
            response.headers.fields = tuple((name, field(value)) for name, value in fields)

    def stream(self, response: http.Response) -> bool:
        """Let a response be passed on piece by piece, if it may be long; return whether it is.

        A short one of known length is not: it costs less to send it whole.
        """
        headers = response.headers
        length = headers.get("content-length", "")
        is_event_stream = "text/event-stream" in headers.get("content-type", "")
        if not is_event_stream and length.isdecimal() and int(length) <= _BUFFERED_MAX:
            return False
        coding, decoder = headers.get("content-encoding", ""), None
        if self.body_mask is not None and (decoder := StreamDecoder.of(coding)) is not None:
            # What is to be masked has to be read, and may have another length when it is compressed again.
            coding = ""
            headers.pop("content-length", None)
            if not response.is_http2:
                headers["transfer-encoding"] = "chunked"
        self.tap = ResponseTap(coding, is_event_stream=is_event_stream, mask=self.body_mask, decoder=decoder)
        response.stream = self.tap
        return True

    def end(self) -> None:
        """Nothing more will become of it: let go of what only a replay would need."""
        self.ended = True
        self._end_attempt()
        self._model_name = self.model_name
        self.model, self._content, self.tap, self.unrouted = None, b"", None, None
        self.draft = self.untold = None
        request, sent = self.request, self.request.sent
        head = Incoming(sent.path, sent.query, sent.headers, b"")
        self.request = Request(request.method, head, request.address, request.host)
        for attempt in self.attempts:
            attempt.request = None

    # -- what is said of it -----------------------------------------------

    @property
    def is_from_server(self) -> bool:
        """Whether a server has made the response that the client gets."""
        return bool(self.attempts) and self.outcome.reason is not Reason.ERROR

    @property
    def served_as(self) -> str | None:
        """LiteLLM's name for the model, where the response is LiteLLM's."""
        by_litellm = self.outcome.target is Target.LITELLM and self.is_from_server
        return self.outcome.litellm_model if by_litellm else None

    @property
    def route(self) -> str:
        """The route header's value; what LiteLLM calls the model stands there with ASCII alone."""
        outcome, served_as = self.outcome, self.served_as
        model = f"; model={quote(served_as, safe=_UNQUOTED)}" if served_as else ""
        return f"{outcome.target}; reason={outcome.reason}{outcome.detail}{model}"

    def about(self) -> OfRequest:
        """What a log line, or anybody else, says of the request itself."""
        request, trace = self.request, self.trace
        return {
            "method": request.method,
            "path": request.sent.path,
            "client_ip": request.address.ip,
            "request_id": self.id,
            "target": str(self.outcome.target),
            "model": self.model_name,
            "trace_id": trace.trace_id if trace else None,
            "span_id": trace.span_id if trace else None,
        }

    def log(
        self, level: int, message: str, *, exc_info: BaseException | None = None, **fields: Unpack[Fields]
    ) -> None:
        """Log a line about it, see `log.write`."""
        log.write(level, message, {**fields, **self.about()}, exc_info)

    def snapshot(self) -> Snapshot:
        """It as plain data."""
        outcome, failure = self.outcome, self.failure
        return {
            **self.about(),
            "reason": outcome.reason.value,
            "detail": outcome.detail,
            "upstream_status": outcome.upstream_status,
            "litellm_status": outcome.litellm_status,
            "kind": self.fallback.kind if self.fallback is not None else "",
            "fallback_failed": outcome.fallback_failed,
            "litellm_model": outcome.litellm_model,
            "may_fall_back": outcome.may_fall_back,
            "reduced": outcome.reduced,
            "first_failure": self.first_failure,
            "cost_usd": self.cost_usd,
            "words": self.words,
            "attempts": [attempt.snapshot() for attempt in self.attempts],
            "error_type": failure.error_type.value if failure else None,
            "error": failure.detail if failure else None,
        }


@lru_cache(maxsize=8)  # the configuration's, and each response of LiteLLM's asks for them
def _as_written(api_key: Secret | None, others: tuple[Secret, ...]) -> tuple[bytes, ...]:
    """The secrets as a server may quote them, the longest first."""
    secrets = others if api_key is None else (api_key, *others)
    written = {secret.value for secret in secrets if len(secret.value) >= SHORTEST_HIDDEN}
    written |= {quote(value, safe="") for value in written}  # as in a query
    return tuple(value.encode() for value in sorted(written, key=len, reverse=True))


def add_response_headers(response: http.Response, exchange: Exchange) -> None:
    """Put the route and the request id on a response; take out what LiteLLM says about what is behind it."""
    headers = response.headers
    hidden = _REVEALING if exchange.outcome.target is Target.LITELLM else ()
    fields, has_id = [], False
    for one in headers.fields:
        name = one[0].lower()
        has_id = has_id or name == b"x-request-id"
        if name != b"x-hybrid-route" and not name.startswith(hidden):
            fields.append(one)
    fields.append((b"x-hybrid-route", exchange.route.encode()))
    if not has_id:
        fields.append((b"x-request-id", exchange.id.encode()))
    headers.fields = tuple(fields)


def replay_for_litellm(request: http.Request, outgoing: Outgoing) -> http.Request:
    """Return a request of its own for LiteLLM, in the place of a flow's."""
    made = message_like(request, headers=http.Headers.__new__(http.Headers), content=None, trailers=None)
    to_litellm(made, outgoing)
    return made


def to_litellm(request: http.Request, outgoing: Outgoing) -> None:
    """Turn a flow's request into the one that LiteLLM gets."""
    data = request.data
    data.scheme = outgoing.address.scheme.encode()
    data.host = outgoing.address.host
    data.port = outgoing.address.port
    data.path = outgoing.target.encode("utf-8", "surrogateescape")
    data.headers.fields = outgoing.headers
    data.content = outgoing.body
    data.trailers = None
    # HTTP/2 names the server in a pseudo-header, HTTP/1 in Host.
    data.authority = request.headers["host"].encode() if request.is_http2 else b""
