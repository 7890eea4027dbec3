"""What the doctor asks of the servers, and which program a response comes from: plain values, no I/O."""

import json
from collections.abc import Iterable
from enum import StrEnum
from typing import Any

from litellm_hybrid.config.settings import Address, Settings
from litellm_hybrid.diagnostics.doctor.http_client import Probe, ProbeResult, bearer

ALIVE = "/health/liveliness"
TRANSFORM = "/utils/transform_request"
"""Shows what LiteLLM would send to a provider, and sends nothing (proxy_server.py, transform_request)."""

_TRANSFORMED = json.dumps(
    {
        "call_type": "completion",
        "request_body": {
            "model": "anthropic/claude-sonnet-4-5",
            "messages": [{"role": "user", "content": "hi"}],
            "prompt_cache_key": "doctor",
        },
    }
).encode()
"""`prompt_cache_key` is Codex's, and Anthropic does not know it: refused unless `drop_params` is on."""

PROVIDER_MODELS = "/api/provider/openai/v1/models"
"""Tells whether CLIProxyAPI has Amp's routes: without a key 401 or 200 in v6.10 and v7.1, 404 in v7.2.

HEAD is 404 and OPTIONS is 204 in all of them.
"""

_LOOPBACK = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104


type Backends = list[tuple[str, dict[str, Any]]]
"""(name, `litellm_params`) of each entry of LiteLLM's model_list."""


def backends_of(entries: Iterable[object]) -> Backends:
    """Return what the entries of a model_list, or of `/model/info`, say; what is none is left out."""
    return [
        (str(entry.get("model_name")), params)
        for entry in entries
        if isinstance(entry, dict) and isinstance(params := entry.get("litellm_params"), dict)
    ]


class Results(dict[str, ProbeResult]):
    """What the probes met, by their names in `plan`; an empty result for one that was not sent."""

    def __missing__(self, name: str) -> ProbeResult:
        return ProbeResult()

    def models(self, server: str) -> tuple[str, ...] | None:
        """Return what `upstream` or `litellm` lists, wildcard routes too; None: it does not show it."""
        keyed = self[f"{server}-models"].model_ids
        return self[f"{server}-open"].model_ids if keyed is None else keyed


class Program(StrEnum):
    """Which program a response comes from."""

    CLIPROXYAPI = "CLIProxyAPI"
    LITELLM = "LiteLLM"
    OURSELVES = "litellm-hybrid"
    UNKNOWN = "another program"


def identify(*results: ProbeResult) -> Program:
    """Tell whose responses these are: those of one server to `GET /` and `GET /health/liveliness`.

    CLIProxyAPI introduces itself at `/` (internal/api/server.go, setupRoutes), LiteLLM at both
    (health_endpoints).
    """
    for result in results:
        if result.header("x-hybrid-route"):
            return Program.OURSELVES
        if result.json in ("I'm alive!", "LiteLLM: RUNNING"):
            return Program.LITELLM
        exposed = result.header("access-control-expose-headers").upper()
        introduced = str(result.member("message")).startswith("CLI Proxy API")
        if introduced or "X-CPA-" in exposed or is_safe_mode(result):
            return Program.CLIPROXYAPI
    return Program.UNKNOWN


def is_safe_mode(*results: ProbeResult) -> bool:
    """Tell whether CLIProxyAPI refuses to serve because its `api-keys` are those of its example file.

    v7.2 says so in a header of each refusal, v7.1 answers 404 and says it only on the page at `/`.
    """
    title = b"<title>Example API key detected"
    return any(each.header("x-cpa-safe-mode") or title in each.body for each in results)


def lacks_provider_routes(result: ProbeResult) -> bool | None:
    """Tell by its response to `GET PROVIDER_MODELS` whether it has no routes of Amp's; None: not known."""
    return result.status == 404 if result.status in (200, 401, 404) else None


def proxy_address(settings: Settings) -> Address:
    """Return where a program of this machine reaches the proxy, if it runs."""
    host, port = settings.listen
    return Address("http", _LOOPBACK.get(host, host), port)


def client_key(settings: Settings) -> str:
    """Return the first client key; "" if there is none."""
    return settings.client_keys[0].value if settings.client_keys else ""


def litellm_key(settings: Settings) -> str:
    """Return the key that LiteLLM gets; "" if there is none."""
    return settings.api_key.value if settings.api_key else ""


def plan(settings: Settings) -> dict[str, Probe]:
    """Plan the requests to everything that these settings name; none reaches a model or spends anything.

    LiteLLM's `/health` is never asked: it calls the models. A bad request to CLIProxyAPI's management
    counts towards a ban of the address it comes from, so its version is asked in the name of one that
    nobody has: it believes X-Forwarded-For, and RFC 5737 keeps 192.0.2.1 for documentation.
    """
    upstream, key = settings.upstream, bearer(client_key(settings))
    nobody = (("X-Forwarded-For", "192.0.2.1"),)
    planned = {
        "listen-health": Probe(proxy_address(settings), "/_hybrid/health"),
        "listen-root": Probe(proxy_address(settings), "/"),
        "upstream-root": Probe(upstream, "/"),
        "upstream-alive": Probe(upstream, ALIVE),
        "upstream-open": Probe(upstream, "/v1/models"),
        "upstream-provider": Probe(upstream, PROVIDER_MODELS, headers=key),
        "upstream-version": Probe(upstream, "/v0/management/debug", headers=nobody),
    }
    if key:
        planned["upstream-models"] = Probe(upstream, "/v1/models", headers=key)
    if settings.base_url is not None:
        planned |= _of_litellm(settings, settings.base_url)
    return planned


def _of_litellm(settings: Settings, address: Address) -> dict[str, Probe]:
    models = "/v1/models?return_wildcard_routes=True"
    key = bearer(litellm_key(settings))
    planned = {
        "litellm-alive": Probe(address, ALIVE),
        "litellm-ready": Probe(address, "/health/readiness"),
        "litellm-root": Probe(address, "/"),
        "litellm-open": Probe(address, models),
    }
    if address.path:
        planned["litellm-bare"] = Probe(Address(address.scheme, address.host, address.port), ALIVE)
    if key:
        planned["litellm-models"] = Probe(address, models, headers=key)
        planned["litellm-details"] = Probe(address, "/health/readiness/details", headers=key)
    if key or settings.no_auth:
        fields = (*key, ("Content-Type", "application/json"))
        planned["litellm-info"] = Probe(address, "/model/info", headers=key)
        planned["litellm-transform"] = Probe(address, TRANSFORM, "POST", fields, _TRANSFORMED)
    return planned
