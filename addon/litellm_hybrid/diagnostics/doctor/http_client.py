"""Send probes, many at once, and never wait longer than they say: the doctor's only module with sockets.

No redirect is followed, nothing is tried twice and no proxy of the environment is used: a server is met
as the proxy itself would meet it, with the same trusted certificates.
"""

import socket
import ssl
import threading
import time
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path

from litellm_hybrid.diagnostics.doctor.probes import (
    ConnectFailure,
    FailureKind,
    Probe,
    ProbeResponse,
    ProbeResult,
)
from litellm_hybrid.proxy import trust

_MOST = 4 * 1024 * 1024
"""Bytes of a body that are read; LiteLLM lists some hundred models in 30 kB."""

_NO_TLS = frozenset(
    {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG"}
)
"""OpenSSL's reasons where the other side speaks something else."""


def send(probe: Probe, tls_ca: Path | None = None) -> ProbeResult:
    """Send one request and read its response."""
    start = time.monotonic()
    try:
        connection = connect(probe, tls_ca)
    except OSError as e:  # of the file of authorities
        return failure(e)
    try:
        headers = {"Connection": "close", **dict(probe.headers)}
        connection.request(
            probe.method, probe.address.path + probe.path, body=probe.body or None, headers=headers
        )
        response = connection.getresponse()
        body = response.read(_MOST)
        fields = tuple((name.lower(), value) for name, value in response.getheaders())
        return ProbeResponse(response.status, fields, body, time.monotonic() - start, time.time())
    except (OSError, HTTPException) as e:
        return failure(e)
    finally:
        connection.close()


def connect(probe: Probe, tls_ca: Path | None = None) -> HTTPConnection:
    """Make a connection to the server, not opened yet."""
    address = probe.address
    if address.scheme == "https":
        context = trust.client_context(tls_ca)
        return HTTPSConnection(address.host, address.port, timeout=probe.within, context=context)
    return HTTPConnection(address.host, address.port, timeout=probe.within)


def failure(error: Exception) -> ConnectFailure:
    """Tell what an exception of a connection means."""
    detail = (error.strerror if isinstance(error, OSError) else "") or type(error).__name__
    match error:
        case ssl.SSLCertVerificationError():
            return ConnectFailure(FailureKind.CERTIFICATE, error.verify_message)
        case ssl.SSLError() if error.reason in _NO_TLS:
            return ConnectFailure(FailureKind.NO_TLS, error.reason)
        case TimeoutError():
            return ConnectFailure(FailureKind.TIMEOUT, "timed out")
        case ConnectionResetError() | BrokenPipeError():
            return ConnectFailure(FailureKind.NO_HTTP, "it closes the connection without a response")
        case ssl.SSLError() | HTTPException():
            return ConnectFailure(FailureKind.NO_HTTP, detail)
    return ConnectFailure(FailureKind.UNREACHABLE, detail)


def send_all(probes: Mapping[str, Probe], tls_ca: Path | None = None) -> dict[str, ProbeResult]:
    """Send all requests at once; what is not there when its time is over is a timeout.

    The threads are daemons: a name server that does not answer must not keep the program from ending.
    """
    results: dict[str, ProbeResult] = {}

    def run(name: str, each: Probe) -> None:
        results[name] = send(each, tls_ca)

    threads = [threading.Thread(target=run, args=item, daemon=True) for item in probes.items()]
    for thread in threads:
        thread.start()
    # A socket's limit begins anew with every piece: this one does not.
    deadline = time.monotonic() + max((each.within for each in probes.values()), default=0) + 1
    for thread in threads:
        thread.join(max(0, deadline - time.monotonic()))
    late = ConnectFailure(FailureKind.TIMEOUT, "timed out")
    return {name: results.get(name, late) for name in probes}


def binding(host: str, port: int) -> OSError | None:
    """Return what the system says to a program that would listen there; None: the address is free."""
    try:
        (family, kind, protocol, _, address), *_ = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        with socket.socket(family, kind, protocol) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(address)
            sock.listen(1)
    except OSError as e:
        return e
    return None
