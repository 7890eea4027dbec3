"""What all client connections of this process share."""

from collections.abc import Callable
from time import monotonic
from typing import Protocol
from weakref import WeakSet

from mitmproxy.connection import Client

from litellm_hybrid.proxy import half_close
from litellm_hybrid.proxy.fast_path import HookCalls
from litellm_hybrid.proxy.held_response import HeldResponse
from litellm_hybrid.proxy.interfaces import FlowView, ForwardingPolicy, ProxyObserver


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
        self.layers: WeakSet[ClientLayer] = WeakSet()
