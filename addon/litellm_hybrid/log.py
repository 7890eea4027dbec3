"""Our own log lines: on stdout whatever mitmproxy's verbosity is, as text or one JSON object a line.

mitmproxy's own loggers may be silenced (`-q`); these lines stay, because people
grep for them. They also reach mitmproxy's handlers: mitmweb's event log shows
them, and its start-up check ends the process on an ERROR.
"""

import asyncio
import json
import logging
import re
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Protocol

from litellm_hybrid.settings import LogFormat, Secret

logger = logging.getLogger("litellm_hybrid")

_MOMENT = 0.05
"""How long, in seconds, a line may wait to be written together with others."""

_SHORTEST_SECRET = 8
"""Shorter ones would blot out ordinary words."""

# A client's path or model name must not forge a second log line, or drive a terminal.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_NEEDS_QUOTES = re.compile(r'[\s"=]|^$')


class _TermLog(Protocol):
    """The part of mitmproxy's `termlog` addon that is used here."""

    logger: logging.Handler


def emit(level: int, message: str, **fields: object) -> None:
    """One line.

    Args:
        level: as in `logging`.
        message: for people; users of the fork grep for some of them.
        fields: shown behind the message as `name=value`, or as members in JSON; None is left out.
    """
    shown = {name: _hidden(value) for name, value in fields.items() if value is not None}
    logger.log(level, _hidden(message), extra={"fields": shown})


_secrets: tuple[str, ...] = ()


def hide(secrets: Iterable[Secret]) -> None:
    """Write `***` for these credentials from now on, wherever they turn up in a line.

    Our own code writes none; a server's answer that a line quotes may.
    """
    global _secrets  # noqa: PLW0603 (one log for the process)
    _secrets = tuple(secret.value for secret in secrets if len(secret.value) >= _SHORTEST_SECRET)


def _hidden[T](value: T) -> T | str:
    if not isinstance(value, str):
        return value
    text: str = value
    for secret in _secrets:
        text = text.replace(secret, "***")
    return text


class Handler(logging.Handler):
    """Writes our lines to stdout."""

    log_format: LogFormat = "text"
    _loop: asyncio.AbstractEventLoop | None = None

    def __init__(self) -> None:
        super().__init__()
        self._waiting: list[str] = []

    def batch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Write lines of INFO together, a moment later: a write for each is a tenth of a request's cost."""
        self._loop = loop

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line; a closed stdout is not our problem to raise."""
        try:
            self._waiting.append(f"{self.format(record)}\n")
            if self._loop is None or record.levelno > logging.INFO:
                self._write()
            elif len(self._waiting) == 1:
                self._loop.call_later(_MOMENT, self.flush)
        except (OSError, ValueError):
            self.handleError(record)

    def flush(self) -> None:
        """Write what is waiting; nobody is left to be told that it cannot be."""
        with suppress(OSError, ValueError):
            self._write()

    def _write(self) -> None:
        lines, self._waiting = self._waiting, []
        print("".join(lines), end="", flush=True)  # noqa: T201

    def format(self, record: logging.LogRecord) -> str:
        """The line, and under it the traceback, if there is one."""
        fields: dict[str, Any] = getattr(record, "fields", {})
        if self.log_format == "json":
            return _json(record, fields)
        clock = time.strftime("%H:%M:%S", time.localtime(record.created))
        level = "" if record.levelno == logging.INFO else f"{record.levelname} "
        pairs = "".join(f" {name}={_value(value)}" for name, value in fields.items())
        line = _printable(f"[{clock}.{int(record.msecs):03d}] {level}{record.getMessage()}{pairs}")
        # Indented: an exception's text must not forge a line of ours.
        traceback = [f"  {_printable(text)}" for text in _traceback(record).splitlines()]
        return "\n".join([line, *traceback])


def _json(record: logging.LogRecord, fields: dict[str, Any]) -> str:
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
    entry = {
        "time": f"{stamp}.{int(record.msecs):03d}Z",
        "level": record.levelname.lower(),
        "message": record.getMessage(),
        **fields,
    }
    if record.exc_info is not None:
        entry["traceback"] = _traceback(record)
    line = json.dumps(entry, ensure_ascii=False, default=str)
    return _CONTROL.sub(lambda match: f"\\u{ord(match[0]):04x}", line)


def _value(value: object) -> str:
    text = f"{value:.3f}" if isinstance(value, float) else str(value)
    return json.dumps(text, ensure_ascii=False) if _NEEDS_QUOTES.search(text) else text


def _printable(text: str) -> str:
    return _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", text)


def _traceback(record: logging.LogRecord) -> str:
    return logging.Formatter().formatException(record.exc_info) if record.exc_info else ""


_handler = Handler()


def _not_ours(record: logging.LogRecord) -> bool:
    return record.name != logger.name


def install(termlog: _TermLog | None) -> None:
    """Start writing our lines, and keep mitmproxy's terminal log from writing them a second time."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(encoding="utf-8", errors="backslashreplace")
    logger.setLevel(logging.INFO)
    if _handler not in logger.handlers:
        logger.addHandler(_handler)
    if termlog is not None and _not_ours not in termlog.logger.filters:
        termlog.logger.addFilter(_not_ours)


def uninstall() -> None:
    """Stop writing our lines."""
    _handler.flush()
    logger.removeHandler(_handler)


def batch(loop: asyncio.AbstractEventLoop) -> None:
    """For a process that does nothing but serve: write lines together, and to nobody but stdout."""
    _handler.batch(loop)
    logger.propagate = False


def use_format(log_format: LogFormat) -> None:
    """Write as `text` or as `json` from now on."""
    _handler.log_format = log_format
