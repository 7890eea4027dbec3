"""Bodies that once kept everybody waiting: they go upstream as they came, and are no work."""

import asyncio
import gzip

import pytest
import zstandard

from e2e.conftest import Start
from e2e.harness import Stub, hello

MEMBERS = b'{"m":NaN,"model":"gpt-5",' + b'"":0,' * 800_000 + b'"x":1}'
THRICE = zstandard.compress(zstandard.compress(zstandard.compress(bytes(2_000_000))))
TWICE = gzip.compress(gzip.compress(MEMBERS))
ATTACKS = {
    "zstd thrice": (THRICE, "zstd, zstd, zstd", 15),
    "gzip twice": (TWICE, "gzip, gzip", 50),
    "800,000 members": (MEMBERS.replace(b"NaN", b"1"), "", 4.6),
    "800,000 of no JSON": (MEMBERS, "", 4.6),
}


@pytest.mark.parametrize(("body", "coding", "took"), ATTACKS.values(), ids=ATTACKS)
async def test_others_do_not_wait(
    body: bytes, coding: str, took: float, start: Start, upstream: Stub
) -> None:
    """`took`: seconds that everybody waited for one of them."""
    upstream.does = hello
    proxy = await start()
    attacker, other = await proxy.client(), await proxy.client()
    headers = [("Content-Encoding", coding)] if coding else []

    attack = asyncio.create_task(attacker.ask("POST", "/v1/chat/completions", body, headers))
    async with asyncio.timeout(10 * took):
        while not attack.done():
            assert (await other.ask("GET", "/_hybrid/health")).status in {200, 503}

    assert (await attack).route == "upstream; reason=unreadable-body"
    assert upstream.last.body == body
