"""The only room that knows mitmproxy's private proxy layers.

What mitmproxy lacks for this job and is added here, by subclassing:

- an answer that may be a failure is held back, and then released to the client,
  or replaced by LiteLLM's, streamed (mitmproxy's own replay buffers the whole);
- an answer of our own, in JSON, where a server cannot be reached (mitmproxy
  answers with HTML, and no hook can change it);
- connect, first-byte and idle limits (mitmproxy has none);
- a failed connect is forgotten, so that a keep-alive client is served again
  once the server is back;
- no request leaves that the addon has not decided on.

`check()` makes sure at start that the installed mitmproxy still has every name
that is overridden here. Sources: mitmproxy 12.2, `proxy/layers/http/`.
"""

import asyncio
import collections
import gc
import inspect
import json
import math
import re
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from time import monotonic, time
from typing import Any, Protocol, Self, cast, override

import h11
from h11._readers import ContentLengthReader
from mitmproxy import addonmanager, ctx, exceptions, flow, http, version
from mitmproxy.connection import Client, Connection, ConnectionState, Server
from mitmproxy.net.http import status_codes
from mitmproxy.net.http.validate import validate_headers
from mitmproxy.proxy import commands, events, layer, mode_servers, mode_specs, server
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.http import (
    DropStream,
    GetHttpConnection,
    HttpLayer,
    HttpStream,
    RegisterHttpConnection,
    SendHttp,
)
from mitmproxy.proxy.layers.http._base import HttpEvent, ReceiveHttp
from mitmproxy.proxy.layers.http._events import (
    ErrorCode,
    RequestData,
    RequestEndOfMessage,
    RequestHeaders,
    RequestProtocolError,
    RequestTrailers,
    ResponseData,
    ResponseEndOfMessage,
    ResponseHeaders,
    ResponseProtocolError,
    ResponseTrailers,
)
from mitmproxy.proxy.layers.http._hooks import (
    HttpErrorHook,
    HttpRequestHeadersHook,
    HttpRequestHook,
    HttpResponseHeadersHook,
    HttpResponseHook,
)
from mitmproxy.proxy.layers.http._http1 import Http1Client, Http1Server
from mitmproxy.proxy.utils import ReceiveBuffer

from litellm_hybrid.config.settings import Address, Timeouts
from litellm_hybrid.errors import Cause, Failure
from litellm_hybrid.proxy.held_response import HeldResponse, HoldDecision
from litellm_hybrid.proxy.interfaces import FlowView, ForwardingPolicy, ProxyObserver

_LOOK_EVERY = 5.0
"""Longest time, in seconds, between two looks at the limits while a request is running."""

MOST_BODY = 64 * 1024 * 1024
"""The longest request body that is taken, in bytes."""

MOST_HEAD = 64 * 1024
"""The longest request head, URL and headers together, in bytes."""

_LARGE = 1024 * 1024
"""A request body of this length, in bytes, is not left for the garbage collection to find."""

_SOCKETS_PER_SERVER = 100
"""How many requests of one HTTP/2 client run at once on one server; mitmproxy's own limit is 5."""


class EngineError(RuntimeError):
    """The installed mitmproxy is not one that this engine fits."""


@dataclass(frozen=True, slots=True)
class HybridProxy[H: HeldResponse]:
    """Whom the transport asks, and whom it tells."""

    policy: ForwardingPolicy[H]
    view: FlowView
    observer: ProxyObserver[H]


_FROM_SERVER = (ResponseHeaders, ResponseData, ResponseTrailers, ResponseEndOfMessage, ResponseProtocolError)


class Phase(Enum):
    """What a running request waits for."""

    NOTHING = "nothing"
    UPLOAD = "upload"
    FIRST_BYTE = "first byte"
    BODY = "body"


def _is_too_long(content_length: str) -> bool:
    return content_length.isdecimal() and (len(content_length) > 18 or int(content_length) > MOST_BODY)


class _LimitReached(str):
    """The text of a protocol error that stands for one of our limits."""

    __slots__ = ("cause",)
    cause: Cause

    def __new__(cls, cause: Cause, seconds: float) -> Self:
        text = super().__new__(cls, f"{cause}: nothing within {seconds:g} s")
        text.cause = cause
        return text


_HOOKS = (HttpRequestHeadersHook, HttpRequestHook, HttpResponseHeadersHook, HttpResponseHook)


@dataclass
class HybridWaitHook(commands.StartHook):
    """Nobody handles it: mitmproxy waits with it until an intercepted flow is resumed."""

    flow: http.HTTPFlow


class _Handlers:
    """Which handlers mitmproxy's addons have for a hook, worked out once for each set of addons."""

    def __init__(self) -> None:
        self._addons: tuple[object, ...] = ()
        self._found: dict[str, list[Callable[[http.HTTPFlow], None]] | None] = {}

    def find(self, name: str) -> list[Callable[[http.HTTPFlow], None]] | None:
        """The handlers in order; None if one of them has to be awaited."""
        manager = ctx.master.addons
        addons = tuple(manager.lookup.values())
        if addons != self._addons:
            self._addons, self._found = addons, {}
        if name not in self._found:
            every = (getattr(addon, name, None) for addon in addonmanager.traverse(manager.chain))
            handlers = [handler for handler in every if callable(handler)]
            awaited = any(inspect.iscoroutinefunction(handler) for handler in handlers)
            self._found[name] = None if awaited else handlers
        return self._found[name]


_handlers = _Handlers()


def call_handlers(
    hook: HttpRequestHeadersHook | HttpRequestHook | HttpResponseHeadersHook | HttpResponseHook,
) -> bool:
    """Call a hook's handlers; False if mitmproxy has to do it, because somebody wants to be awaited.

    mitmweb wants to be told about every update: there it is mitmproxy that does it.
    """
    handlers = _handlers.find(hook.name)
    if handlers is None or _handlers.find("update") != []:
        return False
    with suppress(exceptions.AddonHalt):
        for handler in handlers:
            with addonmanager.safecall():
                handler(hook.flow)
    return True


@dataclass
class _HoldExpired(HttpEvent):
    """An answer has been held as long as may be."""


