"""A changed configuration file takes effect while requests run; a broken one never does."""

import asyncio
import threading
from pathlib import Path

import pytest

from e2e.conftest import Start
from e2e.harness import PATIENCE, Stub, settings, until
from litellm_hybrid.config.file_watcher import Watcher
from litellm_hybrid.runtime import lifecycle
from support.servers import Reply
from support.wire import Request

SSE = {"content-type": "text/event-stream"}


async def test_a_change_reroutes_the_next_request_and_breaks_no_stream(
    start: Start, upstream: Stub, litellm: Stub
) -> None:
    go_on = asyncio.Event()

    async def answer(request: Request, reply: Reply) -> None:
        if request.target == "/v1/messages":
            await reply.send(200)
            return
        await reply.head(200, SSE)
        await reply.chunk(b"data: 1\n\n")
        await go_on.wait()
        await reply.chunk(b"data: 2\n\n")
        await reply.end()

    upstream.does = litellm.does = answer
    proxy = await start()
    streams = [await proxy.client() for _ in range(20)]
    for number, client in enumerate(streams):
        await client.request(
            "POST", "/v1/responses", {"model": "gpt-5" if number % 2 else "o3", "stream": True}
        )
        await client.head()
        assert await client.chunk() == b"data: 1\n\n"

    proxy.write(settings(litellm.url, models=["o3"]))
    await until(lambda: proxy.log("models: [gpt-5] → [o3]"))
    asking = await proxy.client()
    assert (await asking.ask("POST", "/v1/messages", {"model": "o3"})).route == "litellm; reason=model"
    assert (
        await asking.ask("POST", "/v1/messages", {"model": "gpt-5"})
    ).route == "upstream; reason=not-listed"

    go_on.set()
    for client in streams:
        assert await client.chunk() == b"data: 2\n\n"
        assert await client.chunk() == b""
    assert proxy.failures() == []


def test_a_change_is_seen_within_two_seconds() -> None:
    """Two looks that find the file unchanged have to fit."""
    assert 3 * lifecycle.LOOK_EVERY < 2


async def test_a_file_that_is_still_growing_is_not_taken(
    start: Start, upstream: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each look finds more of it than the one before; only the whole file stands still."""
    monkeypatch.setattr(lifecycle, "LOOK_EVERY", 0.001)
    look, turns, looked = Watcher.look, threading.Semaphore(0), asyncio.Semaphore(0)
    loop = asyncio.get_running_loop()

    def in_turn(watcher: Watcher) -> object:
        turns.acquire()
        found = look(watcher)
        loop.call_soon_threadsafe(looked.release)
        return found

    monkeypatch.setattr(Watcher, "look", in_turn)
    proxy = await start(models=["gpt-5", "o3"])
    whole = proxy.config.read_text(encoding="utf-8")
    half = whole.replace('"o3"', '"o4"')
    client = await proxy.client()
    try:
        for number in range(10):
            proxy.config.write_text(half + "\n" * number, encoding="utf-8")
            turns.release()
            await looked.acquire()
            assert (await client.post("o3")).route == "litellm; reason=model"
        turns.release()
        await until(lambda: proxy.log("models: [gpt-5, o3] → [gpt-5, o4]"))
        assert (await client.post("o3")).route == "upstream; reason=not-listed"
    finally:
        turns.release(1000)  # let the thread that looks end
    assert len(upstream.requests) == 1


def _broken(file: Path) -> None:
    file.write_text("extensions: {litellm: {modles: []}}\n")


def _no_yaml(file: Path) -> None:
    file.write_text("extensions: [\n")


def _empty(file: Path) -> None:
    file.write_text("")


def _without_our_keys(file: Path) -> None:
    file.write_text("port: 8317\n")


def _gone(file: Path) -> None:
    file.unlink()


def _ourselves(file: Path, url: str) -> None:
    file.write_text(f"extensions: {{litellm: {{enabled: true, base-url: '{url}', models: [gpt-5]}}}}\n")


@pytest.mark.parametrize("spoil", [_broken, _no_yaml, _empty, _without_our_keys, _gone])
async def test_a_bad_file_keeps_the_last_good_settings_and_says_so_once(
    spoil: object, start: Start, litellm: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lifecycle, "LOOK_EVERY", 0.02)
    looks = _count_looks(monkeypatch)
    proxy = await start()
    assert callable(spoil)
    spoil(proxy.config)

    await until(lambda: proxy.log("the last good settings stay in force"))
    seen = len(looks)
    await until(lambda: len(looks) > seen + 5)
    assert (await proxy.post("gpt-5")).route == "litellm; reason=model"
    said = [line for line in proxy.lines if line.level == "ERROR"]
    assert len(proxy.log("the last good settings stay in force")) == 1
    assert len(said) == len({line.message for line in said})
    assert str(proxy.config) in said[0].message

    proxy.write(settings(litellm.url, models=["o3"]))
    await until(lambda: proxy.log("models: [gpt-5] → [o3]"))
    assert (await proxy.post("o3")).route == "litellm; reason=model"


async def test_a_file_that_points_litellm_at_ourselves_is_not_taken(
    start: Start, upstream: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lifecycle, "LOOK_EVERY", 0.02)
    proxy = await start()
    _ourselves(proxy.config, upstream.url)

    await until(lambda: proxy.log("the last good settings stay in force"))
    assert proxy.log("is upstream; give the address of LiteLLM")
    assert (await proxy.post("gpt-5")).route == "litellm; reason=model"


async def test_a_file_that_is_mended_is_in_force_again(
    start: Start, litellm: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lifecycle, "LOOK_EVERY", 0.02)
    proxy = await start()
    good = proxy.config.read_text()
    _empty(proxy.config)
    await until(lambda: proxy.log("the last good settings stay in force"))
    proxy.config.write_text(good)
    proxy.write(settings(litellm.url, models=["gpt-5", "o3"], timeouts={"idle": "7s"}))

    await until(lambda: proxy.log("timeouts.idle: 5m → 7s"))
    assert (await proxy.post("o3")).route == "litellm; reason=model"


def _count_looks(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    looks: list[None] = []
    look = Watcher.look

    def counted(watcher: Watcher) -> object:
        looks.append(None)
        return look(watcher)

    monkeypatch.setattr(Watcher, "look", counted)
    return looks


async def test_watching_ends_with_the_proxy(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle, "LOOK_EVERY", 0.02)
    looks = _count_looks(monkeypatch)
    proxy = await start()
    async with asyncio.timeout(PATIENCE):
        await until(lambda: looks)
    watching = proxy.addon.lifecycle._watching
    assert watching is not None

    proxy.addon.lifecycle.done()
    await until(watching.done)

    assert watching.cancelled()
