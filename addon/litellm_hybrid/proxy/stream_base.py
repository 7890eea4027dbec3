"""What a stream needs in every state: limits in time, cheap hooks, and a request without its credentials."""

import asyncio
import collections
import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, override

from mitmproxy import http
from mitmproxy.connection import Connection
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
from mitmproxy.proxy.layers.http._hooks import HttpRequestHook

from litellm_hybrid.errors import Failure
from litellm_hybrid.proxy.attempt import Attempt
from litellm_hybrid.proxy.deadlines import CHECK_EVERY, Phase, Timer
from litellm_hybrid.proxy.failures import CLIENT_LEFT
from litellm_hybrid.proxy.fast_path import WaitForResumeHook
from litellm_hybrid.proxy.http1 import HybridHttp1Client, HybridHttp1Server
from litellm_hybrid.proxy.relay import Framing, Passage, Relay
from litellm_hybrid.proxy.waits import HybridWaitHook
from litellm_hybrid.proxy.whole import WholeRequest, WholeResponse

if TYPE_CHECKING:
    from litellm_hybrid.proxy.layer import HybridLayer

_LARGE = 1024 * 1024
"""A request body of this length, in bytes, is not left for the garbage collection to find."""

_FROM_SERVER = (ResponseHeaders, ResponseData, ResponseTrailers, ResponseEndOfMessage, ResponseProtocolError)


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
    relay: Relay | None = None

    def __init__(self, context: Context, stream_id: int, parent: "HybridLayer") -> None:
        super().__init__(context, stream_id)
        self._parent = parent
        self._proxy = parent.proxy
        self._timer = Timer(parent.proxy.clock, parent.proxy.policy.limits())
        self._has_begun = False  # a byte of a response has gone to the client
        self._is_reported = False  # the observer knows that this attempt failed
        self._is_redacted = False  # the flow shows no credentials

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
        hooks = self._proxy.hooks
        work, reply = self._dispatch(event), None
        while True:
            try:
                command = work.send(reply)
            except StopIteration:
                if self.stream_id not in self._parent.streams:
                    self._break_cycles()
                return
            is_hook = isinstance(command, commands.StartHook)
            called = hooks.call(command) if is_hook and hooks is not None else None
            if called is None:
                reply = yield command
            else:
                reply = (yield WaitForResumeHook(called)) if called.intercepted else None
            if is_hook and isinstance(command, HttpRequestHook) and self._proxy.waits.has(self.flow):
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

    @contextmanager
    def _with_credentials(self) -> Iterator[None]:
        """Let the policy see the request as it was sent."""
        shown, self.flow.request = self.flow.request, self.attempt.request
        try:
            yield
        finally:
            self.flow.request = shown

    # -- peers ------------------------------------------------------------------

    def passing_through(self, source: HybridHttp1Client, client_side: HybridHttp1Server) -> Passage | None:
        """The response's body, if all that is left to do with it is to send what comes."""
        response = self.flow.response
        passes = self.server_state == self.state_stream_response_body and not self._paused
        stores = self.context.options._options["store_streamed_bodies"].current  # noqa: SLF001 (it is asked often)
        if not passes or response is None or stores():
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

    def _client_left(self) -> bool:
        return any(isinstance(event, RequestProtocolError) for event in self._paused_event_queue)

    def _report(self, failure: Failure) -> None:
        """Tell the observer, once for each attempt."""
        if not self._is_reported:
            self._is_reported = True
            self._proxy.observer.failed(self.flow, failure, response_begun=self._has_begun)

    # -- requests ---------------------------------------------------------------

    def _send_request(self, request: http.Request) -> layer.CommandGenerator[None]:
        content, trailers, server = request.raw_content or b"", request.trailers, self.context.server
        head = WholeRequest(self.stream_id, request, not (content or trailers), None, content)
        if self._parent.takes_whole(server):
            yield SendHttp(head, server)
        else:
            yield SendHttp(RequestHeaders(self.stream_id, request, head.end_stream), server)
            for part in head.rest():
                if trailers and isinstance(part, RequestEndOfMessage):
                    yield SendHttp(RequestTrailers(self.stream_id, trailers), server)
                yield SendHttp(part, server)

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

    def _joined(self, work: layer.CommandGenerator[None]) -> layer.CommandGenerator[None]:
        """Send a response as the client gets it, in one event where it may go so."""
        head: ResponseHeaders | None = None  # that is kept, to go in one event with the rest
        body = b""
        for command in work:
            event = command.event if isinstance(command, SendHttp) else None
            if isinstance(event, ResponseHeaders):
                event.response = self._proxy.view.response(self.flow) or event.response
                if self._parent.takes_whole(self.context.client):
                    head = event
                    continue
            elif head is not None:
                if isinstance(event, ResponseData) and not body:
                    body = event.data
                    continue
                if isinstance(event, ResponseEndOfMessage):
                    whole = WholeResponse(self.stream_id, head.response, head.end_stream, body)
                    yield SendHttp(whole, self.context.client)
                    head = None
                    continue
                if not isinstance(command, DropStream):
                    yield from self._send_begun(head, body)
                    head = None
            yield command
        if head is not None:
            yield from self._send_begun(head, body)

    def _send_begun(self, head: ResponseHeaders, body: bytes) -> layer.CommandGenerator[None]:
        yield SendHttp(head, self.context.client)
        if body:
            yield SendHttp(ResponseData(self.stream_id, body), self.context.client)

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
        with self._with_credentials():
            return self._proxy.policy.on_failure(self.flow, failure)

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