@dataclass(frozen=True, slots=True)
class _Original:
    """What a replay stands in for, to be given back if it fails."""

    request: http.Request
    response: http.Response
    server: Server
    complete: bool


def _over(_: events.Event) -> layer.CommandGenerator[None]:
    """The state of a stream that is over."""
    yield from ()


class HybridStream(HttpStream):
    """One request and its answer."""

    parent: "HybridLayer"
    limits: Timeouts
    phase: Phase = Phase.NOTHING
    since: float = 0.0
    answered: bool = False
    reported: bool = False
    head: ResponseHeaders
    held: HeldResponse | None = None
    original: _Original | None = None
    private: http.Request | None = None
    needs_own_connection: bool = False

    def enter(self, phase: Phase) -> None:
        """Wait for something else from now on."""
        self.phase = phase
        self.since = monotonic()
        self.parent.look_by(self.due())

    def due(self) -> float:
        """When, on the monotonic clock, the current wait has lasted too long."""
        if self._paused:
            # A hook is running, or mitmweb holds the flow: nothing is being waited for.
            return monotonic() + _LOOK_EVERY
        if self.phase is Phase.FIRST_BYTE:
            return self.since + self.limits.first_byte
        if self.phase is Phase.UPLOAD:
            return self.since + self.limits.idle
        if self.phase is Phase.BODY:
            idle = self.since + self.limits.idle
            return idle if self.held is None else min(idle, self.held.due)
        return math.inf

    def overdue(self) -> HttpEvent:
        """The event that ends a wait that has lasted too long."""
        if self.held is not None and self.held.due <= monotonic():
            return _HoldExpired(self.stream_id)
        return ResponseProtocolError(self.stream_id, self.limit_reached(), ErrorCode.GENERIC_SERVER_ERROR)

    def limit_reached(self) -> _LimitReached:
        """What to say about a wait that has lasted too long."""
        if self.phase is Phase.FIRST_BYTE:
            return _LimitReached(Cause.FIRST_BYTE_LIMIT, self.limits.first_byte)
        if self.phase is Phase.UPLOAD:
            return _LimitReached(Cause.UPLOAD_LIMIT, self.limits.idle)
        return _LimitReached(Cause.IDLE_LIMIT, self.limits.idle)

    # -- the request ------------------------------------------------------

    @override
    def state_wait_for_request_headers(self, event: RequestHeaders) -> layer.CommandGenerator[None]:
        # In reverse mode mitmproxy overwrites the client's Host before any hook runs.
        self.client_host = event.request.authority or event.request.host_header or ""
        self.limits = self.parent.proxy.policy.limits()
        self.enter(Phase.UPLOAD)
        too_long = _is_too_long(event.request.headers.get("content-length", ""))
        if too_long:
            event.request.headers.pop("expect", None)  # mitmproxy would ask for the body first
        yield from super().state_wait_for_request_headers(event)
        self.parent.proxy.observer.request_begun(self.flow, self.client_host)
        if too_long and self.client_state == self.state_consume_request_body:
            yield from self._refuse_too_long()

    @override
    def state_consume_request_body(self, event: events.Event) -> layer.CommandGenerator[None]:
        self.since = monotonic()
        if isinstance(event, RequestData) and len(self.request_body_buf) + len(event.data) > MOST_BODY:
            yield from self._refuse_too_long()
            return
        if isinstance(event, RequestEndOfMessage):
            self.phase = Phase.NOTHING
        yield from super().state_consume_request_body(event)
        if self.phase is Phase.FIRST_BYTE and self.private is None:
            self._hide()

    def _hide(self) -> None:
        """From now on the flow shows no credentials; the engine keeps the request that has them."""
        self.private = self.flow.request
        self.flow.request = self.parent.proxy.view.redacted(self.flow)

    def _show(self) -> None:
        """Let the addon see the request as it was sent."""
        if self.private is not None:
            self.flow.request, self.private = self.private, None

    def _refuse_too_long(self) -> layer.CommandGenerator[None]:
        why = f"The body is longer than {MOST_BODY} bytes."
        yield from self._refuse_upload(why, ErrorCode.REQUEST_TOO_LARGE)

    def _refuse_upload(self, why: str, code: ErrorCode) -> layer.CommandGenerator[None]:
        """Answer a request that has not come to its end; its connection is of no more use."""
        self.phase = Phase.NOTHING
        self.parent.proxy.observer.malformed(self._peer(), why)
        self.reported = True
        self.flow.error = flow.Error(why)
        yield HttpErrorHook(self.flow)
        yield SendHttp(ResponseProtocolError(self.stream_id, why, code), self.context.client)
        self.flow.live = False
        self.client_state = self.server_state = self.state_errored
        yield DropStream(self.stream_id)

    def _peer(self) -> str:
        return self.context.client.peername[0] if self.context.client.peername else ""

    @override
    def make_server_connection(self) -> layer.CommandGenerator[bool]:
        if not self.parent.proxy.policy.may_forward(self.flow):
            yield from self._answer(Failure(Cause.INTERNAL_ERROR, "no decision was made for this request"))
            return False
        self.parent.proxy.view.restore_credentials(self.flow)
        connected = yield from super().make_server_connection()
        if connected and self._client_left():
            yield from self._abandon("client disconnected while connecting")
            yield from self.check_killed(emit_error_hook=True)
            return False
        if connected:
            self._frame_request()
            self.enter(Phase.FIRST_BYTE)
        return connected

    def _frame_request(self) -> None:
        """Give an HTTP/2 request, which needs no length, the one that HTTP/1 has to be told."""
        request = self.flow.request
        if request.is_http2 and request.raw_content and "content-length" not in request.headers:
            request.headers["content-length"] = str(len(request.raw_content))

    # -- the answer: held, released or replaced ---------------------------

    @override
    def _handle_event(self, event: events.Event) -> layer.CommandGenerator[None]:
        # mitmproxy starts a task for every hook, and comes back through all layers when it is done.
        # Handlers that are plain functions can as well be called here: that halves the cost of a request.
        work, reply = self._work(event), None
        while True:
            try:
                command = work.send(reply)
            except StopIteration:
                if self.stream_id not in self.parent.streams:
                    self._let_go()
                return
            if isinstance(command, _HOOKS) and call_handlers(command):
                reply = (yield HybridWaitHook(command.flow)) if command.flow.intercepted else None
            else:
                reply = yield command

    def _let_go(self) -> None:
        """End the circles of references through a stream that is over, so that its bodies go with it.

        Python looks for circles by the number of objects, and a handful can hold hundreds of megabytes.
        """
        self.client_state = self.server_state = _over
        self.context.layers.clear()
        self._paused_event_queue.clear()
        if len(self.flow.request.raw_content or b"") >= _LARGE:
            # What is left are mitmproxy's own: see `skip_self_checks`.
            asyncio.get_running_loop().call_soon(gc.collect, 0)

    def _work(self, event: events.Event) -> layer.CommandGenerator[None]:
        if not isinstance(event, _HoldExpired):
            yield from super()._handle_event(event)
        elif self.held is not None:
            yield from self._take(self.held.expire())

    @override
    def state_wait_for_response_headers(self, event: ResponseHeaders) -> layer.CommandGenerator[None]:
        self.enter(Phase.BODY)
        self._show()
        self.parent.proxy.observer.response_begun(self.flow, event.response)
        held = self.parent.proxy.policy.on_response(self.flow, event.response)
        self._hide()
        if held is None:
            yield from super().state_wait_for_response_headers(event)
            return
        self.flow.response = event.response
        if (yield from self.check_invalid(request=False)):
            return
        self.head, self.held = event, held
        self.server_state = self.state_hold
        self.parent.look_by(held.due)

    def state_hold(self, event: events.Event) -> layer.CommandGenerator[None]:
        """Keep what comes until it is clear what it is."""
        assert self.held is not None
        self.since = monotonic()
        if isinstance(event, ResponseData):
            yield from self._take(self.held.feed(event.data, now=time(), clock=self.since))
        elif isinstance(event, ResponseTrailers):
            self.head.response.trailers = event.trailers
        else:
            yield from self._take(self.held.end(now=time()))

    @override
    def check_killed(self, emit_error_hook: bool) -> layer.CommandGenerator[bool]:
        if self._client_left():
            self._report(Failure(Cause.CLIENT_LEFT, "client disconnected"))
        return (yield from super().check_killed(emit_error_hook))

    @override
    def check_invalid(self, request: bool) -> layer.CommandGenerator[bool]:
        if request or not self.context.options.validate_inbound_headers:
            return (yield from super().check_invalid(request))
        assert self.flow.response
        try:
            validate_headers(self.flow.response)
            self._validate_status(self.flow.response.status_code)
        except ValueError as e:
            yield from self._abandon("its answer was refused")
            code = ErrorCode.RESPONSE_VALIDATION_FAILED
            yield from self._server_failed(ResponseProtocolError(self.stream_id, str(e), code))
            return True
        return False

    def _validate_status(self, status: int) -> None:
        # mitmproxy makes any 101 a tunnel: what follows on the connection would be decided by nobody.
        if status == 101 and "upgrade" in self.flow.request.headers:
            return
        if not 200 <= status <= 999:
            raise ValueError(f"the status {status}, which is not one of a final answer")

    def _take(self, step: HoldDecision) -> layer.CommandGenerator[None]:
        assert self.held is not None
        if step is HoldDecision.HOLD:
            self.parent.look_by(self.held.due)
        elif step is not HoldDecision.REPLACE:
            if step is HoldDecision.TIMED_OUT:
                self.parent.proxy.observer.hold_limit_reached(self.flow, self.held)
            yield from self._release(self.held)
        else:
            yield from self._replace(self.held)

    def _release(self, held: HeldResponse) -> layer.CommandGenerator[None]:
        """The client gets what was held, and the rest as it comes."""
        self.held = None
        if held.complete:
            yield from self._send_whole(self.head.response, bytes(held.body))
            return
        yield from super().state_wait_for_response_headers(self.head)
        if held.body:
            yield from self.server_state(ResponseData(self.stream_id, bytes(held.body)))

    def _send_whole(self, response: http.Response, body: bytes) -> layer.CommandGenerator[None]:
        response.data.content = body
        self.flow.response = response
        yield HttpResponseHeadersHook(self.flow)
        if not (yield from self.check_killed(emit_error_hook=True)):
            yield from self.send_response()

    def _replace(self, held: HeldResponse) -> layer.CommandGenerator[None]:
        """Send another request in place of one that failed, or give the client the first answer that did."""
        if (yield from self.check_killed(emit_error_hook=True)):
            # In mitmweb, while it was held.
            self.held, self.phase = None, Phase.NOTHING
            yield from self._abandon("killed")
            return
        self.head.response.data.content = bytes(held.body)
        self._show()
        request = self.parent.proxy.policy.on_failed_response(self.flow, held)
        if request is None and self.original is not None:
            status = self.head.response.status_code
            yield from self._give_back(str(status) if status >= 400 else "error-event", held)
            return
        if request is None:
            self._hide()
            yield from self._release(held)
            return
        self.original = self.original or _Original(
            self.flow.request, self.head.response, self.flow.server_conn, held.complete
        )
        if not held.complete:
            yield from self._abandon("replaced by a replay")
        yield from self._send_again(request)

    def _send_again(self, request: http.Request) -> layer.CommandGenerator[None]:
        self.held = None
        self.phase = Phase.NOTHING
        self.reported = False
        # To the same server again: mitmproxy's HTTP/1 has not finished with the answer that is being
        # replaced, and its HTTP/2 would send the request on the stream of the first.
        self.needs_own_connection = (request.host, request.port) == self.context.server.address
        self.flow.request = request
        self.flow.response = self.flow.error = None
        self.server_state = self.state_wait_for_response_headers
        if not (yield from self.make_server_connection()):
            return
        content = request.raw_content
        server = self.context.server
        yield SendHttp(RequestHeaders(self.stream_id, request, end_stream=not content), server)
        if content:
            yield SendHttp(RequestData(self.stream_id, content), server)
        yield SendHttp(RequestEndOfMessage(self.stream_id), server)
        self._hide()

    def _give_back(self, why: str, held: HeldResponse | None = None) -> layer.CommandGenerator[None]:
        """The replay failed: the client gets the original answer."""
        original, self.original, self.held = self.original, None, None
        assert original is not None
        self.phase = Phase.NOTHING
        connected = self.context.server is not original.server
        if connected and (held is None or not held.complete):
            yield from self._abandon("the replay failed")
        self.private = None
        self.flow.request, self.flow.server_conn = original.request, original.server
        self._hide()
        self.flow.response = original.response
        self.parent.proxy.observer.replay_failed(self.flow, why, held)
        body = original.response.raw_content or b""
        if original.complete:
            yield from self._send_whole(original.response, body)
            return
        # Its end is not known: the client must not take it for whole.
        yield HttpResponseHeadersHook(self.flow)
        original.response.stream = True
        if (yield from self.check_killed(emit_error_hook=True)):
            return
        yield from self.start_response_stream()
        yield SendHttp(ResponseData(self.stream_id, body), self.context.client)
        cut = ResponseProtocolError(self.stream_id, "answer cut short", ErrorCode.GENERIC_SERVER_ERROR)
        yield from super().handle_protocol_error(cut)

    def _abandon(self, why: str) -> layer.CommandGenerator[None]:
        """Want nothing more from the server: closes an HTTP/1 connection, resets an HTTP/2 stream."""
        connection = self.context.server
        if connection in self.parent.connections:
            yield SendHttp(RequestProtocolError(self.stream_id, why, ErrorCode.CANCEL), connection)
            self.parent.ignore(connection, self.stream_id)
        # What it has already sent must not be taken for the answer to a replay.
        self._paused_event_queue = collections.deque(
            event for event in self._paused_event_queue if not isinstance(event, _FROM_SERVER)
        )

    @override
    def start_response_stream(self) -> layer.CommandGenerator[None]:
        # As in the base class, without its log line for each answer.
        assert self.flow.response
        self.answered = True
        self.original = None
        yield SendHttp(
            ResponseHeaders(self.stream_id, self.flow.response, end_stream=False), self.context.client
        )
        self.server_state = self.state_stream_response_body

    @override
    def state_stream_response_body(self, event: events.Event) -> layer.CommandGenerator[None]:
        self.since = monotonic()
        yield from super().state_stream_response_body(event)

    @override
    def state_consume_response_body(self, event: events.Event) -> layer.CommandGenerator[None]:
        self.since = monotonic()
        yield from super().state_consume_response_body(event)

    @override
    def send_response(self, already_streamed: bool = False) -> layer.CommandGenerator[None]:
        self.phase = Phase.NOTHING
        self.answered = True
        self.original = None
        yield from super().send_response(already_streamed)

    # -- what goes wrong --------------------------------------------------

    @override
    def handle_protocol_error(
        self, event: RequestProtocolError | ResponseProtocolError
    ) -> layer.CommandGenerator[None]:
        self.phase = Phase.NOTHING
        self._keep_beginning()
        running = self.client_state != self.state_errored and self.server_state not in (
            self.state_done,
            self.state_errored,
        )
        if not running:
            yield from super().handle_protocol_error(event)
        elif isinstance(event, RequestProtocolError):
            self._report(self._client_failure(event))
            yield from super().handle_protocol_error(event)
        else:
            yield from self._server_failed(event)

    def _keep_beginning(self) -> None:
        """Let the flow have what has come of an answer that is cut short; mitmproxy keeps only whole ones."""
        if not self.context.options.store_streamed_bodies or self.flow.response is None:
            return
        if self.held is None and self.server_state != self.state_stream_response_body:
            return
        beginning = bytes(self.response_body_buf if self.held is None else self.held.body)
        if beginning:
            self.flow.response.data.content = beginning

    def _server_failed(self, event: ResponseProtocolError) -> layer.CommandGenerator[None]:
        if isinstance(event.message, _LimitReached) and event.message.cause is Cause.UPLOAD_LIMIT:
            yield from self._refuse_upload(event.message, ErrorCode.GENERIC_CLIENT_ERROR)
            return
        if isinstance(event.message, _LimitReached):
            yield from self._abandon(event.message)
        failure = self._server_failure(event)
        held = self.held
        if failure.cause is Cause.CLIENT_LEFT or self.answered:
            self._report(failure)
            yield from super().handle_protocol_error(event)
        elif self.original is not None:
            yield from self._give_back(failure.error_type.value)
        elif held is not None and held.is_failure:
            yield from self._replace(held)
        elif held is not None and self.head.response.status_code < 400:
            yield from self._release(held)
            yield from self.handle_protocol_error(event)
        else:
            self.held = None
            yield from self._answer(failure)

    def _answer(self, failure: Failure) -> layer.CommandGenerator[None]:
        """LiteLLM's answer to a failure, or ours."""
        self._report(failure)
        answer = self.parent.proxy.policy.error_response(self.flow, failure)
        self._show()
        request = self.parent.proxy.policy.on_failure(self.flow, failure)
        if request is not None:
            self.original = _Original(self.flow.request, answer, self.flow.server_conn, complete=True)
            yield from self._send_again(request)
            return
        self.response_body_buf = ReceiveBuffer()
        yield from self._send_whole(answer, answer.raw_content or b"")

    def _report(self, failure: Failure) -> None:
        """Tell the observer, once."""
        if not self.reported:
            self.reported = True
            self.parent.proxy.observer.failed(self.flow, failure, response_begun=self.answered)

    def _client_left(self) -> bool:
        return any(isinstance(event, RequestProtocolError) for event in self._paused_event_queue)

    def _client_failure(self, event: RequestProtocolError | ResponseProtocolError) -> Failure:
        left = event.code in (ErrorCode.CLIENT_DISCONNECTED, ErrorCode.CANCEL)
        if left or self.context.client in self.parent.closed_by_peer:
            return Failure(Cause.CLIENT_LEFT, event.message)
        return Failure(Cause.CLIENT_PROTOCOL, event.message)

    def _server_failure(self, event: ResponseProtocolError) -> Failure:
        if self._client_left():
            return Failure(Cause.CLIENT_LEFT, "client disconnected")
        if isinstance(event.message, _LimitReached):
            return Failure(event.message.cause, event.message)
        if event.code is ErrorCode.CONNECT_FAILED:
            return Failure(Cause.CONNECT_FAILED, event.message)
        if event.code is ErrorCode.RESPONSE_VALIDATION_FAILED:
            return Failure(Cause.ANSWER_REFUSED, event.message)
        if self.context.server in self.parent.closed_by_peer:
            return Failure(Cause.SERVER_CLOSED, event.message)
        return Failure(Cause.SERVER_PROTOCOL, event.message)


