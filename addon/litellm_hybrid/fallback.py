"""The rules of fallback: which answers are held, what replaces a failed one, and what is said about it.

The engine asks, quota.py judges, access.py and rewrite.py do for a replay what
they do for a routed request. A fallback is never silent and never makes
things worse: where LiteLLM cannot help, the client gets upstream's own answer.
"""

import difflib
import logging
import re
from collections.abc import Callable
from time import monotonic

from mitmproxy import http

from litellm_hybrid import access, exchange, inspect, log, memory, model_name, quota, rewrite
from litellm_hybrid.errors import Cause, Failure
from litellm_hybrid.exchange import Decision
from litellm_hybrid.hold import Answer, Held, is_suspect
from litellm_hybrid.inspect import View
from litellm_hybrid.memory import Advice
from litellm_hybrid.quota import Verdict
from litellm_hybrid.routing import Reason, Target
from litellm_hybrid.settings import Settings

_UNREACHABLE = frozenset({Cause.CONNECT_FAILED, Cause.CONNECT_LIMIT, Cause.FIRST_BYTE_LIMIT})

# LiteLLM's words for a model that is not in its model_list (1.106, ProxyModelNotFoundError).
_UNKNOWN_MODEL = re.compile(rb"Invalid model name passed in model=|model_not_found|No deployments? available")


