"""A stand-in for CLIProxyAPI that answers what can be asked of it without an account, as its source does.

From internal/api/server.go, server_routes.go, server_middleware.go, handlers/management/handler.go,
sdk/access/errors.go and sdk/api/handlers of v6.10.9 and v7.2.140. A model that it lists is served
with a short answer.
"""

import base64
import hashlib
import json
import re
from collections.abc import Awaitable, Callable
from urllib.parse import unquote_plus

from support.servers import Reply, Server
from support.wire import Request

type Answering = Callable[[Request, Reply], Awaitable[None]]

UNKNOWN = "unknown provider for model {model}"
_KEY_HEADERS = ("authorization", "x-goog-api-key", "x-api-key")
_EXPOSED = "X-CPA-TRACE-ID, X-CPA-VERSION, X-CPA-COMMIT, Location, Retry-After, X-Request-Id"
_POSTS = frozenset(
    {
        "/v1/chat/completions",
        "/v1/completions",
        "/v1/messages",
        "/v1/messages/count_tokens",
        "/v1/responses",
        "/v1/responses/compact",
        "/v1/images/generations",
        "/backend-api/codex/responses",
        "/backend-api/codex/responses/compact",
    }
)
_WEBSOCKETS = frozenset({"/v1/responses", "/backend-api/codex/responses"})
_GEMINI = re.compile(r"/v1beta/models/(?P<model>[^:]+):\w+")
_PROVIDER = re.compile(r"/api/provider/[^/]+")


