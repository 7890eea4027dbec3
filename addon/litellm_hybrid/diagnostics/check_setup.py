"""What the doctor says of this machine, and of what is at `upstream-url` and `base-url`.

The file, who may use it, the address to listen on, clock, Python; of a server whether it is the right
program, whom it lets in, where it leads.
"""

import errno
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from litellm_hybrid.config.converters import parse_url
from litellm_hybrid.config.parser import Parsed
from litellm_hybrid.config.settings import Address, Settings, host_port
from litellm_hybrid.config.yaml_nodes import Code
from litellm_hybrid.diagnostics.probes import (
    ALIVE,
    Deployments,
    FailureKind,
    ProbeResult,
    Program,
    Results,
    deployments,
    identify,
    is_safe_mode,
    lacks_provider_routes,
    proxy_address,
)
from litellm_hybrid.diagnostics.report import (
    NO_KEYS,
    Finding,
    Severity,
    circles,
    error,
    hints,
    not_checked,
    ok,
    some,
    untrusted,
    warning,
)
from litellm_hybrid.message.forwarded import is_loopback
from litellm_hybrid.terminal import counted

# -- this machine ----------------------------------------------------------------

MOST_SKEW = 60.0
"""Seconds that a server's clock may differ from ours: waits until a time of day are believed that far."""

_MAKE_KEY = "`client-api-keys: [KEY]`, with a KEY from `openssl rand -hex 24`"

_FINE: frozenset[Code] = frozenset({"fallback-off", "base-url-ends-in-v1", "upstream-headers"})
"""What the file may well mean; the fix says how to have it otherwise."""


def file(parsed: Parsed, name: str) -> list[Finding]:
    """Look at a file that can be used: its warnings and hints, and what a start would refuse."""
    settings, found = parsed.settings, []
    for each in (*parsed.warnings, *hints(parsed)):
        symptom, _, advice = str(each).partition("; ")
        severity = ok if each.code in _FINE else warning
        found.append(severity("file", symptom, advice or "correct that line"))
    found += broken(circles(name, settings, (*settings.listen, settings.upstream)))
    found += broken(untrusted(name, settings))
    if not parsed.has_keys:
        fix = "name the right file: `litellm-hybrid doctor -c FILE`, or write `extensions: {litellm: {…}}`"
        found.append(warning("file", f"{name}: {NO_KEYS}", fix))
    found = found or [ok("file", f"{name} has no errors and no warnings")]
    if settings.fallback.enabled and not parsed.has_upstream_keys:
        symptom = "CLIProxyAPI's own config.yaml is elsewhere: its retries decide how long clients wait"
        found.append(not_checked("file", symptom, "`litellm-hybrid doctor --upstream-config FILE`"))
    return found


def broken(problems: Iterable[str]) -> list[Finding]:
    """Repeat the errors of a file that the proxy does not start with."""
    parts = (problem.partition("; ") for problem in problems)
    return [error("file", symptom, fix or "correct that line") for symptom, _, fix in parts]


def unread() -> Finding:
    """Say that without a file nothing else could be looked at."""
    symptom = "neither the servers nor the models were looked at"
    return not_checked("upstream", symptom, "a file without errors: see above")


def access(settings: Settings) -> Finding:
    """Say who may spend LiteLLM's key."""
    (host, port), where = settings.listen, host_port(*settings.listen)
    if is_loopback(host):
        who = "programs with a client key" if settings.client_keys else "this machine's programs"
        if settings.client_keys and settings.local_without_key:
            who = "this machine's programs and clients with a key"
        return ok("access", f"{who} may use LiteLLM through {where}")
    if settings.client_keys:
        return ok("access", "clients elsewhere need a client key for LiteLLM")
    if settings.listen_without_keys:
        symptom = f"listen-without-keys: whoever reaches {where} may use LiteLLM"
        return warning("access", symptom, f"{_MAKE_KEY}, and take listen-without-keys out")
    symptom = f"it will not listen on {where} without client keys"
    return error("access", symptom, f"{_MAKE_KEY}; or `listen: 127.0.0.1:{port}`")


def runs(results: Results) -> bool:
    """Tell whether litellm-hybrid answers where it would listen; also when it shows no page."""
    return bool(results["listen-health"].header("x-hybrid-route"))


