"""docs/logs.md names the fields and events of the code; its examples and commands hold."""

import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import get_args, get_type_hints

import pytest

from litellm_hybrid.observability.log_format import Event, Fields, Line, OfRequest

DOCS = (Path(__file__).parents[3] / "docs" / "logs.md").read_text(encoding="utf-8")
_NUMBERS: Mapping[object, str] = {float: "number", int: "integer"}


def _json_type(hint: object) -> str:
    return next((name for kind, name in _NUMBERS.items() if kind in (hint, *get_args(hint))), "string")


TYPES = {name: hint for part in (Line, OfRequest, Fields) for name, hint in get_type_hints(part).items()}


# -- docs/logs.md -----------------------------------------------------------------


def rows(heading: str) -> list[list[str]]:
    """The cells of the table below a heading."""
    section = DOCS.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_the_documented_fields_are_those_of_the_code() -> None:
    assert [row[:2] for row in rows("Fields")] == [
        [f"`{name}`", _json_type(hint)] for name, hint in TYPES.items()
    ]


def test_the_documented_events_are_those_of_the_code() -> None:
    assert [event for event, _ in rows("Events")] == [f"`{event}`" for event in get_args(Event)]


EXAMPLES = [json.loads(line) for line in DOCS.splitlines() if line.startswith('{"time"')]


@pytest.mark.parametrize("example", EXAMPLES, ids=[e.get("event", e["logger"]) for e in EXAMPLES])
def test_an_example_has_fields_of_the_table_alone(example: dict[str, object]) -> None:
    assert set(example) <= set(TYPES)
    assert example.get("event", "ended") in get_args(Event)


def test_there_is_an_example_of_each_kind() -> None:
    shown = {example.get("event") for example in EXAMPLES}
    assert shown >= {
        "config-loaded", "config-changed", "config-broken", "serving", "draining", "ended", "routed", "answered",
        "fallback", "fallback-failed", "error", "refused", "client-disconnected",
    }  # fmt: skip


COMMANDS = re.findall(r"^(?:tail .*\| )?jq .*$", DOCS, flags=re.MULTILINE)


@pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not installed: its one-liners cannot be run")
@pytest.mark.parametrize("command", COMMANDS)
def test_a_documented_jq_line_finds_something(command: str, tmp_path: Path) -> None:
    """Run over the examples; and over a line that is no JSON, if it says that it can take that."""
    text = "[12:00:00.000] Loading script hybrid.py\n" if "fromjson?" in command else ""
    log = tmp_path / "hybrid.log"
    log.write_text(text + "".join(json.dumps(example) + "\n" for example in EXAMPLES), encoding="utf-8")

    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command.replace("tail -f", "cat")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip()


def test_there_are_jq_lines() -> None:
    assert len(COMMANDS) >= 6
