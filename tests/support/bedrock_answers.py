"""How Bedrock answers: Converse's own shape, and AWS's event streams around its events and Anthropic's."""

import base64
import json
import struct
import zlib
from collections.abc import Iterator
from typing import Any

from support.dialects import TOKENS, messages_stream

type Json = dict[str, Any]

EVENT_STREAM = {"content-type": "application/vnd.amazon.eventstream"}
_USAGE = {"inputTokens": TOKENS, "outputTokens": TOKENS, "totalTokens": 2 * TOKENS}
_METRICS = {"latencyMs": 1}


def conversed(text: str) -> Json:
    """`POST /model/M/converse`."""
    message = {"role": "assistant", "content": [{"text": text}]}
    return {"output": {"message": message}, "stopReason": "end_turn", "usage": _USAGE, "metrics": _METRICS}


def converse_stream(text: str) -> bytes:
    """`POST /model/M/converse-stream`."""
    events: dict[str, Json] = {
        "messageStart": {"role": "assistant"},
        "contentBlockDelta": {"contentBlockIndex": 0, "delta": {"text": text}},
        "contentBlockStop": {"contentBlockIndex": 0},
        "messageStop": {"stopReason": "end_turn"},
        "metadata": {"usage": _USAGE, "metrics": _METRICS},
    }
    return b"".join(_frame(name, event) for name, event in events.items())


def invoke_stream(text: str) -> bytes:
    """`POST /model/M/invoke-with-response-stream` of a Claude model."""
    return b"".join(_frame("chunk", {"bytes": chunk}) for chunk in _chunks(text))


def _chunks(text: str) -> Iterator[str]:
    stream = messages_stream("m", [text])
    for line in b"".join([stream.opening, *stream.pieces, stream.closing]).splitlines():
        if line.startswith(b"data: "):
            yield base64.b64encode(line.removeprefix(b"data: ")).decode()


def _frame(event: str, value: Json) -> bytes:
    """A message of the encoding `application/vnd.amazon.eventstream`: lengths, headers, payload, two CRCs."""
    payload = json.dumps(value).encode()
    pairs = {":event-type": event, ":content-type": "application/json", ":message-type": "event"}
    headers = b"".join(
        struct.pack(">B", len(name)) + name.encode() + struct.pack(">BH", 7, len(said)) + said.encode()
        for name, said in pairs.items()
    )
    prelude = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    message = prelude + struct.pack(">I", zlib.crc32(prelude)) + headers + payload
    return message + struct.pack(">I", zlib.crc32(message))
