"""What is at `base-url`: LiteLLM or not, ready or not, whether it takes the key, and where it leads."""

from collections.abc import Mapping

from litellm_hybrid.config.addresses import parse_url, same_server
from litellm_hybrid.config.settings import Address, Settings
from litellm_hybrid.diagnostics.doctor import servers
from litellm_hybrid.diagnostics.doctor.probes import (
    LIVELINESS,
    ConnectFailure,
    ProbeResponse,
    ProbeResult,
    Program,
    identify,
    proxy_address,
)
from litellm_hybrid.diagnostics.doctor.report import Finding, error, not_checked, ok, warning
from litellm_hybrid.diagnostics.doctor.servers import Server

_REFUSED = frozenset({400, 401, 403})
"""A wrong key is 401; without a database, where keys would be looked up, 400."""

_GIVE_KEY = "`api-key: ${LITELLM_API_KEY}`, with the `master_key` of LiteLLM's `general_settings` in it"
_KNOW_THEM = ("openai/", "azure/", "gpt-")
"""Backends that know what agents of OpenAI's send; the last is LiteLLM's guess for a bare name."""


def check(settings: Settings, results: Mapping[str, ProbeResult]) -> list[Finding]:
    """Look at everything about LiteLLM but its models' names; `base-url` may be missing."""
    if settings.base_url is None:
        cause = "without LiteLLM's address nothing can be routed or replayed there"
        fix = "`base-url: http://127.0.0.1:4000` and `api-key`"
        return [warning("litellm", "base-url is not set: every request goes upstream", cause, fix)]
    server = servers.litellm(settings.base_url)
    alive = results["litellm-alive"]
    if isinstance(alive, ConnectFailure):
        return [servers.unreachable(server, alive)]
    who = identify(alive, results["litellm-root"]) or Program.UNKNOWN
    if (path := _path(server, alive, results)) is not None:
        return [path]
    if (other := servers.another_program(server, who, alive, LIVELINESS)) is not None:
        return [other]
    if who is not Program.LITELLM and alive.status != 503:
        state = f"status {alive.status} from {LIVELINESS}"
        first = warning(
            "litellm",
            f"what answers at {server.address} does not say that it is LiteLLM",
            f"another program, or a proxy that hides it ({state})",
            f"compare with LiteLLM's own address: `base-url: {server.example}`",
        )
    else:
        first = _ready(server, results)
    return [first, _key(settings, results), *_leads(settings, results)]


def version_of(results: Mapping[str, ProbeResult]) -> str:
    """Return LiteLLM's version, or ""; older ones say it without a key."""
    for name in ("litellm-details", "litellm-ready"):
        response = results.get(name)
        value = response.json if isinstance(response, ProbeResponse) else None
        if isinstance(value, dict) and isinstance(version := value.get("litellm_version"), str):
            return version
    return ""


def models(results: Mapping[str, ProbeResult]) -> tuple[str, ...] | None:
    """Return the models and wildcard routes that LiteLLM lists; None: it does not."""
    for name in ("litellm-models", "litellm-open"):
        response = results.get(name)
        if isinstance(response, ProbeResponse) and (ids := response.model_ids) is not None:
            return ids
    return None


def _path(server: Server, alive: ProbeResponse, results: Mapping[str, ProbeResult]) -> Finding | None:
    bare = results.get("litellm-bare")
    if alive.status == 200 and identify(alive) is Program.LITELLM:
        return None
    if bare is None or identify(bare) is not Program.LITELLM:
        return None
    address = server.address
    right = Address(address.scheme, address.host, address.port)
    cause = f"the path `{address.path}` is put before every request's own, and LiteLLM has nothing there"
    return server.error(f"LiteLLM is at {right}, not at {address}", cause, f"`base-url: {right}`")


def _ready(server: Server, results: Mapping[str, ProbeResult]) -> Finding:
    ready = results["litellm-ready"]
    if isinstance(ready, ProbeResponse) and ready.status == 200:
        version = version_of(results)
        return ok("litellm", f"LiteLLM{f' ({version})' if version else ''} is ready at {server.address}")
    return server.error(
        f"LiteLLM at {server.address} is alive, but not ready ({_state(ready)} from /health/readiness)",
        "it is starting or ending, or its database cannot be reached",
        "see LiteLLM's log, and wait until "
        f"`curl --fail {server.address}/health/readiness` succeeds; check its `database_url`",
    )


