"""The requests that replace a failed one: for LiteLLM, or for the same server with a reduced history.

Whatever the reason, a request for LiteLLM passes the same access check and the
same rewriting as a routed one.
"""

import logging
import re
from collections.abc import Collection, Iterable, Mapping
from functools import partial
from time import monotonic

from mitmproxy import http

from litellm_hybrid.config.settings import Settings, SettingsStore
from litellm_hybrid.fallback import log_lines
from litellm_hybrid.fallback.conversations import conversation_id
from litellm_hybrid.fallback.shared_state import Place
from litellm_hybrid.fallback.state import HOUR, FallbackState, client_hash
from litellm_hybrid.flow.exchange import Exchange, replay_for_litellm
from litellm_hybrid.llm.history import Reduced, reduce, reduce_again, travels
from litellm_hybrid.llm.reduction import REJECTIONS, HistoryRejection, Side
from litellm_hybrid.llm.replay import body as replay_body
from litellm_hybrid.llm.replay.foresight import (
    Backend,
    foreseen,
    holds_reasoning,
    lost_in_silence,
    may_matter,
    served_by,
)
from litellm_hybrid.llm.replay.remedies import RETRIES_MAX, Action, Remedy, apply, without_betas
from litellm_hybrid.quota.classifier import Verdict
from litellm_hybrid.routing import access, rewrite
from litellm_hybrid.routing.paths import Api, identify_api
from litellm_hybrid.routing.requested_model import Named
from litellm_hybrid.routing.rewrite import Outgoing
from litellm_hybrid.routing.rules import Reason, Target

# CLIProxyAPI switches thinking on for `models/M(high):generateContent`.
_SUFFIX_IN_PATH = re.compile(r"(?:\(|%28)[^()/%?]*(?:\)|%29)(?=(?::|%3A)\w+(?:\?|$))", re.IGNORECASE)

RETRIES_FOR = 5.0
"""How long, in seconds, after the first refusal it may be sent again."""

WEAKENED = "a tool was not forced by its name"
"""The reason of a verdict that `Action.ONLY_FORCED_TOOL` may help."""

DRAFT_MOST = 512 * 1024
"""The longest body, in bytes and without its content coding, of a replay that is made before it is needed."""

REMEDIES_MAX = 20
"""How many changes are remembered for a model and API; a backend chooses the names."""


