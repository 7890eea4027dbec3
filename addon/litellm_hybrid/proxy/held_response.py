"""What the transport asks of a response that is held back. Pure: the bytes go in, a decision comes out."""

from enum import Enum
from typing import Protocol


class HoldDecision(Enum):
    """What to do with a held response."""

    HOLD = "hold"
    RELEASE = "release"
    """The client gets it, and the rest as it comes."""
    TIMED_OUT = "timed out"
    """As RELEASE; it could not be told in time, or within the bytes that are held, what it is."""
    REPLACE = "replace"
    """It is a failure: the policy is asked for a request to send in its place."""


class HeldResponse(Protocol):
    """A response of which the client has not been sent a byte: what has come of it, and what that means.

    Attributes:
        body: the bytes held, in order, as they came, content coding still on them.
        complete: whether its end has come.
    """

    body: bytearray
    complete: bool

    @property
    def due(self) -> float:
        """When `expire` has to be called: seconds on the clock of `time.monotonic`."""
        ...

    @property
    def is_failure(self) -> bool:
        """Whether it is known to be a failure, of which only the rest is waited for."""
        ...

    def feed(self, data: bytes, *, now: float, clock: float) -> HoldDecision:
        """Take more of the body.

        Args:
            data: as it came.
            now: epoch seconds.
            clock: seconds of `time.monotonic`.
        """
        ...

    def end(self, *, now: float) -> HoldDecision:
        """Take the end of the body (`now`: epoch seconds); never HOLD."""
        ...

    def expire(self, *, now: float) -> HoldDecision:
        """Decide at `now`, in epoch seconds: `due` has passed; never HOLD."""
        ...

    def close(self) -> None:
        """Stop counting it as held, whatever has become of it; called once for each."""
        ...
