"""Many processes, one memory: budgets, conversations and refusals over workers, machines and restarts."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from e2e.harness import Client, Stub, until
from support.processes import Process, hybrid_config, serve
from support.servers import Reply
from support.stores import NO_REDIS, ONLY_ROOT, RedisServer, has_redis, mount, unmount
from support.wire import Request

MOST = 20
CONNECTIONS = 200
ASK = {"model": "gpt-5", "messages": [{"role": "user", "content": "Hello"}]}
FALLBACK = {"enabled": True, "cooldown-max": "0s"}
"""No cooldown: on a busy machine upstream takes over two seconds."""

BUDGET = FALLBACK | {"max-per-hour": MOST, "budget-strict": True}
"""Strict: a machine that is too busy to reserve a place within 50 ms spends one too few, never one too many."""

REPLAYED = "litellm; reason=fallback; upstream-status=429"

needs_redis = pytest.mark.skipif(not has_redis, reason=NO_REDIS)


async def exhausted(_: Request, reply: Reply) -> None:
    """Say that the quota is used up."""
    await reply.json(
        429, {"error": {"type": "usage_limit_reached", "message": "The usage limit has been reached"}}
    )


@pytest.fixture
async def servers() -> AsyncIterator[tuple[Stub, Stub]]:
    async with Stub(exhausted) as upstream, Stub() as litellm:
        yield upstream, litellm


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path) as server:
        yield server


def config(litellm: Stub, **keys: Any) -> dict[str, Any]:
    """Fallback alone, by default with a budget."""
    return hybrid_config(litellm.url, models=[], enabled=False, **({"fallback": BUDGET} | keys))


async def ask_twice(port: int) -> list[str | None]:
    """Two requests on a connection of their own; their routes."""
    client = await Client.connect(port)
    try:
        answers = [await client.ask("POST", "/v1/chat/completions", ASK) for _ in range(2)]
    finally:
        await client.close()
    assert {answer.status for answer in answers} <= {200, 429}
    return [answer.route for answer in answers]


async def replays(*processes: Process, connections: int = CONNECTIONS, most: int = MOST) -> int:
    """Ask on so many connections at once, spread over the processes; how many were replayed, `most` in the end."""
    count = 0
    while True:
        ports = [processes[number % len(processes)].port for number in range(connections)]
        routes = Counter(route for pair in await asyncio.gather(*map(ask_twice, ports)) for route in pair)
        assert sum(routes.values()) == 2 * connections
        assert set(routes) <= {REPLAYED, "upstream; reason=fallback-failed; fallback-failed=budget"}
        count += routes[REPLAYED]
        if count >= most:
            return count
        # The machine was too busy to be given the last places within 50 ms: they are free again.
        connections = 1


async def test_two_workers_have_one_budget(servers: tuple[Stub, Stub], tmp_path: Path) -> None:
    upstream, litellm = servers
    with serve(config(litellm), upstream.url, tmp_path, "--workers", "2") as process:
        assert await replays(process) == MOST
    assert len(upstream.requests) >= 2 * CONNECTIONS
    asked = [request for request in litellm.requests if request.path == "/v1/chat/completions"]
    assert len(asked) == MOST


async def test_a_restart_does_not_forget_what_was_spent(servers: tuple[Stub, Stub], tmp_path: Path) -> None:
    upstream, litellm = servers
    keys = config(litellm, state=f"sqlite:{tmp_path / 'private' / 'state.db'}")
    for expected in (MOST, 0):
        with serve(keys, upstream.url, tmp_path, "--workers", "2") as process:
            assert await replays(process, most=expected) == expected


async def test_a_restart_does_not_forget_what_a_day_has_cost(
    servers: tuple[Stub, Stub], tmp_path: Path
) -> None:
    """A replay costs $1, and 2 are allowed."""
    upstream, litellm = servers
    prices = {"id": "1", "input_cost_per_token": 1e-3, "output_cost_per_token": 0}
    litellm.does, litellm.deployments = costs_a_dollar, [{"model_name": "gpt-5", "model_info": prices}]
    limited = FALLBACK | {"max-cost-per-day": "2"}
    keys = config(litellm, state=f"sqlite:{tmp_path / 'private' / 'state.db'}", fallback=limited)
    spent = "no fallback, the $2 of this day are spent"
    with serve(keys, upstream.url, tmp_path) as process:
        async with asyncio.timeout(60):  # prices come, and costs count, a moment later
            while spent not in process.output():
                await ask_twice(process.port)
    litellm.requests.clear()
    with serve(keys, upstream.url, tmp_path) as process:
        routes = await ask_twice(process.port)
        await asyncio.to_thread(process.wait_for, spent)
    assert routes == ["upstream; reason=fallback-failed; fallback-failed=budget"] * 2
    assert not [request for request in litellm.requests if request.method == "POST"]


async def costs_a_dollar(_: Request, reply: Reply) -> None:
    """Answer, and say how many tokens that took."""
    choice = {"message": {"role": "assistant", "content": "Hi"}}
    usage = {"prompt_tokens": 1000, "completion_tokens": 1}
    await reply.json(200, {"choices": [choice], "usage": usage}, [("x-litellm-model-id", "1")])


@needs_redis
async def test_two_machines_have_one_budget(
    servers: tuple[Stub, Stub], redis: RedisServer, tmp_path: Path
) -> None:
    upstream, litellm = servers
    with ExitStack() as stack:
        machines = []
        for name in ("a", "b"):
            folder = tmp_path / name
            folder.mkdir()
            keys = config(litellm, state=redis.url)
            machines.append(stack.enter_context(serve(keys, upstream.url, folder, "--workers", "2")))
        assert await replays(*machines) == MOST
        deadline = time.monotonic() + 60
        expected = (len(upstream.requests), 4, MOST)
        # Requests are told every 5 s, a place that was given back a moment later.
        while (told := await _told(machines[0])) != expected:
            assert time.monotonic() < deadline, (told, expected)
            await asyncio.sleep(0.2)


async def _told(machine: Process) -> tuple[int, int, int]:
    """Requests, processes and replays of all that share the state."""
    state = await known(machine)
    return state["requests"], len(state["processes"]), state["replays"]


async def test_a_conversation_stays_on_its_side_over_four_workers(
    servers: tuple[Stub, Stub], tmp_path: Path
) -> None:
    """Upstream is asked once, whichever worker gets the next turn, on 20 connections, one after the other."""
    upstream, litellm = servers
    keys = config(litellm, fallback=FALLBACK | {"sticky": "1h"})
    with serve(keys, upstream.url, tmp_path, "--workers", "4") as process:
        await _all_share(process, 4)
        routes = []
        for _ in range(20):
            client = await Client.connect(process.port)
            routes.append((await client.ask("POST", "/v1/chat/completions", ASK)).route)
            await client.close()
    assert routes == [REPLAYED, *["litellm; reason=sticky"] * 19]
    assert len(upstream.requests) == 1


async def _all_share(process: Process, workers: int) -> None:
    """One that has only just begun is told by the store, a moment later."""
    await until(lambda: process.output().count("serving on") == workers)


THINKING = {"type": "thinking", "thinking": "Hm", "signature": "of another account"}
TURNS = {
    "model": "claude-sonnet-4-5",
    "max_tokens": 100,
    "messages": [
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": [THINKING, {"type": "text", "text": "Hi"}]},
        {"role": "user", "content": "Again"},
    ],
}


async def refuses_signatures(request: Request, reply: Reply) -> None:
    """Answer as Anthropic does where it has not signed a block of thinking itself."""
    if request.method == "POST" and b"of another account" in request.body:
        words = "messages.1.content.0: Invalid `signature` in `thinking` block"
        error = {"type": "error", "error": {"type": "invalid_request_error", "message": words}}
        await reply.json(400, error)
        return
    message = {"type": "message", "role": "assistant", "content": [{"type": "text", "text": "Hi"}]}
    await reply.json(200, message | {"stop_reason": "end_turn", "usage": {"output_tokens": 1}})


async def test_a_refused_history_is_reduced_by_all_workers(
    servers: tuple[Stub, Stub], tmp_path: Path
) -> None:
    upstream, litellm = servers
    litellm.does = refuses_signatures
    keys = config(litellm, fallback=FALLBACK)
    with serve(keys, upstream.url, tmp_path, "--workers", "4") as process:
        await _all_share(process, 4)
        for _ in range(20):
            client = await Client.connect(process.port)
            answer = await client.ask("POST", "/v1/messages", TURNS)
            assert (answer.status, answer.route) == (200, f"{REPLAYED}; history=reduced")
            await client.close()
    asked = [request for request in litellm.requests if request.path == "/v1/messages"]
    refused = [request for request in asked if b"of another account" in request.body]
    assert (len(refused), len(asked)) == (1, 21)


class DeletedFile:
    """A SQLite file that somebody deletes."""

    kind = "sqlite"

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "private"
        self.folder.mkdir(mode=0o700)
        self.state = f"sqlite:{self.folder / 'state.db'}"

    def lose(self) -> None:
        """Take the store away."""
        (self.folder / "state.db").unlink()

    def give_back(self) -> None:
        """Have it again: it is made anew by whoever needs it."""

    def close(self) -> None:
        """Leave nothing."""


class FullDisk(DeletedFile):
    """One on a disk that is full."""

    options = "size=16m"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        if not mount(self.folder, self.options):
            pytest.skip(ONLY_ROOT)

    def lose(self) -> None:
        with suppress(OSError), (self.folder / "ballast").open("wb", 0) as file:
            while file.write(b"x" * 4096):
                pass

    def give_back(self) -> None:
        (self.folder / "ballast").unlink()

    def close(self) -> None:
        while unmount(self.folder):
            pass


class ReadOnlyDisk(FullDisk):
    """One on a disk that nobody can write to any more."""

    options = "size=8m"

    def lose(self) -> None:
        assert mount(self.folder, "ro")

    def give_back(self) -> None:
        assert unmount(self.folder)


class KilledRedis(DeletedFile):
    """A Redis that is killed, and started again, empty."""

    kind = "redis"

    def __init__(self, folder: Path) -> None:
        self.server = RedisServer(folder)
        self.server.start()
        self.state = self.server.url

    def lose(self) -> None:
        self.server.kill()

    def give_back(self) -> None:
        self.server.start()

    def close(self) -> None:
        self.server.kill()


@pytest.fixture(
    params=[pytest.param(KilledRedis, marks=needs_redis), DeletedFile, FullDisk, ReadOnlyDisk],
    ids=lambda made: made.__name__,
)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[DeletedFile]:
    made: DeletedFile = request.param(tmp_path)
    yield made
    made.close()


async def test_a_store_that_is_lost_under_load_costs_no_request(
    servers: tuple[Stub, Stub], store: DeletedFile, tmp_path: Path
) -> None:
    """It is taken away, and given back; then everybody agrees again."""
    upstream, litellm = servers
    limits = FALLBACK | {"max-per-hour": 100_000, "sticky": "1h"}
    keys = config(litellm, state=store.state, fallback=limits)
    ended = asyncio.Event()
    answers: Counter[str | None] = Counter()

    async def load(port: int, number: int) -> None:
        client = await Client.connect(port)
        turn = 0
        while not ended.is_set():
            turn += 1
            said = [{"role": "user", "content": f"conversation {number}, {turn // 5}"}]
            answer = await client.ask("POST", "/v1/chat/completions", ASK | {"messages": said})
            assert answer.status == 200
            answers[answer.route] += 1
        await client.close()

    with ExitStack() as stack:
        machines = []
        for name in ("a", "b"):
            folder = tmp_path / name
            folder.mkdir()
            machines.append(stack.enter_context(serve(keys, upstream.url, folder)))
        running = [asyncio.create_task(load(machines[number % 2].port, number)) for number in range(8)]
        await _passed(answers, 100)
        store.lose()
        for machine in machines:
            said = f"the store of the state ({store.kind}) cannot be used"
            await asyncio.to_thread(machine.wait_for, said)
        await _passed(answers, 100)
        store.give_back()
        for machine in machines:
            await asyncio.to_thread(machine.wait_for, f"the store of the state ({store.kind}) is back")
        await _passed(answers, 100)
        ended.set()
        await asyncio.gather(*running)
        assert set(answers) == {REPLAYED, "litellm; reason=sticky"}
        asked = sum(request.path == "/v1/chat/completions" for request in litellm.requests)
        deadline = time.monotonic() + 60
        while (spent := [(await known(machine))["budget_spent"] for machine in machines]) != [asked, asked]:
            assert time.monotonic() < deadline, (spent, asked)
            await asyncio.sleep(0.1)


async def _passed(answers: Counter[str | None], count: int) -> None:
    enough = answers.total() + count
    await until(lambda: answers.total() >= enough)


async def known(process: Process) -> dict[str, Any]:
    """What a process says that all know together."""
    client = await Client.connect(process.port)
    answer = await client.ask("GET", "/_hybrid/status")
    await client.close()
    state: dict[str, Any] = json.loads(answer.body)["state"]
    return state
