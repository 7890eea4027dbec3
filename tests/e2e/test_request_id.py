"""One id follows a request to both servers, back to the client and into the log."""

import re

import pytest

from e2e.conftest import Start
from e2e.harness import Stub

GENERATED = re.compile(r"req-\d+-\d+")


@pytest.mark.parametrize("given", ["id-1", "x", "a/b:c=d~", "i" * 128])
async def test_a_good_id_is_kept(given: str, start: Start, upstream: Stub, litellm: Stub) -> None:
    proxy = await start()
    client = await proxy.client()

    for model, server in (("o3", upstream), ("gpt-5", litellm)):
        answer = await client.post(model, [("x-request-ID", given)])

        assert server.last.values("x-request-id") == [given]
        assert answer.values("x-request-id") == [given]
        assert [line.fields["request_id"] for line in proxy.log(" 200 POST ")][-1] == given
    assert litellm.last.values("x-litellm-call-id") == [given]
    assert upstream.last.values("x-litellm-call-id") == []
    assert proxy.log("was replaced") == []


@pytest.mark.parametrize("given", ["", "two words", "i" * 129, "caf\u00e9"])
async def test_a_bad_id_is_replaced_and_that_is_logged(
    given: str, start: Start, upstream: Stub, litellm: Stub
) -> None:
    proxy = await start()
    client = await proxy.client()

    for model, server in (("o3", upstream), ("gpt-5", litellm)):
        answer = await client.post(model, [("X-Request-ID", given)])

        (id_,) = answer.values("x-request-id")
        assert GENERATED.fullmatch(id_)
        assert server.last.values("x-request-id") == [id_]
        line = proxy.log("X-Request-ID was replaced")[-1]
        assert (line.level, line.fields["request_id"]) == ("WARNING", id_)


async def test_an_id_is_made_where_there_is_none(start: Start, upstream: Stub, litellm: Stub) -> None:
    proxy = await start()
    client = await proxy.client()
    ids = []
    for model, server in [("o3", upstream), ("gpt-5", litellm)] * 5:
        ids += (await client.post(model)).values("x-request-id")
        assert server.last.values("x-request-id") == ids[-1:]
        assert server is upstream or server.last.values("x-litellm-call-id") == ids[-1:]

    assert len(set(ids)) == 10
    assert all(GENERATED.fullmatch(id_) for id_ in ids)


async def test_an_id_of_upstreams_own_stays_in_its_answer(start: Start, upstream: Stub) -> None:
    async def answer(_: object, reply: object) -> None:
        await reply.send(200, b"", {"X-Request-Id": "of-upstream"})  # type: ignore[attr-defined]

    upstream.does = answer
    proxy = await start()

    assert (await proxy.post("o3", [("X-Request-ID", "mine")])).values("x-request-id") == ["of-upstream"]


async def test_a_client_may_not_choose_litellms_call_id(start: Start, litellm: Stub) -> None:
    proxy = await start()

    await proxy.post("gpt-5", [("X-Request-ID", "mine"), ("x-litellm-call-id", "forged")])

    assert litellm.last.values("x-litellm-call-id") == ["mine"]


async def test_our_own_answers_carry_it(start: Start, litellm: Stub) -> None:
    await litellm.stop()
    proxy = await start()

    answer = await proxy.post("gpt-5", [("X-Request-ID", "mine")])

    assert answer.status == 502
    assert answer.values("x-request-id") == ["mine"]
    assert (await proxy.failure()).fields["request_id"] == "mine"