def _key(settings: Settings, results: Mapping[str, ProbeResult]) -> Finding:  # noqa: PLR0911 (one a case)
    opened, keyed = results["litellm-open"], results.get("litellm-models")
    is_open = isinstance(opened, ProbeResponse) and opened.model_ids is not None
    if settings.no_auth:
        if is_open:
            return ok("api-key", "LiteLLM takes no keys, and `api-key: none` says so")
        if isinstance(opened, ProbeResponse) and opened.status in _REFUSED:
            symptom = f"LiteLLM wants a key ({opened.status}), and `api-key: none` says that it takes none"
            return error("api-key", symptom, "it has a `master_key`", _GIVE_KEY)
        return _unclear(opened)
    if settings.api_key is None:
        return ok(
            "api-key",
            "api-key is not set: each client's own credential goes to LiteLLM",
            "LiteLLM has to know every client's key; a fallback is not possible",
            "`api-key: ${LITELLM_API_KEY}`, or `api-key: none` for a LiteLLM without keys",
        )
    if isinstance(keyed, ProbeResponse) and keyed.model_ids is not None:
        if not is_open:
            return ok("api-key", "LiteLLM accepts the key")
        return ok(
            "api-key",
            "LiteLLM takes requests without a key, although api-key is set",
            "it has no `master_key`: whoever reaches it may use it",
            "set `master_key` in LiteLLM's `general_settings`, or write `api-key: none`",
        )
    if isinstance(keyed, ProbeResponse) and keyed.status in _REFUSED:
        symptom = f"LiteLLM does not accept the key: {keyed.status} {keyed.error}".rstrip()
        cause = "it is neither LiteLLM's master key nor a virtual key in its database, or is spent"
        return error("api-key", symptom, cause, _GIVE_KEY)
    return _unclear(keyed)


def _unclear(result: ProbeResult | None) -> Finding:
    symptom = f"LiteLLM does not list its models: {_state(result)} from /v1/models"
    return warning("api-key", symptom, "so neither the key nor the models could be checked", "see its log")


def _leads(settings: Settings, results: Mapping[str, ProbeResult]) -> list[Finding]:
    """Look at the backends behind LiteLLM's models, where `/model/info` tells them."""
    info = results.get("litellm-info")
    if info is None or models(results) is None:  # there is no key, or it is not accepted
        return []
    entries = info.entries if isinstance(info, ProbeResponse) else None
    if entries is None:
        takes = "an `api-key` that may read LiteLLM's `/model/info`, as its master key may"
        symptom = f"where LiteLLM's models lead is not known: {_state(info)} from /model/info"
        return [not_checked("loops", symptom, takes), *_drop_params(settings, results, None)]
    backends = [
        (str(entry.get("model_name")), params)
        for entry in entries
        if isinstance(params := entry.get("litellm_params"), dict)
    ]
    return [_loops(settings, backends), *_drop_params(settings, results, backends)]


type _Backends = list[tuple[str, dict[str, object]]]


def _loops(settings: Settings, backends: _Backends) -> Finding:
    back = [name for name, params in backends if _leads_to(params, proxy_address(settings))]
    if back:
        return error(
            "loops",
            f"LiteLLM sends {_some(back)} back to this proxy",
            "a request would go round in a circle; the proxy breaks it off at the second round",
            "give these models of LiteLLM's model_list another `api_base`",
        )
    behind = [name for name, params in backends if _leads_to(params, settings.upstream)]
    if behind:
        return warning(
            "loops",
            f"LiteLLM sends {_some(behind)} to CLIProxyAPI",
            "a fallback would ask the same exhausted accounts once more",
            "give these models of LiteLLM's model_list another `api_base`",
        )
    return ok("loops", "none of LiteLLM's models leads back here")


def _leads_to(params: dict[str, object], address: Address) -> bool:
    base = params.get("api_base")
    try:
        return isinstance(base, str) and same_server(parse_url(base), address)
    except ValueError:
        return False


def _drop_params(
    settings: Settings, results: Mapping[str, ProbeResult], backends: _Backends | None
) -> list[Finding]:
    """Tell whether LiteLLM leaves out what a backend does not know, as it has to for other providers'."""
    if not settings.active:
        return []
    strict = None
    if backends is not None:
        strict = [
            name
            for name, params in backends
            if not params.get("drop_params") and not str(params.get("model")).startswith(_KNOW_THEM)
        ]
        if not strict:
            return [ok("drop-params", "LiteLLM's backends take, or drop, what agents send")]
    shown = results.get("litellm-transform")
    value = shown.json if isinstance(shown, ProbeResponse) and shown.status == 200 else None
    if not isinstance(value, dict) or "error" not in value:
        takes = (
            "an `api-key` that may use LiteLLM's `/utils/transform_request`; or see that it has `drop_params`"
        )
        return [not_checked("drop-params", "whether LiteLLM drops parameters is not known", takes)]
    if "UnsupportedParams" not in str(value["error"]):
        return [ok("drop-params", "LiteLLM drops the parameters that a backend does not know")]
    which = f", of {_some(strict)}" if strict else ""
    return [
        warning(
            "drop-params",
            f"LiteLLM refuses parameters that a backend does not know{which}",
            "Codex and others send `prompt_cache_key`: with it a request for such a model is a 400",
            "`litellm_settings: {drop_params: true}` in LiteLLM's configuration",
        )
    ]


def _some(names: list[str]) -> str:
    names = list(dict.fromkeys(names))
    return ", ".join((*names[:5], *(["…"] if len(names) > 5 else [])))


def _state(result: ProbeResult | None) -> str:
    return f"status {result.status}" if isinstance(result, ProbeResponse) else "no answer"
