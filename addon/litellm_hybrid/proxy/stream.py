"""One request and its response: mitmproxy's `HttpStream`, which can hold a response back and replace it.

    state         event                        action                              next
    ------------  ---------------------------  ----------------------------------  ---------------------------
    uploading     too long, silent or slow     refuse with 413 or 408, close       done
    uploading     the end of a long body       wait for its turn                   deciding
    deciding      a hook set a response        send it                             done
    connecting    refused, or limit            policy.on_failure                   connecting, or done (502)
    waiting head  a kept connection closes     send it once more on a new one      connecting
    waiting head  policy's first-byte limit    policy.on_failure                   connecting, or waiting head
    waiting head  limit, end, protocol error   policy.on_failure                   connecting, or done (502)
    waiting head  head                         policy.on_response                  holding, or streaming
    holding       data, end, deadline          HeldResponse.feed, end, expire      holding, streaming, or
                                               policy.on_failed_response           connecting (a replay)
    holding       limit, end, protocol error   as a failure if it is one, also by  connecting, done (502), or
                                               its status; an error: on_failure;   streaming, and cut at once
                                               else release
    a replay      error response, or a failure give the first response back        done (cut where its end
                                                                                   is not known)
    streaming     limit, end, protocol error   report it, cut the response         done
    any           the client leaves            report it, reset the server stream  done

mitmproxy's own states are `client_state` and `server_state`, bound methods; ours in `server_state`:
`state_wait_for_response_headers` (waiting head), `state_hold` (holding), `state_stream_response_body` and
`state_consume_response_body` (streaming). Uploading is `client_state`; while deciding and connecting the
layer is paused, and events wait in `_paused_event_queue`. `self.attempt` is the server that is being tried,
`self.first` the attempt whose response the client gets if a replay fails.
"""

from time import time
from typing import override

from mitmproxy import http
from mitmproxy.net.http.validate import validate_headers
from mitmproxy.proxy import events, layer
from mitmproxy.proxy.layers.http import SendHttp
from mitmproxy.proxy.layers.http._events import (
    ErrorCode,
    RequestData,
    RequestEndOfMessage,
    RequestHeaders,
    RequestProtocolError,
    ResponseData,
    ResponseHeaders,
    ResponseProtocolError,
    ResponseTrailers,
)
from mitmproxy.proxy.layers.http._hooks import HttpRequestHook, HttpResponseHeadersHook
from mitmproxy.proxy.utils import ReceiveBuffer

from litellm_hybrid.errors import Cause, Failure
from litellm_hybrid.proxy import failures
from litellm_hybrid.proxy.attempt import Attempt
from litellm_hybrid.proxy.deadlines import LimitReached, Phase
from litellm_hybrid.proxy.failures import CLIENT_LEFT, ClosedBeforeResponse
from litellm_hybrid.proxy.held_response import HeldResponse, HoldDecision
from litellm_hybrid.proxy.stream_base import BaseStream, FirstByteOverdue, HoldExpired
from litellm_hybrid.proxy.waits import LONG_BODY, HybridLongBodyHook
from litellm_hybrid.proxy.whole import PlainResponse, WholeRequest, WholeResponse

MOST_BODY = 64 * 1024 * 1024
"""The longest request body that is taken, in bytes."""


