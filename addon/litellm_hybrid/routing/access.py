"""May this client spend the LiteLLM key?

A program on this machine may, and whoever presents a client key. A web page in
a browser on this machine must not: it shows by its `Origin`, or by a `Host`
that is no loopback name (DNS rebinding).
"""

import hmac
import json
from collections.abc import Iterable
from dataclasses import dataclass

from litellm_hybrid.config.settings import Settings
from litellm_hybrid.message.forwarded import is_loopback

__all__ = [
    "AccessDenied",
    "Client",
    "check",
    "check_management",
    "check_own_page",
    "host_name",
    "is_loopback",
]


@dataclass(frozen=True, slots=True)
class AccessDenied:
    """Why a request is not served.

    Attributes:
        status: 401 where a client key would help, 403 where the client sent one that is not known, 413 for
            a body that is too long.
        message: what happened and what to do, for the client's user.
        error: the error's name in the JSON.
    """

    status: int
    message: str
    error: str = "litellm_access_refused"

    def body(self) -> bytes:
        """The refusal as the JSON that the client gets."""
        return json.dumps({"error": self.error, "message": self.message}).encode()


@dataclass(frozen=True, slots=True)
class Client:
    """What is known of who sent a request.

    Attributes:
        ip: the address it came from.
        host: the Host header as the client sent it, "" if it sent none.
        origin: whether there was an Origin header.
        keys: the client keys it presented.
        forwarded: it came through another proxy that is not trusted to say for whom.
    """

    ip: str
    host: str
    origin: bool
    keys: tuple[str, ...]
    forwarded: bool = False


def check(settings: Settings, client: Client) -> AccessDenied | None:
    """None if this client may spend the LiteLLM key.

    `listen-without-keys` opens it for other machines, not for web pages. Without a key of ours the
    client's own goes along and LiteLLM checks it: nothing of ours is spent.
    """
    if settings.api_key is None and not settings.no_auth:
        return None
    if _knows(settings, client.keys):
        return None
    elsewhere = client.forwarded or not is_loopback(client.ip)
    if settings.listen_without_keys and elsewhere and not client.origin:
        return None
    if client.forwarded:
        where = "through another proxy, which is not among trusted-proxies"
    elif not is_loopback(client.ip):
        where = "this address is not the proxy's own machine"
    elif client.origin:
        where = "it has an Origin header, as requests of web pages have"
    elif not is_loopback(host_name(client.host)):
        where = f"its Host header, {client.host!r}, is no loopback name"
    else:
        return None
    if not settings.client_keys:
        advice = "set client-api-keys in the configuration of litellm-hybrid and send one of them"
    else:
        advice = "send one of the configured client keys, for example as `Authorization: Bearer …`"
    known = "without a known client key" if client.keys else "without a client key"
    return AccessDenied(
        403 if client.keys else 401,
        f"This request would be served by LiteLLM, but came {known} and {where}: {advice}.",
    )


def check_management(client: Client) -> AccessDenied | None:
    """None if this client may use CLIProxyAPI's management; to upstream every client looks local."""
    if is_loopback(client.ip) and not client.forwarded:
        return None
    return AccessDenied(403, "CLIProxyAPI's management is only reachable from the proxy's own machine.")


def check_own_page(settings: Settings, client: Client) -> AccessDenied | None:
    """None if this client may see the proxy's own pages: a program on this machine, or with a client key."""
    local = is_loopback(client.ip) and not client.forwarded
    if _knows(settings, client.keys) or (local and not client.origin and is_loopback(host_name(client.host))):
        return None
    return AccessDenied(
        403,
        "The proxy's own pages are for programs on its own machine (with a Host like localhost) "
        "and for clients that send one of client-api-keys.",
    )


def _knows(settings: Settings, presented: Iterable[str]) -> bool:
    known = False
    for key in presented:
        for client_key in settings.client_keys:
            # No early end: the time taken must not tell which key was nearly right.
            known |= hmac.compare_digest(
                key.encode("utf-8", "surrogateescape"), client_key.value.encode("utf-8", "surrogateescape")
            )
    return known


def host_name(host: str) -> str:
    """The name in a Host header's value, without port and brackets."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0] if host.count(":") == 1 else host
