"""The real CLIProxyAPI, where the environment names one: CLIPROXYAPI=PATH[:PATH…].

`scripts/verify-upstream --binary` runs the same, and shows it.
"""

import os
from pathlib import Path

import pytest

from real.corpus import Captured, captured, write_captured
from real.report import tally
from real.verify import Progress, Wanted, added, shown, verify

BINARIES = [Path(name) for name in os.environ.get("CLIPROXYAPI", "").split(":") if name]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("binary", BINARIES or [None], ids=lambda binary: binary.name if binary else "none")
def test_a_real_cliproxyapi(binary: Path | None) -> None:
    """At least 99 % of the failures fall back, nothing else does, and all that we rely on is there."""
    if binary is None:
        pytest.skip("no real CLIProxyAPI was asked: CLIPROXYAPI names none (PATH[:PATH…])")
    report = verify(binary, Wanted(), Progress(shown=False))
    sums = tally(report.outcomes)
    assert report.is_good, "\n".join(shown(report))
    assert sums.failures > 700


def test_a_new_version_shows_what_is_new(tmp_path: Path) -> None:
    """What is known gets the version's name; what is not is told and kept."""
    file = tmp_path / "captured.jsonl"
    headers = {"Content-Type": "application/json"}
    write_captured([Captured("a", 429, headers, "{}", "quota", want=True, at={"chat": ["v1"]})], file)
    new = [
        Captured("a", 429, headers, "{}", "quota", want=True, at={"chat": ["v2"]}),
        Captured("a", 400, headers, "Bad Request", "none", want=False, at={"responses~": ["v2"]}),
    ]
    told = list(added(new, file))
    assert told == ["1 of 2 answers are new", "  a on responses~: 400, none: Bad Request"]
    assert {(entry.status, str(entry.at)) for entry in captured(file)} == {
        (429, "{'chat': ['v1', 'v2']}"),
        (400, "{'responses~': ['v2']}"),
    }
