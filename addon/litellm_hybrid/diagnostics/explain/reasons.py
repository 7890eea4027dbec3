"""What each reason of the route header means, and how to change where such requests go: the one catalogue.

`explain`, `doctor`, mitmweb's commands and the tables of docs/troubleshooting.md print from it. For a
given request `explain` says more.
"""

import difflib
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
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
_STATUS = "curl http://127.0.0.1:8318/_hybrid/status"

REASONS: Mapping[Reason, Meaning] = MappingProxyType(
    {
        Reason.MODEL: Meaning(
            Target.LITELLM,
            "an entry of `models` matches the model that the request names",
            "to keep it at upstream, take that entry out of `models`, or make its glob narrower",
            _BY_MODEL,
        ),
        Reason.PASSTHROUGH: Meaning(
            Target.LITELLM,
            "`passthrough-mode` sends every POST that names a model to LiteLLM",
            "to keep it at upstream, set `passthrough-mode: false` and list in `models` what goes to LiteLLM",
            _BY_MODEL,
        ),
        Reason.FALLBACK: Meaning(
            Target.LITELLM,
            "upstream's response (`upstream-status=` is its status) meant that the account cannot serve it",
            "to let it through, add the model to `fallback.except`, or take the kind out of `fallback.on`",
            "litellm-hybrid explain MODEL --response-status 429 --response-body FILE",
        ),
        Reason.UNREACHABLE: Meaning(
            Target.LITELLM,
            "upstream could not be reached, and `fallback.on` has `unreachable`",
            "start CLIProxyAPI, or correct its address in `--mode` or `upstream-url`",
            "curl http://127.0.0.1:8317/",
        ),
        Reason.COOLDOWN: Meaning(
            Target.LITELLM,
            "upstream said that the account is exhausted, and is asked again only now and then",
            "to ask upstream each time, set `fallback.cooldown-max: 0s`, or a shorter time",
            _STATUS,
        ),
        Reason.STICKY: Meaning(
            Target.LITELLM,
            "the same conversation fell back a moment ago, and `sticky` keeps it at LiteLLM; or it is about "
            "a response that LiteLLM has stored",
            "to ask upstream at every turn, set `fallback.sticky: 0s`; a new conversation asks it anyway",
            _STATUS,
        ),
        Reason.DISABLED: Meaning(
            Target.UPSTREAM,
            "routing is off: `enabled` is not true in the file that is in force, whatever `models` says",
            "set `enabled: true` and list the model in `models`, in the file that the proxy was started with",
            "litellm-hybrid check",
        ),
        Reason.NO_BASE_URL: Meaning(
            Target.UPSTREAM,
            "`enabled` is true, but no `base-url` says where LiteLLM is",
            "set `base-url` to LiteLLM's address, for example http://127.0.0.1:4000",
            "litellm-hybrid check",
        ),
        Reason.LITELLM_FAILED: Meaning(
            Target.UPSTREAM,
            "the model is listed, but LiteLLM could not serve it (`litellm-status=`), so upstream was asked",
            "see in LiteLLM's log why; to get LiteLLM's own error, set `fallback.to-upstream: false`",
            _BY_MODEL,
        ),
        Reason.NOT_LISTED: Meaning(
            Target.UPSTREAM,
            "no entry of `models` matches the model, and upstream's response was no failure that falls back",
            "add the name, as the client sends it, to `models`; or set `passthrough-mode: true`",
            _BY_MODEL,
        ),
        Reason.NOT_POST: Meaning(
            Target.UPSTREAM,
            "only a POST is routed; a list of models (`GET /v1/models`) is upstream's",
            "nothing to do for a GET; a request for a model has to be a POST",
            "litellm-hybrid explain GET PATH",
        ),
        Reason.NO_MODEL: Meaning(
            Target.UPSTREAM,
            "neither the body nor the path names a model, or `model` is no text that is not empty",
            "have the client name the model: as text in the JSON body, as a form field, or in the path",
            "litellm-hybrid explain PATH -d BODY",
        ),
        Reason.UNREADABLE_BODY: Meaning(
            Target.UPSTREAM,
            "the body is not what its headers say (JSON, a form, gzip, zstd …), so its model is unknown",
            "have the client send a body that can be read, with a Content-Type and -Encoding that are true",
            "litellm-hybrid explain PATH -H 'Content-Encoding: CODING' --body FILE",
        ),
        Reason.NEVER_REROUTE: Meaning(
            Target.UPSTREAM,
            "only upstream can serve it: no path at which LiteLLM serves a model (management, sign-in, Code "
            "Assist, videos, live sessions), an `agent`, or a request that comes back to this proxy",
            "nothing, for such a path; if LiteLLM sends requests back here, give it another api_base",
            "litellm-hybrid explain PATH",
        ),
        Reason.WEBSOCKET: Meaning(
            Target.UPSTREAM,
            "it asked for a websocket, which cannot be routed by request",
            "with `websocket: downgrade`, and routing or fallback on, Codex gets 426 and uses HTTP",
            "litellm-hybrid explain GET /v1/responses -H 'Upgrade: websocket'",
        ),
        Reason.STATEFUL: Meaning(
            Target.UPSTREAM,
            "it relies on what only upstream has (`previous_response_id`, files …), so it never falls back",
            "have the client send the whole conversation (`store: false`), or list the model in `models`",
            "litellm-hybrid explain /v1/responses -d BODY",
        ),
        Reason.FALLBACK_FAILED: Meaning(
            Target.UPSTREAM,
            "upstream failed, LiteLLM could not help (`fallback-failed=`): the response is upstream's own",
            "see what `fallback-failed=` says: `litellm-hybrid explain --reason` takes the whole header",
            _STATUS,
        ),
        Reason.OWN_PAGE: Meaning(
            Target.NONE,
            "the proxy answered with one of its own pages, under /_hybrid/",
            "nothing to do: such paths never go to a server",
            _STATUS,
        ),
        Reason.REFUSED: Meaning(
            Target.NONE,
            "the proxy refused it: 401 or 403, the client may not spend LiteLLM's key or reach that path; "
            "413, the body is too long; 503, `max-in-flight` requests are running",
            "for 401 and 403, set `client-api-keys` and have the client send one of them; a path that is for "
            "this machine's programs is opened by `upstream-paths`; the response's JSON says which it was",
            "litellm-hybrid explain MODEL --client-ip ADDRESS -H 'Host: NAME'",
        ),
        Reason.ERROR: Meaning(
            Target.NONE,
            "the server before the reason gave no response, or broke off; or the proxy itself failed",
            "start that server, or correct its address (`base-url`, `upstream-url`, `--mode`); see the log",
            "litellm-hybrid doctor",
        ),
    }
)

