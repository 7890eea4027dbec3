"""What is kept of requests for those who see flows, and that nothing is kept for nobody."""

from collections.abc import AsyncIterator
from io import BytesIO

import pytest
from mitmproxy import addonmanager, http, io
from mitmproxy.test import taddons, tflow

from litellm_hybrid.flow.exchange import Exchange
from litellm_hybrid.mitmweb.annotations import Annotations
from litellm_hybrid.mitmweb.flow_redaction import FlowRedactor, StreamedBodies


@pytest.fixture
def flow() -> http.HTTPFlow:
    flow = tflow.tflow(resp=True)
    flow.request.headers["authorization"] = "Bearer secret"
    return flow


@pytest.fixture
def redactor(flow: http.HTTPFlow) -> FlowRedactor:
    Exchange.begin(flow).decided = True
    return FlowRedactor(Annotations())


def test_where_nobody_sees_flows_nothing_is_done(flow: http.HTTPFlow, redactor: FlowRedactor) -> None:
    redactor.enabled = False
    request = flow.request
    assert redactor.redacted(flow) is request
    redactor.finish(flow)
    assert flow.request is request
    assert (flow.comment, flow.marked, list(flow.metadata)) == ("", "", [])


def test_a_flow_that_is_saved_is_masked_and_commented(flow: http.HTTPFlow, redactor: FlowRedactor) -> None:
    assert redactor.redacted(flow).headers["authorization"] == "Bearer ***"
    redactor.finish(flow)
    assert flow.request.headers["authorization"] == "Bearer ***"
    assert flow.comment.startswith("/path ⚠ error; reason=error; target=none; ")


def test_a_replay_is_no_request_of_a_client(flow: http.HTTPFlow, redactor: FlowRedactor) -> None:
    flow.request = redactor.redacted(flow)
    flow.is_replay = "request"
    redactor.prepare_replay(flow)
    assert flow.request.headers["authorization"] == "Bearer secret"
    assert "fallback" not in flow.comment


def test_a_replay_says_so_once(flow: http.HTTPFlow, redactor: FlowRedactor) -> None:
    flow.is_replay = "request"
    for _ in range(2):
        redactor.prepare_replay(flow)
    assert flow.comment.count("replayed by mitmproxy") == 1


def test_the_state_before_an_edit_is_masked_too(flow: http.HTTPFlow, redactor: FlowRedactor) -> None:
    """mitmweb keeps it when somebody marks or edits a row, and a flow file has it."""
    flow.request.path = "/?key=secret&a=b"
    flow.backup()
    flow.request = redactor.redacted(flow)
    flow.marked = "x"
    saved = BytesIO()
    io.FlowWriter(saved).add(flow)
    assert b"secret" not in saved.getvalue()
    flow.revert()
    assert (flow.request.headers["authorization"], flow.request.path) == ("Bearer ***", "/?key=***&a=b")


def test_the_state_before_an_edit_of_one_that_was_not_sent_is_masked_too(
    flow: http.HTTPFlow, redactor: FlowRedactor
) -> None:
    flow.backup()
    flow.comment = "mine"
    redactor.finish(flow)
    saved = BytesIO()
    io.FlowWriter(saved).add(flow)
    assert b"secret" not in saved.getvalue()


@pytest.mark.parametrize(
    ("part", "value"),
    [("scheme", "https"), ("host", "example.com"), ("port", 8000), ("host", "address.example")],
)
def test_credentials_are_for_the_server_that_had_them(
    part: str, value: object, flow: http.HTTPFlow, redactor: FlowRedactor
) -> None:
    flow.request = redactor.redacted(flow)
    flow.is_replay, flow.response = "request", None
    setattr(flow.request, part, value)
    redactor.prepare_replay(flow)
    answer: http.Response | None = flow.response
    assert answer
    assert (answer.status_code, answer.json()["error"]) == (409, "other_server")
    assert "secret" not in str(flow.get_state())


