"""What the doctor says: symptom, cause and fix; as lines for a terminal, as JSON, and as an exit code."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum

from litellm_hybrid.terminal import OutputLine, Style


class Severity(StrEnum):
    """How bad it is, the mildest first."""

    OK = "ok"
    NOT_CHECKED = "not checked"
    WARNING = "warning"
    ERROR = "error"


CHECKS = (
    "file",
    "access",
    "listen",
    "upstream",
    "accounts",
    "client-keys",
    "provider-prefix",
    "litellm",
    "api-key",
    "models",
    "fallback",
    "loops",
    "drop-params",
    "clock",
    "live-litellm",
    "live-upstream",
    "python",
    "mitmproxy",
)
"""Every name that `Finding.check` may have, in the order in which they are told."""

_ORDER = tuple(Severity)
_STYLES = {
    Severity.OK: Style.GOOD,
    Severity.NOT_CHECKED: Style.NOTICE,
    Severity.WARNING: Style.NOTICE,
    Severity.ERROR: Style.BAD,
}
_EXIT_CODES = {Severity.OK: 0, Severity.NOT_CHECKED: 1, Severity.WARNING: 1, Severity.ERROR: 2}
_WIDTH = max(map(len, _ORDER)) + 2


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        check: what was looked at, one of `CHECKS`.
        symptom: what was seen.
        cause: why, where something is not as it should be.
        fix: the exact key or command; of what was not checked, what it takes.
    """

    check: str
    severity: Severity
    symptom: str
    cause: str = ""
    fix: str = ""


def ok(check: str, symptom: str, cause: str = "", fix: str = "") -> Finding:
    """Nothing is wrong; `fix` says what else could be wanted."""
    return Finding(check, Severity.OK, symptom, cause, fix)


def not_checked(check: str, symptom: str, takes: str) -> Finding:
    """It could not be looked at; `takes` is what has to be given for it."""
    return Finding(check, Severity.NOT_CHECKED, symptom, "", takes)


def warning(check: str, symptom: str, cause: str, fix: str) -> Finding:
    """It works, and may not be what was meant."""
    return Finding(check, Severity.WARNING, symptom, cause, fix)


def error(check: str, symptom: str, cause: str, fix: str) -> Finding:
    """It does not work."""
    return Finding(check, Severity.ERROR, symptom, cause, fix)


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that was found.

    Attributes:
        versions: program → version, or as much as could be told of it.
    """

    file: str
    findings: Sequence[Finding]
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def severity(self) -> Severity:
        """That of the worst finding."""
        return max((each.severity for each in self.findings), key=_ORDER.index, default=Severity.OK)

    @property
    def exit_code(self) -> int:
        """0: all was looked at, and nothing is wrong; 1: a warning, or a gap; 2: an error."""
        return _EXIT_CODES[self.severity]


def lines(report: Report) -> list[OutputLine]:
    """Format it for people: what was found in the order of a request's way, then how much of each."""
    found: list[OutputLine] = []
    for each in report.findings:
        symptom = f"{each.severity:<{_WIDTH}}{each.symptom}"
        found.append(OutputLine(each.check, symptom, _STYLES[each.severity]))
        takes = "takes" if each.severity is Severity.NOT_CHECKED else "fix"
        more = (("cause", each.cause), (takes, each.fix))
        found += [OutputLine("", f"{name:<{_WIDTH}}{text}") for name, text in more if text]
    summary = OutputLine("result", _summary(report), _STYLES[report.severity])
    return [*found, OutputLine("", ""), summary]


def as_json(report: Report) -> dict[str, object]:
    """Format it for programs: the same, as a JSON object."""
    return {
        "file": report.file,
        "severity": report.severity,
        "exit_code": report.exit_code,
        "versions": dict(report.versions),
        "findings": [asdict(each) for each in report.findings],
    }


def _summary(report: Report) -> str:
    counts = Counter(each.severity for each in report.findings)
    gaps = counts.pop(Severity.NOT_CHECKED, 0)
    said = [
        f"{counts[severity]} {severity}{'s' if counts[severity] > 1 else ''}"
        for severity in (Severity.ERROR, Severity.WARNING)
        if counts[severity]
    ]
    if gaps:
        said.append(f"{gaps} not checked")
    return ", ".join(said) or "everything was looked at and is in order"
