"""What a log line may say, and how it is written: as text for people, or as one JSON object for programs.

docs/logs.md says what each field and event means.

What a client or a server has sent must not forge a second line, or drive a terminal.
"""

import functools
import json
import logging
import re
import time
from collections.abc import Callable, Mapping
from typing import Literal, Required, TypedDict, override

OURS = "litellm_hybrid"
"""The name of our logger."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_encoder = json.JSONEncoder(ensure_ascii=False, default=str)
_NEEDS_QUOTES = re.compile(r'[\s"=]|^$')

# In text: what only programs need, and what people look for at the end of the line.
_JSON_ONLY = frozenset({"event", "span_id"})
_LAST = ("trace_id", "request_id")
_NOT_HERE = _JSON_ONLY | frozenset(_LAST)

# Left out of text where the message has them already.
_IN_MESSAGE = frozenset({"target", "status", "method", "path", "model", "error"})

_RESET, _DIM = "\x1b[0m", "\x1b[2m"
_COLORS = {"WARNING": "\x1b[33m", "ERROR": "\x1b[31m", "CRITICAL": "\x1b[31m"}


# fmt: off
Event = Literal[
    "serving", "draining", "drain-timeout", "ended", "worker-ended", "crashed", "config-loaded",
    "config-changed", "config-warning", "config-broken", "log-lost", "few-files", "state-lost", "state-back",
    "request-id-replaced", "sent-again", "routed", "answered", "fallback", "litellm-failed",
    "fallback-failed", "fallback-refused",
    "unknown-model", "upstream-login-expired", "account-refused", "notify-failed", "history-reduced",
    "history-retry-failed", "replay-retried", "hold-limit-reached", "hold-capacity-reached", "stateful",
    "loop", "error", "client-disconnected", "refused",
]
# fmt: on
"""What a line of ours says, for programs; its message says it to people."""


class Line(TypedDict, total=False):
    """What the log itself puts on a line, mitmproxy's lines included.

    `client` is the address and port of a client connection that mitmproxy's line is about.
    """

    time: str
    level: str
    logger: str
    message: str
    client: str
    traceback: str


class OfRequest(TypedDict):
    """The fields that every line about a request has.

    `path` is without its query; `target`: where the request goes or would; `trace_id` and `span_id`: those
    of the client's W3C Trace Context.
    """

    method: str
    path: str
    client_ip: str
    request_id: str
    target: str
    model: str | None
    trace_id: str | None
    span_id: str | None


class Fields(TypedDict, total=False):
    """What a line of ours may say; None is left out. Durations are milliseconds, `retry_after` seconds."""

    event: Required[Event]
    client_ip: str | None
    reason: str | None
    litellm_model: str | None
    status: int | None
    server: str | None
    duration_ms: float | None
    first_byte_ms: float | None
    upstream_ms: float | None
    litellm_ms: float | None
    bytes: int | None
    input_tokens: int | None
    output_tokens: int | None
    cached_tokens: int | None
    cost_usd: float | None
    kind: str | None
    rule: str | None
    retry_after: float | None
    upstream_message: str | None
    first_failure: str | None
    litellm_message: str | None
    error_type: str | None
    error: str | None


# -- how they are written -----------------------------------------------------------


class OurFormatter(logging.Formatter):
    """What both formats share: the message and the traceback without secrets."""

    def __init__(self, mask: Callable[[str], str]) -> None:
        super().__init__()
        self._mask = mask

    def line(self, created: float, level: str, message: str, fields: Mapping[str, object]) -> str:
        """Return one line of ours, in which all is masked already; `created`: epoch seconds."""
        raise NotImplementedError

    def _message(self, record: logging.LogRecord) -> str:
        # `AppLog` has masked our own lines already, for every handler.
        message = record.getMessage()
        return message if record.name == OURS else self._mask(message)

    def _traceback(self, record: logging.LogRecord) -> str:
        return self._mask(self.formatException(record.exc_info)) if record.exc_info else ""


class JsonFormatter(OurFormatter):
    """One JSON object a line; `fields` has the members."""

    @override
    def format(self, record: logging.LogRecord) -> str:
        fields = _fields(record)
        if traceback := self._traceback(record):
            fields = {**fields, "traceback": traceback}
        return _json(record.created, record.levelname, record.name, self._message(record), fields)

    @override
    def line(self, created: float, level: str, message: str, fields: Mapping[str, object]) -> str:
        return _json(created, level, OURS, message, fields)


def _json(created: float, level: str, logger: str, message: str, fields: Mapping[str, object]) -> str:
    entry = {
        "time": f"{_utc(int(created))}.{int(created % 1 * 1000):03d}Z",
        "level": level.lower(),
        "logger": logger,
        "message": message,
        **{name: value for name, value in fields.items() if value is not None},
    }
    line = _encoder.encode(entry)
    return _CONTROL.sub(lambda match: f"\\u{ord(match[0]):04x}", line)


class TextFormatter(OurFormatter):
    """Time, level, message, fields, and the request's id at the end."""

    def __init__(self, mask: Callable[[str], str], *, colors: bool = False) -> None:
        """Make one; `colors` is for a terminal."""
        super().__init__(mask)
        self._reset, self._dim = (_RESET, _DIM) if colors else ("", "")
        self._colors = _COLORS if colors else {}

    @override
    def format(self, record: logging.LogRecord) -> str:
        # mitmproxy's messages may have several lines; no field of ours that a client fills has.
        message, *more = self._lines(record)
        first = self.line(record.created, record.levelname, message, _fields(record))
        more += self._traceback(record).splitlines()
        # Indented: an exception's text must not forge a line of ours.
        return "\n".join([first, *(f"  {_printable(text)}" for text in more)])

    @override
    def line(self, created: float, level: str, message: str, fields: Mapping[str, object]) -> str:
        message = _printable(message)
        color = self._colors.get(level, "")
        reset = self._reset if color else ""
        pairs = _pairs(fields, message)
        if pairs:
            pairs = f"{self._dim}{pairs}{self._reset}"
        return (
            f"{self._dim}[{_clock(int(created))}.{int(created % 1 * 1000):03d}]{self._reset} "
            f"{color}{level:7} {message}{reset}{pairs}"
        )

    def _lines(self, record: logging.LogRecord) -> list[str]:
        message = self._message(record)
        return [message] if record.name == OURS else message.splitlines() or [""]


