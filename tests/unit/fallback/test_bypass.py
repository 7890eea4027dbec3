"""Which conversations stay on LiteLLM, and which have been there; cooldowns are in test_fallback.py."""

from dataclasses import replace
from pathlib import Path

import pytest
from mitmproxy import http

from litellm_hybrid.config.settings import Address, Fallback, Secret, Settings, SettingsStore
from litellm_hybrid.errors import Cause, Failure
from litellm_hybrid.fallback import bypass, replay
from litellm_hybrid.fallback.backends import SqliteBackend
from litellm_hybrid.fallback.bypass import Bypass
from litellm_hybrid.fallback.conversations import SERVED_FOR, conversation_id
from litellm_hybrid.fallback.replay import Replays
from litellm_hybrid.fallback.state import FallbackState, cooldown_key
from litellm_hybrid.flow.exchange import Exchange
from litellm_hybrid.routing.rules import Reason, Target
from support.flows import Fields, upstream_flow
from support.stores import until

BASE = Settings(
    base_url=Address("http", "127.0.0.1", 4000),
    api_key=Secret("sk-litellm"),
    fallback=Fallback(enabled=True, sticky=60.0),
)
BODY = b'{"model":"o3","messages":[{"role":"user","content":"Hello"}]}'
SESSION: Fields = ((b"session_id", b"s-1"),)


class World:
    """Bypass, and what it asks for."""

    def __init__(self) -> None:
        self.settings = SettingsStore(BASE)
        self.now = 1000.0
        self.state = FallbackState()
        self.bypass = Bypass(self.settings, self.state, Replays(self.settings, self.state))

    def fallback(self, **changes: object) -> None:
        """Change settings of fallback."""
        fallback = replace(BASE.fallback, **changes)  # type: ignore[arg-type]
        self.settings.publish(replace(BASE, fallback=fallback))

    def ask(
        self, headers: Fields = SESSION, *, model: str = "o3", may_fall_back: bool = True
    ) -> tuple[Exchange, http.Request | None]:
        """A request of the conversation arrives; the last is what goes to LiteLLM instead."""
        flow, exchange = upstream_flow(
            BODY,
            path="/v1/chat/completions",
            headers=headers,
            model=model,
            may_fall_back=may_fall_back,
        )
        return exchange, self.bypass.replacement(flow, exchange)

    def falls_back(self, headers: Fields = SESSION, status: int | None = 200) -> None:
        """LiteLLM answers a request of the conversation after a failure of upstream."""
        _, exchange = upstream_flow(BODY, path="/v1/chat/completions", headers=headers)
        exchange.set_outcome(Target.LITELLM, Reason.FALLBACK)
        self.bypass.remember_conversation(exchange)
        self.bypass.exchange_ended(exchange, status)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    world = World()
    for module in (replay, bypass):
        monkeypatch.setattr(module, "monotonic", lambda: world.now)
    return world


def test_a_conversation_stays_for_so_long(world: World) -> None:
    world.falls_back()
    world.now += 59
    exchange, request = world.ask()
    assert request is not None
    assert exchange.route == "litellm; reason=sticky; model=o3"
    world.now += 1
    assert world.ask()[1] is None


def test_every_turn_that_litellm_serves_lengthens_it(world: World) -> None:
    world.falls_back()
    for _ in range(3):
        world.now += 50
        exchange, request = world.ask()
        assert request is not None
        world.bypass.exchange_ended(exchange, 200)


@pytest.mark.parametrize("status", [401, 403, 404, 408, 429, 500, 502, 529, None])
def test_a_turn_that_litellm_fails_ends_it(world: World, status: int | None) -> None:
    world.falls_back()
    exchange, _ = world.ask()
    world.bypass.exchange_ended(exchange, status)
    assert world.ask()[1] is None
    assert world.bypass.was_served_by_litellm(exchange)


@pytest.mark.parametrize("status", [400, 413, 422, None])
def test_a_turn_that_is_wrong_or_whose_client_leaves_changes_nothing(
    world: World, status: int | None
) -> None:
    """Neither is a failure of LiteLLM's."""
    world.falls_back()
    world.now += 50
    exchange, _ = world.ask()
    exchange.failure = None if status else Failure(Cause.CLIENT_LEFT, "client disconnected")
    world.bypass.exchange_ended(exchange, status)
    assert world.ask()[1] is not None
    world.now += 10
    assert world.ask()[1] is None


def test_a_client_that_leaves_in_the_middle_of_a_response_lengthens_it(world: World) -> None:
    world.falls_back()
    world.now += 50
    exchange, _ = world.ask()
    exchange.attempts[-1].status = 200
    exchange.failure = Failure(Cause.CLIENT_LEFT, "client disconnected")
    world.bypass.exchange_ended(exchange, None)
    world.now += 50
    assert world.ask()[1] is not None


@pytest.mark.parametrize(
    "changes", [{"sticky": 0.0}, {"sticky": 0.0, "cooldown_max": 60.0}], ids=["off", "cooldown alone"]
)
def test_nothing_stays_unless_it_is_configured(world: World, changes: dict[str, object]) -> None:
    world.fallback(**changes)
    world.falls_back()
    assert world.ask()[1] is None


def test_switched_off_while_a_conversation_stays(world: World) -> None:
    world.falls_back()
    world.fallback(sticky=0.0)
    assert world.ask()[1] is None


