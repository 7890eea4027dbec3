"""Every field and every event that a log line may have: one table for code, tests and docs/logs.md."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Literal, NamedTuple, Required, TypedDict, get_args, get_type_hints


class About(NamedTuple):
    """What docs/logs.md says of a field: what it means, and on which lines it is."""

    meaning: str
    present: str


_ALWAYS = "always"
_OF_REQUEST = "lines about a request"
_NAMED = "lines about a request that names a model"
_TRACED = "lines about a request with a valid `traceparent`"
_ANSWERED = "event `answered`"
_DECIDED = "events `routed` and `answered`"
_FAILED = "events `error` and `client-disconnected`"
_FELL_BACK = "event `fallback`, where upstream answered"

Event = Literal[
    "serving",
    "draining",
    "drain-timeout",
    "ended",
    "worker-ended",
    "crashed",
    "config-loaded",
    "config-changed",
    "config-warning",
    "config-broken",
    "request-id-replaced",
    "routed",
    "answered",
    "fallback",
    "fallback-failed",
    "fallback-refused",
    "unknown-model",
    "upstream-login-expired",
    "history-reduced",
    "history-retry-failed",
    "hold-limit-reached",
    "hold-capacity-reached",
    "stateful",
    "error",
    "client-disconnected",
    "refused",
]
"""What a line of ours says, for programs; its message says it to people."""


class Line(TypedDict, total=False):
    """What the log itself puts on a line, mitmproxy's lines included."""

    time: Annotated[str, About("RFC 3339, UTC, with milliseconds", _ALWAYS)]
    level: Annotated[str, About("`debug`, `info`, `alert`, `warning`, `error` or `critical`", _ALWAYS)]
    logger: Annotated[str, About("who says it: `litellm_hybrid`, or a part of mitmproxy or Python", _ALWAYS)]
    message: Annotated[str, About("for people; the lines of the fork are here as they were", _ALWAYS)]
    client: Annotated[str, About("a client connection's address and port", "some of mitmproxy's lines")]
    traceback: Annotated[str, About("Python's, with its line breaks", "lines about an exception")]


class Fields(TypedDict, total=False):
    """What a line of ours may say of its own; None is left out."""

    event: Required[Annotated[Event, About("what the line says, see below", "lines of `litellm_hybrid`")]]
    request_id: Annotated[str | None, About("the same on all lines about a request", _OF_REQUEST)]
    method: Annotated[str | None, About("of the request", _OF_REQUEST)]
    path: Annotated[str | None, About("of the request, without its query", _OF_REQUEST)]
    client_ip: Annotated[str | None, About("who sent it; behind trusted proxies, their client", _OF_REQUEST)]
    target: Annotated[
        str | None, About("where it goes or would: `litellm`, `upstream` or `none`", _OF_REQUEST)
    ]
    model: Annotated[str | None, About("as the client named it", _NAMED)]
    trace_id: Annotated[str | None, About("W3C Trace Context: 32 hexadecimal digits", _TRACED)]
    span_id: Annotated[str | None, About("the client's span in it: 16 hexadecimal digits", _TRACED)]
    reason: Annotated[str | None, About("why it went there, as in `x-hybrid-route`", _DECIDED)]
    sends: Annotated[str | None, About("the name that LiteLLM gets for the model", "event `routed`")]
    status: Annotated[int | None, About("what the client was answered", _ANSWERED)]
    duration_ms: Annotated[
        float | None, About("from the request's first byte to the answer's last", _ANSWERED)
    ]
    first_byte_ms: Annotated[
        float | None, About("from the request's last byte to the first of the answer passed on", _ANSWERED)
    ]
    bytes: Annotated[int | None, About("the body's size on the wire", f"{_ANSWERED}, unless streamed")]
    kind: Annotated[str | None, About("of failure, as in `fallback.on`", _FELL_BACK)]
    rule: Annotated[str | None, About("the rule that recognised it", _FELL_BACK)]
    retry_after: Annotated[float | None, About("seconds, if upstream's answer says", _FELL_BACK)]
    upstream_message: Annotated[str | None, About("upstream's words", _FELL_BACK)]
    litellm_message: Annotated[str | None, About("LiteLLM's words", "event `fallback-failed`, if any")]
    error_type: Annotated[
        str | None,
        About(
            "`timeout`, `network_timeout`, `network_error`, `client_disconnect`, `proxy_error` or `unknown`",
            _FAILED,
        ),
    ]
    error: Annotated[str | None, About("what happened, in full", f"{_FAILED}, but for our own faults")]


class OfRequest(TypedDict):
    """The fields that every line about a request has."""

    method: str
    path: str
    client_ip: str
    request_id: str
    target: str
    model: str | None
    trace_id: str | None
    span_id: str | None


class Column(NamedTuple):
    """A row of the table: the field's name, its type in JSON, and what it is."""

    name: str
    type: str
    about: About


def table() -> tuple[Column, ...]:
    """Every field, in the order of docs/logs.md."""
    return tuple(
        Column(name, _json_type(hint), *_about(hint))
        for part in (Line, Fields)
        for name, hint in get_type_hints(part, include_extras=True).items()
    )


EVENTS: Mapping[Event, str] = MappingProxyType(
    {
        "serving": "`serve` accepts connections; mitmdump's own line says it otherwise",
        "draining": "told to end, with requests still running",
        "drain-timeout": "`grace-period` was over, and requests were not",
        "ended": "the process has ended",
        "worker-ended": "a worker of `serve --workers` has died and is replaced",
        "crashed": "an exception that nothing caught",
        "config-loaded": "the settings in force at start",
        "config-changed": "the file has changed and is in force; one line for each key",
        "config-warning": "the file is in force, and this is odd about it",
        "config-broken": "the file has an error: a start ends, else the last good settings stay in force",
        "request-id-replaced": "the client's X-Request-ID could not be kept",
        "routed": "a request goes to LiteLLM at once",
        "answered": "a request is answered to the end; there is one for each but our own pages",
        "fallback": "upstream could not serve it, LiteLLM is asked",
        "fallback-failed": "LiteLLM could not serve it either: the client gets upstream's answer",
        "fallback-refused": "it might have fallen back, but the client may not, or the budget is spent",
        "unknown-model": "LiteLLM does not know a model's name",
        "upstream-login-expired": "somebody has to sign in at CLIProxyAPI again",
        "history-reduced": "what another account has sealed was left out of a request",
        "history-retry-failed": "and that did not help",
        "hold-limit-reached": "an answer was held as long as may be, and went to the client unclassified",
        "hold-capacity-reached": "an answer was not held, because too many are",
        "stateful": "a client's requests continue stored responses and cannot fall back; said once",
        "error": "a server could not be reached or broke off, or our own code failed",
        "client-disconnected": "the client left before its answer was complete",
        "refused": "answered here: no key, too much, too many at once, or not HTTP",
    }
)
"""What each event means."""


def _about(hint: object) -> tuple[About]:
    return (next(a for a in _parts(hint) if isinstance(a, About)),)


def _json_type(hint: object) -> str:
    names = {float: "number", int: "integer"}
    return next((name for kind, name in names.items() if kind in _parts(hint)), "string")


def _parts(hint: object) -> list[object]:
    inner = [part for arg in get_args(hint) for part in _parts(arg)]
    return [hint, *inner, *getattr(hint, "__metadata__", ())]
