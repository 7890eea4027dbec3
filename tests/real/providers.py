"""Scripted providers: each request names in its text what it is to be answered with."""

import json
import re
from collections import Counter, deque
from collections.abc import Iterable

from real.corpus import ProviderError
from support.servers import Reply, Server
from support.wire import Request

MARK = re.compile(rb"case-(\w+)-in-(\w+)")
"""How a question says which case it is: in what the user writes, the only part that every translation keeps."""

STYLES = {
    "/anthropic": "messages",
    "/codex": "responses",
    "/gemini": "gemini",
    "/compat": "chat",
    "/antigravity": "antigravity",
    "/xai": "responses",
    "/kimi": "chat",
}
"""Path prefix → how the provider there answers."""

HOSTS = {
    "api.anthropic.com": "/anthropic",
    "chatgpt.com": "/codex",
    "api.x.ai": "/xai",
    "cli-chat-proxy.grok.com": "/xai",
    "api.kimi.com": "/kimi",
    "cloudcode-pa.googleapis.com": "/antigravity",
    "daily-cloudcode-pa.googleapis.com": "/antigravity",
    "daily-cloudcode-pa.sandbox.googleapis.com": "/antigravity",
}
"""Where subscription accounts are asked → path prefix."""

SERVED = "served by the provider"
CREATED = 1_790_000_000
"""When an answer was made, in epoch seconds; the same for all, so that two can be compared."""

OF_PROVIDER = {"X-Request-Id": "of-the-provider"}
"""What a good answer carries; `passthrough-headers` passes it on."""

_MODEL_PATHS = ("/messages", "/responses", "enerateContent", "/chat/completions")


def mark(case: str, place: str) -> str:
    """What a question says to be answered with a case; `place` tells its questions apart, in `Providers.asked`."""
    return f"case-{case}-in-{place}"


PROFILE = {
    "account": {"uuid": "11111111-1111-4111-8111-111111111111", "email": "someone@example.com"},
    "organization": {"uuid": "22222222-2222-4222-8222-222222222222"},
}
"""What Anthropic says of an account."""


class Providers(Server):
    """All of them at one port, by path; without a case they answer well.

    Attributes:
        asked: how often each case has been asked for, by its name and place.
        script: answers that come before anything else, by path prefix, each once.
        delay: seconds before each answer.
        pace: seconds between the chunks of good streams.
    """

    def __init__(self, cases: Iterable[ProviderError] = ()) -> None:
        super().__init__(self._answer)
        self.cases = {case.name: case for case in cases}
        self.asked: Counter[tuple[str, str]] = Counter()
        self.script: dict[str, deque[ProviderError]] = {}
        self.exhausted: dict[bytes, ProviderError] = {}
        self.delay = 0.0
        self.pace = 0.0

    async def _answer(self, request: Request, reply: Reply) -> None:
        self.requests.clear()
        if request.method == "GET" or not any(part in request.path for part in _MODEL_PATHS):
            await self._aside(request, reply)
            return
        found = MARK.search(request.body)
        prefix = f"/{request.path.split('/')[1]}"
        case = self.cases.get(found[1].decode()) if found else None
        if found:
            self.asked[found[1].decode(), found[2].decode()] += 1
        for key, exhausted in list(self.exhausted.items()):
            if any(key in value for _, value in request.headers):
                case = exhausted
        if queue := self.script.get(prefix):
            case = queue.popleft()
        if self.delay:
            await reply.pause(self.delay)
        if case is not None:
            await play(case, reply)
            return
        style = STYLES.get(prefix, "chat")
        streamed = style in {"responses", "antigravity"} or "stream" in request.path
        streamed = streamed or b'"stream":true' in request.body.replace(b" ", b"")
        if streamed:
            await reply.events(good_events(style), delay=self.pace, headers=OF_PROVIDER)
        else:
            await reply.json(200, good_answer(style), OF_PROVIDER)

    async def _aside(self, request: Request, reply: Reply) -> None:
        """What is asked for beside models: a profile once for each Claude account, lists, telemetry."""
        if "/oauth/profile" in request.path:
            await reply.json(200, PROFILE)
        else:
            await reply.json(200, {})


