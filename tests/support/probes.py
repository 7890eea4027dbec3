"""What the doctor's probes meet, as values."""

import json
from collections.abc import Sequence

from litellm_hybrid.config.settings import Address, Secret
from litellm_hybrid.diagnostics.probes import FailureKind, ProbeResult, Results
from litellm_hybrid.diagnostics.report import Finding


def failed(kind: FailureKind, detail: str = "") -> ProbeResult:
    """No response."""
    return ProbeResult(failure=kind, detail=detail)


LITELLM = Address("http", "127.0.0.1", 4000)
KEY = Secret("sk-key-of-litellm")
ALIVE = ProbeResult(200, (("content-type", "application/json"),), b'"I\'m alive!"')
PAGE = ProbeResult(
    200, (("content-type", "text/html; charset=utf-8"),), b"<!doctype html><title>Hello</title>"
)
REFUSED = failed(FailureKind.UNREACHABLE, "Connection refused")
NOT_FOUND = ProbeResult(404, (), b"404 page not found")
NO_KEY = ProbeResult(401, (), b'{"error":{"message":"No api key passed in.","type":"auth_error"}}')


def response(value: object, status: int = 200, **headers: str) -> ProbeResult:
    """A response with a JSON body; `_` in a header's name stands for `-`."""
    fields = tuple((name.replace("_", "-"), text) for name, text in headers.items())
    return ProbeResult(status, fields, json.dumps(value).encode())


def models(*names: str) -> ProbeResult:
    """A list of models."""
    return response({"data": [{"id": name} for name in names]})


def lists(litellm: Sequence[str] | None, upstream: Sequence[str] | None) -> Results:
    """What the probes meet where each server lists these models; None: it shows them to nobody."""
    listed = {"litellm-open": litellm, "upstream-open": upstream}
    return Results({name: NO_KEY if names is None else models(*names) for name, names in listed.items()})


def summary(findings: list[Finding]) -> list[tuple[str, str]]:
    """What was looked at, and how bad it is."""
    return [(finding.check, finding.severity.value) for finding in findings]


CLIPROXYAPI = response({"message": "CLI Proxy API Server"})
