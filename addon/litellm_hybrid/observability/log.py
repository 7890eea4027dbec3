"""Our own log lines: on stdout whatever mitmproxy's verbosity is, as text or one JSON object a line.

mitmproxy's own loggers may be silenced (`-q`); these lines stay, because people
grep for them. They also reach mitmproxy's handlers: mitmweb's event log shows
them, and its start-up check ends the process on an ERROR. mitmproxy's lines are
written in the same format as ours.
"""

import asyncio
import atexit
import logging
import os
import select
import stat
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from functools import partial
from types import TracebackType
from typing import Any, Protocol, Unpack

from litellm_hybrid.config.settings import LogFormat, Secret
from litellm_hybrid.observability.log_format import (
    OURS,
    Fields,
    JsonFormatter,
    OurFormatter,
    TextFormatter,
)
from litellm_hybrid.proxy import CONNECTION_LOGGER
from litellm_hybrid.terminal import SecretMask, counted

_logger = logging.getLogger(OURS)

_BATCH_DELAY = 0.05
"""Seconds that a line may wait to be written together with others."""

MOST_WAITING = 4 * 1024 * 1024
"""Bytes of lines that wait to be written before further ones are lost."""

_LAST_CHANCE = 1.0
"""Seconds that the end of the process waits for what is still to be written."""


class _TermLog(Protocol):
    """The part of mitmproxy's `termlog` addon that is used here."""

    logger: Any


class _Dumper(Protocol):
    """The part of mitmproxy's `dumper` addon that is used here."""

    outfp: Any


def emit(
    level: int, message: str, *, exc_info: BaseException | None = None, **fields: Unpack[Fields]
) -> None:
    """Log one line that is about no request (of those: `Exchange.log`), see `write`."""
    write(level, message, {**fields}, exc_info)


def write(level: int, message: str, fields: dict[str, Any], exc_info: BaseException | None = None) -> None:
    """Log one line.

    Args:
        level: as in `logging`.
        message: for people; users of the fork grep for some of them.
        fields: members in JSON, and `name=value` behind the message in text; None is left out. Secrets in
            them are masked in place.
        exc_info: an exception whose traceback goes with it: a field in JSON, indented lines in text.
    """
    if not _logger.isEnabledFor(level):
        return
    if exc_info is None and (take := _sole_handler()) is not None:
        take(level, message, fields)
        return
    present = {name: value for name, value in fields.items() if value is not None}
    trace = (type(exc_info), exc_info, exc_info.__traceback__) if exc_info is not None else None
    # Not logger.log: that finds out which line of code has called, and nobody is told.
    _logger.handle(_logger.makeRecord(OURS, level, "", 0, message, (), trace, extra={"fields": present}))


type _Take = Callable[[int, str, dict[str, Any]], None]
"""Takes a line's level, message and fields."""


def _sole_handler() -> _Take | None:
    """Return what writes a line where no other handler is to get it; None: `logging` has to find out."""
    for handler in _logger.handlers:
        if isinstance(handler, _StdoutHandler):
            return handler.alone
    return None


