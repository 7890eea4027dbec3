"""What makes a request cheaper than mitmproxy does; without it all works the same, only slower.

Measured on one core with tiny bodies: calling hooks here halves the cost of a request, `skip_self_checks`
takes a fifth off, `speed_up_lookups` a tenth. `tests/bench` measures them together.
"""

import copy
import inspect
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mitmproxy import addonmanager, ctx, exceptions, http, optmanager
from mitmproxy.log import LegacyLogEvents
from mitmproxy.proxy import commands
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layer import NextLayerHook
from mitmproxy.proxy.layers.http._hooks import (
    HttpRequestHeadersHook,
    HttpRequestHook,
    HttpResponseHeadersHook,
    HttpResponseHook,
)
from mitmproxy.proxy.server_hooks import (
    ClientDisconnectedHook,
    ServerConnectedHook,
    ServerConnectErrorHook,
    ServerConnectHook,
    ServerDisconnectedHook,
)

OF_A_REQUEST = (HttpRequestHeadersHook, HttpRequestHook, HttpResponseHeadersHook, HttpResponseHook)
"""The hooks of a request whose handlers can be called at once."""

OF_A_CONNECTION = (
    NextLayerHook,
    ServerConnectHook,
    ServerConnectedHook,
    ServerConnectErrorHook,
    ServerDisconnectedHook,
    ClientDisconnectedHook,
)
"""Those of a connection: they concern no flow."""

_ONBOARDING = "onboarding"
"""mitmproxy's addon that answers for http://mitm.it; it wants every request to be awaited."""

_UNCHANGEABLE = (str, int, float, type(None))

SWITCH = "LITELLM_HYBRID_RELAY"
"""The environment variable that turns relay.py and whole.py off with `off`: to measure, and to test them."""

type _Handler = Callable[[Any], None]


@dataclass
class WaitForResumeHook(commands.StartHook):
    """Nobody handles it: mitmproxy waits with it until an intercepted flow is resumed."""

    flow: http.HTTPFlow


class HookCalls:
    """Calls the handlers of a hook at once.

    mitmproxy starts a task for every hook, asks some 45 addons whether they have a handler, and comes back
    through all layers when the task is done.
    """

    def __init__(self) -> None:
        self._addons: tuple[object, ...] = ()
        self._found: dict[str, list[_Handler] | None] = {}
        self._onboarding: Any = None

    def call(self, hook: type[commands.StartHook], flow: http.HTTPFlow) -> bool:
        """Call the handlers of a hook; False: mitmproxy has to do it.

        That is so for what is no hook of a request, where a handler wants to be awaited, and where somebody
        wants to be told about every update, as mitmweb does.
        """
        if hook not in OF_A_REQUEST:
            return False
        handlers = self._find(hook.name)
        if handlers is None:
            return False
        if hook is HttpRequestHook and self._onboarding and flow.request.pretty_host == self._onboarding.host:
            return False  # for mitmproxy's own pages (http://mitm.it), whose handler has to be awaited
        _call(handlers, flow)
        return True

    def tell(self, hook: commands.StartHook) -> bool:
        """Call the handlers of a hook of a connection; False: mitmproxy has to do it."""
        handlers = self._find(hook.name) if isinstance(hook, OF_A_CONNECTION) else None
        if handlers:
            _call(handlers, *hook.args())
        return handlers is not None

    def _find(self, name: str) -> list[_Handler] | None:
        """Return the handlers in order, worked out once for each set of addons; None: mitmproxy has to."""
        addons = tuple(ctx.master.addons.lookup.values())
        if addons != self._addons:
            self._addons, self._found = addons, {}
            self._onboarding = ctx.master.addons.get(_ONBOARDING)
        if name not in self._found:
            handlers = _handlers(name)
            awaited = any(inspect.iscoroutinefunction(handler) for handler in handlers)
            self._found[name] = None if awaited or _handlers("update") else handlers
        return self._found[name]


def _call(handlers: list[_Handler], data: object) -> None:
    for handler in handlers:
        try:
            handler(data)
        except exceptions.AddonHalt:
            break
        except Exception:
            with addonmanager.safecall():
                raise


def _handlers(name: str) -> list[_Handler]:
    addons = addonmanager.traverse(ctx.master.addons.chain)
    every = (getattr(addon, name, None) for addon in addons if getattr(addon, "name", "") != _ONBOARDING)
    return [handler for handler in every if callable(handler)]


