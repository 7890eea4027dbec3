"""What has become of the configuration file while the process runs."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

APPLIED = "applied"
REJECTED = "rejected"
"""The file has an error: the last good settings stay in force."""


@dataclass(frozen=True, slots=True)
class Reload:
    """One time that the file had changed.

    Attributes:
        at: epoch seconds.
        result: `applied` or `rejected`.
        lines: what an applied one changed, or the problems of a rejected one; secrets are `***`.
    """

    at: float
    result: str
    lines: tuple[str, ...]


class Reloads:
    """Remembers the last and counts all.

    Attributes:
        since: epoch seconds since when the settings in force are; None: there are none.
        last: None: the file has not changed since the start.
        counts: result → how many.
    """

    def __init__(self) -> None:
        self.since: float | None = None
        self.last: Reload | None = None
        self.counts: Counter[str] = Counter()

    def applied(self, changes: Iterable[str], at: float) -> None:
        """New settings are in force."""
        self.since = at
        self._note(Reload(at, APPLIED, tuple(changes)))

    def rejected(self, problems: Iterable[str], at: float) -> None:
        """A file with an error has been found."""
        self._note(Reload(at, REJECTED, tuple(problems)))

    def _note(self, reload: Reload) -> None:
        self.last = reload
        self.counts[reload.result] += 1
