"""What the doctor says: symptom and fix; as lines for a terminal, as JSON, and as an exit code."""

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
    *("file", "access", "listen", "upstream", "accounts", "client-keys", "provider-prefix"),
    *("litellm", "api-key", "loops", "drop-params", "backends", "models", "fallback", "clock"),
    *("live-litellm", "live-upstream", "python", "mitmproxy"),
)
"""Every name that `Finding.check` may have, in the order in which they are told."""

_ORDER = tuple(Severity)
_STYLES = dict(zip(_ORDER, (Style.GOOD, Style.NOTICE, Style.NOTICE, Style.BAD), strict=True))
_EXIT_CODES = dict(zip(_ORDER, (0, 1, 1, 2), strict=True))
_WIDTH = max(map(len, _ORDER)) + 2


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        check: what was looked at, one of `CHECKS`.
        symptom: what was seen, and why it is so.
        fix: the exact key or command; of what was not checked, what it takes.
    """

    check: str
    severity: Severity
    symptom: str
    fix: str = ""


def ok(check: str, symptom: str, fix: str = "") -> Finding:
    """Nothing is wrong; `fix` says what else could be wanted."""
    return Finding(check, Severity.OK, symptom, fix)


def not_checked(check: str, symptom: str, takes: str) -> Finding:
    """It could not be looked at; `takes` is what has to be given for it."""
    return Finding(check, Severity.NOT_CHECKED, symptom, takes)


def warning(check: str, symptom: str, fix: str) -> Finding:
    """It works, and may not be what was meant."""
    return Finding(check, Severity.WARNING, symptom, fix)


def error(check: str, symptom: str, fix: str) -> Finding:
    """It does not work."""
    return Finding(check, Severity.ERROR, symptom, fix)


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

    def lines(self) -> list[OutputLine]:
        """Format it for people: what was found in the order of a request's way, then how much of each."""
        found: list[OutputLine] = []
        for each in self.findings:
            symptom = f"{each.severity:<{_WIDTH}}{each.symptom}"
            found.append(OutputLine(each.check, symptom, _STYLES[each.severity]))
            name = "takes" if each.severity is Severity.NOT_CHECKED else "fix"
            found += [OutputLine("", f"{name:<{_WIDTH}}{each.fix}")] if each.fix else []
        return [*found, OutputLine("", ""), OutputLine("result", self._summary(), _STYLES[self.severity])]

    def as_json(self) -> dict[str, object]:
        """Format it for programs: the same, as a JSON object."""
        findings = [asdict(each) for each in self.findings]
        more = {"severity": self.severity, "exit_code": self.exit_code, "versions": dict(self.versions)}
        return {"file": self.file, **more, "findings": findings}

    def _summary(self) -> str:
        counts = Counter(each.severity for each in self.findings)
        words = {Severity.ERROR: "error", Severity.WARNING: "warning"}
        said = [f"{n} {word}{'s' if n > 1 else ''}" for level, word in words.items() if (n := counts[level])]
        said += [f"{gaps} not checked"] if (gaps := counts[Severity.NOT_CHECKED]) else []
        return ", ".join(said) or "everything was looked at and is in order"
