"""Redact the credentials of a request: what is shown and saved has `***` in their place."""

import re
from collections.abc import Iterable
from typing import NamedTuple

from litellm_hybrid.message import credentials
from litellm_hybrid.message.credentials import Headers

MASK = "***"

# Not among the known credentials, but named like one.
_SECRET_NAME = re.compile(r"auth|token|secret|passw|cookie|credential|api-?key", re.IGNORECASE)
_SCHEME = re.compile(r"[A-Za-z]+ +(?=\S)")


def redact_target(target: str) -> str:
    """A path and query without the credentials that the query may carry."""
    path, question, query = target.partition("?")
    return path + question + "&".join(_redact_pair(pair) for pair in query.split("&"))


def redact_as_text(headers: Iterable[tuple[bytes, bytes]]) -> tuple[tuple[str, str], ...]:
    """Headers as text, without the credentials in them."""
    texts = [(_text(name), _text(value)) for name, value in headers]
    return tuple((name, _redacted(name, value)) for name, value in texts)


def _redacted(name: str, value: str) -> str:
    known = credentials.is_credential(name.encode("utf-8", "surrogateescape")) or credentials.is_oauth(value)
    if not known and not _SECRET_NAME.search(name):
        return value
    scheme = _SCHEME.match(value)
    return (scheme[0] if scheme else "") + MASK


def _redact_pair(pair: str) -> str:
    name, equals, value = pair.partition("=")
    known = credentials.without_credentials(pair) != pair
    return name + equals + MASK if value and (known or _SECRET_NAME.search(name)) else pair


def redact_headers(headers: Headers) -> Headers:
    """Headers as they are on the wire, without the credentials in them."""
    return tuple(
        (name, redacted.encode("utf-8", "surrogateescape")) if redacted != _text(value) else (name, value)
        for (name, value), (_, redacted) in zip(headers, redact_as_text(headers), strict=True)
    )


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


class RequestHead(NamedTuple):
    """What can carry credentials in a request, and the server that they are for: scheme, host, port."""

    server: tuple[str, str, int]
    headers: Headers
    target: str


def restore_headers(headers: Headers, kept: Headers) -> Headers:
    """Redacted headers with the credentials of those that were kept; the ones that were edited stay."""
    redacted = ((name.lower(), value) for name, value in redact_headers(kept))
    real = dict(zip(redacted, (value for _, value in kept), strict=True))
    return tuple((name, real.get((name.lower(), value), value)) for name, value in headers)


def restore_target(target: str, kept: str) -> str:
    """A redacted path and query with the credentials of the one that was kept; what was edited stays."""
    real = {_redact_pair(pair): pair for pair in kept.partition("?")[2].split("&")}
    path, question, query = target.partition("?")
    return path + question + "&".join(real.get(pair, pair) for pair in query.split("&"))
