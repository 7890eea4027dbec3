"""HTTP/2 towards clients: mitmproxy's, with the limit for a head that HTTP/1 has."""

import math
from typing import Any, override

from h2.errors import ErrorCodes
from mitmproxy.proxy import events, layer
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.http._http2 import Http2Server

from litellm_hybrid.proxy.deadlines import HEAD_LIMIT, CheckSchedule
from litellm_hybrid.proxy.interfaces import HybridProxy

_FRAME_TYPE, _DATA = 3, 0  # RFC 9113, 4.1 and 6.1: where a frame's type stands, and that of a body's


class HybridHttp2Server(Http2Server):
    """mitmproxy's, which waits for the end of a head for ever.

    Attributes:
        head_due: when, on the proxy's clock, a head that has begun must have ended.
    """

    def __init__(self, context: Context, proxy: HybridProxy[Any], checks: CheckSchedule) -> None:
        super().__init__(context)
        self._proxy = proxy
        self._checks = checks
        self.head_due = math.inf

    @override
    def _handle_event(self, event: events.Event) -> layer.CommandGenerator[None]:
        yield from super()._handle_event(event)
        if not isinstance(event, events.DataReceived):
            return
        # Of a head: its frames so far, or the beginning of the next one, of whatever kind but a body's,
        # which has limits of its own; before all others comes the preface (RFC 9113, 3.4).
        frames: Any = self.h2_conn.incoming_buffer
        first = bytes(frames._data[: _FRAME_TYPE + 1])  # noqa: SLF001
        is_head = bool(first) and first[_FRAME_TYPE:] != bytes([_DATA])
        begun = bool(is_head or frames._headers_buffer or frames._preamble_len)  # noqa: SLF001
        self.head_due = self._checks.head_due(self.head_due, begun=begun)

    def refuse_slow_head(self) -> layer.CommandGenerator[None]:
        """End a connection on which `head_due` has passed."""
        self.head_due = math.inf
        why = f"A head or a control frame has not come to its end within {HEAD_LIMIT:g} s."
        peer = self.conn.peername
        self._proxy.observer.malformed(peer[0] if peer else "", why)
        yield from self.protocol_error(why, ErrorCodes.ENHANCE_YOUR_CALM)
