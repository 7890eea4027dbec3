"""What mitmweb and mitmproxy's console show of requests to the four APIs, and of their responses.

Reading is done by `llm/transcript/reader.py`; here is what mitmproxy wants of it.
"""

from typing import override

from mitmproxy import contentviews, http
from mitmproxy.contentviews import Contentview, Metadata

from litellm_hybrid.llm.transcript.reader import show_request, show_response
from litellm_hybrid.message import decoders

_PRIORITY = 2
"""Above mitmproxy's own views, whose highest is 1."""


class LLMContentview(Contentview):
    """The view `LLM`."""

    def __init__(self) -> None:
        self._shown: tuple[Metadata, str] | None = None

    @override
    def prettify(self, data: bytes, metadata: Metadata) -> str:
        """Return the request or the response as text.

        Raises:
            ValueError: it is none of an LLM's; mitmproxy then shows it raw.
        """
        kept, self._shown = self._shown, None
        shown = kept[1] if kept is not None and kept[0] is metadata else _show(data, metadata)
        if shown is None:
            raise ValueError("this is no request or response of an LLM's API")
        return shown

    @override
    def render_priority(self, data: bytes, metadata: Metadata) -> float:
        shown = _show(data, metadata)
        # mitmproxy asks for it next: reading a long history twice would hold up those who stream.
        self._shown = None if shown is None else (metadata, shown)
        return -1 if shown is None else _PRIORITY


def install() -> None:
    """Register the view with mitmproxy; a second call does nothing."""
    view = LLMContentview()
    if view.name not in contentviews.registry:
        contentviews.add(view)


def _show(data: bytes, metadata: Metadata) -> str | None:
    flow, message = metadata.flow, metadata.http_message
    if not isinstance(flow, http.HTTPFlow):
        return None
    if isinstance(message, http.Request):
        return show_request(flow.request.path, data)
    if not isinstance(message, http.Response):
        return None
    coding = message.headers.get("content-encoding", "")
    if coding and data == message.raw_content:  # mitmproxy cannot decode what was cut short
        data = decoders.decode_beginning(data, coding)
    return show_response(flow.request.path, message.headers.get("content-type", ""), data)
