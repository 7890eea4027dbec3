"""`/_hybrid/health`: whether this process lives, and whether it is ready for requests.

Health comes from what requests have met on their way. Nothing is asked of a
server for its sake: a check every second, of every instance, would be a load of
its own, and LiteLLM's full check calls the models.
"""

from dataclasses import dataclass

from litellm_hybrid.config.settings import Settings
from litellm_hybrid.errors import Cause, ErrorType
from litellm_hybrid.observability.admin_endpoints import AdminResponse, as_json
from litellm_hybrid.routing.rules import Target

FAILED_FOR = 10.0
"""How long, in seconds, a failed connection speaks against a server that nothing was heard of since.

It ends by itself: a load balancer that sends no requests for it could never see one succeed.
"""

_UNCONNECTED = frozenset({Cause.CONNECT_FAILED, Cause.CONNECT_LIMIT})

# Of a replay that failed only the class is known; no response came in either.
_UNANSWERED = frozenset({ErrorType.NETWORK_ERROR.value, ErrorType.NETWORK_TIMEOUT.value})

SERVER_NAMES = {Target.UPSTREAM: "CLIProxyAPI", Target.LITELLM: "LiteLLM"}

_DRAINING = ("draining", "The process has been told to end and only finishes what is running")
_NO_CONFIG = ("no-configuration", "There is no valid configuration; the log says why")
_BROKEN_CONFIG = (
    "broken-configuration",
    "The configuration file has an error, and the last good settings are in force; the log says which",
)


class LastSeen:
    """How each server was when a request last went to it."""

    __slots__ = ("_answered", "_failed")

    def __init__(self) -> None:
        self._answered: set[str] = set()
        self._failed: dict[str, float] = {}

    def answered(self, target: str) -> None:
        """Record that a response of a server has begun, whatever its status."""
        self._answered.add(target)
        if self._failed:
            self._failed.pop(target, None)

    def failed(self, target: str, cause: Cause, now: float) -> None:
        """Record that a request to a server failed; `now` is seconds on a monotonic clock."""
        if cause in _UNCONNECTED:
            self._failed[target] = now

    def replay_failed(self, target: str, why: str, now: float) -> None:
        """Record that a replay failed; `why` is as in the route header, a status or an error type."""
        if why in _UNANSWERED:
            self._failed[target] = now

    def is_down(self, target: str, now: float) -> bool:
        """Whether this server could not be reached a moment ago."""
        failed = self._failed.get(target)
        return failed is not None and now - failed < FAILED_FOR

    def state(self, target: str, now: float) -> str:
        """Return `unreachable`, `reachable`, or `not asked yet`."""
        if self.is_down(target, now):
            return "unreachable"
        return "reachable" if target in self._answered else "not asked yet"

    def forget(self) -> None:
        """Forget both servers: with new settings they may be others."""
        self._answered.clear()
        self._failed.clear()


@dataclass(frozen=True, slots=True)
class State:
    """The facts that health depends on.

    Attributes:
        settings: those in force; None: there are none.
        broken: the file on disk is not what is in force, because it has an error.
        draining: the process has been told to end.
        down: the servers that could not be reached a moment ago.
    """

    settings: Settings | None
    broken: bool
    draining: bool
    down: frozenset[Target] = frozenset()


def health(state: State) -> AdminResponse:
    """Return the page: `live`, `ready` and the `reasons` against it; 200 if ready, else 503."""
    reasons = why_not_ready(state)
    said = [{"reason": reason, "message": message} for reason, message in reasons]
    return AdminResponse(
        503 if reasons else 200, as_json({"live": True, "ready": not reasons, "reasons": said})
    )


def why_not_ready(state: State) -> tuple[tuple[str, str], ...]:
    """Return (reason, message) for each reason why the process is not ready.

    They are `draining`, `no-configuration`, `broken-configuration`, `upstream-unreachable` and
    `litellm-unreachable`.
    """
    needed = [Target.UPSTREAM]
    if state.settings is not None and state.settings.active:
        needed.append(Target.LITELLM)
    found = [
        (state.draining, _DRAINING),
        (state.settings is None, _NO_CONFIG),
        (state.broken, _BROKEN_CONFIG),
        *((target in state.down, _unreachable(target)) for target in needed),
    ]
    return tuple(reason for holds, reason in found if holds)


def _unreachable(target: Target) -> tuple[str, str]:
    name = SERVER_NAMES[target]
    return f"{target}-unreachable", f"{name} could not be reached when a request last went there"
