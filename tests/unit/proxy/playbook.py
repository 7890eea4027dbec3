"""Drives the HTTP layer of one client connection without sockets: events in, commands out.

Each method stands for one event and returns all that came of it, in order, as short lines:

    hook request                    a hook of mitmproxy; `Playbook.hooks` says what addons do in it
    open upstream                   a connection is wanted
    upstream < POST /v1/messages    bytes for a peer: of a head its first line, of a body all of it
    close upstream                  and what closing it leads to, in the next lines
    ask on_response 429             a question to the policy, `tell …` to the observer

Peers are called by their role: client, upstream, litellm; a second connection to one is `upstream#2`.
Time stands still but for `wait`. mitmproxy tests its own layers in this way (`test/mitmproxy/proxy/tutils.py`,
which its wheel lacks).
"""

import re
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from mitmproxy import http, options
from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.connection import Connection, ConnectionState, Server
from mitmproxy.proxy import commands, events, mode_specs
from mitmproxy.proxy.context import Context
from mitmproxy.test import tflow

from litellm_hybrid.config.settings import Timeouts
from litellm_hybrid.errors import Failure
from litellm_hybrid.proxy.held_response import HoldDecision
from litellm_hybrid.proxy.interfaces import HybridProxy
from litellm_hybrid.proxy.layer import HybridLayer
from litellm_hybrid.proxy.stream_base import Flush

LIMITS = Timeouts(connect=10, first_byte=600, idle=300, upload=900)
PORTS = {8317: "upstream", 4000: "litellm"}


