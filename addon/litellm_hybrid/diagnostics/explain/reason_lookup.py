"""A reason out of a header or a log line, and what it means there: `litellm-hybrid explain --reason`."""

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from litellm_hybrid.diagnostics.explain.reason_catalog import MEANINGS, Meaning
from litellm_hybrid.routing.rules import Reason, Target
from litellm_hybrid.terminal import Line, Tone


@dataclass(frozen=True, slots=True)
class Seen:
    """A reason, and what stood around it.

    Attributes:
        target: as it stood before the reason; None: it did not.
        failed: what stood behind `fallback-failed=`, or "".
    """

    reason: Reason
    target: Target | None = None
    failed: str = ""


_GIVE_NAME = (
    "give LiteLLM a model of that name in its model_list, or put LiteLLM's name for it into "
    "`model-mappings`; the log line `litellm fallback failed` quotes its answer"
)
_GIVE_KEY = "set `api-key` to a key of LiteLLM's that may use the model"
_REACH = "start LiteLLM, or correct `base-url`"
_SEE_LOG = "see the log line `litellm fallback failed`, which quotes LiteLLM's answer, and LiteLLM's log"

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
            MEANINGS[Reason.REFUSED].fix,
        ),
        "unknown-model": (
            "LiteLLM said a moment ago that it does not know the model, so it was not asked again",
            _GIVE_NAME,
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
        "proxy_error": ("LiteLLM's answer was no valid HTTP", _SEE_LOG),
    }
)
"""What stands behind `fallback-failed=` → (what it means, the fix). Further statuses are LiteLLM's errors."""

_ERRORS: Mapping[Target, tuple[str, str, str]] = MappingProxyType(
    {
        Target.LITELLM: (
            "LiteLLM could not be reached, or gave no answer in time",
            "start LiteLLM, or correct `base-url`",
            "curl http://127.0.0.1:4000/health/readiness",
        ),
        Target.UPSTREAM: (
            "CLIProxyAPI could not be reached, or gave no answer in time",
            (
                "start CLIProxyAPI, or correct its address in `--mode` or `upstream-url`; with `unreachable` "
                "in `fallback.on` such requests fall back"
            ),
            "curl http://127.0.0.1:8317/",
        ),
        Target.NONE: (
            "the proxy itself failed on this request; it went to no server",
            "find the request id of the answer in the proxy's log, and report the line",
            "litellm-hybrid doctor",
        ),
    }
)

_REASON = re.compile(r"""\breason["']?\s*[=:]\s*["']?([\w-]+)""")
_TARGET = re.compile(r"\b(litellm|upstream|none)\s*;\s*reason=|\btarget[\"']?\s*[=:]\s*[\"']?(\w+)")
_FAILED = re.compile(r"fallback-failed=([\w-]+)")


_WHO: Mapping[Target, str] = MappingProxyType(
    {
        Target.LITELLM: "LiteLLM answered",
        Target.UPSTREAM: "upstream answered",
        Target.NONE: "litellm-hybrid answered by itself",
    }
)


def parse(text: str) -> Seen:
    """The reason in a text.

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
    reason, target = Reason(named), _TARGET.search(text)
    written = (target[1] or target[2]) if target else ""
    failed = _FAILED.search(text)
    return Seen(reason, Target(written) if written in set(Target) else None, failed[1] if failed else "")


def meaning(seen: Seen) -> Meaning:
    """What it means, as exactly as what stood around it allows."""
    general = MEANINGS[seen.reason]
    if seen.reason is Reason.FALLBACK_FAILED and seen.failed:
        means, fix = FALLBACK_FAILURES.get(
            seen.failed, (f"LiteLLM answered with an error, {seen.failed}", _SEE_LOG)
        )
        return Meaning(general.target, f"upstream failed, and {means}", fix, general.look)
    if seen.reason is Reason.ERROR and seen.target is not None:
        return Meaning(general.target, *_ERRORS[seen.target])
    return general


def lines(seen: Seen) -> list[Line]:
    """For people."""
    said = meaning(seen)
    return [
        Line("reason", f"{seen.reason}: {_WHO[said.target]}"),
        Line("means", said.means),
        Line("fix", said.fix, Tone.NOTICE),
        Line("more", said.look),
    ]


def as_json(seen: Seen) -> dict[str, object]:
    """For programs: the same, as a JSON object."""
    said = meaning(seen)
    return {
        "reason": seen.reason,
        "target": said.target,
        "means": said.means,
        "fix": said.fix,
        "more": said.look,
    }
