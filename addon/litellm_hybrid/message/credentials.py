"""Which headers and query parameters carry a client's credentials, and how to take them out.

The lists are CLIProxyAPI's five ways to present a client key, LiteLLM's seven,
and what else a client may send that belongs to its account.
"""

import re
from collections.abc import Iterable
from urllib.parse import unquote_plus

Headers = tuple[tuple[bytes, bytes], ...]
"""Header fields in order and in their original case, as on the wire."""

HEADERS = frozenset(
    {
        b"authorization",
        b"x-litellm-api-key",
        b"api-key",
        b"x-api-key",
        b"x-goog-api-key",
        b"ocp-apim-subscription-key",
        b"cookie",
        b"proxy-authorization",
        b"x-management-key",
        b"chatgpt-account-id",
        b"x-goog-user-project",
        b"openai-organization",
    }
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
        if (lowered := name.lower()) in _CLIENT_KEY_HEADERS:
            found.setdefault(lowered, value.decode("utf-8", "surrogateescape").strip())
    keys = [found.get(name, "") for name in _CLIENT_KEY_HEADERS]
    keys[0] = _without_scheme(keys[0])
    pairs = _pairs(query)
    keys += [
        next((unquote_plus(value) for name, value in pairs if name == wanted), "")
        for wanted in ("key", "auth_token")
    ]
    return tuple(key for key in keys if key and not _CONTROL.search(key))


def is_oauth(credential: str) -> bool:
    """Whether a credential is shaped like an OAuth token, which belongs to its provider alone."""
    return _OAUTH.match(credential) is not None


def without_credentials(query: str) -> str:
    """A query string without the parameters that carry keys or OAuth tokens, the rest byte for byte."""
    kept = []
    for pair in query.split("&"):
        name, _, value = pair.partition("=")
        if unquote_plus(name).lower() not in QUERY and not is_oauth(unquote_plus(value)):
            kept.append(pair)
    return "&".join(kept)


def _pairs(query: str) -> list[tuple[str, str]]:
    split = (pair.partition("=") for pair in query.split("&") if pair)
    return [(unquote_plus(name), value) for name, _, value in split]


def _without_scheme(authorization: str) -> str:
    scheme, space, token = authorization.partition(" ")
    return token.strip() if space and scheme.lower() == "bearer" else authorization
