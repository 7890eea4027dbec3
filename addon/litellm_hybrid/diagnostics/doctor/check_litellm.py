"""What is at `base-url`: LiteLLM or not, ready or not, whether it takes the key, and where it leads."""

from typing import Any

from litellm_hybrid.config.converters import parse_url
from litellm_hybrid.config.settings import Address, Settings
from litellm_hybrid.diagnostics.doctor import servers
from litellm_hybrid.diagnostics.doctor.probes import (
    LIVELINESS,
    ConnectFailure,
    Program,
    Results,
    identify,
    models,
    proxy_address,
    response_to,
    some,
)
from litellm_hybrid.diagnostics.doctor.report import Finding, error, not_checked, ok, warning

_REFUSED = frozenset({400, 401, 403})
"""A wrong key is 401; without a database, where keys would be looked up, 400."""

_GIVE_KEY = "`api-key: ${LITELLM_API_KEY}`, with the `master_key` of LiteLLM's `general_settings` in it"
_KNOW_THEM = ("openai/", "azure/", "gpt-")
"""Backends that know what agents of OpenAI's send; the last is LiteLLM's guess for a bare name."""

type _Backends = list[tuple[str, dict[str, Any]]]
"""(name, `litellm_params`) of each entry of LiteLLM's model_list."""


def check(settings: Settings, results: Results) -> list[Finding]:
    """Look at everything about LiteLLM but its models' names; `base-url` may be missing."""
    if settings.base_url is None:
        fix = "`base-url: http://127.0.0.1:4000` and `api-key`"
        return [warning("litellm", "base-url is not set: every request goes upstream", fix)]
    server = servers.litellm(settings.base_url)
    alive, bare = results["litellm-alive"], results.get("litellm-bare")
    if isinstance(alive, ConnectFailure):
        return [servers.unreachable(server, alive)]
    at, who = server.address, identify(alive, results["litellm-root"]) or Program.UNKNOWN
    if identify(alive) is not Program.LITELLM and identify(bare) is Program.LITELLM:
        right = Address(at.scheme, at.host, at.port)
        symptom = f"LiteLLM is at {right}, not at {at}: it has nothing below that path"
        return [error("litellm", symptom, f"`base-url: {right}`")]
    if (other := servers.another_program(server, who, alive, LIVELINESS)) is not None:
        return [other]
    ready = response_to("litellm-ready", results).status
    if who is not Program.LITELLM and alive.status != 503:
        symptom = f"what answers at {at} (status {alive.status}) does not say that it is LiteLLM"
        first = warning("litellm", symptom, f"compare with its own address: `base-url: {server.example}`")
    elif ready == 200:
        first = ok("litellm", f"LiteLLM ({version_of(results) or 'version unknown'}) is ready at {at}")
    else:
        symptom = f"LiteLLM at {at} is alive, but not ready (status {ready} from /health/readiness)"
        fix = f"wait until `curl --fail {at}/health/readiness` succeeds; see its log and its `database_url`"
        first = error("litellm", symptom, fix)
    return [first, _key(settings, results), *_leads(settings, results)]


def version_of(results: Results) -> str:
    """Return LiteLLM's version, or ""; older ones say it without a key."""
    for name in ("litellm-details", "litellm-ready"):
        value = response_to(name, results).json
        if isinstance(value, dict) and isinstance(version := value.get("litellm_version"), str):
            return version
    return ""


def _key(settings: Settings, results: Results) -> Finding:
    opened = response_to("litellm-open", results)
    response = opened if settings.no_auth else response_to("litellm-models", results)
    if not settings.no_auth and settings.api_key is None:
        symptom = "api-key is not set: clients' own credentials go to LiteLLM, and nothing can fall back"
        return ok("api-key", symptom, "`api-key: ${LITELLM_API_KEY}`, or `api-key: none`")
    if response.model_ids is not None:
        if settings.no_auth:
            return ok("api-key", "LiteLLM takes no keys, and `api-key: none` says so")
        if opened.model_ids is None:
            return ok("api-key", "LiteLLM accepts the key")
        symptom = "LiteLLM takes requests without a key, although api-key is set"
        return ok("api-key", symptom, "`master_key` in its `general_settings`, or `api-key: none`")
    if response.status in _REFUSED:
        words = "wants a key, and `api-key` is none" if settings.no_auth else "does not accept the key"
        return error("api-key", f"LiteLLM {words}: {response.status} {response.error}".rstrip(), _GIVE_KEY)
    symptom = f"LiteLLM does not list its models: status {response.status} from /v1/models"
    return warning("api-key", symptom, "see its log; neither the key nor the models could be checked")


