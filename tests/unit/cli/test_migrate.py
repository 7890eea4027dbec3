"""`litellm-hybrid migrate`: what it prints where, its return codes, and what it does to the file."""

import os
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from litellm_hybrid.cli import main as cli
from litellm_hybrid.config.file_watcher import Watcher
from litellm_hybrid.config.parser import ConfigError

FLAT = "port: 8317\r\n# ключ\r\nlitellm-api-key: ${LITELLM_API_KEY}   # of LiteLLM\r\nlitellm-models: [gpt-5]".encode()
NAMESPACED = (
    "port: 8317\r\nextensions:\r\n  litellm:\r\n    # ключ\r\n    api-key: ${LITELLM_API_KEY}   # of LiteLLM\r\n"
    "    models: [gpt-5]"
).encode()
KEY = "sk-from-the-environment"


@pytest.fixture(autouse=True)
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A flat file, in the current folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LITELLM_API_KEY", KEY)
    Path("config.yaml").write_bytes(FLAT)
    return tmp_path / "config.yaml"


def run(*args: str) -> Result:
    return CliRunner().invoke(cli.main, ("migrate", *args))


def files() -> list[str]:
    return sorted(path.name for path in Path().iterdir())


def test_it_prints_the_file_byte_for_byte_and_changes_nothing(file: Path) -> None:
    result = run("config.yaml")
    assert (result.exit_code, result.stdout_bytes, result.stderr) == (0, NAMESPACED, "")
    assert file.read_bytes() == FLAT
    assert files() == ["config.yaml"]


def test_a_namespaced_file_is_printed_as_it_is_with_a_word_on_stderr(file: Path) -> None:
    file.write_bytes(NAMESPACED)
    result = run("config.yaml")
    assert (result.exit_code, result.stdout_bytes) == (0, NAMESPACED)
    assert result.stderr == "config.yaml: has no flat key; nothing is changed\n"


@pytest.mark.parametrize("option", [(), ("--write",)], ids=["print", "write"])
@pytest.mark.parametrize(
    "content",
    [
        b"litellm-modles: [a]\n",
        b"litellm-models: [a]\nextensions: {litellm: {models: [b]}}\n",
        b"litellm-api-key: ${NOT_SET_ANYWHERE}\n",
        b"litellm-models: [\xff]\n",
        None,
    ],
    ids=["unknown key", "two values", "no variable", "no UTF-8", "no file"],
)
def test_a_wrong_file_is_the_error_of_check(
    content: bytes | None, option: tuple[str, ...], file: Path
) -> None:
    file.unlink()
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError) as start:
        Watcher(Path("config.yaml"), os.environ).load()
    result = run("config.yaml", *option)
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", f"{start.value}\n")
    assert files() == ([] if content is None else ["config.yaml"])


def test_write_replaces_the_file_and_keeps_it_as_bak_with_its_mode(file: Path) -> None:
    file.chmod(0o640)
    result = run("config.yaml", "--write")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == f"config.yaml: rewritten; as it was, it is in {file}.bak\n"
    assert files() == ["config.yaml", "config.yaml.bak"]
    assert (file.read_bytes(), Path("config.yaml.bak").read_bytes()) == (NAMESPACED, FLAT)
    assert [stat.S_IMODE(path.stat().st_mode) for path in Path().iterdir()] == [0o640, 0o640]


def test_write_goes_into_the_file_that_is_watched(file: Path) -> None:
    """CLIProxyAPI's watch, and a mount into a container, hold the inode and not the name."""
    inode = file.stat().st_ino
    with file.open("rb") as held:
        assert run("config.yaml", "--write").exit_code == 0
        assert (file.stat().st_ino, held.read()) == (inode, NAMESPACED)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_write_keeps_the_owner(file: Path) -> None:
    os.chown(file, 4711, 4712)
    assert run("config.yaml", "--write").exit_code == 0
    assert {(path.stat().st_uid, path.stat().st_gid) for path in Path().iterdir()} == {(4711, 4712)}


def test_write_through_a_link_rewrites_what_it_leads_to(file: Path) -> None:
    Path("real").mkdir()
    real = file.rename("real/shared.yaml")
    file.symlink_to(real)
    assert run("config.yaml", "--write").exit_code == 0
    assert file.is_symlink()
    assert sorted(path.name for path in Path("real").iterdir()) == ["shared.yaml", "shared.yaml.bak"]
    assert real.read_bytes() == NAMESPACED


def test_a_second_write_changes_nothing(file: Path) -> None:
    run("config.yaml", "--write")
    before = file.stat().st_ino
    result = run("config.yaml", "--write")
    assert (result.exit_code, result.stderr) == (0, "config.yaml: has no flat key; nothing is changed\n")
    assert file.stat().st_ino == before


def test_a_backup_of_the_same_is_no_obstacle() -> None:
    Path("config.yaml.bak").write_bytes(FLAT)
    assert run("config.yaml", "--write").exit_code == 0
    assert Path("config.yaml.bak").read_bytes() == FLAT


def test_another_backup_is_never_overwritten(file: Path) -> None:
    Path("config.yaml.bak").write_text("precious")
    result = run("config.yaml", "--write")
    assert result.exit_code == 1
    assert "nothing is changed: " in result.stderr
    assert "config.yaml.bak is there already and holds something else; move it away first" in result.stderr
    assert (file.read_bytes(), Path("config.yaml.bak").read_text()) == (FLAT, "precious")


def test_where_it_cannot_be_replaced_it_stays_and_nothing_is_left_behind(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    result = run("config.yaml", "--write")
    assert result.exit_code == 1
    assert "nothing is changed: [Errno 28] No space left on device" in result.stderr
    assert file.read_bytes() == FLAT
    assert files() == ["config.yaml"]
