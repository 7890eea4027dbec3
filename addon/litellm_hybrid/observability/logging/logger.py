"""Our own log lines: on stdout whatever mitmproxy's verbosity is, as text or one JSON object a line.

mitmproxy's own loggers may be silenced (`-q`); these lines stay, because people
grep for them. They also reach mitmproxy's handlers: mitmweb's event log shows
them, and its start-up check ends the process on an ERROR. mitmproxy's lines are
written in the same format as ours.
"""

import asyncio
import logging
import os
import sys
from contextlib import suppress
from typing import Protocol, Unpack

from litellm_hybrid.config.settings import LogFormat
from litellm_hybrid.observability.logging.excepthooks import Uncaught
from litellm_hybrid.observability.logging.fields import Fields
from litellm_hybrid.observability.logging.formatters import OURS, JsonFormatter, TextFormatter, hidden, hide

__all__ = ["batch", "emit", "hide", "install", "logger", "uninstall", "use_format"]

logger = logging.getLogger(OURS)

_MOMENT = 0.05
"""How long, in seconds, a line may wait to be written together with others."""


class _TermLog(Protocol):
    """The part of mitmproxy's `termlog` addon that is used here."""

    logger: logging.Handler


def emit(level: int, message: str, **fields: Unpack[Fields]) -> None:
    """One line.

    Args:
        level: as in `logging`.
        message: for people; users of the fork grep for some of them.
        fields: members in JSON, and `name=value` behind the message in text; None is left out.
    """
    if not logger.isEnabledFor(level):
        return
    message = hidden(message)
    shown = {
        name: hidden(value) if isinstance(value, str) else value
        for name, value in fields.items()
        if value is not None
    }
    # Not logger.log: that finds out which line of code has called, and nobody is told.
    record = logger.makeRecord(OURS, level, "", 0, message, (), None, extra={"fields": shown})
    logger.handle(record)


class Handler(logging.Handler):
    """Writes our lines to stdout."""

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


_handler = Handler()
_uncaught = Uncaught()
_termlog: _TermLog | None = None
_format: LogFormat = "text"


def _not_ours(record: logging.LogRecord) -> bool:
    return record.name != OURS


def install(termlog: _TermLog | None) -> None:
    """Start writing our lines, and keep mitmproxy's terminal log from writing them a second time."""
    global _termlog  # noqa: PLW0603 (one log for the process)
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(encoding="utf-8", errors="backslashreplace")
    logger.setLevel(logging.INFO)
    if _handler not in logger.handlers:
        logger.addHandler(_handler)
    if termlog is not None and _not_ours not in termlog.logger.filters:
        termlog.logger.addFilter(_not_ours)
    _termlog = termlog
    use_format(_format)


def uninstall() -> None:
    """Stop writing our lines. What Python itself has to say in the end is still written in our format."""
    _handler.flush()
    logger.removeHandler(_handler)


def batch(loop: asyncio.AbstractEventLoop) -> None:
    """For a process that does nothing but serve: write lines together, and to nobody but stdout."""
    _handler.batch(loop)
    logger.propagate = False
    # What no format of ours has in it: it would be found out for each line.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False


def use_format(log_format: LogFormat) -> None:
    """Write as `text` or as `json` from now on, mitmproxy's lines too."""
    global _format  # noqa: PLW0603 (one log for the process)
    _format = log_format
    formatter = JsonFormatter() if log_format == "json" else TextFormatter(colors=_may_color())
    _handler.setFormatter(formatter)
    if _termlog is not None:
        _termlog.logger.setFormatter(formatter)
    if log_format == "json":
        _uncaught.take(formatter)
    else:
        _uncaught.give_back()


def _may_color() -> bool:
    # https://no-color.org: present and not empty, whatever its value.
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
