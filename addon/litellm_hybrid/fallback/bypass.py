"""Requests that pass upstream by after a fallback: of the same conversation, or for a model cooling down.

Both end early: upstream serves again, or LiteLLM fails.
"""

import hashlib
from collections.abc import Coroutine, Iterable
from dataclasses import replace
from functools import partial
from time import monotonic, time

from mitmproxy import http

from litellm_hybrid.config.settings import Settings, SettingsStore
from litellm_hybrid.errors import Cause, ErrorType, Failure
from litellm_hybrid.fallback import log_lines
from litellm_hybrid.fallback.conversations import MOST_RETURNS, Loops, conversation_id, is_new
from litellm_hybrid.fallback.replay import Replays
from litellm_hybrid.fallback.state import (
    RESPONSES_FOR,
    CooldownKey,
    CooldownState,
    FallbackState,
    client_hash,
    cooldown_key,
)
from litellm_hybrid.flow.exchange import Exchange
from litellm_hybrid.llm.history import detect_history_rejection, may_hold_unreadable
from litellm_hybrid.llm.reduction import UPSTREAM_MARK, HistoryRejection
from litellm_hybrid.quota.classifier import Verdict
from litellm_hybrid.routing import access, paths, rules
from litellm_hybrid.routing.access import AccessDenied
from litellm_hybrid.routing.paths import Api, identify_api
from litellm_hybrid.routing.requested_model import Named, is_litellms_id
from litellm_hybrid.routing.rules import Reason, Routed, Target

_SEARCHED_MAX = 256 * 1024
"""The longest body, in bytes, of a routed request that is searched for its conversation."""

_SLOW = 2.0
"""An upstream that took longer, in seconds, to say that a quota is used up is not asked for a while."""

_PROBE_LIMIT = 10.0
"""How long, in seconds, upstream has to begin a streamed response that finds out whether it serves again."""

_BELIEVED = 60.0
"""How long, in seconds, a provider's own wait is believed: it is one account's, and there may be others."""

_SPILLED_FOR = 3600.0
"""How long, in seconds, a conversation stays on LiteLLM that was spilled, after its last turn."""

LITELLM_FAILED = frozenset({401, 403, 404, 408, 429})
"""Statuses below 500 by which LiteLLM says that it cannot serve, and not that the request is wrong."""


_LOOP = (
    "LiteLLM sends what it gets from this proxy back to it: give the model in LiteLLM's model_list another "
    "api_base"
)

KINDS = {
    Cause.CONNECT_FAILED: "unreachable",
    Cause.CONNECT_LIMIT: "unreachable",
    Cause.FIRST_BYTE_LIMIT: "unreachable",
    Cause.SERVER_CLOSED: "server-error",
    Cause.SERVER_PROTOCOL: "server-error",
}
"""What a failure without a response counts as, in `fallback.on`."""


