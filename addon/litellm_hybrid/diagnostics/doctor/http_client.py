"""Send probes, many at once, and never wait longer than they say: the doctor's only module with sockets.

No redirect is followed, nothing is tried twice and no proxy of the environment is
used: a server is met as the proxy itself would meet it, with the same trusted
certificates.
"""

import socket
import ssl
import threading
import time
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException, HTTPSConnection, RemoteDisconnected

import certifi

from litellm_hybrid.diagnostics.doctor.probes import (
    ConnectFailure,
    FailureKind,
    Probe,
    ProbeResponse,
    ProbeResult,
)

_MOST = 4 * 1024 * 1024
"""Bytes of a body that are read; LiteLLM lists some hundred models in 30 kB."""

_NO_TLS = frozenset(
    {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG"}
)
"""OpenSSL's reasons where the other side speaks something else."""

_SELF_SIGNED = frozenset({18, 19})
"""OpenSSL's X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT and …_SELF_SIGNED_CERT_IN_CHAIN."""

# The first class that fits decides.
_KINDS: tuple[tuple[type[Exception], FailureKind], ...] = (
    (ssl.SSLCertVerificationError, FailureKind.CERTIFICATE),
    (ssl.SSLEOFError, FailureKind.CLOSED),
    (ssl.SSLError, FailureKind.TLS),
    (socket.gaierror, FailureKind.NO_HOST),
    (ConnectionRefusedError, FailureKind.REFUSED),
    (TimeoutError, FailureKind.TIMEOUT),
    (RemoteDisconnected, FailureKind.CLOSED),
    (ConnectionError, FailureKind.CLOSED),
    (OSError, FailureKind.UNREACHABLE),
    (HTTPException, FailureKind.NO_HTTP),
)


def send(wanted: Probe) -> ProbeResult:
    """Send one request and read its response."""
    start = time.monotonic()
    connection = connect(wanted)
    try:
        connection.request(
            wanted.method,
            wanted.address.path + wanted.path,
            body=wanted.body or None,
            headers={"Connection": "close", **dict(wanted.headers)},
        )
        response = connection.getresponse()
        body = response.read(_MOST)
        fields = tuple((name.lower(), value) for name, value in response.getheaders())
        return ProbeResponse(response.status, fields, body, time.monotonic() - start, time.time())
    except (OSError, HTTPException) as e:
        return failure(e)
    finally:
        connection.close()


def connect(wanted: Probe) -> HTTPConnection:
    """Make a connection to the server, not opened yet."""
    address = wanted.address
    if address.scheme == "https":
        trusted = ssl.create_default_context(cafile=certifi.where())  # mitmproxy trusts these
        return HTTPSConnection(address.host, address.port, timeout=wanted.within, context=trusted)
    return HTTPConnection(address.host, address.port, timeout=wanted.within)


def failure(error: Exception) -> ConnectFailure:
    """Tell what an exception of a connection means."""
    if isinstance(error, ssl.SSLError) and error.reason in _NO_TLS:
        return ConnectFailure(FailureKind.NO_TLS, error.reason)
    kind = next(kind for error_class, kind in _KINDS if isinstance(error, error_class))
    if isinstance(error, ssl.SSLCertVerificationError):
        kind = FailureKind.SELF_SIGNED if error.verify_code in _SELF_SIGNED else kind
        return ConnectFailure(kind, error.verify_message)
    if kind is FailureKind.TIMEOUT:
        return ConnectFailure(kind, "timed out")
    detail = error.strerror if isinstance(error, OSError) else type(error).__name__
    return ConnectFailure(kind, detail or type(error).__name__)


def send_all(wanted: Mapping[str, Probe]) -> dict[str, ProbeResult]:
    """Send all requests at once; what is not there when its time is over is a timeout.

    The threads are daemons: a name server that does not answer must not keep the program from ending.
    """
    seen: dict[str, ProbeResult] = {}

    def run(name: str, each: Probe) -> None:
        seen[name] = send(each)

    threads = [threading.Thread(target=run, args=item, daemon=True) for item in wanted.items()]
    for thread in threads:
        thread.start()
    # A socket's limit begins anew with every piece: this one does not.
    deadline = time.monotonic() + max((each.within for each in wanted.values()), default=0) + 1
    for thread in threads:
        thread.join(max(0, deadline - time.monotonic()))
    return {name: seen.get(name, ConnectFailure(FailureKind.TIMEOUT, "timed out")) for name in wanted}


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
