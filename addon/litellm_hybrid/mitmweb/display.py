"""What there is of us where flows are seen: an addon of its own inside ours."""

import logging

from mitmproxy import ctx, exceptions
from mitmproxy.addonmanager import Loader

from litellm_hybrid.mitmweb import retention
from litellm_hybrid.mitmweb.annotations import Annotations
from litellm_hybrid.mitmweb.flow_list import FlowList
from litellm_hybrid.mitmweb.flow_redaction import FlowRedactor, StreamedBodies
from litellm_hybrid.observability import log


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
            retention.DEFAULT,
            "How many flows, and how much of bodies, the list of mitmweb or of the console keeps. The oldest "
            "go first, marked ones last. A number, a size, both with a comma between them, or none.",
        )
        view = ctx.master.addons.get("view")
        if view is not None:
            self._annotations.view = view
            self._list = FlowList(view, self._annotations)
            self.addons.append(self._list)

    def configure(self, updated: set[str]) -> None:
        """Follow the options.

        Raises:
            OptionsError: while running, if the limit is none.
        """
        self._redactor.enabled = _is_seen()
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
            limit = retention.parse(text)
        except ValueError as e:
            if self._running:
                raise exceptions.OptionsError(str(e)) from e
            log.emit(logging.ERROR, f"litellm config: {e}", event="config-broken")
            return
        if self._list is not None:
            self._list.keeper.limit = limit


def _offer_views() -> None:
    from litellm_hybrid.mitmweb import contentview  # noqa: PLC0415 (many modules that nobody else needs)

    contentview.install()


def _is_seen() -> bool:
    """Whether anybody sees flows: mitmweb, or a file that they are saved to."""
    saved = any(getattr(ctx.options, name, None) for name in ("save_stream_file", "hardump"))
    return saved or ctx.master.addons.get("view") is not None
