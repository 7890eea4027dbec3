"""The rows of mitmweb and of mitmproxy's console: there only where there is such a list of flows.

mitmproxy tells mitmweb's page about a flow after each of its hooks, with the
request as it is then, credentials and all. Here the page is told instead, with
the masked request.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from mitmproxy import ctx, exceptions, http
from mitmproxy.addonmanager import Loader
from mitmproxy.addons.view import View
from mitmproxy.flow import Flow

from litellm_hybrid.flow.exchange import Exchange
from litellm_hybrid.flow.request import redacted
from litellm_hybrid.mitmweb.annotations import Annotations
from litellm_hybrid.mitmweb.retention import Keeper
from litellm_hybrid.routing.rules import Reason

# Without the path: it would take all the width there is, and leave 150 px to the comment, which says more.
_COLUMNS = ["method", "comment", "status", "time"]


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