def listen(settings: Settings, results: Results, bound: OSError | None) -> list[Finding]:
    """Say who is at the address to listen on; `bound`: what the system says to a program that would be."""
    where, port = host_port(*settings.listen), settings.listen[1]
    if runs(results):
        return _ours(where, results["listen-health"])
    if bound is None:
        return [ok("listen", f"{where} is free; `litellm-hybrid serve` would listen there")]
    if bound.errno != errno.EADDRINUSE:
        fix = "`listen: 127.0.0.1:8318`, or one of the addresses of `ip -brief address` and a port above 1023"
        return [error("listen", f"nothing can listen on {where}: {bound.strerror}", fix)]
    root = results["listen-root"]
    silent = ", which does not answer" if root.failure else ""
    fix = f"`listen: 127.0.0.1:{port + 1 if port < 65535 else port - 1}`, or end that program: "
    fix += f"`ss -ltnp 'sport = :{port}'` names it"
    return [error("listen", f"{where} is taken by {identify(root)}{silent}", fix)]


def _ours(where: str, health: ProbeResult) -> list[Finding]:
    ready, given = health.member("ready"), health.member("reasons")
    if ready is None:
        return [ok("listen", f"litellm-hybrid runs at {where}; it shows its health to others only")]
    if ready:
        return [ok("listen", f"litellm-hybrid runs at {where} and is ready")]
    fix = f"see what is said of the file and the servers here, and `curl http://{where}/_hybrid/health`"
    return [
        warning(
            "listen",
            f"litellm-hybrid runs at {where}, but is not ready: {each.get('reason')}: {each.get('message')}",
            fix,
        )
        for each in (given if isinstance(given, list) else ())
        if isinstance(each, dict)
    ]


def clock(results: Results) -> list[Finding]:
    """Compare this machine's clock with the servers': waits until a time of day depend on it."""
    asked = {"CLIProxyAPI": results["upstream-root"], "LiteLLM": results["litellm-alive"]}
    skews = [(skew, server) for server, result in asked.items() if (skew := result.clock_skew) is not None]
    if not skews:
        return []
    skew, server = max(skews, key=lambda each: abs(each[0]))
    if abs(skew) <= MOST_SKEW:
        return [ok("clock", "the servers' clocks agree with this machine's")]
    symptom = f"{server}'s clock is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} this machine's"
    fix = "synchronise both, `timedatectl set-ntp true`: waits until a time of day are read wrong by as much"
    return [warning("clock", symptom, fix)]


def surroundings(versions: Mapping[str, str], lacking: str) -> list[Finding]:
    """Look at Python, and at mitmproxy; `lacking`: what the check of the overridden names says, or ""."""
    python = ok("python", f"Python {versions['python']}")
    if lacking:
        symptom, _, fix = lacking.partition("; ")
        return [python, error("mitmproxy", f"{symptom}, so it does not start", fix)]
    return [python, ok("mitmproxy", f"mitmproxy {versions['mitmproxy']} has what is overridden")]


# -- servers ---------------------------------------------------------------------

_REFUSED = frozenset({400, 401, 403})
"""A wrong key is 401 at LiteLLM; without a database, where keys would be looked up, 400."""

_GIVE_CLIENT_KEY = "`litellm-hybrid doctor --key KEY`, with one of `api-keys` of CLIProxyAPI's config.yaml"
_GIVE_API_KEY = "`api-key: ${LITELLM_API_KEY}`, with the `master_key` of LiteLLM's `general_settings` in it"

_KNOW_THEM = ("openai/", "azure/", "gpt-")
"""Backends that know what agents of OpenAI's send; the last is LiteLLM's guess for a bare name."""


class Server(NamedTuple):
    """One of the two: the name of its findings, the setting of its address, and that with the usual one."""

    program: Program
    check: str
    key: str
    usual: str
    start: str


UPSTREAM = Server(
    Program.CLIPROXYAPI,
    "upstream",
    "upstream-url",
    "`upstream-url: http://127.0.0.1:8317`",
    "start CLIProxyAPI (its config.yaml says host and port)",
)
LITELLM = Server(
    Program.LITELLM,
    "litellm",
    "base-url",
    "`base-url: http://127.0.0.1:4000`",
    "start it: `litellm --config litellm.yaml --host 127.0.0.1 --port 4000`",
)


def not_there(server: Server, at: Address, path: str, *results: ProbeResult) -> Finding | None:
    """Say that what is at an address is not the server, or perhaps not; None: it is.

    `path` is that of the first of the requests, and `results` what they met.
    """
    first, program = results[0], server.program
    if first.failure is not None:
        return _no_response(server, at, first.failure, first.detail)
    who, fix = identify(*results), f"write the address of {program}: {server.usual}"
    if who is program:
        return None
    if location := _redirect(first, path):
        symptom, fix = f"{at} redirects to {location}, which is not followed", f"`{server.key}: {location}`"
    elif first.status == 400 and b"HTTPS" in first.body.upper():
        symptom, fix = f"{at} wants https", f"`{server.key}: {replace(at, scheme='https')}`"
    elif who is not Program.UNKNOWN:
        circle = ": a request would go round in a circle" if who is Program.OURSELVES else ""
        symptom = f"at {at} is {who}, not {program}{circle}"
    elif first.is_page or 300 <= first.status < 400:
        symptom = f"{at} answers with a web page, and not as {program}'s API"
    else:
        symptom = f"what answers at {at} (status {first.status}) does not say that it is {program}"
        return warning(server.check, symptom, fix)
    return error(server.check, symptom, fix)


