"""What the doctor says: symptom, cause and fix; as lines for a terminal, as JSON, and as an exit code."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from litellm_hybrid.terminal import OutputLine, Style


class Severity(StrEnum):
    """How bad it is, the mildest first."""

    OK = "ok"
    NOTE = "note"
    WARNING = "warning"
    ERROR = "error"


CHECKS = (
    "file",
    "access",
    "listen",
    "upstream",
    "provider-prefix",
    "client-keys",
    "litellm",
    "api-key",
    "models",
    "fallback",
    "live-litellm",
    "live-upstream",
    "python",
    "mitmproxy",
)
"""Every name that `Finding.check` may have, in the order in which they are told."""

_ORDER = tuple(Severity)
_STYLES = {
    Severity.OK: Style.GOOD,
    Severity.NOTE: Style.PLAIN,
    Severity.WARNING: Style.NOTICE,
    Severity.ERROR: Style.BAD,
}
_EXIT_CODES = {Severity.OK: 0, Severity.NOTE: 0, Severity.WARNING: 1, Severity.ERROR: 2}
_WIDTH = max(map(len, _ORDER)) + 2


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        check: what was looked at, one of `CHECKS`.
        symptom: what was seen.
        cause: why, where something is not as it should be.
        fix: the exact key or command.
    """

    check: str
    severity: Severity
    symptom: str
    cause: str = ""
    fix: str = ""


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
        """0: nothing is wrong; 1: a warning; 2: an error."""
        return _EXIT_CODES[self.severity]


def lines(report: Report) -> list[OutputLine]:
    """For people: what was found in the order of a request's way, then how much of each."""
    found: list[OutputLine] = []
    for each in report.findings:
        found.append(
            OutputLine(each.check, f"{each.severity:<{_WIDTH}}{each.symptom}", _STYLES[each.severity])
        )
        more = (("cause", each.cause), ("fix", each.fix))
        found += [OutputLine("", f"{name:<{_WIDTH}}{text}") for name, text in more if text]
    return [*found, OutputLine("", ""), OutputLine("result", _summary(report), _STYLES[report.severity])]


def as_json(report: Report) -> dict[str, object]:
    """For programs: the same, as a JSON object."""
    return {
        "file": report.file,
        "severity": report.severity,
        "exit_code": report.exit_code,
        "versions": dict(report.versions),
        "findings": [
            {
                "check": each.check,
                "severity": each.severity,
                "symptom": each.symptom,
                "cause": each.cause,
                "fix": each.fix,
            }
            for each in report.findings
        ],
    }


def _summary(report: Report) -> str:
    counts = Counter(each.severity for each in report.findings)
    said = [
        f"{counts[severity]} {severity}{'s' if counts[severity] > 1 else ''}"
        for severity in reversed(_ORDER[1:])
        if counts[severity]
    ]
    return ", ".join(said) or "everything is in order"
