"""The rules of fallback: which answers are held, what replaces a failed one, and what is said about it.

The engine asks, quota.py judges, replay.py makes the request. A fallback is
never silent and never makes things worse: where LiteLLM cannot help, the client
gets upstream's own answer.
"""

import re
from collections import Counter
from collections.abc import Callable
from functools import partial
from time import monotonic, time
from weakref import WeakSet

from mitmproxy import http

from litellm_hybrid.config.settings import Settings
from litellm_hybrid.errors import Cause, Failure
from litellm_hybrid.fallback import cooldowns as memory
from litellm_hybrid.fallback import log_lines as fallback_log
from litellm_hybrid.fallback.bypass import Straight
from litellm_hybrid.fallback.replay import Replays
from litellm_hybrid.fallback.response_hold import (
    HISTORY,
    MOST_AT_ONCE,
    REPLAY_LIMIT,
    Answer,
    JudgedResponse,
    is_suspect,
)
from litellm_hybrid.flow import exchange
from litellm_hybrid.flow.exchange import Record
from litellm_hybrid.llm.history.rejections import detect_history_rejection
from litellm_hybrid.mitmweb import annotations as inspect
from litellm_hybrid.mitmweb.annotations import View
from litellm_hybrid.observability.history import FallbackHistory, FallbackRecord
from litellm_hybrid.quota import classifier as quota
from litellm_hybrid.quota.classifier import Verdict
from litellm_hybrid.routing.rules import Reason, Target

# Where the original answer is upstream's; other requests were only tried again at their own server.
_REPLAYED = frozenset({Reason.FALLBACK.value, Reason.UNREACHABLE.value})

_UNREACHABLE = frozenset({Cause.CONNECT_FAILED, Cause.CONNECT_LIMIT, Cause.FIRST_BYTE_LIMIT})

# LiteLLM's words for a model that is not in its model_list (1.106, ProxyModelNotFoundError).
_UNKNOWN_MODEL = re.compile(rb"Invalid model name passed in model=|model_not_found|No deployments? available")

_SHOWN = 200
"""How much of a model's name is remembered for people to look at."""


