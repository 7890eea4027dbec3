"""The settings in force: at the start, and as the file changes."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from litellm_hybrid.config.parser import ConfigError
from litellm_hybrid.config.settings import Address, Settings, SettingsStore
from litellm_hybrid.diagnostics.report import Listener
from litellm_hybrid.observability.history import ReloadHistory
from litellm_hybrid.observability.log import AppLog
from litellm_hybrid.runtime import lifecycle
from litellm_hybrid.runtime.lifecycle import ConfigReloader

UPSTREAM = Address("http", "127.0.0.1", 8317)
HERE = ("127.0.0.1", 8318, UPSTREAM)

FILE = "extensions: {litellm: {enabled: true, base-url: '%s', api-key: k, models: [gpt-5]}}\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "config.yaml"
    file.write_text(FILE % "http://127.0.0.1:4000")
    return file


def _read(file: Path, listener: Listener = HERE) -> SettingsStore:
    settings = SettingsStore()
    ConfigReloader(file, [listener], settings, ReloadHistory(), AppLog())
    return settings


def test_the_start_says_what_is_in_force(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "litellm_hybrid")
    assert _read(file).current.base_url == Address("http", "127.0.0.1", 4000)
    assert "LiteLLM routing enabled for: http://127.0.0.1:4000" in caplog.messages
    assert any("fallback is off" in message for message in caplog.messages)


@pytest.mark.parametrize(
    ("fallback", "models"),
    [
        ("", "all models"),
        (", except: [gpt-5, o3*]", "all models but 2 (`fallback.except`)"),
        (", models: [gpt-5]", "1 model"),
    ],
)
def test_the_start_says_what_falls_back_where_nothing_is_routed(
    fallback: str, models: str, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "litellm_hybrid")
    text = "extensions: {litellm: {base-url: 'http://127.0.0.1:4000', api-key: k, %s}}\n"
    file.write_text(text % f"fallback: {{enabled: true{fallback}}}")
    _read(file)
    page = "status page: http://127.0.0.1:8318/_hybrid/status"
    said = f"litellm: fallback to http://127.0.0.1:4000 for {models}; {page}; file: {file}"
    assert [message for message in caplog.messages if "http" in message] == [said]


def test_authorities_that_cannot_be_read_end_the_start(file: Path) -> None:
    file.write_text(file.read_text().replace("enabled: true", "enabled: true, tls-ca: /missing.pem"))
    with pytest.raises(ConfigError, match=r"tls-ca: /missing\.pem cannot be used: No such file"):
        _read(file)


def test_nothing_is_enabled_without_a_word(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "litellm_hybrid")
    file.write_text("port: 8317\n")

    assert not _read(file).current.active
    assert not [message for message in caplog.messages if "routing enabled" in message]


@pytest.mark.parametrize(
    ("base_url", "listener", "says"),
    [
        ("http://127.0.0.1:8317", HERE, "is upstream"),
        ("http://localhost:8317/v1", HERE, "is upstream"),
        ("http://127.0.0.1:8318", HERE, "is litellm-hybrid itself"),
        ("http://localhost:8318", ("", 8318, UPSTREAM), "is litellm-hybrid itself"),
        ("http://127.0.0.1:4000", ("0.0.0.0", 8318, UPSTREAM), "refusing to listen on 0.0.0.0"),  # noqa: S104
        ("http://127.0.0.1:4000", ("", 8318, UPSTREAM), "refusing to listen on all addresses"),
        ("http://127.0.0.1:4000", ("192.0.2.1", 8318, UPSTREAM), "set client-api-keys"),
    ],
)
def test_what_does_not_fit_where_we_listen(base_url: str, listener: Listener, says: str, file: Path) -> None:
    file.write_text(FILE % base_url)

    with pytest.raises(ConfigError, match=says) as e:
        _read(file, listener)

    assert all(problem.startswith(str(file)) for problem in e.value.problems)


def test_others_may_reach_it_with_client_keys(file: Path) -> None:
    file.write_text("api-keys: [key]\n" + FILE % "http://127.0.0.1:4000")

    assert _read(file, ("", 8318, UPSTREAM)).current.client_keys


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml"):
        _read(tmp_path / "nowhere.yaml")


class Watch:
    """Looks at a file as often as it is asked to."""

    def __init__(self, file: Path, patch: pytest.MonkeyPatch) -> None:
        patch.setattr(lifecycle, "LOOK_EVERY", 0)
        self.file = file
        self.reloads = ReloadHistory()
        self.settings = SettingsStore()
        self.kept = ConfigReloader(file, [HERE], self.settings, self.reloads, AppLog())
        self.taken: list[Settings] = []
        self.settings.subscribe(self.taken.append)
        self._written = 1_000_000_000_000_000_000

    async def write(self, text: str) -> None:
        """Write the file, and let it be looked at until that can no longer change anything."""
        self.file.write_text(text)
        self._written += 1
        os.utime(self.file, ns=(self._written, self._written))
        looks = 0
        look = self.kept._watcher.look

        def counted() -> object:
            nonlocal looks
            looks += 1
            return look()

        self.kept._watcher.look = counted  # type: ignore[method-assign, assignment]
        watching = asyncio.create_task(self.kept.watch())
        async with asyncio.timeout(20):
            while looks < 5:  # noqa: ASYNC110
                await asyncio.sleep(0)
        watching.cancel()
        self.kept._watcher.look = look  # type: ignore[method-assign]


async def test_a_change_is_taken_and_logged(
    file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "litellm_hybrid")
    watch = Watch(file, monkeypatch)
    before = watch.settings.current

    await watch.write(
        FILE.replace("gpt-5", "o3").replace("api-key: k", "api-key: other") % "http://127.0.0.1:4000"
    )

    assert watch.taken == [watch.settings.current]
    assert watch.settings.current is not before
    assert watch.settings.current.models.entries == ("o3",)
    assert "litellm config: models: [gpt-5] → [o3]" in caplog.messages
    assert "litellm config: api-key: *** → *** (changed)" in caplog.messages
    reload = watch.reloads.last
    assert reload is not None
    assert (reload.result, reload.at) == ("applied", watch.reloads.since)
    assert reload.lines == ("api-key: *** → *** (changed)", "models: [gpt-5] → [o3]")


@pytest.mark.parametrize(
    ("text", "says"),
    [("", "it is empty"), ("litellm-x: 1\n", "unknown key"), (FILE % "http://127.0.0.1:8317", "is upstream")],
)
async def test_a_bad_change_keeps_what_is_in_force(
    text: str,
    says: str,
    file: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    watch = Watch(file, monkeypatch)
    before = watch.settings.current
    caplog.clear()

    await watch.write(text)

    assert watch.settings.current is before
    assert watch.taken == []
    assert any(says in message for message in caplog.messages)
    assert sum("the last good settings stay in force" in message for message in caplog.messages) == 1
    assert {record.levelname for record in caplog.records if says in record.getMessage()} == {"ERROR"}
    reload = watch.reloads.last
    assert reload is not None
    assert reload.result == "rejected"
    assert any(says in line for line in reload.lines)
    assert watch.reloads.since is not None
    assert watch.reloads.since < reload.at


async def test_a_listener_that_fails_keeps_nobody_from_new_settings(
    file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_: Settings) -> None:
        raise ZeroDivisionError("on purpose")

    watch = Watch(file, monkeypatch)
    watch.settings._listeners.insert(0, broken)
    for model in ("o3", "o4"):
        await watch.write(FILE.replace("gpt-5", model) % "http://127.0.0.1:4000")
        assert watch.settings.current.models.entries == (model,)
        assert watch.taken[-1] is watch.settings.current
    errors = [record for record in caplog.records if "ZeroDivisionError" in record.getMessage()]
    assert len(errors) == 2
    assert all(record.exc_info for record in errors)


_BODIES = """
import resource, sys
from litellm_hybrid.runtime import lifecycle
if sys.argv[1] == "kept":
    assert lifecycle.tune_malloc()
def turn():
    bodies = [b"x" * (2 * 2**20) for _ in range(8)]
turn()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    turn()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
_PAGES = 20 * 8 * 2 * 2**20 // os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(sys.platform != "linux", reason="it is about glibc")
@pytest.mark.parametrize(("how", "page_by_page"), [("left", True), ("kept", False)])
def test_memory_for_the_next_body_is_not_fetched_again(how: str, page_by_page: bool) -> None:
    env = os.environ | {"PYTHONPATH": str(Path(lifecycle.__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", _BODIES, how], capture_output=True, check=True, text=True, env=env
    )
    assert (int(done.stdout) > _PAGES // 2) == page_by_page


def test_another_system_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not lifecycle.tune_malloc()