class Bypass:
    """Decides which requests pass upstream by, by what has become of those before them."""

    def __init__(self, settings: SettingsStore, state: FallbackState, replays: Replays) -> None:
        self._settings = settings
        self._state = state
        self._replays = replays
        self.loops = Loops()

    def reservation(self, exchange: Exchange) -> Coroutine[None, None, None] | None:
        """Return what has to be awaited before `replacement`, where processes share a budget or a probe."""
        state, now = self._state, monotonic()
        if state.shared.is_alone or not exchange.outcome.may_fall_back:
            return None
        may_cool = self._settings.current.fallback.cooldown_max != 0 and state.cooldowns
        key = _cooldown_key(exchange) if may_cool else None
        cooldown = CooldownState.CLOSED if key is None else state.cooldowns.state(key, now)
        passes = self._is_sticky(exchange) or self._may_spill(exchange)
        may_probe = cooldown is CooldownState.HALF_OPEN and not passes
        passes = passes or cooldown is not CooldownState.CLOSED
        if not may_probe and not (passes and self._replays.needs_place(exchange)):
            return None
        return self._reserve(exchange, key if may_probe else None)

    async def _reserve(self, exchange: Exchange, key: CooldownKey | None) -> None:
        if key is not None and await self._state.cooldowns.claim(key, monotonic()):
            exchange.cooldown_key, exchange.is_probe = key, True
        elif self._replays.needs_place(exchange):
            await self._replays.reserve(exchange)
        if exchange.ended and exchange.is_probe and exchange.cooldown_key is not None:
            self._state.cooldowns.release(exchange.cooldown_key)  # its client has left

    def replaces(self, exchange: Exchange, failure: Failure) -> bool:
        """Whether LiteLLM is asked in place of an upstream that has not answered."""
        fallback, outcome = self._settings.current.fallback, exchange.outcome
        if outcome.target is not Target.UPSTREAM or not (fallback.enabled and outcome.may_fall_back):
            return False
        return self.is_late(exchange, failure) or KINDS.get(failure.cause) in fallback.on

    def is_late(self, exchange: Exchange, failure: Failure) -> bool:
        """Whether upstream is left since it has not begun in time."""
        return failure.cause is Cause.FIRST_BYTE_LIMIT and self.first_byte_limit(exchange) is not None

    def replacement(self, flow: http.HTTPFlow, exchange: Exchange) -> http.Request | None:
        """Return the request for LiteLLM where upstream is not to be asked, or None."""
        if not exchange.outcome.may_fall_back or exchange.is_probe:
            return None
        if self._is_sticky(exchange):
            return self._replacement(flow, exchange, Reason.STICKY)
        return self._spilled(flow, exchange) or self._cooled_down(flow, exchange)

    def _spilled(self, flow: http.HTTPFlow, exchange: Exchange) -> http.Request | None:
        """Return the request for LiteLLM where a conversation begins while a quota is nearly used up."""
        if not self._may_spill(exchange):
            return None
        for_upstream, outcome = flow.request.copy(), replace(exchange.outcome)
        request = self._replacement(flow, exchange, Reason.SPILL)
        if request is not None:
            exchange.unrouted = for_upstream
        else:
            exchange.outcome = outcome  # nothing has failed
        return request

    def _may_spill(self, exchange: Exchange) -> bool:
        settings = self._settings.current
        if not (spill_at := settings.fallback.spill_at):
            return False
        used = self._state.gauge.used(exchange.model_name or "", time())
        if used is None or used < spill_at or access.check(settings, exchange.client) is not None:
            return False
        return is_new(exchange.content)

    def _cooled_down(self, flow: http.HTTPFlow, exchange: Exchange) -> http.Request | None:
        """Return the request for LiteLLM where upstream has said a moment ago that it cannot serve."""
        if self._settings.current.fallback.cooldown_max == 0 or not self._state.cooldowns:
            return None
        key = _cooldown_key(exchange)
        state = self._state.cooldowns.ask(key, monotonic())
        if state is CooldownState.CLOSED:
            return None
        if state is CooldownState.HALF_OPEN:
            exchange.cooldown_key, exchange.is_probe = key, True
            return None
        request = self._replacement(flow, exchange, Reason.COOLDOWN)
        if request is not None:
            exchange.cooldown_key = key
        return request

    def enter_litellm(self, exchange: Exchange) -> None:
        """A request is about to be sent to LiteLLM, from where it may come back here."""
        self.loops.enter(exchange, partial(self._state.leads_to, exchange.port))

    def remember_conversation(self, exchange: Exchange, *, routed: bool = False) -> None:
        """A request is sent to LiteLLM; `routed`: by route.

        Then a long body is not searched for its conversation, which would cost more than all the rest; a
        session header still tells it.
        """
        fallback = self._settings.current.fallback
        if fallback.enabled or fallback.to_upstream:
            is_long = len(exchange.request.sent.body) > _SEARCHED_MAX
            exchange.is_away = conversation_id(exchange, search=not (routed and is_long)) is not None

    def was_served_by_litellm(self, exchange: Exchange) -> bool:
        """Whether the history may hold what LiteLLM's provider made."""
        if not self._state.conversations:
            return False
        conversation = conversation_id(exchange)
        return conversation is not None and self._state.conversations.was_served(conversation, monotonic())

    def adapt_history(self, request: http.Request, exchange: Exchange) -> None:
        """Leave out of a request for upstream what LiteLLM left in its history and upstream refuses."""
        fallback, conversations = self._settings.current.fallback, self._state.conversations
        may_return = fallback.enabled or fallback.to_upstream
        if exchange.model is None or not may_return or not conversations:
            return
        # The longer a history, the longer it takes to find out whose it is.
        body = exchange.content
        is_concerned = conversations.has_refused or may_hold_unreadable(body, identify_api(exchange.path))
        if is_concerned and self.was_served_by_litellm(exchange):
            self._replays.adapt_history(request, exchange, body, "upstream")

    def adapt_routed(self, request: http.Request, exchange: Exchange, body: bytes) -> None:
        """Leave out of a routed request what upstream left in its history, or LiteLLM has refused of it.

        `request` is changed in place; `body` is its own, without its content coding.
        """
        api, conversations = identify_api(exchange.path), self._state.conversations
        # In Responses LiteLLM's own seals look the same.
        marked = api is not Api.RESPONSES and UPSTREAM_MARK.search(body) is not None
        if not marked and conversations.has_refused:
            conversation = conversation_id(exchange)
            marked = conversation is not None and bool(
                conversations.refused(conversation, "litellm", monotonic())
            )
        if marked:
            self._replays.adapt_history(request, exchange, body, "litellm")

    def detect_history_rejection(
        self, exchange: Exchange, status: int, body: bytes
    ) -> HistoryRejection | None:
        """Return why upstream's response refuses the history, where a reduced one would help."""
        rejection = detect_history_rejection(status, body)
        # In this order: whose history it is stands in the request's body, which can be long.
        return rejection if rejection is not None and self.was_served_by_litellm(exchange) else None

    def to_its_maker(self, exchange: Exchange, routed: Routed) -> Routed:
        """Send a request about a response that LiteLLM made, or one that continues it, to LiteLLM."""
        settings, request = self._settings.current, exchange.request
        named, stored = routed.named, paths.stored_response(request.method, exchange.path)
        response_id = stored[0] if stored is not None else named.continues if named is not None else ""
        if (
            not response_id
            or not settings.active
            or routed.route.target is not Target.UPSTREAM
            or routed.route.reason is Reason.WEBSOCKET
            or request.own_via
            or not (is_litellms_id(response_id) or self._is_known(exchange, response_id))
        ):
            return routed
        named = named or Named(content=request.sent.body)
        model = named.model
        name = rules.name_for_litellm(settings, model, settings.models.match(model)) if model else None
        route = rules.Route(Target.LITELLM, Reason.STICKY, model, name)
        return Routed(named, route, access.check(settings, request.client))

    def break_loop(self, exchange: Exchange, routed: Routed) -> Routed:
        """Keep a request away from LiteLLM that comes from there: it gets upstream's answer."""
        settings, route = self._settings.current, routed.route
        at_risk = route.target is Target.LITELLM or route.may_fall_back
        if routed.named is None or routed.refusal is not None or not at_risk:
            return routed
        ours = _presents_our_key(settings, exchange)
        leads_here = partial(self._state.leads_to, exchange.port)
        body = routed.named.content or b""
        returns = self.loops.count_return(exchange, body, with_our_key=ours, leads_here=leads_here)
        # Two users may say the same at a time: LiteLLM knows whether any of its models leads here.
        if not returns or (not exchange.client.forwarded and leads_here() is False):
            return routed
        log_lines.say(exchange, "loop", routed.named.model or "")
        refusal = AccessDenied(508, _LOOP, "loop_detected") if returns > MOST_RETURNS else None
        return Routed(routed.named, rules.Route(Target.UPSTREAM, Reason.NEVER_REROUTE, route.model), refusal)

    def _is_known(self, exchange: Exchange, response_id: str) -> bool:
        return self._state.litellm_responses.has(_response_key(exchange, response_id), monotonic())

    def remember_responses(self, exchange: Exchange, ids: Iterable[str]) -> None:
        """LiteLLM has made responses with these ids."""
        now = monotonic()
        for response_id in ids:
            self._state.litellm_responses.add(_response_key(exchange, response_id), now + RESPONSES_FOR, now)

    def cool_down(self, exchange: Exchange, verdict: Verdict) -> None:
        """Upstream has said what it cannot serve; skip it for a while if the settings say so."""
        limit = self._settings.current.fallback.cooldown_max
        if verdict.kind != "quota" or verdict.per_request or limit == 0:
            return
        now, cooldowns = monotonic(), self._state.cooldowns
        if limit == "auto":
            if exchange.is_probe:
                cooldowns.lengthen(_cooldown_key(exchange), now)
            elif now - exchange.attempts[-1].since > _SLOW:
                cooldowns.start_short(_cooldown_key(exchange), verdict.retry_after, now)
            else:
                return
        elif verdict.retry_after:
            believed = limit if _speaks_for_all(verdict) else min(limit, _BELIEVED)
            cooldowns.start(_cooldown_key(exchange), min(verdict.retry_after, believed), now)
        else:
            return
        exchange.cooldown_key, exchange.is_probe = None, False

    def first_byte_limit(self, exchange: Exchange) -> float | None:
        """Return how long, in seconds, upstream has to begin before LiteLLM is asked; None: as configured."""
        fallback, outcome = self._settings.current.fallback, exchange.outcome
        if outcome.target is not Target.UPSTREAM or not (fallback.enabled and outcome.may_fall_back):
            return None
        limits = [fallback.first_byte] if fallback.first_byte > 0 else []
        if exchange.is_probe and exchange.wants_stream:
            limits.append(_PROBE_LIMIT)
        return min(limits, default=None)

    def probe_timed_out(self, exchange: Exchange) -> bool:
        """Upstream has not begun in time; return whether that was a probe: then the next one comes later."""
        if not exchange.is_probe or exchange.cooldown_key is None:
            return False
        self._state.cooldowns.lengthen(exchange.cooldown_key, monotonic())
        exchange.cooldown_key, exchange.is_probe = None, False
        return True

    def exchange_ended(self, exchange: Exchange, status: int | None) -> None:
        """An exchange has ended; `status`: of the response that its client has all of, None: it has not."""
        by_litellm = exchange.outcome.target is Target.LITELLM
        failed = by_litellm and _has_failed(exchange, status)
        if exchange.is_away and by_litellm:
            self._conversation_ended(exchange, status, failed=failed)
        key, exchange.cooldown_key = exchange.cooldown_key, None
        if key is None:
            return
        served = status is not None and status < 400
        # A cooldown must not outlive the reason for it: upstream serves, or LiteLLM does not.
        if failed if not exchange.is_probe else (served and not by_litellm):
            self._state.cooldowns.clear(key, monotonic())
        elif exchange.is_probe:
            self._state.cooldowns.release(key)

    def _conversation_ended(self, exchange: Exchange, status: int | None, *, failed: bool) -> None:
        conversation, conversations, now = conversation_id(exchange), self._state.conversations, monotonic()
        assert conversation is not None
        conversations.add_served(conversation, now)
        if not exchange.outcome.may_fall_back:
            return
        begun = exchange.attempts[-1].status if exchange.attempts else None
        if failed:
            conversations.stick(conversation, exchange.model_name or "", 0.0, now)
        elif (status or begun or 400) < 400:
            fallback = self._settings.current.fallback
            spilled = fallback.spill_at and exchange.outcome.reason in {Reason.SPILL, Reason.STICKY}
            sticky = max(fallback.sticky, _SPILLED_FOR if spilled else 0.0)
            conversations.stick(conversation, exchange.model_name or "", sticky, now)

    def _is_sticky(self, exchange: Exchange) -> bool:
        fallback = self._settings.current.fallback
        if not (fallback.sticky or fallback.spill_at) or not self._state.conversations:
            return False
        conversation, model = conversation_id(exchange), exchange.model_name or ""
        return conversation is not None and self._state.conversations.is_sticky(
            conversation, model, monotonic()
        )

    def _replacement(self, flow: http.HTTPFlow, exchange: Exchange, reason: Reason) -> http.Request | None:
        request = self._replays.build_fallback_request(flow, exchange)
        if request is not None:
            self.enter_litellm(exchange)
            self.remember_conversation(exchange)
            exchange.set_outcome(Target.LITELLM, reason)
        return request