def skip_self_checks() -> None:
    """Do without mitmproxy's check of the types in every message that it makes itself.

    It costs a fifth of a small request, and each of its inner exceptions ties a request, its body and the
    whole stack into a circle that only a garbage collection ends. Only for a process that is ours.
    """
    http.MessageData.__post_init__ = lambda _: None  # type: ignore[method-assign]


_layers: weakref.WeakSet["HybridLayer"] = weakref.WeakSet()
"""Every client connection's layer, as long as it lives."""


class HybridLayer(HttpLayer):
    """One client connection: its requests, and the server connections made for them."""

    proxy: HybridProxy[Any]
    closed_by_peer: set[Connection]
    _connecting: dict[Connection, float]
    _gave_up: dict[Connection, _LimitReached]
    _deaf: dict[layer.Layer, "_Deaf"]
    _wakeups: set[commands.RequestWakeup]
    _latest: commands.RequestWakeup | None
    _look_at: float
    _wakeup_at: float

    @classmethod
    def take_over(cls, plain: HttpLayer, proxy: HybridProxy[Any]) -> None:
        """Turn a layer that has not started yet into one of ours; others already refer to it."""
        plain.__class__ = cls
        cast("HybridLayer", plain).begin(proxy)

    def begin(self, proxy: HybridProxy[Any]) -> None:
        """What a constructor would do."""
        self.proxy = proxy
        _layers.add(self)
        self.closed_by_peer = set()
        self._connecting = {}
        self._gave_up = {}
        self._deaf = {}
        self._wakeups = set()
        self._latest = None
        self._look_at = self._wakeup_at = math.inf

    @override
    def _handle_event(self, event: events.Event) -> layer.CommandGenerator[None]:
        if isinstance(event, events.Wakeup) and event.command in self._wakeups:
            self._wakeups.discard(event.command)
            if event.command is self._latest:
                self._wakeup_at = math.inf
            yield from self._enforce_limits()
        elif isinstance(event, events.ConnectionEvent) and self._is_forgotten(event.connection):
            return
        else:
            if isinstance(event, events.Start) and self.context.client.alpn not in (b"h2", b"h3"):
                client_side = HybridHttp1Server(self.context.fork(), self.proxy)
                self.connections.setdefault(self.context.client, client_side)
            if isinstance(event, events.ConnectionClosed):
                self.closed_by_peer.add(event.connection)
            yield from super()._handle_event(event)
        yield from self._arm()

    @override
    def make_stream(self, stream_id: int) -> layer.CommandGenerator[None]:
        stream = HybridStream(self.context.fork(), stream_id)
        stream.parent = self
        self.streams[stream_id] = stream
        yield from self.event_to_child(stream, events.Start())

    # -- server connections -----------------------------------------------

    @override
    def get_connection(self, event: GetHttpConnection, *, reuse: bool = True) -> layer.CommandGenerator[None]:
        self._forget_closed()
        stream = self.command_sources.get(event)
        reuse = reuse and not (isinstance(stream, HybridStream) and stream.needs_own_connection)
        yield from super().get_connection(event, reuse=reuse)
        for connection, child in self.connections.items():
            if isinstance(connection, Server) and child not in self._deaf:
                self._deaf[child] = _Deaf(child)
        for connection in self.waiting_for_establishment:
            if connection not in self._connecting:
                self._connecting[connection] = monotonic() + self.proxy.policy.limits().connect
                self.look_by(self._connecting[connection])

    @override
    def register_connection(self, command: RegisterHttpConnection) -> layer.CommandGenerator[None]:
        self._connecting.pop(command.connection, None)
        gave_up = self._gave_up.pop(command.connection, None)
        if command.err and gave_up is not None:
            command.err = gave_up
        if not command.err:
            HybridHttp1Client.take_over(self.connections[command.connection])
        yield from super().register_connection(command)

    def _forget_closed(self) -> None:
        # The base class keeps them for the life of the client connection, and
        # answers every later request with the error of a failed one.
        for connection in [c for c in self.connections if isinstance(c, Server)]:
            dead = connection.error or connection.state is ConnectionState.CLOSED
            if dead and connection not in self.waiting_for_establishment:
                self._deaf.pop(self.connections.pop(connection), None)
                self.closed_by_peer.discard(connection)

    def ignore(self, connection: Server, stream_id: int) -> None:
        """Let nothing more come from an abandoned server connection to the stream that abandoned it."""
        # What it has sent may still be on its way to us, in HTTP/1 too: one read can hold many chunks.
        self._deaf[self.connections[connection]].lost.add(stream_id)
        if connection.alpn != b"h2":
            del self._deaf[self.connections.pop(connection)]

    @override
    def event_to_child(self, child: layer.Layer, event: events.Event) -> layer.CommandGenerator[None]:
        yield from super().event_to_child(self._deaf.get(child, child), event)

    def _is_forgotten(self, connection: Connection) -> bool:
        return connection not in self.connections and connection is not self.context.server

    # -- limits -----------------------------------------------------------
    # One wakeup at a time for the whole client connection, none while nothing
    # is running: a wakeup cannot be taken back, and one of 600 s for each
    # request would keep every finished one in memory.

    def look_by(self, when: float) -> None:
        """Make sure that the limits are looked at by then (monotonic clock)."""
        self._look_at = min(self._look_at, when)

    def _arm(self) -> layer.CommandGenerator[None]:
        if self._look_at >= self._wakeup_at:
            return
        now = monotonic()
        self._wakeup_at = min(self._look_at, now + _LOOK_EVERY)
        wakeup = commands.RequestWakeup(max(0.0, self._wakeup_at - now))
        self._wakeups.add(wakeup)
        # An earlier one that this supersedes still comes, but arms no other.
        self._latest = wakeup
        yield wakeup

    def _enforce_limits(self) -> layer.CommandGenerator[None]:
        now = monotonic()
        limits = self.proxy.policy.limits()
        for connection, due in list(self._connecting.items()):
            if due <= now and connection not in self._gave_up:
                self._gave_up[connection] = _LimitReached(Cause.CONNECT_LIMIT, limits.connect)
                yield commands.CloseConnection(connection)
        for stream in list(self._hybrid_streams()):
            if stream.due() <= now:
                yield from self.event_to_child(stream, stream.overdue())
        waits = [stream.due() for stream in self._hybrid_streams()]
        connects = [due for conn, due in self._connecting.items() if conn not in self._gave_up]
        self._look_at = min(waits + connects, default=math.inf)

    @property
    def is_busy(self) -> bool:
        """Whether a request of this client is running; an upgraded connection does not count."""
        return any(stream.child_layer is None for stream in self.streams.values())

    def _hybrid_streams(self) -> Iterator[HybridStream]:
        return (stream for stream in self.streams.values() if isinstance(stream, HybridStream))


