"""What the doctor says of the configuration file, of who may use it, and of this machine."""

import sys
from collections.abc import Iterable, Mapping

from litellm_hybrid.config.parser import ConfigError, Parsed
from litellm_hybrid.config.settings import Settings
from litellm_hybrid.config.validation import Code
from litellm_hybrid.diagnostics.check import circles, hints
from litellm_hybrid.diagnostics.doctor.probes import ProbeResponse, ProbeResult, listen_text
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


def check(parsed: Parsed, file: str) -> list[Finding]:
    """Look at a file that can be used: its warnings and hints."""
    found = []
    for each in (*parsed.warnings, *hints(parsed)):
        symptom, _, advice = str(each).partition("; ")
        fix = _FIXES.get(each.code) or advice or "correct that line"
        found.append(
            ok("file", symptom, fix=fix) if each.code in _FINE else warning("file", symptom, "", fix)
        )
    settings = parsed.settings
    for problem in circles(file, settings, (*settings.listen, settings.upstream)):
        symptom, _, fix = problem.partition("; ")
        found.append(error("file", symptom, "the proxy does not start with it", fix))
    if not parsed.has_keys:
        add = "add `extensions: {litellm: {enabled: true, base-url: …, api-key: …, models: […]}}`, or name "
        symptom = f"no setting of litellm-hybrid is in {file}"
        fix = f"{add}the right file: `litellm-hybrid doctor -c FILE`"
        found.append(warning("file", symptom, "every request goes upstream", fix))
    return found or [ok("file", f"{file} has no errors and no warnings")]


def broken(failure: ConfigError) -> list[Finding]:
    """Repeat the errors of a file that cannot be used."""
    cause = "the proxy does not start with it, and takes no such change"
    parts = (problem.partition("; ") for problem in failure.problems)
    return [error("file", symptom, cause, fix or "correct that line") for symptom, _, fix in parts]


def access(settings: Settings) -> Finding:
    """Say who may spend LiteLLM's key."""
    host, port = settings.listen
    if is_loopback(host):
        who = "this machine's programs" + (" and clients with a key" if settings.client_keys else "")
        return ok("access", f"{who} may use LiteLLM through {listen_text(settings)}")
    if settings.client_keys:
        return ok("access", "clients elsewhere need a client key for LiteLLM")
    if settings.listen_without_keys:
        spends = settings.active and (settings.api_key is not None or settings.no_auth)
        may = "may spend LiteLLM's key" if spends else "may use it"
        return warning(
            "access",
            f"whoever reaches {host or 'any address'} port {port} {may}",
            "`listen-without-keys: true` and no client keys",
            f"{_MAKE_KEY}, and take listen-without-keys out",
        )
    return error(
        "access",
        f"it will not listen on {host or 'every address'} (port {port}) without client keys",
        "anyone on the network could spend LiteLLM's key",
        f"{_MAKE_KEY}; or `listen: 127.0.0.1:{port}`",
    )


def clock(results: Mapping[str, ProbeResult]) -> list[Finding]:
    """Compare this machine's clock with the servers': waits until a time of day depend on it."""
    skews = {
        name: skew
        for name in ("upstream-root", "litellm-alive")
        if isinstance(response := results.get(name), ProbeResponse)
        and (skew := response.clock_skew) is not None
    }
    if not skews:
        return []
    worst = max(skews, key=lambda name: abs(skews[name]))
    if abs(skews[worst]) <= MOST_SKEW:
        return [ok("clock", "the servers' clocks agree with this machine's")]
    server = {"upstream-root": "CLIProxyAPI", "litellm-alive": "LiteLLM"}[worst]
    side = "ahead of" if skews[worst] > 0 else "behind"
    return [
        warning(
            "clock",
            f"the clock of {server}'s machine is {abs(skews[worst]):.0f} s {side} this one's",
            "one of the two is wrong: waits until a time of day are read wrong by as much",
            "synchronise both: `timedatectl set-ntp true`",
        )
    ]


def surroundings(python: tuple[int, int], mitmproxy: str, lacking: str) -> list[Finding]:
    """Look at Python, and at mitmproxy and the names inside it that are overridden.

    Args:
        python: its version.
        mitmproxy: its version.
        lacking: what the proxy's own check of those names says, or "".
    """
    oldest = _dotted(OLDEST_PYTHON)
    found = [ok("python", f"Python {_dotted(python)}")]
    if python < OLDEST_PYTHON:
        fix = f"install it with a newer one: `uv tool install --python {oldest} litellm-hybrid`"
        found = [error("python", f"Python {_dotted(python)} is too old", f"it takes {oldest}", fix)]
    if lacking:
        symptom, _, fix = lacking.partition("; ")
        cause = "litellm-hybrid overrides names inside mitmproxy, and refuses to start without them"
        return [*found, error("mitmproxy", symptom, cause, fix)]
    return [*found, ok("mitmproxy", f"mitmproxy {mitmproxy} has what is overridden")]


def versions(mitmproxy: str) -> dict[str, str]:
    """Return the versions of what runs here."""
    return {"python": _dotted(sys.version_info[:3]), "mitmproxy": mitmproxy}


def _dotted(version: Iterable[int]) -> str:
    return ".".join(map(str, version))
