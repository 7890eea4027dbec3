"""What the doctor says of this machine: the file, who may use it, the address to listen on, clock, Python."""

import errno
from collections.abc import Iterable, Mapping

from litellm_hybrid.config.parser import Parsed
from litellm_hybrid.config.settings import Settings, host_port
from litellm_hybrid.config.yaml_nodes import Code
from litellm_hybrid.diagnostics.check import NO_KEYS, circles, hints, untrusted
from litellm_hybrid.diagnostics.doctor.probes import ProbeResult, Results, identify
from litellm_hybrid.diagnostics.doctor.report import Finding, error, not_checked, ok, warning
from litellm_hybrid.message.forwarded import is_loopback

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
