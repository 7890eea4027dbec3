"""What a server would get, fit to be shown: every credential in it is `***`."""

import re
from dataclasses import dataclass, replace

from litellm_hybrid import client_address, credentials, request_id, rewrite
from litellm_hybrid.decision import Request
from litellm_hybrid.model_name import Named
from litellm_hybrid.settings import Address, Settings

MASK = "***"
GENERATED_ID = "req-..."
"""Stands for the request id that a real request would be given."""

# Not among the known credentials, but named like one.
_SECRET_NAME = re.compile(r"auth|token|secret|passw|cookie|credential|api-?key", re.IGNORECASE)
_SCHEME = re.compile(r"[A-Za-z]+ +(?=\S)")


@dataclass(frozen=True, slots=True)
class Sent:
    """A request as a server gets it, with its credentials masked.

    Attributes:
        server: "litellm" or "upstream".
        url: where the server is.
        target: path and query.
        headers: (name, value), in order.
        body: a summary of it.
    """

    server: str
    url: str
    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: str


def to_litellm(settings: Settings, request: Request, named: Named, model: str) -> Sent:
    """The request as LiteLLM gets it.

    Args:
        settings: those in force; they have a base_url.
        request: the client's.
        named: what its body and path say; the body could be read.
        model: LiteLLM's name for the model.
    """
    sent = replace(request.sent, headers=client_address.put(request.sent.headers, request.client.ip))
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
        target=masked_target(outgoing.target),
        headers=masked_headers(outgoing.headers),
        body=_summary(len(outgoing.body), ", ".join(note)),
    )


def to_upstream(settings: Settings, request: Request) -> Sent:
    """The request as upstream gets it: the client's, but for Host, X-Request-ID and a stripped prefix."""
    sent = request.sent
    host = str(settings.upstream).partition("://")[2].encode()
    headers = [
        (name, host if name.lower() == b"host" else value)
        for name, value in client_address.put(sent.headers, request.client.ip)
        if name.lower() != b"x-request-id"
    ]
    headers.append((b"X-Request-ID", _request_id(request).encode()))
    target = f"{sent.path}?{sent.query}" if sent.query else sent.path
    return Sent(
        server="upstream",
        url=str(settings.upstream),
        method=request.method,
        target=masked_target(rewrite.target_for_upstream(settings, target)),
        headers=masked_headers(headers),
        body=_summary(len(sent.body), "as the client sends it"),
    )


def masked_target(target: str) -> str:
    """A path and query without the credentials that the query may carry."""
    path, question, query = target.partition("?")
    return path + question + "&".join(_masked_pair(pair) for pair in query.split("&"))


def masked_headers(headers: credentials.Headers | list[tuple[bytes, bytes]]) -> tuple[tuple[str, str], ...]:
    """Headers as text, without the credentials in them."""
    texts = [(_text(name), _text(value)) for name, value in headers]
    return tuple((name, _masked(name, value)) for name, value in texts)


def _masked(name: str, value: str) -> str:
    known = credentials.is_credential(name.encode("utf-8", "surrogateescape")) or credentials.is_oauth(value)
    if not known and not _SECRET_NAME.search(name):
        return value
    scheme = _SCHEME.match(value)
    return (scheme[0] if scheme else "") + MASK


def _masked_pair(pair: str) -> str:
    name, equals, value = pair.partition("=")
    known = credentials.without_credentials(pair) != pair
    return name + equals + MASK if value and (known or _SECRET_NAME.search(name)) else pair


def _request_id(request: Request) -> str:
    given = request.sent.header(b"x-request-id")
    return given if request_id.is_valid(given) else GENERATED_ID


def _summary(length: int, note: str) -> str:
    if not length:
        return "no body"
    return f"{length} bytes, {note}" if note else f"{length} bytes"


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")
