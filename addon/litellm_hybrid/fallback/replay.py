"""The requests that replace a failed one: for LiteLLM, or for the same server with a reduced history.

Whatever the reason, a request for LiteLLM passes the same access check and the
same rewriting as a routed one.
"""

import logging
from collections.abc import Callable
from time import monotonic
from typing import get_args

from mitmproxy import http

from litellm_hybrid.config.settings import Settings
from litellm_hybrid.fallback import cooldowns as memory
from litellm_hybrid.flow import exchange
from litellm_hybrid.flow.exchange import Record
from litellm_hybrid.llm.history import reduce as history
from litellm_hybrid.llm.history.reduce import Reduced, travels
from litellm_hybrid.llm.history.rejections import HistoryRejection
from litellm_hybrid.observability.logging import logger as log
from litellm_hybrid.routing import access, rewrite
from litellm_hybrid.routing import requested_model as model_name
from litellm_hybrid.routing.apis import identify
from litellm_hybrid.routing.rules import Reason, Target


class Replays:
    """Makes replacement requests, within what the configuration and LiteLLM allow."""

    def __init__(self, settings: Callable[[], Settings]) -> None:
        self._settings = settings
        self.budget = memory.Budget()
        self.unknown = memory.UnknownModels()

    def to_litellm(self, flow: http.HTTPFlow, record: Record) -> http.Request | None:
        """The request for LiteLLM; None, and the reason in the record, if it must not be sent."""
        settings = self._settings()
        name = record["sends"]
        assert name is not None
        request = exchange.request(flow, record)
        refusal = access.check(settings, request.client)
        if refusal is not None:
            message = f"litellm: no fallback, access refused: {refusal.message}"
            log.emit(logging.WARNING, message, event="fallback-refused", **exchange.fields(record))
            _refuse(record, "not-allowed")
            return None
        if self.unknown.has(name, monotonic()):
            _refuse(record, "unknown-model")
            return None
        if not self._spend(settings.fallback.max_per_hour, record):
            _refuse(record, "budget")
            return None
        sent = request.sent
        content_type, coding = sent.header(b"content-type"), sent.header(b"content-encoding")
        named = model_name.read(sent.path, content_type, coding, sent.body)
        outgoing = rewrite.for_litellm(settings, sent, named, name, record["request_id"])
        replacement = flow.request.copy()
        exchange.send_to(replacement, outgoing)
        api = identify(record["path"])
        if api is not None and not travels(settings.fallback.history, api, name):
            reduced = history.reduce(outgoing.body, api)
            if reduced.body is not outgoing.body:
                _put_body(replacement, record, reduced)
        return replacement

    def reduced(self, flow: http.HTTPFlow, record: Record, refusal: str) -> http.Request | None:
        """The same request for the same server with a reduced history; None if that changes nothing."""
        api = identify(record["path"])
        if api is None or record["reduced"]:
            return None
        body = exchange.content(flow.request)
        reduced = history.reduce(body, api, rejection=_refusal(refusal))
        if reduced.body is body:
            return None
        replacement = flow.request.copy()
        _put_body(replacement, record, reduced)
        return replacement

    def _spend(self, most: int, record: Record) -> bool:
        if self.budget.spend(most, monotonic()):
            return True
        if self.budget.is_news(monotonic()):
            message = f"litellm: no fallback, all {most} of this hour are spent"
            log.emit(logging.ERROR, message, event="fallback-refused", **exchange.fields(record))
        return False


def _refuse(record: Record, why: str) -> None:
    """Note in the record that upstream's answer stands, and why."""
    exchange.settle(record, Target.UPSTREAM, Reason.FALLBACK_FAILED, f"; fallback-failed={why}")


def _put_body(request: http.Request, record: Record, reduced: Reduced) -> None:
    request.data.content = reduced.body
    request.data.headers = http.Headers(rewrite.with_body(request.headers.fields, reduced.body))
    record["reduced"] = True
    dropped = ", ".join(f"{what} ({count})" for what, count in reduced.dropped)
    off = f"; switched off for this turn: {', '.join(reduced.switched_off)}" if reduced.switched_off else ""
    log.emit(
        logging.INFO,
        f"litellm: history reduced for {record['model']}: {dropped or 'nothing dropped'}{off}",
        event="history-reduced",
        **exchange.fields(record),
    )


def _refusal(reason: str) -> HistoryRejection | None:
    known: tuple[HistoryRejection, ...] = get_args(HistoryRejection.__value__)
    return next((refusal for refusal in known if refusal == reason), None)
