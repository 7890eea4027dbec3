"""The commands of mitmweb's command bar and of mitmproxy's console: `litellm.status` and others.

They have no hooks: a request costs nothing for them.
"""

from collections.abc import Callable, Sequence
from time import monotonic, time

from mitmproxy import ctx, exceptions, http
from mitmproxy.addonmanager import Loader
from mitmproxy.flow import Flow

from litellm_hybrid.config.settings import Settings
from litellm_hybrid.fallback.controller import Fallbacks
from litellm_hybrid.flow import exchange
from litellm_hybrid.mitmweb import annotations as inspect
from litellm_hybrid.mitmweb import command_output as commands_text
from litellm_hybrid.mitmweb import reroute
from litellm_hybrid.mitmweb.flow_redaction import Showing
from litellm_hybrid.observability.status import Status

_MOST_EXPLAINED = 10
_NOT_GIVEN: Sequence[Flow] = ()


class Commands:
    """A part of the addon."""

    name = "litellm_hybrid_commands"

    def __init__(
        self,
        settings: Callable[[], Settings],
        status: Callable[[], Status],
        fallbacks: Fallbacks,
        showing: Showing,
    ) -> None:
        """Make them for the life of the process.

        Args:
            settings: gives those in force; RuntimeError: there are none.
            status: gives what the page `/_hybrid/status` shows.
            fallbacks: has the cooldowns.
            showing: has the requests as their clients sent them.
        """
        self._settings = settings
        self._status = status
        self._fallbacks = fallbacks
        self._showing = showing

    def load(self, loader: Loader) -> None:
        """Declare them."""
        loader.add_command("litellm.status", self.status)
        loader.add_command("litellm.explain", self.explain)
        loader.add_command("litellm.reroute", self.reroute)
        loader.add_command("litellm.cooldowns", self.cooldowns)
        loader.add_command("litellm.cooldowns.clear", self.clear_cooldowns)

    def status(self) -> Sequence[str]:
        """Show what is in force, what has been counted, and whether both servers are there."""
        return commands_text.status(self._status())

    def explain(self, flows: Sequence[Flow] = _NOT_GIVEN) -> Sequence[str]:
        """Explain why requests went where they went, and how to change that; by default the last one."""
        decided = _decided(self._every() if flows is _NOT_GIVEN else flows)
        if not decided:
            raise exceptions.CommandError("litellm-hybrid has decided on none of these flows")
        if flows is _NOT_GIVEN:
            del decided[:-1]
        lines: list[str] = []
        for flow in decided[:_MOST_EXPLAINED]:
            lines += commands_text.explain(self._in_force(), flow, self._original(flow))
        if len(decided) > _MOST_EXPLAINED:
            lines.append(f"and {len(decided) - _MOST_EXPLAINED} more: name fewer flows")
        return lines

    def reroute(self, flow: Flow) -> str:
        """Send a request once more, to the other server: LiteLLM or upstream. Its answer is a new row."""
        view = ctx.master.addons.get("view")
        originals = self._showing.originals
        if view is None or originals is None:
            raise exceptions.CommandError("there is no list of flows: use mitmweb")
        if not isinstance(flow, http.HTTPFlow):
            raise exceptions.CommandError("this is no HTTP request")
        original = originals.get(inspect.request_of(flow))
        try:
            new = reroute.to_other_side(flow, original, self._in_force(), self._fallbacks.replays)
        except reroute.RerouteError as e:
            raise exceptions.CommandError(f"cannot be rerouted: {e}") from e
        assert original is not None
        originals.put(new.id, original)
        new.comment = reroute.comment(new, flow)
        self._showing.keep(new)
        view.add([new])
        ctx.master.commands.call("replay.client", [new])
        return f"sent: {new.comment}"

    def cooldowns(self) -> Sequence[str]:
        """List the models for which upstream is not asked, and until when."""
        running = self._fallbacks.straight.cooldowns.running(monotonic())
        return commands_text.cooldowns(running, self._in_force().fallback.cooldown_max, time())

    def clear_cooldowns(self) -> str:
        """Ask upstream again for every model."""
        count = self._fallbacks.straight.cooldowns.clear_all()
        return f"{count} cleared; upstream is asked again"

    def _in_force(self) -> Settings:
        try:
            return self._settings()
        except RuntimeError as e:
            raise exceptions.CommandError(str(e)) from e

    def _original(self, flow: http.HTTPFlow) -> http.Request | None:
        originals = self._showing.originals
        return originals.get(inspect.request_of(flow)) if originals is not None else None

    def _every(self) -> Sequence[Flow]:
        view = ctx.master.addons.get("view")
        every: Sequence[Flow] = view.resolve("@all") if view is not None else ()
        return every


def _decided(flows: Sequence[Flow]) -> list[http.HTTPFlow]:
    return [flow for flow in flows if isinstance(flow, http.HTTPFlow) and exchange.get(flow) is not None]
