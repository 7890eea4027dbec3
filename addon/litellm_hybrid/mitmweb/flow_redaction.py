"""What mitmweb shows and `-w` saves of a request, and what a replay from mitmweb needs.

A replay runs through mitmproxy's plain layers: it goes where the request went,
without the rules and limits of this addon. Its comment says so.
"""

import json
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from mitmproxy import http

from litellm_hybrid.errors import Failure
from litellm_hybrid.flow import exchange
from litellm_hybrid.message import redaction
from litellm_hybrid.message.credentials import Headers
from litellm_hybrid.message.redaction import MASK, MOST_KEPT, CredentialStore, RequestHead
from litellm_hybrid.mitmweb import annotations as inspect
from litellm_hybrid.observability import admin_endpoints as pages

_NO_CREDENTIALS = {
    "error": "credentials_not_kept",
    "message": "The credentials of this request are not kept any more: send it again from the client",
}
_OTHER_SERVER = {
    "error": "other_server",
    "message": "The credentials of this request are for another server: to send it elsewhere, "
    "put that server's credentials in the place of every ***",
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
        self._vault = CredentialStore()
        self.enabled = True
        self.originals: Originals | None = None

    def received(self, flow: http.HTTPFlow) -> bool:
        """Take a request as its client sent it; False for a replay, which has been decided on already."""
        if flow.is_replay:
            self._unmask(flow)
            return False
        if self.originals is not None and not pages.is_own(flow.request.path.partition("?")[0]):
            self.originals.put(flow.id, flow.request.copy())
        return True

    def restore_credentials(self, flow: http.HTTPFlow) -> None:
        """Put back what mitmweb's page did not know when an intercepted request was edited there.

        The page gives all headers back with each edit, the masked ones too. What the request was before
        is the row's backup. A row that was sent to another server keeps its `***`.
        """
        backup: Any = flow._backup  # noqa: SLF001 (mitmproxy offers nothing else)
        if not backup or not _is_masked(flow.request):
            return
        before = http.Request.from_state(dict(backup["request"]))
        if _server(before) == _server(flow.request):
            _put_back(flow.request, before.headers.fields, before.path)

    def redacted(self, flow: http.HTTPFlow) -> http.Request:
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
            _mask_backup(flow)
            inspect.comment(flow)

    def _keep(self, flow: http.HTTPFlow) -> http.Request:
        request = flow.request
        self._vault.put(flow.id, RequestHead(_server(request), request.headers.fields, request.path))
        _mask_backup(flow)
        return exchange.masked(flow.request)

    def _unmask(self, flow: http.HTTPFlow) -> None:
        """Give a flow that is being replayed its credentials back; without them it is answered here."""
        request, kept = flow.request, self._vault.get(flow.id)
        if _is_masked(request):
            if kept is None:
                flow.response = _conflict(_NO_CREDENTIALS)
            elif kept.server != _server(request):
                flow.response = _conflict(_OTHER_SERVER)
            else:
                _put_back(request, kept.headers, kept.target)
        if _REPLAYED not in flow.comment:
            flow.comment = f"{flow.comment}; {_REPLAYED}" if flow.comment else _REPLAYED


def _server(request: http.Request) -> tuple[str, str, int]:
    return request.scheme, request.host, request.port


def _put_back(request: http.Request, headers: Headers, target: str) -> None:
    request.headers.fields = redaction.restore_headers(request.headers.fields, headers)
    request.path = redaction.restore_target(request.path, target)


def _is_masked(request: http.Request) -> bool:
    return any(MASK in value for value in request.headers.values()) or MASK in request.path


def _conflict(says: dict[str, str]) -> http.Response:
    return http.Response.make(409, json.dumps(says).encode(), {"Content-Type": "application/json"})


def _mask_backup(flow: http.HTTPFlow) -> None:
    """Mask what mitmweb goes back to by "revert", made where somebody edits or marks a row: files have it."""
    backup: Any = flow._backup  # noqa: SLF001 (mitmproxy offers nothing else)
    if backup:
        request = backup["request"]
        request["headers"] = redaction.redact_headers(request["headers"])
        target = request["path"].decode("utf-8", "surrogateescape")
        request["path"] = redaction.redact_target(target).encode("utf-8", "surrogateescape")
