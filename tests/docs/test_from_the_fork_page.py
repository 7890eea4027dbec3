"""docs/from-the-fork.md says what the code does: keys, rows, log lines, commands, and what migrate prints."""

import os
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from litellm_hybrid.cli import main as cli
from litellm_hybrid.config.schema import BY_FLAT
from litellm_hybrid.diagnostics.migrate import migrate

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "from-the-fork.md").read_text("utf-8")
SOURCES = {str(file): file.read_text("utf-8") for file in (ROOT / "addon" / "litellm_hybrid").rglob("*.py")}
COMMANDS = sorted(
    set(re.findall(r"(?:`|^)((?:litellm-hybrid|\./scripts/[\w-]+) [^`#\n]*?) *(?:`|#|$)", PAGE, re.MULTILINE))
)


def chapter(title: str) -> str:
    """What stands below a heading, up to the next one."""
    found = re.search(rf"^#+ {re.escape(title)}\n(.*?)(?=^#+ |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found
    return found[1]


def test_every_key_of_the_fork_is_there() -> None:
    rows = re.findall(r"^\| `(litellm-[a-z-]+)` \| `([a-z.-]+)` \|", chapter("Key by key"), re.MULTILINE)
    assert dict(rows) == {flat: key.name for flat, key in BY_FLAT.items()}


def test_migrate_prints_what_the_page_shows() -> None:
    before, after = re.findall(r"```yaml\n# (?:before|after)\n(.*?)```", PAGE, re.DOTALL)
    assert migrate(before, source="f", env={}).text == after


@pytest.mark.parametrize("line", re.findall(r"^\| `(.*?)` \| the same", chapter("Log lines"), re.MULTILINE))
def test_the_log_lines_are_written(line: str) -> None:
    """What stands before the first thing that varies."""
    fixed = (
        re.split(r"<|gpt-5|POST", line)[0]
        .replace("litellm proxy", " proxy")
        .replace("litellm: client", ": client")
    )
    assert any(fixed in text for text in SOURCES.values()), fixed


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
