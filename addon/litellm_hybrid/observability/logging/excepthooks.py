"""Exceptions that nothing caught, and warnings, as lines of the log instead of Python's text on stderr."""

import logging
import sys
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any

from litellm_hybrid.observability.logging.formatters import OURS

type _Caught = BaseException | None

_logger = logging.getLogger(OURS)


def _log(what: str, error: _Caught) -> None:
    _logger.critical(what, exc_info=error, extra={"fields": {"event": "crashed"}})


def _in_main(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)  # somebody's wish, and no crash
        return
    _log(f"litellm: uncaught {kind.__name__}: {error}", error.with_traceback(trace))


def _in_thread(args: threading.ExceptHookArgs) -> None:
    name = args.thread.name if args.thread else "a thread"
    _log(f"litellm: uncaught {args.exc_type.__name__} in {name}: {args.exc_value}", args.exc_value)


def _in_del(args: "sys.UnraisableHookArgs") -> None:
    message = args.err_msg or "Exception ignored in"
    _log(f"litellm: {message} {args.object!r}: {args.exc_value}", args.exc_value)


_HOOKS: tuple[tuple[Any, str, Callable[..., None]], ...] = (
    (sys, "excepthook", _in_main),
    (threading, "excepthook", _in_thread),
    (sys, "unraisablehook", _in_del),
)


class Uncaught:
    """Takes Python's hooks over, and gives them back."""

    def __init__(self) -> None:
        self._before: list[Callable[..., None]] = []
        self._formatter: logging.Formatter | None = None

    def take(self, formatter: logging.Formatter) -> None:
        """From now on they are logged.

        Args:
            formatter: for what comes when no handler is left any more: that goes to stderr.
        """
        if self._before:
            return
        self._before = [getattr(module, name) for module, name, _ in _HOOKS]
        for module, name, hook in _HOOKS:
            setattr(module, name, hook)
        logging.captureWarnings(capture=True)
        if logging.lastResort is not None:
            self._formatter = logging.lastResort.formatter
            logging.lastResort.setFormatter(formatter)

    def give_back(self) -> None:
        """As it was before."""
        if not self._before:
            return
        for (module, name, _), hook in zip(_HOOKS, self._before, strict=True):
            setattr(module, name, hook)
        self._before = []
        logging.captureWarnings(capture=False)
        if logging.lastResort is not None:
            logging.lastResort.setFormatter(self._formatter)
