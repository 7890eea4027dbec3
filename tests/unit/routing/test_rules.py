from dataclasses import replace

import pytest

from litellm_hybrid.config.settings import Address, Fallback, Patterns, Settings
from litellm_hybrid.message import json
from litellm_hybrid.routing import requested_model
from litellm_hybrid.routing.requested_model import Named
from litellm_hybrid.routing.rules import Reason, Route, Target, by_head, decide, name_for_litellm

BASE = Address("http", "127.0.0.1", 4000)
CHAT = "/v1/chat/completions"
LISTED = Settings(enabled=True, base_url=BASE, models=Patterns(["gpt-5", "o3-*"]))
PASSTHROUGH = replace(LISTED, passthrough=True)
DISABLED = replace(LISTED, enabled=False)
FALLBACK = Settings(base_url=BASE, fallback=Fallback(enabled=True))
BOTH = replace(LISTED, fallback=Fallback(enabled=True, excluded=Patterns(["claude-3-haiku*"])))


def mapped(settings: Settings, mappings: dict[str, str]) -> Settings:
    lowered = {requested.lower(): name for requested, name in mappings.items()}
    return replace(settings, mappings=lowered, mapping_patterns=Patterns(mappings))


def route(settings: Settings, body: bytes, path: str = CHAT, method: str = "POST") -> Route:
    decided = by_head(settings, method, path, websocket=False, own_via=False)
    return decided or decide(settings, path, requested_model.read(path, "application/json", "", body))


def test_the_reasons_are_the_closed_list_of_the_interface() -> None:
    assert {str(reason) for reason in Reason} == {
        *("model", "passthrough", "fallback", "unreachable", "cooldown", "sticky", "spill"),
        *("disabled", "no-base-url", "not-listed", "not-post", "no-model", "unreadable-body"),
        *("never-reroute", "websocket", "stateful", "fallback-failed", "litellm-failed"),
        *("excepted", "own-page", "refused", "error"),
    }
    assert {str(target) for target in Target} == {"litellm", "upstream", "none"}


@pytest.mark.parametrize(
    ("settings", "body", "target", "reason"),
    [
        # the fork's own list
        (LISTED, b'{"model": "gpt-5"}', Target.LITELLM, Reason.MODEL),
        (LISTED, b'{"model": "claude-3-opus"}', Target.UPSTREAM, Reason.NOT_LISTED),
        (LISTED, b"{}", Target.UPSTREAM, Reason.NO_MODEL),
        (LISTED, b"invalid", Target.UPSTREAM, Reason.UNREADABLE_BODY),
        (PASSTHROUGH, b'{"model": "gpt-5"}', Target.LITELLM, Reason.MODEL),
        (PASSTHROUGH, b'{"model": "claude-3-opus"}', Target.LITELLM, Reason.PASSTHROUGH),
        (PASSTHROUGH, b"{}", Target.UPSTREAM, Reason.NO_MODEL),
        (PASSTHROUGH, b"invalid", Target.UPSTREAM, Reason.UNREADABLE_BODY),
        (DISABLED, b'{"model": "gpt-5"}', Target.UPSTREAM, Reason.DISABLED),
        (DISABLED, b'{"model": "claude-3-opus"}', Target.UPSTREAM, Reason.DISABLED),
        (DISABLED, b"{}", Target.UPSTREAM, Reason.DISABLED),
        (DISABLED, b"invalid", Target.UPSTREAM, Reason.DISABLED),
        # what else turns routing off
        (Settings(), b'{"model": "gpt-5"}', Target.UPSTREAM, Reason.DISABLED),
        (replace(LISTED, base_url=None), b'{"model": "gpt-5"}', Target.UPSTREAM, Reason.NO_BASE_URL),
        (replace(PASSTHROUGH, enabled=False), b'{"model": "gpt-5"}', Target.UPSTREAM, Reason.DISABLED),
        (FALLBACK, b'{"model": "gpt-5"}', Target.UPSTREAM, Reason.NOT_LISTED),
        (replace(BOTH, enabled=False), b'{"model": "gpt-5"}', Target.UPSTREAM, Reason.DISABLED),
        (replace(BOTH, enabled=False), b'{"model": "other"}', Target.UPSTREAM, Reason.NOT_LISTED),
        (replace(FALLBACK, passthrough=True), b'{"model": "gpt-5"}', Target.UPSTREAM, Reason.DISABLED),
        (FALLBACK, b"{}", Target.UPSTREAM, Reason.NO_MODEL),
        # no list
        (replace(LISTED, models=Patterns()), b'{"model": "gpt-5"}', Target.UPSTREAM, Reason.NOT_LISTED),
        # names: trimmed, without case, without a suffix
        (LISTED, b'{"model": " GPT-5 "}', Target.LITELLM, Reason.MODEL),
        (LISTED, b'{"model": "gpt-5(high)"}', Target.LITELLM, Reason.MODEL),
        (LISTED, b'{"model": "gpt-5-mini"}', Target.UPSTREAM, Reason.NOT_LISTED),
        (LISTED, b'{"model": "O3-mini"}', Target.LITELLM, Reason.MODEL),
        # a mapping alone does not route
        (
            mapped(LISTED, {"claude-3-opus": "x"}),
            b'{"model": "claude-3-opus"}',
            Target.UPSTREAM,
            Reason.NOT_LISTED,
        ),
        # a stored response: routed by the list, never replayed
        (BOTH, b'{"model":"gpt-5","previous_response_id":"r"}', Target.LITELLM, Reason.MODEL),
        (BOTH, b'{"model":"other","previous_response_id":"r"}', Target.UPSTREAM, Reason.STATEFUL),
        (FALLBACK, b'{"model":"other","previous_response_id":"r"}', Target.UPSTREAM, Reason.STATEFUL),
        (LISTED, b'{"model":"other","previous_response_id":"r"}', Target.UPSTREAM, Reason.NOT_LISTED),
    ],
)
def test_routes(settings: Settings, body: bytes, target: Target, reason: Reason) -> None:
    decided = route(settings, body)
    assert (decided.target, decided.reason) == (target, reason)