class HybridStream(BaseStream):
    """One request of a client connection, and its response."""

    @override
    def _dispatch(self, event: events.Event) -> layer.CommandGenerator[None]:
        begun: layer.CommandGenerator[None] | None = None
        if isinstance(event, RequestHeaders):
            begun = self.client_state(event)
        elif isinstance(event, ResponseHeaders):
            begun = self.server_state(event)
        if begun is not None:
            return begun
        if isinstance(event, FirstByteOverdue):
            return self._first_byte_overdue()
        if isinstance(event, HoldExpired):
            return self._hold_expired()
        return super()._dispatch(event)

    # -- uploading, deciding, connecting --------------------------------------

    @override
    def state_wait_for_request_headers(self, event: RequestHeaders) -> layer.CommandGenerator[None]:
        if isinstance(event, WholeRequest) and self._takes_in_one():
            if (yield from self._begin_whole(event)):
                yield from self._request_ended(event.body)
            return
        # In reverse mode mitmproxy overwrites the client's Host before any hook runs.
        host = event.request.authority or event.request.host_header or ""
        self.attempt = Attempt(event.request, self.context.server)
        self._enter(Phase.UPLOAD)
        length = event.request.headers.get("content-length", "")
        too_long = length.isdecimal() and (len(length) > 18 or int(length) > MOST_BODY)
        if too_long:
            event.request.headers.pop("expect", None)  # mitmproxy would ask for the body first
        yield from super().state_wait_for_request_headers(event)
        self._proxy.observer.request_begun(self.flow, host)
        if too_long and self.client_state == self.state_consume_request_body:
            yield from self._refuse_too_long(MOST_BODY)
        elif isinstance(event, WholeRequest):
            yield from self._take_rest(event, self.context.client)

    @override
    def state_consume_request_body(self, event: events.Event) -> layer.CommandGenerator[None]:
        self._timer.touch()
        if isinstance(event, RequestData) and len(self.request_body_buf) + len(event.data) > MOST_BODY:
            yield from self._refuse_too_long(MOST_BODY)
            return
        if isinstance(event, RequestEndOfMessage):
            self._timer.phase = Phase.NOTHING
            if len(self.request_body_buf) > LONG_BODY:
                yield HybridLongBodyHook(self.flow)
                if self._client_left():
                    self.request_body_buf.clear()
            body = bytes(self.request_body_buf)
            self.request_body_buf.clear()
            yield from self._request_ended(body)
        else:
            yield from super().state_consume_request_body(event)

    def _request_ended(self, body: bytes) -> layer.CommandGenerator[None]:
        # As in the base class, but that what goes to a server may go in one event.
        data = self.flow.request.data
        data.timestamp_end, data.content = time(), body
        self.client_state = self.state_done
        yield from self._hook(HttpRequestHook)
        if self._is_interrupted and (yield from self.check_killed(emit_error_hook=True)):
            return
        if self.flow.response:
            self.flow.response.timestamp_start = time()
            yield from self._hook(HttpResponseHeadersHook)
            if not (yield from self.check_killed(emit_error_hook=True)):
                yield from self.send_response()
        elif (yield from self.make_server_connection()):
            yield from self._send_request(self.flow.request)
            if not self._is_redacted:
                self._redact()
            self._proxy.observer.request_sent(self.flow)

    @override
    def make_server_connection(self) -> layer.CommandGenerator[bool]:
        policy, attempt = self._proxy.policy, self.attempt
        if not policy.may_forward(self.flow):
            yield from self._reply_or_replay(Failure(Cause.INTERNAL_ERROR, "no decision was made for it"))
            return False
        self._proxy.view.restore_credentials(self.flow)
        attempt.request = self.flow.request
        if (kept := self._parent.kept_connection(self)) is not None:  # it need not be waited for
            self.context.server = self.flow.server_conn = kept
        else:
            if self.first is not None:
                self._proxy.observer.replay_begun(self.flow)
            if not (yield from super().make_server_connection()):
                return False
        attempt.server, attempt.is_connected = self.context.server, True
        attempt.reuses_connection = self._parent.use(self.context.server)
        if self._client_left():
            yield from self._reset_server("client disconnected while connecting")
            yield from self.check_killed(emit_error_hook=True)
            return False
        request = attempt.request
        if request.is_http2 and request.raw_content and "content-length" not in request.headers:
            # HTTP/2 needs no length, HTTP/1 has to be told.
            request.headers["content-length"] = str(len(request.raw_content))
        self._timer.first_byte_limit = policy.first_byte_limit(self.flow) if self.first is None else None
        self._enter(Phase.FIRST_BYTE)
        return True

    def _send(self, attempt: Attempt) -> layer.CommandGenerator[None]:
        """Send a complete request in place of the one that has failed."""
        self.attempt = attempt
        self._timer.phase = Phase.NOTHING
        self._is_reported = False
        self.flow.request = request = attempt.request
        self.flow.response = self.flow.error = None
        self.server_state = self.state_wait_for_response_headers
        if not (yield from self.make_server_connection()):
            return
        yield from self._send_request(request)
        self._redact()

    # -- waiting for the head -------------------------------------------------

    @override
    def state_wait_for_response_headers(self, event: ResponseHeaders) -> layer.CommandGenerator[None]:
        server = self.context.server
        yield from self._response_begun(event)
        if isinstance(event, WholeResponse):
            yield from self._take_rest(event, server)

    def _response_begun(self, event: ResponseHeaders) -> layer.CommandGenerator[None]:
        self._is_valid = isinstance(event, PlainResponse)
        if isinstance(event, WholeResponse):
            self._timer.enter(Phase.BODY)  # nothing is waited for
        else:
            self._enter(Phase.BODY)
        self._proxy.observer.response_begun(self.flow, event.response)
        held = self._ask(self._proxy.policy.on_response, self.flow, event.response)
        if held is None:
            yield from super().state_wait_for_response_headers(event)
            return
        self.attempt.hold(event, held)
        self.flow.response = event.response
        self.server_state = self.state_hold
        if isinstance(event, WholeResponse):
            yield from self._hold_whole(event, held)
        elif not (yield from self.check_invalid(request=False)):
            self._parent.checks.schedule(held.due)

    @override
    def check_invalid(self, request: bool) -> layer.CommandGenerator[bool]:
        if not request and self._is_valid:
            return False
        if request or not self.context.options.validate_inbound_headers:
            return (yield from super().check_invalid(request))
        assert self.flow.response
        try:
            validate_headers(self.flow.response)
            self._validate_status(self.flow.response.status_code)
        except ValueError as e:
            self.attempt.drop_held()
            yield from self._reset_server("its response was refused")
            code = ErrorCode.RESPONSE_VALIDATION_FAILED
            yield from self._server_failed(ResponseProtocolError(self.stream_id, str(e), code))
            return True
        return False

    def _first_byte_overdue(self) -> layer.CommandGenerator[None]:
        limit, self._timer.first_byte_limit = self._timer.limit_reached, None
        failure = Failure(limit.cause, limit)
        self.attempt.response = self._proxy.policy.error_response(self.flow, failure)
        request = yield from self._replacing(failure)
        if request is not None:
            yield from self._reset_server(limit)
            yield from self._replay(request)

    # -- holding --------------------------------------------------------------

    def state_hold(self, event: events.Event) -> layer.CommandGenerator[None]:
        """Keep what comes until it is clear what it is."""
        held, head = self.attempt.held, self.attempt.head
        assert held is not None
        assert head is not None
        self._timer.touch()
        if isinstance(event, ResponseData):
            yield from self._apply(held.feed(event.data, now=time(), clock=self._timer.since))
        elif isinstance(event, ResponseTrailers):
            head.response.trailers = event.trailers
        else:
            yield from self._apply(held.end(now=time()))

    def _hold_whole(self, event: WholeResponse, held: HeldResponse) -> layer.CommandGenerator[None]:
        decision = HoldDecision.HOLD
        if event.body:
            decision = held.feed(event.body, now=time(), clock=self._timer.since)
            event.body = b""
        if decision is HoldDecision.HOLD:
            decision = held.end(now=time())
            event.has_ended = True
        yield from self._apply(decision)

    def _hold_expired(self) -> layer.CommandGenerator[None]:
        if self.attempt.held is not None:
            yield from self._apply(self.attempt.held.expire(now=time()))

    def _apply(self, decision: HoldDecision) -> layer.CommandGenerator[None]:
        held = self.attempt.held
        assert held is not None
        match decision:
            case HoldDecision.HOLD:
                self._parent.checks.schedule(held.due)
            case HoldDecision.REPLACE:
                yield from self._replace()
            case HoldDecision.TIMED_OUT:
                self._proxy.observer.hold_limit_reached(self.flow, held)
                yield from self._release()
            case HoldDecision.RELEASE:
                yield from self._release()

    def _release(self) -> layer.CommandGenerator[None]:
        """Send the client what was held, and the rest as it comes."""
        head, held = self.attempt.take_held()
        if held.complete:
            yield from self._send_whole(head.response, bytes(held.body))
            return
        yield from super().state_wait_for_response_headers(head)
        if held.body:
            yield from self.server_state(ResponseData(self.stream_id, bytes(held.body)))

    def _send_whole(self, response: http.Response, body: bytes) -> layer.CommandGenerator[None]:
        response.data.content = body
        self.flow.response = response
        yield from self._hook(HttpResponseHeadersHook)
        if not (self._is_interrupted and (yield from self.check_killed(emit_error_hook=True))):
            yield from self.send_response()

    def _replace(self, broken_by: Failure | None = None) -> layer.CommandGenerator[None]:
        """Send another request in place of one that failed; or the client gets the first failed response.

        `broken_by`: why the response has no end.
        """
        yield from self._reserve()
        if self._is_interrupted and (yield from self.check_killed(emit_error_hook=True)):
            # In mitmweb, while it was held.
            self.attempt.drop_held()
            self._timer.phase = Phase.NOTHING
            yield from self._reset_server("killed")
            return
        held = self.attempt.keep_failed_response()
        request = self._ask(self._proxy.policy.on_failed_response, self.flow, held)
        if request is not None:
            self.attempt.drop_held()
            if not held.complete:
                yield from self._reset_server("replaced by a replay")
            yield from self._replay(request)
        elif self.first is not None:
            status = self.attempt.status
            yield from self._restore_first(str(status) if status >= 400 else "error-event")
        elif broken_by is not None:
            assert self.attempt.response is not None
            self._report(broken_by)
            self.attempt.drop_held()
            yield from self._send_cut(self.attempt.response)
        else:
            yield from self._release()

    # -- a replay -------------------------------------------------------------

    def _replay(self, request: http.Request) -> layer.CommandGenerator[None]:
        self.first = self.first or self.attempt
        # To the same server again: mitmproxy's HTTP/1 has not finished with the response that is being
        # replaced, and its HTTP/2 would send the request on the stream of the first.
        same = (request.data.host, request.data.port) == self.context.server.address
        yield from self._send(Attempt(request, self.flow.server_conn, needs_new_connection=same))
        self._proxy.observer.replay_begun(self.flow)

    def _restore_first(self, why: str) -> layer.CommandGenerator[None]:
        """Give the client the first response, because the replay failed."""
        failed, first, held = self.attempt, self.first, self.attempt.held
        assert first is not None
        assert first.response is not None
        self.attempt, self.first = first, None
        self._timer.phase = Phase.NOTHING
        if failed.is_connected and not (held is not None and held.complete):
            yield from self._reset_server("the replay failed")
        failed.drop_held()
        self.flow.request, self.flow.server_conn = first.request, first.server
        self._redact()
        self.flow.response = first.response
        self._proxy.observer.replay_failed(self.flow, why, held)
        if first.is_complete:
            yield from self._send_whole(first.response, first.response.raw_content or b"")
        else:
            yield from self._send_cut(first.response)

    # -- streaming --------------------------------------------------------------

    @override
    def start_response_stream(self) -> layer.CommandGenerator[None]:
        # As in the base class, without its log line for each response.
        assert self.flow.response
        self._begin_response()
        yield SendHttp(
            ResponseHeaders(self.stream_id, self.flow.response, end_stream=False), self.context.client
        )
        self.server_state = self.state_stream_response_body

    @override
    def state_stream_response_body(self, event: events.Event) -> layer.CommandGenerator[None]:
        self._timer.touch()
        yield from super().state_stream_response_body(event)

    @override
    def state_consume_response_body(self, event: events.Event) -> layer.CommandGenerator[None]:
        self._timer.touch()
        yield from super().state_consume_response_body(event)

    @override
    def send_response(self, already_streamed: bool = False) -> layer.CommandGenerator[None]:
        self._timer.phase = Phase.NOTHING
        self._begin_response()
        if not already_streamed and self._sends_in_one():
            return self._send_in_one()
        return self._as_client_gets_it(super().send_response(already_streamed))

    # -- what goes wrong ----------------------------------------------------------

    @override
    def handle_protocol_error(
        self, event: RequestProtocolError | ResponseProtocolError
    ) -> layer.CommandGenerator[None]:
        self._timer.phase = Phase.NOTHING
        self._keep_beginning()
        running = self.client_state != self.state_errored and self.server_state not in (
            self.state_done,
            self.state_errored,
        )
        if not running:
            yield from super().handle_protocol_error(event)
        elif isinstance(event, RequestProtocolError):
            closed = self.context.client in self._parent.closed_by_peer
            self._report(failures.of_client(event, closed=closed))
            yield from super().handle_protocol_error(event)
        else:
            yield from self._server_failed(event)

    def _server_failed(self, event: ResponseProtocolError) -> layer.CommandGenerator[None]:
        limit = event.message if isinstance(event.message, LimitReached) else None
        if limit is not None and limit.cause is Cause.UPLOAD_LIMIT:
            yield from self._refuse_upload(limit, ErrorCode.GENERIC_CLIENT_ERROR)
            return
        if limit is not None:
            yield from self._reset_server(limit)
        closed = self.context.server in self._parent.closed_by_peer
        failure = CLIENT_LEFT if self._client_left() else failures.of_server(event, closed=closed)
        held = self.attempt.held
        if failure.cause is Cause.CLIENT_LEFT or self._has_begun:
            self._report(failure)
            yield from super().handle_protocol_error(event)
        elif isinstance(event.message, ClosedBeforeResponse) and self.attempt.may_be_sent_again(
            self._proxy.clock() - self._timer.since
        ):
            self._proxy.observer.sent_again(self.flow)
            yield from self._send(self.attempt.again())
        elif self.first is not None:
            yield from self._restore_first(failure.error_type.value)
        elif held is not None and (held.is_failure or held.expire(now=time()) is HoldDecision.REPLACE):
            yield from self._replace(broken_by=failure)
        elif held is not None and self.attempt.status < 400:
            yield from self._release()
            yield from self.handle_protocol_error(event)
        else:
            self.attempt.drop_held()
            yield from self._reply_or_replay(failure)

    def _reply_or_replay(self, failure: Failure) -> layer.CommandGenerator[None]:
        """Give a request without a server's response LiteLLM's, or ours."""
        self._report(failure)
        response = self._proxy.policy.error_response(self.flow, failure)
        request = yield from self._replacing(failure)
        if request is not None:
            self.attempt.response = response
            yield from self._replay(request)
            return
        self.response_body_buf = ReceiveBuffer()
        yield from self._send_whole(response, response.raw_content or b"")