def relays() -> bool:
    """Whether bodies and messages may take the shorter ways of relay.py and whole.py."""
    return os.environ.get(SWITCH) != "off"


def set_host(request: http.Request, host: str) -> None:
    """Do what `request.headers["Host"] = host` does, where there is one quicker."""
    fields = request.data.headers.fields
    found = [
        at for at, (name, _) in enumerate(fields) if len(name) == len("host") and name.lower() == b"host"
    ]
    if len(found) == 1:
        at = found[0]
        request.data.headers.fields = (*fields[:at], (fields[at][0], host.encode()), *fields[at + 1 :])
    else:
        request.headers["Host"] = host


def message_like[M: http.Message](template: M, **fields: object) -> M:
    """Return a message of its own like `template`, but for these fields of its `data`, of the right types.

    Its constructor, and what checks its work, look at the type of each field.
    """
    made = template.__new__(type(template))
    made.data = data = template.data.__new__(type(template.data))
    vars(data).update(vars(template.data), **fields)
    return made


def spare_addons_log_lines() -> None:
    """Ask no addon about a line of the log where none has a handler for it.

    Why: mitmproxy asks all of its addons about each line, in a callback of its own, for the sake of those
    that still have `add_log`, which it has deprecated. It can go when mitmproxy has dropped that.
    """
    for handler in logging.getLogger().handlers:
        if isinstance(handler, LegacyLogEvents):
            handler.addFilter(_has_listener)


def _has_listener(_: logging.LogRecord) -> bool:
    return any(hasattr(addon, "add_log") for addon in tuple(ctx.master.addons.lookup.values()))


def speed_up_lookups() -> None:
    """Look headers up and write them in one pass, options and contexts without what is thrown away.

    Why: a request takes some forty look-ups of headers and a dozen of options, most of them mitmproxy's own.
    mitmproxy's calls two functions for each field of each, raises a KeyError for each header that is not
    there, and copies the options' plain values deeply; a forked context makes a server connection before it
    gets its own. What they return is the same (`tests/unit/proxy/test_fast_path.py`). It can go when
    mitmproxy's is as quick.
    """
    http.Headers.get_all = _get_all  # type: ignore[method-assign]
    http.Headers.get = _get  # type: ignore[method-assign, assignment]
    http.Headers.__contains__ = _contains  # type: ignore[method-assign, assignment]
    http.Headers.__bytes__ = _bytes  # type: ignore[method-assign]
    optmanager._Option.current = _current  # type: ignore[method-assign] # noqa: SLF001
    Context.fork = _fork  # type: ignore[method-assign]


def _get_all(self: http.Headers, name: str | bytes) -> list[str]:
    key = (name if isinstance(name, bytes) else name.encode("utf-8", "surrogateescape")).lower()
    length = len(key)
    return [
        value.decode("utf-8", "surrogateescape")
        for field, value in self.fields
        if len(field) == length and field.lower() == key
    ]


def _get[T](self: http.Headers, name: str | bytes, default: T | None = None) -> str | T | None:
    values = _get_all(self, name)
    return ", ".join(values) if values else default


def _contains(self: http.Headers, name: str | bytes) -> bool:
    return bool(_get_all(self, name))


def _bytes(self: http.Headers) -> bytes:
    return b"".join([b"%b: %b\r\n" % field for field in self.fields])


def _current(self: Any) -> Any:  # noqa: ANN401 (an option's value)
    value = self._default if self.value is optmanager.unset else self.value
    return value if isinstance(value, _UNCHANGEABLE) else copy.deepcopy(value)


def _fork(self: Context) -> Context:
    forked = Context.__new__(Context)
    forked.client, forked.options, forked.server = self.client, self.options, self.server
    forked.layers = self.layers.copy()
    return forked


def skip_self_checks() -> None:
    """Do without mitmproxy's check of the types in every message that it makes itself.

    Why: it costs a fifth of a small request, and each of its inner exceptions ties a request, its body and
    the whole stack into a circle that only a garbage collection ends. It is for tests of addons: mitmproxy
    leaves it out under `python -O` (`http.py`, `if __debug__`). For a process that is ours alone. It can go
    when mitmproxy makes the check an option, or `serve` starts its processes with `-O`.
    """
    http.MessageData.__post_init__ = lambda _: None  # type: ignore[method-assign]