@pytest.mark.parametrize(
    ("settings", "method", "path", "websocket", "own_via", "reason"),
    [
        (LISTED, "POST", CHAT, False, False, None),
        (FALLBACK, "POST", CHAT, False, False, None),
        (LISTED, "POST", "/v1beta/interactions", False, False, None),
        # each reason comes before those below it
        (replace(LISTED, base_url=None), "GET", "/v1internal", True, True, Reason.NO_BASE_URL),
        (DISABLED, "GET", "/v1internal", True, True, Reason.DISABLED),
        (LISTED, "GET", "/v1internal", True, True, Reason.WEBSOCKET),
        (LISTED, "GET", "/v1internal", False, True, Reason.NEVER_REROUTE),
        (LISTED, "GET", CHAT, False, True, Reason.NEVER_REROUTE),
        (LISTED, "GET", "/v1internal", False, False, Reason.NOT_POST),
        (LISTED, "GET", CHAT, False, False, Reason.NOT_POST),
        # own Via
        (LISTED, "POST", CHAT, False, True, Reason.NEVER_REROUTE),
        (PASSTHROUGH, "POST", CHAT, False, True, Reason.NEVER_REROUTE),
        (FALLBACK, "POST", CHAT, False, True, Reason.NEVER_REROUTE),
        # methods
        (PASSTHROUGH, "PUT", CHAT, False, False, Reason.NOT_POST),
        (PASSTHROUGH, "HEAD", CHAT, False, False, Reason.NOT_POST),
        (PASSTHROUGH, "DELETE", "/models/gpt-5", False, False, Reason.NOT_POST),
        (LISTED, "post", CHAT, False, False, Reason.NOT_POST),
        # the never-re-route list, by its kinds (the whole of it: test_paths.py)
        (PASSTHROUGH, "POST", "/v1/videos", False, False, Reason.NEVER_REROUTE),
        (PASSTHROUGH, "POST", "/v1/realtime", False, False, Reason.NEVER_REROUTE),
        (PASSTHROUGH, "POST", "/v1/live", False, False, Reason.NEVER_REROUTE),
        (PASSTHROUGH, "POST", "/v0/management/x", False, False, Reason.NEVER_REROUTE),
        (PASSTHROUGH, "POST", "/codex/callback", False, False, Reason.NEVER_REROUTE),
        (PASSTHROUGH, "POST", "/api/provider/google/v1internal:x", False, False, Reason.NEVER_REROUTE),
    ],
)
def test_by_head(
    settings: Settings, method: str, path: str, reason: Reason | None, *, websocket: bool, own_via: bool
) -> None:
    decided = by_head(settings, method, path, websocket=websocket, own_via=own_via)
    assert decided == (None if reason is None else Route(Target.UPSTREAM, reason))


STORED = json.read(b'{"previous_response_id":"resp_1"}')


