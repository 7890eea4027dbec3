"""The table of fields and events is what the code uses, and what docs/logs.md says."""

import ast
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

import litellm_hybrid
from litellm_hybrid.flow.timing import Timing
from litellm_hybrid.observability.logging import fields as log_fields
from litellm_hybrid.observability.logging.fields import EVENTS, Event, Fields, OfRequest

ROOMS = sorted(Path(litellm_hybrid.__file__).parent.rglob("*.py"))
DOCS = (Path(__file__).parents[4] / "docs" / "logs.md").read_text(encoding="utf-8")
NAMES = {column.name for column in log_fields.table()}
SEVERAL_AT_ONCE = {"exchange.fields(record)": OfRequest, "timing.of(flow)": Timing}
"""What an `emit` may unpack: expression → the type that says which fields come of it."""


def emits() -> Iterator[tuple[str, ast.Call]]:
    """Every call of `log.emit` in the code: where it is, and the call."""
    for room in ROOMS:
        for node in ast.walk(ast.parse(room.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "log.emit":
                yield f"{room.name}:{node.lineno}", node


def events(call: ast.Call) -> set[str]:
    """The events that a call of `log.emit` may have."""
    values = [keyword.value for keyword in call.keywords if keyword.arg == "event"]
    return {
        node.value
        for value in values
        for node in ([value.body, value.orelse] if isinstance(value, ast.IfExp) else [value])
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


EMITS = list(emits())


def test_they_are_found() -> None:
    assert len(EMITS) > 25


@pytest.mark.parametrize(("where", "call"), EMITS, ids=[where for where, _ in EMITS])
def test_an_emit_uses_fields_and_events_of_the_table(where: str, call: ast.Call) -> None:
    named = {keyword.arg for keyword in call.keywords if keyword.arg is not None}
    unpacked = {ast.unparse(keyword.value) for keyword in call.keywords if keyword.arg is None}
    assert named <= set(Fields.__annotations__), where
    assert unpacked <= set(SEVERAL_AT_ONCE), where
    assert events(call), f"{where} has no event"
    assert events(call) <= set(EVENTS), where


def test_what_comes_several_at_once_is_in_the_table() -> None:
    for fields in SEVERAL_AT_ONCE.values():
        assert set(fields.__annotations__) <= set(Fields.__annotations__)


def test_no_event_is_made_up() -> None:
    """Each is logged somewhere; `crashed` where there is no `log.emit` any more."""
    used = {event for _, call in EMITS for event in events(call)}
    assert used | {"crashed"} == set(EVENTS) == set(get_args(Event))


def test_only_the_log_itself_bypasses_emit() -> None:
    """A line with fields of its own goes through `emit`, where the table is checked."""
    others = [room for room in ROOMS if room.parent.name != "logging"]
    assert [room.name for room in others if '"fields"' in room.read_text(encoding="utf-8")] == []


# -- docs/logs.md -----------------------------------------------------------------


def rows(heading: str) -> list[list[str]]:
    """The cells of the table below a heading."""
    section = DOCS.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_the_documented_fields_are_those_of_the_code() -> None:
    expected = [
        [f"`{column.name}`", column.type, column.about.meaning, column.about.present]
        for column in log_fields.table()
    ]
    assert rows("Fields") == expected


def test_the_documented_events_are_those_of_the_code() -> None:
    assert rows("Events") == [[f"`{event}`", meaning] for event, meaning in EVENTS.items()]


EXAMPLES = [json.loads(line) for line in DOCS.splitlines() if line.startswith('{"time"')]


@pytest.mark.parametrize("example", EXAMPLES, ids=[e.get("event", e["logger"]) for e in EXAMPLES])
def test_an_example_has_fields_of_the_table_alone(example: dict[str, object]) -> None:
    assert set(example) <= NAMES
    assert example.get("event", "ended") in EVENTS


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
