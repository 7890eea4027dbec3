"""The fault suite: everything that a server can do wrong, against real processes.

For each row: what the client gets, what is logged, that no socket stays open,
and that the next request is served on the same connection and on a new one.
"""

import asyncio
from contextlib import AsyncExitStack

import pytest

from e2e.fallback_support import QUOTA, failed
from e2e.harness import LITELLM_502, PATIENCE, UPSTREAM_502, Answer, Client, until
from faults.places import healthy
from faults.rig import MODEL, PATH, Rig, Running, Where, ids, new_id
from faults.server_faults import ROWS, Broken, Fault, Unanswered, Whole, is_not_found
from support.servers import Handler, Reply
from support.wire import Request

pytestmark = pytest.mark.asyncio(loop_scope="session")

_END = ("upstream ", "litellm ")
"""How the last line about a request begins: `litellm 200 POST …`, or what went wrong."""

ROUTE = {
    "upstream": "upstream; reason=not-listed",
    "litellm": "litellm; reason=model",
    "replay": "litellm; reason=fallback; upstream-status=429",
}


async def out_of_quota(_: Request, reply: Reply) -> None:
    await reply.send(429, QUOTA, {"content-type": "application/json"})


def _handler(fault: Fault, begun: asyncio.Event) -> Handler:
    async def handler(request: Request, reply: Reply) -> None:
        assert fault.does is not None
        await fault.does(request, reply, begun)

    return handler


async def _ask(client: Client, fault: Fault, where: Where, request: bytes) -> None:
    body = {"model": MODEL[where], "padding": "x" * fault.upload}
    await client.request(fault.method, PATH, body, [("X-Request-ID", request.decode())])


async def assert_served(one: Running, client: Client, where: Where, route: str) -> None:
    """A whole answer to this request and no other. On `hasty` a try may be late by itself."""
    tries = 5 if one.process.log.parent.name == "hasty" else 1
    for _ in range(tries):
        request = new_id()
        answer = await client.ask("POST", PATH, {"model": MODEL[where]}, [("X-Request-ID", request.decode())])
        if answer.status == 200:
            break
    assert (answer.status, answer.whole, answer.route) == (200, True, route)
    assert answer.json()["served"] == request.decode()
    assert answer.values("x-request-id") == [request.decode()]


def _assert_unanswered(answer: Answer, where: Where, logs: str | None) -> None:
    """A 502 of ours in JSON; after a fallback upstream's own answer, whole."""
    if where == "replay":
        assert logs is not None
        assert (answer.status, answer.body, answer.route) == (429, QUOTA, failed(logs))
    else:
        body = UPSTREAM_502 if where == "upstream" else LITELLM_502
        assert (answer.status, answer.body) == (502, body)
        assert answer.route == f"{where}; reason=error"
    assert answer.whole
    assert answer.values("content-type") == ["application/json"]


async def _assert_logged(one: Running, request: bytes, fault: Fault, where: Where) -> None:
    """Exactly one line says what went wrong, or none does."""
    await until(lambda: any(line["message"].startswith(_END) for line in one.logged(request)))
    lines = [line for line in one.logged(request) if "error_type" in line]
    if fault.logs is None:
        assert lines == []
    elif where == "replay" and isinstance(fault.gets, Unanswered):
        (message,) = [line["message"] for line in one.logged(request) if line["level"] == "error"]
        assert message.startswith(f"litellm fallback failed for o3 ({fault.logs})")
    else:
        (line,) = lines
        target = "upstream" if where == "upstream" else "litellm"
        assert (line["error_type"], line["target"], line["level"]) == (fault.logs, target, "error")


@pytest.mark.parametrize(("fault", "where"), ROWS, ids=[f"{fault.what}, {where}" for fault, where in ROWS])
async def test_a_fault_of_a_server(fault: Fault, where: Where, rig: Rig) -> None:
    # What cannot be resolved, and a listener that wants TLS, stay so: then the other server is served.
    elsewhere = fault.at is is_not_found or (where == "upstream" and fault.listener == 1)
    process = fault.process if where == "upstream" else fault.at_litellm or fault.process
    one = rig.running[process]
    begun = asyncio.Event()
    listener = fault.listener if where == "upstream" else 0
    client = await one.client(listener)
    request = new_id()
    one.upstream.stub.does = out_of_quota if where == "replay" else healthy
    place = one.place(where)

    async with AsyncExitStack() as stack:
        if fault.at is not None:
            await stack.enter_async_context(fault.at(rig, place))
        else:
            place.stub.does = _handler(fault, begun)
        await _ask(client, fault, where, request)
        received = await _assert_gets(client, fault, where, request, begun)
        await _assert_logged(one, request, fault, where)
    assert ids(received) <= {request}
    assert b"<html" not in received.lower()

    place.stub.does = healthy
    then: Where = where if not elsewhere else ("litellm" if where == "upstream" else "upstream")
    if elsewhere:
        one.upstream.stub.does = healthy
    ended = isinstance(fault.gets, Broken) or (isinstance(fault.gets, Whole) and fault.gets.closes)
    if not ended:
        await assert_served(one, client, then, ROUTE[then])
    await client.close()
    await assert_served(one, await one.client(listener), then, ROUTE[then])
    await one.at_rest()


async def _assert_gets(
    client: Client, fault: Fault, where: Where, request: bytes, begun: asyncio.Event
) -> bytes:
    if isinstance(fault.gets, Broken):
        assert (await client.head())[0] == 200
        async with asyncio.timeout(PATIENCE):
            received = await client.wire.until(fault.gets.after.replace(b"%ID%", request))
        begun.set()
        received += await client.rest()
        assert not received.endswith(b"0\r\n\r\n"), "it looks whole"
        return received
    answer = await client.answer()
    assert answer.values("x-request-id") == [request.decode()]
    if isinstance(fault.gets, Unanswered):
        _assert_unanswered(answer, where, fault.logs)
    else:
        assert isinstance(fault.gets, Whole)
        body = fault.gets.body.replace(b"%ID%", request)
        assert (answer.status, answer.body, answer.whole) == (fault.gets.status, body, True)
        assert answer.route == ROUTE[where]
    return answer.body + repr(answer.headers).encode()
