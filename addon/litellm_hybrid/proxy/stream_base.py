"""What a stream needs in every state: limits in time, cheap hooks, and a request without its credentials."""

import asyncio
import collections
import gc
from collections.abc import Callable
from dataclasses import dataclass
from time import time
from typing import TYPE_CHECKING, override

from mitmproxy import flow, http
from mitmproxy.connection import Connection
from mitmproxy.net.http import url
from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.http import DropStream, HttpStream, SendHttp
from mitmproxy.proxy.layers.http._base import HttpEvent
from mitmproxy.proxy.layers.http._events import (
    ErrorCode,
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

from litellm_hybrid.errors import Failure
from litellm_hybrid.proxy.attempt import Attempt
from litellm_hybrid.proxy.deadlines import CHECK_EVERY, Phase, Timer
from litellm_hybrid.proxy.failures import CLIENT_LEFT
from litellm_hybrid.proxy.fast_path import OF_A_REQUEST, WaitForResumeHook, set_host
from litellm_hybrid.proxy.http1 import HybridHttp1Client, HybridHttp1Server
from litellm_hybrid.proxy.relay import Framing, Passage, Relay
from litellm_hybrid.proxy.waits import HybridWaitHook
from litellm_hybrid.proxy.whole import WholeRequest, WholeResponse

if TYPE_CHECKING:
    from litellm_hybrid.proxy.layer import HybridLayer

_LARGE = 1024 * 1024
"""A request body of this length, in bytes, is not left for the garbage collection to find."""

_FROM_SERVER = (ResponseHeaders, ResponseData, ResponseTrailers, ResponseEndOfMessage, ResponseProtocolError)


class Flush(commands.Command):
    """What there is to be sent is written before anything else is done."""


@dataclass
class HoldExpired(HttpEvent):
    """A response has been held as long as may be."""


@dataclass
class FirstByteOverdue(HttpEvent):
    """The policy's own limit for the first byte has passed."""


def _state_finished(_: events.Event) -> layer.CommandGenerator[None]:
    """The state of a stream that is over."""
    yield from ()


class BaseStream(HttpStream):
    """mitmproxy's stream, timed and observed.

    Attributes:
        attempt: the server that is being tried; there is one once the request's head has come.
        first: what the client gets if a replay fails; None: this is no replay.
        relay: what its response's body passes through; None: mitmproxy's layers.
    """

    attempt: Attempt
    first: Attempt | None = None

    def __init__(self, context: Context, stream_id: int, parent: "HybridLayer") -> None:
        super().__init__(context, stream_id)
        self.client_state = self.state_wait_for_request_headers  # which mitmproxy's waits for an event to do
        self._parent = parent
        self._proxy = parent.proxy
        self._timer = Timer(parent.proxy.clock, parent.proxy.policy.limits())
        self._has_begun = False  # a byte of a response has gone to the client
        self._is_reported = False  # the observer knows that this attempt failed
        self._is_redacted = False  # the flow shows no credentials
        self._is_valid = False  # so is the head of the response
        self.relay: Relay | None = None  # made here, it takes no dict of its own where it is set

    # -- limits in time -------------------------------------------------------

    def _enter(self, phase: Phase) -> None:
        self._timer.enter(phase)
        self._parent.checks.schedule(self.due)

    @property
    def due(self) -> float:
        """When, on the proxy's clock, the current wait has lasted too long."""
        if self._paused:
            # A hook is running, or mitmweb holds the flow: nothing is being waited for.
            return self._proxy.clock() + CHECK_EVERY
        held = self.attempt.held
        return self._timer.due if held is None else min(self._timer.due, held.due)

    def deadline_event(self) -> HttpEvent:
        """The event that ends a wait that has lasted too long."""
        held = self.attempt.held
        if held is not None and held.due <= self._proxy.clock():
            return HoldExpired(self.stream_id)
        if self._timer.is_policys_limit:
            return FirstByteOverdue(self.stream_id)
        return ResponseProtocolError(
            self.stream_id, self._timer.limit_reached, ErrorCode.GENERIC_SERVER_ERROR
        )

    # -- every event ------------------------------------------------------------

    @override
    def _handle_event(self, event: events.Event) -> layer.CommandGenerator[None]:
        if self.relay is not None:
            self.relay.hand_back()
        work, reply = self._dispatch(event), None
        while True:
            try:
                command = work.send(reply)
            except StopIteration:
                if self.stream_id not in self._parent.streams:
                    self._break_cycles()
                return
            if isinstance(command, OF_A_REQUEST) and not self._is_nested(command):
                reply = None
                yield from self._hook(type(command))
            else:
                reply = yield command

    def _is_nested(self, hook: commands.StartHook) -> bool:
        """Whether a request begins within the end of the last one: to wait for a task ends that.

        Hundreds of requests that come at once, and are answered here, would be nested in each other.
        """
        if not isinstance(hook, HttpRequestHeadersHook):
            return False
        client_side = self._parent.connections.get(self.context.client)
        return isinstance(client_side, HybridHttp1Server) and client_side.reads_on

    def _hook(self, kind: type[commands.StartHook]) -> layer.CommandGenerator[None]:
        """Have the handlers of a hook of this request called: at once, if that may be."""
        hooks = self._proxy.hooks
        if hooks is None or not hooks.call(kind, self.flow):
            yield kind(self.flow)
        elif self.flow.intercepted:
            yield WaitForResumeHook(self.flow)
        if kind is HttpRequestHook and self._proxy.waits.has(self.flow):
            yield HybridWaitHook(self.flow)

    def _dispatch(self, event: events.Event) -> layer.CommandGenerator[None]:
        work: layer.CommandGenerator[None] = super()._handle_event(event)
        return work

    def _take_rest(
        self, event: WholeRequest | WholeResponse, source: Connection
    ) -> layer.CommandGenerator[None]:
        """Take what follows the head of a whole message, as far as it would come by itself."""
        for part in event.rest():
            # Not if the request is over, nor from a server that has been given up.
            if self.stream_id in self._parent.streams and source in self._parent.connections:
                yield from self._dispatch(part)

    def _break_cycles(self) -> None:
        """End the circles of references through a stream that is over, so that its bodies go with it.

        Python looks for circles by the number of objects, and a handful can hold hundreds of megabytes.
        """
        self.attempt.drop_held()
        self.client_state = self.server_state = _state_finished
        self.context.layers.clear()
        self._paused_event_queue.clear()
        if len(self.flow.request.raw_content or b"") >= _LARGE:
            # What is left are mitmproxy's own: see `fast_path.skip_self_checks`.
            asyncio.get_running_loop().call_soon(gc.collect, 0)

    # -- credentials ------------------------------------------------------------

    def _redact(self) -> None:
        """Show the flow without credentials from now on; `attempt.request` keeps them."""
        self.flow.request = self._proxy.view.redacted(self.flow)
        self._is_redacted = True

    def _ask[**P, R](self, ask: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Ask the policy, and let it see the request as it was sent."""
        shown, self.flow.request = self.flow.request, self.attempt.request
        try:
            return ask(*args, **kwargs)
        finally:
            self.flow.request = shown

    # -- peers ------------------------------------------------------------------

    def passing_through(self, source: HybridHttp1Client, client_side: HybridHttp1Server) -> Passage | None:
        """The response's body, if all that is left to do with it is to send what comes."""
        response = self.flow.response
        passes = self.server_state == self.state_stream_response_body and not self._paused
        stores = self.context.options._options["store_streamed_bodies"]  # noqa: SLF001 (it is asked often)
        if not passes or response is None or stores.current():
            return None
        sent = client_side.response
        if sent is None or client_side.stream_id != self.stream_id or not Framing.can_take_over(source):
            return None
        tap = response.stream if callable(response.stream) else None
        to_chunks = "chunked" in sent.headers.get("transfer-encoding", "").lower()
        return Passage(self, source, tap, to_chunks, self._timer, stores)

    def _reset_server(self, why: str) -> layer.CommandGenerator[None]:
        """Detach from the server: close an HTTP/1 connection, reset an HTTP/2 stream."""
        connection = self.context.server
        if connection in self._parent.connections:
            yield SendHttp(RequestProtocolError(self.stream_id, why, ErrorCode.CANCEL), connection)
            self._parent.detach(connection, self.stream_id)
        # What it has already sent must not be taken for the response to a replay.
        self._paused_event_queue = collections.deque(
            event for event in self._paused_event_queue if not isinstance(event, _FROM_SERVER)
        )

    @override
    def check_killed(self, emit_error_hook: bool) -> layer.CommandGenerator[bool]:
        if self._client_left():
            self._report(CLIENT_LEFT)
        return super().check_killed(emit_error_hook)

    @property
    def _is_interrupted(self) -> bool:
        """Whether `check_killed` has something to look at."""
        return bool(self._paused_event_queue) or self.flow.error is not None

    def _client_left(self) -> bool:
        waiting = self._paused_event_queue
        return bool(waiting) and any(isinstance(event, RequestProtocolError) for event in waiting)

    def _report(self, failure: Failure) -> None:
        """Tell the observer, once for each attempt."""
        if not self._is_reported:
            self._is_reported = True
            self._proxy.observer.failed(self.flow, failure, response_begun=self._has_begun)

    # -- requests ---------------------------------------------------------------

    def _takes_in_one(self) -> bool:
        """Whether no option of mitmproxy's wants to know of a body before it has come."""
        options = self.context.options
        return not (options.stream_large_bodies or options.body_size_limit)

    def _begin_whole(self, event: WholeRequest) -> layer.CommandGenerator[bool]:
        """Begin with a request that is here, and valid; whether nothing but its end is left to be done."""
        # As `state_wait_for_request_headers` in the base class.
        request, server = event.request, self.context.server
        host = request.host_header or ""
        self.attempt = Attempt(request, server)
        self.flow = flow = http.HTTPFlow(self.context.client, server)
        flow.request, flow.live = request, True
        assert server.address
        data, scheme = request.data, "https" if server.tls else "http"
        data.host, data.port, data.scheme = *server.address[:2], scheme.encode()
        if not self.context.options.keep_host_header:
            set_host(request, url.hostport(scheme, data.host, data.port))
        yield from self._hook(HttpRequestHeadersHook)
        was_killed = self._is_interrupted and (yield from self.check_killed(emit_error_hook=True))
        self._proxy.observer.request_begun(flow, host)
        if was_killed:
            return False
        self.server_state = self.state_wait_for_response_headers
        if not (flow.request.stream and event.body):
            return True
        yield from self.start_request_stream()
        yield from self._take_rest(event, self.context.client)
        return False

    def _refuse_too_long(self, most: int) -> layer.CommandGenerator[None]:
        why = f"The body is longer than {most} bytes."
        return self._refuse_upload(why, ErrorCode.REQUEST_TOO_LARGE)

    def _refuse_upload(self, why: str, code: ErrorCode) -> layer.CommandGenerator[None]:
        """Answer a request that has not come to its end; its connection is of no more use."""
        self._timer.phase = Phase.NOTHING
        peer = self.context.client.peername
        self._proxy.observer.malformed(peer[0] if peer else "", why)
        self._is_reported = True
        self.flow.error = flow.Error(why)
        yield HttpErrorHook(self.flow)
        yield SendHttp(ResponseProtocolError(self.stream_id, why, code), self.context.client)
        self.flow.live = False
        self.client_state = self.server_state = self.state_errored
        yield DropStream(self.stream_id)

    def _send_request(self, request: http.Request) -> layer.CommandGenerator[None]:
        content, trailers, server = request.raw_content or b"", request.trailers, self.context.server
        head = WholeRequest(self.stream_id, request, not (content or trailers), None, content)
        if self._parent.takes_whole(server):
            yield from self._parent.send_whole(head, server)
        else:
            yield SendHttp(RequestHeaders(self.stream_id, request, head.end_stream), server)
            for part in head.rest():
                if trailers and isinstance(part, RequestEndOfMessage):
                    yield SendHttp(RequestTrailers(self.stream_id, trailers), server)
                yield SendHttp(part, server)
        yield Flush()  # the server works on it while the rest is done

    # -- responses ---------------------------------------------------------------

    def _validate_status(self, status: int) -> None:
        # mitmproxy makes any 101 a tunnel: what follows on the connection would be decided by nobody.
        if status == 101 and "upgrade" in self.flow.request.headers:
            return
        if not 200 <= status <= 999:
            raise ValueError(f"the status {status}, which is not one of a final response")

    def _begin_response(self) -> None:
        """Note that a byte of a response goes to the client: nothing replaces it from now on."""
        self._has_begun = True
        self.first = None

    def _as_client_gets_it(self, work: layer.CommandGenerator[None]) -> layer.CommandGenerator[None]:
        for command in work:
            if isinstance(command, SendHttp) and isinstance(command.event, ResponseHeaders):
                command.event.response = self._proxy.view.response(self.flow) or command.event.response
            yield command

    def _sends_in_one(self) -> bool:
        """Whether a response that is here goes to the client in one event."""
        assert self.flow.response
        switches = self.flow.response.data.status_code == 101
        may_go = self.client_state == self.state_done and not switches
        return may_go and self._parent.takes_whole(self.context.client)

    def _send_in_one(self) -> layer.CommandGenerator[None]:
        # As `send_response` and `flow_done` in the base class.
        flow = self.flow
        assert flow.response
        flow.response.data.timestamp_end = time()
        yield from self._hook(HttpResponseHook)
        self.server_state = self.state_done
        if self._is_interrupted and (yield from self.check_killed(emit_error_hook=False)):
            return
        flow.live = False
        response, body = self._proxy.view.response(flow) or flow.response, flow.response.raw_content or b""
        yield DropStream(self.stream_id)
        whole = WholeResponse(self.stream_id, response, not body, body)
        yield from self._parent.send_whole(whole, self.context.client)

    def _send_cut(self, response: http.Response) -> layer.CommandGenerator[None]:
        """Send a response whose end is not known: the client must not take it for whole."""
        self.flow.response = response
        yield from self._hook(HttpResponseHeadersHook)
        body = response.raw_content or b""
        if callable(response.stream):  # what passes it on has seen none of it
            passed = response.stream(body)
            body = passed if isinstance(passed, bytes) else b"".join(passed)
        response.stream = True
        if (yield from self.check_killed(emit_error_hook=True)):
            return
        yield from self.start_response_stream()
        yield SendHttp(ResponseData(self.stream_id, body), self.context.client)
        cut = ResponseProtocolError(self.stream_id, "response cut short", ErrorCode.GENERIC_SERVER_ERROR)
        yield from super().handle_protocol_error(cut)

    def _reserve(self, failure: Failure | None = None) -> layer.CommandGenerator[None]:
        """Wait for the moment that a place in a budget of several processes takes.

        `failure`: what may be replayed for; None: the held response.
        """
        why = failure or self.attempt.held
        assert why is not None
        if (reserving := self._proxy.policy.reserve(self.flow, why)) is not None:
            self._proxy.waits.until(self.flow, reserving)
            yield HybridWaitHook(self.flow)

    def _replacing(self, failure: Failure) -> layer.CommandGenerator[http.Request | None]:
        """Return the request that replaces one without a response, once it has its place."""
        yield from self._reserve(failure)
        return self._ask(self._proxy.policy.on_failure, self.flow, failure)

    def _keep_beginning(self) -> None:
        """Let the flow have what came of a response that is cut short; mitmproxy keeps only whole ones."""
        if not self.context.options.store_streamed_bodies or self.flow.response is None:
            return
        held = self.attempt.held
        if held is None and self.server_state != self.state_stream_response_body:
            return
        beginning = bytes(self.response_body_buf if held is None else held.body)
        if beginning:
            self.flow.response.data.content = beginning