class _Deaf(layer.Layer):
    """A server connection without what it says to streams that no longer listen."""

    def __init__(self, inner: layer.Layer) -> None:
        self._inner = inner
        self.lost: set[int] = set()

    @override
    def handle_event(self, event: events.Event) -> layer.CommandGenerator[None]:
        for command in self._inner.handle_event(event):
            if not (isinstance(command, ReceiveHttp) and command.event.stream_id in self.lost):
                yield command

    @override
    def _handle_event(self, event: events.Event) -> layer.CommandGenerator[None]:
        raise NotImplementedError


class _WithoutTrailers:
    """A body reader that drops trailers: mitmproxy crashes on them in HTTP/1, and cannot pass them on."""

    def __init__(self, reader: Any) -> None:  # noqa: ANN401 (one of h11's three readers)
        self._reader = reader

    def __call__(self, buffer: object) -> object:
        event = self._reader(buffer)
        return h11.EndOfMessage() if isinstance(event, h11.EndOfMessage) else event

    def read_eof(self) -> object:
        """The peer has closed the connection."""
        return self._reader.read_eof()


def _drop_trailers(connection: Http1Server | Http1Client) -> None:
    reader: Any = connection.body_reader
    if not isinstance(reader, (_WithoutTrailers, ContentLengthReader)):
        reader = _WithoutTrailers(reader)
        connection.body_reader = reader


