"""With what it starts, and with what it refuses to: rc 1 and a line that says what to do."""

import asyncio
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mitmproxy import exceptions
from mitmproxy.proxy.layers.http import HttpStream

from e2e.conftest import Start
from e2e.harness import PATIENCE, Line, make_master, our_lines, settings, until
from litellm_hybrid.proxy import compat
from support.ports import free_port

LITELLM = "http://127.0.0.1:4000"
UPSTREAM = "http://127.0.0.1:8317"


@pytest.fixture
def lines() -> Iterator[list[Line]]:
    """What is logged."""
    with our_lines() as lines:
        yield lines


async def _refuses(config: Path | None, confdir: Path, mode: str = f"reverse:{UPSTREAM}@127.0.0.1:0") -> None:
    master, addon = make_master(config, mode, confdir)
    try:
        with pytest.raises(SystemExit) as e:
            async with asyncio.timeout(PATIENCE):
                await master.run()
        assert e.value.code == 1
        assert addon._settings.is_empty
    finally:
        # A start that failed does not get as far as `done`.
        await master.done()
        master.addons.get("errorcheck").finish()


def _write(folder: Path, config: object) -> Path:
    file = folder / "config.yaml"
    file.write_text(config if isinstance(config, str) else json.dumps(config))
    return file


WRONG_FILES = [
    (
        "extensions:\n  litellm:\n    enabled: true\n    modles: [a]\n",
        [":4: extensions.litellm.modles: unknown key", "models"],
    ),
    ("litellm-base-urll: x\n", [":1: litellm-base-urll: unknown key", "litellm-base-url"]),
    ("extensions: {litellm: {enabled: maybe}}\n", [":1: extensions.litellm.enabled:", "maybe"]),
    ("extensions:\n  litellm:\n    timeouts: {connect: soon}\n", [":3: ", "connect", "soon", "10s"]),
    ("extensions:\n  litellm:\n    api-key: ${NOT_SET_ANYWHERE}\n", [":3: ", "NOT_SET_ANYWHERE"]),
    ("extensions: [\n", ["config.yaml:"]),
    (
        "litellm-hybrid-mode: true\nextensions: {litellm: {enabled: false}}\n",
        ["litellm-hybrid-mode", "extensions.litellm.enabled"],
    ),
]


@pytest.mark.parametrize(("text", "says"), WRONG_FILES)
async def test_a_wrong_file(
    text: str, says: list[str], tmp_path: Path, confdir: Path, lines: list[Line]
) -> None:
    await _refuses(_write(tmp_path, text), confdir)

    errors = [line.message for line in lines if line.level == "ERROR"]
    assert all(any(part in error for error in errors) for part in says), errors
    assert all(error.startswith("litellm config: ") for error in errors)


async def test_a_missing_file(tmp_path: Path, confdir: Path, lines: list[Line]) -> None:
    await _refuses(tmp_path / "nowhere.yaml", confdir)

    assert str(tmp_path / "nowhere.yaml") in lines[-1].message


