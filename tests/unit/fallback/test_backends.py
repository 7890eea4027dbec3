"""What happens to SQLite's file, and what is read of it; what all stores do is in test_shared_state.py."""

import asyncio
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from time import monotonic

import pytest

from support.stores import ONLY_ROOT, SqliteStore, mount, places, process, spend, unmount, until


async def test_the_file_is_nobody_elses(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path)
    async with process(store) as one:
        await spend(one, 5)
        assert stat.S_IMODE(store.path.parent.stat().st_mode) == 0o700
        for file in store.path.parent.iterdir():
            assert stat.S_IMODE(file.stat().st_mode) == 0o600, file


async def test_a_file_that_is_deleted_is_made_anew(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path)
    async with process(store) as one, process(store) as two:
        assert await spend(one, 2)
        await until(lambda: two.budget.spent(monotonic()) == 1)
        store.path.unlink()
        await until(lambda: places(store) == 1)
        await until(lambda: not (one.shared.down_since or two.shared.down_since))
        one.conversations.add_served("a", monotonic())
        await until(lambda: two.conversations.was_served("a", monotonic()))


async def test_a_damaged_file_is_put_aside(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path)
    store.path.parent.mkdir(mode=0o700)
    store.path.write_bytes(b"this is no database, " * 1000)
    async with process(store) as one:
        await until(lambda: places(store) == 0)
        await until(lambda: one.shared.down_since is None)
        assert await spend(one, 2)
    assert store.path.with_name("state.db.damaged").exists()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk of its own."""
    folder = tmp_path / "private"
    folder.mkdir()
    if not mount(folder, "size=256k"):
        pytest.skip(ONLY_ROOT)
    yield folder
    while unmount(folder):
        """What a failed test has mounted, too."""


async def test_a_full_disk(disk: Path) -> None:
    store = SqliteStore(disk.parent)
    async with process(store) as one:
        assert await spend(one, 50)
        ballast = disk / "ballast"
        with suppress(OSError), ballast.open("wb", 0) as file:
            while file.write(b"x" * 1024):
                pass
        while one.shared.down_since is None:
            one.conversations.add_served(str(monotonic()), monotonic())
            await asyncio.sleep(0.001)
        one.conversations.add_served("a", monotonic())
        assert await spend(one, 50)
        ballast.unlink()
        await until(lambda: one.shared.down_since is None)
        await until(lambda: places(store) == 2)


async def test_a_disk_that_becomes_read_only(disk: Path) -> None:
    store = SqliteStore(disk.parent)
    async with process(store) as one:
        assert await spend(one, 5)
        # One on top: the file that is open keeps the disk itself from becoming so.
        assert mount(disk, "ro")
        await until(lambda: one.shared.down_since)
        assert await spend(one, 5)
        assert unmount(disk)
        await until(lambda: one.shared.down_since is None)
        await until(lambda: places(store) == 2)
