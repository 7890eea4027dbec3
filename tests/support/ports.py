"""Ports where nobody else can come between: a stopped server's, and one that a process is about to take."""

import socket
from collections import deque

_HELD: deque[socket.socket] = deque()
_MANY = 256
"""As many of a test process's last ports stay its own; one test uses far fewer, and a process may open 1,024 files."""


def bound(port: int, host: str = "127.0.0.1") -> socket.socket:
    """A socket at `port` that does not listen: connecting there is refused, and the system gives it to nobody.

    Who binds it by number, and may reuse addresses as servers do, can listen there.
    """
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((host, port))
    return sock


def free_port(host: str = "127.0.0.1") -> int:
    """A port of `host` where nobody listens, and nobody else will: it stays this process's own."""
    sock = bound(0, host)
    _HELD.append(sock)
    while len(_HELD) > _MANY:
        _HELD.popleft().close()
    port: int = sock.getsockname()[1]
    return port
