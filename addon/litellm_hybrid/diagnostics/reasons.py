"""What each reason of the route header means, and how to change where such requests go: the one catalogue.

`explain`, `doctor`, mitmweb's commands and the tables of docs/troubleshooting.md print from it. For a
given request `explain` says more.
"""

import difflib
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import NamedTuple

from litellm_hybrid.routing.rules import Reason, Target
from litellm_hybrid.terminal import OutputLine, Style


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a reason means.

    Attributes:
        target: who answered; NONE: the proxy itself, whatever stands before the reason in the header.
        means: why the request went there.
        fix: how to get such requests to the other server, or served at all.
        more: the one command that shows more; capitals stand for what the reader puts in.
    """

    target: Target
    means: str
    fix: str
    more: str


_BY_MODEL = "litellm-hybrid explain MODEL"
_BY_PATH = "litellm-hybrid explain PATH"
_STATUS = "curl http://127.0.0.1:8318/_hybrid/status"

_FROM_LITELLM = {
    Reason.MODEL: (
        "an entry of `models` matches the model that the request names",
        "to keep it at upstream, take that entry out of `models`, or make its glob narrower",
        _BY_MODEL,
    ),
    Reason.PASSTHROUGH: (
        "`passthrough-mode` sends every POST that names a model to LiteLLM",
        "to keep it at upstream, set `passthrough-mode: false` and list in `models` what goes to LiteLLM",
        _BY_MODEL,
    ),
    Reason.FALLBACK: (
        "upstream's response (`upstream-status=` is its status) meant that the account cannot serve it",
        "to give the client that instead, put the model into `fallback.except`, or take its kind out of `on`",
        f"{_BY_MODEL} --response-status 429 --response-body FILE",
    ),
    Reason.UNREACHABLE: (
        "upstream could not be reached, and `fallback.on` has `unreachable`",
        "start CLIProxyAPI, or correct its address in `--mode` or `upstream-url`",
        "curl http://127.0.0.1:8317/",
    ),
    Reason.COOLDOWN: (
        "upstream said that the account is exhausted, and is asked again only now and then",
        "to ask upstream each time, set `fallback.cooldown-max: 0s`, or a shorter time",
        _STATUS,
    ),
    Reason.STICKY: (
        "the conversation fell back a moment ago (`sticky`), or it is about a response that LiteLLM stored",
        "to ask upstream at every turn, set `fallback.sticky: 0s`; a new conversation asks it anyway",
        _STATUS,
    ),
    Reason.SPILL: (
        "upstream says that as much of a quota is used as `fallback.spill-at`, and the conversation is new",
        "to use the quota to its end, raise `fallback.spill-at`, or set it to 0",
        _STATUS,
    ),
}
_FROM_UPSTREAM = {
    Reason.DISABLED: (
        "routing is off: `enabled` is not true in the file that is in force, whatever `models` says",
        "set `enabled: true` in the file that the proxy was started with, and list the model in `models`",
        "litellm-hybrid check",
    ),
    Reason.NO_BASE_URL: (
        "`enabled` is true, but no `base-url` says where LiteLLM is",
        "set `base-url` to LiteLLM's address, for example http://127.0.0.1:4000",
        "litellm-hybrid check",
    ),
    Reason.LITELLM_FAILED: (
        "the model is listed, but LiteLLM could not serve it (`litellm-status=`), so upstream was asked",
        "see in LiteLLM's log why; to get LiteLLM's own error, set `fallback.to-upstream: false`",
        _BY_MODEL,
    ),
    Reason.NOT_LISTED: (
        "the ordinary way: no entry of `models` names the model, and upstream's answer does not fall back",
        "nothing to do; to have LiteLLM serve the model always, add it to `models` (`enabled: true`)",
        _BY_MODEL,
    ),
    Reason.NOT_POST: (
        "only a POST is routed; a list of models (`GET /v1/models`) is upstream's",
        "nothing to do for a GET; a request for a model has to be a POST",
        "litellm-hybrid explain GET PATH",
    ),
    Reason.NO_MODEL: (
        "neither the body nor the path names a model (`model` has to be text, and not empty)",
        "have the client name the model: as text in the JSON body, as a form field, or in the path",
        f"{_BY_PATH} -d BODY",
    ),
    Reason.UNREADABLE_BODY: (
        "the body is not what its headers say (JSON, a form, gzip, zstd …), so its model is unknown",
        "have the client send a body that can be read, with a Content-Type and -Encoding that are true",
        f"{_BY_PATH} -H 'Content-Encoding: CODING' --body FILE",
    ),
    Reason.NEVER_REROUTE: (
        "only upstream serves it (management, sign-in, Code Assist, an `agent` …), or it has come back here",
        "nothing, for such a path; if LiteLLM sends requests back here, give it another api_base",
        _BY_PATH,
    ),
    Reason.WEBSOCKET: (
        "it asked for a websocket, which cannot be routed by request",
        "with `websocket: downgrade`, and routing or fallback on, Codex gets 426 and uses HTTP",
        "litellm-hybrid explain GET /v1/responses -H 'Upgrade: websocket'",
    ),
    Reason.STATEFUL: (
        "it relies on what only upstream has (`previous_response_id`, files …), so it never falls back",
        "have the client send the whole conversation (`store: false`), or list the model in `models`",
        "litellm-hybrid explain /v1/responses -d BODY",
    ),
    Reason.FALLBACK_FAILED: (
        "upstream failed, LiteLLM could not help (`fallback-failed=`): the response is upstream's own",
        "the ERROR before it in the log says why; `litellm-hybrid explain --reason` takes the whole header",
        _STATUS,
    ),
    Reason.EXCEPTED: (
        "upstream's account cannot serve it, and a setting keeps the model, or such failures, at upstream",
        "see that LiteLLM has the model; then change `fallback.except`, `fallback.models` or `fallback.on`",
        f"{_BY_MODEL} --response-status 429",
    ),
}
_FROM_HERE = {
    Reason.OWN_PAGE: (
        "the proxy answered with one of its own pages, under /_hybrid/",
        "nothing to do: such paths never go to a server",
        _STATUS,
    ),
    Reason.REFUSED: (
        "401, 403: may not spend the key or reach that path; 413, 415: body not read; 503: `max-in-flight`",
        "set `client-api-keys` and have the client send one; `upstream-paths` opens a path to other machines",
        f"{_BY_MODEL} --client-ip ADDRESS -H 'Host: NAME'",
    ),
    Reason.ERROR: (
        "the server before the reason gave no response, or broke off; or the proxy itself failed",
        "start that server, or correct its address (`base-url`, `upstream-url`, `--mode`); see the log",
        "litellm-hybrid doctor",
    ),
}
_BY_WHOM = {
    Target.LITELLM: _FROM_LITELLM,
    Target.UPSTREAM: _FROM_UPSTREAM,
    Target.NONE: _FROM_HERE,
}

REASONS: Mapping[Reason, Meaning] = {
    reason: Meaning(target, *said) for target, group in _BY_WHOM.items() for reason, said in group.items()
}

_GIVE_NAME = "have LiteLLM's model_list name it, or put LiteLLM's name for it into `model-mappings`"
_GIVE_KEY = "set `api-key` to a key of LiteLLM's that may use the model"
_REACH = "start LiteLLM, or correct `base-url`"
_SEE_LOG = "see the log line `litellm fallback failed`, which quotes LiteLLM's response, and LiteLLM's log"

_OR_IT_MAY = "; or it may, since its `/model/info` does not say who serves the model"

FALLBACK_FAILURES: Mapping[str, tuple[str, str]] = {
    "400": ("LiteLLM refused the request, mostly because it does not know the model's name", _GIVE_NAME),
    "401": ("LiteLLM does not accept `api-key`", _GIVE_KEY),
    "403": ("LiteLLM's key may not use this model", _GIVE_KEY),
    "404": ("LiteLLM does not know the model, or the path", _GIVE_NAME),
    "429": ("LiteLLM's own account, or its key's budget, is exhausted too", f"raise that; {_SEE_LOG}"),
    "not-allowed": ("this client may not spend LiteLLM's key", REASONS[Reason.REFUSED].fix),
    "unknown-model": ("LiteLLM said a moment ago that it does not know the model", _GIVE_NAME),
    "litellm-cooldown": (
        "LiteLLM said a moment ago for how long all deployments of the model are cooling down",
        "wait, or give the model another deployment in LiteLLM's model_list",
    ),
    "attachment": (
        f"LiteLLM would leave an image, a file or a tool's PDF out in silence{_OR_IT_MAY}",
        "give `api-key` a key that may read `/model/info`; else send its text: upstream alone can read it",
    ),
    "demand": (
        f"LiteLLM would leave out in silence that a tool is forced or forbidden, or JSON wanted{_OR_IT_MAY}",
        "give `api-key` a key that may read `/model/info`, or the model another provider",
    ),
    "budget": (
        "`fallback.max-per-hour` or `max-cost-per-day` is spent, or LiteLLM has no price for the model",
        "raise it, wait, or give the model a price in LiteLLM's model_list (`input_cost_per_token` …)",
    ),
    "error-event": ("LiteLLM's stream began with an error", _SEE_LOG),
    "network_error": ("LiteLLM could not be reached, or broke off", _REACH),
    "network_timeout": ("no connection to LiteLLM stood within `timeouts.connect`", _REACH),
    "timeout": (
        "LiteLLM did not answer within `timeouts.first-byte`",
        "raise `timeouts.first-byte`, or see in LiteLLM's log what it waits for",
    ),
    "proxy_error": ("LiteLLM's response was no valid HTTP", _SEE_LOG),
}
"""What stands behind `fallback-failed=` → (what it means, the fix). Further statuses are LiteLLM's errors."""

