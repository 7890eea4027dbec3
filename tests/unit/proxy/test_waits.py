"""Turns of long bodies, and what keeps a flow from going on."""

import asyncio
from collections.abc import Callable

from mitmproxy import http
from mitmproxy.test.tflow import tflow

from litellm_hybrid.proxy.waits import Waits


def _flow(address: str) -> http.HTTPFlow:
    flow = tflow()
    flow.client_conn.peername = (address, 1)
    return flow


async def test_turns_go_round_by_address_and_one_is_read_at_a_time() -> None:
    waits, read, now, most = Waits(), list[str](), 0, 0

    def reading(name: str) -> Callable[[], str]:
        def read_one() -> str:
            nonlocal now, most
            now += 1
            most = max(most, now)
            now -= 1
            return name

        return read_one

    async def send(name: str) -> None:
        flow = _flow(name[0])
        if name.isupper():  # long as it comes; the others are so only without their coding
            await waits.hybrid_long_body(flow)
        waits.read(flow, reading(name), lambda result: read.append(result()))
        assert waits.has(flow)
        await waits.hybrid_wait(flow)
        assert not waits.has(flow)
        assert name in read

    names = ["A1", "a2", "a3", "A4", "B1", "b2", "C1"]
    await asyncio.gather(*map(send, names))

    assert most == 1
    assert read[0].lower() == "a1"
    assert {name[0].lower() for name in read[:4]} >= {"a", "b", "c"}  # nobody waits for all of another's
    await asyncio.gather(send("A5"), send("b3"))  # after all have been served


async def test_one_that_gave_up_its_turn_does_not_keep_the_others() -> None:
    waits = Waits()
    gone, other = (asyncio.create_task(waits.hybrid_long_body(_flow("a"))) for _ in range(2))
    await asyncio.sleep(0)
    gone.cancel()
    await other


async def test_a_flow_waits_for_all_that_keeps_it() -> None:
    waits, flow, done = Waits(), tflow(), list[int]()

    async def work(number: int) -> None:
        await asyncio.sleep(0)
        done.append(number)
        if number < 3:
            waits.until(flow, work(number + 1))

    waits.until(flow, work(0))
    waits.until(flow, work(2))
    await waits.hybrid_wait(flow)
    assert sorted(done) == [0, 1, 2, 2, 3, 3]
    await waits.hybrid_wait(flow)  # nothing keeps it
