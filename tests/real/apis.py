"""The four client APIs: a question on each, and a client that sees the bytes of the answer."""

import asyncio
import json
import time
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic

from support.wire import ClientGoneError, Connection

APIS = ("chat", "messages", "responses", "gemini")
CLIENT_KEY = "sk-client-of-the-real-tests"

PATHS = {"chat": "/v1/chat/completions", "messages": "/v1/messages", "responses": "/v1/responses"}


@dataclass(frozen=True, slots=True)
class Question:
    """A request of a client, ready to be sent."""

    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes


@dataclass(frozen=True, slots=True)
class Seen:
    """An answer as it came.

    Attributes:
        headers: in order, names in lower case.
        body: without transfer framing.
        whole: whether it ended as its framing says.
        first_byte: seconds until its head was there.
        at: epoch seconds of that.
    """

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    whole: bool
    first_byte: float
    at: float = field(default_factory=time.time)

    def header(self, name: str) -> str:
        """A header's first value, or ""."""
        return next((value for key, value in self.headers if key == name), "")

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode(errors="replace")


def target(api: str, model: str, stream: bool) -> str:
    """Where a question is sent."""
    if api == "gemini":
        verb = "streamGenerateContent?alt=sse" if stream else "generateContent"
        return f"/v1beta/models/{model}:{verb}"
    return PATHS[api]


def question(api: str, model: str, *, stream: bool, text: str = "hi", request_id: str = "") -> Question:
    """A question; `text` is what the user says."""
    turn = {"role": "user", "content": text}
    body: dict[str, object] = {"model": model, "stream": stream, "messages": [turn]}
    keys: tuple[tuple[str, str], ...] = (("Authorization", f"Bearer {CLIENT_KEY}"),)
    if api == "messages":
        body["max_tokens"] = 64
        keys = (("x-api-key", CLIENT_KEY), ("anthropic-version", "2023-06-01"))
    elif api == "responses":
        # Plain text as input would not reach a Claude model: CLIProxyAPI's translation loses it.
        said = {"role": "user", "content": [{"type": "input_text", "text": text}]}
        body = {"model": model, "stream": stream, "input": [said]}
    elif api == "gemini":
        body = {"contents": [{"role": "user", "parts": [{"text": text}]}]}
        keys = (("x-goog-api-key", CLIENT_KEY),)
    headers = (*keys, ("Content-Type", "application/json"))
    if request_id:
        headers = (*headers, ("X-Request-ID", request_id))
    return Question(target(api, model, stream), headers, json.dumps(body).encode())


async def ask(port: int, asked: Question, *, method: str = "POST", within: float = 100) -> Seen:
    """Send it on a connection of its own.

    Raises:
        TimeoutError: no end `within` seconds.
        OSError: no answer, or none in HTTP.
    """
    began = monotonic()
    async with asyncio.timeout(within):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        wire = Connection(writer)
        pump = asyncio.create_task(wire.pump(reader))
        try:
            fields = [("Host", f"127.0.0.1:{port}"), *asked.headers, ("Content-Length", str(len(asked.body)))]
            lines = [f"{method} {asked.target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields)]
            writer.write("\r\n".join([*lines, "", ""]).encode() + asked.body)
            return await _answer(wire, began)
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
            pump.cancel()


async def _answer(wire: Connection, began: float) -> Seen:
    head = (await wire.until(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    first_byte = monotonic() - began
    pairs = [line.partition(":") for line in head[1:] if line]
    headers = tuple((name.lower(), value.strip()) for name, _, value in pairs)
    seen = Seen(int(head[0].split(" ")[1]), headers, b"", whole=True, first_byte=first_byte)
    body, whole = bytearray(), True
    try:
        if seen.header("transfer-encoding") == "chunked":
            while size := int(await wire.until(b"\r\n"), 16):
                body += await wire.exactly(size)
                await wire.exactly(2)
            await wire.until(b"\r\n")
        elif (length := seen.header("content-length")) != "":
            body += await wire.exactly(int(length))
        elif seen.status != 101:
            await wire.gone.wait()
            body += wire.take()
    except ClientGoneError:
        body += wire.take()
        whole = False
    return Seen(seen.status, headers, bytes(body), whole, first_byte, seen.at)
