"""The commands as mitmproxy sees them; what they do is in tests/e2e/test_rows.py, on real requests."""

from collections.abc import Iterator

import pytest
from mitmproxy import exceptions, hooks, http
from mitmproxy.test import taddons, tflow

from litellm_hybrid.config.settings import Settings, SettingsStore
from litellm_hybrid.fallback.shared_state import SharedState
from litellm_hybrid.fallback.state import Cooldowns
from litellm_hybrid.flow.exchange import Exchange
from litellm_hybrid.flow.outcome import METADATA
from litellm_hybrid.llm.replay.remedies import Action, Remedy
from litellm_hybrid.mitmweb.commands import Commands, status_lines
from litellm_hybrid.observability.history import Reload
from litellm_hybrid.observability.status import Status
from litellm_hybrid.routing.rules import Reason, Target

STATUS = Status(
    now=1000.0,
    started=0.0,
    pid=1,
    worker="",
    versions={"litellm-hybrid": "1", "mitmproxy": "12"},
    not_ready=(("litellm-unreachable", "LiteLLM could not be reached"),),
    file="/etc/config.yaml",
    since=900.0,
    broken=True,
    last_reload=Reload(950.0, "rejected", ("line 3",)),
    settings=(("enabled", "true"), ("api-key", "***")),
    in_flight=2,
    streams=1,
    held_bytes=0,
    requests={("upstream", "not-listed", "2xx"): 3, ("litellm", "model", "5xx"): 1},
    fallbacks={("quota", "served"): 4},
    recent=(),
    cooldowns=(("o3", 0.0), ("gpt-5", 61.4)),
)


@pytest.fixture
async def tctx() -> Iterator[taddons.context]:  # type: ignore[misc]
    with taddons.context(loadcore=False) as tctx:
        yield tctx


def _commands(settings: Settings | None = None) -> Commands:
    return Commands(SettingsStore(settings), lambda: STATUS, Cooldowns(SharedState()))


def _decided(name: str) -> http.HTTPFlow:
    flow = tflow.tflow(resp=True)
    flow.request.headers["x-request-id"] = name
    exchange = Exchange.begin(flow)
    exchange.set_outcome(Target.UPSTREAM, Reason.NO_MODEL)
    flow.metadata[METADATA] = exchange.snapshot()
    return flow


def test_they_cost_a_request_nothing() -> None:
    """mitmproxy, and our engine, call every handler there is for each hook."""
    commands = _commands()
    assert [name for name in hooks.all_hooks if hasattr(commands, name) and name != "load"] == []


async def test_mitmproxy_takes_them(tctx: taddons.context) -> None:
    tctx.master.addons.add(_commands())
    known = tctx.master.commands.commands
    ours = {name: command.signature_help() for name, command in known.items() if name.startswith("litellm.")}
    assert ours == {
        "litellm.status": "litellm.status  -> str[]",
        "litellm.explain": "litellm.explain flows -> str[]",
        "litellm.cooldowns": "litellm.cooldowns  -> str[]",
        "litellm.cooldowns.clear": "litellm.cooldowns.clear  -> str",
    }
    assert all(known[name].help for name in ours)


def test_status_in_lines() -> None:
    lines = status_lines(STATUS)
    assert lines[:6] == [
        "not ready: LiteLLM could not be reached",
        "in flight: 2 requests, 1 of them streaming",
        "requests: litellm; reason=model, 5xx: 1",
        "requests: upstream; reason=not-listed, 2xx: 3",
        "fallbacks: quota, served: 4",
        "cooldown: o3: over; the next request finds out whether upstream serves it again",
    ]
    assert lines[6].startswith("cooldown: gpt-5: 61 s left, until ")
    assert lines[7:] == [
        "configuration: /etc/config.yaml, in force since 1970-01-01T00:15:00Z; the file has an error now",
        "enabled: true",
        "api-key: ***",
        "litellm-hybrid 1, mitmproxy 12",
    ]


async def test_without_a_list_there_is_nothing_to_explain(tctx: taddons.context) -> None:
    assert tctx
    commands = _commands(Settings())
    with pytest.raises(exceptions.CommandError, match="none of these flows"):
        commands.explain()


def test_without_a_configuration_they_say_so() -> None:
    with pytest.raises(exceptions.CommandError, match="no valid configuration"):
        _commands().cooldowns()


def test_a_flow_from_a_file_is_explained_by_its_reason() -> None:
    flow = _decided("req-1").copy()
    decided, means, fix = _commands(Settings()).explain([flow])
    assert decided == "/path → upstream; reason=no-model; target=upstream; no model; request id req-1"
    assert means.startswith("means: neither the body nor the path names a model")
    assert fix.startswith("fix: have the client name the model")


def test_what_was_changed_of_a_replay_is_explained() -> None:
    flow = _decided("req-1")
    exchange = Exchange.of(flow)
    assert exchange is not None
    exchange.remedies += [Remedy(Action.OMIT, "user"), Remedy(Action.LIMIT, limit=100)]
    lines = _commands(Settings()).explain([flow])
    assert "changed for the backend: omit user, max_tokens at most 100" in lines
    assert "needless with, in LiteLLM's configuration: litellm_settings: modify_params: true" in lines


def test_not_more_is_explained_than_can_be_read() -> None:
    lines = _commands(Settings()).explain([tflow.tflow(), *(_decided(f"req-{n}") for n in range(12))])
    assert sum("; reason=no-model; " in line for line in lines) == 10
    assert lines[-1] == "and 2 more: name fewer flows"


def test_what_a_request_puts_into_an_explanation_cannot_move_the_cursor() -> None:
    flow = _decided("req-1")
    flow.comment = "\x1b[2J"
    assert _commands(Settings()).explain([flow])[0] == "\\x1b[2J"