def test_a_request_without_credentials_goes_anywhere(flow: http.HTTPFlow, redactor: FlowRedactor) -> None:
    flow.request = redactor.redacted(flow)
    flow.is_replay, flow.response = "request", None
    flow.request.host = "example.com"
    flow.request.headers["authorization"] = "Bearer mine"
    redactor.prepare_replay(flow)
    assert flow.response is None
    assert flow.request.headers["authorization"] == "Bearer mine"


def test_what_was_edited_is_replayed(flow: http.HTTPFlow, redactor: FlowRedactor) -> None:
    flow.request.path = "/path?key=secret&a=b"
    flow.request.headers["x-api-key"] = "secret"
    flow.request = redactor.redacted(flow)
    flow.is_replay = "request"
    flow.request.path = flow.request.path.replace("a=b", "a=c")
    flow.request.headers["x-new"] = "new"
    flow.request.headers["x-api-key"] = "mine"
    del flow.request.headers["header"]
    redactor.prepare_replay(flow)
    assert flow.request.path == "/path?key=secret&a=c"
    headers = flow.request.headers
    assert [headers.get(name) for name in ("authorization", "x-api-key", "x-new", "header")] == [
        *("Bearer secret", "mine", "new", None)
    ]


def test_only_what_was_replayed_here_is_masked_in_the_end(
    flow: http.HTTPFlow, redactor: FlowRedactor
) -> None:
    """A file may hold a replay, whose hooks are called as it is opened."""
    redactor.finish_replay(flow)
    assert flow.request.headers["authorization"] == "Bearer secret"
    redactor.prepare_replay(flow)
    redactor.finish_replay(flow)
    assert flow.request.headers["authorization"] == "Bearer ***"


# -- streamed bodies ----------------------------------------------------


class Addon:
    """Follows the options as `Startup` does."""

    def __init__(self) -> None:
        self.bodies = StreamedBodies()
        self.seen = False

    def configure(self, updated: set[str]) -> None:
        self.bodies.configure(updated, seen=self.seen)


@pytest.fixture
async def tctx() -> AsyncIterator[taddons.context]:
    with taddons.context() as tctx:
        loader = addonmanager.Loader(tctx.master)
        loader.add_option("store_streamed_bodies", bool, False, "")
        loader.add_option("other", bool, False, "")
        yield tctx


def load(tctx: taddons.context, addon: Addon) -> bool:
    """Load it as mitmproxy loads a script: every option has changed."""
    tctx.master.addons.add(addon)
    addon.configure(tctx.options.keys())
    return bool(tctx.options.store_streamed_bodies)


@pytest.mark.parametrize("seen", [True, False])
def test_bodies_are_kept_where_flows_are_seen(seen: bool, tctx: taddons.context) -> None:
    addon = Addon()
    addon.seen = seen
    assert load(tctx, addon) is seen


@pytest.mark.parametrize("seen", [True, False])
@pytest.mark.parametrize("wish", [True, False])
def test_the_users_wish_stays(wish: bool, seen: bool, tctx: taddons.context) -> None:
    addon = Addon()
    addon.seen = seen
    tctx.options.update(store_streamed_bodies=wish)
    assert load(tctx, addon) is wish
    addon.seen = not seen
    addon.configure({"other"})
    assert tctx.options.store_streamed_bodies is wish


def test_it_follows_whether_flows_are_seen(tctx: taddons.context) -> None:
    """mitmproxy's `save_stream_file` can be set and unset while it runs."""
    addon = Addon()
    load(tctx, addon)
    for addon.seen in (True, False, True):
        tctx.options.update(other=addon.seen)
        assert tctx.options.store_streamed_bodies is addon.seen
    tctx.options.update(store_streamed_bodies=False)  # in mitmweb, say
    tctx.options.update(other=False)
    assert tctx.options.store_streamed_bodies is False


async def test_without_the_option_nothing_happens() -> None:
    with taddons.context():
        StreamedBodies().configure({"other"}, seen=True)
