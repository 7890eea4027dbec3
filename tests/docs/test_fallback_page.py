"""docs/fallback.md says what the code does: its answers are judged, its codes and limits looked up."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from docs.blocks import chapter
from litellm_hybrid.cli import main as cli
from litellm_hybrid.config.settings import DEFAULT_FALLBACK_KINDS, FALLBACK_KINDS
from litellm_hybrid.fallback import conversations, response_hold, state
from litellm_hybrid.quota import classifier, retry_after
from litellm_hybrid.quota.rules import FAULT_STATUSES, RULES, STATUSES

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "fallback.md").read_text("utf-8")
PROSE = " ".join(PAGE.split())


EXAMPLES = [
    (kind, int(status), body, reason)
    for kind, status, body, reason in re.findall(
        r"^\| `?([a-z-]+)`? \| `(\d{3}) ?(.*)` \| (.+) \|$", chapter(PAGE, "Which answer"), re.MULTILINE
    )
]
"""(kind, status, body, reason) of each answer on the page."""


def judged(status: int, body: str) -> classifier.Verdict:
    stream = body.startswith(("data:", "event:"))
    raw = body.replace(" ⏎ ", "\n") + ("\n\n" if stream else "")
    kind = "text/event-stream" if stream else "application/json"
    return classifier.classify(status, {"content-type": kind}, raw.encode(), now=0)


@pytest.mark.parametrize(("kind", "status", "body", "reason"), EXAMPLES)
def test_every_answer_on_the_page_is_judged_so(kind: str, status: int, body: str, reason: str) -> None:
    verdict = judged(status, body)
    rule, _, alone = reason.partition(", this request ")
    assert (verdict.kind, verdict.reason, verdict.per_request) == (kind, rule, alone == "alone")


def test_every_rule_has_an_answer_on_the_page() -> None:
    assert {kind for kind, *_ in EXAMPLES} == {*FALLBACK_KINDS[:-1], "none"}
    decided = {reason.partition(", this")[0] for *_, reason in EXAMPLES}
    missing = [rule.name for rule in RULES if not any(reason.startswith(rule.name) for reason in decided)]
    assert missing == []


def _statuses(line: str) -> set[int]:
    """The statuses that a line names: single ones, and those of a range."""
    ranges = re.findall(r"(\d{3}) to (\d{3})", line)
    spans = {number for first, last in ranges for number in range(int(first), int(last) + 1)}
    return {*spans, *(int(number) for number in re.findall(r"\d{3}", line))}


def test_the_statuses_are_those_of_the_rules() -> None:
    (faults,) = re.findall(r"^5\. \*\*A status[^:]*: (.*?)^6\.", PAGE, re.MULTILINE | re.DOTALL)
    assert _statuses(faults) >= FAULT_STATUSES
    (line,) = re.findall(r"^7\. \*\*The status\.\*\* (.*?) It is the HTTP", PAGE, re.MULTILINE | re.DOTALL)
    assert _statuses(line) == frozenset().union(*(rule.statuses for rule in STATUSES))


def test_the_kinds_and_their_defaults() -> None:
    rows = re.findall(
        r"^\| `([a-z-]+)` \| .* \| (falls back|opt-in)", chapter(PAGE, "The kinds"), re.MULTILINE
    )
    assert [kind for kind, _ in rows] == list(FALLBACK_KINDS)
    assert {kind for kind, default in rows if default == "falls back"} == DEFAULT_FALLBACK_KINDS


@pytest.mark.parametrize(
    ("words", "value", "expected"),
    [
        ("64 KiB", response_hold.MOST, 64 * 1024),
        ("1 MiB, `fallback.opening-max`", response_hold.OPENING_MOST, 1024 * 1024),
        ("64 KiB, 0.3 s", response_hold.COLLECT_LIMIT, 0.3),
        ("1024 answers are held", response_hold.MOST_AT_ONCE, 1024),
        ("less than 60 s ago", state.UNKNOWN_FOR, 60),
        ("the last 60 minutes", state.HOUR, 60 * 60),
        ("24 hours", conversations.SERVED_FOR, 24 * 3600),
        ("0 s to 30 days", retry_after.LONGEST, 30 * 86400),
    ],
)
def test_the_limits_are_those_of_the_code(words: str, value: float, expected: float) -> None:
    assert words in PROSE
    assert value == expected


def test_the_session_headers_are_those_that_are_read() -> None:
    (line,) = re.findall(r"known by its session header \(([^)]*)\)", PROSE)
    named = {name.lower().encode() for name in re.findall(r"`([A-Za-z_-]+)`", line)}
    assert named == set(conversations._SESSION_HEADERS)


def test_the_command_on_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("config.yaml").write_text(
        "litellm-base-url: http://127.0.0.1:4000\nlitellm-api-key: sk-1\nlitellm-fallback-enabled: true\n"
    )
    Path("answer.json").write_text('{"error": {"type": "usage_limit_reached"}}')
    (command,) = re.findall(r"```bash\nlitellm-hybrid (.*?)\n```", PAGE)
    result = CliRunner().invoke(cli.main, command.split())
    assert result.exit_code == 0
    assert "quota code usage_limit_reached" in result.output
