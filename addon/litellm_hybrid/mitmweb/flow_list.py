"""The rows of mitmweb and of mitmproxy's console: there only where there is such a list of flows.

mitmproxy tells mitmweb's page about a flow after each of its hooks, with the
request as it is then, credentials and all. Here the page is told instead, with
the masked request.

The option `litellm_view_limit` says how much the list may hold. The list is only looked
through after a part of the limit has come in, and then a part of it is made free at once:
a request costs about the same however long it is.
"""

import logging
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from mitmproxy import ctx, exceptions, http, optmanager
from mitmproxy.addonmanager import Loader
from mitmproxy.addons.view import View
from mitmproxy.flow import Flow

from litellm_hybrid.flow.exchange import Exchange
from litellm_hybrid.mitmweb.annotations import Annotations
from litellm_hybrid.mitmweb.flow_redaction import FlowRedactor, redacted
from litellm_hybrid.observability import log
from litellm_hybrid.routing.rules import Reason

# Without the path, which would take all the width there is and leave 150 px to the comment; that says more.
_COLUMNS = ["comment", "status", "time"]

DEFAULT_LIMIT = "2000,200MB"

_NONE = "none"
_SIZE = re.compile(r"(\d{1,9})\s*([kmg])i?b?", re.IGNORECASE)
_UNITS = {"k": 1024, "m": 1024**2, "g": 1024**3}
_SHARE = 20
"""One in so many of what the limit allows is made free at once."""
_SELDOM = 500
"""After so many flows, or a quarter of the limit, the list is looked through for what others put there."""


class Limit(NamedTuple):
    """The most that the list holds: how many flows, and how many bytes of bodies; None: any number."""

    rows: int | None = None
    size: int | None = None


class FlowList:
    """The list of flows, as an addon of its own inside ours: its hooks are called after the outer addon's."""

    name = "litellm_hybrid_flow_list"

    def __init__(self, view: View, annotations: Annotations) -> None:
        self._view = view
        self._annotations = annotations
        self.keeper = Keeper()
        # In the console the list and its updates are the terminal's own, and read flows as they are.
        self._is_web = False

    def load(self, _loader: Loader) -> None:
        """Show our comments in mitmweb's list, unless its columns have been chosen."""
        self._is_web = "web_columns" in ctx.options
        if self._is_web and not ctx.options.has_changed("web_columns"):
            ctx.options.update(web_columns=_COLUMNS)

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        """Add the row before mitmproxy does."""
        if self._is_web:
            with _masked(flow):
                self._view.add([flow])

    def request(self, flow: http.HTTPFlow) -> None:
        """Comment a request as soon as it has been decided where it goes."""
        if flow.live and not flow.is_replay:
            self._annotations.settled(flow)

    def response(self, flow: http.HTTPFlow) -> None:
        """Keep the list within its limit, and free of the proxy's own pages."""
        if self._is_own_page(flow):
            self._drop(flow)
        else:
            self.keeper.finished(self._view, flow)

    def error(self, flow: http.HTTPFlow) -> None:
        """Keep the list within its limit."""
        self.keeper.finished(self._view, flow)

    def update(self, flows: Sequence[Flow]) -> None:
        """Tell the page, so that mitmproxy does not.

        Raises:
            AddonHalt: it has been told.
        """
        if not self._is_web:
            return
        for flow in flows:
            if isinstance(flow, http.HTTPFlow) and flow.live:
                with _masked(flow):
                    self._view.update([flow])
            else:
                self._view.update([flow])
        raise exceptions.AddonHalt

    def _is_own_page(self, flow: http.HTTPFlow) -> bool:
        """Whether a flow is a client's request for one of the proxy's own pages, a health check for one."""
        exchange = Exchange.of(flow)
        is_own = exchange is not None and exchange.outcome.reason is Reason.OWN_PAGE
        return is_own and flow.live and not flow.is_replay

    def _drop(self, flow: http.HTTPFlow) -> None:
        if flow.marked or ("intercept_active" in ctx.options and ctx.options.intercept_active):
            return  # its row may be wanted to let the response go
        flow.live = False  # mitmproxy kills a live one
        try:
            self._view.remove([flow])
        finally:
            flow.live = True


