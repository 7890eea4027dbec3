"""How `serve` starts."""

import asyncio
import gc
import json
import logging
from pathlib import Path

import pytest
from mitmproxy import http, options

from litellm_hybrid.config.settings import Address
from litellm_hybrid.observability.log import AppLog
from litellm_hybrid.server.standalone import LeanMaster, share_port, spec
from support.ports import free_port
from support.processes import hybrid_config


class Early:
    """Clients that come as soon as somebody listens: one leaves at once; and an error about the other's request."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def running(self) -> None:
        _, gone = await asyncio.open_connection("127.0.0.1", self.port)
        gone.close()
        await gone.wait_closed()
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(b"GET /_hybrid/health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        for _ in range(1000):  # the start takes so long
            await asyncio.sleep(0)
        self._asking = asyncio.create_task(self._read(reader, writer))

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.answer.set_result(await reader.read())
        writer.close()

    async def answered(self) -> None:
        """Wait for the whole answer."""
        await self.answer

    def request(self, flow: http.HTTPFlow) -> None:
        logging.getLogger().error("something is wrong with %s", flow.request.path)


async def test_who_comes_early_is_served_and_ends_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """An error about a request is none of the start; a client that has left is no fault of ours."""
    config = tmp_path / "config.yaml"
    config.write_text(json.dumps(hybrid_config("http://127.0.0.1:8")), encoding="utf-8")
    opts = options.Options(confdir=str(tmp_path))
    lean = LeanMaster(opts, AppLog())
    early = Early(free_port())
    lean.addons.add(early)
    share_port(opts, shared=False)
    upstream = Address("http", "127.0.0.1", 9)
    opts.update(litellm_config=str(config), mode=[spec(upstream, ("127.0.0.1", early.port))])
    running = asyncio.create_task(lean.run())
    async with asyncio.timeout(60):
        await asyncio.wait({running, asyncio.create_task(early.answered())}, return_when="FIRST_COMPLETED")
        assert not running.done()
        assert (await early.answer).startswith(b"HTTP/1.1 200 ")
        assert [record for record in caplog.records if record.exc_info] == []
        lean.shutdown()  # type: ignore[no-untyped-call]
        await running
    assert gc.get_freeze_count() > 0, "collections pass over what the start has made"
    gc.unfreeze()
    await lean.addons.get("proxyserver").servers.update([])
