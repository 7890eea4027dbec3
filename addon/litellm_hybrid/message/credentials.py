"""Which headers and query parameters carry a client's credentials, and how to take them out or hide them.

The lists are CLIProxyAPI's five ways to present a client key, LiteLLM's seven,
and what else a client may send that belongs to its account.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import unquote_plus

Headers = tuple[tuple[bytes, bytes], ...]
"""Header fields in order and in their original case, as on the wire."""

HEADERS = frozenset(
    (
        b"authorization x-litellm-api-key api-key x-api-key x-goog-api-key ocp-apim-subscription-key "
        b"cookie proxy-authorization x-management-key chatgpt-account-id x-goog-user-project "
        b"openai-organization"
    ).split()
)
"""Lower-cased names that never reach LiteLLM."""

HEADER_PREFIX = b"x-pass-"
"""LiteLLM forwards `x-pass-*` to the provider with the prefix removed: a way in for any of the above."""

QUERY = frozenset({"key", "auth_token"})

_CLIENT_KEY_HEADERS = (b"authorization", b"x-goog-api-key", b"x-api-key")
"""Where CLIProxyAPI looks for a client key, in its order; after them come `?key=` and `?auth_token=`."""

# A line break in one, `?key=a%0D%0AX:b`, would start a header of its own.
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

# Anthropic's OAuth access tokens, and JWTs as OpenAI's and Google's sign-ins issue them.
_OAUTH = re.compile(r"(?:[\w-]+\s+)?(?:sk-ant-oat|ya29\.|eyJ[\w-]*\.[\w-]+\.)", re.IGNORECASE)


def is_credential(name: bytes) -> bool:
    """Whether a header of this name must not reach LiteLLM."""
    lowered = name.lower()
    return lowered in HEADERS or lowered.startswith(HEADER_PREFIX)


def presented(headers: Iterable[tuple[bytes, bytes]], query: str) -> tuple[str, ...]:
    """Every client key that a request presents, at most five, in the order in which CLIProxyAPI reads them.

    Of a header or parameter that is there twice the first counts, as there, although it is empty.
    """
    found: dict[bytes, str] = {}
    for name, value in headers:
        if (lowered := name.lower()) in _CLIENT_KEY_HEADERS and lowered not in found:
            found[lowered] = value.decode("utf-8", "surrogateescape").strip()
    keys = [found.get(name, "") for name in _CLIENT_KEY_HEADERS]
    keys[0] = _without_scheme(keys[0])
    if query:
        pairs = [pair.partition("=") for pair in query.split("&") if pair]
        keys += [
            next((unquote_plus(value) for name, _, value in pairs if unquote_plus(name) == wanted), "")
            for wanted in ("key", "auth_token")
        ]
    return tuple([key for key in keys if key and not _CONTROL.search(key)])


def is_oauth(credential: str) -> bool:
    """Whether a credential is shaped like an OAuth token, which belongs to its provider alone."""
    return _OAUTH.match(credential) is not None


def without_credentials(query: str) -> str:
    """A query string without the parameters that carry keys or OAuth tokens, the rest byte for byte."""
    if not query:
        return query
    kept = []
    for pair in query.split("&"):
        name, _, value = pair.partition("=")
        if unquote_plus(name).lower() not in QUERY and not is_oauth(unquote_plus(value)):
            kept.append(pair)
    return "&".join(kept)


def _without_scheme(authorization: str) -> str:
    scheme, space, token = authorization.partition(" ")
    return token.strip() if space and scheme.lower() == "bearer" else authorization


# -- what is shown and saved -------------------------------------------------------

MASK = "***"
"""What stands in the place of a credential in what is shown and saved."""

# Not among the known credentials, but named like one.
_SECRET_NAME = re.compile(r"auth|token|secret|passw|cookie|credential|api-?key", re.IGNORECASE)
_BEHIND_PATH = re.compile(rb"([?#]).*", re.DOTALL)
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
    known = is_credential(name.encode("utf-8", "surrogateescape")) or is_oauth(value)
    if not known and not _SECRET_NAME.search(name):
        return value
    scheme = _SCHEME.match(value)
    return (scheme[0] if scheme else "") + MASK


def _redact_pair(pair: str) -> str:
    name, equals, value = pair.partition("=")
    known = without_credentials(pair) != pair
    return name + equals + MASK if value and (known or _SECRET_NAME.search(name)) else pair


def redact_headers(headers: Headers) -> Headers:
    """Headers as they are on the wire, without the credentials in them."""
    texts = ((name, _redacted(_text(name), _text(value))) for name, value in headers)
    return tuple((name, text.encode("utf-8", "surrogateescape")) for name, text in texts)


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def redact_response(headers: Headers) -> Headers:
    """A response's headers without its cookies, and without what its `Location` says behind the path."""
    return tuple((name, _redact_field(name.lower(), value)) for name, value in headers)


def _redact_field(name: bytes, value: bytes) -> bytes:
    if name == b"set-cookie":
        return MASK.encode()
    return _BEHIND_PATH.sub(rb"\1" + MASK.encode(), value) if name == b"location" else value


class RequestHead(NamedTuple):
    """What can carry credentials in a request, and the server that they are for: scheme, host, port.

    Attributes:
        body: where there are tokens in it: what is shown of it, and what it was, without content coding.
    """

    server: tuple[str, str, int]
    headers: Headers
    target: str
    body: tuple[bytes, bytes] | None = None


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