@contextmanager
def _masked(flow: http.HTTPFlow) -> Iterator[None]:
    request = flow.request
    flow.request = redacted(request)
    try:
        yield
    finally:
        flow.request = request


# -- how much it may hold ------------------------------------------------------------


def parse_limit(text: str) -> Limit:
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
                f"give one of each at most, for example {DEFAULT_LIMIT}, 500, 1GB, or {_NONE} for no limit"
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


# -- whether anybody sees flows -------------------------------------------------------


class Display:
    """Follows the options: whether anybody sees flows, and how many of them."""

    name = "litellm_hybrid_display"

    def __init__(self, annotations: Annotations, redactor: FlowRedactor) -> None:
        self._annotations = annotations
        self._redactor = redactor
        self._bodies = StreamedBodies()
        self._list: FlowList | None = None
        self._running = False
        self.addons: list[object] = []

    def load(self, loader: Loader) -> None:
        """Declare our option, and take over the list of flows where there is one."""
        loader.add_option(
            "litellm_view_limit",
            str,
            DEFAULT_LIMIT,
            "How many flows, and how much of bodies, the list of mitmweb or of the console keeps. The oldest "
            "go first, marked ones last. A number, a size, both with a comma between them, or none.",
        )
        view = ctx.master.addons.get("view")
        if view is not None:
            self._list = FlowList(view, self._annotations)
            self.addons.append(self._list)

    def configure(self, updated: set[str]) -> None:
        """Follow the options.

        Raises:
            OptionsError: while running, if the limit is none.
        """
        self._redactor.enabled = self._annotations.enabled = _is_seen()
        self._bodies.configure(updated, seen=self._redactor.enabled)
        if self._redactor.enabled:
            _offer_views()
        if "litellm_view_limit" in updated:
            self._limit(ctx.options.litellm_view_limit)

    def running(self) -> None:
        """From now on a wrong option is refused; at start it ends the process."""
        self._running = True

    def _limit(self, text: str) -> None:
        try:
            limit = parse_limit(text)
        except ValueError as e:
            if self._running:
                raise exceptions.OptionsError(str(e)) from e
            log.emit(logging.ERROR, f"litellm config: {e}", event="config-broken")
            return
        if self._list is not None:
            self._list.keeper.limit = limit


class StreamedBodies:
    """Sets mitmproxy's option `store_streamed_bodies`; never again once the user has, to whichever value.

    mitmproxy forgets what it has streamed. Where flows are shown or saved, that is all there is of a
    response; where nobody sees them, keeping them would only cost memory.
    """

    _OPTION = "store_streamed_bodies"

    def __init__(self) -> None:
        self._is_users = False
        self._setting = False

    def configure(self, updated: set[str], *, seen: bool) -> None:
        """Follow a change of options, at start of all; `seen`: whether anybody sees flows now."""
        if self._setting or self._OPTION not in ctx.options:
            return
        if self._OPTION in updated:
            # `false` on the command line is a wish, too, although it is the default.
            self._is_users = dict(ctx.options.items())[self._OPTION].value is not optmanager.unset
        if self._is_users or ctx.options.store_streamed_bodies is seen:
            return
        self._setting = True
        try:
            ctx.options.update(**{self._OPTION: seen})
        finally:
            self._setting = False


def _offer_views() -> None:
    from litellm_hybrid.mitmweb import contentview  # noqa: PLC0415 (many modules that nobody else needs)

    contentview.install()


def _is_seen() -> bool:
    """Whether anybody sees flows: mitmweb, or a file that they are saved to."""
    saved = any(getattr(ctx.options, name, None) for name in ("save_stream_file", "hardump"))
    return saved or ctx.master.addons.get("view") is not None
