"""The proxy's own pages under `/_hybrid/`: which there are, who may see them, and what `health` says.

Health comes from what requests have met on their way. Nothing is asked of a
server for its sake: a check every second, of every instance, would be a load of
its own, and LiteLLM's full check calls the models.
"""

import json
from dataclasses import dataclass

from litellm_hybrid import access
from litellm_hybrid.access import Client, Refusal
from litellm_hybrid.errors import Cause, ErrorType
from litellm_hybrid.routing import Target
from litellm_hybrid.settings import Settings

ROOT = "/_hybrid"
"""Nothing at or below this path ever goes to a server."""

PAGES = (f"{ROOT}/health",)

FAILED_FOR = 10.0
"""How long, in seconds, a failed connection speaks against a server that nothing was heard of since.

It ends by itself: a load balancer that sends no requests for it could never see one succeed.
"""

_UNCONNECTED = frozenset({Cause.CONNECT_FAILED, Cause.CONNECT_LIMIT})

# Of a replay that failed only the class is known; no answer came in either.
_UNANSWERED = frozenset({ErrorType.NETWORK_ERROR.value, ErrorType.NETWORK_TIMEOUT.value})

_NAMES = {Target.UPSTREAM: "CLIProxyAPI", Target.LITELLM: "LiteLLM"}

_LEAVING = ("leaving", "The process has been told to end and only finishes what is running")
_NO_CONFIG = ("no-configuration", "There is no valid configuration; the log says why")
_BROKEN_CONFIG = (
    "broken-configuration",
    "The configuration file has an error, and the last good settings are in force; the log says which",
)


class LastSeen:
    """How each server was when a request last went to it."""

    __slots__ = ("_failed",)

    def __init__(self) -> None:
        self._failed: dict[str, float] = {}

    def answered(self, target: str) -> None:
        """An answer of this server has begun, whatever its status."""
        if self._failed:
            self._failed.pop(target, None)

    def failed(self, target: str, cause: Cause, now: float) -> None:
        """A request to this server failed; `now` is seconds on a monotonic clock."""
        if cause in _UNCONNECTED:
            self._failed[target] = now

    def replay_failed(self, target: str, why: str, now: float) -> None:
        """A replay failed; `why` is as in the route header: a status, an error type or `error-event`."""
        if why in _UNANSWERED:
            self._failed[target] = now

    def is_down(self, target: str, now: float) -> bool:
        """Whether this server could not be reached a moment ago."""
        failed = self._failed.get(target)
        return failed is not None and now - failed < FAILED_FOR

    def forget(self) -> None:
        """The servers may be others from now on."""
        self._failed.clear()


@dataclass(frozen=True, slots=True)
class State:
    """What health depends on.

    Attributes:
        settings: those in force; None: there are none.
        broken: the file on disk is not what is in force, because it has an error.
        leaving: the process has been told to end.
        down: the servers that could not be reached a moment ago.
    """

    settings: Settings | None
    broken: bool
    leaving: bool
    down: frozenset[Target] = frozenset()


@dataclass(frozen=True, slots=True)
class Page:
    """An answer for one of the pages, in JSON.

    Attributes:
        allow: the methods, where another one was tried.
    """

    status: int
    body: bytes
    allow: str = ""


def is_own(path: str) -> bool:
    """Whether a path, without its query, is one of the proxy's own."""
    return path.startswith(ROOT) and (len(path) == len(ROOT) or path[len(ROOT)] == "/")


def answer(method: str, path: str, client: Client, state: State) -> Page | Refusal:
    """What a request for one of the proxy's own pages gets.

    Args:
        method: as sent.
        path: without its query; `is_own` is true of it.
        client: who asks.
        state: what is answered from.
    """
    refusal = access.check_own_page(state.settings or Settings(), client)
    if refusal is not None:
        return refusal
    if path not in PAGES:
        message = f"litellm-hybrid has no page {path}; there is {', '.join(PAGES)}"
        return Page(404, _json({"error": "not_found", "message": message, "pages": PAGES}))
    if method not in ("GET", "HEAD"):
        message = f"{path} takes GET and HEAD, not {method}"
        return Page(405, _json({"error": "method_not_allowed", "message": message}), allow="GET, HEAD")
    return health(state)


def health(state: State) -> Page:
    """`{"live": true, "ready": …, "reasons": [{"reason": …, "message": …}, …]}`, 200 if ready, else 503.

    The reasons why it is not ready: `leaving`, `no-configuration`, `broken-configuration`,
    `upstream-unreachable`, `litellm-unreachable`.
    """
    reasons = _reasons(state)
    said = [{"reason": reason, "message": message} for reason, message in reasons]
    return Page(503 if reasons else 200, _json({"live": True, "ready": not reasons, "reasons": said}))


def _reasons(state: State) -> list[tuple[str, str]]:
    needed = [Target.UPSTREAM]
    if state.settings is not None and state.settings.active:
        needed.append(Target.LITELLM)
    found = [
        (state.leaving, _LEAVING),
        (state.settings is None, _NO_CONFIG),
        (state.broken, _BROKEN_CONFIG),
        *((target in state.down, _unreachable(target)) for target in needed),
    ]
    return [reason for holds, reason in found if holds]


def _unreachable(target: Target) -> tuple[str, str]:
    name = _NAMES[target]
    return f"{target}-unreachable", f"{name} could not be reached when a request last went there"


def _json(value: object) -> bytes:
    return json.dumps(value).encode()
