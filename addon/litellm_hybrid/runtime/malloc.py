"""How the C library hands memory back to the system.

glibc learns from the blocks it frees: after one body of 2 MB it takes such
blocks from the heap, and gives the heap's end back each time it is free, only
to fetch it again, page by page, for the next body: a third of the CPU time of
a request with 2 MB. Source: man 3 mallopt.
"""

import ctypes
import sys
from contextlib import suppress

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3

KEPT = 64 * 1024 * 1024
"""How much free memory, in bytes, the process keeps for the next body."""

MAPPED = 16 * 1024 * 1024
"""A block of this length, in bytes, or longer goes back as soon as it is free."""


def tune_malloc() -> bool:
    """Keep freed memory for the next body, up to `KEPT`; False where the C library is not glibc."""
    if sys.platform != "linux":
        return False
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        return bool(mallopt(_M_TRIM_THRESHOLD, KEPT) and mallopt(_M_MMAP_THRESHOLD, MAPPED))
    return False
