"""How much mitmweb's list of flows may hold: the option `litellm_view_limit`, and the rows that go first.

The list is only looked through after a part of the limit has come in, and then a
part of it is made free at once: a request costs about the same however long it is.
"""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

from mitmproxy import http
from mitmproxy.flow import Flow

DEFAULT = "2000,200MB"

_NONE = "none"
_SIZE = re.compile(r"(\d{1,9})\s*([kmg])i?b?", re.IGNORECASE)
_UNITS = {"k": 1024, "m": 1024**2, "g": 1024**3}
_SHARE = 20
"""One in so many of what the limit allows is made free at once."""
_SELDOM = 500
"""After so many flows, or a quarter of the limit, the list is looked through for what others put there."""


class Limit(NamedTuple):
    """The most that the list holds.

    Attributes:
        rows: how many flows; None: any number.
        size: the bodies of all of them, in bytes; None: any size.
    """

    rows: int | None = None
    size: int | None = None


class View(Protocol):
    """The part of mitmweb's list of flows that is used here; it has all of them, shown or filtered out."""

    def store_count(self) -> int:
        """Return the number of flows."""
        ...

    def resolve(self, flow_spec: str) -> Sequence[Flow]:
        """Return the flows that a filter names, oldest first; `@all` names all."""
        ...

    def remove(self, flows: Sequence[Flow]) -> None:
        """Remove flows."""
        ...


def parse(text: str) -> Limit:
    """Parse the option: a number of flows, a size, both with a comma between them, or `none`.

    Raises:
        ValueError: it says something else; the message names it.
    """
    parts = [part.strip() for part in text.split(",")]
    if parts == [_NONE]:
        return Limit()
    limit = Limit()
    for part in parts:
        if part.isdecimal() and part.isascii() and limit.rows is None and int(part) > 0:
            limit = limit._replace(rows=int(part))
        elif (size := _SIZE.fullmatch(part)) and limit.size is None and int(size[1]) > 0:
            limit = limit._replace(size=int(size[1]) * _UNITS[size[2].lower()])
        else:
            raise ValueError(
                f"litellm_view_limit: {part!r} in {text!r} is neither a number of flows nor a size; "
                f"give one of each at most, for example {DEFAULT}, 500, 1GB, or {_NONE} for no limit"
            )
    return limit


class Keeper:
    """Keeps the list within its limit: the oldest go first, marked ones last, running ones never."""

    def __init__(self) -> None:
        self.limit = Limit()
        self._finished = 0
        self._size = 0

    def finished(self, view: View, flow: http.HTTPFlow) -> None:
        """Count a flow of the list that has ended, and remove old ones where there are too many."""
        self._finished += 1
        self._size += _size_of(flow)
        rows, size = self.limit
        too_many = rows is not None and view.store_count() > rows
        too_large = size is not None and self._size > size
        # A file that is opened in mitmweb, for example.
        unseen = size is not None and self._finished >= (rows // 4 if rows is not None else _SELDOM)
        if too_many or too_large or unseen:
            self._tidy(view)

    def _tidy(self, view: View) -> None:
        every = view.resolve("@all")
        sizes = {flow.id: _size_of(flow) for flow in every}
        self._finished, self._size = 0, sum(sizes.values())
        rows, size = self.limit
        free_rows = _to_free(len(every), rows)
        free_size = _to_free(self._size, size)
        for flow in _in_order(every):
            if free_rows <= 0 and free_size <= 0:
                return
            # One by one: for several at once mitmproxy tells the user.
            view.remove([flow])
            free_rows -= 1
            free_size -= sizes[flow.id]
            self._size -= sizes[flow.id]


def _size_of(flow: Flow) -> int:
    if not isinstance(flow, http.HTTPFlow):
        return 0
    size = sum(
        len(message.raw_content or b"") for message in (flow.request, flow.response) if message is not None
    )
    if flow.websocket is not None:
        size += sum(len(message.content) for message in flow.websocket.messages)
    return size


def _to_free(there: int, most: int | None) -> int:
    return there - most + most // _SHARE if most is not None and there > most else 0


def _in_order(every: Iterable[Flow]) -> list[Flow]:
    over = [flow for flow in every if not _is_running(flow)]
    return sorted(over, key=lambda flow: bool(flow.marked))


def _is_running(flow: Flow) -> bool:
    waits_for_replay = (
        isinstance(flow, http.HTTPFlow) and flow.is_replay and flow.response is None and flow.error is None
    )
    return flow.live or bool(waits_for_replay)
