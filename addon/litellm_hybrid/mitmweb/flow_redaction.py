"""What mitmweb shows and `-w` saves of a request, and what a replay from mitmweb needs.

A replay runs through mitmproxy's plain layers: it goes where the request went,
without the rules and limits of this addon. Its comment says so.
"""

import json
import re
from collections.abc import Callable
from typing import Any
from weakref import WeakSet

from mitmproxy import ctx, http
from mitmproxy.hooks import UpdateHook
from msgspec import Raw

from litellm_hybrid.flow.exchange import Exchange
from litellm_hybrid.message import credentials
from litellm_hybrid.message.credentials import MASK, Headers, RequestHead
from litellm_hybrid.message.decoders import UndecodableError, decode
from litellm_hybrid.message.json_edit import RawObject, edit_body, edited, encoded, filtered, replace
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


# Tokens for MCP servers and tools, which do reach LiteLLM; and a quick look whether there may be one.
_TOKENS = re.compile(rb'"(?:authorization_token|authorization|headers)"')
_MASKED = encoded(MASK)


def redacted(request: http.Request) -> http.Request:
    """A copy of a request without credentials; the body is shared, unless there are tokens in it."""
    data = request.data
    copy = http.Request(
        host=data.host,
        port=data.port,
        method=data.method,
        scheme=data.scheme,
        authority=data.authority,
        path=credentials.redact_target(request.path).encode("utf-8", "surrogateescape"),
        http_version=data.http_version,
        headers=http.Headers(credentials.redact_headers(data.headers.fields)),
        content=data.content,
        trailers=data.trailers,
        timestamp_start=data.timestamp_start,
        timestamp_end=data.timestamp_end,
    )
    if (body := _without_tokens(data.content or b"", data.headers)) is not None:
        copy.headers.pop("content-encoding", None)
        copy.content = body[0]
    return copy


def _without_tokens(body: bytes, headers: http.Headers) -> tuple[bytes, bytes] | None:
    """A body without the tokens in it, and with them, both without content coding; None: there are none."""
    try:
        plain = decode(body, headers.get("content-encoding", ""))
    except UndecodableError:
        return None
    masked = edit_body(plain, _mask_tokens) if _TOKENS.search(plain) else plain
    return None if masked == plain else (masked, plain)


def _mask_tokens(request: RawObject) -> bool:
    found = [replace(request, name, _in_each) for name in ("mcp_servers", "tools")]
    return any(found)


def _in_each(entries: Raw) -> Raw:
    return filtered(entries, lambda entry: edited(entry, _mask_entry))


def _mask_entry(entry: RawObject) -> bool:
    found = [replace(entry, name, lambda _: _MASKED) for name in ("authorization_token", "authorization")]
    return any(found) | replace(entry, "headers", lambda raw: edited(raw, _mask_all))


def _mask_all(headers: RawObject) -> bool:
    headers.update(dict.fromkeys(headers, _MASKED))
    return bool(headers)