@functools.lru_cache(maxsize=2)
def _utc(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))


@functools.lru_cache(maxsize=2)
def _clock(second: int) -> str:
    return time.strftime("%H:%M:%S", time.localtime(second))


def _fields(record: logging.LogRecord) -> Mapping[str, object]:
    fields: Mapping[str, object] | None = getattr(record, "fields", None)
    if fields is not None:
        return fields
    client = getattr(record, "client", None)  # mitmproxy's name for it: (host, port, …)
    return {"client": f"{client[0]}:{client[1]}"} if client else {}


def _pairs(fields: Mapping[str, object], message: str) -> str:
    """` name=value` for each field that the message has not said already."""
    words = message.replace(":", " ").split()
    pairs = ""
    for name, value in fields.items():
        if value is None or name in _NOT_HERE:
            continue
        if name in _IN_MESSAGE:
            said = str(value)
            if said in words or (said and message.endswith(said)):
                continue
        if type(value) is str:
            pairs += f" {name}={_encoder.encode(value) if _NEEDS_QUOTES.search(value) else value}"
        else:
            pairs += f" {name}={value if type(value) is int else _text(value)}"
    for name in _LAST:
        if (value := fields.get(name)) is not None:
            is_plain = type(value) is str and not _NEEDS_QUOTES.search(value)
            pairs += f" {name}={value if is_plain else _text(value)}"
    return _printable(pairs)


def _text(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3f}".rstrip("0").rstrip(".") if value >= 1 or not value else f"{value:.3g}"
    text = str(value)
    if isinstance(value, int):
        return text
    return _encoder.encode(text) if _NEEDS_QUOTES.search(text) else text


def _printable(text: str) -> str:
    if text.isprintable():  # no control character is
        return text
    return _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", text)
