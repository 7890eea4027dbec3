"""What is at `upstream-url` and `base-url`: the right program or not, whom it lets in, where it leads."""

from typing import Any, NamedTuple
from urllib.parse import urlsplit

from litellm_hybrid.config.converters import parse_url
from litellm_hybrid.config.settings import Address, Settings
from litellm_hybrid.diagnostics.doctor.http_client import ConnectFailure, FailureKind, ProbeResponse
from litellm_hybrid.diagnostics.doctor.probes import (
    LIVELINESS,
    Program,
    Results,
    VersionInfo,
    identify,
    is_safe_mode,
    models,
    proxy_address,
    response_to,
    some,
)
from litellm_hybrid.diagnostics.doctor.report import Finding, error, not_checked, ok, warning
from litellm_hybrid.routing.access import is_loopback


class Server(NamedTuple):
    """One of the two servers, as the configuration names it.

    Attributes:
        check: the name of its findings.
        key: the setting that holds its address.
        start: how to start it, or to find its address.
        example: an address that is usual for it.
    """

    address: Address
    check: str
    program: Program
    key: str
    start: str
    example: str


def cliproxyapi(address: Address) -> Server:
    """CLIProxyAPI at an address."""
    start = "start CLIProxyAPI (its config.yaml says host and port)"
    return Server(address, "upstream", Program.CLIPROXYAPI, "upstream-url", start, "http://127.0.0.1:8317")


def litellm(address: Address) -> Server:
    """LiteLLM at an address."""
    start = "start it: `litellm --config litellm.yaml --host 127.0.0.1 --port 4000`"
    return Server(address, "litellm", Program.LITELLM, "base-url", start, "http://127.0.0.1:4000")


def unreachable(server: Server, failure: ConnectFailure) -> Finding:
    """Say why there is no response, and what to do."""
    address, _, program, key, start, example = server
    scheme = "http" if address.scheme == "https" else "https"
    other = f"`{key}: {scheme}{Address('', address.host, address.port, address.path)}`"
    trust = "`tls-ca: CA.pem`"
    plain = {
        FailureKind.UNREACHABLE: ("cannot be reached", f"{start}, or write its address: `{key}: {example}`"),
        FailureKind.TIMEOUT: ("does not answer", f"restart {program}, or correct `{key}: {example}`"),
        FailureKind.CERTIFICATE: (
            "shows a certificate that is not trusted",
            f"serve plain http here, write the certificate's name into `{key}`, or trust it: {trust}",
        ),
        FailureKind.NO_TLS: ("does not speak TLS", other),
        FailureKind.NO_HTTP: ("does not speak HTTP", f"`{key}: {example}`; if it serves https: {other}"),
    }
    symptom, fix = plain[failure.kind]
    detail = f": {failure.detail}" if failure.detail else ""
    return error(server.check, f"{address} {symptom}{detail}", fix)


def another_program(server: Server, who: Program, response: ProbeResponse, path: str) -> Finding | None:
    """Say that what answers at the address is not this server; None: it is, or it may be.

    Args:
        server: what should be there.
        who: what seems to be there.
        response: its response to the request that was made for this.
        path: of that request.
    """
    at, check, program, key, _, example = server
    fix = f"write the address of {program}: `{key}: {example}`"
    if who is program:
        return None
    if location := _redirect(response, path):
        return error(check, f"{at} redirects to {location}, which is not followed", f"`{key}: {location}`")
    if response.status == 400 and b"HTTPS" in response.body.upper():
        return error(check, f"{at} wants https", f"`{key}: https{str(at).removeprefix('http')}`")
    if who is Program.UNKNOWN and (response.is_page or 300 <= response.status < 400):
        return error(check, f"{at} answers with a web page, and not as {program}'s API", fix)
    if who is Program.UNKNOWN:
        return None
    circle = ": a request would go round in a circle" if who is Program.OURSELVES else ""
    return error(check, f"at {at} is {who}, not {program}{circle}", fix)


def _redirect(response: ProbeResponse, path: str) -> str:
    """Where another address is said to be the right one, without query and credentials; or ""."""
    try:
        parts = urlsplit(response.header("location") if 300 <= response.status < 400 else "")
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        return ""
    if not usable:
        return ""
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path.removesuffix(path).rstrip('/')}"


_GIVE_CLIENT_KEY = "`litellm-hybrid doctor --key KEY`, with one of `api-keys` of CLIProxyAPI's config.yaml"


def takes_for_models(results: Results) -> str:
    """Say what it takes to read its list of models, where it shows it to nobody here."""
    if response_to("upstream-open", results).status == 401:
        return _GIVE_CLIENT_KEY
    return "CLIProxyAPI's list of models: see what is said of upstream above"