class FlowRedactor(FlowView):
    """Masks flows once their request has been sent, has them annotated, and unmasks them for a replay.

    Attributes:
        enabled: somebody sees flows.
    """

    def __init__(self, annotate: Callable[[http.HTTPFlow], None]) -> None:
        self.enabled = True
        self._annotate = annotate
        self._replayed: WeakSet[http.HTTPFlow] = WeakSet()

    def restore_credentials(self, flow: http.HTTPFlow) -> None:
        """Restore the credentials of an intercepted request that was edited in mitmweb.

        The page gives all headers back with each edit, the masked ones too. What the request was before
        is the row's backup. A row that was sent to another server keeps its `***`.
        """
        before = _before_edit(flow) if self.enabled else None  # else nobody can have edited it
        if before is not None and _is_masked(flow.request) and _server(before) == _server(flow.request):
            _unmask(flow.request, before.headers.fields, before.path)

    def redacted(self, flow: http.HTTPFlow) -> http.Request:
        """Return what is shown of a flow's request from now on; the request itself if nobody sees it."""
        if not self.enabled:
            return flow.request
        self._annotate(flow)
        if (exchange := Exchange.of(flow)) is not None:
            request = flow.request
            body = _without_tokens(request.raw_content or b"", request.headers)
            exchange.sent_head = RequestHead(_server(request), request.headers.fields, request.path, body)
        _redact_backup(flow)
        return redacted(flow.request)

    def finish(self, flow: http.HTTPFlow) -> None:
        """Mask and annotate a flow that has ended."""
        if self.enabled:
            flow.request = redacted(flow.request)
            _redact_backup(flow)
            self._redact_response(flow)
            self._annotate(flow)

    def priced(self, flow: http.HTTPFlow) -> None:
        """Say what a flow cost that has ended before that was known."""
        if self.enabled:
            self._annotate(flow)
            ctx.master.addons.trigger(UpdateHook([flow]))

    def _redact_response(self, flow: http.HTTPFlow) -> None:
        """Mask the response's cookies, which the client may still have to be sent."""
        if flow.response is None:
            return
        shown = credentials.redact_response(flow.response.headers.fields)
        if shown != flow.response.headers.fields:
            if (exchange := Exchange.of(flow)) is not None:
                exchange.sent_response = flow.response
            flow.response = flow.response.copy()
            flow.response.headers.fields = shown

    def response(self, flow: http.HTTPFlow) -> http.Response | None:
        """Return a flow's response as its client gets it."""
        exchange = Exchange.of(flow)
        kept = exchange.sent_response if exchange is not None else None
        return kept if kept is not None else flow.response

    def prepare_replay(self, flow: http.HTTPFlow) -> None:
        """Restore the credentials of a flow that mitmweb replays; respond with 409 where they are lost."""
        exchange, request = Exchange.of(flow), flow.request
        head = exchange.sent_head if exchange is not None else None
        self._replayed.add(flow)
        if head is not None and head.body is not None and head.server == _server(request):
            shown, real = head.body
            if request.raw_content == shown:  # nobody has edited it
                request.content = real
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


def _server(request: http.Request) -> tuple[str, str, int]:
    return request.scheme, request.host, request.port


def _unmask(request: http.Request, headers: Headers, target: str) -> None:
    request.headers.fields = credentials.restore_headers(request.headers.fields, headers)
    request.path = credentials.restore_target(request.path, target)


def _is_masked(request: http.Request) -> bool:
    mask = MASK.encode()
    return any(mask in value for _, value in request.headers.fields) or mask in request.data.path


def _conflict(message: dict[str, str]) -> http.Response:
    return http.Response.make(409, json.dumps(message).encode(), {"Content-Type": "application/json"})


# -- mitmproxy's `Flow._backup` -----------------------------------------------------
#
# What mitmweb's "revert" goes back to, made where somebody edits or marks a row. Flow files have it,
# credentials and all, and mitmproxy offers no other access to it. proxy/compat.py checks at start that it
# is there.


def _before_edit(flow: http.HTTPFlow) -> http.Request | None:
    """Return the request as it was before somebody edited the row; None: nobody did."""
    backup = _backup(flow)
    return http.Request.from_state(dict(backup["request"])) if backup else None


def _redact_backup(flow: http.HTTPFlow) -> None:
    """Mask the credentials of the request that "revert" goes back to."""
    if backup := _backup(flow):
        request = backup["request"]
        request["headers"] = credentials.redact_headers(request["headers"])
        target = request["path"].decode("utf-8", "surrogateescape")
        request["path"] = credentials.redact_target(target).encode("utf-8", "surrogateescape")
        body = _without_tokens(request["content"] or b"", http.Headers(request["headers"]))
        if body is not None:
            fields = (field for field in request["headers"] if field[0].lower() != b"content-encoding")
            request["headers"], request["content"] = tuple(fields), body[0]


def _backup(flow: http.HTTPFlow) -> dict[str, Any] | None:
    backup: Any = flow._backup  # noqa: SLF001  (a state, for all that mitmproxy declares)
    found: dict[str, Any] | None = backup
    return found