@pytest.mark.parametrize(
    ("path", "named", "reason"),
    [
        # each before those below it
        ("/v1beta/interactions", Named(content=None, model="gpt-5", agent=True), Reason.UNREADABLE_BODY),
        ("/v1beta/interactions", Named(agent=True), Reason.NEVER_REROUTE),
        ("/v1beta/interactions", Named("gpt-5", "json", agent=True), Reason.NEVER_REROUTE),
        ("/v1beta/interactions", Named(), Reason.NO_MODEL),
        ("/v1beta/interactions", Named("gpt-5", "json"), Reason.MODEL),
        (CHAT, Named("gpt-5", "json", agent=True), Reason.MODEL),
        (CHAT, Named(members=STORED), Reason.NO_MODEL),
        (CHAT, Named("gpt-5", "json", members=STORED), Reason.MODEL),
        (CHAT, Named("x", "json", members=STORED), Reason.PASSTHROUGH),
    ],
)
def test_decide_in_order(path: str, named: Named, reason: Reason) -> None:
    assert decide(PASSTHROUGH, path, named).reason is reason


@pytest.mark.parametrize(
    ("settings", "body", "expected"),
    [
        (BOTH, b'{"model":"other"}', True),
        (FALLBACK, b'{"model":"other"}', True),
        (FALLBACK, b'{"model":"gpt-5"}', True),
        (BOTH, b'{"model":"Claude-3-Haiku(low)"}', False),
        (replace(FALLBACK, fallback=Fallback(enabled=True, models=Patterns(["a"]))), b'{"model":"b"}', False),
        (LISTED, b'{"model":"other"}', False),
        (BOTH, b'{"model":"gpt-5"}', False),
        (BOTH, b"{}", False),
        (BOTH, b"invalid", False),
        (BOTH, b'{"model":"other","previous_response_id":"r"}', False),
    ],
)
def test_what_may_fall_back(settings: Settings, body: bytes, *, expected: bool) -> None:
    assert route(settings, body).may_fall_back is expected


def test_nothing_that_the_head_decided_falls_back() -> None:
    for method, path in (("GET", CHAT), ("POST", "/v1/videos")):
        assert not route(BOTH, b'{"model":"other"}', path, method).may_fall_back


NAMES = Settings(enabled=True, base_url=BASE, models=Patterns(["GPT-5", "o3-*", "Claude(High)"]))
MAPPED = mapped(NAMES, {"gpt-5": "azure/GPT-5", "o3-*": "short", "o3-mini*": "Longer", "O3-Pro": "exact"})


@pytest.mark.parametrize(
    ("settings", "model", "sends"),
    [
        # the spelling of the exact entry
        (NAMES, "gpt-5", "GPT-5"),
        (NAMES, " Gpt-5(high) ", "GPT-5"),
        (NAMES, "claude(high)", "Claude(High)"),
        (NAMES, "Claude(low)", None),
        # glob: the client's own, trimmed, without a suffix
        (NAMES, " O3-Mini(low) ", "O3-Mini"),
        # the mapping's target over both; exact over glob, longer literal over shorter
        (MAPPED, "GPT-5(low)", "azure/GPT-5"),
        (MAPPED, "o3-x", "short"),
        (MAPPED, "o3-mini-high", "Longer"),
        (MAPPED, "o3-pro", "exact"),
        (MAPPED, "O3-PRO(high)", "exact"),
    ],
)
def test_what_litellm_is_sent_as_the_model(settings: Settings, model: str, sends: str | None) -> None:
    decided = decide(settings, CHAT, Named(model, "json"))
    if sends is None:
        assert decided.target is Target.UPSTREAM
        return
    assert decided == Route(Target.LITELLM, Reason.MODEL, model, sends)


@pytest.mark.parametrize(
    ("model", "sends"),
    [(" Claude-3(8192) ", "Claude-3"), ("o3-mini", "Longer"), ("(high)", "(high)")],
)
def test_the_name_for_passthrough_and_fallback(model: str, sends: str) -> None:
    passthrough = replace(MAPPED, models=Patterns(), passthrough=True)
    assert decide(passthrough, CHAT, Named(model, "json")).litellm_model == sends
    fallback = replace(MAPPED, enabled=False, fallback=Fallback(enabled=True))
    assert decide(fallback, CHAT, Named(model, "json")).litellm_model == sends
    assert name_for_litellm(passthrough, model, None) == sends


def test_upstream_bound_decisions_keep_the_clients_spelling() -> None:
    assert route(LISTED, b'{"model":" Other(High) "}').model == " Other(High) "
    assert route(BOTH, b'{"model":" Other ","previous_response_id":"r"}').model == " Other "