class Fallbacks:
    """Decides on replays, and remembers what has to be remembered between them."""

    def __init__(self, settings: Callable[[], Settings], view: Callable[[], View | None]) -> None:
        """Make one for the life of the process.

        Args:
            settings: gives those in force.
            view: gives mitmweb's list of flows, or None outside mitmweb.
        """
        self._settings = settings
        self._view = view
        self.budget = memory.Budget()
        self.unknown = memory.UnknownModels()
        self.cooldowns = memory.Cooldowns()
        self._waiting: dict[str, tuple[memory.Key, Advice]] = {}

    # -- before a request is sent ------------------------------------------

    def cooling_down(self, flow: http.HTTPFlow, decision: Decision) -> http.Request | None:
        """The request for LiteLLM where upstream is not asked, because it is cooling down, or None."""
        if self._settings().fallback.cooldown_max <= 0 or not decision["may_fall_back"]:
            return None
        key = _cooldown_key(flow, decision)
        advice = self.cooldowns.ask(key, monotonic())
        if advice is Advice.ASK_UPSTREAM:
            return None
        request = None if advice is Advice.PROBE else self._request(flow, decision)
        if advice is Advice.PROBE or request is not None:
            self._waiting[flow.id] = key, advice
        if request is not None:
            exchange.settle(decision, Target.LITELLM, Reason.COOLDOWN)
        return request

    # -- an answer begins ---------------------------------------------------

    def hold(self, flow: http.HTTPFlow, response: http.Response, *, replayed: bool) -> Held | None:
        """What to hold an answer in, if it could be a failure that this request may fall back from."""
        headers = {name.lower(): value for name, value in response.headers.items(multi=True)}
        answer = Answer(response.status_code, headers)
        fallback = self._settings().fallback
        if replayed:
            return _hold_litellm(answer)
        decision = exchange.get(flow)
        if decision is None or not decision["may_fall_back"] or decision["target"] != Target.UPSTREAM.value:
            return None
        kinds = fallback.on - {"unreachable"}
        if not (fallback.enabled and kinds and is_suspect(answer)):
            return None
        return Held(
            answer, since=monotonic(), hold_max=fallback.hold_max, fails=lambda verdict: verdict.kind in kinds
        )

    def released_at_limit(self, flow: http.HTTPFlow, held: Held) -> None:
        """Say that an answer was held as long as may be, and went to the client undecided."""
        decision = exchange.get(flow)
        assert decision is not None
        log.emit(
            logging.INFO,
            f"litellm: an answer was released undecided after {len(held.body)} bytes",
            request_id=decision["request_id"],
            model=decision["model"],
        )

    # -- it is a failure ------------------------------------------------------

    def fall_back(self, flow: http.HTTPFlow, held: Held) -> http.Request | None:
        """The request for LiteLLM that replaces one whose answer is a failure, or None."""
        decision, verdict = exchange.get(flow), held.verdict
        assert decision is not None
        assert verdict is not None
        assert flow.response is not None
        status = flow.response.status_code
        self._cool_down(flow, decision, verdict)
        if verdict.kind == "login":
            log.emit(
                logging.ERROR,
                f"litellm: upstream's login for {decision['model']} is gone; sign in again at CLIProxyAPI",
                **exchange.fields(decision),
            )
        request = self._request(flow, decision)
        if request is None:
            return None
        inspect.keep_failed_answer(flow, self._view())
        exchange.settle(decision, Target.LITELLM, Reason.FALLBACK, f"; upstream-status={status}")
        log.emit(
            logging.WARNING,
            f"litellm fallback: OAuth failed for {decision['model']} (status {status}), "
            "retrying with LiteLLM",
            kind=verdict.kind,
            rule=verdict.reason,
            retry_after=verdict.retry_after,
            upstream_message=verdict.message or None,
            **exchange.fields(decision),
        )
        inspect.comment(flow)
        return request

    def rescue(self, flow: http.HTTPFlow, failure: Failure) -> http.Request | None:
        """The request for LiteLLM that replaces one that upstream could not be reached for, or None."""
        decision, fallback = exchange.get(flow), self._settings().fallback
        if (
            decision is None
            or decision["target"] != Target.UPSTREAM.value
            or not (fallback.enabled and "unreachable" in fallback.on and decision["may_fall_back"])
            or failure.cause not in _UNREACHABLE
        ):
            return None
        request = self._request(flow, decision)
        if request is None:
            return None
        exchange.settle(decision, Target.LITELLM, Reason.UNREACHABLE)
        log.emit(
            logging.WARNING,
            f"litellm fallback: upstream is unreachable for {decision['model']}, retrying with LiteLLM",
            **exchange.fields(decision),
        )
        inspect.comment(flow)
        return request

    def fall_back_failed(self, flow: http.HTTPFlow, why: str, held: Held | None) -> None:
        """Say that LiteLLM could not help and the client gets the original answer."""
        decision = exchange.get(flow)
        assert decision is not None
        assert flow.response is not None
        words = bytes(held.body[:500]).decode(errors="replace") if held is not None else None
        log.emit(
            logging.ERROR,
            f"litellm fallback failed for {decision['model']} ({why}): the client gets upstream's answer "
            f"(status {flow.response.status_code})",
            litellm_message=words,
            **exchange.fields(decision),
        )
        name = decision["sends"] or ""
        if held is not None and _UNKNOWN_MODEL.search(held.body):
            self.unknown.add(name, monotonic())
            self._warn_unknown(name)
        self._failed(decision, why)
        inspect.comment(flow, failed=True)

    def ended(self, flow: http.HTTPFlow, status: int | None) -> None:
        """An exchange is over.

        Args:
            flow: it.
            status: what the server that was asked first answered; None if it did not.
        """
        key, advice = self._waiting.pop(flow.id, (None, None))
        if key is None:
            return
        served = status is not None and status < 400
        # A cooldown must not outlive the reason for it: upstream serves, or LiteLLM does not.
        if served is (advice is Advice.PROBE):
            self.cooldowns.clear(key)
        else:
            self.cooldowns.release(key)

    # -- what a replay takes ---------------------------------------------------

    def _request(self, flow: http.HTTPFlow, decision: Decision) -> http.Request | None:
        """The request for LiteLLM; None, and the reason in the decision, if it must not be sent."""
        settings = self._settings()
        name = decision["sends"]
        assert name is not None
        sent = exchange.incoming(flow.request)
        refusal = access.check(settings, exchange.client(flow, sent))
        if refusal is not None:
            log.emit(
                logging.WARNING,
                f"litellm: no fallback, access refused: {refusal.message}",
                **exchange.fields(decision),
            )
            self._failed(decision, "not-allowed")
            return None
        if self.unknown.has(name, monotonic()):
            self._failed(decision, "unknown-model")
            return None
        if not self.budget.spend(settings.fallback.max_per_hour, monotonic()):
            log.emit(
                logging.ERROR,
                f"litellm: no fallback, all {settings.fallback.max_per_hour} of this hour are spent",
                **exchange.fields(decision),
            )
            self._failed(decision, "budget")
            return None
        content_type, coding = sent.header(b"content-type"), sent.header(b"content-encoding")
        named = model_name.read(sent.path, content_type, coding, sent.body)
        request = flow.request.copy()
        exchange.send_to(request, rewrite.for_litellm(settings, sent, named, name, decision["request_id"]))
        return request

    def _failed(self, decision: Decision, why: str) -> None:
        """Note in the decision that upstream's answer stands, and why."""
        exchange.settle(decision, Target.UPSTREAM, Reason.FALLBACK_FAILED, f"; fallback-failed={why}")

    def _cool_down(self, flow: http.HTTPFlow, decision: Decision, verdict: Verdict) -> None:
        longest = self._settings().fallback.cooldown_max
        if verdict.kind != "quota" or verdict.per_request or not verdict.retry_after or longest <= 0:
            return
        self._waiting.pop(flow.id, None)
        self.cooldowns.start(_cooldown_key(flow, decision), min(verdict.retry_after, longest), monotonic())

    def _warn_unknown(self, name: str) -> None:
        settings = self._settings()
        known = [*settings.models.entries, *settings.mappings.values()]
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
        hint = f"; near misses: {', '.join(near)}" if near else ""
        log.emit(
            logging.WARNING,
            f"litellm: LiteLLM does not know the model {name!r}, no fallback to it for "
            f"{memory.UNKNOWN_FOR:.0f} s or until a reload{hint}; model-mappings gives it another name",
        )


def _cooldown_key(flow: http.HTTPFlow, decision: Decision) -> memory.Key:
    keys = exchange.client(flow, exchange.incoming(flow.request)).keys
    return memory.cooldown_key(decision["model"] or "", keys)


def _hold_litellm(answer: Answer) -> Held | None:
    held = Held(answer, since=monotonic(), hold_max=0.0, fails=lambda verdict: verdict is not quota.ANSWER)
    if answer.status >= 400:
        held.fail(Verdict("litellm", f"status {answer.status}"))
        return held
    if answer.is_stream and answer.is_plain:
        return held
    return None
