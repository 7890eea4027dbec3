"""The commands of mitmweb's command bar and of mitmproxy's console: `litellm.status` and others.

They have no hooks: a request costs nothing for them.
"""

from collections.abc import Callable, Iterable, Sequence
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
from litellm_hybrid.fallback import response_hold
from litellm_hybrid.fallback.state import Cooldowns
from litellm_hybrid.flow.exchange import Exchange
from litellm_hybrid.flow.outcome import METADATA, Snapshot
from litellm_hybrid.llm.replay.remedies import settings_for
from litellm_hybrid.message.json import decode, encode, members
from litellm_hybrid.mitmweb.annotations import summary, tried
from litellm_hybrid.observability.status import Status, timestamp
from litellm_hybrid.routing.rules import Reason, Target
from litellm_hybrid.terminal import counted, printable

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
