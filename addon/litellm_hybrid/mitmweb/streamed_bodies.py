"""Streamed bodies kept for whoever sees flows: mitmproxy's option `store_streamed_bodies`.

mitmproxy forgets what it has streamed. Where flows are shown or saved, that is all
there is of an answer; where nobody sees them, keeping them would only cost memory.
"""

from mitmproxy import ctx, optmanager

_NAME = "store_streamed_bodies"


class StreamedBodies:
    """Turns the option on and off; never again once the user has set it, to whichever value."""

    def __init__(self) -> None:
        self._users = False
        self._setting = False

    def configure(self, updated: set[str], *, seen: bool) -> None:
        """Follow a change of options.

        Args:
            updated: the options that have changed; at start all of them.
            seen: whether anybody sees flows now.
        """
        if self._setting or _NAME not in ctx.options:
            return
        if _NAME in updated:
            # `false` on the command line is a wish, too, although it is the default.
            self._users = dict(ctx.options.items())[_NAME].value is not optmanager.unset
        if self._users or ctx.options.store_streamed_bodies is seen:
            return
        self._setting = True
        try:
            ctx.options.update(**{_NAME: seen})
        finally:
            self._setting = False
