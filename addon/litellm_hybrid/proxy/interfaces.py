"""What the transport asks of the rest: where a request may go, what is shown of it, and who is told.

proxy/ stands below flow/ and fallback/ and knows neither. It speaks of `mitmproxy.http.HTTPFlow` and calls
three objects that are handed to it:

- a `ForwardingPolicy` decides: limits, whether a response is held back, what replaces a failed one;
- a `FlowView` keeps credentials out of what mitmweb shows and files save;
- a `ProxyObserver` is told what nobody decides: it logs and counts.

None of their methods may block or raise. `HybridProxy` holds them, and what all client connections share.
"""

from collections.abc import Callable, Coroutine
from time import monotonic
from typing import Any, Protocol
from weakref import WeakSet

from mitmproxy import http
from mitmproxy.connection import Client

from litellm_hybrid.config.settings import Timeouts
from litellm_hybrid.errors import Failure
from litellm_hybrid.proxy import fast_path, half_close
from litellm_hybrid.proxy.fast_path import HookCalls
from litellm_hybrid.proxy.held_response import HeldResponse
from litellm_hybrid.proxy.waits import Waits


class ForwardingPolicy[H: HeldResponse](Protocol):
    """Decides what becomes of a request; `H` is its own kind of held response."""

    def limits(self) -> Timeouts:
        """Return the limits for a request that starts now."""
        ...

    def first_byte_limit(self, flow: http.HTTPFlow) -> float | None:
        """Return how long, in seconds, this request waits for the head of its response before it is replaced.

        Asked when the request goes out for the first time. Past it `on_failure` is asked with
        `Cause.FIRST_BYTE_LIMIT`; where that has no replacement, the wait goes on up to `timeouts.first-byte`.
        None: that is the only limit.
        """
        ...

    def may_forward(self, flow: http.HTTPFlow) -> bool:
        """Return whether it has been decided where this request goes; otherwise it goes nowhere."""
        ...

    def on_response(self, flow: http.HTTPFlow, response: http.Response) -> H | None:
        """Return what to hold a response in whose head has come; None: it is passed on as it comes."""
        ...

    def reserve(self, flow: http.HTTPFlow, why: Failure | H) -> Coroutine[Any, Any, None] | None:
        """Return what a replay has to wait for, if it has to.

        Asked before `on_failed_response` (`why` is the held response) and `on_failure`.
        """
        ...

    def on_failed_response(self, flow: http.HTTPFlow, held: H) -> http.Request | None:
        """Return the request that replaces one whose held response is a failure, for either server.

        `flow.response` is the response, with what has come of its body. None: the client gets the first
        response that failed.
        """
        ...

    def on_failure(self, flow: http.HTTPFlow, failure: Failure) -> http.Request | None:
        """Return the request that replaces one whose server gave no response.

        None: the client gets `error_response`.
        """
        ...

    def error_response(self, flow: http.HTTPFlow, failure: Failure) -> http.Response:
        """Return what the client gets where no server gave a response; `ProxyObserver.failed` comes first."""
        ...


class FlowView(Protocol):
    """Decides what a flow shows of its request, to people and to files."""

    def restore_credentials(self, flow: http.HTTPFlow) -> None:
        """Put back what an edit in mitmweb has masked; the request is about to go out."""
        ...

    def redacted(self, flow: http.HTTPFlow) -> http.Request:
        """Return what is to be shown of a request that has gone out; the flow's own if nobody looks."""
        ...

    def response(self, flow: http.HTTPFlow) -> http.Response | None:
        """Return a flow's response as its client gets it; the flow may show less."""
        ...


class ProxyObserver[H: HeldResponse](Protocol):
    """Is told what happens; logs and counts it."""

    def request_begun(self, flow: http.HTTPFlow, host: str) -> None:
        """The head of a request has come.

        Args:
            flow: without the request's body.
            host: the Host header as the client sent it, "" if it sent none; mitmproxy has overwritten it.
        """
        ...

    def response_begun(self, flow: http.HTTPFlow, response: http.Response) -> None:
        """A server's response has begun; `ForwardingPolicy.on_response` comes next."""
        ...

    def malformed(self, client: str, why: str) -> None:
        """A request that is not valid HTTP was refused; there may be no flow for it.

        Args:
            client: the address that it came from.
            why: the parser's words.
        """
        ...

    def hold_limit_reached(self, flow: http.HTTPFlow, held: H) -> None:
        """A response was held for as long, or as much of it, as may be, and goes to the client."""
        ...

    def request_sent(self, flow: http.HTTPFlow) -> None:
        """A request has gone out for the first time; its server works on it."""
        ...

    def replay_begun(self, flow: http.HTTPFlow) -> None:
        """The request that replaces one is on its way, or about to wait for its connection.

        What need not come before it is done here, while its server works on it. Told again once a
        connection that it has waited for is there.
        """
        ...

    def replay_failed(self, flow: http.HTTPFlow, why: str, held: H | None) -> None:
        """A replacement failed, and the client gets the first response.

        Args:
            flow: with the first request and response back in place.
            why: an HTTP status, an error type or `error-event`, for the route header.
            held: the replacement's response, if there was one.
        """
        ...

    def sent_again(self, flow: http.HTTPFlow) -> None:
        """A request was lost with a kept connection, and is sent once more on a new one."""
        ...

    def failed(self, flow: http.HTTPFlow, failure: Failure, *, response_begun: bool) -> None:
        """A request failed; called once for each server that was tried.

        Args:
            flow: the request and what has become of it.
            failure: what happened.
            response_begun: whether a byte of a response has already gone to the client.
        """
        ...


class ClientLayer(Protocol):
    """The HTTP layer of one client connection."""

    @property
    def client(self) -> Client:
        """The client connection."""
        ...

    @property
    def is_busy(self) -> bool:
        """Whether a request of it is running; an upgraded connection does not count."""
        ...


class HybridProxy[H: HeldResponse]:
    """Whom the transport asks, whom it tells, and what it knows of all connections.

    Attributes:
        clock: seconds, monotonic.
        has_left: whether a client that sends no more has left; None: that cannot be told.
        hooks: calls the handlers of hooks; None: mitmproxy does.
        layers: every client connection's layer, as long as it lives.
        relays: whether messages may take the shorter ways, see relay.py and whole.py.
        waits: what keeps requests from going on.
    """

    def __init__(
        self,
        policy: ForwardingPolicy[H],
        view: FlowView,
        observer: ProxyObserver[H],
        *,
        clock: Callable[[], float] | None = None,
        has_left: Callable[[Client], bool | None] = half_close.has_left,
    ) -> None:
        self.policy = policy
        self.view = view
        self.observer = observer
        self.clock = clock or monotonic
        self.has_left = has_left
        self.hooks: HookCalls | None = HookCalls()
        self.relays = fast_path.relays()
        self.waits = Waits()
        fast_path.speed_up_lookups()
        self.layers: WeakSet[ClientLayer] = WeakSet()
