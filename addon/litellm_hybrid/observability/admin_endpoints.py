"""The proxy's own pages under `/_hybrid/`: which there are, who may see them, and what `health` says."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from litellm_hybrid.config.settings import Settings
from litellm_hybrid.routing import access
from litellm_hybrid.routing.access import AccessDenied, Client
from litellm_hybrid.routing.rules import Target

ROOT = "/_hybrid"
"""Nothing at or below this path ever goes to a server."""

HEALTH, STATUS, METRICS = PAGES = (f"{ROOT}/health", f"{ROOT}/status", f"{ROOT}/metrics")


@dataclass(frozen=True, slots=True)
class AdminResponse:
    """A response for one of the pages.

    Attributes:
        headers: more of them.
    """

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class AdminRequest:
    """A request for one of the pages; path and query as sent, each without the question mark."""

    method: str
    path: str
    query: str
    accept: str
    client: Client

    @property
    def wants_html(self) -> bool:
        """Whether a person is to read the response; browsers say so, and `?format=` overrules it."""
        options = self.query.split("&")
        return "format=html" in options or ("text/html" in self.accept and "format=json" not in options)


def is_own(path: str) -> bool:
    """Whether a path, without its query, is one of the proxy's own."""
    return path.startswith(ROOT) and (len(path) == len(ROOT) or path[len(ROOT)] == "/")


def respond(
    request: AdminRequest, settings: Settings, pages: Mapping[str, Callable[[AdminRequest], AdminResponse]]
) -> AdminResponse | AccessDenied:
    """Return the response to a request for one of our own pages; `pages`: what makes each of `PAGES`."""
    refusal = access.check_own_page(settings, request.client)
    if refusal is not None:
        return refusal
    if request.path not in PAGES:
        message = f"litellm-hybrid has no page {request.path}; there is {', '.join(PAGES)}"
        return AdminResponse(404, as_json({"error": "not_found", "message": message, "pages": PAGES}))
    if request.method not in ("GET", "HEAD"):
        message = f"{request.path} takes GET and HEAD, not {request.method}"
        body = as_json({"error": "method_not_allowed", "message": message})
        return AdminResponse(405, body, headers=(("Allow", "GET, HEAD"),))
    return pages[request.path](request)


def as_json(value: object) -> bytes:
    """Return a page's body."""
    return json.dumps(value).encode()


# -- `/_hybrid/health`: whether this process lives, and is ready for requests -----------
#
# By what requests have met on their way. Nothing is asked of a server for its sake: a check every second, of
# every instance, would be a load of its own, and LiteLLM's full check calls the models.

SERVER_NAMES = {Target.UPSTREAM: "CLIProxyAPI", Target.LITELLM: "LiteLLM"}

_DRAINING = ("draining", "The process has been told to end and only finishes what is running")
_NO_CONFIG = ("no-configuration", "There is no valid configuration; the log says why")
_BROKEN_CONFIG = (
    "broken-configuration",
    "The configuration file has an error, and the last good settings are in force; the log says which",
)


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