@pytest.mark.parametrize(
    "headers", [((b"session_id", b"s-2"),), (*SESSION, (b"authorization", b"Bearer sk-other")), ()]
)
def test_other_conversations_do_not_stay(world: World, headers: Fields) -> None:
    world.falls_back()
    exchange, request = world.ask(headers)
    assert request is None
    assert exchange.outcome.reason is Reason.NOT_LISTED
    assert not world.bypass.was_served_by_litellm(exchange)


def test_another_model_asks_upstream(world: World) -> None:
    world.falls_back()
    assert world.ask(model="o3-mini")[1] is None
    assert world.ask()[1] is not None


def test_what_may_not_fall_back_does_not_stay(world: World) -> None:
    world.falls_back()
    assert world.ask(may_fall_back=False)[1] is None


def test_who_may_not_spend_the_key_is_sent_to_upstream(world: World) -> None:
    world.falls_back()
    exchange, request = world.ask((*SESSION, (b"origin", b"https://example.com")))
    assert request is None
    assert exchange.route == "upstream; reason=fallback-failed; fallback-failed=not-allowed"


def test_a_replay_that_failed_leaves_nothing_behind(world: World) -> None:
    _, exchange = upstream_flow(BODY, headers=SESSION)
    exchange.set_outcome(Target.LITELLM, Reason.FALLBACK)
    world.bypass.remember_conversation(exchange)
    exchange.set_outcome(Target.UPSTREAM, Reason.FALLBACK_FAILED)
    world.bypass.exchange_ended(exchange, 429)
    assert not world.bypass.was_served_by_litellm(exchange)
    assert world.ask()[1] is None


def test_a_routed_request_was_away_but_does_not_stay(world: World) -> None:
    _, exchange = upstream_flow(BODY, headers=SESSION, may_fall_back=False)
    exchange.set_outcome(Target.LITELLM, Reason.MODEL)
    world.bypass.remember_conversation(exchange)
    world.bypass.exchange_ended(exchange, 200)
    assert world.bypass.was_served_by_litellm(exchange)
    assert world.ask()[1] is None


def test_a_routed_request_in_between_changes_nothing(world: World) -> None:
    world.falls_back()
    _, exchange = upstream_flow(BODY, headers=SESSION, may_fall_back=False)
    exchange.set_outcome(Target.LITELLM, Reason.MODEL)
    world.bypass.remember_conversation(exchange)
    world.bypass.exchange_ended(exchange, 200)
    assert world.ask()[1] is not None


def test_with_fallback_off_nothing_is_remembered(world: World) -> None:
    world.fallback(enabled=False)
    world.falls_back()
    _, exchange = upstream_flow(BODY, headers=SESSION)
    assert not world.bypass.was_served_by_litellm(exchange)


def test_it_is_remembered_for_a_day(world: World) -> None:
    world.falls_back()
    _, exchange = upstream_flow(BODY, headers=SESSION)
    world.now += SERVED_FOR - 1
    assert world.bypass.was_served_by_litellm(exchange)
    world.now += 1
    assert not world.bypass.was_served_by_litellm(exchange)


def test_a_conversation_that_cannot_be_told_is_none(world: World) -> None:
    _, exchange = upstream_flow(b'{"model":"o3","input":"Hello"}')
    exchange.set_outcome(Target.LITELLM, Reason.FALLBACK)
    world.bypass.remember_conversation(exchange)
    world.bypass.exchange_ended(exchange, 200)
    assert not world.state.conversations


@pytest.mark.parametrize(
    ("status", "body", "read"),
    [
        (200, b'{"ok": true}', False),
        (400, b'{"error": {"message": "max_tokens is too large"}}', False),
        (400, b'{"error": {"code": "invalid_encrypted_content", "message": "no"}}', True),
    ],
)
def test_a_history_is_read_only_where_it_is_refused(
    world: World, monkeypatch: pytest.MonkeyPatch, status: int, body: bytes, *, read: bool
) -> None:
    world.falls_back()
    exchange, _ = world.ask()
    looked: list[Exchange] = []

    def look(asked: Exchange) -> str | None:
        looked.append(asked)
        return conversation_id(asked)

    monkeypatch.setattr(bypass, "conversation_id", look)
    refusal = world.bypass.detect_history_rejection(exchange, status, body)
    assert (refusal is not None, bool(looked)) == (read, read)


async def test_only_a_probe_and_a_limited_replay_wait_for_the_store(world: World, tmp_path: Path) -> None:
    """A request that nothing is remembered of never does."""
    world.fallback(max_per_hour=5, sticky=60.0, cooldown_max=60.0)
    world.state.shared.start("sqlite", SqliteBackend(tmp_path / "state.db"), b"secret")
    await until(lambda: world.state.shared.is_loaded)
    _, plain = upstream_flow(BODY, path="/v1/chat/completions", headers=SESSION, model="o3")
    assert world.bypass.reservation(plain) is None

    world.state.cooldowns.start(cooldown_key("o3", plain.client.keys), 0.0, world.now)
    probe = world.bypass.reservation(plain)
    assert probe is not None
    await probe
    assert plain.is_probe
    _, waits = upstream_flow(BODY, path="/v1/chat/completions", headers=SESSION, model="o3")
    limited = world.bypass.reservation(waits)
    assert limited is not None
    await limited
    assert waits.place is not None
    world.state.shared.stop()
