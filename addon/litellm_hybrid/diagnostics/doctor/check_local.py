"""What the doctor says of this machine: the file, who may use it, the address to listen on, clock, Python."""

import errno
import sys
from collections.abc import Mapping

from litellm_hybrid.config.parser import ConfigError, Parsed
from litellm_hybrid.config.settings import Settings
from litellm_hybrid.config.yaml_nodes import Code
from litellm_hybrid.diagnostics.check import circles, hints
from litellm_hybrid.diagnostics.doctor.http_client import ConnectFailure
from litellm_hybrid.diagnostics.doctor.probes import Program, Results, identify, listen_text, response_to
from litellm_hybrid.diagnostics.doctor.report import Finding, error, ok, warning
from litellm_hybrid.routing.access import is_loopback

OLDEST_PYTHON = (3, 12)
MOST_SKEW = 60.0
"""Seconds that a server's clock may differ from ours: waits until a time of day are believed that far."""

_MAKE_KEY = "`client-api-keys: [KEY]`, with a KEY from `openssl rand -hex 24`"

_FINE: frozenset[Code] = frozenset({"fallback-off", "base-url-ends-in-v1", "upstream-headers"})
"""What the file may well mean; the fix says how to have it otherwise."""

_FIXES: Mapping[Code, str] = {
    "routing-without-base-url": "`base-url: http://127.0.0.1:4000`",
    "routing-without-models": "`models: [NAME, …]`, or `passthrough-mode: true`",
    "passthrough-without-enabled": "`enabled: true`, or take passthrough-mode out",
    "fallback-off": "`fallback: {enabled: true}`, if that is what you want",
    "base-url-ends-in-v1": "write base-url without it",
}
"""By a warning's code, where its message does not say what to write."""


def file(parsed: Parsed, name: str) -> list[Finding]:
    """Look at a file that can be used: its warnings and hints, and what a start would refuse."""
    settings, found = parsed.settings, []
    for each in (*parsed.warnings, *hints(parsed)):
        symptom, _, advice = str(each).partition("; ")
        fix = _FIXES.get(each.code) or advice or "correct that line"
        found.append((ok if each.code in _FINE else warning)("file", symptom, fix))
    found += broken(ConfigError(circles(name, settings, (*settings.listen, settings.upstream))))
    if not parsed.has_keys:
        fix = "name the right file: `litellm-hybrid doctor -c FILE`, or write `extensions: {litellm: {…}}`"
        symptom = f"no setting of litellm-hybrid is in {name}: every request goes upstream"
        found.append(warning("file", symptom, fix))
    found = found or [ok("file", f"{name} has no errors and no warnings")]
    if settings.fallback.enabled and not parsed.has_upstream_keys:
        symptom = "CLIProxyAPI's own settings are elsewhere; its retries decide how long clients wait"
        found.append(ok("file", symptom, "`litellm-hybrid doctor --upstream-config FILE` looks at them too"))
    return found


def broken(failure: ConfigError) -> list[Finding]:
    """Repeat the errors of a file that the proxy does not start with."""
    parts = (problem.partition("; ") for problem in failure.problems)
    return [error("file", symptom, fix or "correct that line") for symptom, _, fix in parts]


def access(settings: Settings) -> Finding:
    """Say who may spend LiteLLM's key."""
    host, port = settings.listen
    if is_loopback(host):
        who = "this machine's programs"
        if settings.client_keys:
            who = (
                f"{who} and clients with a key"
                if settings.local_without_key
                else "programs with a client key"
            )
        return ok("access", f"{who} may use LiteLLM through {listen_text(settings)}")
    if settings.client_keys:
        return ok("access", "clients elsewhere need a client key for LiteLLM")
    if settings.listen_without_keys:
        symptom = f"listen-without-keys: whoever reaches {host or 'any address'} port {port} may use LiteLLM"
        return warning("access", symptom, f"{_MAKE_KEY}, and take listen-without-keys out")
    symptom = f"it will not listen on {host or 'every address'} (port {port}) without client keys"
    return error("access", symptom, f"{_MAKE_KEY}; or `listen: 127.0.0.1:{port}`")


