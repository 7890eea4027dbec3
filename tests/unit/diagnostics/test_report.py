"""The report: severity, exit code, lines and JSON."""

import pytest

from litellm_hybrid.diagnostics.report import Finding, Report, Severity


@pytest.mark.parametrize(
    ("severities", "code"),
    [
        ((), 0),
        ((Severity.OK, Severity.OK), 0),
        ((Severity.OK, Severity.NOT_CHECKED), 1),
        ((Severity.NOT_CHECKED, Severity.WARNING, Severity.OK), 1),
        ((Severity.ERROR, Severity.WARNING), 2),
    ],
)
def test_the_worst_finding_decides_the_exit_code(severities: tuple[Severity, ...], code: int) -> None:
    report = Report("f", [Finding(severity, "file", "s") for severity in severities])
    assert report.exit_code == code
    assert report.as_json()["exit_code"] == code


def test_findings_as_lines() -> None:
    report = Report(
        "f",
        [
            Finding(Severity.OK, "file", "fine"),
            Finding(Severity.OK, "file", "fine", "more"),
            Finding(Severity.ERROR, "litellm", "broken", "mend it"),
            Finding(Severity.WARNING, "listen", "odd", "look"),
            Finding(Severity.NOT_CHECKED, "fallback", "unknown", "--key KEY"),
        ],
    )
    assert [f"{line.label}|{line.text}" for line in report.lines()] == [
        "file|ok           fine",
        "file|ok           fine",
        "|you may      more",
        "litellm|error        broken",
        "|fix          mend it",
        "listen|warning      odd",
        "|fix          look",
        "fallback|not checked  unknown",
        "|takes        --key KEY",
        "|",
        "result|1 error, 1 warning, 1 not checked",
    ]


def test_the_json_has_fixed_names() -> None:
    report = Report("f", [Finding(Severity.NOT_CHECKED, "file", "s", "x")], {"python": "3.13"})
    assert report.as_json() == {
        "file": "f",
        "severity": "not checked",
        "exit_code": 1,
        "versions": {"python": "3.13"},
        "findings": [{"check": "file", "severity": "not checked", "symptom": "s", "fix": "x"}],
    }


def test_it_is_content_only_where_all_was_looked_at() -> None:
    def result(severity: Severity) -> str:
        return Report("f", [Finding(severity, "file", "s")]).lines()[-1].text

    assert result(Severity.OK) == "everything was looked at and is in order"
    assert result(Severity.NOT_CHECKED) == "1 not checked"
