"""Who is at the address to listen on: nobody, the proxy itself, or another program."""

import errno
from collections.abc import Mapping

from litellm_hybrid.config.settings import Settings
from litellm_hybrid.diagnostics.doctor.probes import (
    ConnectFailure,
    FailureKind,
    ProbeResponse,
    ProbeResult,
    Program,
    identify,
    listen_text,
)
from litellm_hybrid.diagnostics.doctor.report import Finding, error, ok, warning

_FIXES = {
    "draining": "wait until it has ended, or start it again",
    "broken-configuration": "correct the file: `litellm-hybrid check FILE`; it is read again within 2 s",
    "no-configuration": "correct the file: `litellm-hybrid check FILE`; then start it again",
    "upstream-unreachable": "see what is said of upstream below; it is forgotten after 10 s",
    "litellm-unreachable": "see what is said of LiteLLM below; it is forgotten after 10 s",
}
"""By the reason of `/_hybrid/health`."""


def runs(results: Mapping[str, ProbeResult]) -> bool:
    """Tell whether litellm-hybrid answers there; also when it refuses to show its pages."""
    health = results.get("listen-health")
    return isinstance(health, ProbeResponse) and bool(health.header("x-hybrid-route"))


def check(settings: Settings, results: Mapping[str, ProbeResult], bound: OSError | None) -> list[Finding]:
    """Say what was found there.

    Args:
        settings: those of the file.
        results: what the probes met.
        bound: what the system says to a program that would listen there; None: it may.
    """
    where, port = listen_text(settings), settings.listen[1]
    if runs(results):
        return _ours(where, results["listen-health"])
    if bound is None:
        return [ok("listen", f"{where} is free; `litellm-hybrid serve` would listen there")]
    if bound.errno == errno.EACCES:
        cause, fix = f"ports below 1024 are root's, and {port} is one", "`listen: 127.0.0.1:8318`"
    elif bound.errno != errno.EADDRINUSE:
        cause = f"this machine has no such address ({bound.strerror})"
        fix = f"`listen: 127.0.0.1:{port}`, or one of the addresses of `ip -brief address`"
    else:
        other = port + 1 if port < 65535 else port - 1
        fix = f"`listen: 127.0.0.1:{other}`, or end that program: `ss -ltnp 'sport = :{port}'` names it"
        taken = f"{where} is taken by {_whom(results['listen-root'])}"
        return [error("listen", taken, "only one program can listen on a port", fix)]
    return [error("listen", f"nothing can listen on {where}", cause, fix)]


def _whom(root: ProbeResult) -> str:
    if isinstance(root, ConnectFailure) and root.kind is FailureKind.TIMEOUT:
        return "a program that does not answer"
    who = identify(root)
    return who if who and who is not Program.WEB_PAGE else Program.UNKNOWN


def _ours(where: str, health: ProbeResult) -> list[Finding]:
    value = health.json if isinstance(health, ProbeResponse) else None
    if not isinstance(value, dict) or "ready" not in value:
        return [ok("listen", f"litellm-hybrid runs at {where}; it shows its health to others only")]
    if value["ready"]:
        return [ok("listen", f"litellm-hybrid runs at {where} and is ready")]
    given = value.get("reasons")
    reasons = [each for each in given if isinstance(each, dict)] if isinstance(given, list) else []
    return [
        warning(
            "listen",
            f"litellm-hybrid runs at {where}, but is not ready: {each.get('reason')}",
            str(each.get("message")),
            _FIXES.get(str(each.get("reason")), f"see its log, and `curl http://{where}/_hybrid/health`"),
        )
        for each in reasons
    ]
