"""Why a server gives no response, or one that is not its own: the same for CLIProxyAPI and LiteLLM."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from litellm_hybrid.config.settings import Address
from litellm_hybrid.diagnostics.doctor.probes import ConnectFailure, FailureKind, ProbeResponse, Program
from litellm_hybrid.diagnostics.doctor.report import Finding, error


@dataclass(frozen=True, slots=True)
class Server:
    """One of the two servers, as the configuration names it.

    Attributes:
        check: the name of its findings.
        key: the setting that holds its address.
        start: how to start it, or to find its address.
        example: an address that is usual for it.
    """

    check: str
    program: Program
    key: str
    start: str
    example: str
    address: Address

    def error(self, symptom: str, cause: str, fix: str) -> Finding:
        """Something is wrong with it."""
        return error(self.check, symptom, cause, fix)


def upstream(address: Address) -> Server:
    """CLIProxyAPI at an address."""
    start = "start CLIProxyAPI (its config.yaml says host and port)"
    return Server("upstream", Program.CLIPROXYAPI, "upstream-url", start, "http://127.0.0.1:8317", address)


def litellm(address: Address) -> Server:
    """LiteLLM at an address."""
    start = "start it: `litellm --config litellm.yaml --host 127.0.0.1 --port 4000`"
    return Server("litellm", Program.LITELLM, "base-url", start, "http://127.0.0.1:4000", address)


# symptom, fix; `other` is the address with the other scheme.
_FAILURES = {
    FailureKind.REFUSED: (
        "nothing listens at {at}: {program} is not running, or listens elsewhere",
        "{start}, or write its address: `{key}: {example}`",
    ),
    FailureKind.NO_HOST: ("no address is known for the host of {at} ({detail})", "`{key}: {example}`"),
    FailureKind.UNREACHABLE: (
        "{at} cannot be reached: {detail}",
        "check the address in `{key}`, and the network: `curl -v {at}`",
    ),
    FailureKind.TIMEOUT: (
        "{at} does not answer in time: a firewall is in between, or {program} hangs",
        "try `curl -v --max-time 10 {at}`; restart {program} if it runs, else correct `{key}`",
    ),
    FailureKind.SELF_SIGNED: (
        "{at} has a self-signed certificate, which is not trusted",
        "serve plain http on this machine (`{key}`), or trust it: mitmdump's `--set {trust}`",
    ),
    FailureKind.CERTIFICATE: (
        "the certificate of {at} is not trusted: {detail}",
        "write its name into `{key}`, or trust an authority of your own: mitmdump's `--set {trust}`",
    ),
    FailureKind.NO_TLS: ("{at} does not speak TLS", "`{key}: {other}`"),
    FailureKind.TLS: (
        "no TLS connection to {at}: {detail}",
        "see what the server in `{key}` offers: `openssl s_client -connect {netloc}`",
    ),
    FailureKind.CLOSED: (
        "{at} closes the connection without an answer",
        "try `curl -v {at}`; if it serves https: `{key}: {other}`",
    ),
    FailureKind.NO_HTTP: (
        "what listens at {at} does not speak HTTP",
        "write the address of {program}: `{key}: {example}`; if it serves https: `{key}: {other}`",
    ),
}


def unreachable(server: Server, failure: ConnectFailure) -> Finding:
    """Say why there is no response, and what to do."""
    address = server.address
    other = Address("", address.host, address.port, address.path)
    words = {
        "program": server.program,
        "at": address,
        "key": server.key,
        "start": server.start,
        "example": server.example,
        "trust": "ssl_verify_upstream_trusted_ca=CA.pem",
        "detail": failure.detail or failure.kind,
        "netloc": f"{address.host}:{address.port}",
        "other": f"{'http' if address.scheme == 'https' else 'https'}{other}",
    }
    symptom, fix = (text.format(**words) for text in _FAILURES[failure.kind])
    return server.error(symptom, "", fix)


def another_program(server: Server, who: Program, response: ProbeResponse, path: str) -> Finding | None:
    """Say that what answers at the address is not this server; None: it is, or it may be.

    Args:
        server: what should be there.
        who: what seems to be there.
        response: its response to the request that was made for this.
        path: of that request.
    """
    at, key = server.address, server.key
    if who is server.program:
        return None
    if location := _redirect(response, path):
        fix = f"`{key}: {location}`"
        return server.error(f"{at} redirects to {location}", "the proxy follows no redirects", fix)
    if response.status == 400 and b"HTTPS" in response.body.upper():
        fix = f"`{key}: https{str(at).removeprefix('http')}`"
        return server.error(f"{at} wants https", f"{server.program} serves TLS there", fix)
    fix = f"write the address of {server.program}: `{key}: {server.example}`"
    if who is Program.WEB_PAGE or 300 <= response.status < 400:
        cause = f"a web site, or a login page in front of {server.program}, and not its API"
        return server.error(f"{at} answers with a web page", cause, fix)
    if who is Program.UNKNOWN:
        return None
    cause = "a request would go round in a circle" if who is Program.OURSELVES else "the two are mixed up"
    return server.error(f"at {at} is {who}, not {server.program}", cause, fix)


def _redirect(response: ProbeResponse, path: str) -> str:
    """Where another address is said to be the right one, without query and credentials; or ""."""
    if not 300 <= response.status < 400:
        return ""
    parts = urlsplit(response.header("location"))
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return ""
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{parts.hostname}{port}{parts.path.removesuffix(path).rstrip('/')}"
