"""docs/from-the-fork.md says what the code does: keys, rows, log lines, commands, and what migrate prints."""

import json
import os
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from docs.blocks import chapter, log_lines
from litellm_hybrid.cli import main as cli
from litellm_hybrid.config.schema import BY_FLAT
from litellm_hybrid.diagnostics.migrate import migrate

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "from-the-fork.md").read_text("utf-8")
COMMANDS = sorted(
    set(re.findall(r"(?:`|^)((?:litellm-hybrid|\./scripts/[\w-]+) [^`#\n]*?) *(?:`|#|$)", PAGE, re.MULTILINE))
)


def test_every_key_of_the_fork_is_there() -> None:
    rows = re.findall(
        r"^\| `(litellm-[a-z-]+)` \| `([a-z.-]+)` \|", chapter(PAGE, "Key by key"), re.MULTILINE
    )
    assert dict(rows) == {flat: key.name for flat, key in BY_FLAT.items()}


def test_migrate_prints_what_the_page_shows() -> None:
    before, after = re.findall(r"```yaml\n# (?:before|after)\n(.*?)```", PAGE, re.DOTALL)
    assert migrate(before, source="f", env={}).text == after


@pytest.mark.parametrize(
    ("line", "more"),
    re.findall(r"^\| `(.*?)` \| the same(, and goes on)?", chapter(PAGE, "Log lines"), re.MULTILINE),
)
def test_the_log_lines_are_among_the_examples(line: str, more: str) -> None:
    """What varies may be anything; tests/e2e sees each of them written."""
    shown = log_lines((ROOT / "docs" / "logs.md").read_text("utf-8"))
    messages = [json.loads(each)["message"] for each in shown.splitlines()]
    pattern = re.sub("<[a-z-]+>|…|gpt-5|/path", ".+", re.escape(line).replace(r"\<", "<").replace(r"\-", "-"))
    pattern += r": .+ \(.+\)" if more else ""
    assert any(re.fullmatch(pattern, message) for message in messages), pattern


def test_there_are_commands() -> None:
    assert len(COMMANDS) > 7


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_one(command: str) -> None:
    program, *arguments = command.split()
    if program.startswith("./"):
        assert os.access(ROOT / program, os.X_OK)
        return
    name, *options = arguments
    assert cli.main.commands[name].make_context(name, options)


@pytest.mark.parametrize(
    "command", [it for it in COMMANDS if re.match(r"litellm-hybrid (check|migrate)", it)]
)
def test_what_reads_the_file_alone_does_what_the_page_says(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (before,) = re.findall(r"```yaml\n# before\n(.*?)```", PAGE, re.DOTALL)
    Path("config.yaml").write_text(before)
    result = CliRunner().invoke(cli.main, command.split()[1:])
    assert result.exit_code == 0
    assert Path("config.yaml.bak").exists() == ("--write" in command)


def test_every_file_that_is_named_is_there() -> None:
    for path in re.findall(r"`((?:tests|scripts)/[\w./-]+?)(?: URL)?`", PAGE):
        assert (ROOT / path).exists(), path
