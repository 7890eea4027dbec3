"""What one rule of the table in quota_rules.py may ask of a failure."""

import re
from dataclasses import dataclass

from litellm_hybrid.quota.error_shapes import Failure


@dataclass(frozen=True, slots=True)
class Rule:
    """What must hold, all of it, for a failure to be of this kind; what is empty is not asked.

    Attributes:
        name: what the log and `explain` call it.
        kind: one of `settings.FALLBACK_KINDS`, or "none": never a reason to fall back.
        phrase: matches at the beginning of `Failure.phrase`.
        names: one of them is among the failure's types, codes and statuses.
        without: none of these is.
        statuses: the failure's status is one of them (0: a 200 whose error states none).
        unless: HTTP statuses under which the rule does not hold.
        shapes: the failure is written in one of them.
        per_request: the account still serves other requests: no cooldown.
    """

    name: str
    kind: str
    phrase: re.Pattern[str] | None = None
    names: frozenset[str] = frozenset()
    without: frozenset[str] = frozenset()
    statuses: frozenset[int] = frozenset()
    unless: frozenset[int] = frozenset()
    shapes: frozenset[str] = frozenset()
    per_request: bool = False

    def reason(self, failure: Failure) -> str | None:
        """Why the rule holds, in a few words that name it, or None where it does not."""
        # A request fault counts wherever it is named, the wrapper included.
        stated = failure.names | failure.wrapper_names if self.kind == "none" else failure.names
        named = self.names & stated
        holds = (
            (not self.names or named)
            and self.without.isdisjoint(stated)
            and (not self.statuses or failure.status in self.statuses)
            and failure.http not in self.unless
            and (not self.shapes or failure.shape in self.shapes)
            and (self.phrase is None or self.phrase.match(failure.phrase))
        )
        if not holds:
            return None
        return f"{self.name} {min(named)}" if named else self.name


def phrases(*alternatives: str) -> re.Pattern[str]:
    """One pattern out of several, for `Rule.phrase`."""
    return re.compile("(?:" + "|".join(alternatives) + ")")


def words(text: str) -> frozenset[str]:
    """The words of a text, for `Rule.names`."""
    return frozenset(text.split())
