"""Which conversations stay on LiteLLM, and which have been there; cooldowns are in test_fallback.py."""

from dataclasses import replace

import pytest
from mitmproxy import http

from litellm_hybrid.config.settings import Address, Fallback, Secret, Settings
from litellm_hybrid.fallback import bypass as straight
from litellm_hybrid.fallback import replay
from litellm_hybrid.fallback.bypass import Straight
from litellm_hybrid.fallback.conversations import FOR
from litellm_hybrid.fallback.replay import Replays
from litellm_hybrid.flow import exchange
from litellm_hybrid.flow.exchange import Record
from litellm_hybrid.routing.rules import Reason, Target
from support.flows import Fields, upstream_flow

BASE = Settings(
    base_url=Address("http", "127.0.0.1", 4000),
    api_key=Secret("sk-litellm"),
    fallback=Fallback(enabled=True, sticky=60.0),
)
BODY = b'{"model":"o3","messages":[{"role":"user","content":"Hello"}]}'
SESSION: Fields = ((b"session_id", b"s-1"),)


class World:
    """Straight, and what it asks for."""

    def __init__(self) -> None:
        self.settings = BASE
        self.now = 1000.0
        settings = lambda: self.settings  # noqa: E731 (both have to see a change)
        self.straight = Straight(settings, Replays(settings))

    def fallback(self, **changes: object) -> None:
        """Change settings of fallback."""
        self.settings = replace(BASE, fallback=replace(BASE.fallback, **changes))  # type: ignore[arg-type]

    def ask(
        self, headers: Fields = SESSION, *, model: str = "o3", may_fall_back: bool = True
    ) -> tuple[http.HTTPFlow, Record, http.Request | None]:
        """A request of the conversation arrives; the last is what goes to LiteLLM instead."""
        flow, record = upstream_flow(
            BODY,
            path="/v1/chat/completions",
            headers=headers,
            model=model,
            may_fall_back=may_fall_back,
        )
        return flow, record, self.straight.request(flow, record)

    def falls_back(self, headers: Fields = SESSION, status: int | None = 200) -> None:
        """LiteLLM answers a request of the conversation after a failure of upstream."""
        flow, record = upstream_flow(BODY, path="/v1/chat/completions", headers=headers)
        exchange.settle(record, Target.LITELLM, Reason.FALLBACK)
        self.straight.to_litellm(flow)
        self.straight.ended(flow, status)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    world = World()
    for room in (replay, straight):
        monkeypatch.setattr(room, "monotonic", lambda: world.now)
    return world


def test_a_conversation_stays_for_so_long(world: World) -> None:
    world.falls_back()
    world.now += 59
    _, record, request = world.ask()
    assert request is not None
    assert (record["target"], record["reason"]) == ("litellm", "sticky")
    world.now += 1
    assert world.ask()[2] is None


def test_every_turn_that_litellm_serves_lengthens_it(world: World) -> None:
    world.falls_back()
    for _ in range(3):
        world.now += 50
        flow, _, request = world.ask()
        assert request is not None
        world.straight.ended(flow, 200)


@pytest.mark.parametrize("status", [400, 502, None])
def test_a_turn_that_litellm_does_not_serve_ends_it(world: World, status: int | None) -> None:
    world.falls_back()
    flow, _, _ = world.ask()
    world.straight.ended(flow, status)
    assert world.ask()[2] is None
    assert world.straight.has_been_away(flow.request)


@pytest.mark.parametrize(
    "changes", [{"sticky": 0.0}, {"sticky": 0.0, "cooldown_max": 60.0}], ids=["off", "cooldown alone"]
)
def test_nothing_stays_unless_it_is_configured(world: World, changes: dict[str, object]) -> None:
    world.fallback(**changes)
    world.falls_back()
    assert world.ask()[2] is None


def test_switched_off_while_a_conversation_stays(world: World) -> None:
    world.falls_back()
    world.fallback(sticky=0.0)
    assert world.ask()[2] is None