async def play(case: ProviderError, reply: Reply) -> None:
    """Answer as a case says."""
    headers = [(name, value) for name, value in case.headers.items()]
    if not case.is_stream:
        await reply.send(case.status, case.text, headers)
        return
    await reply.head(case.status, headers)
    for chunk in case.chunks:
        if chunk is None:
            await reply.close()
            return
        if isinstance(chunk, float):
            await reply.pause(chunk)
        else:
            await reply.chunk(chunk)
    await reply.end()


# -- good answers ---------------------------------------------------------------


def good_answer(style: str, text: str = SERVED) -> object:
    """A whole answer in a provider's style."""
    if style == "messages":
        usage = {"input_tokens": 9, "output_tokens": 5}
        content = [{"type": "text", "text": text}]
        message = {"id": "msg_good", "type": "message", "role": "assistant", "model": "m"}
        return message | {
            "content": content,
            "stop_reason": "end_turn",
            "stop_sequence": None,
            "usage": usage,
        }
    if style == "responses":
        return _response("completed", text)
    if style == "gemini":
        return _candidate(text)
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14}
    return {"id": "c-good", "object": "chat.completion", "created": CREATED, "model": "m"} | {
        "choices": [choice],
        "usage": usage,
    }


def good_events(style: str, text: str = SERVED) -> list[str]:
    """A streamed answer in a provider's style."""
    if style == "messages":
        message = {"id": "msg_good", "type": "message", "role": "assistant", "model": "m", "content": []}
        usage = {"input_tokens": 9, "output_tokens": 1}
        return [
            event("message_start", message=message | {"stop_reason": None, "usage": usage}),
            event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
            event("content_block_delta", index=0, delta={"type": "text_delta", "text": text}),
            event("content_block_stop", index=0),
            event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 5}),
            event("message_stop"),
        ]
    if style == "responses":
        return [
            event("response.created", sequence_number=0, response=_response("in_progress")),
            event("response.in_progress", sequence_number=1, response=_response("in_progress")),
            event("response.output_text.delta", item_id="m1", output_index=0, content_index=0, delta=text),
            event("response.output_item.done", output_index=0, item=_item(text)),
            event("response.completed", response=_response("completed", text)),
        ]
    if style == "gemini":
        return [data(_candidate(text))]
    if style == "antigravity":
        return [data({"response": _candidate(text), "traceId": "t"})]
    chunk = {"id": "c-good", "object": "chat.completion.chunk", "created": CREATED, "model": "m"}
    usage = {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14}
    return [
        data(chunk | {"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]}),
        data(chunk | {"choices": [{"index": 0, "delta": {"content": text}}]}),
        data(chunk | {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": usage}),
        "data: [DONE]\n\n",
    ]


def event(kind: str, **fields: object) -> str:
    """A server-sent event whose data repeats its type."""
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n"


def data(value: object) -> str:
    """A server-sent event without a type."""
    return f"data: {json.dumps(value)}\n\n"


def _item(text: str) -> dict[str, object]:
    content = [{"type": "output_text", "text": text, "annotations": []}]
    return {"id": "m1", "type": "message", "role": "assistant", "status": "completed", "content": content}


def _response(status: str, text: str = "") -> dict[str, object]:
    response: dict[str, object] = {"id": "resp_good", "object": "response", "created_at": CREATED}
    response |= {"status": status, "model": "m", "output": [_item(text)] if text else []}
    if text:
        response["usage"] = {"input_tokens": 9, "output_tokens": 5, "total_tokens": 14}
    return response


def _candidate(text: str) -> dict[str, object]:
    content = {"role": "model", "parts": [{"text": text}]}
    usage = {"promptTokenCount": 9, "candidatesTokenCount": 5, "totalTokenCount": 14}
    candidate = {"content": content, "finishReason": "STOP", "index": 0}
    return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "m"}
