"""With client keys, from this machine by loopback and from another one: each way to LiteLLM's key, by key.

The other machine is a network namespace. The proxy is a real mitmdump.
"""

import itertools
import json
from collections.abc import Iterator

import pytest

from e2e.fallback_support import COOLDOWN, FELL_BACK, JSON, OUT_OF_QUOTA, failed, says
from e2e.harness import hello
from security.conftest import BY_KEY, PLACES, RIGHT, Site, site
from support import networks
from support.networks import Told
from support.servers import Reply
from support.wire import Request

_MISSING = networks.missing()
pytestmark = pytest.mark.skipif(bool(_MISSING), reason=_MISSING)

CHAT = "/v1/chat/completions"
NOT_ALLOWED = failed("not-allowed")
by_key = pytest.mark.parametrize(("headers", "status"), BY_KEY.values(), ids=BY_KEY)
by_place = pytest.mark.parametrize("place", PLACES)
_sessions = (("Session-Id", f"session-{number}") for number in itertools.count())


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    fallback = {"enabled": True, "cooldown-max": "1h", "sticky": "1h"}
    with site(tmp_path_factory.mktemp("machines"), fallback=fallback) as running:
        cooling, failing = says(429, COOLDOWN, JSON), OUT_OF_QUOTA

        async def by_model(request: Request, reply: Reply) -> None:
            model = json.loads(request.body)["model"] if request.body else ""
            await {"cooling": cooling, "exhausted": failing}.get(model, hello)(request, reply)

        running.upstream.does = by_model
        yield running


def chat(proxy: Site, place: str, model: str, *headers: tuple[str, str]) -> Told:
    (told,) = proxy.ask(place, ("POST", CHAT, json.dumps({"model": model}), headers))
    return told


def route(told: Told) -> str:
    return told.headers["x-hybrid-route"].partition("; model=")[0]


@by_key
@by_place
def test_a_listed_model(headers: tuple[tuple[str, str], ...], status: int, place: str, proxy: Site) -> None:
    before = len(proxy.litellm.requests)

    told = chat(proxy, place, "gpt-5", *headers)

    assert told.status == status
    assert len(proxy.litellm.requests) - before == (status == 200)


@by_key
@by_place
@pytest.mark.parametrize("model", ["exhausted", "cooling"])
def test_a_fallback_and_a_cooldown(
    model: str, headers: tuple[tuple[str, str], ...], status: int, place: str, proxy: Site
) -> None:
    """A cooldown that somebody with a key has begun passes nobody by without one."""
    assert chat(proxy, place, model, RIGHT).status == 200
    before = len(proxy.litellm.requests), len(proxy.upstream.requests)

    told = chat(proxy, place, model, *headers)

    if status == 200:
        assert (told.status, route(told)) == (
            200,
            FELL_BACK if model == "exhausted" else "litellm; reason=cooldown",
        )
    elif place == "elsewhere":
        assert told.status == status
        assert len(proxy.upstream.requests) == before[1]
    else:
        assert (told.status, route(told)) == (429, NOT_ALLOWED)
    assert len(proxy.litellm.requests) - before[0] == (status == 200)


@by_key
@by_place
def test_a_sticky_conversation(
    headers: tuple[tuple[str, str], ...], status: int, place: str, proxy: Site
) -> None:
    """Begun with a key; upstream serves the model again, and LiteLLM only who has the key."""
    session = next(_sessions)
    proxy.upstream.does, usual = OUT_OF_QUOTA, proxy.upstream.does
    try:
        assert route(chat(proxy, place, "sticky", RIGHT, session)) == FELL_BACK
    finally:
        proxy.upstream.does = usual
    before = len(proxy.litellm.requests)

    told = chat(proxy, place, "sticky", *headers, session)

    if status == 200:
        assert (told.status, route(told)) == (200, "litellm; reason=sticky")
    elif place == "elsewhere":
        assert told.status == status
    else:
        assert (told.status, route(told)) == (200, "upstream; reason=not-listed")
    assert len(proxy.litellm.requests) - before == (status == 200)


@by_key
@by_place
def test_own_pages(headers: tuple[tuple[str, str], ...], status: int, place: str, proxy: Site) -> None:
    """They spend nothing: this machine's programs need no key for them."""
    pages = ("health", "status", "metrics", "nothing")
    told = proxy.ask(place, *(("GET", f"/_hybrid/{page}", "", headers) for page in pages))

    allowed = status == 200 or place == "here"
    assert [one.status for one in told] == ([200, 200, 200, 404] if allowed else [403] * 4)