def _no_response(server: Server, at: Address, failure: FailureKind, detail: str) -> Finding:
    other = f"`{server.key}: {replace(at, scheme='http' if at.scheme == 'https' else 'https')}`"
    fixes = {
        FailureKind.UNREACHABLE: f"{server.start}, or write its address: {server.usual}",
        FailureKind.TIMEOUT: f"restart {server.program}, or correct {server.usual}",
        FailureKind.CERTIFICATE: f"write the certificate's name into `{server.key}`, or `tls-ca: CA.pem`",
        FailureKind.NO_TLS: other,
        FailureKind.NO_HTTP: f"{server.usual}; if it serves https: {other}",
    }
    symptom = f"{at} {failure}: {detail}" if detail else f"{at} {failure}"
    return error(server.check, symptom, fixes[failure])


def _redirect(result: ProbeResult, path: str) -> str:
    """Where another address is said to be the right one, without query and credentials; or ""."""
    try:
        parts = urlsplit(result.header("location") if 300 <= result.status < 400 else "")
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        return ""
    if not usable:
        return ""
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path.removesuffix(path).rstrip('/')}"


# -- CLIProxyAPI --------------------------------------------------------------


def upstream_version(results: Results) -> str:
    """Return CLIProxyAPI's version, or what can be told of it: 7.2 removed `/api/provider/`."""
    words = {True: "7.2 or newer", False: "older than 7.2", None: "unknown"}
    told = results["upstream-version"].header("x-cpa-version")
    return told or words[lacks_provider_routes(results["upstream-provider"])]


def takes_for_models(results: Results) -> str:
    """Say what it takes to read its list of models, where it shows it to nobody here."""
    if results["upstream-open"].status == 401:
        return _GIVE_CLIENT_KEY
    return "CLIProxyAPI's list of models: see what is said of upstream above"


def check_upstream(settings: Settings, results: Results) -> list[Finding]:
    """Look at everything about CLIProxyAPI."""
    at, root = settings.upstream, results["upstream-root"]
    if is_safe_mode(root, results["upstream-open"]):
        symptom = f"CLIProxyAPI at {at} is in safe mode: it refuses every request"
        fix = "put keys of your own into `api-keys` of its config.yaml: they are those of its example file"
        return [error("upstream", symptom, fix)]
    if (wrong := not_there(UPSTREAM, at, "/", root, results["upstream-alive"])) is not None:
        return [wrong]
    return [
        ok("upstream", f"CLIProxyAPI ({upstream_version(results)}) answers at {at}"),
        _accounts(results),
        *_client_keys(settings, results),
        *_provider_prefix(settings, results),
    ]


def _accounts(results: Results) -> Finding:
    listed = results.models("upstream")
    if listed:
        return ok("accounts", f"CLIProxyAPI has accounts for {counted(len(listed), 'model')}")
    if listed is not None:
        symptom = "CLIProxyAPI lists no model: it has no account, or none that is logged in"
        fix = "log in (`cli-proxy-api --claude-login` …), or give it providers' keys"
        return error("accounts", symptom, fix)
    known = "accepts none that is" if "upstream-models" in results else "none is"
    symptom = f"CLIProxyAPI wants a client key, and {known} known here"
    return not_checked("accounts", symptom, _GIVE_CLIENT_KEY)


def _client_keys(settings: Settings, results: Results) -> list[Finding]:
    """Say whom CLIProxyAPI lets in, and whether the client keys known here are among them."""
    is_open = results["upstream-open"].status == 200
    if is_open and not is_loopback(settings.listen[0]):
        symptom = "CLIProxyAPI serves clients without a key, and this proxy listens beyond this machine"
        return [warning("client-keys", symptom, "put keys into `api-keys` of CLIProxyAPI's config.yaml")]
    if results["upstream-models"].status == 401 and not is_open:
        symptom = "CLIProxyAPI does not accept the client key that is known here"
        fix = "put the same keys into `api-keys` of CLIProxyAPI's config.yaml and into `client-api-keys`"
        return [warning("client-keys", symptom, fix)]
    return []


def _provider_prefix(settings: Settings, results: Results) -> list[Finding]:
    """Say where `strip-provider-prefix` is set to what does not fit this CLIProxyAPI."""
    lacks, strips = lacks_provider_routes(results["upstream-provider"]), settings.strip_provider_prefix
    if lacks is True and strips is False:
        symptom = "CLIProxyAPI answers 404 to /api/provider/…, where Amp and older set-ups ask"
    elif lacks is False and strips is True:
        symptom = "CLIProxyAPI serves /api/provider/… itself, some of it not where it goes stripped"
    else:
        return []
    return [ok("provider-prefix", symptom, "if you have such: `strip-provider-prefix: auto`")]


