"""One try to have a server answer a request: upstream, then perhaps LiteLLM, or the same one once more."""

from dataclasses import dataclass

from mitmproxy import http
from mitmproxy.connection import Server
from mitmproxy.proxy.layers.http._events import ResponseHeaders

from litellm_hybrid.proxy.held_response import HeldResponse

LOST_AT_ONCE = 1.0
"""Within so many seconds a kept connection that its server had closed already is seen to be lost."""


@dataclass(slots=True)
class Attempt:
    """One request that goes to one server.

    Attributes:
        request: with its credentials; once it has gone out the flow shows a redacted copy.
        server: where it goes.
        needs_new_connection: it must not go out on a connection that is there already.
        is_connected: whether there is a connection.
        reuses_connection: whether an earlier request went out on it.
        head: of the response that is held.
        held: what holds it.
        response: what the client gets of this attempt, if a later one fails.
        is_complete: whether `response` has its end.
    """

    request: http.Request
    server: Server
    needs_new_connection: bool = False
    is_connected: bool = False
    reuses_connection: bool = False
    head: ResponseHeaders | None = None
    held: HeldResponse | None = None
    response: http.Response | None = None
    is_complete: bool = True

    @property
    def status(self) -> int:
        """The status of the response that is held."""
        assert self.head is not None
        return self.head.response.status_code

    def may_be_sent_again(self, after: float) -> bool:
        """Whether the connection may have been closed before the request came: a race that HTTP/1.1 has.

        RFC 9112, 9.3.1. Not a byte of a response has come then, for a POST as for a GET. A server that had
        the request for longer has worked on it, and what it did would be done, and paid, twice.

        Args:
            after: how long, in seconds, after the request was sent the connection was lost.
        """
        return self.reuses_connection and after <= LOST_AT_ONCE

    def again(self) -> "Attempt":
        """The same request, on a connection of its own."""
        return Attempt(self.request, self.server, needs_new_connection=True)

    def hold(self, head: ResponseHeaders, held: HeldResponse) -> None:
        """Hold a response whose head has come."""
        self.head, self.held = head, held

    def take_held(self) -> tuple[ResponseHeaders, HeldResponse]:
        """Stop holding the response, and return what is there of it."""
        assert self.head is not None
        assert self.held is not None
        head, held = self.head, self.held
        self.drop_held()
        return head, held

    def drop_held(self) -> None:
        """Stop holding a response, if one is held."""
        held, self.held = self.held, None
        if held is not None:
            held.close()

    def keep_failed_response(self) -> HeldResponse:
        """Keep the response that is held, to be given back if what replaces it fails."""
        assert self.head is not None
        assert self.held is not None
        self.response, self.is_complete = self.head.response, self.held.complete
        self.response.data.content = bytes(self.held.body)
        return self.held