_ERRORS = {
    Target.LITELLM: (
        "LiteLLM could not be reached, or did not answer in time",
        _REACH,
        "curl http://127.0.0.1:4000/health/readiness",
    ),
    Target.UPSTREAM: (
        "CLIProxyAPI could not be reached, or did not answer in time",
        f"{REASONS[Reason.UNREACHABLE].fix}; with `unreachable` in `fallback.on` such requests fall back",
        "curl http://127.0.0.1:8317/",
    ),
    Target.NONE: (
        "the proxy itself failed on this request; it went to no server",
        "find the request id of the response in the proxy's log, and report the line",
        "litellm-hybrid doctor",
    ),
}
"""`Reason.ERROR`, by the server that stands before it."""

WHO = {
    Target.LITELLM: "LiteLLM answered",
    Target.UPSTREAM: "upstream answered",
    Target.NONE: "litellm-hybrid answered by itself",
}

_REASON = re.compile(r"""\breason["']?\s*[=:]\s*["']?([\w-]+)""")
_TARGET = re.compile(r"\b(litellm|upstream|none)\s*;\s*reason=|\btarget[\"']?\s*[=:]\s*[\"']?(\w+)")
_FAILED = re.compile(r"fallback-failed=([\w-]+)")


class RouteHeader(NamedTuple):
    """A reason, and what stood around it in a header or a log line.

    Attributes:
        target: as it stood before the reason; None: it did not.
        failed: what stood behind `fallback-failed=`, or "".
    """

    reason: Reason
    target: Target | None = None
    failed: str = ""

    @property
    def meaning(self) -> Meaning:
        """What the reason means, as exactly as what stood around it allows."""
        general = REASONS[self.reason]
        if self.reason is Reason.FALLBACK_FAILED and self.failed:
            other = f"LiteLLM answered with an error, {self.failed}", _SEE_LOG
            means, fix = FALLBACK_FAILURES.get(self.failed, other)
            return Meaning(general.target, f"upstream failed, and {means}", fix, general.more)
        if self.reason is Reason.ERROR and self.target is not None:
            return Meaning(general.target, *_ERRORS[self.target])
        return general

    def lines(self) -> list[OutputLine]:
        """Format its meaning for people."""
        said = self.meaning
        return [
            OutputLine("reason", f"{self.reason}: {WHO[said.target]}"),
            OutputLine("means", said.means),
            OutputLine("fix", said.fix, Style.NOTICE),
            OutputLine("more", said.more),
        ]

    def as_json(self) -> dict[str, object]:
        """Format the same for programs, as a JSON object."""
        return {"reason": self.reason, **asdict(self.meaning)}


def parse(text: str) -> RouteHeader:
    """Find the reason in a text: it alone, a value or line of `x-hybrid-route`, or a log line that has one.

    Raises:
        ValueError: no reason is in it; the message has the nearest, or all.
    """
    named = found[1] if (found := _REASON.search(text)) else text.strip().lower()
    if named not in set(Reason):
        near = difflib.get_close_matches(named, list(Reason), 1)
        known = f"did you mean {near[0]}?" if near else f"there are {', '.join(Reason)}"
        raise ValueError(f"{named!r} is no reason: {known}")
    target = _TARGET.search(text)
    written = (target[1] or target[2]) if target else ""
    failed = _FAILED.search(text)
    server = Target(written) if written in set(Target) else None
    return RouteHeader(Reason(named), server, failed[1] if failed else "")
