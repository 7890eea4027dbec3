"""A model server that says who it is: the stand-in for CLIProxyAPI, and LiteLLM's backend.

It speaks chat completions, responses, messages and generateContent, plain and
streamed, at every path that CLIProxyAPI and LiteLLM's backends are asked on. The
text of an answer is `<name> answered for <model>`; in a stream, numbered words
follow it. As a program it prints its port on the first line, then a line of JSON
for each request:

    python tests/support/models.py --name upstream --port 0 --chunks 20 --delay 0.1
"""

import argparse
import asyncio
import gzip
import json
import re
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # as a program: `support` is beside this file's folder
    sys.path.insert(0, str(Path(__file__).parents[1]))

from support.dialects import CHAT, GEMINI, MESSAGES, RESPONSES, TOKENS, Dialect
from support.servers import Reply, Server
from support.wire import Request

_PROVIDER = re.compile(r"^/api/provider/[^/]+")
_IN_PATH = re.compile(r"/models/(?P<model>[^/:]+):(?P<verb>\w+)$")
_ENDS = {"/chat/completions": CHAT, "/responses": RESPONSES, "/messages": MESSAGES}
_DECODERS: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.decompress, "deflate": zlib.decompress}


class ModelServer(Server):
    """The server, for a test that runs it in its own loop or in a thread.

    Args:
        name: who answers, as the text and the header `x-answered-by` say it.
        chunks: the pieces of text in a streamed answer.
        delay: seconds between two of them.
        models: what `GET /v1/models` lists.
        on_request: called with every request before it is answered.
    """

    def __init__(
        self,
        name: str,
        *,
        port: int = 0,
        chunks: int = 3,
        delay: float = 0,
        models: tuple[str, ...] = (),
        on_request: Callable[[Request], None] | None = None,
    ) -> None:
        super().__init__(self.answer, port=port)
        self.name = name
        self.chunks = chunks
        self.delay = delay
        self.models = models
        self._on_request = on_request

    def text(self, model: str) -> str:
        """What it says when it is asked for `model`, plain."""
        return f"{self.name} answered for {model}"

    def pieces(self, model: str) -> list[str]:
        """What it says when it streams."""
        return [self.text(model), *(f" {number}" for number in range(2, self.chunks + 1))]

    async def before_piece(self, reply: Reply) -> None:
        """What happens before the second and every further piece of a stream."""
        if self.delay:
            await reply.pause(self.delay)

    async def answer(self, request: Request, reply: Reply) -> None:
        """Answer any request of the four APIs; anything else is 404."""
        if self._on_request:
            self._on_request(request)
        path = _PROVIDER.sub("", request.path)
        if request.method == "GET" and path.endswith("/models"):
            await self._json(reply, {"object": "list", "data": [_listed(model) for model in self.models]})
        elif match := _IN_PATH.search(path):
            await self._gemini(request, reply, match["model"], match["verb"])
        elif path.endswith("/messages/count_tokens"):
            await self._json(reply, {"input_tokens": TOKENS})
        elif dialect := next((_ENDS[end] for end in _ENDS if path.endswith(end)), None):
            asked = _body(request)
            await self._speak(reply, dialect, str(asked.get("model")), stream=asked.get("stream") is True)
        else:
            await self._json(reply, {"error": {"message": f"no such path: {path}"}}, status=404)

    async def _gemini(self, request: Request, reply: Reply, model: str, verb: str) -> None:
        if verb == "countTokens":
            await self._json(reply, {"totalTokens": TOKENS})
        elif verb == "streamGenerateContent" and "alt=sse" not in request.target:
            # Without alt=sse the chunks are the items of a JSON array.
            await self._json(reply, [GEMINI.plain(model, piece) for piece in self.pieces(model)])
        else:
            await self._speak(reply, GEMINI, model, stream=verb == "streamGenerateContent")

    async def _speak(self, reply: Reply, dialect: Dialect, model: str, *, stream: bool) -> None:
        if not stream:
            await self._json(reply, dialect.plain(model, self.text(model)))
            return
        answer = dialect.streamed(model, self.pieces(model))
        content_type = ("content-type", "text/event-stream; charset=utf-8")
        await reply.head(200, [content_type, ("x-answered-by", self.name)])
        if answer.opening:
            await reply.chunk(answer.opening)
        for number, piece in enumerate(answer.pieces):
            if number:
                await self.before_piece(reply)
            await reply.chunk(piece)
        await reply.chunk(answer.closing)
        await reply.end()

    async def _json(self, reply: Reply, value: object, *, status: int = 200) -> None:
        await reply.json(status, value, {"x-answered-by": self.name})


def _body(request: Request) -> dict[str, Any]:
    decode = _DECODERS.get((request.header("content-encoding") or "").lower(), bytes)
    parsed = json.loads(decode(request.body) or b"{}")
    return parsed if isinstance(parsed, dict) else {}


def _listed(model: str) -> dict[str, object]:
    return {"id": model, "object": "model", "created": 0, "owned_by": "support"}


def _print(request: Request) -> None:
    headers = [[name.decode("latin-1"), value.decode("latin-1")] for name, value in request.headers]
    line = {"method": request.method, "target": request.target, "headers": headers}
    print(json.dumps(line | {"body": request.body.decode("utf-8", "replace")}), flush=True)  # noqa: T201


async def _main(arguments: argparse.Namespace) -> None:
    server = ModelServer(
        arguments.name,
        port=arguments.port,
        chunks=arguments.chunks,
        delay=arguments.delay,
        on_request=_print,
    )
    async with server:
        print(server.port, flush=True)  # noqa: T201
        await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A model server that says who it is.")
    parser.add_argument("--name", default="model server")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--chunks", type=int, default=3, help="pieces of text in a streamed answer")
    parser.add_argument("--delay", type=float, default=0, help="seconds between two of them")
    try:
        asyncio.run(_main(parser.parse_args()))
    except KeyboardInterrupt:
        sys.exit(0)