class CLIProxyAPI(Server):
    """The server.

    Args:
        keys: its `api-keys`; without any it lets everyone in.
        models: what it has accounts for.
        version: 7.2 has no routes below `/api/provider/`, and answers an unknown model with 400, not 502.
        management: whether it has a management key, and so routes for it.
        example_keys: its keys are those of its example file.
    """

    def __init__(
        self,
        *,
        keys: tuple[str, ...] = (),
        models: tuple[str, ...] = ("claude-opus-4-1", "gpt-5.5"),
        version: str = "7.2.140",
        management: bool = True,
        example_keys: bool = False,
        port: int = 0,
    ) -> None:
        super().__init__(self._dispatch, port=port)
        self.keys = keys
        self.models = models
        self.version = version
        self.management = management
        self.example_keys = example_keys
        self.failed_attempts = 0
        """Bad requests to its management that count towards a ban of this machine's address."""
        self.instead: dict[str, Answering] = {}
        """Path → what a test has it do there."""

    @property
    def _is_7_2(self) -> bool:
        return self.version.startswith("7.2")

    async def _dispatch(self, request: Request, reply: Reply) -> None:
        await self.instead.get(request.path, self.answer)(request, reply)

    async def answer(self, request: Request, reply: Reply) -> None:
        """Answer as it does."""
        path = request.path
        if request.method == "OPTIONS":
            # A 204 has no length; Go's server sends none.
            reply.finished = True
            await reply.raw(
                b"HTTP/1.1 204 No Content\r\nAccess-Control-Allow-Origin: *\r\n"
                + f"Access-Control-Expose-Headers: {_EXPOSED}\r\n\r\n".encode()
            )
        elif self.example_keys and path.startswith(("/v1", "/backend-api/codex")):
            body = {"error": "unsafe_example_api_key", "message": "Proxy API endpoints are disabled …"}
            await self._json(reply, 403, body, [("X-CPA-SAFE-MODE", "example-api-key")])
        elif request.method == "HEAD":
            # It has routes for GET alone, but for /healthz.
            reply.finished = True
            status = b"200 OK" if path == "/healthz" else b"404 Not Found"
            await reply.raw(b"HTTP/1.1 " + status + b"\r\nContent-Length: 18\r\n\r\n")
        elif path == "/":
            await self._root(reply)
        elif path == "/healthz":
            await self._json(reply, 200, {"status": "ok"})
        elif path.startswith("/v0/management/"):
            await self._manage(request, reply)
        else:
            await self._served(request, reply)

    async def _root(self, reply: Reply) -> None:
        if self.example_keys:
            await reply.send(
                200, "<!DOCTYPE html><title>Unsafe</title>", self._headers("text/html; charset=utf-8")
            )
            return
        endpoints = ["POST /v1/chat/completions", "POST /v1/completions", "GET /v1/models"]
        await self._json(reply, 200, {"endpoints": endpoints, "message": "CLI Proxy API Server"})

    async def _manage(self, request: Request, reply: Reply) -> None:
        if not self.management:
            await self._no_route(reply)
            return
        headers = [("X-CPA-VERSION", self.version)]
        if request.header("x-forwarded-for") not in (None, "127.0.0.1", "::1"):
            await self._json(reply, 403, {"error": "remote management disabled"}, headers)
            return
        self.failed_attempts += 1
        await self._json(reply, 401, {"error": "missing management key"}, headers)

    async def _served(self, request: Request, reply: Reply) -> None:
        path = request.path
        if _PROVIDER.match(path) and not self._is_7_2:
            path = _PROVIDER.sub("", path, count=1)
        gemini = _GEMINI.fullmatch(path)
        upgrade = path in _WEBSOCKETS and request.method == "GET"
        posted = request.method == "POST" and (path in _POSTS or gemini is not None)
        if not (posted or upgrade or (path == "/v1/models" and request.method == "GET")):
            await self._no_route(reply)
        elif (refusal := self._refusal(request)) is not None:
            await self._json(reply, 401, {"error": refusal})
        elif upgrade:
            await self._upgrade(request, reply)
        elif path == "/v1/models":
            listed = [{"id": name, "object": "model", "owned_by": "someone"} for name in self.models]
            await self._json(reply, 200, {"object": "list", "data": listed})
        else:
            await self._model(request, reply, gemini["model"] if gemini else str(request.json().get("model")))

    def _refusal(self, request: Request) -> str | None:
        given = [request.header(name) or "" for name in _KEY_HEADERS]
        pairs = request.target.partition("?")[2].split("&")
        given += [unquote_plus(pair.partition("=")[2]) for pair in pairs]
        presented = [key.removeprefix("Bearer ") for key in given if key and key != "sse"]
        if not self.keys or set(presented) & set(self.keys):
            return None
        return "Invalid API key" if presented else "Missing API key"

    async def _upgrade(self, request: Request, reply: Reply) -> None:
        if (request.header("upgrade") or "").lower() != "websocket":
            await reply.send(400, "Bad Request\n", self._headers("text/plain; charset=utf-8"))
            return
        nonce = (request.header("sec-websocket-key") or "") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        accept = base64.b64encode(hashlib.sha1(nonce.encode(), usedforsecurity=False).digest()).decode()
        await reply.raw(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            + f"Sec-WebSocket-Accept: {accept}\r\n\r\n".encode()
        )
        await reply.stall()

    async def _model(self, request: Request, reply: Reply, model: str) -> None:
        if model in self.models:
            await self._completion(request, reply, model)
            return
        message, claude = UNKNOWN.format(model=model), request.path.startswith("/v1/messages")
        if not self._is_7_2:
            error = {"message": message, "type": "server_error", "code": "internal_server_error"}
            await self._json(reply, 502, {"error": error})
        elif claude:
            error = {"type": "invalid_request_error", "message": message}
            await self._json(reply, 400, {"type": "error", "error": error})
        else:
            error = {
                "message": message,
                "type": "invalid_request_error",
                "code": "model_not_found",
                "param": "model",
            }
            await self._json(reply, 400, {"error": error})

    async def _completion(self, request: Request, reply: Reply, model: str) -> None:
        if request.json().get("stream"):
            piece = {
                "object": "chat.completion.chunk",
                "model": model,
                "choices": [{"delta": {"content": "hi"}}],
            }
            await reply.events([f"data: {json.dumps(piece)}\n\n", "data: [DONE]\n\n"])
            return
        message = {"role": "assistant", "content": "hi"}
        await self._json(
            reply, 200, {"object": "chat.completion", "model": model, "choices": [{"message": message}]}
        )

    async def _no_route(self, reply: Reply) -> None:
        await reply.send(404, "404 page not found", self._headers("text/plain"))

    async def _json(
        self, reply: Reply, status: int, body: object, headers: list[tuple[str, str]] | None = None
    ) -> None:
        fields = [*self._headers("application/json; charset=utf-8"), *(headers or [])]
        await reply.send(status, json.dumps(body), fields)

    def _headers(self, content_type: str) -> list[tuple[str, str]]:
        fields = [("Access-Control-Allow-Origin", "*"), ("Content-Type", content_type)]
        return [*fields, ("Access-Control-Expose-Headers", _EXPOSED)] if self._is_7_2 else fields
