"""Trace ids from a client's `traceparent`, by W3C Trace Context (Recommendation of 2021-11-23, section 3.2).

The header itself goes to both servers as it came, valid or not; this room only says what to log.
"""

import re
from typing import NamedTuple

# Version ff and ids that are all zeros are invalid; letters are lower case. A version that is not known yet
# may have more behind a fourth dash, and is read by what it has in common with version 00.
_TRACEPARENT = re.compile(
    r"(?!ff)(?P<version>[0-9a-f]{2})"
    r"-(?!0{32})(?P<trace_id>[0-9a-f]{32})"
    r"-(?!0{16})(?P<span_id>[0-9a-f]{16})"
    r"-[0-9a-f]{2}(?P<more>-.*)?"
)


class Trace(NamedTuple):
    """Which span of which trace a request belongs to: 32 and 16 hexadecimal digits."""

    trace_id: str
    span_id: str


def parse(traceparent: str) -> Trace | None:
    """Read a `traceparent`; None if it is not valid. More than one of them, joined by commas, is not."""
    found = _TRACEPARENT.fullmatch(traceparent)
    if found is None or (found["version"] == "00" and found["more"] is not None):
        return None
    return Trace(found["trace_id"], found["span_id"])
