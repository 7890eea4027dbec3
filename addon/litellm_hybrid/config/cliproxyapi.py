"""What CLIProxyAPI's own settings say, if the file is its config.yaml: its address, its keys, and its waits.

They are CLIProxyAPI's: read as they are, without `${VAR}`, and never an error.
"""

import re
from collections.abc import Iterator, Mapping

from litellm_hybrid.config.converters import flag, parse_listen
from litellm_hybrid.config.settings import Address, Secret
from litellm_hybrid.config.yaml_nodes import BadValueError, Diagnostic, Value

UPSTREAM_KEYS = frozenset({"host", "port", "tls", "api-keys"})
"""The top-level keys of CLIProxyAPI that the settings depend on."""

HINT_KEYS = frozenset({"max-retry-interval", "nonstream-keepalive-interval", "passthrough-headers"})
"""Those that only have a word for the user."""

TEMPLATE_KEY = re.compile(r"your-api-key(-\d+)?")
"""The `api-keys` of CLIProxyAPI's config.example.yaml: everybody knows them."""

IS_TEMPLATE = "is a key of CLIProxyAPI's example file, which everybody knows; put keys of your own there"

_DEFAULT = Address("http", "127.0.0.1", 8317)
_EVERY_INTERFACE = ("", "0.0.0.0", "::", "[::]")  # noqa: S104


def upstream_address(top: Mapping[str, Value]) -> Address:
    """CLIProxyAPI's address by its `host`, `port` and `tls.enable`; what is missing or odd is the default."""
    host = top["host"].name.strip() if "host" in top else ""
    if host in _EVERY_INTERFACE:
        host = _DEFAULT.host
    if ":" in host and not host.startswith("["):
        host = f"[{host}]"
    port = top["port"].name if "port" in top else str(_DEFAULT.port)
    try:
        tls = {key.name: value for key, value in top["tls"].pairs()} if "tls" in top else {}
        scheme = "https" if "enable" in tls and flag(tls["enable"]) else _DEFAULT.scheme
        return Address(scheme, *parse_listen(f"{host}:{port}"))
    except ValueError:
        return _DEFAULT


def upstream_client_keys(top: Mapping[str, Value]) -> tuple[tuple[Secret, ...], tuple[Diagnostic, ...]]:
    """The client keys in CLIProxyAPI's `api-keys`, and what is wrong with it."""
    found: list[Diagnostic] = []
    return tuple(_keys(top, found)), tuple(found)


def _keys(top: Mapping[str, Value], found: list[Diagnostic]) -> Iterator[Secret]:
    entries = top.get("api-keys")
    if entries is None or entries.is_null:
        return
    try:
        items = list(entries.items())
    except BadValueError:
        message = "is no list; no client key is read from it"
        found.append(Diagnostic(entries.line, "api-keys", message, "unreadable-client-key"))
        return
    for item in items:
        if item.tag == "str" and item.node.value.strip():
            key = item.node.value.strip()
            if TEMPLATE_KEY.fullmatch(key):
                found.append(Diagnostic(item.line, "api-keys", IS_TEMPLATE))
            else:
                yield Secret(key)
        else:
            message = "an entry that is no text is left out; quote it"
            found.append(Diagnostic(item.line, "api-keys", message, "unreadable-client-key"))


def upstream_hints(top: Mapping[str, Value]) -> Iterator[Diagnostic]:
    """What CLIProxyAPI's settings could say better for a proxy in front of it.

    Args:
        top: those of its keys that the file has; none: the file is not CLIProxyAPI's.
    """
    if not top:
        return
    wait = top.get("max-retry-interval")
    if wait is not None and _is_above_zero(wait):
        message = (
            f"{wait.name}: CLIProxyAPI tries again for up to half a minute before it fails, and "
            "clients wait that long to fall back; `max-retry-interval: 0`, other accounts are still tried"
        )
        yield Diagnostic(wait.line, "max-retry-interval", message, "upstream-retries")
    blank = top.get("nonstream-keepalive-interval")
    if blank is not None and _is_above_zero(blank):
        message = (
            f"{blank.name}: CLIProxyAPI tells every failure of a whole request under status 200; "
            "`nonstream-keepalive-interval: 0`, so that failures have their status"
        )
        yield Diagnostic(blank.line, "nonstream-keepalive-interval", message, "upstream-keepalive")
    passed = top.get("passthrough-headers")
    if passed is None or passed.name.strip().lower() not in ("true", "yes", "on"):
        message = (
            "CLIProxyAPI keeps the providers' headers to itself, which say how much of a quota is used; "
            "`passthrough-headers: true`"
        )
        line = passed.line if passed is not None else 0
        yield Diagnostic(line, "passthrough-headers", message, "upstream-headers")


def _is_above_zero(value: Value) -> bool:
    try:
        return float(value.name) > 0
    except ValueError:
        return False
