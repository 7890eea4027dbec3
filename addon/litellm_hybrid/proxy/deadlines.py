"""Limits in time: how long a request waits for what, and one wakeup for all of a client connection's.

mitmproxy has no limits but the kernel's for a connect (134 s) and `tcp_timeout`.
"""

import math
from collections.abc import Callable
from enum import Enum
from typing import Self

from mitmproxy.proxy import commands, events

from litellm_hybrid.config.settings import Timeouts
from litellm_hybrid.errors import Cause

CHECK_EVERY = 5.0
"""Longest time, in seconds, between two checks of the limits while a request is running."""

HEAD_LIMIT = 15.0
"""Longest time, in seconds, from the first byte of a request's head to its end."""


class Phase(Enum):
    """What a running request waits for."""

    NOTHING = "nothing"
    UPLOAD = "upload"
    FIRST_BYTE = "first byte"
    BODY = "body"


class LimitReached(str):
    """The text of a protocol error that stands for one of our limits.

    mitmproxy hands the text on unchanged, and nothing else that could say which limit it was.
    """

    __slots__ = ("cause",)
    cause: Cause

    def __new__(cls, cause: Cause, seconds: float, missing: str = "nothing") -> Self:
        """Word a limit of so many seconds."""
        text = super().__new__(cls, f"{cause}: {missing} within {seconds:g} s")
        text.cause = cause
        return text


class Timer:
    """How long a request has waited for what it waits for now.

    Attributes:
        clock: seconds, monotonic.
        first_byte_limit: the policy's own limit for the first byte, in seconds; None: only `limits` holds.
        since: when, on the clock, something has come last.
    """

    __slots__ = ("_entered", "_limits", "clock", "first_byte_limit", "phase", "since")

    def __init__(self, clock: Callable[[], float], limits: Timeouts) -> None:
        self.clock = clock
        self._limits = limits
        self.phase = Phase.NOTHING
        self.since = self._entered = 0.0
        self.first_byte_limit: float | None = None

    def enter(self, phase: Phase) -> None:
        """Enter a phase and restart its timer."""
        self.phase = phase
        self.since = self._entered = self.clock()

    def touch(self) -> None:
        """Restart the timer: something has come."""
        self.since = self.clock()

    @property
    def due(self) -> float:
        """When, on the clock, the current wait has lasted too long."""
        match self.phase:
            case Phase.NOTHING:
                return math.inf
            case Phase.FIRST_BYTE:
                return self.since + min(self._limits.first_byte, self.first_byte_limit or math.inf)
            case Phase.UPLOAD:
                # A client that sends a byte now and then is never silent.
                return min(self.since + self._limits.idle, self._entered + self._limits.upload)
            case Phase.BODY:
                return self.since + self._limits.idle

    @property
    def is_policys_limit(self) -> bool:
        """Whether it is only the policy's own limit that has passed."""
        waiting = self.phase is Phase.FIRST_BYTE and self.first_byte_limit is not None
        return waiting and self.clock() < self.since + self._limits.first_byte

    @property
    def limit_reached(self) -> LimitReached:
        """What to say about a wait that has lasted too long."""
        if self.phase is Phase.FIRST_BYTE:
            seconds = self.first_byte_limit if self.is_policys_limit else None
            return LimitReached(Cause.FIRST_BYTE_LIMIT, seconds or self._limits.first_byte)
        if self.phase is not Phase.UPLOAD:
            return LimitReached(Cause.IDLE_LIMIT, self._limits.idle)
        if self.clock() < self.since + self._limits.idle:
            return LimitReached(Cause.UPLOAD_LIMIT, self._limits.upload, "not all of it")
        return LimitReached(Cause.UPLOAD_LIMIT, self._limits.idle)


class CheckSchedule:
    """When the limits of one client connection have to be checked.

    One wakeup at a time for the whole connection, none while nothing is running: a wakeup cannot be taken
    back, keeps its stream in memory until it fires (one of 600 s for each request would keep every finished
    one), and counts as activity for `tcp_timeout`.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._check_at = math.inf
        self._wakeup_at = math.inf
        self._wakeups: set[commands.RequestWakeup] = set()
        self._latest: commands.RequestWakeup | None = None

    def head_due(self, due: float, *, begun: bool) -> float:
        """Return when a head must have ended; inf while none has begun, else `due` if it is known already."""
        if not begun or due < math.inf:
            return due if begun else math.inf
        due = self._clock() + HEAD_LIMIT
        self.schedule(due)
        return due

    def schedule(self, when: float) -> None:
        """Make sure that the limits are checked by then."""
        self._check_at = min(self._check_at, when)

    def reschedule(self, when: float) -> None:
        """The limits have been checked: the next one passes then."""
        self._check_at = when

    def takes(self, event: events.Event) -> bool:
        """Whether an event is a wakeup that was asked for here."""
        if not isinstance(event, events.Wakeup) or event.command not in self._wakeups:
            return False
        self._wakeups.discard(event.command)
        if event.command is self._latest:
            self._wakeup_at = math.inf
        return True

    def wakeup(self) -> commands.RequestWakeup | None:
        """Return the command for the next wakeup, if there is none that comes in time."""
        if self._check_at >= self._wakeup_at:
            return None
        now = self._clock()
        self._wakeup_at = min(self._check_at, now + CHECK_EVERY)
        wakeup = commands.RequestWakeup(max(0.0, self._wakeup_at - now))
        self._wakeups.add(wakeup)
        # An earlier one that this supersedes still comes, but arms no other.
        self._latest = wakeup
        return wakeup
