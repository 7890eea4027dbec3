"""What mitmweb says of requests: marks, comments, the responses that no client has seen, and its commands.

The marks are symbols that ordinary text fonts have too: a machine without an emoji font shows them as well.
The commands, of mitmweb's command bar and of mitmproxy's console (`litellm.status` and others), have no
hooks: a request costs nothing for them.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from time import monotonic, time

from mitmproxy import ctx, exceptions, http
from mitmproxy.addonmanager import Loader
from mitmproxy.flow import Flow

from litellm_hybrid.config.settings import NoSettingsError, Settings, SettingsStore
from litellm_hybrid.diagnostics import explain, remedies
from litellm_hybrid.diagnostics.reasons import RouteHeader
from litellm_hybrid.diagnostics.remedies import UpstreamResponse
from litellm_hybrid.errors import ErrorType
from litellm_hybrid.fallback import response_hold
from litellm_hybrid.fallback.log_lines import KINDS_IN_WORDS
from litellm_hybrid.fallback.policy import FallbackListener
from litellm_hybrid.fallback.response_hold import JudgedResponse
from litellm_hybrid.fallback.state import Cooldowns
from litellm_hybrid.flow.exchange import Exchange
from litellm_hybrid.flow.outcome import METADATA, REPLACED_MOST, AttemptSnapshot, ReplacedResponse, Snapshot
from litellm_hybrid.llm.replay.remedies import settings_for
from litellm_hybrid.message import credentials
from litellm_hybrid.message.decoders import decode_beginning
from litellm_hybrid.message.json import decode, encode, members
from litellm_hybrid.observability.history import is_ordinary
from litellm_hybrid.observability.status import Status, timestamp
from litellm_hybrid.quota import error_shapes
from litellm_hybrid.routing.rules import Reason, Target
from litellm_hybrid.terminal import SHORTEST_HIDDEN, counted, printable

# -- marks and comments ----------------------------------------------------------

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


# -- commands --------------------------------------------------------------------

_MOST_EXPLAINED = 10
_NOT_GIVEN: Sequence[Flow] = ()

_NOT_BY_RULE = frozenset({Reason.LITELLM_FAILED, Reason.FALLBACK_FAILED, Reason.ERROR})
"""Why upstream has answered where no rule of routing says so: the fix does not depend on the request."""


class Commands:
    """The commands, as an addon of their own inside ours."""

    name = "litellm_hybrid_commands"

    def __init__(
        self,
        settings: SettingsStore,
        status: Callable[[], Status],
        cooldowns: Cooldowns,
    ) -> None:
        self._settings = settings
        self._status = status
        self._cooldowns = cooldowns

    def load(self, loader: Loader) -> None:
        """Declare the commands."""
        loader.add_command("litellm.status", self.status)
        loader.add_command("litellm.explain", self.explain)
        loader.add_command("litellm.cooldowns", self.cooldowns)
        loader.add_command("litellm.cooldowns.clear", self.clear_cooldowns)

    def status(self) -> Sequence[str]:
        """Show what is in force, what has been counted, and whether both servers are there."""
        return status_lines(self._status())

    def explain(self, flows: Sequence[Flow] = _NOT_GIVEN) -> Sequence[str]:
        """Explain why requests went where they went, and how to change that; by default the selected one."""
        decided = _decided(self._selected() if flows is _NOT_GIVEN else flows)
        if not decided:
            raise exceptions.CommandError("litellm-hybrid has decided on none of these flows")
        lines: list[str] = []
        for flow in decided[:_MOST_EXPLAINED]:
            lines += explanation_lines(self._current(), flow, Exchange.of(flow))
        if len(decided) > _MOST_EXPLAINED:
            lines.append(f"and {len(decided) - _MOST_EXPLAINED} more: name fewer flows")
        return lines

    def cooldowns(self) -> Sequence[str]:
        """List the models for which upstream is not asked, and until when."""
        running = self._cooldowns.running(monotonic())
        if not running and self._current().fallback.cooldown_max == 0:
            return ["nothing is cooling down; `fallback.cooldown-max` is 0s, so nothing ever is"]
        return cooldown_lines(running, time()) or ["nothing is cooling down"]

    def clear_cooldowns(self) -> str:
        """Ask upstream again for every model."""
        count = self._cooldowns.clear_all(monotonic())
        return f"{count} cleared; upstream is asked again"

    def _current(self) -> Settings:
        try:
            return self._settings.current
        except NoSettingsError as e:
            raise exceptions.CommandError(str(e)) from e

    def _selected(self) -> Sequence[Flow]:
        """Return the row selected in the console, or opened last in mitmweb; else the last one."""
        view = ctx.master.addons.get("view")
        if view is None:
            return ()
        every: Sequence[Flow] = view.resolve("@all")
        from litellm_hybrid.mitmweb.contentview import VIEW  # noqa: PLC0415 (as where it is installed)

        # mitmweb keeps to itself what is selected there, but has to ask for what it shows of it.
        selected: Flow | None = VIEW.opened if "web_columns" in ctx.options else view.focus.flow
        return [selected] if selected is not None and selected in every else _decided(every)[-1:]


def _decided(flows: Sequence[Flow]) -> list[http.HTTPFlow]:
    return [flow for flow in flows if isinstance(flow, http.HTTPFlow) and METADATA in flow.metadata]


# -- what they say, line by line ------------------------------------------


def status_lines(found: Status) -> list[str]:
    """Say what is in force, and what has happened so far."""
    lines = [f"not ready: {message}" for _, message in found.not_ready] or ["ready"]
    lines.append(f"in flight: {counted(found.in_flight, 'request')}, {found.streams} of them streaming")
    lines += [
        f"requests: {target}; reason={reason}, {status_class}: {count}"
        for (target, reason, status_class), count in sorted(found.requests.items())
    ]
    lines += [
        f"fallbacks: {kind}, {outcome}: {count}" for (kind, outcome), count in sorted(found.fallbacks.items())
    ]
    lines += cooldown_lines(found.cooldowns, found.now)
    since = f", in force since {timestamp(found.since)}" if found.since else ""
    broken = "; the file has an error now" if found.broken else ""
    lines.append(f"configuration: {found.file or 'none'}{since}{broken}")
    lines += [f"{name}: {value}" for name, value in found.settings]
    lines.append(", ".join(f"{name} {version}" for name, version in found.versions.items()))
    return lines


def cooldown_lines(running: Sequence[tuple[str, float]], now: float) -> list[str]:
    """Say for which (model, seconds left; 0: the next request tries) upstream is not asked; `now`: epoch."""
    return [_cooldown(model, left, now) for model, left in running]


def explanation_lines(settings: Settings, flow: http.HTTPFlow, exchange: Exchange | None) -> list[str]:
    """Say why a request went where it went, and how to change that.

    `settings` are those in force now, `flow` has a snapshot, and no exchange if it is from a file.
    """
    snapshot: Snapshot = flow.metadata[METADATA]
    noted = flow.comment.partition("\n")[0]
    lines = [noted or summary(flow, snapshot), *tried(snapshot)]
    header = RouteHeader(Reason(snapshot["reason"]), Target(snapshot["target"]), snapshot["fallback_failed"])
    meaning = header.meaning
    lines.append(f"means: {meaning.means}")
    if snapshot["first_failure"]:
        lines.append(f"before it: {snapshot['first_failure']}; for that upstream has suspended the account")
    if exchange is not None and exchange.remedies:
        lines.append(f"changed for the backend: {', '.join(map(str, exchange.remedies))}")
        lines += [
            f"needless with, in LiteLLM's configuration: {line}" for line in settings_for(exchange.remedies)
        ]
    fixes: Iterable[str] = (meaning.fix,)
    replaced = _replaced_response(snapshot)
    if exchange is not None and (replaced is not None or snapshot["target"] == Target.UPSTREAM):
        sent = replace(exchange.request.sent, body=_body_for_upstream(flow, snapshot))
        request, response = replace(exchange.request, sent=sent), replaced or _failed_response(flow, snapshot)
        found = explain.explain(settings, request, response, now=_answered_at(flow))
        lines += [f"{step.name}: {step.message}" for step in found.steps]
        lines.append(f"as things are now: reason={found.reason}; target={found.target}")
        if replaced is None and header.reason not in _NOT_BY_RULE:
            fixes = found.fixes
    return [printable(line) for line in (*lines, *(f"fix: {fix}" for fix in fixes))]


def _cooldown(model: str, left: float, now: float) -> str:
    if left <= 0:
        return f"cooldown: {model}: over; the next request finds out whether upstream serves it again"
    until = datetime.fromtimestamp(now + left).astimezone()
    return f"cooldown: {model}: {left:.0f} s left, until {until:%H:%M:%S}"


def _failed_response(flow: http.HTTPFlow, snapshot: Snapshot) -> UpstreamResponse | None:
    """Return upstream's response, if it may be a failure."""
    if flow.response is None or snapshot["reason"] == Reason.ERROR:
        return None
    headers = {name.lower(): value for name, value in flow.response.headers.items(multi=True)}
    head = response_hold.ResponseHead(flow.response.status_code, headers)
    response = UpstreamResponse(head, flow.response.raw_content or b"")
    kind = remedies.verdict(response, now=_answered_at(flow)).kind
    return response if head.status >= 400 or kind != "none" else None


def _replaced_response(snapshot: Snapshot) -> UpstreamResponse | None:
    """Return upstream's failed response that LiteLLM's has taken the place of."""
    for attempt in snapshot["attempts"]:
        replaced, status = attempt["replaced"], attempt["status"]
        if attempt["server"] == Target.UPSTREAM and replaced is not None and status is not None:
            headers = {name: value for name, value in replaced["headers"] if name != "content-encoding"}
            return UpstreamResponse(response_hold.ResponseHead(status, headers), replaced["body"].encode())
    return None


def _body_for_upstream(flow: http.HTTPFlow, snapshot: Snapshot) -> bytes:
    """Return a request's body with the client's name for the model, which LiteLLM has another for."""
    body = flow.request.raw_content or b""
    named = members(decode(body))
    is_renamed = snapshot["target"] == Target.LITELLM and "model" in named
    return encode({**named, "model": snapshot["model"]}).encode() if is_renamed else body


def _answered_at(flow: http.HTTPFlow) -> float:
    return (flow.response and flow.response.timestamp_start) or time()