class Clock:
    """Seconds that pass only where a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Hold:
    """Holds until a body says `fine` or `broken`, or ends; an error status is a failure in itself."""

    def __init__(self, status: int, due: float) -> None:
        self.status, self.due = status, due
        self.body = bytearray()
        self.complete = self.is_failure = self.closed = False

    def feed(self, data: bytes, **_: float) -> HoldDecision:
        self.body += data
        self.is_failure = self.is_failure or b"broken" in self.body
        return HoldDecision.RELEASE if b"fine" in self.body else HoldDecision.HOLD

    def end(self, *, now: float) -> HoldDecision:  # noqa: ARG002
        self.complete = True
        self.is_failure = self.is_failure or self.status >= 400
        return HoldDecision.REPLACE if self.is_failure else HoldDecision.RELEASE

    def expire(self, *, now: float) -> HoldDecision:
        assert now
        self.is_failure = self.is_failure or self.status == 429
        if self.is_failure:
            return HoldDecision.REPLACE
        return HoldDecision.TIMED_OUT if self.status < 400 else HoldDecision.RELEASE

    def close(self) -> None:
        assert not self.closed
        self.closed = True


@dataclass
class Rest:
    """Policy, view and observer in one; it holds what could be a failure, and replays nothing by itself."""

    lines: list[str]
    clock: Clock
    limits_: Timeouts = LIMITS
    hold_for: float = 45.0
    soft_limit: float | None = None
    decided: bool = True
    tells_replays: bool = False
    replacements: list[http.Request | None] = field(default_factory=list)
    holds: list[Hold] = field(default_factory=list)
    flows: list[http.HTTPFlow] = field(default_factory=list)

    def limits(self) -> Timeouts:
        return self.limits_

    def first_byte_limit(self, flow: http.HTTPFlow) -> float | None:  # noqa: ARG002
        return self.soft_limit

    def may_forward(self, flow: http.HTTPFlow) -> bool:  # noqa: ARG002
        return self.decided

    def on_response(self, flow: http.HTTPFlow, response: http.Response) -> Hold | None:
        assert "secret" in flow.request.headers.get("authorization", "secret")
        self.lines.append(f"ask on_response {response.status_code}")
        if response.status_code < 400 and "json" not in response.headers.get("content-type", ""):
            return None
        self.holds.append(Hold(response.status_code, self.clock() + self.hold_for))
        return self.holds[-1]

    def reserve(self, flow: http.HTTPFlow, why: Failure | Hold) -> None:
        """No budget."""

    def on_failed_response(self, flow: http.HTTPFlow, held: Hold) -> http.Request | None:
        assert flow.response is not None
        self.lines.append(f"ask on_failed_response {flow.response.status_code} {held.body.decode()}".rstrip())
        return self._replacement()

    def on_failure(self, flow: http.HTTPFlow, failure: Failure) -> http.Request | None:  # noqa: ARG002
        self.lines.append(f"ask on_failure {failure.cause}")
        return self._replacement()

    def _replacement(self) -> http.Request | None:
        return self.replacements.pop(0) if self.replacements else None

    def error_response(self, flow: http.HTTPFlow, failure: Failure) -> http.Response:  # noqa: ARG002
        return http.Response.make(502, b"ours", {"Content-Type": "application/json"})

    def restore_credentials(self, flow: http.HTTPFlow) -> None:
        self.flows.append(flow)

    def response(self, flow: http.HTTPFlow) -> http.Response | None:
        return flow.response

    def redacted(self, flow: http.HTTPFlow) -> http.Request:
        shown = flow.request.copy()
        shown.headers["authorization"] = "***"
        return shown

    def request_begun(self, flow: http.HTTPFlow, host: str) -> None:
        """Nothing is kept of it."""

    def response_begun(self, flow: http.HTTPFlow, response: http.Response) -> None:
        """Nothing is kept of it."""

    def malformed(self, client: str, why: str) -> None:  # noqa: ARG002
        self.lines.append("tell malformed")

    def hold_limit_reached(self, flow: http.HTTPFlow, held: Hold) -> None:  # noqa: ARG002
        self.lines.append("tell hold_limit_reached")

    def request_sent(self, flow: http.HTTPFlow) -> None:
        """Nothing is kept of it."""

    def replay_begun(self, flow: http.HTTPFlow) -> None:  # noqa: ARG002
        if self.tells_replays:
            self.lines.append("tell replay_begun")

    def replay_failed(self, flow: http.HTTPFlow, why: str, held: Hold | None) -> None:  # noqa: ARG002
        assert flow.response is not None
        self.lines.append(f"tell replay_failed {why}, {flow.response.status_code} stands")

    def sent_again(self, flow: http.HTTPFlow) -> None:  # noqa: ARG002
        self.lines.append("tell sent_again")

    def failed(self, flow: http.HTTPFlow, failure: Failure, *, response_begun: bool) -> None:  # noqa: ARG002
        self.lines.append(f"tell failed {failure.cause}{', begun' if response_begun else ''}")


class Playbook:
    """One client connection over HTTP/1, in the mode `reverse:http://upstream:8317`.

    Attributes:
        hooks: what addons do in a hook, by its name; they are called at once.
        paused: names of hooks that do not end before `resume`.
        rest: policy, view and observer.
        left: what is known of a client that half-closes.
        sent_to_client: every byte of it.
    """

    hooks: dict[str, Callable[[http.HTTPFlow], None]]

    def __init__(self, clock: Clock) -> None:
        self.lines: list[str] = []
        self.rest = Rest(self.lines, clock)
        self.hooks = {"responseheaders": _stream}
        self.paused: set[str] = set()
        self.left: bool | None = False
        self.sent_to_client = b""
        self._clock = clock
        self.options = options.Options()
        Proxyserver().load(self.options)  # it adds its own
        client = tflow.tclient_conn()
        client.proxy_mode = mode_specs.ProxyMode.parse("reverse:http://upstream:8317")
        client.state, client.alpn, client.sni = ConnectionState.OPEN, None, None
        self.client_connection = client
        self._names: dict[Connection, str] = {client: "client"}
        self._counts: Counter[str] = Counter()
        self._queue: deque[events.Event] = deque()
        self._opening: dict[str, commands.OpenConnection] = {}
        self._waiting: list[commands.StartHook] = []
        self._wakeups: list[tuple[float, commands.RequestWakeup]] = []
        context = Context(client, self.options)
        context.server.address = ("upstream", 8317)
        proxy = HybridProxy(
            self.rest,
            self.rest,
            self.rest,
            clock=clock,
            has_left=lambda client: self.left,  # noqa: ARG005
        )
        proxy.hooks = None
        self.layer = HybridLayer(context, proxy)
        assert self._feed(events.Start()) == []

    # -- events -----------------------------------------------------------

    def client(self, data: bytes) -> list[str]:
        """The client sends."""
        return self._feed(events.DataReceived(self.client_connection, data))

    def client_leaves(self) -> list[str]:
        """The client closes its connection, both ways."""
        return self._close(self.client_connection)

    def client_half_closes(self) -> list[str]:
        """The client sends no more, but reads on."""
        return self._close(self.client_connection, ConnectionState.CAN_WRITE)

    def connected(self, name: str) -> list[str]:
        """A connection that was wanted is there."""
        command = self._opening.pop(name)
        command.connection.state = ConnectionState.OPEN
        return self._feed(events.OpenConnectionCompleted(command, None))

    def refused(self, name: str, error: str = "[Errno 111] Connect call failed") -> list[str]:
        """A connection that was wanted cannot be had."""
        command = self._opening.pop(name)
        command.connection.error = error
        return self._feed(events.OpenConnectionCompleted(command, error))

    def server(self, name: str, data: bytes) -> list[str]:
        """A server sends."""
        return self._feed(events.DataReceived(self._connection(name), data))

    def server_closes(self, name: str) -> list[str]:
        """A server closes its connection."""
        return self._close(self._connection(name), ConnectionState.CAN_WRITE)

    def resume(self) -> list[str]:
        """The hooks that have been paused end."""
        self.paused.clear()
        waiting, self._waiting = self._waiting, []
        return [line for hook in waiting for line in self._feed(events.HookCompleted(hook, None))]

    def wait(self, seconds: float) -> list[str]:
        """Time passes, and the wakeups that are due come."""
        end, lines = self._clock.now + seconds, list[str]()
        while due := sorted((entry for entry in self._wakeups if entry[0] <= end), key=lambda e: e[0]):
            self._wakeups.remove(due[0])
            self._clock.now = max(self._clock.now, due[0][0])
            lines += self._feed(events.Wakeup(due[0][1]))
        self._clock.now = end
        return lines

    @property
    def is_idle(self) -> bool:
        """Whether nothing is left of any request."""
        return not self.layer.streams and all(hold.closed for hold in self.rest.holds)

    # -- commands ---------------------------------------------------------

    def _feed(self, event: events.Event) -> list[str]:
        start = len(self.lines)
        self._queue.append(event)
        while self._queue:
            for command in self.layer.handle_event(self._queue.popleft()):
                self._note(command)
        return self.lines[start:]

    def _note(self, command: commands.Command) -> None:
        match command:
            case commands.SendData():
                if command.connection is self.client_connection:
                    self.sent_to_client += command.data
                peer = self._names[command.connection]
                self.lines += [f"{peer} < {part}" for part in _parts(command.data)]
            case commands.OpenConnection():
                self._open(command)
            case commands.CloseTcpConnection(half_close=True):
                self.lines.append(f"half-close {self._names[command.connection]}")
            case commands.CloseConnection():
                self._closed(command.connection)
            case commands.RequestWakeup():
                self._wakeups.append((self._clock.now + command.delay, command))
            case commands.StartHook():
                self._hook(command)
            case commands.Log() | Flush():
                pass
            case _:
                raise AssertionError(command)

    def _open(self, command: commands.OpenConnection) -> None:
        assert command.connection.address
        role = PORTS[command.connection.address[1]]
        self._counts[role] += 1
        name = role if self._counts[role] == 1 else f"{role}#{self._counts[role]}"
        self._names[command.connection] = name
        self._opening[name] = command
        self.lines.append(f"open {name}")

    def _closed(self, connection: Connection) -> None:
        if connection.state is ConnectionState.CLOSED and self._names[connection] not in self._opening:
            return  # it has been closed already: mitmproxy has no socket any more to close
        self.lines.append(f"close {self._names[connection]}")
        connection.state = ConnectionState.CLOSED
        opening = self._opening.pop(self._names[connection], None)
        if opening is not None:
            connection.error = "closed by command"
            self._queue.append(events.OpenConnectionCompleted(opening, "closed by command"))
        else:
            self._queue.append(events.ConnectionClosed(connection))

    def _close(self, connection: Connection, state: ConnectionState = ConnectionState.CLOSED) -> list[str]:
        connection.state = state
        return self._feed(events.ConnectionClosed(connection))

    def _hook(self, hook: commands.StartHook) -> None:
        self.lines.append(f"hook {hook.name}")
        (flow,) = hook.args()
        if hook.name in self.hooks:
            self.hooks[hook.name](flow)
        if hook.name in self.paused:
            self._waiting.append(hook)
        elif hook.blocking:
            self._queue.append(events.HookCompleted(hook, None))

    def _connection(self, name: str) -> Server:
        (found,) = (connection for connection, known in self._names.items() if known == name)
        assert isinstance(found, Server)
        return found


def _stream(flow: http.HTTPFlow) -> None:
    """As the addon does."""
    assert flow.response is not None
    flow.response.stream = flow.response.raw_content is None and flow.request.method != "HEAD"


_HEAD = re.compile(rb"(\S+ [^\r\n]*)\r\n.*?\r\n\r\n", re.DOTALL)


def _parts(data: bytes) -> list[str]:
    head = _HEAD.match(data)
    if head is None:
        return [data.decode().replace("\r\n", "/")]
    first = head[1].removeprefix(b"HTTP/1.1 ").removesuffix(b" HTTP/1.1").decode()
    body = data[head.end() :].decode()
    return [first, body] if body else [first]
