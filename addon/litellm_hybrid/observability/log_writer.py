"""Writes the log without ever making a request wait for a disk, a terminal or whoever reads a pipe.

What can be written at once is. The rest waits in a queue for a thread; beyond `MOST_WAITING`, and where a
write fails, lines are lost and counted: a proxy without a log is better than none.
"""

import atexit
import os
import select
import stat
import threading
from collections import deque
from collections.abc import Callable

MOST_WAITING = 4 * 1024 * 1024
"""Bytes of lines that wait to be written before further ones are lost."""

_LAST_CHANCE = 1.0
"""Seconds that the end of the process waits for what is still to be written."""


class LogWriter:
    """Writes to a file descriptor; `print` takes it for a file.

    Attributes:
        lost: how many lines could not be written.
    """

    def __init__(self, fd: int, tell_lost: Callable[[int], None]) -> None:
        """Make one.

        Args:
            fd: what is written to.
            tell_lost: is called with the number of lines lost since the last time, once writing works again.
        """
        self.lost = 0
        self._told = 0
        self._fd = fd
        self._tell_lost = tell_lost
        # Of a pipe that is ready so much can be written without waiting (POSIX, PIPE_BUF); a file takes all.
        self._at_once = MOST_WAITING if stat.S_ISREG(os.fstat(fd).st_mode) else select.PIPE_BUF
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
                self._put(data)
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
            self._put(data)
            with self._changed:
                self._size -= len(data)
            self._tell()

    def _put(self, data: bytes) -> None:
        try:
            while data:
                data = data[os.write(self._fd, data) :]
        except OSError:  # the disk is full, or nobody reads any more
            self._works = False
            self.lost += data.count(b"\n")
        else:
            self._works = True

    def _tell(self) -> None:
        with self._changed:
            new = 0 if self._size or not self._works else self.lost - self._told
            self._told += new
        if new:  # without the lock: whoever logs has one that is taken first
            self._tell_lost(new)
