"""What CLIProxyAPI's own settings say, if the file is its config.yaml: its address and its client keys.

They are CLIProxyAPI's: read as they are, without `${VAR}`, and never an error.
"""

from collections.abc import Iterator, Mapping

from litellm_hybrid.config.addresses import parse_listen
from litellm_hybrid.config.converters import flag
from litellm_hybrid.config.settings import Address, Secret
from litellm_hybrid.config.validation import Diagnostic
from litellm_hybrid.config.yaml_nodes import BadValueError, Value

UPSTREAM_KEYS = frozenset({"host", "port", "tls", "api-keys"})
"""The top-level keys of CLIProxyAPI that are read here."""

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
    """The client keys in CLIProxyAPI's `api-keys`, and a warning for each entry that is none."""
    warnings: list[Diagnostic] = []
    keys = tuple(_keys(top, warnings))
    return keys, tuple(warnings)


def _keys(top: Mapping[str, Value], warnings: list[Diagnostic]) -> Iterator[Secret]:
    entries = top.get("api-keys")
    if entries is None or entries.is_null:
        return
    try:
        items = list(entries.items())
    except BadValueError:
        message = "is no list; no client key is read from it"
        warnings.append(Diagnostic(entries.line, "api-keys", message, "unreadable-client-key"))
        return
    for item in items:
        if item.is_text and item.node.value.strip():
            yield Secret(item.node.value.strip())
        else:
            message = "an entry that is no text is left out; quote it"
            warnings.append(Diagnostic(item.line, "api-keys", message, "unreadable-client-key"))
