"""What mitmweb and mitmproxy's console show of requests to the four APIs, and of their responses.

Reading is done by `llm/transcript.py`; here is what mitmproxy wants of it. Behind the response that
the client has got come those that another took the place of.
"""

from collections.abc import Iterator
from typing import override
from weakref import ref

from mitmproxy import contentviews, http
from mitmproxy.contentviews import Contentview, Metadata

from litellm_hybrid.flow.outcome import METADATA, AttemptSnapshot
from litellm_hybrid.llm.transcript import readable, rule, show_request, show_response
from litellm_hybrid.message import decoders
from litellm_hybrid.mitmweb.annotations import outcome_of

_PRIORITY = 2
"""Above mitmproxy's own views, whose highest is 1."""


class LLMContentview(Contentview):
    """The view `LLM`."""

    def __init__(self) -> None:
        self._shown: tuple[Metadata, str] | None = None
        self._opened: ref[http.HTTPFlow] | None = None

    @property
    def opened(self) -> http.HTTPFlow | None:
        """The row that somebody has opened last; None: none that is still there."""
        return self._opened() if self._opened is not None else None

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
        if isinstance(metadata.flow, http.HTTPFlow):
            self._opened = ref(metadata.flow)
        shown = _show(data, metadata)
        # mitmproxy asks for it next: reading a long history twice would hold up those who stream.
        self._shown = None if shown is None else (metadata, shown)
        return -1 if shown is None else _PRIORITY


VIEW = LLMContentview()


def install() -> None:
    """Register the view with mitmproxy; a second call does nothing."""
    if VIEW.name not in contentviews.registry:
        contentviews.add(VIEW)


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
    shown = show_response(flow.request.path, message.headers.get("content-type", ""), data)
    unseen = list(_unseen(flow))
    if not unseen:
        return shown
    return "\n".join([(readable(data) if shown is None else shown).rstrip(), *unseen])


def _unseen(flow: http.HTTPFlow) -> Iterator[str]:
    """The responses that no client has seen, in the order in which they came."""
    attempts: list[AttemptSnapshot] = flow.metadata.get(METADATA, {}).get("attempts", [])
    for attempt in attempts:
        if (replaced := attempt["replaced"]) is None:
            continue
        yield rule(outcome_of(attempt))
        if not attempt["status"]:
            yield replaced["words"]
        yield from (f"{name}: {value}" for name, value in replaced["headers"])
        yield f"\n{readable(replaced['body'].encode())}"
