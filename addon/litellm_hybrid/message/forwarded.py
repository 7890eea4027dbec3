"""Which address a request really comes from, when there may be another proxy in front of this one.

Behind HAProxy, `ssh -R` or cloudflared on the same machine every client looks
like 127.0.0.1. So a request that shows that it came through something is not
taken for one of this machine's own programs, unless the something is a proxy
that the configuration names: then what it says about its client is believed.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from litellm_hybrid.message.credentials import Headers

type Networks = Iterable[IPv4Network | IPv6Network]

_FORWARDED_FOR = b"x-forwarded-for"

_LONGEST = 64
"""Characters of an address: 45 at most, and room for a zone (`fe80::1%eth0`)."""

_NAMING = frozenset({_FORWARDED_FOR, b"forwarded", b"x-real-ip"})
_SIGNS = _NAMING | {b"via", b"cf-connecting-ip", b"true-client-ip", b"x-client-ip"}
_SIGN_PREFIXES = (b"x-forwarded-", b"x-envoy-")


@dataclass(slots=True)
class ClientAddress:
    """Who a request comes from, as far as it can be known.

    Attributes:
        ip: the client's address; of the nearest hop where no proxy is trusted.
        is_loopback: whether it is a program on this machine, without anything in between that shows.
    """

    ip: str
    is_loopback: bool


def find(peer: str, headers: Headers, trusted: Networks) -> ClientAddress:
    """The client behind a connection; X-Forwarded-For is believed of proxies that are trusted."""
    if is_forwarded(headers):
        return ClientAddress(_nearest_stranger(peer, headers, tuple(trusted)), is_loopback=False)
    return ClientAddress(peer, is_loopback=is_loopback(peer))


def is_forwarded(headers: Headers) -> bool:
    """Whether a request shows that it came through something, whatever it was."""
    for field, _ in headers:
        name = field.lower()
        if name in _SIGNS or name.startswith(_SIGN_PREFIXES):
            return True
    return False


def _nearest_stranger(peer: str, headers: Headers, networks: tuple[IPv4Network | IPv6Network, ...]) -> str:
    """The nearest address that nobody vouches for; what X-Forwarded-For has before it may be made up."""
    nearest = peer
    hops = [
        hop.strip()
        for name, value in headers
        if name.lower() == _FORWARDED_FOR
        for hop in value.decode("utf-8", "surrogateescape").split(",")
    ]
    while hops and _is_in(nearest, networks):
        hop = without_port(hops.pop())
        if _parse(hop) is None or not hop.isascii():  # a name says nothing, and a zone may be any bytes
            return peer
        nearest = hop
    return nearest


def put(headers: Headers, ip: str) -> Headers:
    """Headers that name this client and no other; upstream believes them."""
    kept = [field for field in headers if field[0].lower() not in _NAMING]
    return (*kept, (b"X-Forwarded-For", ip.encode())) if ip else tuple(kept)


def is_loopback(host: str) -> bool:
    """Whether an address or name is this machine's own: `localhost`, 127.0.0.0/8 or ::1."""
    if host == "127.0.0.1" or host.rstrip(".").lower() == "localhost":
        return True
    address = _parse(host)
    return address is not None and address.is_loopback


def _is_in(ip: str, networks: tuple[IPv4Network | IPv6Network, ...]) -> bool:
    if not networks:
        return False
    address = _parse(ip)
    return address is not None and any(address in network for network in networks)


def _parse(ip: str) -> IPv4Address | IPv6Address | None:
    # Clients write this text, up to a header's 64 KiB: as in uvicorn, what is longer than any address is
    # neither read nor made the key of a cache.
    return _parse_short(ip) if len(ip) <= _LONGEST else None


@lru_cache(maxsize=1024)
def _parse_short(ip: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(ip.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        return address.ipv4_mapped
    return address


def without_port(host: str) -> str:
    """A host without its port and brackets; some proxies name clients so: `[2001:db8::1]:4711`."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0] if host.count(":") == 1 else host
