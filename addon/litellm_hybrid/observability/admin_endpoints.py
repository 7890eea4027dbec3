"""The proxy's own pages under `/_hybrid/`: which there are, and who may see them."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from litellm_hybrid.config.settings import Settings
from litellm_hybrid.routing import access
from litellm_hybrid.routing.access import AccessDenied, Client

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
    """A request for one of the pages.

    Attributes:
        method: as sent.
        path: without its query; `is_own` is true of it.
        query: as sent, without the question mark.
        accept: the Accept header, "" if there is none.
        client: who asks.
    """

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
    """Return the response to a request for one of the proxy's own pages.

    Args:
        request: the request.
        settings: those in force.
        pages: what makes each of `PAGES`.
    """
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
