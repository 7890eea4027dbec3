"""The watcher on real files. A look is called as often as the addon would; nothing here waits for time."""

import os
from pathlib import Path

import pytest

from litellm_hybrid.config.file_watcher import Watcher
from litellm_hybrid.config.parser import ConfigError, Parsed

ONE = "litellm-models: [one]\n"
TWO = "litellm-models: [two]\n"
STAYS = "the last good settings stay in force"


class Disk:
    """A file whose every write has its own mtime, however quick the machine or coarse its clock."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._now = 1_000_000_000_000_000_000

    def write(self, text: str | bytes) -> None:
        self.path.write_bytes(text.encode() if isinstance(text, str) else text)
        self.touch()

    def touch(self) -> None:
        self._now += 1
        os.utime(self.path, ns=(self._now, self._now))


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    disk = Disk(tmp_path / "config.yaml")
    disk.write(ONE)
    return disk


@pytest.fixture
def watcher(disk: Disk) -> Watcher:
    watcher = Watcher(disk.path, {"KEY": "k"})
    watcher.load()
    assert looks(watcher, 3) == []
    return watcher


def looks(watcher: Watcher, count: int = 4) -> list[Parsed | ConfigError]:
    """What that many looks return, without the Nones."""
    return [found for _ in range(count) if (found := watcher.look()) is not None]


def models(found: list[Parsed | ConfigError]) -> list[tuple[str, ...]]:
    assert all(isinstance(each, Parsed) for each in found), found
    return [each.settings.models.entries for each in found if isinstance(each, Parsed)]


def problem(found: list[Parsed | ConfigError]) -> str:
    """The text of the one error among them."""
    assert len(found) == 1
    assert isinstance(found[0], ConfigError)
    return str(found[0])


def test_load(disk: Disk) -> None:
    disk.write("litellm-models: ['${KEY}']\n")
    assert Watcher(disk.path, {"KEY": "k"}).load().settings.models.entries == ("k",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"litellm-modles: []\n", "config.yaml:1: litellm-modles: unknown key"),
        (b"a: b\n# \xff\n", "config.yaml:2: not UTF-8 (byte 0xff)"),
    ],
)
def test_load_refuses_a_wrong_file(disk: Disk, content: bytes, message: str) -> None:
    disk.write(content)
    with pytest.raises(ConfigError) as caught:
        Watcher(disk.path, {}).load()
    assert message in str(caught.value)


def test_load_names_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: cannot read the configuration: No such file"):
        Watcher(tmp_path / "nowhere.yaml", {}).load()


def test_load_refuses_a_directory_and_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(ConfigError, match="not a regular file"):
            Watcher(path, {}).load()


def test_a_change_is_taken_once_and_on_the_second_look(disk: Disk, watcher: Watcher) -> None:
    disk.write(TWO)
    assert watcher.look() is None
    assert models(looks(watcher)) == [("two",)]


def test_a_file_that_keeps_moving_is_not_taken(disk: Disk, watcher: Watcher) -> None:
    for _ in range(5):
        disk.write(TWO)
        assert watcher.look() is None
    assert models(looks(watcher)) == [("two",)]


def test_a_file_that_changes_while_it_is_read_is_not_taken(
    disk: Disk, watcher: Watcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_bytes = Path.read_bytes

    def read_then_touch(path: Path) -> bytes:
        data = read_bytes(path)
        disk.touch()
        return data

    disk.write(TWO)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", read_then_touch)
        assert looks(watcher) == []
    assert models(looks(watcher)) == [("two",)]


def test_half_a_file_that_load_met_is_read_again(disk: Disk) -> None:
    """The write went on in the same tick of the file system's clock, with the same size."""
    watcher = Watcher(disk.path, {})
    before = disk.path.stat()
    watcher.load()
    disk.path.write_text(TWO, "utf-8")
    os.utime(disk.path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert models(looks(watcher)) == [("two",)]


def test_a_touch_says_nothing(disk: Disk, watcher: Watcher) -> None:
    disk.touch()
    assert looks(watcher) == []


def test_a_file_that_stands_still_is_not_read_again(
    watcher: Watcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "read_bytes", lambda path: pytest.fail(f"{path} was read"))
    assert looks(watcher) == []


def test_a_file_replaced_by_renaming_is_taken(disk: Disk, watcher: Watcher) -> None:
    other = disk.path.with_name("other")
    other.write_text(TWO, "utf-8")
    old = disk.path.stat()
    os.utime(other, ns=(old.st_atime_ns, old.st_mtime_ns))  # even with the same size and mtime
    other.rename(disk.path)
    assert models(looks(watcher)) == [("two",)]


def test_a_symbolic_link_is_followed_anew_as_in_kubernetes(tmp_path: Path) -> None:
    """..data points to a folder, config.yaml through it; an update swaps ..data."""
    for name, text in (("v1", ONE), ("v2", TWO)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.yaml").write_text(text, "utf-8")
    (tmp_path / "..data").symlink_to("v1")
    (tmp_path / "config.yaml").symlink_to("..data/config.yaml")
    watcher = Watcher(tmp_path / "config.yaml", {})
    assert watcher.load().settings.models.entries == ("one",)
    assert looks(watcher) == []
    (tmp_path / "..new").symlink_to("v2")
    (tmp_path / "..new").rename(tmp_path / "..data")
    assert models(looks(watcher)) == [("two",)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("litellm-models: [\n", "config.yaml:2: not valid YAML"),
        ("litellm-models: \n", "config.yaml:1: litellm-models: expected a list, got nothing"),
        (b"\xff", "config.yaml:1: not UTF-8"),
        ("", "config.yaml: it is empty"),
        (" \n", "config.yaml: it is empty"),
        ("port: 8317\n", "config.yaml: all litellm keys are gone"),
        ("# nothing\n", "config.yaml: all litellm keys are gone"),
    ],
)
def test_a_bad_file_is_rejected_and_said_once(
    disk: Disk, watcher: Watcher, content: str | bytes, message: str
) -> None:
    disk.write(content)
    text = problem(looks(watcher))
    assert message in text
    assert text.endswith(f"config.yaml: {STAYS}")
    disk.touch()
    assert looks(watcher) == []


def test_a_vanished_file_is_said_once_and_taken_when_it_is_back(disk: Disk, watcher: Watcher) -> None:
    disk.path.unlink()
    assert "cannot read the configuration: No such file" in problem(looks(watcher))
    disk.write(TWO)
    assert models(looks(watcher)) == [("two",)]


def test_a_file_that_is_gone_for_one_look_only_is_not_missed(disk: Disk, watcher: Watcher) -> None:
    disk.path.unlink()
    assert watcher.look() is None
    disk.write(ONE)
    assert looks(watcher) == []


def test_each_bad_state_is_said(disk: Disk, watcher: Watcher) -> None:
    disk.write("litellm-models: {}\n")
    assert "expected a list" in problem(looks(watcher))
    disk.write("")
    assert "empty" in problem(looks(watcher))


def test_the_last_good_file_again_is_said_once_with_the_same_settings(disk: Disk, watcher: Watcher) -> None:
    disk.write("")
    assert "empty" in problem(looks(watcher))
    disk.write(ONE)
    assert models(looks(watcher)) == [("one",)]
    disk.write("")
    assert "empty" in problem(looks(watcher))


def test_a_file_without_our_keys_may_stay_without_them(disk: Disk) -> None:
    disk.write("port: 8317\n")
    watcher = Watcher(disk.path, {})
    watcher.load()
    disk.write("port: 8316\n")
    assert [found.has_keys for found in looks(watcher) if isinstance(found, Parsed)] == [False]
    disk.write(ONE)
    assert models(looks(watcher)) == [("one",)]


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_may_not_be_read_is_taken_once_it_may(disk: Disk, watcher: Watcher) -> None:
    disk.write(TWO)
    disk.path.chmod(0)
    assert "Permission denied" in problem(looks(watcher))
    disk.path.chmod(0o600)  # which changes neither size nor mtime
    assert models(looks(watcher)) == [("two",)]


def test_truncated_and_rewritten_a_thousand_times(disk: Disk, watcher: Watcher) -> None:
    """Each look falls on another moment of the rewriting; no half file is ever taken."""
    whole = "litellm-models: [three]\nlitellm-model-mappings: {three: four}\n"
    for turn in range(1000):
        disk.write(whole[: turn % len(whole)])
        assert watcher.look() is None
    disk.write(whole)
    assert models(looks(watcher)) == [("three",)]
