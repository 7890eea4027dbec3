"""Who is at the address to listen on."""

import errno

import pytest

from litellm_hybrid.config.settings import Settings
from litellm_hybrid.diagnostics.doctor.check_listen import check
from litellm_hybrid.diagnostics.doctor.probes import (
    ConnectFailure,
    FailureKind,
    ProbeResult,
)
from support.probes import CLIPROXYAPI, NOT_FOUND, PAGE, REFUSED, response


def health(**value: object) -> dict[str, ProbeResult]:
    return {
        "listen-health": response(value, x_hybrid_route="none; reason=own-page"),
        "listen-root": NOT_FOUND,
    }


def other(seen: ProbeResult) -> dict[str, ProbeResult]:
    return {"listen-health": NOT_FOUND, "listen-root": seen}


IN_USE = OSError(errno.EADDRINUSE, "Address already in use")
DOWN = {"reason": "upstream-unreachable", "message": "CLIProxyAPI could not be reached"}


@pytest.mark.parametrize(
    ("seen", "bound", "severity", "symptom", "fix"),
    [
        (other(REFUSED), None, "ok", "is free", ""),
        (health(live=True, ready=True, reasons=[]), None, "ok", "and is ready", ""),
        (health(live=True, ready=False, reasons=[DOWN]), None, "warning", "upstream-unreachable", "below"),
        (health(error="litellm_access_refused"), None, "ok", "to others only", ""),
        (other(CLIPROXYAPI), IN_USE, "error", "is taken by CLIProxyAPI", "`listen: 127.0.0.1:8319`"),
        (other(PAGE), IN_USE, "error", "is taken by another program", "ss -ltnp 'sport = :8318'"),
        (
            other(ConnectFailure(FailureKind.TIMEOUT)),
            IN_USE,
            "error",
            "by a program that does not answer",
            "ss -ltnp",
        ),
        (other(REFUSED), OSError(errno.EACCES, "denied"), "error", "nothing can listen on", "8318"),
        (
            other(REFUSED),
            OSError(errno.EADDRNOTAVAIL, "Cannot assign"),
            "error",
            "nothing can listen",
            "ip -brief",
        ),
    ],
)
def test_the_address_to_listen_on(
    seen: dict[str, ProbeResult], bound: OSError | None, severity: str, symptom: str, fix: str
) -> None:
    (finding,) = check(Settings(), seen, bound)
    assert (finding.severity, symptom in finding.symptom, fix in finding.fix) == (severity, True, True), (
        finding
    )
