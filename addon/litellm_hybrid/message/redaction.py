"""Requests fit to be shown and saved: every credential in them is `***`."""

import re
from collections import OrderedDict
from collections.abc import Iterable
from typing import NamedTuple

from litellm_hybrid.message import credentials
from litellm_hybrid.message.credentials import Headers

MASK = "***"

MOST_KEPT = 1000
"""Of how many requests the unmasked heads are kept."""

# Not among the known credentials, but named like one.
_SECRET_NAME = re.compile(r"auth|token|secret|passw|cookie|credential|api-?key", re.IGNORECASE)
_SCHEME = re.compile(r"[A-Za-z]+ +(?=\S)")


def masked_target(target: str) -> str:
    """A path and query without the credentials that the query may carry."""
    path, question, query = target.partition("?")
    return path + question + "&".join(_masked_pair(pair) for pair in query.split("&"))


def masked_headers(headers: Iterable[tuple[bytes, bytes]]) -> tuple[tuple[str, str], ...]:
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


def mask_fields(headers: Headers) -> Headers:
    """Headers as they are on the wire, without the credentials in them."""
    return tuple(
        (name, masked.encode("utf-8", "surrogateescape")) if masked != _text(value) else (name, value)
        for (name, value), (_, masked) in zip(headers, masked_headers(headers), strict=True)
    )


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


class Head(NamedTuple):
    """What can carry credentials in a request, and the server that they are for: scheme, host, port."""

    server: tuple[str, str, int]
    headers: Headers
    target: str


def unmask_fields(headers: Headers, kept: Headers) -> Headers:
    """Masked headers with the credentials of those that were kept; the ones that were edited stay."""
    masked = ((name.lower(), value) for name, value in mask_fields(kept))
    real = dict(zip(masked, (value for _, value in kept), strict=True))
    return tuple((name, real.get((name.lower(), value), value)) for name, value in headers)


def unmask_target(target: str, kept: str) -> str:
    """A masked path and query with the credentials of the one that was kept; what was edited stays."""
    real = {_masked_pair(pair): pair for pair in kept.partition("?")[2].split("&")}
    path, question, query = target.partition("?")
    return path + question + "&".join(real.get(pair, pair) for pair in query.split("&"))


class Vault:
    """The heads of requests as they were sent, for a replay from mitmweb; in memory only, never saved."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Head] = OrderedDict()

    def put(self, key: str, head: Head) -> None:
        """Keep one; beyond `MOST_KEPT` the oldest is forgotten."""
        self._kept[key] = head
        self._kept.move_to_end(key)
        if len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)

    def get(self, key: str) -> Head | None:
        """It, or None."""
        return self._kept.get(key)
