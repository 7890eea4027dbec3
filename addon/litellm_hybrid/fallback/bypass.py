"""Requests that go straight to LiteLLM after a fallback: same conversation, or a model cooling down.

Both are opt-in, and both end early: upstream serves again, or LiteLLM does not.
"""

from collections.abc import Callable
from time import monotonic

from mitmproxy import http

from litellm_hybrid.config.settings import Settings
from litellm_hybrid.fallback import cooldowns as memory
from litellm_hybrid.fallback.conversations import Conversations
from litellm_hybrid.fallback.conversations import key as conversation_key
from litellm_hybrid.fallback.cooldowns import Advice
from litellm_hybrid.fallback.replay import Replays
from litellm_hybrid.flow import exchange
from litellm_hybrid.flow.exchange import Record
from litellm_hybrid.llm.history.rejections import HistoryRejection, detect_history_rejection
from litellm_hybrid.quota.classifier import Verdict
from litellm_hybrid.routing.rules import Reason, Target

_SEARCHED = 256 * 1024
"""The longest body, in bytes, of a routed request that is searched for its conversation."""


class Straight:
    """Knows which models are cooling down, and which conversations LiteLLM has served."""

    def __init__(self, settings: Callable[[], Settings], replays: Replays) -> None:
        self._settings = settings
        self._replays = replays
        self.cooldowns = memory.Cooldowns()
        self.conversations = Conversations()
        self._waiting: dict[str, tuple[memory.Key, Advice]] = {}
        self._talks: dict[str, str] = {}

    def request(self, flow: http.HTTPFlow, record: Record) -> http.Request | None:
        """The request for LiteLLM where upstream is not to be asked, or None."""
        if not record["may_fall_back"]:
            return None
        if self._stays(flow, record):
            return self._instead(flow, record, Reason.STICKY)
        if self._settings().fallback.cooldown_max in {"auto", 0.0}:
            return None
        key = _cooldown_key(flow, record)
        advice = self.cooldowns.ask(key, monotonic())
        if advice is Advice.ASK_UPSTREAM:
            return None
        request = None if advice is Advice.PROBE else self._instead(flow, record, Reason.COOLDOWN)
        if advice is Advice.PROBE or request is not None:
            self._waiting[flow.id] = key, advice
        return request

    def to_litellm(self, flow: http.HTTPFlow, *, routed: bool = False) -> None:
        """A request is about to be sent to LiteLLM; the flow still has the client's.

        Args:
            flow: it.
            routed: it goes there by route. Then a long body is not searched for its conversation, which
                would cost more than all the rest; a session header still tells it.
        """
        if not self._settings().fallback.enabled:
            return
        long = len(flow.request.raw_content or b"") > _SEARCHED
        if (talk := _talk(flow.request, b"" if routed and long else None)) is not None:
            self._talks[flow.id] = talk

    def has_been_away(self, request: http.Request) -> bool:
        """Whether the history may hold what LiteLLM's provider made; `request` is as its client sent it."""
        if not self.conversations:
            return False
        talk = _talk(request)
        return talk is not None and self.conversations.has_been_served(talk, monotonic())

    def refuses_history(self, request: http.Request, status: int, body: bytes) -> HistoryRejection | None:
        """Why upstream's answer refuses the history, where a reduced one would help.

        Args:
            request: as its client sent it.
            status: see `detect_history_rejection`.
            body: see there.
        """
        refusal = detect_history_rejection(status, body)
        # In this order: whose history it is stands in the request's body, which can be long.
        return refusal if refusal is not None and self.has_been_away(request) else None

    def cool_down(self, flow: http.HTTPFlow, record: Record, verdict: Verdict) -> None:
        """Upstream has said what it cannot serve; remember it if the answer says for how long."""
        limit = self._settings().fallback.cooldown_max
        longest = 0.0 if limit == "auto" else limit
        if verdict.kind != "quota" or verdict.per_request or not verdict.retry_after or longest <= 0:
            return
        self._waiting.pop(flow.id, None)
        self.cooldowns.start(_cooldown_key(flow, record), min(verdict.retry_after, longest), monotonic())

    def ended(self, flow: http.HTTPFlow, status: int | None) -> None:
        """An exchange is over.

        Args:
            flow: it.
            status: what the client was answered; None if it was not, or not to the end.
        """
        record = exchange.get(flow)
        served = status is not None and status < 400
        by_litellm = record is not None and record["target"] == Target.LITELLM.value
        if (talk := self._talks.pop(flow.id, None)) is not None and by_litellm:
            self.conversations.served(talk, monotonic())
            if record is not None and record["may_fall_back"]:
                sticky = self._settings().fallback.sticky if served else 0.0
                self.conversations.stay(talk, record["model"] or "", sticky, monotonic())
        key, advice = self._waiting.pop(flow.id, (None, None))
        if key is None:
            return
        probed = advice is Advice.PROBE
        # A cooldown must not outlive the reason for it: upstream serves, or LiteLLM does not.
        if (probed and served and not by_litellm) or (not probed and not served):
            self.cooldowns.clear(key)
        elif probed:
            self.cooldowns.release(key)

    def _stays(self, flow: http.HTTPFlow, record: Record) -> bool:
        if self._settings().fallback.sticky <= 0 or not self.conversations:
            return False
        talk = _talk(flow.request)
        return talk is not None and self.conversations.stays(talk, record["model"] or "", monotonic())

    def _instead(self, flow: http.HTTPFlow, record: Record, reason: Reason) -> http.Request | None:
        request = self._replays.to_litellm(flow, record)
        if request is not None:
            self.to_litellm(flow)
            exchange.settle(record, Target.LITELLM, reason)
        return request


def _talk(request: http.Request, body: bytes | None = None) -> str | None:
    read = exchange.content(request) if body is None else body
    return conversation_key(request.headers.fields, exchange.keys(request), read)


def _cooldown_key(flow: http.HTTPFlow, record: Record) -> memory.Key:
    return memory.cooldown_key(record["model"] or "", exchange.keys(flow.request))
