"""What the commands say, line by line."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from time import time

from mitmproxy import http

from litellm_hybrid.config.settings import Settings
from litellm_hybrid.diagnostics.explain import reasons, replay
from litellm_hybrid.diagnostics.explain.explain import explain as explain_request
from litellm_hybrid.diagnostics.explain.reasons import RouteHeader
from litellm_hybrid.diagnostics.explain.replay import UpstreamResponse
from litellm_hybrid.fallback import response_hold as hold
from litellm_hybrid.flow import exchange
from litellm_hybrid.flow.exchange import Record
from litellm_hybrid.mitmweb import annotations as inspect
from litellm_hybrid.mitmweb import reroute
from litellm_hybrid.observability.status import Status, timestamp
from litellm_hybrid.routing.router import Request
from litellm_hybrid.routing.rules import Reason, Target
from litellm_hybrid.terminal import printable

# What a rule of routing decided, or the access check: there the fix depends on the request.
_BY_RULE = frozenset(Reason) - {
    Reason.MODEL,
    Reason.PASSTHROUGH,
    Reason.FALLBACK,
    Reason.UNREACHABLE,
    Reason.COOLDOWN,
    Reason.STICKY,
    Reason.FALLBACK_FAILED,
    Reason.OWN_PAGE,
    Reason.ERROR,
}


def status(found: Status) -> list[str]:
    """What is in force, and what has happened so far."""
    lines = [f"not ready: {message}" for _, message in found.not_ready] or ["ready"]
    lines.append(f"in flight: {found.in_flight} requests, {found.streams} of them streaming")
    lines += [
        f"requests: {target}; reason={reason}, {status_class}: {count}"
        for (target, reason, status_class), count in sorted(found.requests.items())
    ]
    lines += [
        f"fallbacks: {kind}, {outcome}: {count}" for (kind, outcome), count in sorted(found.fallbacks.items())
    ]
    lines += cooldowns(found.cooldowns, None, found.now) if found.cooldowns else []
    lines.append(f"configuration: {found.file or 'none'}{_since(found)}")
    lines += [f"{name}: {value}" for name, value in found.settings]
    lines.append(", ".join(f"{name} {version}" for name, version in found.versions.items()))
    return lines


def cooldowns(running: Sequence[tuple[str, float]], longest: float | str | None, now: float) -> list[str]:
    """The models for which upstream is not asked.

    Args:
        running: (model, seconds left).
        longest: `fallback.cooldown-max` in seconds or `auto`, where it is to be said that it is off.
        now: epoch seconds.
    """
    if not running:
        off = "; `fallback.cooldown-max` is 0s, so nothing ever is" if longest == 0 else ""
        return [f"nothing is cooling down{off}"]
    return [_cooldown(model, left, now) for model, left in running]


def explain(settings: Settings, flow: http.HTTPFlow, original: http.Request | None) -> list[str]:
    """Why a request went where it went, and how to change that.

    Args:
        settings: those in force now; those of the request may have been others.
        flow: one with a record.
        original: its request as the client sent it, if it is kept.
    """
    record = exchange.get(flow)
    assert record is not None
    lines = [flow.comment or inspect.says(flow, record)]
    if record["reason"] == reroute.REASON:
        return _printable([*lines, "means: `litellm.reroute` sent it"])
    seen = RouteHeader(Reason(record["reason"]), Target(record["target"]), _failed(record))
    meaning = reasons.meaning(seen)
    if inspect.request_of(flow) == flow.id:
        lines.append(f"means: {meaning.means}")
    if original is None:
        return _printable([*lines, f"fix: {meaning.fix}"])
    explanation = explain_request(
        settings, _request(flow, original, record), _answer(flow, record), now=_answered_at(flow)
    )
    lines += [f"{step.name}: {step.message}" for step in explanation.steps]
    lines.append(f"as things are now: reason={explanation.reason}; target={explanation.target}")
    fixes: Iterable[str] = explanation.fixes if seen.reason in _BY_RULE else (meaning.fix,)
    return _printable([*lines, *(f"fix: {fix}" for fix in fixes)])


def _printable(lines: Iterable[str]) -> list[str]:
    return [printable(line) for line in lines]


def _since(found: Status) -> str:
    since = f", in force since {timestamp(found.since)}" if found.since else ""
    return f"{since}; the file has an error now" if found.broken else since


def _cooldown(model: str, left: float, now: float) -> str:
    if left <= 0:
        return f"cooldown: {model}: over; the next request finds out whether upstream serves it again"
    until = datetime.fromtimestamp(now + left).astimezone()
    return f"cooldown: {model}: {left:.0f} s left, until {until:%H:%M:%S}"


def _failed(record: Record) -> str:
    _, found, failed = record["note"].partition("fallback-failed=")
    return failed if found else ""


def _request(flow: http.HTTPFlow, original: http.Request, record: Record) -> Request:
    sent = flow.copy()
    sent.request = original
    return exchange.request(sent, record)


def _answer(flow: http.HTTPFlow, record: Record) -> UpstreamResponse | None:
    """Upstream's, if it may be a failure."""
    response = flow.response
    if response is None or record["target"] != Target.UPSTREAM or record["reason"] == Reason.ERROR:
        return None
    headers = {name.lower(): value for name, value in response.headers.items(multi=True)}
    answer = UpstreamResponse(hold.Answer(response.status_code, headers), response.raw_content or b"")
    means = replay.verdict(answer, now=_answered_at(flow)).kind
    return answer if response.status_code >= 400 or means != "none" else None


def _answered_at(flow: http.HTTPFlow) -> float:
    return (flow.response and flow.response.timestamp_start) or time()