class Replays:
    """Makes replacement requests, within what the configuration and LiteLLM allow."""

    def __init__(self, settings: SettingsStore, state: FallbackState) -> None:
        self._settings = settings
        self._state = state

    def build_fallback_request(
        self, flow: http.HTTPFlow, exchange: Exchange, *, may_discard: bool = False
    ) -> http.Request | None:
        """Return the client's request for LiteLLM; None, and why in the outcome, if it must not be sent.

        `may_discard`: there is a response of upstream's, so LiteLLM's need not reach the client.
        """
        settings, now, path = self._settings.current, monotonic(), exchange.path
        name = exchange.outcome.litellm_model
        assert name is not None
        assert exchange.model is not None
        if exchange.model.stateful:  # of a long body it is known only now
            exchange.outcome.may_fall_back = False
            exchange.set_outcome(Target.UPSTREAM, Reason.STATEFUL)
            self.log_stateful(exchange)
            return None
        api, replayed = identify_api(path), replay_body.api_of(path)
        backends: tuple[Backend, ...] = ()
        why = self._why_not(settings, exchange, api, name, now)
        if not why and replayed is not None and may_matter(exchange.content):
            backends = self._state.backends(name)
            why = self._loses(exchange, replayed, backends, now, may_discard=may_discard)
        if why or not self._spend(settings.fallback.max_per_hour, name, exchange, now):
            exchange.set_outcome(Target.UPSTREAM, Reason.FALLBACK_FAILED, fallback_failed=why or "budget")
            return None
        made_by, outgoing = exchange.draft or (None, None)
        if outgoing is None or made_by is not settings:
            outgoing = _outgoing(settings, exchange, exchange.model)
        exchange.draft = None
        request = replay_for_litellm(flow.request, outgoing)
        exchange.remedies.clear()
        policy = settings.fallback.history
        body = outgoing.body
        if api is not None and not travels(policy, api, name):
            reduced = reduce(body, api)
            _put_body(request, exchange, body, reduced)
            body = reduced.body
        self.adapt_history(request, exchange, body, "litellm")
        if replayed is not None:
            self._fit(request, exchange, replayed, backends, now)
        return request

    def _fit(
        self, request: http.Request, exchange: Exchange, api: Api, backends: Collection[Backend], now: float
    ) -> None:
        """Make a replay fit for the backends of its model, in place."""
        body = request.data.content or b""
        for remedy in foreseen(body, api, backends, self._remembered(exchange, api, now)):
            self._apply(request, exchange, api, remedy)
        name = exchange.outcome.litellm_model or ""
        if api is Api.CHAT and self._state.reasons.get(name, now) is False:
            body = request.data.content or b""
            if holds_reasoning(body):
                _put_body(request, exchange, body, reduce(body, Api.CHAT, rejection="unknown-member"))

    def draft(self, exchange: Exchange) -> None:
        """A request waits for upstream: make what LiteLLM would get, if its model fell back a moment ago."""
        outcome, model, settings = exchange.outcome, exchange.model, self._settings.current
        if outcome.target is not Target.UPSTREAM or not outcome.may_fall_back:
            return
        if model is None or model.content is None or len(model.content) > DRAFT_MOST or model.stateful:
            return
        is_expected = self._state.fell_back.has(exchange.model_name or "", monotonic())
        if is_expected and access.check(settings, exchange.client) is None:
            exchange.draft = settings, _outgoing(settings, exchange, model)

    def log_stateful(self, exchange: Exchange) -> None:
        """A request cannot fall back, because it continues a stored response; said once for each client."""
        client = client_hash(exchange.client.keys)
        if not self._state.told.has(client, monotonic()):
            self._state.told.add(client)
            log_lines.say(exchange, "stateful")

    def _why_not(self, settings: Settings, exchange: Exchange, api: Api | None, name: str, now: float) -> str:
        """Say why upstream's response stands, as in the route header; "": nothing speaks against a replay."""
        if (refusal := access.check(settings, exchange.client)) is not None:
            message = f"litellm: no fallback, access refused: {refusal.message}"
            exchange.log(logging.WARNING, message, event="fallback-refused")
            return "not-allowed"
        if self._state.unknown_models.has(name, now):
            return "unknown-model"
        if self._state.litellm_cooldowns.has(name, now):
            return "litellm-cooldown"
        if api is Api.MESSAGES:
            by_chat = Remedy(Action.CHAT_COMPLETIONS) in self._remembered(exchange, api, now)
            if replay_body.loses_attachment(exchange.content, api, chat_completions=by_chat):
                return "attachment"
        return ""

    def _loses(
        self, exchange: Exchange, api: Api, backends: Collection[Backend], now: float, *, may_discard: bool
    ) -> str:
        """Say what of a replay LiteLLM would leave out in silence; "": nothing, or its answer tells."""
        lost = lost_in_silence(exchange.content, api, backends)
        exchange.unsure = "" if backends else lost
        # Who answers says so in the head.
        has_lost = self._state.losing.has((*remedies_key(exchange, api), lost), now)
        if not lost or not (backends or has_lost or not may_discard):
            return ""
        name = exchange.outcome.litellm_model
        unknown = "" if backends else "; LiteLLM's `/model/info` does not say who serves it"
        message = f"litellm: no fallback, LiteLLM may leave the {lost} out for {name}{unknown}"
        exchange.log(logging.WARNING, message, event="fallback-refused")
        return lost

    def lost_by(self, exchange: Exchange, headers: Mapping[str, str]) -> Verdict | None:
        """Say what of a replay has not reached the one who answers it, by the answer's head; None: nothing.

        If the head does not say who it is, all counts that may have been lost.
        """
        if not exchange.unsure:
            return None
        api, sent = replay_body.api_of(exchange.path), exchange.attempts[-1].request
        if api is None or sent is None:
            return None
        body, backends = sent.raw_content or b"", served_by(headers)
        if Remedy(Action.ONLY_FORCED_TOOL) in foreseen(body, api, backends):
            return Verdict("demand", WEAKENED)
        lost = lost_in_silence(body, api, backends)
        return Verdict(lost, "LiteLLM leaves it out") if lost else None

    def note_answer(self, exchange: Exchange, headers: Mapping[str, str], answer: bytes) -> None:
        """A replay is answered: a server of which nothing is known shows whether it reasons.

        Some refuse another account's in a history, and one that has given none so far does not use it.
        `answer`: decoded, up to its first content, which reasoning would be.
        """
        name, sent = exchange.outcome.litellm_model or "", exchange.attempts[-1].request
        backends = self._state.backends(name) or served_by(headers)
        if (
            sent is None
            or replay_body.api_of(exchange.path) is not Api.CHAT
            or not backends
            or not all(backend.is_anybodys for backend in backends)
        ):
            return
        now = monotonic()
        reasons = self._state.reasons.get(name, now) or any(
            map(holds_reasoning, (answer, sent.raw_content or b""))
        )
        self._state.reasons.put(name, reasons, now + HOUR)

    def remember_lost(self, exchange: Exchange) -> None:
        """LiteLLM's answer was not given to the client, see `lost_by`: for an hour none is asked for."""
        if (api := identify_api(exchange.path)) is not None:
            self._state.losing.add((*remedies_key(exchange, api), exchange.unsure), monotonic() + HOUR)

    def _remembered(self, exchange: Exchange, api: Api | None, now: float) -> tuple[Remedy, ...]:
        """Return what the model has needed on this API before, which is used now."""
        if api is None:
            return ()
        key = remedies_key(exchange, api)
        known = self._state.remedies.get(key, now) or ()
        if known:
            self._state.remedies.put(key, known, now + HOUR)
        return known

    def adapt_history(self, request: http.Request, exchange: Exchange, body: bytes, side: Side) -> None:
        """Leave out what nobody on that side can read, or what it has refused of this conversation before.

        `request` is changed in place; `body` is its own, without its content coding.
        """
        if (api := identify_api(exchange.path)) is None:
            return
        known, conversations = tuple[HistoryRejection, ...](), self._state.conversations
        if conversations.has_refused and (conversation := conversation_id(exchange)) is not None:
            known = conversations.refused(conversation, side, monotonic())
        if known or self._settings.current.fallback.history != "keep":
            reduced = reduce_again(body, api, side, known)
            if reduced.body is not body:
                _put_body(request, exchange, body, reduced)

    def build_remedied_retry(
        self, exchange: Exchange, known: Iterable[Remedy], now: float
    ) -> http.Request | None:
        """Return the last request for LiteLLM with the first new change that does anything, or None.

        Args:
            exchange: of a replay.
            known: what may help, the best first.
            now: monotonic seconds.
        """
        sent = exchange.attempts[-1].request if exchange.attempts else None
        api = replay_body.api_of(exchange.path)
        if sent is None or api is None:
            return None
        if exchange.refused_at is None:
            exchange.refused_at = now
        if exchange.retries >= RETRIES_MAX or now > exchange.refused_at + RETRIES_FOR:
            return None
        request = sent.copy()
        for remedy in known:
            if remedy not in exchange.remedies and self._apply(request, exchange, api, remedy):
                exchange.retries += 1
                return request
        return None

    def _apply(self, request: http.Request, exchange: Exchange, api: Api, remedy: Remedy) -> bool:
        body = request.raw_content or b""
        if remedy.action is Action.REDUCE_HISTORY:
            known = next(known for known in REJECTIONS if known == remedy.name)
            reduced = reduce(body, api, rejection=known)
            _put_body(request, exchange, body, reduced)
            changed = reduced.body is not body
            if changed and (conversation := conversation_id(exchange)) is not None:
                self._state.conversations.add_refused(conversation, "litellm", known, monotonic())
        elif remedy.action is Action.OMIT_BETA:
            given = request.headers.get("anthropic-beta", "")
            kept = without_betas(given, remedy.name)
            changed = kept is not given
            if kept:
                request.headers["anthropic-beta"] = kept
            else:
                request.headers.pop("anthropic-beta", None)
        else:
            after = apply(body, api, remedy)
            changed = after is not body
            if changed:
                _set_body(request, after)
        if changed:
            exchange.remedies.append(remedy)
        return changed

    def remember_remedies(self, exchange: Exchange, *, served: bool) -> None:
        """A replay is over: what LiteLLM's model has needed is needed again, or has not helped."""
        lasting = [remedy for remedy in exchange.remedies if remedy.lasting]
        if not lasting or (api := identify_api(exchange.path)) is None:
            return
        key, now = remedies_key(exchange, api), monotonic()
        if served:
            known = self._state.remedies.get(key, now) or ()
            needed = tuple(dict.fromkeys((*known, *lasting)))[-REMEDIES_MAX:]
            self._state.remedies.put(key, needed, now + HOUR)
        elif exchange.refused_at is not None:
            self._state.remedies.pop(key)

    def build_reduced_retry(self, exchange: Exchange, rejection: str) -> http.Request | None:
        """Return the last request for upstream with a reduced history; None: that changes nothing."""
        sent = exchange.attempts[-1].request if exchange.attempts else None
        api = identify_api(exchange.path)
        if sent is None or api is None or exchange.history_retried:
            return None
        as_sent = sent.raw_content is exchange.request.sent.body
        body = exchange.content if as_sent else sent.raw_content or b""
        known = next((known for known in REJECTIONS if known == rejection), None)
        reduced = reduce(body, api, side="upstream", rejection=known)
        path = sent.path
        if known == "thinking-missing":
            path = _SUFFIX_IN_PATH.sub("", path)
        if reduced.body is body and path == sent.path:
            return None
        exchange.history_retried = True
        if known is not None and (conversation := conversation_id(exchange)) is not None:
            self._state.conversations.add_refused(conversation, "upstream", known, monotonic())
        request = sent.copy()
        request.path = path
        _put_body(request, exchange, body, reduced)
        return request

    def needs_place(self, exchange: Exchange) -> bool:
        """Whether a replay has to be given a place in a budget that processes share."""
        most = self._settings.current.fallback.max_per_hour
        if most == 0 or self._state.shared.is_alone or exchange.place is not None:
            return False
        return self._state.budget.has_room(most, monotonic())

    async def reserve(self, exchange: Exchange) -> None:
        """Ask for the place of a replay, which it takes when it is made; see `release`."""
        fallback = self._settings.current.fallback
        exchange.place = await self._state.budget.reserve(
            fallback.max_per_hour, monotonic(), strict=fallback.budget_strict
        )
        if exchange.ended:  # its client has left
            self.release(exchange)

    def release(self, exchange: Exchange) -> None:
        """Give a place back that was not taken."""
        place, exchange.place = exchange.place, None
        if place is not None:
            self._state.budget.release(Place(*place))

    def _spend(self, most: int, name: str, exchange: Exchange, now: float) -> bool:
        budget, fallback, refusal = (
            self._state.budget,
            self._settings.current.fallback,
            self._state.cost_refusal(name),
        )
        is_limited = most or fallback.max_cost_per_day
        if fallback.budget_strict and is_limited and self._state.shared.down_since is not None:
            refusal = (
                refusal or "nobody knows what is spent while the store is gone (`fallback.budget-strict`)"
            )
        if not refusal:
            place, exchange.place = exchange.place, None
            if budget.spend(most, now) if place is None else Place(*place).granted:
                return True
        exchange.unpaid = why = refusal or f"all {most} of this hour are spent (`fallback.max-per-hour`)"
        if budget.should_log_exhausted(why, now):
            exchange.log(logging.ERROR, f"litellm: no fallback, {why}", event="fallback-refused")
        return False


