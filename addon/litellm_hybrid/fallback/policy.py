"""The rules of fallback: which responses are held, what replaces a failed one, and what is said about it.

The proxy asks, quota/ judges, replay.py makes the request. A fallback is never silent and never makes
things worse: where LiteLLM cannot help, the client gets upstream's own response.
"""

from collections.abc import Callable, Coroutine
from functools import partial, wraps
from time import monotonic, time
from typing import Concatenate, Protocol

from mitmproxy import http

from litellm_hybrid.config.settings import SettingsStore, Timeouts
from litellm_hybrid.errors import Failure
from litellm_hybrid.fallback import log_lines
from litellm_hybrid.fallback.bypass import KINDS, LITELLM_FAILED, Bypass
from litellm_hybrid.fallback.replay import WEAKENED, Replays
from litellm_hybrid.fallback.response_hold import (
    HISTORY,
    MOST_AT_ONCE,
    MOST_IN_ALL,
    JudgedResponse,
    ResponseHead,
    hold_replay,
    is_excepted,
    needs_inspection,
)
from litellm_hybrid.fallback.state import FELL_BACK_FOR, SUSPENDED_MAX, UNKNOWN_FOR, FallbackState
from litellm_hybrid.flow import local_replies
from litellm_hybrid.flow.exchange import Exchange
from litellm_hybrid.llm.history import detect_history_rejection
from litellm_hybrid.llm.replay.refusals import remedies
from litellm_hybrid.llm.replay.remedies import Action, Remedy
from litellm_hybrid.observability.history import LONGEST, FallbackOutcome, FallbackRecord
from litellm_hybrid.proxy.interfaces import ForwardingPolicy
from litellm_hybrid.quota.classifier import Asked, Verdict
from litellm_hybrid.quota.error_shapes import says_unknown_model
from litellm_hybrid.quota.retry_after import seconds_of_cooldown
from litellm_hybrid.routing.paths import generates
from litellm_hybrid.routing.rules import Reason, Target

_NO_RULE = frozenset({Reason.NOT_LISTED, Reason.DISABLED})
"""The reasons of what upstream serves since nothing sends it elsewhere."""


class FallbackListener(Protocol):
    """Is told what becomes of a flow, to show it."""

    def replaced(self, flow: http.HTTPFlow, why: str, held: JudgedResponse | None, error: str = "") -> None:
        """What the server that was asked last has said goes to nobody.

        Args:
            flow: what the server was asked for.
            why: a kind as in `fallback.on`, a status, an error type.
            held: the response; None: there was none.
            error: what went wrong, where there was none.
        """
        ...

    def settled(self, flow: http.HTTPFlow) -> None:
        """It has been decided anew where a flow goes."""
        ...


def _fail_closed[**P, T](
    rule: Callable[Concatenate["Policy", http.HTTPFlow, P], T | None],
) -> Callable[Concatenate["Policy", http.HTTPFlow, P], T | None]:
    """Make a rule say None where our own code fails: the client gets what the server has said."""

    @wraps(rule)
    def guarded(self: "Policy", flow: http.HTTPFlow, /, *args: P.args, **kwargs: P.kwargs) -> T | None:
        try:
            return rule(self, flow, *args, **kwargs)
        except Exception as e:  # noqa: BLE001 (in the proxy it would leave the client without any response)
            if (exchange := Exchange.of(flow)) is not None:
                local_replies.log_internal_error(exchange, e)
            return None

    return guarded


