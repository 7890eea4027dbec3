"""What a coding agent's afternoon looks like in mitmweb: the servers, and the requests for them."""

import json
from http.client import HTTPConnection
from typing import Any

from support import conversations
from support.dialects import CHAT, GEMINI, MESSAGES, Dialect
from support.servers import Reply, Server
from support.wire import Request

OAUTH = "sk-ant-oat01-the-token-of-a-subscription"
"""What the client sends to upstream."""

ROUTED = "gpt-5"
CODEX = "gpt-5-codex"
SERVED = "claude-haiku-4-5"
GEMINI_MODEL = "gemini-2.5-pro"
FELL_BACK = "claude-sonnet-4-5"
FAILED = "claude-opus-4-1"

MODELS = ["gpt-5*"]
MAPPINGS = {FELL_BACK: "anthropic/claude-sonnet-4-5", FAILED: "anthropic/claude-opus-4-1"}

IDS = {ROUTED: "req-review-1", SERVED: "req-title-1", FELL_BACK: "req-fix-1", FAILED: "req-plan-1"}
"""The request ids of the requests that the tests look for."""

QUOTA_MESSAGE = "This request would exceed your account's rate limit. Please try again later."
_QUOTA = {"type": "error", "error": {"type": "rate_limit_error", "message": QUOTA_MESSAGE}}
NO_MODEL_MESSAGE = "Invalid model name passed in"
_NO_MODEL = {"error": {"message": f"{NO_MODEL_MESSAGE} model={MAPPINGS[FAILED]}", "code": "400"}}

_GAUGE = {
    "anthropic-ratelimit-unified-5h-utilization": "0.82",
    "anthropic-ratelimit-unified-5h-reset": "1795788000",
    "anthropic-ratelimit-unified-7d-utilization": "0.31",
}
"""What CLIProxyAPI passes on with `passthrough-headers: true`."""

_PRICE = {
    "input_cost_per_token": 3e-06,
    "output_cost_per_token": 1.5e-05,
    "cache_read_input_token_cost": 3e-07,
}
_PRICES = {
    "data": [
        {"model_name": name, "model_info": {"id": name, **_PRICE}}
        for name in (CODEX, ROUTED, MAPPINGS[FELL_BACK])
    ]
}

_TITLE = "Summarize this coding conversation in under 50 characters:\n\nWhy does the test of the parser fail?"
_REVIEW = "Review this change:\n\n-        raise ValueError('empty')\n+        return []"
_REVIEWED = (
    "The change makes `parse('')` return an empty list, as the test wants. "
    "Say so in the docstring; callers that relied on the exception have to check."
)
_PLAN = "Plan the move of the parser to a package of its own."
_LEXER = {"contents": [{"role": "user", "parts": [{"text": "Which files use the lexer?"}]}]}


class Servers:
    """Upstream and LiteLLM."""

    def __init__(self, *, upstream_port: int = 0, litellm_port: int = 0) -> None:
        self.upstream = Server(self._upstream, port=upstream_port)
        self.litellm = Server(self._litellm, port=litellm_port)

    async def _upstream(self, request: Request, reply: Reply) -> None:
        model = _model(request)
        if request.method == "GET":
            await reply.json(200, {"object": "list", "data": [{"id": SERVED, "object": "model"}]})
        elif model in MAPPINGS:
            await reply.json(429, _QUOTA, {"retry-after": "3600"})
        elif model == GEMINI_MODEL:
            await _say(reply, GEMINI, model, "Three: `parser.py`, `lexer.py` and `tokens.py`.")
        else:
            await reply.json(200, MESSAGES.plain(model, "Parser test fails on empty input"), _GAUGE)

    async def _litellm(self, request: Request, reply: Reply) -> None:
        if request.path == "/model/info":
            await reply.json(200, _PRICES)
            return
        model = _model(request)
        if model == MAPPINGS[FAILED]:
            await reply.json(400, _NO_MODEL)
        elif request.path.endswith("/messages"):
            await reply.events([conversations.MESSAGES_STREAM])
        elif request.path.endswith("/responses"):
            await reply.events([conversations.RESPONSES_STREAM])
        else:
            await _say(reply, CHAT, model, _REVIEWED)


def send_one_of_each(port: int) -> dict[str, str]:
    """By model, what the client was told about the route."""
    codex = conversations.RESPONSES_REQUEST | {"model": CODEX}
    fix = conversations.MESSAGES_REQUEST
    return {
        "": send(port, "GET", "/v1/models"),
        SERVED: send_message(port, SERVED, _TITLE, IDS[SERVED]),
        ROUTED: send(port, "POST", "/v1/chat/completions", _asks(ROUTED, _REVIEW), IDS[ROUTED]),
        GEMINI_MODEL: send(port, "POST", f"/v1beta/models/{GEMINI_MODEL}:generateContent", _LEXER),
        FELL_BACK: send(port, "POST", conversations.MESSAGES_PATH, fix, IDS[FELL_BACK]),
        FAILED: send_message(port, FAILED, _PLAN, IDS[FAILED]),
        CODEX: send(port, "POST", conversations.RESPONSES_PATH, codex),
    }


def send_more(port: int) -> None:
    """The rest of the afternoon, to fill the list."""
    for number in range(2, 4):
        send_message(port, SERVED, _TITLE, f"req-title-{number}")
        send(port, "POST", conversations.MESSAGES_PATH, conversations.MESSAGES_REQUEST, f"req-fix-{number}")
    send(port, "POST", "/v1/chat/completions", _asks(ROUTED, _REVIEW), "req-review-2")
    send(port, "POST", f"/v1beta/models/{GEMINI_MODEL}:generateContent", _LEXER, "req-lexer-2")
    send(port, "POST", conversations.RESPONSES_PATH, conversations.RESPONSES_REQUEST | {"model": CODEX})
    send_message(port, SERVED, _TITLE, "req-title-4")


def send_message(port: int, model: str, text: str, request_id: str) -> str:
    """Ask the messages API; what the client was told about the route."""
    return send(port, "POST", "/v1/messages", _asks(model, text) | {"max_tokens": 1024}, request_id)


def send(port: int, method: str, target: str, body: object = None, request_id: str = "") -> str:
    """Send a request with the subscription's token; what the client was told about the route."""
    headers = {"Authorization": f"Bearer {OAUTH}", "Content-Type": "application/json"}
    if request_id:
        headers["X-Request-ID"] = request_id
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, target, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        answer.read()
        return answer.getheader("x-hybrid-route", "").partition("; model=")[0]
    finally:
        connection.close()


def _asks(model: str, text: str) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": text}]}


def _model(request: Request) -> str:
    parsed: Any = json.loads(request.body or b"{}")
    return str(parsed.get("model", GEMINI_MODEL))


async def _say(reply: Reply, dialect: Dialect, model: str, text: str) -> None:
    await reply.json(200, dialect.plain(model, text))