_HEAD_END = re.compile(rb"\n\r?\n")

# RFC 9112, 2.2 and 5.2, and RFC 9110, 5.5: what some readers take for a line end, or for nothing, and
# others do not.
_BAD_IN_ANSWER = re.compile(rb"\x00|\r(?!\n)|\n[ \t]")
_BAD_IN_REQUEST = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\r(?!\n)|\n[ \t]")
_REQUEST_LINE = re.compile(rb"[^\n]* HTTP/1\.[01]\r?\n")
_BLANK_LINES = re.compile(rb"(?:\r?\n)*")


def _is_bad(received: bytes, bad: re.Pattern[bytes]) -> bool:
    """Whether a complete head has a control character that it must not have, or a folded line."""
    end = _HEAD_END.search(received)
    return end is not None and bad.search(received, 0, end.end()) is not None


class HybridHttp1Server(Http1Server):
    """The client's side of HTTP/1, with JSON where mitmproxy answers for itself in HTML."""

    def __init__(self, context: Context, proxy: HybridProxy[Any]) -> None:
        super().__init__(context)
        self._proxy = proxy

    @override
    def send(self, event: HttpEvent) -> layer.CommandGenerator[None]:
        if isinstance(event, ResponseTrailers):
            return  # of an HTTP/2 server; mitmproxy cannot write them in HTTP/1
        if isinstance(event, ResponseProtocolError) and not self.response:
            status = event.code.http_status_code()
            if isinstance(event.message, _LimitReached):
                status = 408
            if status is not None and self.conn.state & ConnectionState.CAN_WRITE:
                yield commands.SendData(self.conn, _error_response(status, event.message))
                yield commands.CloseConnection(self.conn)
                return
        yield from super().send(event)
        if isinstance(event, ResponseHeaders) and event.response.status_code == 100:
            self.response = None  # it is not the answer: a refusal may follow

    @override
    def read_headers(self, event: events.ConnectionEvent) -> layer.CommandGenerator[None]:
        blank = _BLANK_LINES.match(bytes(self.buf))
        if blank and blank.end():
            # RFC 9112, 2.2; mitmproxy would wait for more behind them, although the request is there.
            self.buf.maybe_extract_at_most(blank.end())
        if len(self.buf) > MOST_HEAD and not _HEAD_END.search(bytes(self.buf)[:MOST_HEAD]):
            yield from self._refuse(f"The request's head is longer than {MOST_HEAD} bytes.", 431)
            yield commands.CloseConnection(self.conn)
            self.state = self.done
            return
        head = bytes(self.buf)
        if _is_bad(head, _BAD_IN_REQUEST) or (b"\n" in head and not _REQUEST_LINE.match(head)):
            yield from self._refuse("The request's head is not valid HTTP/1.1.")
            yield commands.CloseConnection(self.conn)
            self.state = self.done
            return
        for command in super().read_headers(event):
            # The one thing it sends while reading a head is its refusal of a malformed one; what it logs
            # then quotes the head, credentials and all.
            if isinstance(command, commands.SendData):
                yield from self._refuse("The request's head is not valid HTTP/1.1.")
            elif isinstance(command, commands.Log):
                continue
            else:
                yield command

    @override
    def _handle_event(self, event: events.Event) -> layer.CommandGenerator[None]:
        # In mitmproxy's way every byte of a body is copied into a buffer, out of it, and once more.
        if isinstance(event, events.DataReceived) and not self.buf and self.state == self.read_body:
            reader: Any = self.body_reader
            if isinstance(reader, ContentLengthReader) and 0 < len(event.data) <= reader._remaining:  # noqa: SLF001
                assert self.stream_id is not None
                reader._remaining -= len(event.data)  # noqa: SLF001
                yield ReceiveHttp(RequestData(self.stream_id, event.data))
                event = events.DataReceived(event.connection, b"")
        yield from super()._handle_event(event)

    @override
    def read_body(self, event: events.Event) -> layer.CommandGenerator[None]:
        _drop_trailers(self)
        for command in super().read_body(event):
            broken = isinstance(command, commands.CloseConnection) and not self.request_done
            if broken and isinstance(event, events.DataReceived) and not self.response:
                yield from self._refuse("The request's body is not valid HTTP/1.1.")
            yield command

    def _refuse(self, why: str, status: int = 400) -> layer.CommandGenerator[None]:
        peer = self.conn.peername
        self._proxy.observer.malformed(peer[0] if peer else "", why)
        yield commands.SendData(self.conn, _error_response(status, why))


