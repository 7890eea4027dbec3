"""What a server would get, fit to be shown: every credential in it is `***`."""

from dataclasses import dataclass, replace

from litellm_hybrid.config.settings import Settings
from litellm_hybrid.message import forwarded, ids
from litellm_hybrid.message.credentials import redact_as_text, redact_target
from litellm_hybrid.routing import rewrite
from litellm_hybrid.routing.rules import Request, Routed, Target
from litellm_hybrid.terminal import OutputLine, Style

GENERATED_ID = "req-..."
"""Stands for the request id that a real request would be given."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A request as a server gets it, with its credentials masked.

    Attributes:
        server: "litellm" or "upstream".
        url: where the server is.
        target: path and query.
        headers: (name, value), in order.
        body: a summary of it.
        stripped: the target at an upstream without `/api/provider/` routes, where `auto` decides; or "".
    """

    server: str
    url: str
    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: str
    stripped: str = ""

    def lines(self) -> list[OutputLine]:
        """Format it for people."""
        return [
            OutputLine("", ""),
            OutputLine("sent to", self.url),
            OutputLine("", f"{self.method} {self.target}"),
            *([OutputLine("", f"{self.stripped} if upstream answers 404 there")] if self.stripped else []),
            *(OutputLine("", f"{name}: {value}", Style.QUIET) for name, value in self.headers),
            OutputLine("body", self.body),
        ]


def to_server(settings: Settings, request: Request, routed: Routed, target: Target) -> Sent:
    """Make the request as a server gets it.

    Args:
        settings: those in force; for LiteLLM they have a base_url.
        request: the client's.
        routed: what was decided about it.
        target: which server; for LiteLLM the request names a model.
    """
    if target is not Target.LITELLM:
        return _to_upstream(settings, request)
    named, model = routed.named, routed.route.litellm_model
    assert named is not None
    assert model is not None
    sent = replace(request.sent, headers=forwarded.put(request.sent.headers, request.client.ip))
    outgoing = rewrite.for_litellm(settings, sent, named, model, _request_id(request))
    note = [] if outgoing.body != request.sent.body else ["as the client sends it"]
    if coding := request.sent.header(b"content-encoding"):
        note.append(f"decoded from {coding}")
    if named.where in ("json", "form") and named.model != model:
        note.append(f'names "{model}" for "{named.model}", all else as it was')
    return Sent(
        server="litellm",
        url=str(replace(outgoing.address, path="")),
        method=request.method,
        target=redact_target(outgoing.target),
        headers=redact_as_text(outgoing.headers),
        body=_summary(len(outgoing.body), ", ".join(note)),
    )


def _to_upstream(settings: Settings, request: Request) -> Sent:
    """The client's own, but for Host, X-Request-ID and a stripped prefix."""
    sent = request.sent
    host = str(settings.upstream).partition("://")[2].encode()
    headers = [
        (name, host if name.lower() == b"host" else value)
        for name, value in forwarded.put(sent.headers, request.client.ip)
        if name.lower() != b"x-request-id"
    ]
    headers.append((b"X-Request-ID", _request_id(request).encode()))
    target = shown_target(request)
    stripped, strip = rewrite.without_provider_prefix(target), settings.strip_provider_prefix
    return Sent(
        server="upstream",
        url=str(settings.upstream),
        method=request.method,
        target=stripped if strip is True else target,
        headers=redact_as_text(headers),
        body=_summary(len(sent.body), "as the client sends it"),
        stripped=stripped if strip == "auto" and stripped != target else "",
    )


def shown_target(request: Request) -> str:
    """Return path and query of the client's request, without credentials."""
    sent = request.sent
    return redact_target(f"{sent.path}?{sent.query}" if sent.query else sent.path)


def _request_id(request: Request) -> str:
    given = request.sent.header(b"x-request-id")
    return given if ids.is_valid(given) else GENERATED_ID


def _summary(length: int, note: str) -> str:
    if not length:
        return "no body"
    return f"{length} bytes, {note}" if note else f"{length} bytes"