class Fallbacks:
    """Decides on replays, and remembers what has to be remembered between them.

    Attributes:
        recent: the fallbacks.
        counts: how often other things happened, by their name.
    """

    def __init__(self, settings: Callable[[], Settings], view: Callable[[], View | None]) -> None:
        """Make one for the life of the process.

        Args:
            settings: gives those in force.
            view: gives mitmweb's list of flows, or None outside mitmweb.
        """
        self._settings = settings
        self._view = view
        self.replays = Replays(settings)
        self.straight = Straight(settings, self.replays)
        self.recent = FallbackHistory()
        self.counts: Counter[str] = Counter()
        self._held: WeakSet[JudgedResponse] = WeakSet()
        self._told_stateful = memory.UnknownModels()

    def stateful(self, flow: http.HTTPFlow, record: Record) -> None:
        """A request cannot fall back, because it continues a stored response; said once for each client."""
        client = memory.cooldown_key("", exchange.keys(flow.request))[1]
        if not self._told_stateful.has(client, monotonic()):
            self._told_stateful.add(client, monotonic(), seconds=float("inf"))
            fallback_log.stateful(record)

    @property
    def held_bytes(self) -> int:
        """How many bytes of upstream's answers are held right now."""
        return sum(len(held.body) for held in self._held)

    # -- an answer begins ---------------------------------------------------

    def hold(self, flow: http.HTTPFlow, response: http.Response) -> JudgedResponse | None:
        """What to hold an answer in, if it could be a failure that this request may fall back from."""
        record = exchange.get(flow)
        if record is None or not record["may_fall_back"]:
            return None
        headers = {name.lower(): value for name, value in response.headers.items(multi=True)}
        answer = Answer(response.status_code, headers)
        if record["target"] == Target.LITELLM.value:
            return _hold_litellm(answer)
        fallback = self._settings().fallback
        kinds = fallback.on - {"unreachable"}
        if not (fallback.enabled and kinds and is_suspect(answer)):
            return None
        if len(self._held) >= MOST_AT_ONCE:
            self.counts["hold-capacity-reached"] += 1
            fallback_log.not_held(record, MOST_AT_ONCE)
            return None
        held = JudgedResponse(
            answer,
            since=monotonic(),
            hold_max=fallback.hold_max,
            fails=lambda verdict: verdict.kind in kinds,
            refuses=partial(self.straight.refuses_history, flow.request),
        )
        self._held.add(held)
        return held

    def released_at_limit(self, flow: http.HTTPFlow, held: JudgedResponse) -> None:
        """Say that an answer was held as long as may be, and went to the client unclassified."""
        record = exchange.get(flow)
        assert record is not None
        self.counts["hold-limit-reached"] += 1
        fallback_log.released_at_limit(record, len(held.body))

    # -- it is a failure ------------------------------------------------------

    def fall_back(self, flow: http.HTTPFlow, held: JudgedResponse) -> http.Request | None:
        """The request that replaces one whose held answer is a failure, or None."""
        record, verdict = exchange.get(flow), held.verdict
        assert record is not None
        assert verdict is not None
        assert flow.response is not None
        if verdict.kind == HISTORY:
            return self._without_history(flow, record, verdict)
        if record["target"] == Target.LITELLM.value:
            return None
        status = flow.response.status_code
        self.straight.cool_down(flow, record, verdict)
        if verdict.kind == "login":
            fallback_log.login_gone(record)
        request = self._to_litellm(flow, record, verdict, status)
        if request is None:
            return None
        inspect.keep_failed_answer(flow, self._view())
        exchange.settle(record, Target.LITELLM, Reason.FALLBACK, f"; upstream-status={status}")
        fallback_log.fell_back(record, status, verdict)
        self.straight.to_litellm(flow)
        inspect.comment(flow)
        return request

    def rescue(self, flow: http.HTTPFlow, failure: Failure) -> http.Request | None:
        """The request for LiteLLM that replaces one that upstream could not be reached for, or None."""
        record, fallback = exchange.get(flow), self._settings().fallback
        if (
            record is None
            or record["target"] != Target.UPSTREAM.value
            or not (fallback.enabled and "unreachable" in fallback.on and record["may_fall_back"])
            or failure.cause not in _UNREACHABLE
        ):
            return None
        request = self._to_litellm(flow, record, Verdict("unreachable", failure.cause.value), None)
        if request is None:
            return None
        exchange.settle(record, Target.LITELLM, Reason.UNREACHABLE)
        fallback_log.unreachable(record)
        self.straight.to_litellm(flow)
        inspect.comment(flow)
        return request

    def fall_back_failed(self, flow: http.HTTPFlow, why: str, held: JudgedResponse | None) -> None:
        """Say that the replay, or the retry with less history, failed: the client gets the first answer."""
        record = exchange.get(flow)
        assert record is not None
        assert flow.response is not None
        if record["reason"] not in _REPLAYED:
            record["reduced"] = False
            self.counts["history-retry-failed"] += 1
            fallback_log.retry_failed(record, why, flow.response.status_code)
            return
        self.recent.failed(flow.id, why)
        fallback_log.failed(record, why, flow.response.status_code, held)
        name = record["sends"] or ""
        if held is not None and _UNKNOWN_MODEL.search(held.body):
            self.replays.unknown.add(name, monotonic())
            fallback_log.unknown_model(record, name, self._settings())
        record["reduced"] = False
        exchange.settle(record, Target.UPSTREAM, Reason.FALLBACK_FAILED, f"; fallback-failed={why}")
        inspect.comment(flow)

    def ended(self, flow: http.HTTPFlow, status: int | None) -> None:
        """An exchange is over; `status` is what the client was answered to the end, None if it was not."""
        self.straight.ended(flow, status)
        self.recent.ended(flow.id, whole=status is not None)

    def _to_litellm(
        self, flow: http.HTTPFlow, record: Record, verdict: Verdict, status: int | None
    ) -> http.Request | None:
        model, wait = (record["model"] or "")[:_SHOWN], verdict.retry_after
        replayed = FallbackRecord(time(), record["request_id"], model, verdict.kind, status, wait)
        request = self.replays.to_litellm(flow, record)
        if request is None:
            self.recent.not_attempted(replayed, why=record["note"].rpartition("=")[2])
        else:
            self.recent.started(flow.id, replayed)
        return request

    # -- both switches ---------------------------------------------------------

    def _without_history(self, flow: http.HTTPFlow, record: Record, verdict: Verdict) -> http.Request | None:
        """The same request, for the server that refused its history, with what it can read of it."""
        request = self.replays.reduced(flow, record, verdict.reason)
        if request is not None:
            self.counts["history-reduced"] += 1
        return request


def _hold_litellm(answer: Answer) -> JudgedResponse | None:
    held = JudgedResponse(
        answer,
        since=monotonic(),
        hold_max=0.0,
        opening_max=REPLAY_LIMIT,
        fails=lambda verdict: verdict is not quota.ANSWER,
        refuses=detect_history_rejection,
    )
    if answer.status >= 400:
        held.fail(Verdict("litellm", f"status {answer.status}"))
        return held
    if answer.is_stream and answer.is_plain:
        return held
    return None