_MOST_INTERIM = 100
"""More interim answers (1xx) than this before the final one, and the server is broken."""

_INTERIM = re.compile(rb"HTTP/1\.\d 1(?!01)\d\d[ \r\n]")


class HybridHttp1Client(Http1Client):
    """A server's side of HTTP/1; mitmproxy takes an interim answer, such as 103, for the final one."""

    interim: int

    @classmethod
    def take_over(cls, stack: layer.Layer) -> None:
        """Put ours in the place of the plain one that has just been connected, if it is HTTP/1."""
        inner: layer.Layer | None = stack
        while inner is not None:
            if type(inner) is Http1Client:
                inner.__class__ = cls
                ours = cast("HybridHttp1Client", inner)
                ours.interim = 0
                ours.state = ours.read_headers
            inner = getattr(inner, "child_layer", None)

    @override
    def send(self, event: HttpEvent) -> layer.CommandGenerator[None]:
        if not isinstance(event, RequestTrailers):  # of an HTTP/2 client
            yield from super().send(event)

    @override
    def read_headers(self, event: events.ConnectionEvent) -> layer.CommandGenerator[None]:
        while self.request and self.interim <= _MOST_INTERIM and _INTERIM.match(bytes(self.buf)):
            if self.buf.maybe_extract_lines() is None:
                break
            self.interim += 1
        head = bytes(self.buf)
        if self.interim > _MOST_INTERIM:
            yield from self._break_off(f"more than {_MOST_INTERIM} interim answers")
        elif len(head) > MOST_HEAD and not _HEAD_END.search(head, 0, MOST_HEAD):
            yield from self._break_off(f"a head longer than {MOST_HEAD} bytes")
        elif _is_bad(head, _BAD_IN_ANSWER):
            yield from self._break_off("a control character or a folded line in its head")
        else:
            for command in super().read_headers(event):
                # It quotes what a server sends unasked.
                if not isinstance(command, commands.Log):
                    yield command

    def _break_off(self, what: str) -> layer.CommandGenerator[None]:
        yield commands.CloseConnection(self.conn)
        if self.stream_id is not None:
            code = ErrorCode.GENERIC_SERVER_ERROR
            yield ReceiveHttp(ResponseProtocolError(self.stream_id, f"the answer has {what}", code))

    @override
    def read_body(self, event: events.Event) -> layer.CommandGenerator[None]:
        self.interim = 0
        _drop_trailers(self)
        yield from super().read_body(event)