async def test_no_file_at_all(
    tmp_path: Path, confdir: Path, lines: list[Line], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    await _refuses(None, confdir)

    assert "--set litellm_config=" in lines[-1].message


@pytest.mark.parametrize(
    "mode", ["regular", "upstream:http://127.0.0.1:1", "socks5", "reverse:tcp://127.0.0.1:1"]
)
async def test_a_mode_that_is_no_reverse_proxy(
    mode: str, tmp_path: Path, confdir: Path, lines: list[Line]
) -> None:
    await _refuses(_write(tmp_path, settings(LITELLM)), confdir, f"{mode}@127.0.0.1:0")

    assert "--mode reverse:http://127.0.0.1:8317@127.0.0.1:8318" in lines[-1].message
    assert mode in lines[-1].message


@pytest.mark.parametrize("host", ["0.0.0.0", "", "192.0.2.1"])  # noqa: S104  never bound
async def test_an_address_that_others_reach_needs_client_keys(
    host: str, tmp_path: Path, confdir: Path, lines: list[Line]
) -> None:
    mode = f"reverse:{UPSTREAM}@{host}:{free_port()}" if host else f"reverse:{UPSTREAM}"

    await _refuses(_write(tmp_path, settings(LITELLM)), confdir, mode)

    assert "refusing to listen on" in lines[-1].message
    assert "client-api-keys" in lines[-1].message


@pytest.mark.parametrize("host", ["0.0.0.0", "127.0.0.2", "localhost"])  # noqa: S104  with client keys
async def test_it_is_allowed_with_them_or_on_loopback(
    host: str, tmp_path: Path, confdir: Path, lines: list[Line]
) -> None:
    keys: dict[str, Any] = {"client_api_keys": ["key"]} if host == "0.0.0.0" else {}  # noqa: S104
    file = _write(tmp_path, settings(LITELLM, **keys))
    master, _ = make_master(file, f"reverse:{UPSTREAM}@{host}:0", confdir)
    running = asyncio.create_task(master.run())

    await until(lambda: running.done() or master.addons.get("proxyserver").listen_addrs())
    master.shutdown()
    await running
    await master.addons.get("proxyserver").servers.update([])

    assert not [line for line in lines if line.level == "ERROR"]


@pytest.mark.parametrize("base_url", [UPSTREAM, "http://localhost:8317/v1", "http://[::1]:8317"])
async def test_base_url_must_not_be_upstream(
    base_url: str, tmp_path: Path, confdir: Path, lines: list[Line]
) -> None:
    await _refuses(_write(tmp_path, settings(base_url)), confdir)

    assert "is upstream; give the address of LiteLLM" in lines[-1].message


async def test_base_url_must_not_be_ourselves(tmp_path: Path, confdir: Path, lines: list[Line]) -> None:
    port = free_port()
    file = _write(tmp_path, settings(f"http://localhost:{port}"))

    await _refuses(file, confdir, f"reverse:{UPSTREAM}@127.0.0.1:{port}")

    assert "is litellm-hybrid itself" in lines[-1].message


async def test_eager_connections_are_refused_while_running(start: Start) -> None:
    proxy = await start()

    with pytest.raises(exceptions.OptionsError, match="connection_strategy=lazy"):
        proxy.master.options.update(connection_strategy="eager")

    assert proxy.master.options.connection_strategy == "lazy"
    assert (await proxy.post("gpt-5")).status == 200


async def test_a_wrong_file_named_while_running_changes_nothing(start: Start, tmp_path: Path) -> None:
    proxy = await start()

    with pytest.raises(exceptions.OptionsError, match=r"nowhere\.yaml"):
        proxy.master.options.update(litellm_config=str(tmp_path / "nowhere.yaml"))

    assert proxy.master.options.litellm_config == str(proxy.config)
    assert (await proxy.post("gpt-5")).route == "litellm; reason=model"


async def test_another_file_named_while_running_is_in_force_and_watched(
    start: Start, litellm: Any, tmp_path: Path
) -> None:
    proxy = await start()
    other = tmp_path / "other.yaml"
    other.write_text(json.dumps(settings(litellm.url, models=["o3"])))

    proxy.master.options.update(litellm_config=str(other))
    assert (await proxy.post("o3")).route == "litellm; reason=model"
    other.write_text(json.dumps(settings(litellm.url, models=["o4"])))
    await until(lambda: proxy.log("models: [o3] → [o4]"))

    assert (await proxy.post("o4")).route == "litellm; reason=model"


async def test_mitmproxys_own_timeout_is_above_ours(start: Start) -> None:
    proxy = await start(timeouts={"first-byte": "2h"})
    client = await proxy.client()
    await client.post("gpt-5")

    (handler,) = proxy.master.addons.get("proxyserver").connections.values()
    assert handler.timeout_watchdog.timeout > 7200


async def test_a_mitmproxy_that_lacks_something_is_refused(
    tmp_path: Path, confdir: Path, lines: list[Line], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(HttpStream, "send_response")

    await _refuses(_write(tmp_path, settings(LITELLM)), confdir)

    assert "HttpStream.send_response" in lines[-1].message
    assert 'pip install "mitmproxy' in lines[-1].message


async def test_a_start_with_fallback_off_says_so(start: Start) -> None:
    proxy = await start()

    (line,) = proxy.log("fallback is off")
    assert line.level == "WARNING"
    assert logging.getLogger("litellm_hybrid").level == logging.INFO
    assert compat.check() is None  # type: ignore[func-returns-value]
