"""The doctor's only room with sockets: asks servers, many at once, and never longer than it says.

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

from litellm_hybrid.diagnostics.doctor.probe_result import Answer, Ask, Failure, Seen, Trouble

_MOST = 4 * 1024 * 1024
"""Bytes of a body that are read; LiteLLM lists some hundred models in 30 kB."""

_NO_TLS = frozenset(
    {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG"}
)
"""OpenSSL's reasons where the other side speaks something else."""

# The first class that fits decides.
_TROUBLES: tuple[tuple[type[Exception], Trouble], ...] = (
    (ssl.SSLCertVerificationError, Trouble.CERTIFICATE),
    (ssl.SSLEOFError, Trouble.CLOSED),
    (ssl.SSLError, Trouble.TLS),
    (socket.gaierror, Trouble.NO_HOST),
    (ConnectionRefusedError, Trouble.REFUSED),
    (TimeoutError, Trouble.TIMEOUT),
    (RemoteDisconnected, Trouble.CLOSED),
    (ConnectionError, Trouble.CLOSED),
    (OSError, Trouble.UNREACHABLE),
    (HTTPException, Trouble.NO_HTTP),
)


def ask(wanted: Ask) -> Seen:
    """Send one request and read its answer."""
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
        return Answer(response.status, fields, body, time.monotonic() - start)
    except (OSError, HTTPException) as e:
        return failure(e)
    finally:
        connection.close()


def connect(wanted: Ask) -> HTTPConnection:
    """A connection to the server, not opened yet."""
    address = wanted.address
    if address.scheme == "https":
        trusted = ssl.create_default_context(cafile=certifi.where())  # mitmproxy trusts these
        return HTTPSConnection(address.host, address.port, timeout=wanted.within, context=trusted)
    return HTTPConnection(address.host, address.port, timeout=wanted.within)


def failure(error: Exception) -> Failure:
    """What an exception of a connection means."""
    if isinstance(error, ssl.SSLError) and error.reason in _NO_TLS:
        return Failure(Trouble.NO_TLS, error.reason)
    trouble = next(trouble for kind, trouble in _TROUBLES if isinstance(error, kind))
    if isinstance(error, ssl.SSLCertVerificationError):
        return Failure(trouble, error.verify_message)
    if trouble is Trouble.TIMEOUT:
        return Failure(trouble, "timed out")
    detail = error.strerror if isinstance(error, OSError) else type(error).__name__
    return Failure(trouble, detail or type(error).__name__)


def ask_all(wanted: Mapping[str, Ask]) -> dict[str, Seen]:
    """All requests at once; what is not there when its time is over is a timeout.

    The threads are daemons: a name server that does not answer must not keep the program from ending.
    """
    seen: dict[str, Seen] = {}

    def run(name: str, each: Ask) -> None:
        seen[name] = ask(each)

    threads = [threading.Thread(target=run, args=item, daemon=True) for item in wanted.items()]
    for thread in threads:
        thread.start()
    # A socket's limit begins anew with every piece: this one does not.
    deadline = time.monotonic() + max((each.within for each in wanted.values()), default=0) + 1
    for thread in threads:
        thread.join(max(0, deadline - time.monotonic()))
    return {name: seen.get(name, Failure(Trouble.TIMEOUT, "timed out")) for name in wanted}


def binding(host: str, port: int) -> OSError | None:
    """What the system says to a program that would listen there; None: the address is free."""
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