def _cooldown_key(exchange: Exchange) -> CooldownKey:
    return cooldown_key(exchange.model_name or "", exchange.client.keys)


def _presents_our_key(settings: Settings, exchange: Exchange) -> bool:
    """Whether the client has LiteLLM's key, and not as one of its own."""
    key = settings.api_key
    return key is not None and key not in settings.client_keys and key.value in exchange.client.keys


def _response_key(exchange: Exchange, response_id: str) -> tuple[str, str]:
    hashed = hashlib.sha256(response_id.encode("utf-8", "surrogateescape")).hexdigest()[:32]
    return client_hash(exchange.client.keys), hashed


def _has_failed(exchange: Exchange, status: int | None) -> bool:
    """Whether LiteLLM could not serve a request, which says nothing of whether its client has stayed."""
    last = exchange.attempts[-1].status if exchange.attempts else None
    for code in (status, last):
        if code is not None and (code >= 500 or code in LITELLM_FAILED):
            return True
    left = exchange.failure is not None and exchange.failure.error_type is ErrorType.CLIENT_DISCONNECT
    return status is None and not left


def _speaks_for_all(verdict: Verdict) -> bool:
    """Whether it is CLIProxyAPI that says how long none of its accounts can serve, and not one provider."""
    return "model_cooldown" in verdict.reason or "cooling down" in verdict.message