@pytest.mark.parametrize(
    "headers", [((b"session_id", b"s-2"),), (*SESSION, (b"authorization", b"Bearer sk-other")), ()]
)
def test_other_conversations_do_not_stay(world: World, headers: Fields) -> None:
    world.falls_back()
    flow, record, request = world.ask(headers)
    assert request is None
    assert record["reason"] == "not-listed"
    assert not world.straight.has_been_away(flow.request)


def test_another_model_asks_upstream(world: World) -> None:
    world.falls_back()
    assert world.ask(model="o3-mini")[2] is None
    assert world.ask()[2] is not None


def test_what_may_not_fall_back_does_not_stay(world: World) -> None:
    world.falls_back()
    assert world.ask(may_fall_back=False)[2] is None


def test_who_may_not_spend_the_key_is_sent_to_upstream(world: World) -> None:
    world.falls_back()
    _, record, request = world.ask((*SESSION, (b"origin", b"https://example.com")))
    assert request is None
    assert (record["target"], record["note"]) == ("upstream", "; fallback-failed=not-allowed")


def test_a_replay_that_failed_leaves_nothing_behind(world: World) -> None:
    flow, record = upstream_flow(BODY, headers=SESSION)
    exchange.settle(record, Target.LITELLM, Reason.FALLBACK)
    world.straight.to_litellm(flow)
    exchange.settle(record, Target.UPSTREAM, Reason.FALLBACK_FAILED)
    world.straight.ended(flow, 429)
    assert not world.straight.has_been_away(flow.request)
    assert world.ask()[2] is None


def test_a_routed_request_was_away_but_does_not_stay(world: World) -> None:
    flow, record = upstream_flow(BODY, headers=SESSION, may_fall_back=False)
    exchange.settle(record, Target.LITELLM, Reason.MODEL)
    world.straight.to_litellm(flow)
    world.straight.ended(flow, 200)
    assert world.straight.has_been_away(flow.request)
    assert world.ask()[2] is None


def test_a_routed_request_in_between_changes_nothing(world: World) -> None:
    world.falls_back()
    flow, record = upstream_flow(BODY, headers=SESSION, may_fall_back=False)
    exchange.settle(record, Target.LITELLM, Reason.MODEL)
    world.straight.to_litellm(flow)
    world.straight.ended(flow, 200)
    assert world.ask()[2] is not None


def test_with_fallback_off_nothing_is_remembered(world: World) -> None:
    world.fallback(enabled=False)
    world.falls_back()
    flow, _ = upstream_flow(BODY, headers=SESSION)
    assert not world.straight.has_been_away(flow.request)


def test_it_is_remembered_for_a_day(world: World) -> None:
    world.falls_back()
    flow, _ = upstream_flow(BODY, headers=SESSION)
    world.now += FOR - 1
    assert world.straight.has_been_away(flow.request)
    world.now += 1
    assert not world.straight.has_been_away(flow.request)


def test_a_conversation_that_cannot_be_told_is_none(world: World) -> None:
    flow, record = upstream_flow(b'{"model":"o3","input":"Hello"}')
    exchange.settle(record, Target.LITELLM, Reason.FALLBACK)
    world.straight.to_litellm(flow)
    world.straight.ended(flow, 200)
    assert not world.straight.conversations


def test_nothing_is_kept_of_a_request_that_has_ended(world: World) -> None:
    world.falls_back()
    flow, _, _ = world.ask()
    for _ in range(2):
        world.straight.ended(flow, 200)
    assert world.straight._talks == {}
    assert world.straight._waiting == {}


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
    flow, _, _ = world.ask()
    looked: list[http.Request] = []
    content = exchange.content

    def look(request: http.Request) -> bytes:
        looked.append(request)
        return content(request)

    monkeypatch.setattr(exchange, "content", look)
    refusal = world.straight.refuses_history(flow.request, status, body)
    assert (refusal is not None, bool(looked)) == (read, read)
