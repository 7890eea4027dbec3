"""What mitmweb shows of us: marks, comments, and the responses that no client has seen.

The marks are symbols that ordinary text fonts have too: a machine without an
emoji font shows them as well.
"""

from collections.abc import Iterator, Mapping

from mitmproxy import http

from litellm_hybrid.config.settings import SettingsStore
from litellm_hybrid.diagnostics.reasons import RouteHeader
from litellm_hybrid.errors import ErrorType
from litellm_hybrid.fallback.log_lines import KINDS_IN_WORDS
from litellm_hybrid.fallback.policy import FallbackListener
from litellm_hybrid.fallback.response_hold import JudgedResponse
from litellm_hybrid.flow.exchange import Exchange
from litellm_hybrid.flow.outcome import METADATA, REPLACED_MOST, AttemptSnapshot, ReplacedResponse, Snapshot
from litellm_hybrid.message import credentials
from litellm_hybrid.message.decoders import decode_beginning
from litellm_hybrid.message.json import decode
from litellm_hybrid.observability.history import is_ordinary
from litellm_hybrid.quota import error_shapes
from litellm_hybrid.routing.rules import Reason, Target
from litellm_hybrid.terminal import SHORTEST_HIDDEN

FAILED = ":warning:"
"""The mark of what went wrong for the client, whoever is to blame: `~marker warning` finds it."""

REPLACED = ":arrow_right_hook:"
"""The mark of what went wrong at one server, and not for the client; `~marked` finds both."""

_OURS = ("", FAILED, REPLACED)

_WORDS = 300

_BYPASSED: Mapping[str, str] = {
    Reason.UNREACHABLE: "upstream is unreachable",
    Reason.COOLDOWN: "upstream is cooling down",
    Reason.STICKY: "the conversation is there",
    Reason.SPILL: "the quota is nearly used up",
}
"""Why LiteLLM serves what is upstream's, where upstream has not refused it."""

# What is as it should be, whatever its status: Codex comes again by HTTP.
_EXPECTED = frozenset({Reason.OWN_PAGE, Reason.WEBSOCKET})

_UPSTREAMS_OWN = frozenset({Reason.FALLBACK_FAILED, Reason.LITELLM_FAILED, Reason.EXCEPTED})
"""The reasons that speak of an error of upstream's by themselves."""


class Annotations(FallbackListener):
    """Marks and comments flows.

    Args:
        settings: those in force, which have LiteLLM's key.

    Attributes:
        enabled: somebody sees flows; else nothing is done.
    """

    def __init__(self, settings: SettingsStore | None = None) -> None:
        self._settings = settings
        self.enabled = True

    def settled(self, flow: http.HTTPFlow) -> None:
        """Mark a flow and write down what has been decided about it; what a user wrote there stays."""
        exchange = Exchange.of(flow)
        if not self.enabled or exchange is None or not exchange.decided:
            return
        exchange.publish(flow)
        snapshot: Snapshot = flow.metadata[METADATA]
        if flow.comment == exchange.comment:
            flow.comment = exchange.comment = describe(flow, snapshot)
        if flow.marked in _OURS:
            flow.marked = _mark(flow, snapshot)

    def replaced(self, flow: http.HTTPFlow, why: str, held: JudgedResponse | None, error: str = "") -> None:
        """Keep what the server that was asked last has said."""
        exchange = Exchange.of(flow)
        if not self.enabled or exchange is None or not exchange.attempts:
            return
        kept = ReplacedResponse(why=why, words=error, headers=[], body="")
        if held is not None:
            coding = held.head.headers.get("content-encoding", "")
            body = decode_beginning(bytes(held.body), coding, limit=4 * REPLACED_MOST)
            failure = error_shapes.read(decode(held.words or body), held.head.status)
            said = failure.message if failure is not None else ""
            kept["words"] = self._masked(" ".join(said.split())[:_WORDS])
            fields = ((name.encode(), value.encode()) for name, value in held.head.headers.items())
            shown = credentials.redact_response(tuple(fields))
            kept["headers"] = [[name.decode(), self._masked(value.decode())] for name, value in shown]
            kept["body"] = self._masked(body.decode(errors="replace"))[:REPLACED_MOST]
        exchange.attempts[-1].replaced = kept

    def _masked(self, text: str) -> str:
        key = None if self._settings is None or self._settings.is_empty else self._settings.current.api_key
        hidden = key is not None and len(key.value) >= SHORTEST_HIDDEN
        return text.replace(key.value, credentials.MASK) if key is not None and hidden else text


def describe(flow: http.HTTPFlow, snapshot: Snapshot) -> str:
    """Say what became of a request; the first line, of which a list shows the beginning, says all in short.

    In the others, which mitmweb's comment tab joins, each server that was asked, what it means, and the fix.
    """
    said = RouteHeader(Reason(snapshot["reason"]), Target(snapshot["target"]), snapshot["fallback_failed"])
    meaning = said.meaning
    by_rule = snapshot["words"] and said.reason not in _UPSTREAMS_OWN
    because = f"the {_status(flow)} is the server's own, which was asked because " if by_rule else ""
    details = [*tried(snapshot), f"means: {because}{meaning.means}", f"fix: {meaning.fix}"]
    return "\n• ".join([summary(flow, snapshot), *details])


