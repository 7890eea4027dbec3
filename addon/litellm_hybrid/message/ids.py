"""The ids of a request: X-Request-ID on both servers, and the trace of a client's `traceparent`."""

import itertools
import re
import time
from typing import NamedTuple

_VISIBLE_ASCII = re.compile(r"[\x21-\x7e]{1,128}")

# Version ff and ids that are all zeros are invalid; letters are lower case. A version that is not known yet
# may have more behind a fourth dash, and is read by what it has in common with version 00.
_TRACEPARENT = re.compile(
    r"(?!ff)(?P<version>[0-9a-f]{2})"
    r"-(?!0{32})(?P<trace_id>[0-9a-f]{32})"
    r"-(?!0{16})(?P<span_id>[0-9a-f]{16})"
    r"-[0-9a-f]{2}(?P<more>-.*)?"
)

_counter = itertools.count(1)


def is_valid(request_id: str) -> bool:
    """Whether a client's X-Request-ID is kept: 1 to 128 visible ASCII characters."""
    return _VISIBLE_ASCII.fullmatch(request_id) is not None


def choose(given: str | None) -> str:
    """The id for a request whose X-Request-ID is `given`: that one if it is valid, else a new one."""
    return given if given is not None and is_valid(given) else generate()


def generate() -> str:
    """A new id, `req-<nanoseconds since 1970>` as in the fork, with a counter that makes it unique."""
    return f"req-{time.time_ns()}-{next(_counter)}"


class Trace(NamedTuple):
    """Which span of which trace a request belongs to: 32 and 16 hexadecimal digits."""

    trace_id: str
    span_id: str


def parse_traceparent(value: str) -> Trace | None:
    """Read a `traceparent` (W3C Trace Context, 2021-11-23, section 3.2); None if it is not valid.

    More than one of them, joined by commas, is not. The header itself goes to both
    servers as it came, valid or not.
    """
    found = _TRACEPARENT.fullmatch(value)
    if found is None or (found["version"] == "00" and found["more"] is not None):
        return None
    return Trace(found["trace_id"], found["span_id"])
