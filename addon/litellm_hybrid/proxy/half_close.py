"""Whether a client that sends no more still reads, or has left.

Both look the same on the wire: `shutdown(SHUT_WR)` sends a FIN as `close()` does, and only the next byte
sent to the client tells. Until then a response that nobody reads would be paid for. Linux knows of clients on
this machine, in its table of connections: one whose socket no process has any more has left.
"""

import socket
import struct
from ipaddress import IPv6Address, ip_address
from pathlib import Path

from mitmproxy.connection import Client

AT_ONCE = 1.0
"""A client of which nothing is known is taken to read on if its end comes within so many seconds of its
request: who half-closes does it right behind it, who gives up does not."""

RECHECK_FIRST, RECHECK_EVERY = 0.05, 1.0
"""Seconds between two looks; the first, because a socket is let go a moment after its FIN is sent."""

_PROC = Path("/proc/net")


def has_left(client: Client) -> bool | None:
    """Return whether a client's socket is gone; None: it is not on this machine, or that cannot be told."""
    try:
        (here, here_port), (there, there_port) = client.sockname[:2], client.peername[:2]
        pair = f" {_address(there, there_port)} {_address(here, here_port)} ".encode()
        table = _PROC / ("tcp6" if len(pair) > _IPV4_PAIR else "tcp")
        line = next((line for line in table.read_bytes().splitlines() if pair in line), None)
    except (OSError, ValueError):
        return None
    # sl, local, remote, state, queues, timer, retransmits, uid, timeout, inode
    return None if line is None else line.split()[9] == b"0"


_IPV4_PAIR = len(" 0100007F:0000 0100007F:0000 ")


def _address(host: str, port: int) -> str:
    """Return an address as the table has it: words of four bytes in the machine's own order."""
    address = ip_address(host.partition("%")[0])
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    packed = socket.inet_pton(family, str(address))
    words = struct.unpack(f"={len(packed) // 4}I", packed)
    return "".join(f"{word:08X}" for word in words) + f":{port:04X}"
