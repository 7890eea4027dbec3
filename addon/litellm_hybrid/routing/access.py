"""May this client spend the LiteLLM key, and may it reach this path of upstream's?

With client keys configured, whoever presents one may spend the key; without any, the programs on this
machine may. A web page in a browser on this machine must not: it shows by its `Origin` or `Sec-Fetch-Site`,
or by a `Host` that is no loopback name (DNS rebinding). Upstream's own gates look at the address that a
connection comes from, which is this proxy's: what they keep for local programs is kept here.
"""

import hmac
import json
from collections.abc import Iterable
from dataclasses import dataclass

from litellm_hybrid.config.settings import Secret, Settings
from litellm_hybrid.message.forwarded import is_loopback, without_port
from litellm_hybrid.routing import paths
from litellm_hybrid.routing.paths import Exposure


@dataclass(frozen=True, slots=True)
class AccessDenied:
    """Why a request is not served, for the client's user.

    Attributes:
        status: 401 where a client key would help, 403 where the client sent one that is not known or none
            would help, 413 for a body that is too long, 415 for one in several content codings, 508 for a
            request that goes round in a circle.
    """

    status: int
    message: str
    error: str = "litellm_access_refused"

    def body(self) -> bytes:
        """The refusal as the JSON that the client gets."""
        return json.dumps({"error": self.error, "message": self.message}).encode()


@dataclass(slots=True)
class Client:
    """What is known of who sent a request.

    Attributes:
        ip: the address it came from.
        host: the Host header as the client sent it, "" if it sent none.
        origin: whether it is a web page's: it has an Origin header, or comes from another site.
        keys: the client keys it presented.
        forwarded: it came to this machine through another proxy.
        foreign: it is a page's that this machine does not serve.
    """

    ip: str
    host: str
    origin: bool
    keys: tuple[str, ...]
    forwarded: bool = False
    foreign: bool = False

    @property
    def is_here(self) -> bool:
        """Whether it is on this machine, without anything in between."""
        return not self.forwarded and is_loopback(self.ip)


def check(settings: Settings, client: Client) -> AccessDenied | None:
    """None if this client may spend the LiteLLM key.

    `listen-without-keys` opens it for other machines, not for web pages. Without a key of ours the client's
    own goes along and LiteLLM checks it: nothing of ours is spent.
    """
    if settings.api_key is None and not settings.no_auth:
        return None
    keyed = bool(settings.client_keys)
    if keyed and _knows(settings.client_keys, client.keys):
        return None
    if settings.listen_without_keys and not keyed and not client.is_here and not client.origin:
        return None
    if client.forwarded:
        where = "through another proxy"
    elif not client.is_here:
        where = "this address is not the proxy's own machine"
    elif client.origin:
        where = "it is a web page's, by its Origin or Sec-Fetch-Site header"
    elif not is_loopback(without_port(client.host)):
        where = f"its Host header, {client.host!r}, is no loopback name"
    elif keyed and not settings.local_without_key:
        where = "client keys are configured, so this machine's programs need one too"
    else:
        return None
    if not keyed:
        advice = "set client-api-keys in the configuration of litellm-hybrid and send one of them"
    else:
        advice = "send one of the configured client keys, for example as `Authorization: Bearer …`"
    known = "without a known client key" if client.keys else "without a client key"
    return AccessDenied(
        403 if client.keys else 401,
        f"This request would be served by LiteLLM, but came {known} and {where}: {advice}.",
    )


def check_upstream(settings: Settings, client: Client, method: str, path: str) -> AccessDenied | None:
    """None if this client may reach this path of upstream's, to which every client looks local."""
    exposure = paths.exposure(method, path)
    if exposure is Exposure.ANYBODY or paths.is_opened(path, settings.upstream_paths):
        return None
    if client.is_here:
        own = not client.foreign and is_loopback(without_port(client.host))
        if own or exposure is Exposure.CLIENTS:
            return None
        return AccessDenied(403, "This path is not for web pages that this machine does not serve.")
    if exposure is Exposure.CLIENTS:
        # CLIProxyAPI's own keys open what is its own, although they may not spend LiteLLM's.
        if not settings.client_keys or _knows((*settings.client_keys, *settings.upstream_keys), client.keys):
            return None
        return AccessDenied(
            403 if client.keys else 401,
            "Send one of the configured client keys, for example as `Authorization: Bearer …`.",
        )
    return AccessDenied(
        403,
        "This path is only reachable from the proxy's own machine; upstream-paths in the configuration of "
        "litellm-hybrid opens it.",
    )


def check_own_page(settings: Settings, client: Client) -> AccessDenied | None:
    """None if this client may see the proxy's own pages: a program on this machine, or with a client key."""
    local = client.is_here and not client.origin and is_loopback(without_port(client.host))
    if _knows(settings.client_keys, client.keys) or local:
        return None
    return AccessDenied(
        403,
        "The proxy's own pages are for programs on its own machine (with a Host like localhost) "
        "and for clients that send one of client-api-keys.",
    )


def _knows(client_keys: Iterable[Secret], presented: Iterable[str]) -> bool:
    known = False
    for key in presented:
        for client_key in client_keys:
            # No early end: the time taken must not tell which key was nearly right.
            known |= hmac.compare_digest(
                key.encode("utf-8", "surrogateescape"), client_key.value.encode("utf-8", "surrogateescape")
            )
    return known