def check_upstream(settings: Settings, results: Results) -> list[Finding]:
    """Look at everything about CLIProxyAPI."""
    server = cliproxyapi(settings.upstream)
    root = results["upstream-root"]
    if isinstance(root, ConnectFailure):
        return [unreachable(server, root)]
    if is_safe_mode(root, results["upstream-open"]):
        symptom = f"CLIProxyAPI at {server.address} is in safe mode: it refuses every request"
        fix = "put keys of your own into `api-keys` of its config.yaml: they are those of its example file"
        return [error("upstream", symptom, fix)]
    who = identify(root, results["upstream-alive"]) or Program.UNKNOWN
    if (other := another_program(server, who, root, "/")) is not None:
        return [other]
    if who is Program.UNKNOWN:
        symptom = (
            f"what answers at {server.address} (status {root.status}) does not say that it is CLIProxyAPI"
        )
        return [
            warning("upstream", symptom, f"compare with its own address: `upstream-url: {server.example}`")
        ]
    version = VersionInfo.of(results)
    found = [ok("upstream", f"CLIProxyAPI ({version}) answers at {server.address}"), _accounts(results)]
    found += _client_keys(settings, results)
    return found + _provider_prefix(settings, version)


def _provider_prefix(settings: Settings, version: VersionInfo) -> list[Finding]:
    """Say where `strip-provider-prefix` is set to what does not fit this CLIProxyAPI."""
    if version.since_7_2 and settings.strip_provider_prefix is False:
        symptom = "CLIProxyAPI answers 404 to /api/provider/…, where Amp and older set-ups ask"
    elif version.since_7_2 is False and settings.strip_provider_prefix is True:
        symptom = "CLIProxyAPI serves /api/provider/… itself, some of it not where it goes stripped"
    else:
        return []
    return [ok("provider-prefix", symptom, "if you have such: `strip-provider-prefix: auto`")]


def _accounts(results: Results) -> Finding:
    listed = models("upstream", results)
    if listed:
        return ok("accounts", f"CLIProxyAPI has accounts for {len(listed)} models")
    if listed is not None:
        symptom = "CLIProxyAPI lists no model: it has no account, or none that is logged in"
        return error(
            "accounts", symptom, "log in (`cli-proxy-api --claude-login` …), or give it providers' keys"
        )
    known = "accepts none that is" if "upstream-models" in results else "none is"
    return not_checked(
        "accounts", f"CLIProxyAPI wants a client key, and {known} known here", _GIVE_CLIENT_KEY
    )


def _client_keys(settings: Settings, results: Results) -> list[Finding]:
    """Say whom CLIProxyAPI lets in, and whether the client keys known here are among them."""
    is_open = response_to("upstream-open", results).status == 200
    if is_open and not is_loopback(settings.listen[0]):
        symptom = "CLIProxyAPI serves clients without a key, and this proxy listens beyond this machine"
        return [warning("client-keys", symptom, "put keys into `api-keys` of CLIProxyAPI's config.yaml")]
    if response_to("upstream-models", results).status == 401 and not is_open:
        symptom = "CLIProxyAPI does not accept the client key that is known here"
        fix = "put the same keys into `api-keys` of CLIProxyAPI's config.yaml and into `client-api-keys`"
        return [warning("client-keys", symptom, fix)]
    return []


_REFUSED = frozenset({400, 401, 403})
"""A wrong key is 401; without a database, where keys would be looked up, 400."""

_GIVE_API_KEY = "`api-key: ${LITELLM_API_KEY}`, with the `master_key` of LiteLLM's `general_settings` in it"
_KNOW_THEM = ("openai/", "azure/", "gpt-")
"""Backends that know what agents of OpenAI's send; the last is LiteLLM's guess for a bare name."""

type _Backends = list[tuple[str, dict[str, Any]]]
"""(name, `litellm_params`) of each entry of LiteLLM's model_list."""


def check_litellm(settings: Settings, results: Results) -> list[Finding]:
    """Look at everything about LiteLLM but its models' names; `base-url` may be missing."""
    if settings.base_url is None:
        fix = "`base-url: http://127.0.0.1:4000` and `api-key`"
        return [warning("litellm", "base-url is not set: every request goes upstream", fix)]
    server = litellm(settings.base_url)
    alive, bare = results["litellm-alive"], results.get("litellm-bare")
    if isinstance(alive, ConnectFailure):
        return [unreachable(server, alive)]
    at, who = server.address, identify(alive, results["litellm-root"]) or Program.UNKNOWN
    if identify(alive) is not Program.LITELLM and identify(bare) is Program.LITELLM:
        right = Address(at.scheme, at.host, at.port)
        symptom = f"LiteLLM is at {right}, not at {at}: it has nothing below that path"
        return [error("litellm", symptom, f"`base-url: {right}`")]
    if (other := another_program(server, who, alive, LIVELINESS)) is not None:
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
        return error(
            "api-key", f"LiteLLM {words}: {response.status} {response.error}".rstrip(), _GIVE_API_KEY
        )
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