def runs(results: Results) -> bool:
    """Tell whether litellm-hybrid answers where it would listen; also when it shows no page."""
    return bool(response_to("listen-health", results).header("x-hybrid-route"))


def listen(settings: Settings, results: Results, bound: OSError | None) -> list[Finding]:
    """Say who is at the address to listen on.

    Args:
        settings: those of the file.
        results: what the probes met.
        bound: what the system says to a program that would listen there; None: it may.
    """
    where, port = listen_text(settings), settings.listen[1]
    if runs(results):
        return _ours(where, response_to("listen-health", results).json)
    if bound is None:
        return [ok("listen", f"{where} is free; `litellm-hybrid serve` would listen there")]
    if bound.errno != errno.EADDRINUSE:
        fix = "`listen: 127.0.0.1:8318`, or one of the addresses of `ip -brief address` and a port above 1023"
        return [error("listen", f"nothing can listen on {where}: {bound.strerror}", fix)]
    root = results["listen-root"]
    who = identify(root) or Program.UNKNOWN
    silent = ", which does not answer" if isinstance(root, ConnectFailure) else ""
    fix = f"`listen: 127.0.0.1:{port + 1 if port < 65535 else port - 1}`, or end that program: "
    return [
        error("listen", f"{where} is taken by {who}{silent}", f"{fix}`ss -ltnp 'sport = :{port}'` names it")
    ]


def _ours(where: str, value: object) -> list[Finding]:
    if not isinstance(value, dict) or "ready" not in value:
        return [ok("listen", f"litellm-hybrid runs at {where}; it shows its health to others only")]
    if value["ready"]:
        return [ok("listen", f"litellm-hybrid runs at {where} and is ready")]
    given = value.get("reasons")
    reasons = [each for each in given if isinstance(each, dict)] if isinstance(given, list) else []
    symptom = f"litellm-hybrid runs at {where}, but is not ready: "
    fix = f"see what is said of the file and the servers here, and `curl http://{where}/_hybrid/health`"
    return [
        warning("listen", f"{symptom}{each.get('reason')}: {each.get('message')}", fix) for each in reasons
    ]


def clock(results: Results) -> list[Finding]:
    """Compare this machine's clock with the servers': waits until a time of day depend on it."""
    servers = {"upstream-root": "CLIProxyAPI", "litellm-alive": "LiteLLM"}
    skews = {
        server: skew
        for name, server in servers.items()
        if (skew := response_to(name, results).clock_skew) is not None
    }
    if not skews:
        return []
    server, skew = max(skews.items(), key=lambda item: abs(item[1]))
    if abs(skew) <= MOST_SKEW:
        return [ok("clock", "the servers' clocks agree with this machine's")]
    symptom = f"{server}'s clock is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} this machine's"
    fix = "synchronise both, `timedatectl set-ntp true`: waits until a time of day are read wrong by as much"
    return [warning("clock", symptom, fix)]


def surroundings(python: tuple[int, ...], mitmproxy: str, lacking: str) -> list[Finding]:
    """Look at Python, and at mitmproxy and the names inside it that are overridden.

    Args:
        python: its version.
        mitmproxy: its version.
        lacking: what the proxy's own check of those names says, or "".
    """
    version, oldest = (".".join(map(str, each)) for each in (python[:2], OLDEST_PYTHON))
    found = [ok("python", f"Python {version}")]
    if python < OLDEST_PYTHON:
        fix = f"`uv tool install --python {oldest} litellm-hybrid`"
        found = [error("python", f"Python {version} is too old: litellm-hybrid needs {oldest}", fix)]
    if lacking:
        symptom, _, fix = lacking.partition("; ")
        return [*found, error("mitmproxy", f"{symptom}, so it does not start", fix)]
    return [*found, ok("mitmproxy", f"mitmproxy {mitmproxy} has what is overridden")]


def versions(mitmproxy: str) -> dict[str, str]:
    """Return the versions of what runs here."""
    return {"python": ".".join(map(str, sys.version_info[:3])), "mitmproxy": mitmproxy}