def tried(snapshot: Snapshot) -> Iterator[str]:
    """Say what each server that was asked has said, if it was more than one, or has failed."""
    attempts = snapshot["attempts"]
    for attempt in attempts:
        replaced = attempt["replaced"]
        words = replaced["words"] if replaced is not None else snapshot["words"]
        if (len(attempts) > 1 or words) and (attempt["status"] or replaced is not None):
            yield f"{outcome_of(attempt)}{f': {words}' if words else ''}"


def outcome_of(attempt: AttemptSnapshot) -> str:
    """`upstream failed: 429 usage limit after 11 ms, not seen by the client`."""
    replaced, by_litellm = attempt["replaced"], attempt["server"] == Target.LITELLM
    kind = KINDS_IN_WORDS.get(replaced["why"], "") if replaced is not None else ""
    said = " ".join(filter(None, (str(attempt["status"] or "no response"), kind)))
    failed = "refused" if by_litellm and attempt["status"] else "failed"
    happened = f"{'LiteLLM' if by_litellm else 'upstream'} {'answered' if replaced is None else failed}"
    seen = "" if replaced is None else ", not seen by the client"
    return f"{happened}: {said} after {attempt['milliseconds']:,.0f} ms{seen}"


def summary(flow: http.HTTPFlow, snapshot: Snapshot) -> str:
    """Say in a line what became of a request: model and what happened first, that is what a list shows.

    Then reason, target, requested → sent model, request id, and what went wrong.
    """
    model = snapshot["model"] or "no model"
    if snapshot["target"] == Target.LITELLM and snapshot["litellm_model"]:
        model = f"{model} → {snapshot['litellm_model']}"
    first = f"; after {snapshot['first_failure']}" if snapshot["first_failure"] else ""
    failure = f"; {snapshot['error_type']}: {snapshot['error']}" if snapshot["error_type"] else ""
    return (
        f"{_headline(flow, snapshot)}; reason={snapshot['reason']}; target={snapshot['target']}"
        f"{snapshot['detail']}; {model}; request id {snapshot['request_id']}{first}{failure}"
    )


def _headline(flow: http.HTTPFlow, snapshot: Snapshot) -> str:
    """`claude-opus-4-5 ↪ LiteLLM after 429 usage limit, $0.02`."""
    reason, status = snapshot["reason"], _status(flow)
    kind = KINDS_IN_WORDS.get(snapshot["kind"], "")
    if reason == Reason.FALLBACK_FAILED:
        refused = f"{status} {kind}".strip() if status else "no response"
        happened = f"⚠ upstream {refused}, LiteLLM could not help: {snapshot['fallback_failed']}"
    elif reason == Reason.EXCEPTED:
        happened = f"⚠ upstream {status}, excepted: not served by LiteLLM"
    elif reason == Reason.ERROR:
        happened = f"⚠ {snapshot['error_type'] or 'error'}"
    elif reason == Reason.REFUSED:
        happened = "⚠ refused"
    elif snapshot["target"] == Target.LITELLM:
        happened = "→ LiteLLM"
        if reason == Reason.FALLBACK:
            happened = f"↪ LiteLLM after {snapshot['upstream_status']} {kind}".rstrip()
        elif reason in _BYPASSED:
            happened = f"↪ LiteLLM, {_BYPASSED[reason]}"
        happened += f" ⚠ {status}" if status >= 400 else ""
    else:
        happened = "→ upstream"
        if reason == Reason.LITELLM_FAILED:
            happened = f"↩ upstream after LiteLLM {snapshot['litellm_status'] or 'gave no response'}"
        expected = reason in _EXPECTED or is_ordinary(snapshot["method"], reason, status)
        happened += f" ⚠ {status}" if status >= 400 and not expected else ""
    cost = f", ${snapshot['cost_usd']:.2g}" if snapshot["cost_usd"] else ""
    return f"{snapshot['model'] or snapshot['path']} {happened}{cost}"


def _mark(flow: http.HTTPFlow, snapshot: Snapshot) -> str:
    # One who presses Esc in the middle of a response is no failure.
    if flow.error is not None and snapshot["error_type"] != ErrorType.CLIENT_DISCONNECT:
        return FAILED
    reason = snapshot["reason"]
    failed = reason in (Reason.FALLBACK_FAILED, Reason.ERROR)
    expected = reason in _EXPECTED or is_ordinary(snapshot["method"], reason, _status(flow))
    if failed or (_status(flow) >= 400 and not expected):
        return FAILED
    was_replaced = reason == Reason.FALLBACK or any(each["replaced"] for each in snapshot["attempts"])
    return REPLACED if was_replaced else ""


def _status(flow: http.HTTPFlow) -> int:
    return flow.response.status_code if flow.response is not None else 0
