"""Server-sent events, read as the bytes come in.

The format is the WHATWG's (HTML Living Standard, section 9.2 "Server-sent
events"). Every byte is accounted for: the `raw` of all events read so far and
the reader's `pending` bytes, joined, are the input, so that held events can be
given to the client exactly as they came.
"""

import re
from dataclasses import dataclass

_BOM = b"\xef\xbb\xbf"
_LINE_END = re.compile(rb"[\r\n]")
_FIELDS = (b"data:", b"event:", b"id:", b"retry:", b":")


@dataclass(frozen=True, slots=True)
class Event:
    r"""One event of a stream.

    Attributes:
        name: the `event:` field; "" if there is none.
        data: the `data:` lines joined with "\n"; bytes that are not UTF-8 are replaced.
        raw: the event's bytes, with the comments and blank lines before it. After a
            CRLF the LF belongs to what follows, as it may not have come in yet.
    """

    name: str
    data: str
    raw: bytes = b""


class EventReader:
    """Reads events from chunks of bytes; where the chunks are cut makes no difference.

    It keeps the bytes of one unfinished event. How many those may become is the
    caller's to limit, by the length of what it has fed.
    """

    __slots__ = ("_after_cr", "_at_start", "_data", "_line", "_name", "_raw")

    def __init__(self) -> None:
        self._raw = bytearray()
        self._line = bytearray()
        self._after_cr = False
        self._at_start = True
        self._name = ""
        self._data: list[str] = []

    @property
    def pending(self) -> bytes:
        """What has been fed since the last complete event."""
        return bytes(self._raw)

    def feed(self, chunk: bytes) -> list[Event]:
        """The events that this chunk completes, in order."""
        events: list[Event] = []
        position = 0
        for end in _LINE_END.finditer(chunk):
            self._raw += chunk[position : end.end()]
            self._line += chunk[position : end.start()]
            position = end.end()
            second_half = self._after_cr and not self._line and end[0] == b"\n"
            self._after_cr = end[0] == b"\r"
            if not second_half and (event := self._end_line()):
                events.append(event)
        self._raw += chunk[position:]
        self._line += chunk[position:]
        return events

    def close(self) -> Event | None:
        """The last event of a stream that ended without the blank line, if there is one.

        The standard drops it; clients read it all the same, and CLIProxyAPI may
        close right behind an error.
        """
        if self._line:
            self._end_line()
        return self._end_line()

    def _end_line(self) -> Event | None:
        line = bytes(self._line)
        self._line.clear()
        if self._at_start:
            self._at_start = False
            line = line.removeprefix(_BOM)
        if line:
            self._field(line)
            return None
        name, data = self._name, self._data
        self._name, self._data = "", []
        if not data:
            return None
        raw = bytes(self._raw)
        self._raw.clear()
        return Event(name, "\n".join(data), raw)

    def _field(self, line: bytes) -> None:
        # A comment is a line whose field has no name. `id` and `retry` are for reconnecting clients.
        field, _, value = line.partition(b":")
        text = value.removeprefix(b" ").decode(errors="replace")
        if field == b"data":
            self._data.append(text)
        elif field == b"event":
            self._name = text


def events(body: bytes) -> list[Event]:
    """All events of a whole stream; the last one may lack its blank line."""
    reader = EventReader()
    found, last = reader.feed(body), reader.close()
    return [*found, last] if last else found


def is_stream(beginning: bytes) -> bool | None:
    """Whether a body, by its first bytes, is a stream of events, whatever its label says.

    Returns:
        None where there are too few of them to tell.
    """
    text = beginning[:64].lstrip()
    text = text.removeprefix(_BOM).lstrip()
    if text.startswith(_FIELDS):
        return True
    return None if any(field.startswith(text) for field in _FIELDS) or _BOM.startswith(text) else False
