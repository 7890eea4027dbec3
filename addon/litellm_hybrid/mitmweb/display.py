"""What there is of us where flows are seen: an addon of its own inside ours."""

import logging

from mitmproxy import ctx, exceptions, optmanager
from mitmproxy.addonmanager import Loader

from litellm_hybrid.mitmweb.annotations import Annotations
from litellm_hybrid.mitmweb.flow_list import DEFAULT_LIMIT, FlowList, parse_limit
from litellm_hybrid.mitmweb.flow_redaction import FlowRedactor
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
            DEFAULT_LIMIT,
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
