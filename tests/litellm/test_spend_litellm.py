"""What responses cost, as a real LiteLLM says of each in its own header and callback, on all four APIs."""

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from support.dialects import Dialect
from support.models import ModelServer
from support.processes import BACKEND_KEY, MASTER_KEY, MODELS, Process, hybrid_config, litellm, mitmdump
from support.servers import Reply, Server, in_thread
from support.wire import Request

pytestmark = pytest.mark.litellm

GEMINI = "/v1beta/models/gemini-2.5-pro:"
HELLO: dict[str, Any] = {"messages": [{"role": "user", "content": "Hello"}]}
COUNTED = {"stream": True, "stream_options": {"include_usage": True}}
ASKS: dict[str, tuple[str, dict[str, Any], str, dict[str, Any]]] = {
    "chat": ("/v1/chat/completions", {"model": "gpt-5", **HELLO}, "/v1/chat/completions", COUNTED),
    "responses": ("/v1/responses", {"model": "gpt-5", "input": "Hello"}, "/v1/responses", {"stream": True}),
    "messages": (
        "/v1/messages",
        {"model": "claude-sonnet-4-5", "max_tokens": 16, **HELLO},
        "/v1/messages",
        {"stream": True},
    ),
    "gemini": (
        f"{GEMINI}generateContent",
        {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]},
        f"{GEMINI}streamGenerateContent?alt=sse",
        {},
    ),
}
"""API → path and body of a plain request, path and further members of a streamed one."""


def _last(proxy: Process) -> dict[str, Any]:
    """The last request, as the status page has it."""
    found: dict[str, Any] = httpx.get(f"{proxy.url}/_hybrid/status", timeout=60).json()["recent_requests"][0]
    return found


@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize("api", ASKS)
def test_to_the_cent_what_litellm_says(
    proxy: Process, real_litellm: Process, api: str, *, streamed: bool
) -> None:
    path, body, streamed_path, more = ASKS[api]
    key = {"Authorization": f"Bearer {MASTER_KEY}"}
    direct = httpx.post(real_litellm.url + path, json=body, headers=key, timeout=60)
    cost = float(direct.headers["x-litellm-response-cost"])

    here, asked = (streamed_path, {**body, **more}) if streamed else (path, body)
    answer = httpx.post(proxy.url + here, json=asked, timeout=60)

    assert answer.status_code == 200, answer.text
    deadline = time.monotonic() + 30
    while (last := _last(proxy))["cost_usd"] is None and time.monotonic() < deadline:
        time.sleep(0.2)  # a price is asked for when it is first needed
    assert last["cost_usd"] == pytest.approx(cost, rel=1e-6)


def test_a_stream_that_says_no_usage_has_no_price(proxy: Process) -> None:
    """A chat completion without `stream_options.include_usage`: nothing is guessed."""
    path, body, _, _ = ASKS["chat"]
    before = _unpriced(proxy)
    assert httpx.post(proxy.url + path, json={**body, "stream": True}, timeout=60).status_code == 200
    last = _last(proxy)
    assert (last["input_tokens"], last["cost_usd"]) == (None, None)
    assert _unpriced(proxy) == before + 1


def _unpriced(proxy: Process) -> float:
    page = httpx.get(f"{proxy.url}/_hybrid/metrics", timeout=60).text
    found = re.search(r'^litellm_hybrid_unpriced_responses_total\{model="gpt-5"\} (\S+)', page, re.MULTILINE)
    return float(found[1]) if found else 0.0


# -- with prices, caches and reasoning, against LiteLLM's own callback --------------------------------

CALLBACK = """
import json
from litellm.integrations.custom_logger import CustomLogger

class Bill(CustomLogger):
    async def async_log_success_event(self, kwargs, response_obj, start_time, end_time):
        with open(BILL, "a") as file:
            file.write(json.dumps([kwargs.get("litellm_call_id"), kwargs.get("response_cost")]) + "\\n")

instance = Bill()
"""
PRICES = {
    "input_cost_per_token": 3.1e-06,
    "output_cost_per_token": 1.57e-05,
    "cache_read_input_token_cost": 3.3e-07,
    "cache_creation_input_token_cost": 3.9e-06,
    "cache_creation_input_token_cost_above_1hr": 6.2e-06,
    "input_cost_per_token_above_200k_tokens": 6.1e-06,
    "output_cost_per_token_above_200k_tokens": 2.3e-05,
}
"""Gemini has LiteLLM's own: with others 1.106 charges one for a whole response and another for a stream."""
USED: dict[str, dict[str, Any]] = {
    "prompt_tokens": {
        "prompt_tokens": 212_345,
        "completion_tokens": 678,
        "total_tokens": 213_023,
        "prompt_tokens_details": {"cached_tokens": 12_000},
        "completion_tokens_details": {"reasoning_tokens": 600},
    },
    "input_tokens_details": {
        "input_tokens": 12_345,
        "input_tokens_details": {"cached_tokens": 12_000},
        "output_tokens": 678,
        "output_tokens_details": {"reasoning_tokens": 600},
        "total_tokens": 13_023,
    },
    "input_tokens": {
        "input_tokens": 345,
        "cache_read_input_tokens": 12_000,
        "cache_creation_input_tokens": 1_500,
        "cache_creation": {"ephemeral_5m_input_tokens": 500, "ephemeral_1h_input_tokens": 1_000},
        "output_tokens": 678,
    },
    "output_tokens": {"output_tokens": 678},
    "promptTokenCount": {
        "promptTokenCount": 12_345,
        "cachedContentTokenCount": 12_000,
        "candidatesTokenCount": 78,
        "thoughtsTokenCount": 600,
        "totalTokenCount": 13_023,
    },
}
"""By a member that the usage of one API has, the first that fits: what stands in its place."""


