"""The language of the table in rules.py: what a rule may ask of an error."""

import re
from dataclasses import dataclass
from functools import partial

from litellm_hybrid.quota import wording
from litellm_hybrid.quota.error_shapes import ErrorPayload
from litellm_hybrid.quota.wording import Reading, code_words

_FAULTS = frozenset({"none", "context-length"})


@dataclass(frozen=True, slots=True)
class Rule:
    """A classification rule: predicates over an error payload. What is empty is not asked.

    Attributes:
        name: what the log and `explain` call it.
        kind: one of `settings.FALLBACK_KINDS`, or "none": never a reason to fall back.
        source: who writes it, in a word.
        phrase: matches at the beginning of `ErrorPayload.phrase`.
        says: matches anywhere in it.
        words: the phrase says this, as `wording.says` reads it.
        coded: one of the codes does.
        names: one of them is among the error's types, codes and statuses.
        without: none of these is.
        statuses: what the error means in HTTP's terms is one of them (0: it states none).
        unless: meanings in which the rule does not hold.
        shapes: the error is written in one of them.
        message: the provider's words are exactly one of these.
        per_request: the account still serves other requests: no cooldown.
    """

    name: str
    kind: str
    source: str
    phrase: re.Pattern[str] | None = None
    says: re.Pattern[str] | None = None
    words: Reading | None = None
    coded: Reading | None = None
    names: frozenset[str] = frozenset()
    without: frozenset[str] = frozenset()
    statuses: frozenset[int] = frozenset()
    unless: frozenset[int] = frozenset()
    shapes: frozenset[str] = frozenset()
    message: frozenset[str] = frozenset()
    per_request: bool = False

    def reason(self, error: ErrorPayload) -> str | None:
        """Why the rule holds, in a few words that name it, or None where it does not."""
        # A request fault counts wherever it is named, the wrapper included.
        stated = error.names | error.wrapper_names if self.kind in _FAULTS else error.names
        named = self.names & stated
        holds = (
            (not self.names or named)
            and self.without.isdisjoint(stated)
            and (not self.statuses or error.status in self.statuses)
            and error.status not in self.unless
            and (not self.shapes or error.shape in self.shapes)
            and (not self.message or error.message in self.message)
            and (self.phrase is None or self.phrase.match(error.phrase))
            and (self.says is None or self.says.search(error.phrase))
            and (self.words is None or wording.says(error.phrase, self.words))
        )
        if not holds:
            return None
        if self.coded:
            says = partial(wording.says, reading=self.coded)
            telling = next((code for code in error.codes if says(code_words(code))), None)
            return f"{self.name} {telling.lower()}" if telling else None
        return f"{self.name} {min(named)}" if named else self.name


def phrases(*alternatives: str) -> re.Pattern[str]:
    """One pattern out of several, for `Rule.phrase` and `Rule.says`."""
    return re.compile("(?:" + "|".join(alternatives) + ")")


def names(text: str) -> frozenset[str]:
    """The words of a text, for `Rule.names`."""
    return frozenset(text.split())


FAULT_STATUSES = frozenset({400, 404, 405, 406, 409, 410, 411, 413, 414, 415, 416, 417, 422, 424, 428, 431})
"""Statuses that blame the request. Their messages quote it."""

BUSY_STATUSES = frozenset({402, 403, 429, 503, 529})
"""Statuses that blame the account, or the provider's servers."""

END = r"(?:[.!,;:)]|$)"
"""The end of a clause."""