class AppLog:
    """Where the process's lines go, in which format, and what is masked in them.

    There is one for each process. `install` and `uninstall` enclose its work; the format may be set before.
    """

    def __init__(self, log_format: LogFormat = "text") -> None:
        self._handler = _StdoutHandler()
        self._mask = SecretMask()
        self._termlog: Any = None
        self._hooks = ExitStack()
        self.use_format(log_format)

    def install(self, termlog: _TermLog | None) -> None:
        """Write our lines from now on, and keep mitmproxy's terminal log from writing them a second time.

        Nor does it write mitmproxy's four lines about each connection, unless its verbosity is `debug`.
        Another `AppLog` that is still installed writes none any more.
        """
        for handler in [h for h in _logger.handlers if isinstance(h, _StdoutHandler)]:
            _logger.removeHandler(handler)
        for mask in [f for f in _logger.filters if isinstance(getattr(f, "__self__", None), AppLog)]:
            _logger.removeFilter(mask)
        for stream in (sys.stdout, sys.stderr):
            reconfigure = getattr(stream, "reconfigure", None)
            if reconfigure is not None:
                reconfigure(encoding="utf-8", errors="backslashreplace")
        _logger.setLevel(logging.INFO)
        _logger.addFilter(self._mask_record)
        _logger.addHandler(self._handler)
        if termlog is not None:
            self._termlog = termlog.logger
            self._termlog.addFilter(self._is_for_termlog)
        self._set_formatters()

    def never_wait(self) -> None:
        """Let nothing wait for a line from now on: what cannot be written at once is left to a thread."""
        with suppress(AttributeError, OSError, ValueError):
            sys.stdout.flush()
        try:
            writer = LogWriter(sys.stdout.fileno(), _tell_lost)
        except (AttributeError, OSError, ValueError):  # closed, or no file
            return
        if self._handler.writer is not None:
            self._handler.writer.close()
        self._handler.writer = writer
        if self._termlog is not None:
            self._termlog.file = writer  # it ends the process where a line cannot be written

    def take_over(self, dumper: _Dumper | None) -> None:
        """Write what mitmdump shows of flows, where it is told to, as the log is written."""
        if dumper is not None and self._handler.writer is not None:
            dumper.outfp = self._handler.writer

    @property
    def lost(self) -> int:
        """How many lines could not be written."""
        return self._handler.writer.lost if self._handler.writer is not None else 0

    def uninstall(self) -> None:
        """Stop writing our lines. What Python itself has to say in the end is still written in our format."""
        self._handler.flush()
        if self._handler.writer is not None:
            self._handler.writer.close()
            self._handler.writer = None
        _logger.removeHandler(self._handler)
        _logger.removeFilter(self._mask_record)

    def batch(self, loop: asyncio.AbstractEventLoop) -> None:
        """For a process that does nothing but serve: write lines together, and to nobody but stdout."""
        self._handler.loop, self._handler.thread = loop, threading.get_ident()
        _logger.propagate = False
        # What no format of ours has in it: it would be found out for each line.
        logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
        self._handler.alone = self._take

    def _take(self, level: int, message: str, fields: dict[str, Any]) -> None:
        """Write a line of ours as `logging` would, which takes as much time again for a record of it."""
        try:
            self._handler.put(partial(self._line, time.time(), level, message, fields), level)
        except (OSError, ValueError):
            self._handler.handleError(logging.makeLogRecord({"msg": self._masked(message, fields)}))

    def _line(self, created: float, level: int, message: str, fields: dict[str, Any]) -> str:
        message = self._masked(message, fields)
        try:
            return f"{self._formatter.line(created, logging.getLevelName(level), message, fields)}\n"
        except Exception:  # noqa: BLE001 (the lines around it are written all the same)
            self._handler.handleError(logging.makeLogRecord({"msg": message}))
            return ""

    def use_format(self, log_format: LogFormat) -> None:
        """Write as `text` or as `json` from now on, mitmproxy's lines too.

        In JSON an exception that nothing caught and a warning of Python's are lines of the log as well.
        """
        self._handler.flush()
        self._format = log_format
        self._set_formatters()

    def hide(self, secrets: Iterable[Secret]) -> None:
        """Write `***` for these credentials from now on, wherever they turn up in a line.

        Our own code writes none; a server's response that a line quotes may, and so may an exception's text.
        """
        self._handler.flush()
        self._mask = SecretMask(secret.value for secret in secrets)
        self._set_formatters()

    def _set_formatters(self) -> None:
        is_json = self._format == "json"
        formatter = JsonFormatter(self._mask) if is_json else TextFormatter(self._mask, colors=_may_color())
        self._formatter: OurFormatter = formatter
        self._handler.setFormatter(formatter)
        if self._termlog is not None:
            self._termlog.setFormatter(formatter)
        self._hooks.close()
        if is_json:
            self._replace_hooks(formatter)

    def _mask_record(self, record: logging.LogRecord) -> bool:
        """Mask a line of ours for every handler, mitmweb's event log included."""
        record.msg = self._masked(record.msg, getattr(record, "fields", {}))
        return True

    def _masked(self, message: str, fields: dict[str, Any]) -> str:
        """Return a line's message without secrets, and take them out of its fields in place."""
        # Looked for in all of it at once: hardly any line has one.
        whole = "\n".join([message, *[value for value in fields.values() if isinstance(value, str)]])
        if self._mask(whole) == whole:
            return message
        for name, value in fields.items():
            if isinstance(value, str):
                fields[name] = self._mask(value)
        return self._mask(message)

    def _is_for_termlog(self, record: logging.LogRecord) -> bool:
        if record.name == CONNECTION_LOGGER and record.levelno < logging.WARNING:
            return self._termlog is not None and self._termlog.level <= logging.DEBUG
        return record.name != OURS

    def _replace_hooks(self, formatter: logging.Formatter) -> None:
        for module, name, hook in _HOOKS:
            self._hooks.callback(setattr, module, name, getattr(module, name))
            setattr(module, name, hook)
        logging.captureWarnings(capture=True)
        self._hooks.callback(logging.captureWarnings, capture=False)
        if (last := logging.lastResort) is not None:
            # For what comes when no handler is left any more: that goes to stderr.
            self._hooks.callback(last.setFormatter, last.formatter)
            last.setFormatter(formatter)