def _leads(settings: Settings, results: Results) -> list[Finding]:
    """Look at the backends behind LiteLLM's models, where `/model/info` tells them."""
    if "litellm-info" not in results or models("litellm", results) is None:  # no key, or none that is taken
        return []
    info = response_to("litellm-info", results)
    backends = [
        (str(entry.get("model_name")), params)
        for entry in info.entries or ()
        if isinstance(params := entry.get("litellm_params"), dict)
    ]
    if info.entries is None:
        takes = "an `api-key` that may read LiteLLM's `/model/info`, as its master key may"
        symptom = f"where LiteLLM's models lead is not known: status {info.status} from /model/info"
        return [not_checked("loops", symptom, takes), *_drop_params(settings, results, None)]
    found = [_loops(settings, backends), *_drop_params(settings, results, backends)]
    if compatible := [name for name, params in backends if _is_compatible(params)]:
        symptom = (
            f"LiteLLM asks what is behind {some(compatible)} for /responses, which few but OpenAI's have"
        )
        fix = "for Codex: `hosted_vllm/…` in place of `openai/…`, with `use_chat_completions_api: true`"
        found.append(ok("backends", symptom, fix))
    return found


def _is_compatible(params: dict[str, Any]) -> bool:
    """Tell whether it is a server that only speaks like OpenAI's."""
    base = str(params.get("api_base") or "")
    own = not base or "openai.com" in base or "openai.azure.com" in base
    return str(params.get("model")).startswith("openai/") and not own


def _loops(settings: Settings, backends: _Backends) -> Finding:
    fix = "give these models of LiteLLM's model_list another `api_base`"
    if back := [name for name, params in backends if _leads_to(params, proxy_address(settings))]:
        return error("loops", f"LiteLLM sends {some(back)} back to this proxy, in a circle", fix)
    if behind := [name for name, params in backends if _leads_to(params, settings.upstream)]:
        symptom = f"LiteLLM sends {some(behind)} to CLIProxyAPI: a fallback asks the same accounts again"
        return warning("loops", symptom, fix)
    return ok("loops", "none of LiteLLM's models leads back here")


def _leads_to(params: dict[str, Any], address: Address) -> bool:
    try:
        return parse_url(str(params.get("api_base"))).is_same_server(address)
    except ValueError:
        return False


def _drop_params(settings: Settings, results: Results, backends: _Backends | None) -> list[Finding]:
    """Tell whether LiteLLM leaves out what a backend does not know, as it has to for other providers'."""
    if not settings.active:
        return []
    strict = [
        name
        for name, params in backends or ()
        if not params.get("drop_params") and not str(params.get("model")).startswith(_KNOW_THEM)
    ]
    if backends is not None and not strict:
        return [ok("drop-params", "LiteLLM's backends take, or drop, what agents send")]
    shown = response_to("litellm-transform", results)
    value = shown.json
    if shown.status != 200 or not isinstance(value, dict) or "error" not in value:
        takes = "an `api-key` that may use LiteLLM's `/utils/transform_request`; or look for `drop_params`"
        return [not_checked("drop-params", "whether LiteLLM drops parameters is not known", takes)]
    if "UnsupportedParams" not in str(value["error"]):
        return [ok("drop-params", "LiteLLM drops the parameters that a backend does not know")]
    symptom = f"LiteLLM refuses parameters that a backend of {some(strict) or 'its models'} does not know"
    fix = "`litellm_settings: {drop_params: true}` in LiteLLM's configuration: Codex sends `prompt_cache_key`"
    return [warning("drop-params", symptom, fix)]
