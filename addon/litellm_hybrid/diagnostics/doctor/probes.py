"""What the doctor asks of a server, and what it met there: plain values, no I/O."""

import json
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

from litellm_hybrid.config.settings import Address, Settings
from litellm_hybrid.diagnostics.doctor.http_client import Fields, Probe, ProbeResponse, ProbeResult

LIVELINESS = "/health/liveliness"
_LOOPBACK = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104


type Results = Mapping[str, ProbeResult]
"""By the names of `plan`."""


class Program(StrEnum):
    """Which program a response comes from."""

    CLIPROXYAPI = "CLIProxyAPI"
    LITELLM = "LiteLLM"
    OURSELVES = "litellm-hybrid"
    UNKNOWN = "another program"


def identify(*results: ProbeResult | None) -> Program | None:
    """Tell whose responses these are: those of one server to `GET /` and `GET /health/liveliness`.

    CLIProxyAPI introduces itself at `/` (internal/api/server.go, setupRoutes), LiteLLM at both
    (health_endpoints). None: there is no response among them.
    """
    responses = [each for each in results if isinstance(each, ProbeResponse)]
    for response in responses:
        if response.header("x-hybrid-route"):
            return Program.OURSELVES
        value = response.json
        if isinstance(value, dict) and str(value.get("message")).startswith("CLI Proxy API"):
            return Program.CLIPROXYAPI
        if value in ("I'm alive!", "LiteLLM: RUNNING"):
            return Program.LITELLM
        if is_safe_mode(response) or "X-CPA-" in response.header("access-control-expose-headers").upper():
            return Program.CLIPROXYAPI
    return Program.UNKNOWN if responses else None


def is_safe_mode(*results: ProbeResult | None) -> bool:
    """Tell whether CLIProxyAPI refuses to serve because its `api-keys` are those of its example file.

    v7.2 says so in a header of each refusal, v7.1 answers 404 and says it only on the page at `/`.
    """
    responses = [each for each in results if isinstance(each, ProbeResponse)]
    return any(
        each.header("x-cpa-safe-mode") or b"<title>Example API key detected" in each.body
        for each in responses
    )


PROVIDER_MODELS = "/api/provider/openai/v1/models"
"""Tells whether CLIProxyAPI has Amp's routes: without a key 401 or 200 in v6.10 and v7.1, 404 in v7.2.

HEAD is 404 and OPTIONS is 204 in all of them.
"""


def lacks_provider_routes(result: ProbeResult) -> bool | None:
    """Tell by its response to `GET PROVIDER_MODELS` whether it has no routes of Amp's; None: not known."""
    status = result.status if isinstance(result, ProbeResponse) else 0
    return status == 404 if status in (200, 401, 404) else None


class VersionInfo(NamedTuple):
    """What could be told of CLIProxyAPI's version.

    Attributes:
        version: as it says it, or "".
        since_7_2: whether it has no routes below `/api/provider/`, which 7.2 removed; None: not known.
    """

    version: str
    since_7_2: bool | None

    @classmethod
    def of(cls, results: Results) -> "VersionInfo":
        """Tell which CLIProxyAPI it is."""
        version = response_to("upstream-version", results).header("x-cpa-version")
        return cls(version, lacks_provider_routes(response_to("upstream-provider", results)))

    def __str__(self) -> str:
        words = {True: "7.2 or newer", False: "older than 7.2", None: "unknown"}
        return self.version or words[self.since_7_2]


def models(server: str, results: Results) -> tuple[str, ...] | None:
    """Return what `upstream` or `litellm` lists, wildcard routes too; None: it shows it to nobody here."""
    keyed = response_to(f"{server}-models", results).model_ids
    return response_to(f"{server}-open", results).model_ids if keyed is None else keyed


def response_to(name: str, results: Results) -> ProbeResponse:
    """Return the response to a probe, or an empty one of status 0 where there is none."""
    result = results.get(name)
    return result if isinstance(result, ProbeResponse) else ProbeResponse(0)


def some(names: Sequence[str], most: int = 5) -> str:
    """Name a few, each once."""
    names = list(dict.fromkeys(names))
    return ", ".join((*names[:most], *(["…"] if len(names) > most else [])))


def proxy_address(settings: Settings) -> Address:
    """Return where a program of this machine reaches the proxy, if it runs."""
    host, port = settings.listen
    return Address("http", _LOOPBACK.get(host, host), port)


def listen_text(settings: Settings) -> str:
    """Return `host:port` where the proxy listens."""
    host, port = settings.listen
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def bearer(key: str) -> Fields:
    """Present a key as every server here takes it; () for ""."""
    return (("Authorization", f"Bearer {key}"),) if key else ()


def client_key(settings: Settings) -> str:
    """Return the first client key; "" if there is none."""
    return settings.client_keys[0].value if settings.client_keys else ""


def plan(settings: Settings) -> dict[str, Probe]:
    """Plan the requests to everything that these settings name; none reaches a model or spends anything.

    LiteLLM's `/health` is never asked: it calls the models. A bad request to CLIProxyAPI's management
    counts towards a ban of the address it comes from, so its version is asked in the name of one that
    nobody has: it believes X-Forwarded-For, and RFC 5737 keeps 192.0.2.1 for documentation.
    """
    upstream, key = settings.upstream, bearer(client_key(settings))
    here = proxy_address(settings)
    planned = {
        "listen-health": Probe(here, "/_hybrid/health"),
        "listen-root": Probe(here, "/"),
        "upstream-root": Probe(upstream, "/"),
        "upstream-alive": Probe(upstream, LIVELINESS),
        "upstream-open": Probe(upstream, "/v1/models"),
        "upstream-provider": Probe(upstream, PROVIDER_MODELS, headers=key),
        "upstream-version": Probe(
            upstream, "/v0/management/debug", headers=(("X-Forwarded-For", "192.0.2.1"),)
        ),
    }
    if key:
        planned["upstream-models"] = Probe(upstream, "/v1/models", headers=key)
    if settings.base_url is not None:
        planned |= _of_litellm(settings, settings.base_url)
    return planned


def _of_litellm(settings: Settings, address: Address) -> dict[str, Probe]:
    models = "/v1/models?return_wildcard_routes=True"
    planned = {
        "litellm-alive": Probe(address, LIVELINESS),
        "litellm-ready": Probe(address, "/health/readiness"),
        "litellm-root": Probe(address, "/"),
        "litellm-open": Probe(address, models),
    }
    if address.path:
        planned["litellm-bare"] = Probe(Address(address.scheme, address.host, address.port), LIVELINESS)
    key = bearer(settings.api_key.value) if settings.api_key else ()
    if key:
        planned["litellm-models"] = Probe(address, models, headers=key)
        planned["litellm-details"] = Probe(address, "/health/readiness/details", headers=key)
    if key or settings.no_auth:
        planned["litellm-info"] = Probe(address, "/model/info", headers=key)
        fields = (*key, ("Content-Type", "application/json"))
        planned["litellm-transform"] = Probe(address, TRANSFORM, "POST", fields, _TRANSFORMED)
    return planned


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
