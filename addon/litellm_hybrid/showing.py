"""What mitmweb shows and `-w` saves of a request, and what a replay from mitmweb needs.

A replay runs through mitmproxy's plain layers: it goes where the request went,
without the rules and limits of this addon. Its comment says so.
"""

import json
from collections import OrderedDict
from collections.abc import Callable

from mitmproxy import http

from litellm_hybrid import exchange, inspect
from litellm_hybrid.errors import Failure
from litellm_hybrid.masking import MASK, MOST_KEPT, Vault

_NO_CREDENTIALS = {
    "error": "credentials_not_kept",
    "message": "The credentials of this request are not kept any more: send it again from the client",
}
# `~comment fallback` must not find it.
_REPLAYED = "replayed by mitmproxy, without the rules and limits of litellm-hybrid"


class Originals:
    """The requests of the rows in mitmweb as their clients sent them; in memory only, never saved.

    Their Host is upstream's: mitmproxy overwrites it before anybody can see it.
    """

    def __init__(self) -> None:
        self._kept: OrderedDict[str, http.Request] = OrderedDict()

    def put(self, key: str, request: http.Request) -> None:
        """Keep one; beyond `MOST_KEPT` the oldest is forgotten."""
        self._kept[key] = request
        if len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)

    def get(self, key: str) -> http.Request | None:
        """It, or None."""
        return self._kept.get(key)

    def drop(self, key: str) -> None:
        """Its row is gone."""
        self._kept.pop(key, None)

    def keep_only(self, row: Callable[[str], object | None]) -> None:
        """Many rows are gone.

        Args:
            row: gives the row that a key stands for, if there still is one.
        """
        for key in [key for key in self._kept if row(key) is None]:
            del self._kept[key]

    def beside(self, flow: http.HTTPFlow) -> int:
        """How many bytes the client's body takes beside the one that the flow shows."""
        kept = self._kept.get(flow.id)
        body = kept.raw_content if kept is not None else None
        return len(body) if body is not None and body is not flow.request.raw_content else 0


class Showing:
    """Masks flows once their request has been sent, comments them, and unmasks them for a replay.

    Attributes:
        enabled: somebody sees flows.
        originals: what a row's request was before it was rewritten; None: there are no rows.
    """

    def __init__(self) -> None:
        self._vault = Vault()
        self.enabled = True
        self.originals: Originals | None = None

    def received(self, flow: http.HTTPFlow) -> bool:
        """Take a request as its client sent it; False for a replay, which has been decided on already."""
        if flow.is_replay:
            self._unmask(flow)
            return False
        if self.originals is not None:
            self.originals.put(flow.id, flow.request.copy())
        return True

    def sent(self, flow: http.HTTPFlow) -> http.Request:
        """What is shown of a flow's request from now on; without anyone to see it, the request itself."""
        if not self.enabled:
            return flow.request
        inspect.comment(flow)
        return self._keep(flow)

    def keep(self, flow: http.HTTPFlow) -> None:
        """Mask a flow that has been made to be replayed."""
        flow.request = self._keep(flow)

    def failed(self, flow: http.HTTPFlow, failure: Failure) -> None:
        """Take down what went wrong with a flow."""
        if self.enabled:
            inspect.note_failure(flow, failure)

    def over(self, flow: http.HTTPFlow) -> None:
        """Mask a flow that is over, whatever has become of it, and say what that was."""
        if self.enabled:
            flow.request = exchange.masked(flow.request)
            inspect.comment(flow)

    def _keep(self, flow: http.HTTPFlow) -> http.Request:
        self._vault.put(flow.id, flow.request.headers.fields, flow.request.path)
        return exchange.masked(flow.request)

    def _unmask(self, flow: http.HTTPFlow) -> None:
        """Give a flow that is being replayed its credentials back; without them it is answered here."""
        kept = self._vault.get(flow.id)
        if kept is not None:
            flow.request.headers.fields, flow.request.path = kept
        elif any(MASK in value for value in flow.request.headers.values()) or MASK in flow.request.path:
            body = json.dumps(_NO_CREDENTIALS).encode()
            flow.response = http.Response.make(409, body, {"Content-Type": "application/json"})
        if _REPLAYED not in flow.comment:
            flow.comment = f"{flow.comment}; {_REPLAYED}" if flow.comment else _REPLAYED
