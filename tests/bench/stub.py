"""The server behind everything that is measured: it answers at once and costs next to nothing.

What it does is written in the model's name, which every proxy passes on:

    plain…          a short JSON answer
    limited…        429 as CLIProxyAPI words a used-up account; plain where `--name` is not upstream
    sse-50-20       50 events, 20 ms apart, the first at once
    held-50-20      the same behind the opening events of a Responses stream
    broken-…        the opening events, then a used-up account; as `held` where `--name` is not upstream

To `GET /model/info` it says, as LiteLLM does, that it has no model that leads back.

Every event carries `@` and the time at which it was sent: CLOCK_MONOTONIC in
nanoseconds, which is the same in every process of a machine.

    python -m bench.stub --name upstream --port 0
"""

import argparse
import asyncio
import gc
import json
import re
import ssl
import time
from pathlib import Path
from typing import override

_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:[ \t]*chunked", re.IGNORECASE)
_MODEL = re.compile(rb'"model"\s*:\s*"([^"]*)"')
_EDGE = 2048
"""How much of a body's beginning and end is kept: proxies move `model` about."""

_LIMITED = json.dumps(
    {
        "error": {
            "type": "usage_limit_reached",
            "message": "The usage limit has been reached",
            "resets_in_seconds": 60,
        }
    }
).encode()
_ANSWER = json.dumps(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "plain",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "Hello."}, "finish_reason": "stop"}
        ],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }
).encode()
_OPENING = (
    b'event: response.created\ndata: {"type":"response.created","response":{"id":"r","status":"in_progress"}}\n\n'
    b'event: response.in_progress\ndata: {"type":"response.in_progress","response":{"id":"r"}}\n\n'
)
_FAILED = (
    b'event: response.failed\ndata: {"type":"response.failed","response":{"id":"r","status":"failed","error":'
    b'{"code":"usage_limit_reached","message":"The usage limit has been reached"}}}\n\n'
)


def chat_event() -> bytes:
    """One event of a chat completion's stream, stamped now."""
    return (
        b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"plain",'
        b'"choices":[{"index":0,"delta":{"role":"assistant","content":"@%d "},"finish_reason":null}]}\n\n'
        % time.monotonic_ns()
    )


def responses_event() -> bytes:
    """One event of a Responses stream, stamped now."""
    return (
        b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","item_id":"m",'
        b'"output_index":0,"content_index":0,"delta":"@%d "}\n\n' % time.monotonic_ns()
    )


def chunk(data: bytes) -> bytes:
    """A chunk of chunked transfer coding."""
    return b"%x\r\n%b\r\n" % (len(data), data)


class Stub(asyncio.Protocol):
    """One connection; requests are answered one after the other."""

    def __init__(self, name: str) -> None:
        self._upstream = name == "upstream"
        self._mark = b"\r\nx-answered-by: %b\r\n" % name.encode()
        self._plain = self._whole(b"200 OK", _ANSWER)
        self._limited = self._whole(b"429 Too Many Requests", _LIMITED)
        self._head = self._head_start = b""
        self._body_start = b""
        self._body_end = b""
        self._left = 0
        self._chunked = False

    def _whole(self, status: bytes, body: bytes) -> bytes:
        length = b"content-length: %d" % len(body)
        return b"HTTP/1.1 %b\r\ncontent-type: application/json\r\n%b%b\r\n%b" % (
            status,
            length,
            self._mark,
            body,
        )

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    @override
    def data_received(self, data: bytes) -> None:
        if not self._body_start and not self._left and not self._chunked:
            head, mark, data = (self._head + data).partition(b"\r\n\r\n")
            if not mark:
                self._head = head
                return
            self._begin(head)
        self._left -= len(data)
        if len(self._body_start) < _EDGE:
            self._body_start += data[:_EDGE]
        self._body_end = (self._body_end + data[-_EDGE:])[-_EDGE:]
        if self._body_end.endswith(b"0\r\n\r\n") if self._chunked else self._left <= 0:
            if self._head_start.startswith(b"GET /model/info"):
                self._transport.write(self._whole(b"200 OK", b'{"data":[]}'))
                self._head = self._body_start = self._body_end = b""
                return
            model = _MODEL.search(self._body_start) or _MODEL.search(self._body_end)
            self._head = self._body_start = self._body_end = b""
            self._left, self._chunked = 0, False
            self._answer(model[1].decode() if model else "plain")

    def _begin(self, head: bytes) -> None:
        self._head_start = head[:20]
        length = _LENGTH.search(head)
        self._left = int(length[1]) if length else 0
        self._chunked = length is None and _CHUNKED.search(head) is not None

    def _answer(self, model: str) -> None:
        kind, _, pace = model.rpartition("/")[2].partition("-")
        if kind == "limited" and self._upstream:
            self._transport.write(self._limited)
        elif kind in ("sse", "held", "broken"):
            count, _, apart = pace.partition("-")
            self._stream(kind, int(count), int(apart) / 1000)
        else:
            self._transport.write(self._plain)

    def _stream(self, kind: str, count: int, apart: float) -> None:
        head = (
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked"
        )
        self._transport.write(head + self._mark + b"\r\n")
        if kind != "sse":
            self._transport.write(chunk(_OPENING))
        if kind == "broken" and self._upstream:
            self._transport.write(chunk(_FAILED) + b"0\r\n\r\n")
            return
        self._send(kind, count, apart, asyncio.get_running_loop().time())

    def _send(self, kind: str, left: int, apart: float, due: float) -> None:
        if self._transport.is_closing():
            return
        self._transport.write(chunk(chat_event() if kind == "sse" else responses_event()))
        if left > 1:
            # By the clock, not by the last one: the pace does not depend on how busy this process is.
            due += apart
            asyncio.get_running_loop().call_at(due, self._send, kind, left - 1, apart, due)
            return
        last = (
            b"data: [DONE]\n\n"
            if kind == "sse"
            else b'data: {"type":"response.completed","response":{"id":"r"}}\n\n'
        )
        self._transport.write(chunk(last) + b"0\r\n\r\n")


async def _main(arguments: argparse.Namespace) -> None:
    context = None
    if arguments.tls:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(arguments.tls)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: Stub(arguments.name), arguments.host, arguments.port, ssl=context, backlog=2048
    )
    print(server.sockets[0].getsockname()[1], flush=True)  # noqa: T201
    gc.freeze()
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A server that answers at once.")
    parser.add_argument("--name", default="upstream")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--tls", type=Path, help="a file with a certificate and its key")
    asyncio.run(_main(parser.parse_args()))
