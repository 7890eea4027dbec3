"""Whether the process is ready for requests, by what they have met on their way."""

import json
from dataclasses import replace
from typing import Any

import pytest

from litellm_hybrid.config.settings import Address, Fallback, Settings
from litellm_hybrid.errors import Cause
from litellm_hybrid.observability.admin_endpoints import AdminResponse, State, health
from litellm_hybrid.observability.history import FAILED_FOR, LastSeen
from litellm_hybrid.routing.rules import Target

LITELLM = Address("http", "127.0.0.1", 4000)
ROUTED = Settings(enabled=True, base_url=LITELLM)
FALLBACK = Settings(base_url=LITELLM, fallback=Fallback(enabled=True))
GOOD = State(ROUTED, broken=False, draining=False)
BOTH_DOWN = frozenset({Target.UPSTREAM, Target.LITELLM})


def _said(page: AdminResponse) -> tuple[int, Any]:
    return page.status, json.loads(page.body)


@pytest.mark.parametrize(
    ("state", "reasons"),
    [
        (GOOD, []),
        (replace(GOOD, draining=True), ["draining"]),
        (replace(GOOD, settings=None), ["no-configuration"]),
        (replace(GOOD, broken=True), ["broken-configuration"]),
        (replace(GOOD, down=frozenset({Target.UPSTREAM})), ["upstream-unreachable"]),
        (replace(GOOD, down=frozenset({Target.LITELLM})), ["litellm-unreachable"]),
        (replace(GOOD, settings=FALLBACK, down=BOTH_DOWN), ["upstream-unreachable", "litellm-unreachable"]),
        # nothing is routed there
        (replace(GOOD, settings=Settings(base_url=LITELLM), down=BOTH_DOWN), ["upstream-unreachable"]),
        (replace(GOOD, settings=Settings(enabled=True), down=frozenset({Target.LITELLM})), []),
        (
            State(None, broken=True, draining=True, down=BOTH_DOWN),
            ["draining", "no-configuration", "broken-configuration", "upstream-unreachable"],
        ),
    ],
)
def test_ready_and_why_not(state: State, reasons: list[str]) -> None:
    status, said = _said(health(state))

    assert status == (503 if reasons else 200)
    assert (said["live"], said["ready"]) == (True, not reasons)
    assert [reason["reason"] for reason in said["reasons"]] == reasons
    assert all(reason["message"] for reason in said["reasons"])


@pytest.mark.parametrize("cause", list(Cause))
def test_only_a_connection_that_failed_speaks_against_a_server(cause: Cause) -> None:
    seen = LastSeen()
    seen.failed("upstream", cause, 100.0)

    down = cause in {Cause.CONNECT_FAILED, Cause.CONNECT_LIMIT}
    assert (seen.is_down("upstream", 100.0), seen.is_down("litellm", 100.0)) == (down, False)


@pytest.mark.parametrize(
    ("why", "down"),
    [
        ("network_error", True),
        ("network_timeout", True),
        ("timeout", False),
        ("proxy_error", False),
        ("503", False),
        ("error-event", False),
    ],
)
def test_a_replay_that_failed(why: str, down: bool) -> None:
    seen = LastSeen()
    seen.replay_failed("litellm", why, 100.0)
    assert seen.is_down("litellm", 100.0) is down


def test_a_server_is_seen_anew() -> None:
    """By an answer, by time, and by a configuration that may name another one."""
    seen = LastSeen()
    assert not seen.is_down("upstream", 100.0)
    for target in ("upstream", "litellm"):
        seen.failed(target, Cause.CONNECT_FAILED, 100.0)

    assert seen.is_down("upstream", 100.0 + FAILED_FOR - 0.1)
    assert not seen.is_down("upstream", 100.0 + FAILED_FOR)

    seen.answered("upstream")
    assert (seen.is_down("upstream", 100.0), seen.is_down("litellm", 100.0)) == (False, True)
    seen.forget()
    assert not seen.is_down("litellm", 100.0)
