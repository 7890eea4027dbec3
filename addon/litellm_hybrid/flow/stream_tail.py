"""The end of a streamed response: whether all of it has gone to the client, whoever hangs up next.

Clients like Codex close the connection once they have seen the event that ends a response, without waiting
for the connection's own end.
"""

from typing import Any

import msgspec

_TAIL_MAX = 4096
"""How much of a stream's end is kept, in bytes."""

_HEAD_MAX = 64

_LAST_EVENTS = 3
"""How many events are looked at: a ping, or a `[DONE]`, may come behind the one that ends a response."""

_TERMINAL = frozenset({"response.completed", "response.incomplete", "response.failed", "message_stop"})
"""OpenAI's Responses API and Anthropic's Messages API; a chat completion ends with `[DONE]`, Gemini's with a
chunk that has a `finishReason`."""

_LONG = tuple(
    form % name
    for name in (b"completed", b"incomplete", b"failed")
    for form in (b'"response.%s"', b" response.%s\n")
)
"""How the first bytes of an event name one that may be long."""

_json = msgspec.json.Decoder()


class StreamTail:
    """Keeps the end of what it is called with; to be mitmproxy's `response.stream`."""

    __slots__ = ("_head", "_tail")

    def __init__(self) -> None:
        self._head = b""
        self._tail = b""

    def __call__(self, data: bytes) -> bytes:
        """Take a piece that goes to the client, and return it."""
        if data.startswith((b"event:", b"data:")):  # servers write event by event
            self._head = data[:_HEAD_MAX]
        self._tail = data[-_TAIL_MAX:] if len(data) >= _TAIL_MAX else (self._tail + data)[-_TAIL_MAX:]
        return data

    @property
    def is_complete(self) -> bool:
        """Whether the event that ends a response has gone."""
        tail = self._tail.replace(b"\r\n", b"\n")
        events = [event for event in tail.split(b"\n\n") if event.strip()]
        if any(_is_terminal(event) for event in events[-_LAST_EVENTS:]):
            return True
        # An event longer than what is kept: the last one of the Responses API repeats the whole response.
        is_cut = len(events) == 1 and tail.endswith(b"\n\n")
        return is_cut and any(name in self._head for name in _LONG)


def _is_terminal(event: bytes) -> bool:
    lines = (line.removeprefix(b"data:") for line in event.split(b"\n") if line.startswith(b"data:"))
    data = b"\n".join(lines).strip()
    if data == b"[DONE]":
        return True
    try:
        found: Any = _json.decode(data)
    except (ValueError, RecursionError):
        return False
    if not isinstance(found, dict):
        return False
    candidates = found.get("candidates")
    if isinstance(candidates, list):
        return any(isinstance(candidate, dict) and candidate.get("finishReason") for candidate in candidates)
    return found.get("type") in _TERMINAL