class _StdoutHandler(logging.Handler):
    """Writes lines to stdout; with a loop, those of its thread together, a moment later, and errors at once.

    A write for each line is a tenth of a small request's cost. So is to put it into words, at a third of that
    where several follow each other.
    """

    loop: asyncio.AbstractEventLoop | None = None
    thread = 0
    writer: "LogWriter | None" = None
    alone: _Take | None = None
    """Takes a line past `logging`: in `serve` nobody else gets it."""

    def __init__(self) -> None:
        super().__init__()
        self._pending: list[str | Callable[[], str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line; a closed stdout is not our problem to raise."""
        try:
            self.put(f"{self.format(record)}\n", record.levelno)
        except (OSError, ValueError):
            self.handleError(record)

    def put(self, line: str | Callable[[], str], level: int) -> None:
        """Write one line, now or soon; or what is called for it then."""
        assert self.lock is not None  # made by `logging`
        with self.lock:
            self._pending.append(line)
            if self.loop is None or level > logging.WARNING or threading.get_ident() != self.thread:
                self._write()
            elif len(self._pending) == 1:
                self.loop.call_later(_BATCH_DELAY, self.flush)

    def flush(self) -> None:
        """Write what is pending; nobody is left to be told that it cannot be."""
        with suppress(OSError, ValueError):
            self._write()

    def _write(self) -> None:
        lines, self._pending = self._pending, []
        if not lines:
            return
        text = "".join([line if isinstance(line, str) else line() for line in lines])
        if self.writer is not None:
            self.writer.write(text)
        else:
            print(text, end="", flush=True)  # noqa: T201


class LogWriter:
    """Writes to a file descriptor without making a request wait for a disk, a terminal or a pipe's reader.

    What can be written at once is. The rest waits in a queue for a thread; beyond `MOST_WAITING`, and where
    a write fails, lines are lost and counted: a proxy without a log is better than none. `print` takes it
    for a file.

    Attributes:
        lost: how many lines could not be written.
    """

    def __init__(self, fd: int, tell_lost: Callable[[int], None]) -> None:
        """Make one; `tell_lost` gets the number of lines lost since the last time, once it works again."""
        self.lost = 0
        self._told = 0
        self._tell_lost = tell_lost
        # Of a pipe that is ready so much can be written without waiting (POSIX, PIPE_BUF); a file takes all.
        mode = os.fstat(fd).st_mode
        self._at_once = MOST_WAITING if stat.S_ISREG(mode) else select.PIPE_BUF
        if stat.S_ISFIFO(mode) or os.isatty(fd):
            fd = _without_waiting(fd)
        self._fd = fd
        self._ready = select.poll()
        self._ready.register(fd, select.POLLOUT)
        self._changed = threading.Condition(threading.RLock())
        self._waiting: deque[bytes] = deque()
        self._size = 0  # of what waits, and of what is being written
        self._closed = False
        self._works = True
        self._thread: threading.Thread | None = None
        atexit.register(self.close)

    def write(self, text: str) -> None:
        """Write some lines, now or soon; never waits."""
        data = text.encode("utf-8", "backslashreplace")
        with self._changed:
            if not self._size and len(data) <= self._at_once and self._ready.poll(0):
                data = self._put(data)
            if not data:
                pass
            elif self._closed or self._size + len(data) > MOST_WAITING:
                self.lost += data.count(b"\n")
            else:
                self._size += len(data)
                self._waiting.append(data)
                self._changed.notify()
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name="log writer", daemon=True)
                    self._thread.start()
        self._tell()

    def close(self) -> None:
        """Wait a moment for what is still to be written; later lines only where that is at once."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(_LAST_CHANCE)
        atexit.unregister(self.close)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if not self._waiting:
                    return
                data = b"".join(self._waiting)
                self._waiting.clear()
            size = len(data)
            while data := self._put(data):
                self._ready.poll()
            with self._changed:
                self._size -= size
            self._tell()

    def _put(self, data: bytes) -> bytes:
        """Write, and return what would have to be waited for."""
        try:
            while data:
                data = data[os.write(self._fd, data) :]
        except BlockingIOError:
            return data
        except OSError:  # the disk is full, or nobody reads any more
            self._works = False
            self.lost += data.count(b"\n")
        else:
            self._works = True
        return b""

    def _tell(self) -> None:
        with self._changed:
            new = 0 if self._size or not self._works else self.lost - self._told
            self._told += new
        if new:  # without the lock: whoever logs has one that is taken first
            self._tell_lost(new)


def _without_waiting(fd: int) -> int:
    """Open the same pipe or terminal once more, to write without waiting; `fd` itself where that cannot be.

    That a pipe is ready is not enough where other workers write to it too; and who shares the descriptor is
    not to be surprised.
    """
    try:
        return os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError:  # a socket, or another system
        return fd


def _tell_lost(lines: int) -> None:
    message = f"litellm: {counted(lines, 'line')} of the log lost: not written, or not read in time"
    emit(logging.WARNING, message, event="log-lost")


def _log_crash(message: str, error: BaseException | None) -> None:
    emit(logging.CRITICAL, message, exc_info=error, event="crashed")


def _excepthook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)  # somebody's wish, and no crash
        return
    _log_crash(f"litellm: uncaught {kind.__name__}: {error}", error.with_traceback(trace))


def _thread_excepthook(args: threading.ExceptHookArgs) -> None:
    name = args.thread.name if args.thread else "a thread"
    _log_crash(f"litellm: uncaught {args.exc_type.__name__} in {name}: {args.exc_value}", args.exc_value)


def _unraisablehook(args: "sys.UnraisableHookArgs") -> None:
    message = args.err_msg or "Exception ignored in"
    _log_crash(f"litellm: {message} {args.object!r}: {args.exc_value}", args.exc_value)


_HOOKS: tuple[tuple[Any, str, Callable[..., None]], ...] = (
    (sys, "excepthook", _excepthook),
    (threading, "excepthook", _thread_excepthook),
    (sys, "unraisablehook", _unraisablehook),
)


def _may_color() -> bool:
    # https://no-color.org: present and not empty, whatever its value.
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
