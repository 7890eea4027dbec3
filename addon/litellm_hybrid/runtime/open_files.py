"""How many files, sockets among them, the process may have open; and what happens where there are no more."""

import asyncio
import errno
import logging
import resource
from time import monotonic
from typing import Any

from litellm_hybrid.observability import log

_ENOUGH = 4096
"""A request takes two, and an agent has some dozens at once."""

_NO_MORE = frozenset({errno.EMFILE, errno.ENFILE})


def raise_limit() -> None:
    """Raise the soft limit of open files to the hard one, and say so where that is not much."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    except (OSError, ValueError):  # macOS takes less than it says
        pass
    if soft != resource.RLIM_INFINITY and soft < _ENOUGH:
        message = f"litellm: only {soft} files may be open at once, two a request: raise the hard limit"
        log.emit(logging.WARNING, message, event="few-files")


def survive_exhaustion(loop: asyncio.AbstractEventLoop) -> None:
    """Say once a second, in one line, that no more connections can be taken.

    asyncio tries again a second later, but tells of each of the connections that it could not take, some
    hundred times with a traceback.
    """
    usual = loop.get_exception_handler()
    said = -1.0

    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        nonlocal said
        error = context.get("exception")
        if isinstance(error, OSError) and error.errno in _NO_MORE and "socket" in context:
            if monotonic() - said >= 1:
                said = monotonic()
                message = f"litellm: no connection can be taken for a second: {error.strerror}"
                log.emit(logging.ERROR, message, event="few-files")
        elif usual is not None:
            usual(loop, context)
        else:
            loop.default_exception_handler(context)

    loop.set_exception_handler(handle)