def _billed(value: object) -> object:
    """JSON with other numbers where it says what was used."""
    if isinstance(value, list):
        return [_billed(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {
        name: next((used for sign, used in USED.items() if sign in each), each)
        if name in ("usage", "usageMetadata") and isinstance(each, dict)
        else _billed(each)
        for name, each in value.items()
    }


class BilledServer(ModelServer):
    """A model server whose responses took many tokens, most of them from a cache."""

    async def _json(self, reply: Reply, value: object, *, status: int = 200) -> None:
        await super()._json(reply, _billed(value), status=status)

    async def _speak(self, reply: Reply, dialect: Dialect, model: str, *, stream: bool) -> None:
        if not stream:
            await super()._speak(reply, dialect, model, stream=False)
            return
        said = dialect.streamed(model, self.pieces(model))
        whole = b"".join((said.opening, *said.pieces, said.closing)).decode()
        data = re.compile(r"^data: (\{.*)$", re.MULTILINE)
        billed = data.sub(lambda found: f"data: {json.dumps(_billed(json.loads(found[1])))}", whole)
        await reply.events([f"{event}\n\n".encode() for event in billed.split("\n\n") if event])


@dataclass(frozen=True, slots=True)
class Shop:
    """A proxy that always falls back, and the file into which LiteLLM's callback writes what it charges."""

    proxy: Process
    bill: Path

    def charged(self, request_id: str) -> float:
        """What LiteLLM's own callback says of a request."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            lines = self.bill.read_text().splitlines() if self.bill.exists() else []
            for call, cost in map(json.loads, lines):
                if call == request_id:
                    assert cost > 0
                    return float(cost)
            time.sleep(0.2)
        raise AssertionError(f"LiteLLM has charged nothing for {request_id}")


async def _exhausted(_: Request, reply: Reply) -> None:
    await reply.json(
        429, {"error": {"type": "usage_limit_reached", "message": "The usage limit has been reached"}}
    )


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    folder, backend, upstream = tmp_path_factory.mktemp("shop"), BilledServer("backend"), Server(_exhausted)
    bill = folder / "bill"
    (folder / "bill_callback.py").write_text(f"BILL = {str(bill)!r}\n{CALLBACK}")
    with in_thread(backend), in_thread(upstream):
        models = {
            name: {"model": model, "api_key": BACKEND_KEY, "api_base": backend.url + path}
            | (PRICES if "gemini" not in name else {})
            for name, (model, path) in MODELS.items()
        }
        settings = {"callbacks": "bill_callback.instance"}
        with litellm(backend.url, folder, models=models, settings=settings) as real:
            config = hybrid_config(real.url, models=[], fallback={"enabled": True})
            with mitmdump(config, upstream.url, folder) as proxy:
                yield Shop(proxy, bill)


@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize("api", ASKS)
def test_a_fallback_costs_what_litellms_callback_says(shop: Shop, api: str, *, streamed: bool) -> None:
    """On the status page, by header or by prices, with cached, written and reasoning tokens."""
    path, body, streamed_path, more = ASKS[api]
    request_id = f"bill-{api}-{streamed}"
    here, asked = (streamed_path, {**body, **more}) if streamed else (path, body)
    answer = httpx.post(shop.proxy.url + here, json=asked, headers={"X-Request-ID": request_id}, timeout=60)
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-hybrid-route"].startswith("litellm; reason=fallback")

    charged = shop.charged(request_id)
    deadline = time.monotonic() + 30
    while (last := _last(shop.proxy))["cost_usd"] is None and time.monotonic() < deadline:
        time.sleep(0.2)
    assert last["request_id"] == request_id
    assert last["cost_usd"] == pytest.approx(charged, rel=1e-6)