_ERRORS = {408: "request_timeout", 413: "request_too_large", 431: "request_head_too_large"}


def _error_response(status: int, message: str) -> bytes:
    error = _ERRORS.get(status, "bad_gateway" if status >= 500 else "bad_request")
    content = json.dumps({"error": error, "message": message}).encode()
    reason = status_codes.RESPONSES.get(status, "Error")
    return (
        f"HTTP/1.1 {status} {reason}\r\n"
        "Content-Type: application/json\r\n"
        "Connection: close\r\n"
        "x-hybrid-route: none; reason=error\r\n"
        f"Content-Length: {len(content)}\r\n\r\n"
    ).encode() + content


def listeners(
    modes: Sequence[str], listen_host: str | None, listen_port: int | None
) -> list[tuple[str, int, Address]]:
    """Where mitmproxy listens (host, port) and the upstream that stands behind.

    Args:
        modes: mitmproxy's option `mode`.
        listen_host: mitmproxy's option of that name.
        listen_port: mitmproxy's option of that name.

    Raises:
        ValueError: one of them is no reverse proxy for HTTP; its text says what to write instead.
    """
    found = []
    for spec in modes:
        mode = mode_specs.ProxyMode.parse(spec)
        if not isinstance(mode, mode_specs.ReverseMode) or mode.scheme not in ("http", "https"):
            raise ValueError(
                f"mode {spec!r}: litellm-hybrid only works as a reverse proxy for HTTP; start mitmproxy with "
                "--mode reverse:http://127.0.0.1:8317@127.0.0.1:8318 (CLIProxyAPI's address, then ours)"
            )
        host, port = mode.address
        here = mode.listen_host(listen_host), mode.listen_port(listen_port) or 0
        found.append((*here, Address(mode.scheme, host, port)))
    return found


NextLayer = layer.NextLayer


class _NextLayerAddon(Protocol):
    def next_layer(self, nextlayer: layer.NextLayer) -> None: ...


def choose_layer(builtin: _NextLayerAddon, next_layer: layer.NextLayer, proxy: HybridProxy[Any]) -> None:
    """Let mitmproxy choose the next layer, then put ours in the place of every plain HTTP layer in it.

    mitmproxy's own addon, which is called after this, leaves a chosen layer alone.
    """
    builtin.next_layer(next_layer)
    chosen = next_layer.layer
    while chosen is not None:
        if type(chosen) is HttpLayer:
            HybridLayer.take_over(chosen, proxy)
        chosen = getattr(chosen, "child_layer", None)


class _WideReader(asyncio.StreamReader):
    """Gives all that has come at once: every piece that mitmproxy reads goes through all of its layers."""

    @override
    async def read(self, n: int = -1) -> bytes:
        return await super().read(max(n, _WIDE) if n > 0 else n)


_WIDE = 1024 * 1024


