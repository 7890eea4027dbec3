"""What a server would get, fit to be shown: every credential in it is `***`."""

from dataclasses import dataclass, replace

from litellm_hybrid.config.settings import Address, Settings
from litellm_hybrid.message import forwarded, ids
from litellm_hybrid.message.credentials import redact_as_text, redact_target
from litellm_hybrid.routing import rewrite
from litellm_hybrid.routing.requested_model import Named
from litellm_hybrid.routing.rules import Request
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


def to_litellm(settings: Settings, request: Request, named: Named, model: str) -> Sent:
    """Make the request as LiteLLM gets it.

    Args:
        settings: those in force; they have a base_url.
        request: the client's.
        named: what its body and path say; the body could be read.
        model: LiteLLM's name for the model.
    """
    sent = replace(request.sent, headers=forwarded.put(request.sent.headers, request.client.ip))
    outgoing = rewrite.for_litellm(settings, sent, named, model, _request_id(request))
    note = [] if outgoing.body != request.sent.body else ["as the client sends it"]
    if coding := request.sent.header(b"content-encoding"):
        note.append(f"decoded from {coding}")
    if named.where in ("json", "form") and named.model != model:
        note.append(f'names "{model}" for "{named.model}", all else as it was')
    where = outgoing.address
    return Sent(
        server="litellm",
        url=str(Address(where.scheme, where.host, where.port)),
        method=request.method,
        target=redact_target(outgoing.target),
        headers=redact_as_text(outgoing.headers),
        body=_summary(len(outgoing.body), ", ".join(note)),
    )


def to_upstream(settings: Settings, request: Request) -> Sent:
    """Make the request for upstream: the client's, but for Host, X-Request-ID and a stripped prefix."""
    sent = request.sent
    host = str(settings.upstream).partition("://")[2].encode()
    headers = [
        (name, host if name.lower() == b"host" else value)
        for name, value in forwarded.put(sent.headers, request.client.ip)
        if name.lower() != b"x-request-id"
    ]
    headers.append((b"X-Request-ID", _request_id(request).encode()))
    target = redact_target(f"{sent.path}?{sent.query}" if sent.query else sent.path)
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


def _request_id(request: Request) -> str:
    given = request.sent.header(b"x-request-id")
    return given if ids.is_valid(given) else GENERATED_ID


def _summary(length: int, note: str) -> str:
    if not length:
        return "no body"
    return f"{length} bytes, {note}" if note else f"{length} bytes"
