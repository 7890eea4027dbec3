"""Why a server gives no response, or one that is not its own: the same for CLIProxyAPI and LiteLLM."""

from typing import NamedTuple
from urllib.parse import urlsplit

from litellm_hybrid.config.settings import Address
from litellm_hybrid.diagnostics.doctor.probes import ConnectFailure, FailureKind, ProbeResponse, Program
from litellm_hybrid.diagnostics.doctor.report import Finding, error


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


def upstream(address: Address) -> Server:
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
