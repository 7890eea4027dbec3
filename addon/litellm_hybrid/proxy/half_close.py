"""Whether a client that sends no more still reads, or has left.

Both look the same on the wire: `shutdown(SHUT_WR)` sends a FIN as `close()` does, and only the next byte
sent to the client tells. Until then a response that nobody reads would be paid for. Linux knows of clients on
this machine, in its table of connections: one whose socket no process has any more has left.
"""

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
    """Return whether a client's socket is gone; None: it is not on this machine, or that cannot be told.

    Our own end is looked for first: a connection that was reset has none.
    """
    try:
        ours, theirs = _forms(*client.sockname[:2]), _forms(*client.peername[:2])
        own, clients = _inode(ours, theirs), _inode(theirs, ours)
    except (OSError, ValueError):
        return None
    if own is None:
        return True
    return None if clients is None else clients == "0"


def _inode(local: tuple[str, ...], remote: tuple[str, ...]) -> str | None:
    """Return the inode of a socket, "0" where no process has it any more; None: it is not in the table."""
    pairs = [f" {here} {there} " for here, there in zip(local, remote, strict=True)]
    for name in ("tcp", "tcp6"):
        for line in (_PROC / name).read_text().splitlines():
            if any(pair in line for pair in pairs):
                # sl, local, remote, state, queues, timer, retransmits, uid, timeout, inode
                return line.split()[9]
    return None


def _forms(host: str, port: int) -> tuple[str, ...]:
    """Return an address as the table has it: words of four bytes in the machine's own order.

    One of IPv4 stands there in two forms: a socket of IPv6 may have it too.
    """
    address = ip_address(host.partition("%")[0])
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    words = struct.unpack(f"={len(address.packed) // 4}I", address.packed)
    form = "".join(f"{word:08X}" for word in words) + f":{port:04X}"
    return (form, _MAPPED + form) if address.version == 4 else (form,)


_MAPPED = "".join(f"{word:08X}" for word in struct.unpack("=3I", bytes(10) + b"\xff\xff"))
