"""Who is at the address to listen on: nobody, the proxy itself, or another program."""

import errno
from collections.abc import Mapping

from litellm_hybrid.config.settings import Settings
from litellm_hybrid.diagnostics.doctor import probes
from litellm_hybrid.diagnostics.doctor.probes import (
    FailureKind,
    ProbeResponse,
    ProbeResult,
    Program,
    identify,
)
from litellm_hybrid.diagnostics.doctor.report import Finding, Severity

_CHECK = "listen"


def runs(seen: Mapping[str, ProbeResult]) -> bool:
    """Whether litellm-hybrid answers there; also when it refuses to show its pages."""
    health = seen.get("listen-health")
    return isinstance(health, ProbeResponse) and bool(health.header("x-hybrid-route"))


def judge(settings: Settings, seen: Mapping[str, ProbeResult], bound: OSError | None) -> list[Finding]:
    """What was found there.

    Args:
        settings: those of the file.
        seen: the answers.
        bound: what the system says to a program that would listen there; None: it may.
    """
    where, port = probes.listen_text(settings), settings.listen[1]
    if runs(seen):
        return _ours(where, seen["listen-health"])
    if bound is None:
        return [Finding(_CHECK, Severity.OK, f"{where} is free; `litellm-hybrid serve` would listen there")]
    if bound.errno != errno.EADDRINUSE:
        return [_cannot(where, port, bound)]
    root = seen["listen-root"]
    who = identify(root)
    named: str = who if who and who is not Program.WEB_PAGE else Program.UNKNOWN
    if not isinstance(root, ProbeResponse) and root.kind is FailureKind.TIMEOUT:
        named = "a program that does not answer"
    return [
        Finding(
            _CHECK,
            Severity.ERROR,
            f"{where} is taken by {named}",
            "only one program can listen on a port",
            f"`listen: 127.0.0.1:{port + 1 if port < 65535 else port - 1}`, or end that program: "
            f"`ss -ltnp 'sport = :{port}'` names it",
        )
    ]


def _ours(where: str, health: ProbeResult) -> list[Finding]:
    value = health.json if isinstance(health, ProbeResponse) else None
    if not isinstance(value, dict) or "ready" not in value:
        return [
            Finding(
                _CHECK, Severity.OK, f"litellm-hybrid runs at {where}; it shows its health to others only"
            )
        ]
    if value["ready"]:
        return [Finding(_CHECK, Severity.OK, f"litellm-hybrid runs at {where} and is ready")]
    given = value.get("reasons")
    reasons = [each for each in given if isinstance(each, dict)] if isinstance(given, list) else []
    return [
        Finding(
            _CHECK,
            Severity.WARNING,
            f"litellm-hybrid runs at {where}, but is not ready: {each.get('reason')}",
            str(each.get("message")),
            _FIXES.get(str(each.get("reason")), f"see its log, and `curl http://{where}/_hybrid/health`"),
        )
        for each in reasons
    ]


_FIXES = {
    "draining": "wait until it has ended, or start it again",
    "broken-configuration": "correct the file: `litellm-hybrid check FILE`; it is read again within 2 s",
    "no-configuration": "correct the file: `litellm-hybrid check FILE`; then start it again",
    "upstream-unreachable": "see what is said of upstream below; it is forgotten after 10 s",
    "litellm-unreachable": "see what is said of LiteLLM below; it is forgotten after 10 s",
}


def _cannot(where: str, port: int, bound: OSError) -> Finding:
    if bound.errno == errno.EACCES:
        cause, fix = f"ports below 1024 are root's, and {port} is one", "`listen: 127.0.0.1:8318`"
    else:
        cause = f"this machine has no such address ({bound.strerror})"
        fix = f"`listen: 127.0.0.1:{port}`, or one of the addresses of `ip -brief address`"
    return Finding(_CHECK, Severity.ERROR, f"nothing can listen on {where}", cause, fix)