class HybridConnectionHandler(mode_servers.ProxyConnectionHandler):
    """The sockets of one client connection; every one is closed when it is done with."""

    @override
    async def open_connection(self, command: commands.OpenConnection) -> None:
        connection = command.connection
        try:
            await super().open_connection(command)
        except AssertionError:
            if connection.peername is not None:
                raise
            # Reset before it could be asked for its address. mitmproxy's task dies of that, and the
            # request would wait for ever.
            opened = self.transports.pop(connection, None)
            if opened is not None and opened.writer is not None:
                opened.writer.close()
            connection.state = ConnectionState.CLOSED
            connection.error = "Connection reset by peer"
            await self.server_event(events.OpenConnectionCompleted(command, connection.error))

    @override
    async def handle_connection(self, connection: Connection) -> None:
        reader = self.transports[connection].reader
        if type(reader) is asyncio.StreamReader:
            reader.__class__ = _WideReader
            # asyncio pauses a socket at twice this, with two system calls for each pause.
            vars(reader)["_limit"] = _WIDE
        try:
            await super().handle_connection(connection)
        finally:
            # Cancelled while it waits to hand on what it has read, as it can be when an answer is
            # abandoned halfway or a client leaves with one unread, mitmproxy forgets to close the
            # socket and to say so: the server would be blamed for a client that left.
            forgotten = self.transports.pop(connection, None)
            if forgotten is not None:
                if forgotten.writer is not None:
                    forgotten.writer.close()
                connection.state = ConnectionState.CLOSED
                await self.server_event(events.ConnectionClosed(connection))


class _ProxyserverAddon(Protocol):
    connections: dict[tuple[object, ...] | str, mode_servers.ProxyConnectionHandler]
    servers: Any


class Door:
    """The listening sockets, and the client connections that came in through them."""

    def __init__(self, proxyserver: _ProxyserverAddon) -> None:
        self._proxyserver = proxyserver

    async def close(self) -> None:
        """Accept no more connections."""
        await self._proxyserver.servers.update([])

    def dismiss_idle(self) -> int:
        """Close the client connections that have nothing running; how many have."""
        busy = {layer.context.client.id for layer in _layers if layer.is_busy}
        running = 0
        for handler in list(self._proxyserver.connections.values()):
            transport = handler.transports.get(handler.client)
            writer = transport.writer if transport is not None else None
            unsent = isinstance(writer, asyncio.StreamWriter) and writer.transport.get_write_buffer_size() > 0
            if handler.client.id in busy or unsent:
                running += 1
            elif transport is not None and transport.handler is not None:
                handler.close_connection(handler.client)
        return running


def prepare_connection(proxyserver: _ProxyserverAddon, client: Client, limits: Timeouts) -> None:
    """Make mitmproxy's own limits for a client connection fit ours, and have all its sockets closed.

    An HTTP/2 client may run more than five requests at once on one server, and mitmproxy's limit for
    silence does not end a request before ours do, as if the client had left.
    """
    handler = proxyserver.connections.get(client.id)
    if type(handler) is mode_servers.ProxyConnectionHandler:
        handler.__class__ = HybridConnectionHandler
    if isinstance(handler, server.ConnectionHandler):
        handler.max_conns = collections.defaultdict(lambda: asyncio.Semaphore(_SOCKETS_PER_SERVER))
        longest = int(max(limits.first_byte, limits.idle, limits.connect)) + 60
        handler.timeout_watchdog.timeout = max(handler.timeout_watchdog.timeout, longest)


_OVERRIDDEN: tuple[tuple[type, str, tuple[str, ...]], ...] = (
    (HttpStream, "state_wait_for_request_headers", ("self", "event")),
    (HttpStream, "state_consume_request_body", ("self", "event")),
    (HttpStream, "make_server_connection", ("self",)),
    (HttpStream, "state_wait_for_response_headers", ("self", "event")),
    (HttpStream, "start_response_stream", ("self",)),
    (HttpStream, "state_stream_response_body", ("self", "event")),
    (HttpStream, "state_consume_response_body", ("self", "event")),
    (HttpStream, "send_response", ("self", "already_streamed")),
    (HttpStream, "handle_protocol_error", ("self", "event")),
    (HttpStream, "check_killed", ("self", "emit_error_hook")),
    (HttpStream, "check_invalid", ("self", "request")),
    (HttpStream, "_handle_event", ("self", "event")),
    (HttpLayer, "_handle_event", ("self", "event")),
    (HttpLayer, "make_stream", ("self", "stream_id")),
    (HttpLayer, "event_to_child", ("self", "child", "event")),
    (HttpLayer, "get_connection", ("self", "event", "reuse")),
    (HttpLayer, "register_connection", ("self", "command")),
    (mode_servers.ProxyConnectionHandler, "open_connection", ("self", "command")),
    (mode_servers.ProxyConnectionHandler, "handle_connection", ("self", "connection")),
    (mode_servers.AsyncioServerInstance, "listen", ("self", "host", "port")),  # serve.py
    (addonmanager.AddonManager, "register", ("self", "addon")),
    (addonmanager.AddonManager, "remove", ("self", "addon")),
    (addonmanager.AddonManager, "handle_lifecycle", ("self", "event")),
    (addonmanager.AddonManager, "trigger_event", ("self", "event")),
    (Http1Server, "_handle_event", ("self", "event")),
    (Http1Server, "send", ("self", "event")),
    (Http1Server, "read_headers", ("self", "event")),
    (Http1Server, "read_body", ("self", "event")),
    (Http1Client, "send", ("self", "event")),
    (Http1Client, "read_headers", ("self", "event")),
    (Http1Client, "read_body", ("self", "event")),
)


def check() -> None:
    """Make sure that the installed mitmproxy has what is overridden here.

    Raises:
        EngineError: with the names that it lacks, and what to do.
    """
    lacking = [f"{cls.__name__}.{name}" for cls, name, args in _OVERRIDDEN if _arguments(cls, name) != args]
    if not hasattr(ContentLengthReader(0), "_remaining"):
        lacking.append("h11's ContentLengthReader._remaining")
    if lacking:
        raise EngineError(
            f"mitmproxy {version.VERSION} does not have {', '.join(lacking)} as litellm-hybrid needs it; "
            'install one that fits: pip install "mitmproxy>=12.2,<13"'
        )


def _arguments(cls: type, name: str) -> tuple[str, ...] | None:
    function = getattr(cls, name, None)
    return None if function is None else tuple(inspect.signature(function).parameters)
