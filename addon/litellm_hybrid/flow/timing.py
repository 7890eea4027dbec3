"""How long an exchange took, from the moments that mitmproxy has noted anyway."""

from typing import TypedDict

from mitmproxy import http


class Timing(TypedDict):
    """What the answer's log line says of time and size; None where it is not known.

    Attributes:
        duration_ms: from the first byte of the request to the last of the answer.
        first_byte_ms: from the last byte of the request to the first of the answer that is passed on.
        bytes: the size of the answer's body as it was sent, unless it was passed on piece by piece.
    """

    duration_ms: float | None
    first_byte_ms: float | None
    bytes: int | None


def of(flow: http.HTTPFlow) -> Timing:
    """The timing of a flow that has been answered."""
    asked, answered = flow.request, flow.response
    assert answered is not None
    body = answered.raw_content
    return Timing(
        duration_ms=_milliseconds(asked.timestamp_start, answered.timestamp_end),
        first_byte_ms=_milliseconds(asked.timestamp_end, answered.timestamp_start),
        bytes=None if body is None or answered.stream else len(body),
    )


def _milliseconds(start: float | None, end: float | None) -> float | None:
    if start is None or end is None:
        return None
    # The clock may have been set back meanwhile.
    return max(0.0, round((end - start) * 1000, 1))