class Policy(ForwardingPolicy[JudgedResponse]):
    """Decides on replays for the proxy; one for the life of the process."""

    def __init__(self, settings: SettingsStore, state: FallbackState, listener: FallbackListener) -> None:
        self._settings = settings
        self._listener = listener
        self.replays = Replays(settings, state)
        self.state = state
        self.bypass = Bypass(settings, state, self.replays)

    # -- limits ---------------------------------------------------------------

    def limits(self) -> Timeouts:
        """Return the limits for a request that starts now."""
        return Timeouts() if self._settings.is_empty else self._settings.current.timeouts

    def first_byte_limit(self, flow: http.HTTPFlow) -> float | None:
        """Return how long, in seconds, upstream has to begin before LiteLLM is asked; None: as configured."""
        exchange = Exchange.of(flow)
        return self.bypass.first_byte_limit(exchange) if exchange is not None else None

    def may_forward(self, flow: http.HTTPFlow) -> bool:
        """Return whether it has been decided to which server a request goes."""
        exchange = Exchange.of(flow)
        return exchange is not None and exchange.outcome.target is not Target.NONE

    # -- a response begins ----------------------------------------------------

    @_fail_closed
    def on_response(self, flow: http.HTTPFlow, response: http.Response) -> JudgedResponse | None:
        """Return what to hold a response in, if it could be a failure that this request falls back from."""
        exchange = Exchange.of(flow)
        if exchange is None:
            return None
        outcome, status = exchange.outcome, response.data.status_code
        is_routed = outcome.target is Target.LITELLM and not outcome.may_fall_back
        is_routed = is_routed or outcome.reason is Reason.LITELLM_FAILED
        concerned = outcome.may_fall_back or exchange.unrouted is not None
        if not (concerned or (is_routed and status >= 400)) or exchange.model is None:
            self._note_excepted(exchange, status)
            return None
        headers = {
            name.decode("utf-8", "surrogateescape").lower(): value.decode("utf-8", "surrogateescape")
            for name, value in response.data.headers.fields
        }
        head = ResponseHead(status, headers)
        held = self._hold_routed(exchange, head) if is_routed else self._hold(exchange, head)
        if held is None:
            self._note_excepted(exchange, head.status)
        else:
            held.on_fault = partial(local_replies.log_internal_error, exchange)
            self.state.held.add(held)
            held.on_close = self.state.held.discard
        return held

    def _hold(self, exchange: Exchange, head: ResponseHead) -> JudgedResponse | None:
        """Hold upstream's response that LiteLLM's may replace, or LiteLLM's that has replaced it."""
        fallback = self._settings.current.fallback
        if exchange.outcome.target is Target.LITELLM:
            path = exchange.path
            asked = Asked.of(path, exchange.content, generates=generates(path))
            lost = self.replays.lost_by(exchange, head.headers)
            answered = partial(self.replays.note_answer, exchange, head.headers)
            return hold_replay(
                head, asked, answered, since=monotonic(), opening_max=fallback.opening_max, lost=lost
            )
        kinds = fallback.on - {"unreachable"}
        if not (fallback.enabled and kinds and needs_inspection(head)):
            return None
        if len(self.state.held) >= MOST_AT_ONCE or self.state.held_bytes >= MOST_IN_ALL:
            self.state.counts["hold-capacity-reached"] += 1
            log_lines.say(exchange, "hold-capacity-reached", MOST_AT_ONCE)
            return None
        model = exchange.model_name or ""
        return JudgedResponse(
            head,
            since=monotonic(),
            hold_max=fallback.hold_max,
            opening_max=fallback.opening_max,
            fails=partial(self._falls_back, exchange, head.status, kinds),
            refuses=partial(self.bypass.detect_history_rejection, exchange),
            known_model=lambda: self.state.served_models.has(model.lower(), monotonic()),
            on_rate_limits=lambda said: self.state.gauge.note_event(model, said, time()),
        )

    def _hold_routed(self, exchange: Exchange, head: ResponseHead) -> JudgedResponse | None:
        """Hold LiteLLM's response that upstream's may replace; else only a history that is refused."""
        by_litellm, returns = exchange.outcome.target is Target.LITELLM, exchange.unrouted is not None
        if not needs_inspection(head) or len(self.state.held) >= MOST_AT_ONCE:
            return None
        if not returns and (head.status < 400 or exchange.history_retried):
            return None
        fallback, of_upstream = self._settings.current.fallback, self.bypass.detect_history_rejection
        return JudgedResponse(
            head,
            since=monotonic(),
            hold_max=fallback.hold_max,
            opening_max=fallback.opening_max,
            fails=lambda verdict: returns and _is_failure(head.status, verdict),
            refuses=detect_history_rejection if by_litellm else partial(of_upstream, exchange),
        )

    def _falls_back(self, exchange: Exchange, status: int, kinds: frozenset[str], verdict: Verdict) -> bool:
        """Whether a failure is replayed; the words of one that may suspend its account are kept for later."""
        if verdict.kind not in ("none", "no-credential"):
            words = f"{status} {verdict.message or verdict.reason}"
            self.state.failures.put((exchange.model_name or "").lower(), words, monotonic() + SUSPENDED_MAX)
        if verdict.kind not in kinds:
            self._note_excepted(exchange, status, verdict.kind)
        return verdict.kind in kinds

    def _note_excepted(self, exchange: Exchange, status: int, kind: str = "") -> None:
        """Upstream's response goes to the client: say so if that is only because of a setting."""
        outcome, model = exchange.outcome, exchange.model_name
        if (
            outcome.reason in _NO_RULE
            and model
            and is_excepted(self._settings.current.fallback, model, status, kind)
        ):
            outcome.reason = Reason.EXCEPTED

    # -- it is a failure ------------------------------------------------------

    @_fail_closed
    def reserve(
        self, flow: http.HTTPFlow, why: Failure | JudgedResponse
    ) -> Coroutine[None, None, None] | None:
        """Return what takes a place in a budget for a replay, where processes share one."""
        exchange = Exchange.of(flow)
        if exchange is None or exchange.unrouted is not None or not self.replays.needs_place(exchange):
            return None
        if isinstance(why, Failure):
            is_replayed = self.bypass.replaces(exchange, why)
        else:
            is_of_upstream = exchange.outcome.target is Target.UPSTREAM and exchange.outcome.may_fall_back
            is_replayed = is_of_upstream and why.verdict is not None and why.verdict.kind != HISTORY
        return self.replays.reserve(exchange) if is_replayed else None

    @_fail_closed
    def on_failed_response(self, flow: http.HTTPFlow, held: JudgedResponse) -> http.Request | None:
        """Return the request that replaces one whose held response is a failure, or None."""
        exchange, verdict = Exchange.of(flow), held.verdict
        assert exchange is not None
        assert verdict is not None
        assert flow.response is not None
        status = flow.response.data.status_code
        if verdict.kind == HISTORY:
            by_litellm = exchange.outcome.target is Target.LITELLM
            request = (
                self._remedied(exchange, status, held, only=Action.REDUCE_HISTORY)
                if by_litellm
                else self._without_history(exchange, verdict)
            )
            if request is not None or exchange.unrouted is None:
                return self._try_again(flow, exchange, held, request)
        if exchange.outcome.target is Target.LITELLM:
            request = self._remedied(exchange, status, held) if exchange.outcome.may_fall_back else None
            if request is not None or exchange.unrouted is None:
                return self._try_again(flow, exchange, held, request)
        if exchange.unrouted is not None:
            self._listener.replaced(flow, str(status), held)
            return self._ask_upstream(flow, exchange, status, str(status))
        if verdict.is_suspension:
            exchange.first_failure = self.state.failures.get((exchange.model_name or "").lower(), monotonic())
        self.bypass.cool_down(exchange, verdict)
        if verdict.kind == "login":
            log_lines.say(exchange, "upstream-login-expired")
        elif verdict.kind == "account":
            log_lines.say(exchange, "account-refused", verdict.message or "no words")
        request = self._fall_back(flow, exchange, verdict, status)
        if request is not None:
            self._listener.replaced(flow, verdict.kind, held)
            exchange.set_outcome(Target.LITELLM, Reason.FALLBACK, upstream_status=status)
            exchange.untold = partial(log_lines.fell_back, exchange, status, verdict)
            exchange.begin_attempt(request)
        return request

    @_fail_closed
    def on_failure(self, flow: http.HTTPFlow, failure: Failure) -> http.Request | None:
        """Return the request for LiteLLM that replaces one without a response of upstream's, or None."""
        exchange, kind = Exchange.of(flow), KINDS.get(failure.cause)
        if exchange is not None and exchange.unrouted is not None and kind is not None:
            self._listener.replaced(flow, failure.error_type.value, None, failure.detail)
            return self._ask_upstream(flow, exchange, None, failure.error_type.value)
        if exchange is None or kind is None or not self.bypass.replaces(exchange, failure):
            return None
        is_ours = self.bypass.is_late(exchange, failure)
        request = self._fall_back(flow, exchange, Verdict(kind, failure.cause.value), None)
        if request is not None:
            self._listener.replaced(flow, kind, None, failure.detail)
            was_probe = is_ours and self.bypass.probe_timed_out(exchange)
            reason = Reason.UNREACHABLE if kind == "unreachable" else Reason.FALLBACK
            exchange.set_outcome(Target.LITELLM, Reason.COOLDOWN if was_probe else reason)
            what, why, said = "is unreachable", None, None
            if is_ours:
                what, why = "has not begun in time", failure
            elif kind == "server-error":
                what, why, said = "broke off", failure, kind
            exchange.untold = partial(log_lines.no_response, exchange, what, why, said)
            exchange.begin_attempt(request)
        return request

    @_fail_closed
    def request_sent(self, flow: http.HTTPFlow) -> None:
        """The request is on its way to the server that was decided on."""
        if (exchange := Exchange.of(flow)) is not None:
            self.replays.draft(exchange)

    @_fail_closed
    def replay_begun(self, flow: http.HTTPFlow) -> None:
        """The replay is on its way, or about to wait for its connection."""
        exchange = Exchange.of(flow)
        if exchange is None or exchange.untold is None:
            return
        tell, exchange.untold = exchange.untold, None
        tell()
        self.bypass.remember_conversation(exchange)
        self._listener.settled(flow)

    def error_response(self, flow: http.HTTPFlow, failure: Failure) -> http.Response:
        """Return what the client gets where no server gave a response."""
        return local_replies.server_unreachable(Exchange.of(flow) or Exchange.begin(flow), failure)

    def replay_failed(self, flow: http.HTTPFlow, why: str, held: JudgedResponse | None) -> None:
        """The replay, or a retry with a change, failed: the client gets the first response."""
        exchange = Exchange.of(flow)
        assert exchange is not None
        assert flow.response is not None
        exchange.outcome.reduced = False
        if exchange.unsure and held is not None and held.verdict is not None:
            why = exchange.unsure if held.verdict.kind == exchange.unsure else why
        self._listener.replaced(flow, why, held, "" if held is not None else why)
        exchange.attempts[0].replaced = None
        if exchange.outcome.target is Target.UPSTREAM and exchange.attempts[0].target is Target.LITELLM:
            log_lines.say(exchange, "fallback-failed", why)
            status = exchange.outcome.litellm_status
            reason = Reason.MODEL if status is not None else Reason.ERROR
            exchange.set_outcome(Target.LITELLM, reason, fallback_failed=why)
            self._listener.settled(flow)
            return
        if exchange.fallback is None:  # it was only tried again at its own server
            self.state.counts["history-retry-failed"] += 1
            log_lines.retry_failed(exchange, why, flow.response.status_code)
            self._forget_remedies(exchange)
            return
        status = exchange.attempts[-1].status if exchange.attempts else None
        if status is not None and 300 <= status < 400:
            why = str(status)
        self.state.history.ended(exchange.fallback, FallbackOutcome.FAILED, why)
        log_lines.failed(exchange, why, flow.response.status_code, held)
        body = bytes(held.body) if held is not None else b""
        wait = seconds_of_cooldown(body)
        self._forget_remedies(exchange, tried=wait is None)
        name = exchange.outcome.litellm_model or ""
        if wait is not None:
            self.state.litellm_cooldowns.add(name, monotonic() + wait)
        elif exchange.unsure and why == exchange.unsure:
            self.replays.remember_lost(exchange)
        elif says_unknown_model(body):
            self.state.unknown_models.add(name, monotonic() + UNKNOWN_FOR)
            log_lines.unknown_model(exchange, name, self._settings.current)
        exchange.set_outcome(Target.UPSTREAM, Reason.FALLBACK_FAILED, fallback_failed=why)
        self._listener.settled(flow)

    def hold_limit_reached(self, flow: http.HTTPFlow, held: JudgedResponse) -> None:
        """A response was held as long as may be, and goes to the client unclassified."""
        exchange = Exchange.of(flow)
        assert exchange is not None
        self.state.counts["hold-limit-reached"] += 1
        log_lines.say(exchange, "hold-limit-reached", len(held.body))

    # -- the rest of it -------------------------------------------------------

    def exchange_ended(self, exchange: Exchange, status: int | None) -> None:
        """An exchange has ended; `status`: of the response, if the client has got it to its end."""
        self.bypass.exchange_ended(exchange, status)
        self.replays.release(exchange)
        served = status is not None and status < 400
        if (served or exchange.streaming) and exchange.outcome.target is Target.LITELLM:
            self.replays.remember_remedies(exchange, served=True)
        model = exchange.model_name if served and exchange.outcome.target is Target.UPSTREAM else None
        if model:
            self.state.served_models.add(model.lower())
            self.state.failures.pop(model.lower())
        if exchange.fallback is not None:
            outcome = FallbackOutcome.SERVED if status is not None else FallbackOutcome.ABORTED
            self.state.history.ended(exchange.fallback, outcome)

    def _fall_back(
        self, flow: http.HTTPFlow, exchange: Exchange, verdict: Verdict, status: int | None
    ) -> http.Request | None:
        model, wait = (exchange.model_name or "")[:LONGEST], verdict.retry_after
        replayed = FallbackRecord(time(), exchange.id, model, verdict.kind, status, wait)
        request = self.replays.build_fallback_request(flow, exchange, may_discard=status is not None)
        exchange.fallback = replayed
        if request is None:
            outcome = exchange.outcome
            self.state.history.not_attempted(replayed, outcome.fallback_failed or outcome.reason.value)
        else:
            self.bypass.enter_litellm(exchange)
            self.state.fell_back.add(exchange.model_name or "", monotonic() + FELL_BACK_FOR)
            self.state.history.started(replayed)
        return request

    def _ask_upstream(
        self, flow: http.HTTPFlow, exchange: Exchange, status: int | None, why: str
    ) -> http.Request | None:
        """Return the request for upstream in place of one that LiteLLM cannot serve; its answer is final."""
        request, exchange.unrouted = exchange.unrouted, None
        assert request is not None
        exchange.set_outcome(Target.UPSTREAM, Reason.LITELLM_FAILED, litellm_status=status)
        log_lines.say(exchange, "litellm-failed", why)
        exchange.outcome.reduced = False
        self._forget_remedies(exchange)
        self.bypass.adapt_history(request, exchange)
        exchange.begin_attempt(request)
        self._listener.settled(flow)
        return request

    def _remedied(
        self, exchange: Exchange, status: int, held: JudgedResponse, only: Action | None = None
    ) -> http.Request | None:
        """Return a request that LiteLLM has refused, with a change that may help: `only` one of such."""
        assert held.verdict is not None
        weakened = held.verdict.reason == WEAKENED
        known = (Remedy(Action.ONLY_FORCED_TOOL),) if weakened else remedies(status, held.words)
        if only is not None:
            known = tuple(remedy for remedy in known if remedy.action is only)
        request = self.replays.build_remedied_retry(exchange, known, monotonic())
        if request is not None:
            if exchange.remedies[-1].action is Action.REDUCE_HISTORY:
                self.state.counts["history-reduced"] += 1
            log_lines.remedied(exchange, status, held.words)
        return request

    def _try_again(
        self, flow: http.HTTPFlow, exchange: Exchange, held: JudgedResponse, request: http.Request | None
    ) -> http.Request | None:
        """A server has refused a request, and gets it again with a change, if there is one."""
        if request is not None:
            assert held.verdict is not None
            self._listener.replaced(flow, held.verdict.kind, held)
            exchange.begin_attempt(request)
        return request

    def _forget_remedies(self, exchange: Exchange, *, tried: bool = True) -> None:
        """What was changed of a replay has not helped.

        Or it was not tried: LiteLLM asks no backend for some seconds after a 404.
        """
        self.replays.remember_remedies(exchange, served=not tried)
        exchange.remedies.clear()

    def _without_history(self, exchange: Exchange, verdict: Verdict) -> http.Request | None:
        """Return the same request, for the server that refused its history, with what it can read of it."""
        request = self.replays.build_reduced_retry(exchange, verdict.reason)
        if request is not None:
            self.state.counts["history-reduced"] += 1
        return request


def _is_failure(status: int, verdict: Verdict) -> bool:
    """Whether LiteLLM's response means that it cannot serve the model, and not that the request is wrong."""
    return status >= 500 or status in LITELLM_FAILED or verdict.kind != "none"
