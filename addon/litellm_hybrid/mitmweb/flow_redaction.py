"""What mitmweb shows and `-w` saves of a request, and what a replay from mitmweb needs.

A replay runs through mitmproxy's plain layers: it goes where the request went,
without the rules and limits of this addon. Its comment says so.
"""

import json
from weakref import WeakSet

from mitmproxy import ctx, http, optmanager

from litellm_hybrid.flow.exchange import Exchange
from litellm_hybrid.flow.request import redacted
from litellm_hybrid.message import redaction
from litellm_hybrid.message.credentials import Headers
from litellm_hybrid.message.redaction import MASK, RequestHead
from litellm_hybrid.mitmweb import flow_backup
from litellm_hybrid.mitmweb.annotations import Annotations
from litellm_hybrid.proxy.interfaces import FlowView

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


class FlowRedactor(FlowView):
    """Masks flows once their request has been sent, comments them, and unmasks them for a replay.

    Attributes:
        enabled: somebody sees flows.
    """

    def __init__(self, annotations: Annotations) -> None:
        self.enabled = True
        self._annotations = annotations
        self._replayed: WeakSet[http.HTTPFlow] = WeakSet()

    def restore_credentials(self, flow: http.HTTPFlow) -> None:
        """Restore the credentials of an intercepted request that was edited in mitmweb.

        The page gives all headers back with each edit, the masked ones too. What the request was before
        is the row's backup. A row that was sent to another server keeps its `***`.
        """
        if not _is_masked(flow.request):
            return
        before = flow_backup.request_before_edit(flow)
        if before is not None and _server(before) == _server(flow.request):
            _unmask(flow.request, before.headers.fields, before.path)

    def redacted(self, flow: http.HTTPFlow) -> http.Request:
        """Return what is shown of a flow's request from now on; the request itself if nobody sees it."""
        if not self.enabled:
            return flow.request
        self._annotations.settled(flow)
        if (exchange := Exchange.of(flow)) is not None:
            request = flow.request
            exchange.sent_head = RequestHead(_server(request), request.headers.fields, request.path)
        flow_backup.redact(flow)
        return redacted(flow.request)

    def finish(self, flow: http.HTTPFlow) -> None:
        """Mask and comment a flow that has ended."""
        if self.enabled:
            flow.request = redacted(flow.request)
            flow_backup.redact(flow)
            self._annotations.settled(flow)

    def prepare_replay(self, flow: http.HTTPFlow) -> None:
        """Restore the credentials of a flow that mitmweb replays; respond with 409 where they are lost."""
        exchange, request = Exchange.of(flow), flow.request
        head = exchange.sent_head if exchange is not None else None
        self._replayed.add(flow)
        if _is_masked(request):
            if head is None:
                flow.response = _conflict(_NO_CREDENTIALS)
            elif head.server != _server(request):
                flow.response = _conflict(_OTHER_SERVER)
            else:
                _unmask(request, head.headers, head.target)
        if _REPLAYED not in flow.comment:
            flow.comment = f"{flow.comment}; {_REPLAYED}" if flow.comment else _REPLAYED

    def finish_replay(self, flow: http.HTTPFlow) -> None:
        """Mask a replay that has ended; a replay loaded from a file is left alone."""
        if flow in self._replayed:
            self._replayed.discard(flow)
            self.finish(flow)


class StreamedBodies:
    """Sets mitmproxy's option `store_streamed_bodies`; never again once the user has, to whichever value.

    mitmproxy forgets what it has streamed. Where flows are shown or saved, that is all there is of a
    response; where nobody sees them, keeping them would only cost memory.
    """

    _OPTION = "store_streamed_bodies"

    def __init__(self) -> None:
        self._is_users = False
        self._setting = False

    def configure(self, updated: set[str], *, seen: bool) -> None:
        """Follow a change of options.

        Args:
            updated: the options that have changed; at start all of them.
            seen: whether anybody sees flows now.
        """
        if self._setting or self._OPTION not in ctx.options:
            return
        if self._OPTION in updated:
            # `false` on the command line is a wish, too, although it is the default.
            self._is_users = dict(ctx.options.items())[self._OPTION].value is not optmanager.unset
        if self._is_users or ctx.options.store_streamed_bodies is seen:
            return
        self._setting = True
        try:
            ctx.options.update(**{self._OPTION: seen})
        finally:
            self._setting = False


def _server(request: http.Request) -> tuple[str, str, int]:
    return request.scheme, request.host, request.port


def _unmask(request: http.Request, headers: Headers, target: str) -> None:
    request.headers.fields = redaction.restore_headers(request.headers.fields, headers)
    request.path = redaction.restore_target(request.path, target)


def _is_masked(request: http.Request) -> bool:
    return any(MASK in value for value in request.headers.values()) or MASK in request.path


def _conflict(message: dict[str, str]) -> http.Response:
    return http.Response.make(409, json.dumps(message).encode(), {"Content-Type": "application/json"})
