"""What the doctor's probes meet, as values."""

import json

from litellm_hybrid.config.settings import Address, Secret
from litellm_hybrid.diagnostics.doctor.http_client import ConnectFailure, FailureKind, ProbeResponse
from litellm_hybrid.diagnostics.doctor.report import Finding

LITELLM = Address("http", "127.0.0.1", 4000)
KEY = Secret("sk-key-of-litellm")
ALIVE = ProbeResponse(200, (("content-type", "application/json"),), b'"I\'m alive!"')
PAGE = ProbeResponse(
    200, (("content-type", "text/html; charset=utf-8"),), b"<!doctype html><title>Hello</title>"
)
REFUSED = ConnectFailure(FailureKind.UNREACHABLE, "Connection refused")
NOT_FOUND = ProbeResponse(404, (), b"404 page not found")
NO_KEY = ProbeResponse(401, (), b'{"error":{"message":"No api key passed in.","type":"auth_error"}}')


def response(value: object, status: int = 200, **headers: str) -> ProbeResponse:
    """A response with a JSON body; `_` in a header's name stands for `-`."""
    fields = tuple((name.replace("_", "-"), text) for name, text in headers.items())
    return ProbeResponse(status, fields, json.dumps(value).encode())


def models(*names: str) -> ProbeResponse:
    """A list of models."""
    return response({"data": [{"id": name} for name in names]})


def summary(findings: list[Finding]) -> list[tuple[str, str]]:
    """What was looked at, and how bad it is."""
    return [(finding.check, finding.severity.value) for finding in findings]


CLIPROXYAPI = response({"message": "CLI Proxy API Server"})