# -- LiteLLM ------------------------------------------------------------------


def litellm_version(results: Results) -> str:
    """Return LiteLLM's version, or ""; older ones say it without a key."""
    told = (results[name].member("litellm_version") for name in ("litellm-details", "litellm-ready"))
    return next((version for version in told if isinstance(version, str)), "")


def check_litellm(settings: Settings, results: Results) -> list[Finding]:
    """Look at everything about LiteLLM but its models' names; `base-url` may be missing."""
    if (at := settings.base_url) is None:
        fix = f"{LITELLM.usual} and `api-key`"
        return [warning("litellm", "base-url is not set: every request goes upstream", fix)]
    alive, bare = results["litellm-alive"], replace(at, path="")
    if identify(alive) is not Program.LITELLM and identify(results["litellm-bare"]) is Program.LITELLM:
        symptom = f"LiteLLM is at {bare}, not at {at}: it has nothing below that path"
        return [error("litellm", symptom, f"`base-url: {bare}`")]
    wrong = not_there(LITELLM, at, ALIVE, alive, results["litellm-root"])
    if wrong is not None and wrong.severity is Severity.ERROR:
        return [wrong]
    return [wrong or _ready(at, results), _key(settings, results), *_backends(settings, results)]


def _ready(at: Address, results: Results) -> Finding:
    ready = results["litellm-ready"]
    if ready.status == 200:
        return ok("litellm", f"LiteLLM ({litellm_version(results) or 'version unknown'}) is ready at {at}")
    symptom = f"LiteLLM at {at} is alive, but not ready ({ready.outcome} from /health/readiness)"
    fix = f"wait until `curl --fail {at}/health/readiness` succeeds; see its log and its `database_url`"
    return error("litellm", symptom, fix)


def _key(settings: Settings, results: Results) -> Finding:
    opened = results["litellm-open"]
    response = opened if settings.no_auth else results["litellm-models"]
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
        symptom = f"LiteLLM {words}: {response.status} {response.error}".rstrip()
        return error("api-key", symptom, _GIVE_API_KEY)
    symptom = f"LiteLLM does not list its models: {response.outcome} from /v1/models"
    return warning("api-key", symptom, "see its log; neither the key nor the models could be checked")


def _backends(settings: Settings, results: Results) -> list[Finding]:
    """Look at the backends behind LiteLLM's models, where `/model/info` tells them."""
    if "litellm-info" not in results or results.models("litellm") is None:  # no key, or none that is taken
        return []
    info = results["litellm-info"]
    if info.entries is None:
        takes = "an `api-key` that may read LiteLLM's `/model/info`, as its master key may"
        symptom = (
            "where LiteLLM's models lead is not known; images and forced tools reach only those that say who "
            f"they are in their answer: {info.outcome} from /model/info"
        )
        return [not_checked("loops", symptom, takes), *_drop_params(settings, results, None)]
    backends = deployments(info.entries)
    return [_loops(settings, backends), *_drop_params(settings, results, backends)]


def _loops(settings: Settings, backends: Deployments) -> Finding:
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


def _drop_params(settings: Settings, results: Results, backends: Deployments | None) -> list[Finding]:
    """Tell whether LiteLLM leaves out what a backend does not know, as it has to for other providers'."""
    if not settings.active:
        return []
    if not settings.routing and settings.fallback.drop_params:
        return [ok("drop-params", "each replay tells LiteLLM to drop what a backend does not know")]
    strict = [
        name
        for name, params in backends or ()
        if not params.get("drop_params") and not str(params.get("model")).startswith(_KNOW_THEM)
    ]
    if backends is not None and not strict:
        return [ok("drop-params", "LiteLLM's backends take, or drop, what agents send")]
    shown = results["litellm-transform"]
    if shown.status != 200 or not isinstance(shown.json, dict) or "error" not in shown.json:
        takes = "an `api-key` that may use LiteLLM's `/utils/transform_request`; or look for `drop_params`"
        return [not_checked("drop-params", "whether LiteLLM drops parameters is not known", takes)]
    if "UnsupportedParams" not in str(shown.member("error")):
        return [ok("drop-params", "LiteLLM drops the parameters that a backend does not know")]
    symptom = f"LiteLLM refuses parameters that a backend of {some(strict) or 'its models'} does not know"
    fix = "`litellm_settings: {drop_params: true}` in LiteLLM's configuration: Codex sends `prompt_cache_key`"
    return [warning("drop-params", symptom, fix)]
