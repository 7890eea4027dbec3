"""The hooks, on flows that did not come over a socket; those that did are in tests/e2e."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from mitmproxy import exceptions, flow, http
from mitmproxy.flow import Error
from mitmproxy.test import taddons, tflow, tutils

from litellm_hybrid.addon import HybridAddon
from litellm_hybrid.config.settings import Timeouts
from litellm_hybrid.errors import LITELLM_UNREACHABLE, UPSTREAM_UNREACHABLE, Cause, ErrorType, Failure
from litellm_hybrid.flow.outcome import METADATA
from litellm_hybrid.routing import rules

KEYS = {"enabled": True, "base-url": "http://127.0.0.1:4000", "api-key": "sk-litellm", "models": ["gpt-5"]}
MODE = ["reverse:http://127.0.0.1:8317@127.0.0.1:8318"]


@pytest.fixture
async def addon(tmp_path: Path) -> AsyncIterator[HybridAddon]:
    file = tmp_path / "config.yaml"
    file.write_text(json.dumps({"extensions": {"litellm": KEYS}}))
    addon = HybridAddon()
    with taddons.context(loadcore=False) as tctx:
        tctx.options.add_option("connection_strategy", str, "eager", "")
        tctx.options.update(mode=MODE)
        tctx.master.addons.add(addon)
        tctx.configure(addon, litellm_config=str(file))
        yield addon
        addon.lifecycle.done()


def _flow(model: str = "gpt-5") -> http.HTTPFlow:
    body = json.dumps({"model": model}).encode()
    request = tutils.treq(
        method=b"POST", path=b"/v1/messages", content=body, headers=http.Headers(host="upstream")
    )
    return tflow.tflow(req=request)


def _request(addon: HybridAddon, flow: http.HTTPFlow) -> None:
    addon._observer.request_begun(flow, "127.0.0.1:8318")
    addon.request(flow)


def test_loading_makes_connections_lazy(addon: HybridAddon) -> None:
    from mitmproxy import ctx

    assert ctx.options.connection_strategy == "lazy"
    assert addon._policy.limits() == Timeouts()


def test_eager_is_refused(addon: HybridAddon) -> None:
    from mitmproxy import ctx

    with pytest.raises(exceptions.OptionsError, match="connection_strategy=lazy"):
        ctx.options.update(connection_strategy="eager")
    assert addon


@pytest.mark.parametrize(("model", "port"), [("gpt-5", 4000), ("o3", 22)])
def test_a_request_is_decided_on(model: str, port: int, addon: HybridAddon) -> None:
    flow = _flow(model)
    assert not addon._policy.may_forward(flow)

    _request(addon, flow)

    assert addon._policy.may_forward(flow)
    assert flow.request.port == port


def _answered(flow: http.HTTPFlow) -> None:
    flow.response = http.Response.make(200)


def _failed(flow_: http.HTTPFlow) -> None:
    flow_.error = flow.Error("x")


def _dead(flow: http.HTTPFlow) -> None:
    flow.live = False


def _replayed(flow: http.HTTPFlow) -> None:
    flow.is_replay = "request"


@pytest.mark.parametrize("state", [_answered, _failed, _dead, _replayed])
def test_a_flow_that_is_not_the_clients_is_left_alone(state: object, addon: HybridAddon) -> None:
    """Replay in mitmweb runs the hook again, on a request that has been rewritten."""
    flow = _flow()
    assert callable(state)
    state(flow)
    before = flow.request.copy()

    _request(addon, flow)

    assert flow.request.data == before.data
    assert not addon._policy.may_forward(flow)


def test_an_exception_is_our_own_fault(addon: HybridAddon, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RecursionError("on purpose")

    monkeypatch.setattr(rules, "without_body", broken)
    flow = _flow()

    _request(addon, flow)

    assert flow.response
    assert (flow.response.status_code, flow.response.headers["content-type"]) == (500, "application/json")
    assert flow.response.headers["x-hybrid-route"] == "none; reason=error"
    assert flow.response.headers["x-request-id"].startswith("req-")
    assert flow.request.port == 22


def test_an_error_of_our_own_is_logged_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    _request(HybridAddon(), _flow())

    (record,) = caplog.records
    assert record.exc_info
    assert record.exc_info[2] is not None


def test_without_a_valid_configuration_nothing_is_sent() -> None:
    """mitmproxy goes on listening for a moment after a start that failed."""
    addon = HybridAddon()
    flow = _flow()

    _request(addon, flow)

    assert flow.response
    assert flow.response.status_code == 500
    assert addon._policy.limits() == Timeouts()


@pytest.mark.parametrize(
    ("page", "status", "says"),
    [
        ("health", 503, '"reason": "no-configuration"'),
        ("status", 200, '"reason": "no-configuration"'),
        ("metrics", 200, "litellm_hybrid_build_info"),
    ],
)
def test_own_pages_without_a_valid_configuration(page: str, status: int, says: str) -> None:
    addon = HybridAddon()
    flow = _flow()
    flow.request.method, flow.request.path = "GET", f"/_hybrid/{page}"

    _request(addon, flow)

    assert flow.response
    assert flow.response.status_code == status
    assert says in (flow.response.text or "")


@pytest.mark.parametrize(
    ("model", "body", "who"),
    [("gpt-5", LITELLM_UNREACHABLE, "litellm"), ("o3", UPSTREAM_UNREACHABLE, "upstream")],
)
def test_a_failure_is_worded_and_logged(
    model: str, body: bytes, who: str, addon: HybridAddon, caplog: pytest.LogCaptureFixture
) -> None:
    flow = _flow(model)
    _request(addon, flow)

    failure = Failure(Cause.CONNECT_FAILED, "refused")
    addon._observer.failed(flow, failure, response_begun=False)
    answer = addon._policy.error_response(flow, failure)

    assert (answer.status_code, answer.raw_content) == (502, body)
    assert answer.headers["x-hybrid-route"] == f"{who}; reason=error"
    record = caplog.records[-1]
    assert record.levelname == "ERROR"
    assert record.getMessage() == f"{who} proxy error for POST /v1/messages: refused"
    fields: dict[str, object] = record.__dict__["fields"]
    assert fields["error_type"] == ErrorType.NETWORK_ERROR
    assert set(fields) == {
        *("event", "error_type", "method", "path", "client_ip", "request_id", "target", "model", "error")
    }


def test_a_client_that_left_is_a_warning(addon: HybridAddon, caplog: pytest.LogCaptureFixture) -> None:
    flow = _flow()
    _request(addon, flow)

    addon._observer.failed(flow, Failure(Cause.CLIENT_LEFT, "gone"), response_begun=True)

    assert caplog.records[-1].levelname == "WARNING"
    assert caplog.messages[-1] == "litellm: client disconnected during POST /v1/messages"


def test_answers_of_flows_that_are_not_ours_stay(addon: HybridAddon) -> None:
    flow = tflow.tflow(resp=True)
    assert flow.response
    before = flow.response.copy()

    addon.responseheaders(flow)
    addon.response(flow)

    assert flow.response.data == before.data
    assert METADATA not in flow.metadata


def test_a_flow_from_a_file_is_left_alone(addon: HybridAddon, caplog: pytest.LogCaptureFixture) -> None:
    """mitmproxy calls the hooks for each flow of a file that somebody opens; replays are saved there too."""
    addon._redactor.enabled = True
    for replayed in (None, "request"):
        flow = _flow()
        _request(addon, flow)
        flow.response = http.Response.make(200)
        addon.responseheaders(flow)
        addon.response(flow)
        flow.request.headers["authorization"] = "Bearer ***"
        flow.is_replay = replayed
        opened = flow.copy()
        opened.id = flow.id
        opened.error = Error("closed")
        caplog.clear()
        before = opened.get_state()

        for hook in (addon.request, addon.responseheaders, addon.response, addon.error):
            hook(opened)

        assert opened.get_state() == before
        assert opened.response
        assert opened.response.stream is False
        assert caplog.messages == []


def test_a_flow_that_was_killed_is_over(addon: HybridAddon) -> None:
    """It is not live any more, and if its client leaves too, mitmproxy says that in place of `killed`."""
    addon._redactor.enabled = True
    for error in (Error.KILLED_MESSAGE, "client disconnected"):
        flow = _flow()
        _request(addon, flow)
        flow.request.headers["authorization"] = "Bearer secret"
        flow.kill()
        flow.error = Error(error)
        addon.error(flow)
        assert addon._records.counters.in_flight == 0
        assert "secret" not in str(flow.get_state())


def test_a_flow_that_was_killed_before_it_was_decided_on_is_masked(addon: HybridAddon) -> None:
    addon._redactor.enabled = True
    flow = _flow()
    addon._observer.request_begun(flow, "127.0.0.1:8318")
    flow.request.headers["authorization"] = "Bearer secret"
    flow.kill()
    addon.error(flow)
    assert "secret" not in str(flow.get_state())


async def test_a_place_that_cannot_be_asked_for_leaves_no_request_waiting(
    addon: HybridAddon, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails() -> None:
        raise ValueError("a bug of ours")

    monkeypatch.setattr(addon._policy.bypass, "reservation", lambda _: fails())
    flow = _flow("other")
    _request(addon, flow)
    async with asyncio.timeout(60):
        await addon._proxy.waits.hybrid_wait(flow)
    assert flow.response is not None
    assert flow.response.status_code == 500
