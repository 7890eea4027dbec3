"""Server-sent events, read as the bytes come in.

The format is the WHATWG's (HTML Living Standard, section 9.2 "Server-sent events").
"""

import re
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

_BOM = b"\xef\xbb\xbf"
_FIELDS = (b"data:", b"event:", b"id:", b"retry:", b":")

# What is none of ours (comments, `id`, `retry`, which are for reconnecting clients), and behind it an
# `event`, or some `data` and blank lines with what comes between those. A megabyte can have 200,000 lines:
# no code of ours runs for each; an `event` that another one replaces, or that ends without data, is nothing.
_END = rb"(?>\r\n?|\n)"
_VALUE = rb"(?:: ?([^\r\n]*+))?" + _END
_OTHER = rb"(?!(?:data|event)[:\r\n])[^\r\n]++" + _END
_EVENT = rb"event(?::[^\r\n]*+)?" + _END
_LINES = re.compile(
    rb"(?:" + _OTHER + rb"|" + _EVENT + rb"(?=event[:\r\n]))*+"
    rb"(?:(event)" + _VALUE + rb"|((?:data(?::[^\r\n]*+)?" + _END + rb")++)?+"
    rb"([\r\n](?:[\r\n]|" + _OTHER + rb"|" + _EVENT + rb"(?=[\r\n]))*+)?+)"
)
_DATA = re.compile(rb"data" + _VALUE)


MOST_EVENTS = 500
"""How many events of a whole stream are looked at for content or an error."""


class Event(NamedTuple):
    r"""One event of a stream.

    Attributes:
        name: the `event:` field; "" if there is none.
        data: the `data:` lines joined with "\n"; bytes that are not UTF-8 are replaced.
    """

    name: str
    data: str


class EventReader:
    """Reads events from chunks of bytes; where the chunks are cut makes no difference.

    It keeps one unfinished event. How long that may become is the caller's to limit, by the length of what it
    has fed.
    """

    __slots__ = ("_after_cr", "_at_start", "_data", "_line", "_name")

    def __init__(self) -> None:
        self._line = bytearray()
        self._after_cr = False
        self._at_start = True
        self._name = ""
        self._data: list[bytes] = []

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """The events that this chunk completes, in order; to be read to the end before the next chunk."""
        if self._after_cr and chunk:
            chunk = chunk.removeprefix(b"\n")
            self._after_cr = False
        end = max(chunk.rfind(b"\n"), chunk.rfind(b"\r")) + 1
        if not end:
            self._line += chunk
            return
        lines = bytes(self._line + chunk[:end])
        self._line[:] = chunk[end:]
        self._after_cr = end == len(chunk) and lines.endswith(b"\r")
        if self._at_start:
            self._at_start = False
            lines = lines.removeprefix(_BOM)
        for found in _LINES.finditer(lines):
            is_event, name, data, is_blank = found.groups()
            if data:
                self._data += _DATA.findall(data)
            elif is_event:
                self._name = (name or b"").decode(errors="replace")
            if is_blank:
                if self._data:
                    yield self._ended()
                else:
                    self._name = ""

    def close(self) -> Event | None:
        """The last event of a stream that ended without the blank line, if there is one.

        The standard drops it; clients read it all the same, and CLIProxyAPI may
        close right behind an error.
        """
        ended = next(self.feed(b"\n"), None)
        return self._ended() if ended is None and self._data else ended

    def _ended(self) -> Event:
        event = Event(self._name, b"\n".join(self._data).decode(errors="replace"))
        self._name = ""
        self._data.clear()
        return event


def events(body: bytes) -> Iterator[Event]:
    """The first `MOST_EVENTS` of a whole stream; its last one may lack its blank line."""
    reader = EventReader()
    yield from islice(reader.feed(body), MOST_EVENTS)
    if last := reader.close():
        yield last


def is_stream(beginning: bytes) -> bool | None:
    """Whether a body is a stream of events, by its first bytes alone; None: too few to tell."""
    text = beginning[:64].lstrip()
    text = text.removeprefix(_BOM).lstrip()
    if text.startswith((b"{", b"[")):
        return False  # JSON, as mostly
    if text.startswith(_FIELDS):
        return True
    return None if any(field.startswith(text) for field in _FIELDS) or _BOM.startswith(text) else False
