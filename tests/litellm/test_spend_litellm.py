"""What responses cost, as a real LiteLLM says of each in its own header, on all four APIs."""

import re
import time
from typing import Any

import httpx
import pytest

from support.processes import MASTER_KEY, Process

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
    found: dict[str, Any] = httpx.get(f"{proxy.url}/_hybrid/status", timeout=30).json()["recent_requests"][0]
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
    page = httpx.get(f"{proxy.url}/_hybrid/metrics", timeout=30).text
    found = re.search(r'^litellm_hybrid_unpriced_responses_total\{model="gpt-5"\} (\S+)', page, re.MULTILINE)
    return float(found[1]) if found else 0.0
