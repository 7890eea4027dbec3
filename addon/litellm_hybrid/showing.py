"""What mitmweb shows and `-w` saves of a request, and what a replay from mitmweb needs.

A replay runs through mitmproxy's plain layers: it goes where the request went,
without a fallback and without our limits. Its comment says so.
"""

import json

from mitmproxy import http

from litellm_hybrid import exchange
from litellm_hybrid.masking import MASK, Vault

_NO_CREDENTIALS = {
    "error": "credentials_not_kept",
    "message": "The credentials of this request are not kept any more: send it again from the client",
}
_REPLAYED = "replayed by mitmproxy: no fallback and no limits of litellm-hybrid"


class Showing:
    """Masks flows once their request has been sent, and unmasks them for a replay."""

    def __init__(self) -> None:
        self._vault = Vault()
        self.enabled = True

    def sent(self, flow: http.HTTPFlow) -> http.Request:
        """What is shown of a flow's request from now on; without anyone to see it, the request itself."""
        if not self.enabled:
            return flow.request
        self._vault.put(flow.id, flow.request.headers.fields, flow.request.path)
        return exchange.masked(flow.request)

    def mask(self, flow: http.HTTPFlow) -> None:
        """Mask a flow that is over, whatever has become of it."""
        if self.enabled:
            flow.request = exchange.masked(flow.request)

    def unmask(self, flow: http.HTTPFlow) -> None:
        """Give a flow that is being replayed its credentials back; without them it is answered here."""
        kept = self._vault.get(flow.id)
        if kept is not None:
            flow.request.headers.fields, flow.request.path = kept
        elif any(MASK in value for value in flow.request.headers.values()) or MASK in flow.request.path:
            body = json.dumps(_NO_CREDENTIALS).encode()
            flow.response = http.Response.make(409, body, {"Content-Type": "application/json"})
        if _REPLAYED not in flow.comment:
            flow.comment = f"{flow.comment}; {_REPLAYED}" if flow.comment else _REPLAYED
