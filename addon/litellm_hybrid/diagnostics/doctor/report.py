"""What the doctor says: symptom and fix; as lines for a terminal, as JSON, and as an exit code."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from functools import partial

from litellm_hybrid.terminal import OutputLine, Style


class Severity(StrEnum):
    """How bad it is, the mildest first."""

    OK = "ok"
    NOT_CHECKED = "not checked"
    WARNING = "warning"
    ERROR = "error"


CHECKS = (
    *("file", "access", "listen", "upstream", "accounts", "client-keys", "provider-prefix"),
    *("litellm", "api-key", "loops", "drop-params", "backends", "models", "fallback", "prices"),
    *("clock", "live-litellm", "live-upstream", "replay", "python", "mitmproxy"),
)
"""Every name that `Finding.check` may have, in the order in which they are told."""

_SHOWN = {
    Severity.OK: (0, Style.GOOD),
    Severity.NOT_CHECKED: (1, Style.NOTICE),
    Severity.WARNING: (1, Style.NOTICE),
    Severity.ERROR: (2, Style.BAD),
}
"""Exit code and style."""

_SAYS_OF_FIX = {Severity.OK: "you may", Severity.NOT_CHECKED: "takes"}

_WIDTH = max(map(len, Severity)) + 2


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        check: what was looked at, one of `CHECKS`.
        symptom: what was seen, and why it is so.
        fix: the exact key or command; of what was not checked, what it takes.
    """

    severity: Severity
    check: str
    symptom: str
    fix: str = ""


ok = partial(Finding, Severity.OK)
"""Nothing is wrong; `fix` says what else could be wanted."""

not_checked = partial(Finding, Severity.NOT_CHECKED)
"""It could not be looked at; `fix` is what has to be given for it."""

warning = partial(Finding, Severity.WARNING)
"""It works, and may not be what was meant."""

error = partial(Finding, Severity.ERROR)
"""It does not work."""


def some(names: Iterable[str], most: int = 5) -> str:
    """Name a few, each once."""
    distinct = list(dict.fromkeys(names))
    return ", ".join((*distinct[:most], *(["…"] if len(distinct) > most else [])))


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
        return max((each.severity for each in self.findings), key=list(Severity).index, default=Severity.OK)

    @property
    def exit_code(self) -> int:
        """0: all was looked at, and nothing is wrong; 1: a warning, or a gap; 2: an error."""
        return _SHOWN[self.severity][0]

    def lines(self) -> list[OutputLine]:
        """Format it for people: what was found in the order of a request's way, then how much of each."""
        found: list[OutputLine] = []
        for each in self.findings:
            symptom = f"{each.severity:<{_WIDTH}}{each.symptom}"
            found.append(OutputLine(each.check, symptom, _SHOWN[each.severity][1], _WIDTH))
            name = _SAYS_OF_FIX.get(each.severity, "fix")
            found += [OutputLine("", f"{name:<{_WIDTH}}{each.fix}", indent=_WIDTH)] if each.fix else []
        counts = Counter(each.severity for each in self.findings)
        said = [
            f"{n} {level}{'s' if n > 1 and level is not Severity.NOT_CHECKED else ''}"
            for level in list(Severity)[:0:-1]
            if (n := counts[level])
        ]
        result = ", ".join(said) or "everything was looked at and is in order"
        return [*found, OutputLine("", ""), OutputLine("result", result, _SHOWN[self.severity][1])]

    def as_json(self) -> dict[str, object]:
        """Format it for programs: the same, as a JSON object."""
        findings = [asdict(each) for each in self.findings]
        more = {"severity": self.severity, "exit_code": self.exit_code, "versions": dict(self.versions)}
        return {"file": self.file, **more, "findings": findings}
