"""What `verify-upstream --binary` found, as tables for the terminal and as JSON."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from real.matrix import Matrix, Outcome

PROMISE = 0.99
"""The share of failures that must fall back."""


@dataclass(frozen=True, slots=True)
class Row:
    """An expectation and what was seen: ok, not seen or DIFFERS."""

    state: str
    text: str
    seen: str
    means: str = ""


@dataclass(frozen=True, slots=True)
class Wait:
    """How long a client waited for a failure: what was answered, with which settings."""

    what: str
    settings: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Tally:
    """Sums over some outcomes."""

    failures: int
    caught: int
    others: int
    sent: int
    stated: int
    read: int
    doubled: int
    own_of: int
    own_caught: int
    own_sent: int

    @property
    def share(self) -> float:
        """Of the failures, what fell back."""
        return self.caught / self.failures if self.failures else 1.0

    @property
    def is_kept(self) -> bool:
        """Whether the promise is."""
        return self.share >= PROMISE and not self.sent and not self.doubled and self.read == self.stated


def tally(outcomes: Iterable[Outcome]) -> Tally:
    """Count them."""
    counts: Counter[str] = Counter()
    for outcome in outcomes:
        counts["failures" if outcome.want else "others"] += 1
        if outcome.fell_back:
            counts["caught" if outcome.want else "sent"] += 1
        if outcome.waits and outcome.fell_back and outcome.took in {"quota", "overload"}:
            counts["stated"] += 1
            counts["read"] += outcome.wait_read
        counts["doubled"] += outcome.is_doubled
        if outcome.own is not None:
            counts["own_of"] += outcome.want
            counts["own_caught" if outcome.want else "own_sent"] += outcome.own
    names = (
        "failures",
        "caught",
        "others",
        "sent",
        "stated",
        "read",
        "doubled",
        "own_of",
        "own_caught",
        "own_sent",
    )
    return Tally(*(counts[name] for name in names))


@dataclass(slots=True)
class Report:
    """Everything that was found out about one version.

    Attributes:
        kept: the folder with all logs, where something is to be looked up in them.
    """

    version: str
    matrices: list[Matrix] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    waits: list[Wait] = field(default_factory=list)
    seconds: float = 0.0
    kept: Path | None = None

    @property
    def lost(self) -> list[str]:
        """Questions that got no response, from the product or from CLIProxyAPI."""
        return [lost for matrix in self.matrices for lost in matrix.lost]

    @property
    def outcomes(self) -> list[Outcome]:
        """All questions."""
        return [outcome for matrix in self.matrices for outcome in matrix.outcomes]

    @property
    def is_good(self) -> bool:
        """Whether this version is as we need it, and we as its users need us."""
        differs = any(row.state == "DIFFERS" for row in self.rows)
        return tally(self.outcomes).is_kept and not self.lost and not differs


HEAD = ("provider", "client API", "failures", "caught", "missed", "others", "sent on", "waits read")
OWN_HEAD = ("own: caught", "own: sent on")


def table(matrix: Matrix) -> list[str]:
    """A table by provider and client API, with totals."""
    own = any(outcome.own is not None for outcome in matrix.outcomes)
    groups: dict[tuple[str, str], list[Outcome]] = defaultdict(list)
    for outcome in matrix.outcomes:
        groups[outcome.play.case.provider, outcome.play.api].append(outcome)
    rows = [HEAD + (OWN_HEAD if own else ())]
    rows += [(*names, *_cells(tally(members), own)) for names, members in groups.items()]
    rows.append(("all", "", *_cells(tally(matrix.outcomes), own)))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(width) if column < 2 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _cells(sums: Tally, own: bool) -> tuple[str, ...]:
    cells = (
        str(sums.failures),
        f"{sums.caught} {sums.share:.0%}" if sums.share in {0, 1} else f"{sums.caught} {sums.share:.1%}",
        str(sums.failures - sums.caught),
        str(sums.others),
        str(sums.sent),
        f"{sums.read}/{sums.stated}",
    )
    return (*cells, f"{sums.own_caught}/{sums.own_of}", str(sums.own_sent)) if own else cells


def complaints(outcomes: Sequence[Outcome], most: int = 20) -> Iterator[str]:
    """What went wrong, the same thing on several APIs once."""
    groups: dict[tuple[str, str], list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        if not outcome.is_right:
            wrong = (
                "missed" if outcome.want and not outcome.fell_back else "sent on" if outcome.fell_back else ""
            )
            wrong = "wait not read" if outcome.want is outcome.fell_back else wrong
            wrong = "sent twice" if outcome.is_doubled else wrong
            groups[outcome.play.case.name, wrong].append(outcome)
    for (name, wrong), members in list(groups.items())[:most]:
        first = members[0]
        places = " ".join(outcome.play.where for outcome in members)
        yield f"{wrong}: {name} ({first.kind}, {first.route or 'no route'}) on {places}"
        body = (
            first.direct.body
            if len(first.direct.body) < 200
            else f"{first.direct.body[:100]} … {first.direct.body[-90:]}"
        )
        yield f"    it wrote {first.direct.status} {' '.join(body.split())}"
    if len(groups) > most:
        yield f"… and {len(groups) - most} more"


def slowest(outcomes: Iterable[Outcome]) -> float:
    """The longest that a client waited for its first byte, in seconds, where no provider was slow."""
    return max((outcome.seconds for outcome in outcomes if not outcome.play.slow), default=0.0)


def as_json(report: Report) -> dict[str, object]:
    """The report for other programs; the page of versions is made of it too."""

    def sums(outcomes: Iterable[Outcome]) -> dict[str, int]:
        counted = tally(outcomes)
        return {name: getattr(counted, name) for name in Tally.__dataclass_fields__}

    return {
        "version": report.version,
        "good": report.is_good,
        "seconds": round(report.seconds, 1),
        "by": {
            "subscription" if matrix.subscriptions else "key": {
                "all": sums(matrix.outcomes),
                "seconds": round(matrix.seconds, 1),
                "slowest": round(slowest(matrix.outcomes), 2),
            }
            for matrix in report.matrices
        },
        "rows": [{"state": row.state, "text": row.text, "seen": row.seen} for row in report.rows],
        "waits": [
            {"what": wait.what, "settings": wait.settings, "seconds": round(wait.seconds, 1)}
            for wait in report.waits
        ],
        "lost": report.lost,
        "wrong": list(complaints(report.outcomes, most=1000)),
    }
