"""What the doctor asks of whom. Nothing here reaches a model or spends anything.

LiteLLM's `/health` is never asked: it calls the models. A bad request to
CLIProxyAPI's management counts towards a ban of the address it comes from, so its
version is asked in the name of one that nobody has.
"""

from litellm_hybrid.config.settings import Address, Settings
from litellm_hybrid.diagnostics.doctor.probe_result import Ask, Fields

_NOBODY = ("X-Forwarded-For", "192.0.2.1")
"""CLIProxyAPI believes this header; the address is kept for documentation (RFC 5737)."""

_LOOPBACK = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104

ALIVE = "/health/liveliness"


def here(settings: Settings) -> Address:
    """Where a program of this machine reaches the proxy, if it runs."""
    host, port = settings.listen
    return Address("http", _LOOPBACK.get(host, host), port)


def listening(settings: Settings) -> str:
    """`host:port` where the proxy listens."""
    host, port = settings.listen
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def bearer(key: str) -> Fields:
    """A key, presented as every server here takes it."""
    return (("Authorization", f"Bearer {key}"),)


def client_key(settings: Settings) -> Fields:
    """The first client key, presented; () if there is none."""
    return bearer(settings.client_keys[0].value) if settings.client_keys else ()


def asks(settings: Settings) -> dict[str, Ask]:
    """Name → request, for everything that these settings name."""
    ourselves, upstream = here(settings), settings.upstream
    key = client_key(settings)
    planned = {
        "listen-health": Ask(ourselves, "/_hybrid/health"),
        "listen-root": Ask(ourselves, "/"),
        "upstream-root": Ask(upstream, "/"),
        "upstream-alive": Ask(upstream, ALIVE),
        "upstream-open": Ask(upstream, "/v1/models"),
        "upstream-provider": Ask(upstream, "/api/provider/openai/v1/models", headers=key),
        "upstream-version": Ask(upstream, "/v0/management/debug", headers=(_NOBODY,)),
    }
    if key:
        planned["upstream-models"] = Ask(upstream, "/v1/models", headers=key)
    if settings.base_url is not None:
        planned |= _of_litellm(settings, settings.base_url)
    return planned


def _of_litellm(settings: Settings, address: Address) -> dict[str, Ask]:
    planned = {
        "litellm-alive": Ask(address, ALIVE),
        "litellm-ready": Ask(address, "/health/readiness"),
        "litellm-root": Ask(address, "/"),
        "litellm-open": Ask(address, _MODELS),
    }
    if address.path:
        planned["litellm-bare"] = Ask(Address(address.scheme, address.host, address.port), ALIVE)
    if settings.api_key is not None:
        key = bearer(settings.api_key.value)
        planned["litellm-models"] = Ask(address, _MODELS, headers=key)
        planned["litellm-details"] = Ask(address, "/health/readiness/details", headers=key)
    return planned


_MODELS = "/v1/models?return_wildcard_routes=True"