def _outgoing(settings: Settings, exchange: Exchange, model: Named) -> Outgoing:
    """The request for LiteLLM, before anything is left out of its history."""
    api, fit = replay_body.api_of(exchange.path), None
    if api is not None:
        fit = partial(replay_body.prepare, api=api, drop_params=settings.fallback.drop_params)
    name = exchange.outcome.litellm_model or ""
    return rewrite.for_litellm(settings, exchange.forwarded, model, name, exchange.id, fit=fit)


def remedies_key(exchange: Exchange, api: Api) -> tuple[str, str]:
    """Return what remedies are remembered under: LiteLLM's name for the model, and the API."""
    return exchange.outcome.litellm_model or "", str(api)


def _set_body(request: http.Request, body: bytes) -> None:
    data = request.data
    data.content = body
    data.headers.fields = rewrite.with_body(data.headers.fields, body)


def _put_body(request: http.Request, exchange: Exchange, body: bytes, reduced: Reduced) -> None:
    if reduced.body is body:
        return
    _set_body(request, reduced.body)
    exchange.outcome.reduced = True
    dropped = ", ".join(f"{what} ({count})" for what, count in reduced.dropped)
    off = f"; switched off for this turn: {', '.join(reduced.switched_off)}" if reduced.switched_off else ""
    exchange.log(
        logging.INFO,
        f"litellm: history reduced for {exchange.model_name}: {dropped or 'nothing dropped'}{off}",
        event="history-reduced",
    )
