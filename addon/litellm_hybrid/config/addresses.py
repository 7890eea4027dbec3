"""Addresses in the configuration: URLs of servers, where to listen, and whether two are the same server."""

import re
from ipaddress import IPv6Address, ip_address
from urllib.parse import urlsplit

from litellm_hybrid.config.settings import Address

_DEFAULT_PORTS = {"http": 80, "https": 443}
_HOST_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?")
_LISTEN = re.compile(r"(?:(?P<host>\[[0-9A-Fa-f.]*:[0-9A-Fa-f.:]*\]|[^\[\]:]*):)?(?P<port>[0-9]{1,5})")


def parse_url(text: str) -> Address:
    """The address in an http(s) URL; its path prefix stays, without a trailing slash.

    Raises:
        ValueError: what is wrong with the URL. The message repeats nothing of it: it may hold a password.
    """
    if any(not "!" <= char <= "~" for char in text):
        raise ValueError("a URL has only visible ASCII characters")
    if "@" in text:
        raise ValueError("no user name or password here; LiteLLM's key goes into api-key")
    if "?" in text or "#" in text:
        raise ValueError("no query and no fragment here")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as e:
        raise ValueError("the host or the port is malformed") from e
    if parts.scheme not in _DEFAULT_PORTS or not parts.netloc:
        raise ValueError("it must start with http:// or https://")
    if not parts.hostname or not _is_host(parts.hostname) or port == 0:
        raise ValueError("the host or the port is missing or malformed")
    return Address(parts.scheme, parts.hostname, port or _DEFAULT_PORTS[parts.scheme], parts.path.rstrip("/"))


def parse_listen(text: str) -> tuple[str, int]:
    """The host and port in `host:port`; without a host it is 127.0.0.1, never every interface.

    Raises:
        ValueError: it is not an address to listen on.
    """
    match = _LISTEN.fullmatch(text)
    if not match or not 1 <= int(match["port"]) <= 65535:
        raise ValueError("the port is missing or not 1 to 65535; an IPv6 address stands in brackets")
    host = (match["host"] or "127.0.0.1").removeprefix("[").removesuffix("]")
    if not _is_host(host):
        raise ValueError("the host is malformed")
    return host, int(match["port"])


def same_server(a: Address, b: Address) -> bool:
    """Whether two addresses reach the same port of the same host.

    Every name of the local host is equal: localhost, 127.0.0.0/8, ::1, and 0.0.0.0 and :: too,
    which as an address to listen on include it.
    """
    return a.port == b.port and _canonical(a.host) == _canonical(b.host)


def _canonical(host: str) -> str:
    name = host.lower().rstrip(".")
    try:
        ip = ip_address(name)
    except ValueError:
        return name
    if isinstance(ip, IPv6Address) and ip.ipv4_mapped:
        ip = ip.ipv4_mapped
    return "localhost" if ip.is_loopback or ip.is_unspecified else str(ip)


def _is_host(host: str) -> bool:
    if ":" not in host:
        # Longer or empty labels cannot be looked up (RFC 1035, 2.3.4).
        labels = host.removesuffix(".").split(".")
        return _HOST_NAME.fullmatch(host) is not None and all(0 < len(label) < 64 for label in labels)
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
