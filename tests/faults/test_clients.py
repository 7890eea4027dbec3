"""The fault suite's other side: clients that send nonsense, and clients that leave, at each moment."""

import asyncio
import re
import socket
import struct
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import pytest

from e2e.harness import Client, until
from faults.client_faults import CLIENTS, LEAVING, Moment, Sent
from faults.places import healthy
from faults.rig import MODEL, PATH, Rig, Running, Where, ids, new_id
from faults.test_servers import ROUTE, assert_served, out_of_quota
from support.servers import Handler, Reply
from support.wire import ClientGoneError, Request

pytestmark = pytest.mark.asyncio(loop_scope="session")

_FRAMING = (400, 431)
"""What a request is refused with whose end cannot be known."""


def _handler(moment: Moment, reached: asyncio.Event) -> Handler:
    async def handler(request: Request, reply: Reply) -> None:
        assert moment.does is not None
        reached.set()
        await moment.does(request, reply, asyncio.Event())

    return handler


def _is_connecting(one: Running, port: int) -> bool:
    """Whether that process is making a connection to that port (proc_net_tcp: the state SYN_SENT is 02)."""
    own = set()
    for descriptor in Path(f"/proc/{one.process.popen.pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            own.add(str(descriptor.readlink()))
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return any(
        line[2].endswith(f":{port:04X}") and line[3] == "02" and f"socket:[{line[9]}]" in own
        for line in lines
    )


async def _leave(client: Client, how: str) -> None:
    sock: socket.socket = client.wire.writer.get_extra_info("socket")
    if how == "resets":
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.wire.writer.transport.abort() if how == "resets" else client.wire.writer.close()


@pytest.mark.parametrize(
    ("moment", "where", "how"),
    LEAVING,
    ids=[f"{how} {moment.when}, {where}" for moment, where, how in LEAVING],
)
async def test_a_client_that_leaves(moment: Moment, where: Where, how: str, rig: Rig) -> None:
    """The server's connection ends with it, one line says so, and others are served."""
    one = rig.running["steady"]
    place = one.place(where)
    client = await one.client()
    one.upstream.stub.does = out_of_quota if where == "replay" else healthy
    reached = asyncio.Event()
    request = new_id()

    async with AsyncExitStack() as stack:
        if moment.at is not None:
            await stack.enter_async_context(moment.at(rig, place))
        else:
            place.stub.does = _handler(moment, reached)
        await client.request("POST", PATH, {"model": MODEL[where]}, [("X-Request-ID", request.decode())])
        if moment.at is not None:
            await until(lambda: _is_connecting(one, place.port))
        else:
            await until(reached.is_set)
        if moment.sees:
            await client.head()
            await client.wire.until(moment.sees.replace(b"%ID%", request)[-20:])
        if moment.when == "without having read":
            client.wire.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await _leave(client, how)
        await until(lambda: _left(one, request))
    (line,) = [line for line in one.logged(request) if "error_type" in line]
    assert (line["error_type"], line["level"]) == ("client_disconnect", "warning")
    assert line["target"] == ("upstream" if where == "upstream" else "litellm")

    place.stub.does = healthy
    await assert_served(one, await one.client(), where, ROUTE[where])
    await one.at_rest()


def _left(one: Running, request: bytes) -> bool:
    return any("error_type" in line for line in one.logged(request))


@pytest.mark.parametrize("sent", CLIENTS, ids=[sent.what for sent in CLIENTS])
async def test_what_a_client_sends(sent: Sent, rig: Rig) -> None:
    """Refused in JSON, before any server sees a byte of it; or served, each request its own answer."""
    one = rig.running["steady"]
    one.upstream.stub.does = one.litellm.stub.does = healthy
    before = _count(one)
    client = await one.client()
    requests: list[bytes] = []

    def name(_: re.Match[bytes]) -> bytes:
        requests.append(new_id())
        return requests[-1]

    data = re.sub(rb"%ID%", name, sent.data)
    with suppress(ConnectionError):  # refused before its end
        for part in (bytes([byte]) for byte in data) if sent.slowly else (data,):
            await client.send(part)
            if sent.slowly:
                await asyncio.sleep(0.0005)
    if sent.leaves:
        await client.close()
    else:
        await _assert_answers(client, sent, requests)
    await client.close()

    await assert_served(one, await one.client(), "litellm", ROUTE["litellm"])
    assert _count(one) == before + sent.served + 1
    await one.at_rest()


def _count(one: Running) -> int:
    return len(one.upstream.stub.requests) + len(one.litellm.stub.requests)


async def _assert_answers(client: Client, sent: Sent, requests: list[bytes]) -> None:
    for number, status in enumerate(sent.answers):
        if status == 100:
            assert (await client.head())[0] == 100
            continue
        answer = await client.answer()
        assert (answer.status, answer.whole) == (status, True)
        assert b"<html" not in answer.body.lower()
        if status == 200:
            own = requests[min(number, len(requests) - 1)]
            assert ids(answer.body) == {own}
            assert answer.values("x-request-id") == [own.decode()]
        else:
            assert answer.values("content-type") == ["application/json"]
            assert set(answer.json()) >= {"error", "message"}
    if sent.answers[-1] in _FRAMING:
        # Whatever stands behind it must not be taken for a request.
        assert await client.rest() == b""
        return
    with pytest.raises((TimeoutError, ClientGoneError)):
        async with asyncio.timeout(0.02):
            await client.wire.exactly(1)
