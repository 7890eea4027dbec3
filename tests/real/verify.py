"""`verify-upstream --binary`: a CLIProxyAPI that is started here, between scripted providers and the product.

Nothing leaves this machine and no account is needed: what it looks up by itself finds a closed port.
"""

import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from real import versions_page
from real.agents import play_all
from real.cliproxyapi import version_of
from real.corpus import CAPTURED, Captured, ProviderError, merge, provider_errors, write_captured
from real.corpus import captured as captured_answers
from real.matrix import Matrix, measure
from real.report import Report, Row, Wait, as_json, complaints, slowest, table, tally
from real.scenarios import SCENARIOS, Differs, NotSeen, Place
from real.upstream_waits import measure_waits


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command line asks for.

    Attributes:
        only: a word that the names of cases and the texts of scenarios must have.
        capture: a folder for what was written.
        results: a file for what was found, as JSON.
        docs: whether the tables in docs/ are written anew.
        agents: whether coding agents are run through the last of them.
        add: whether what is new in what was written is shown, and kept in the tests' corpus.
    """

    subscriptions: bool = False
    own_fallback: bool = False
    only: str = ""
    capture: Path | None = None
    results: Path | None = None
    docs: bool = False
    add: bool = False
    agents: bool = False


_AT_ONCE = 3
"""How many scenarios run at once: most of their time they wait."""


@dataclass(slots=True)
class Progress:
    """A line on stderr that says how far it is; nothing where that is no terminal."""

    shown: bool = field(default_factory=sys.stderr.isatty)
    at: float = 0.0

    def __call__(self, what: str, done: int, total: int) -> None:
        """Show it, at most ten times a second."""
        if self.shown and (done == total or time.monotonic() - self.at > 0.1):
            self.at = time.monotonic()
            width = min(40, shutil.get_terminal_size().columns - 50)
            bar = ("█" * (width * done // max(total, 1))).ljust(width, "░")
            sys.stderr.write(f"\r\x1b[K{bar} {done}/{total} {what}")
            sys.stderr.flush()

    def clear(self) -> None:
        """Take the line away."""
        if self.shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


def verify_binaries(binaries: list[Path], wanted: Wanted, say: Callable[[str], None]) -> int:
    """Verify each and say what was seen, line by line; returns the exit code: 0 if every one is good."""
    reports = []
    for binary in binaries:
        progress = Progress()
        report = verify(binary, wanted, progress)
        progress.clear()
        for line in shown(report):
            say(line)
        reports.append(report)
    if wanted.results is not None:
        text = json.dumps([as_json(report) for report in reports], indent=1, ensure_ascii=False)
        wanted.results.write_text(f"{text}\n", encoding="utf-8")
    if wanted.capture is not None:
        wanted.capture.mkdir(parents=True, exist_ok=True)
        write_captured(captured(reports), wanted.capture / "captured_answers.jsonl")
    if wanted.add:
        for line in added(captured(reports)):
            say(line)
    played = list(play_all(binaries[-1])) if wanted.agents else []
    for session in played:
        say(f"{session.name} ({session.versions}): {'; '.join(session.problems) or 'ok'}")
        for line in session.lines if session.problems else ():
            say(line)
    if wanted.docs:
        versions_page.write([as_json(report) for report in reports], played)
    return 0 if all(report.is_good for report in reports) and not any(s.problems for s in played) else 1


def captured(reports: list[Report]) -> list[Captured]:
    """What the versions wrote, equal answers joined."""
    return merge(outcome.direct for report in reports for outcome in report.outcomes)


def added(written: list[Captured], file: Path = CAPTURED) -> Iterator[str]:
    """Keep what was written in the corpus, and tell what is new in it."""
    known = captured_answers(file)
    keys = {answer.key for answer in known}
    new = [answer for answer in written if answer.key not in keys]
    write_captured(merge([*known, *written]), file)
    yield f"{len(new)} of {len(written)} answers are new"
    for answer in new:
        places = " ".join(answer.at)
        body = " ".join(answer.body.split())
        yield f"  {answer.name} on {places}: {answer.status}, {answer.kind}: {body[:160]}"


def cases(only: str) -> list[ProviderError]:
    """The corpora's providers' answers."""
    return [case for case in provider_errors() if only in case.name]


def verify(binary: Path, wanted: Wanted, progress: Progress) -> Report:
    """Find out everything about one version."""
    began = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="verify-upstream-"))
    with ThreadPoolExecutor(2) as aside:
        waits = None if wanted.only else aside.submit(measure_waits, binary, _made(folder / "waits"))
        rows = aside.submit(_rows, binary, wanted, _made(folder / "scenarios"))
        matrices = list(_matrices(binary, wanted, folder, progress))
        progress("scenarios, and CLIProxyAPI's retries", 0, 1)
        measured: list[Wait] = waits.result() if waits else []
    report = Report(version_of(binary), matrices, rows.result(), measured, time.monotonic() - began)
    if report.is_good:
        shutil.rmtree(folder, ignore_errors=True)
    else:
        report.kept = folder
    return report


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _matrices(binary: Path, wanted: Wanted, folder: Path, progress: Progress) -> Iterator[Matrix]:
    chosen = cases(wanted.only)
    if not chosen:
        return
    # v6 asks providers' hosts by itself where it has accounts of subscriptions, and knows fewer of them.
    by = [False, True] if wanted.subscriptions and not version_of(binary).startswith("v6") else [False]
    for subscriptions in by:
        yield measure(
            binary,
            chosen,
            folder / ("subscriptions" if subscriptions else "keys"),
            subscriptions=subscriptions,
            own_fallback=wanted.own_fallback,
            advance=progress,
        )


def _rows(binary: Path, wanted: Wanted, folder: Path) -> list[Row]:
    chosen = [scenario for scenario in SCENARIOS if wanted.only in scenario.text]
    if not chosen:
        return []
    with ThreadPoolExecutor(_AT_ONCE) as threads, Place(binary, _made(folder / "shared")).rig() as shared:

        def look(number: int) -> Row:
            scenario = chosen[number]
            try:
                place = Place(binary, _made(folder / str(number)), shared)
                return Row("ok", scenario.text, scenario.check(place))
            except NotSeen as e:
                return Row("not seen", scenario.text, str(e))
            except (Differs, OSError) as e:
                return Row("DIFFERS", scenario.text, str(e), scenario.means)

        return list(threads.map(look, range(len(chosen))))


def shown(report: Report) -> Iterator[str]:
    """The report for a terminal."""
    yield f"CLIProxyAPI {report.version}"
    for matrix in report.matrices:
        count, by = len(matrix.outcomes), "by subscription" if matrix.subscriptions else "by key"
        yield f"\nproviders {by}: {count} questions in {matrix.seconds:.0f} s"
        yield from table(matrix)
        yield f"the longest wait for a first byte: {slowest(matrix.outcomes):.2f} s"
        yield from complaints(matrix.outcomes)
        yield from (f"NO RESPONSE: {lost}" for lost in matrix.lost)
    if report.rows:
        yield ""
    for row in report.rows:
        yield f"{row.state:<8}  {row.text}"
        yield f"          seen: {row.seen}"
        if row.means:
            yield f"          means: {row.means}"
    if report.waits:
        yield "\nhow long CLIProxyAPI retries before it tells a failure, in seconds"
        for wait in report.waits:
            yield f"  {wait.settings:<22}  {wait.what:<32}  {wait.seconds:5.1f}"
    sums = tally(report.outcomes)
    said = f"{sums.caught} of {sums.failures} failures fall back ({sums.share:.1%})"
    said += f", {sums.sent} of {sums.others} other answers"
    own = (
        f"; its own fallback: {sums.own_caught} of {sums.own_of}, {sums.own_sent} others"
        if sums.own_of
        else ""
    )
    verdict = "as we need it" if report.is_good else "NOT as we need it"
    if report.kept:
        yield f"\nwhat everything logged is kept in {report.kept}"
    yield f"\n{report.version}: {verdict}: {said}{own} ({report.seconds:.0f} s)\n"
