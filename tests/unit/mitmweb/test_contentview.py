"""The view among mitmproxy's own."""

import gzip
import json
import logging
from collections.abc import AsyncIterator

import brotli
import pytest
from mitmproxy import contentviews, http
from mitmproxy.contentviews import Metadata
from mitmproxy.test import taddons, tflow

from litellm_hybrid.mitmweb import contentview
from support.conversations import CHAT_PATH, MESSAGES_PATH, REQUESTS, SAID, STREAMS

SSE = {"content-type": "text/event-stream; charset=utf-8"}
JSON = {"content-type": "application/json"}


@pytest.fixture(autouse=True)
async def context() -> AsyncIterator[None]:
    """mitmproxy, with the view."""
    contentview.install()
    with taddons.context() as tctx:
        tctx.options.add_option("protobuf_definitions", str | None, None, "")
        yield


def _flow(
    path: str, request: bytes = b"", answer: bytes = b"", headers: dict[str, str] = SSE
) -> http.HTTPFlow:
    flow = tflow.tflow(resp=True)
    flow.request.path = path
    flow.request.method = "POST"
    flow.request.headers["content-type"] = "application/json"
    flow.request.raw_content = request
    assert flow.response
    flow.response.headers = http.Headers([(name.encode(), value.encode()) for name, value in headers.items()])
    flow.response.raw_content = answer
    return flow


def _show(
    message: http.Message | None, flow: http.HTTPFlow, view: str = "auto"
) -> contentviews.ContentviewResult:
    assert message
    return contentviews.prettify_message(message, flow, view)


@pytest.mark.parametrize("path", REQUESTS)
def test_requests_and_answers_are_shown_by_it(path: str) -> None:
    flow = _flow(path, json.dumps(REQUESTS[path]).encode(), STREAMS[path])
    asked, given = _show(flow.request, flow), _show(flow.response, flow)
    assert (asked.view_name, given.view_name) == ("LLM", "LLM")
    assert asked.text.splitlines()[0].endswith("4 messages")
    assert SAID in given.text


@pytest.mark.parametrize(
    ("path", "headers", "body", "view"),
    [
        ("/v1/models", JSON, b'{"choices": []}', "JSON"),
        (CHAT_PATH, JSON, b'{"error": {"message": "Slow down"}}', "JSON"),
        (CHAT_PATH, {"content-type": "text/html"}, b"<html></html>", "XML/HTML"),
        ("/v1/other", SSE, STREAMS[CHAT_PATH], "Raw"),
        (CHAT_PATH, SSE, b"", "Raw"),
        (CHAT_PATH, SSE, b"data: nonsense\n\n", "Raw"),
    ],
)
def test_others_keep_their_views(path: str, headers: dict[str, str], body: bytes, view: str) -> None:
    flow = _flow(path, b'{"a": 1}', body, headers)
    assert _show(flow.response, flow).view_name == view
    assert _show(flow.request, flow).view_name == "JSON"


@pytest.mark.parametrize(
    ("coding", "encoded"),
    [("gzip", gzip.compress(STREAMS[CHAT_PATH], mtime=0)), ("br", brotli.compress(STREAMS[CHAT_PATH]))],
)
def test_coded_answers(coding: str, encoded: bytes) -> None:
    """mitmproxy undoes the coding of a whole body; of one that was cut short we read what there is."""
    for body in (encoded, encoded[: len(encoded) * 9 // 10]):
        flow = _flow(CHAT_PATH, answer=body, headers={**SSE, "content-encoding": coding})
        shown = _show(flow.response, flow)
        assert shown.view_name == "LLM"
        assert ("CUT SHORT" in shown.text) == (body is not encoded)
    assert _show(_flow(CHAT_PATH, headers={**SSE, "content-encoding": "x"}).response, flow).view_name != "LLM"


def test_chosen_by_hand_for_something_else_it_says_so() -> None:
    flow = _flow("/v1/models", answer=b"{}", headers=JSON)
    shown = _show(flow.response, flow, "llm")
    assert shown.syntax_highlight == "error"
    assert "this is no request or response of an LLM's API" in shown.text


def test_what_it_has_read_is_of_one_message_only() -> None:
    view = contentview.LLMContentview()
    flow = _flow(CHAT_PATH, answer=STREAMS[CHAT_PATH])
    first = Metadata(flow=flow, http_message=flow.response)
    assert view.render_priority(STREAMS[CHAT_PATH], first) > 1
    again = Metadata(flow=flow, http_message=flow.response)
    cut = STREAMS[CHAT_PATH][:-20]
    assert "CUT SHORT" in view.prettify(cut, again)
    assert "CUT SHORT" not in view.prettify(STREAMS[CHAT_PATH], first)


def test_a_frame_of_a_websocket_is_none() -> None:
    view = contentview.LLMContentview()
    flow = tflow.twebsocketflow()
    flow.request.path = MESSAGES_PATH
    assert flow.websocket
    metadata = Metadata(flow=flow, websocket_message=flow.websocket.messages[0])
    assert view.render_priority(b'{"messages": []}', metadata) < 0
    assert view.render_priority(b'{"messages": []}', Metadata()) < 0


def test_it_is_offered_once(caplog: pytest.LogCaptureFixture) -> None:
    """mitmproxy loads a script anew when its file changes."""
    before = contentviews.registry["llm"]
    with caplog.at_level(logging.INFO):
        contentview.install()
    assert contentviews.registry["llm"] is before
    assert contentviews.registry.available_views().count("llm") == 1
    assert caplog.messages == []