_GIVE_NAME = (
    "give LiteLLM a model of that name in its model_list, or put LiteLLM's name for it into "
    "`model-mappings`; the log line `litellm fallback failed` quotes its response"
)
_GIVE_KEY = "set `api-key` to a key of LiteLLM's that may use the model"
_REACH = "start LiteLLM, or correct `base-url`"
_SEE_LOG = "see the log line `litellm fallback failed`, which quotes LiteLLM's response, and LiteLLM's log"

FALLBACK_FAILURES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "400": ("LiteLLM refused the request, mostly because it does not know the model's name", _GIVE_NAME),
        "401": ("LiteLLM does not accept `api-key`", _GIVE_KEY),
        "403": ("LiteLLM's key may not use this model", _GIVE_KEY),
        "404": ("LiteLLM does not know the model, or the path", _GIVE_NAME),
        "429": (
            "LiteLLM's own account, or the budget of its key, is exhausted too",
            f"raise that limit; {_SEE_LOG}",
        ),
        "not-allowed": (
            "this client may not spend LiteLLM's key, so its request was not sent there",
            REASONS[Reason.REFUSED].fix,
        ),
        "unknown-model": (
            "LiteLLM said a moment ago that it does not know the model, so it was not asked again",
            _GIVE_NAME,
        ),
        "litellm-cooldown": (
            "LiteLLM said a moment ago for how many seconds all deployments of the model are cooling down",
            "wait, or give the model another deployment in LiteLLM's model_list",
        ),
        "budget": (
            "`fallback.max-per-hour` replays have been made in this hour",
            "raise `fallback.max-per-hour`, or wait",
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
)
"""What stands behind `fallback-failed=` → (what it means, the fix). Further statuses are LiteLLM's errors."""

_ERRORS = {
    Target.LITELLM: Meaning(
        Target.NONE,
        "LiteLLM could not be reached, or did not answer in time",
        _REACH,
        "curl http://127.0.0.1:4000/health/readiness",
    ),
    Target.UPSTREAM: Meaning(
        Target.NONE,
        "CLIProxyAPI could not be reached, or did not answer in time",
        "start CLIProxyAPI, or correct its address in `--mode` or `upstream-url`; with `unreachable` in "
        "`fallback.on` such requests fall back",
        "curl http://127.0.0.1:8317/",
    ),
    Target.NONE: Meaning(
        Target.NONE,
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
            return _ERRORS[self.target]
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
    """Find the reason in a text.

    Args:
        text: a reason, the value of `x-hybrid-route`, its whole line, or a log line that has one.

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
