#!/usr/bin/env python3
"""What scripts/verify-upstream asks: a function for each thing that we rely on, and what it saw.

Each takes an `Upstream`, returns what was seen, and raises `Differs` where that is not as expected,
`NotSeen` where it cannot be told. The facts are from CLIProxyAPI's source, v6.10.9 and v7.2.140.
"""

import json
from dataclasses import dataclass
from http.client import HTTPException
from urllib.parse import quote

from litellm_hybrid.config.settings import Address
from litellm_hybrid.diagnostics import probes
from litellm_hybrid.diagnostics.probes import (
    HeaderFields,
    Probe,
    ProbeResult,
    Program,
    identify,
)
from litellm_hybrid.quota import classifier as quota

MODEL = "litellm-hybrid-no-such-model"
WRONG_KEY = "litellm-hybrid-no-such-key"
LARGE = 8 * 1024 * 1024
REQUEST_ID = "litellm-hybrid-verify"
LIMIT = 15.0
INTRODUCTION = "CLI Proxy API"

CHAT, MESSAGES, RESPONSES = "/v1/chat/completions", "/v1/messages", "/v1/responses"
GEMINI = f"/v1beta/models/{MODEL}"
BY_MODEL = (
    CHAT,
    "/v1/completions",
    MESSAGES,
    "/v1/messages/count_tokens",
    RESPONSES,
    "/v1/responses/compact",
    "/backend-api/codex/responses",
    f"{GEMINI}:generateContent",
    f"{GEMINI}:streamGenerateContent?alt=sse",
)
"""Where requests are routed and replayed by the model that they name."""

WEBSOCKETS = (RESPONSES, "/backend-api/codex/responses")


class NotSeen(Exception):  # noqa: N818  no error
    """It cannot be seen here; the text says what it needs."""


class Differs(Exception):  # noqa: N818
    """It is not as expected; the text says what was seen."""


@dataclass(frozen=True)
class Upstream:
    """The server, and the key that it knows."""

    address: Address
    key: str
    models: tuple[str, ...] | None = None

    def ask(
        self, path: str, method: str = "GET", body: object = None, headers: HeaderFields | None = None
    ) -> ProbeResult:
        """Ask it once; with the key, unless other headers are given."""
        fields = self.fields if headers is None else headers
        content = b"" if body is None else json.dumps(body).encode()
        if content:
            fields = (*fields, ("Content-Type", "application/json"))
        return answered(probes.send(Probe(self.address, path, method, fields, content, LIMIT)))

    def name_model(self, path: str, model: str = MODEL, **more: object) -> ProbeResult:
        """Ask it for a model, unknown if not given."""
        return self.ask(path, "POST", {"model": model, "messages": [], **more})

    @property
    def fields(self) -> HeaderFields:
        """Its key, presented."""
        return (("Authorization", f"Bearer {self.key}"),) if self.key else ()

    @property
    def lets_in(self) -> bool:
        """Whether requests of ours get past its check of keys."""
        return self.models is not None


def answered(seen: ProbeResult) -> ProbeResult:
    """The answer, if there is one."""
    if seen.failure is not None:
        raise Differs(f"no answer: {seen.detail or seen.failure}")
    return seen


def shown(answer: ProbeResult) -> str:
    """An answer in a few words."""
    body = " ".join(answer.body[:120].decode("utf-8", "replace").split())
    return f"{answer.status} {body}".rstrip()


def kind(answer: ProbeResult) -> str:
    """What our own rules take it for."""
    return quota.classify(answer.status, dict(answer.headers), answer.body, now=0.0).kind


def needs_key(upstream: Upstream) -> None:
    """What follows is behind its check of keys."""
    if not upstream.lets_in:
        raise NotSeen("it wants a key: --key")


# -- what we rely on ----------------------------------------------------------


def introduces_itself(upstream: Upstream) -> str:
    """`GET /`."""
    root = upstream.ask("/")
    who, message = identify(root), root.json.get("message") if isinstance(root.json, dict) else None
    if who is not Program.CLIPROXYAPI or not (root.is_page or str(message).startswith(INTRODUCTION)):
        raise Differs(f"{who}: {shown(root)}")
    return "its warning about safe mode" if root.is_page else f"{root.status} {message}"


def refuses_unknown_key(upstream: Upstream) -> str:
    """Its own 401 must not look like a provider's, which falls back."""
    wrong: HeaderFields = (("Authorization", f"Bearer {WRONG_KEY}"),)
    for path in BY_MODEL:
        answer = upstream.ask(path, "POST", {"model": MODEL}, wrong)
        if kind(answer) == "unknown-model":
            raise NotSeen("it has no api-keys and lets everyone in")
        text = answer.json.get("error") if isinstance(answer.json, dict) else None
        if answer.status != 401 or not isinstance(text, str) or kind(answer) != "none":
            raise Differs(f"{path}: {shown(answer)}, taken for {kind(answer)}")
    return '401 {"error": "…"} on every path'


def takes_key(upstream: Upstream) -> str:
    """Each way to present a key."""
    needs_key(upstream)
    if not upstream.key or upstream.ask("/v1/models", headers=()).status == 200:
        raise NotSeen("it has no api-keys, or no --key was given")
    for header in ("Authorization", "X-Goog-Api-Key", "X-Api-Key"):
        if (answer := upstream.ask("/v1/models", headers=((header, upstream.key),))).status != 200:
            raise Differs(f"{header}: {shown(answer)}")
    for parameter in ("key", "auth_token"):
        answer = upstream.ask(f"/v1/models?{parameter}={quote(upstream.key, safe='')}", headers=())
        if answer.status != 200:
            raise Differs(f"?{parameter}=: {shown(answer)}")
    return "200 for each of them"


def lists_models(upstream: Upstream) -> str:
    """`GET /v1/models`."""
    needs_key(upstream)
    return f"{len(upstream.models or ())} models"


def names_unknown_model(upstream: Upstream) -> str:
    """An unknown model is told apart on every path where we route by model."""
    needs_key(upstream)
    statuses = set()
    for path in BY_MODEL:
        answer = upstream.name_model(path)
        if kind(answer) != "unknown-model":
            raise Differs(f"{path}: {shown(answer)}, taken for {kind(answer)}")
        statuses.add(answer.status)
    return f"{' and '.join(map(str, sorted(statuses)))} on {len(BY_MODEL)} paths, taken for unknown-model"


def serves_images(upstream: Upstream) -> str:
    """The path is there."""
    needs_key(upstream)
    answer = upstream.name_model("/v1/images/generations", prompt="none")
    if answer.status == 404 or answer.status < 400:
        raise Differs(shown(answer))
    return f"{answer.status} for an unknown model"


def fails_streams_in_head(upstream: Upstream) -> str:
    """Also with stream: true."""
    needs_key(upstream)
    for path in (CHAT, MESSAGES, RESPONSES):
        answer = upstream.name_model(path, stream=True, input="none")
        if answer.status < 400 or "json" not in answer.header("content-type"):
            raise Differs(f"{path}: {answer.status} {answer.header('content-type')}")
    return "a status, and JSON"


def provider_routes(upstream: Upstream) -> str:
    """Both are fine; which it is decides what `strip-provider-prefix: auto` does."""
    answer = upstream.ask("/api/provider/openai/v1/models")
    if answer.status == 404:
        return "404, as since 7.2: the prefix is stripped"
    if answer.status not in (200, 401):
        raise Differs(shown(answer))
    return f"{answer.status}, as before 7.2: the prefix is left alone"


def no_route(upstream: Upstream) -> str:
    """An unknown path."""
    answer = upstream.ask("/litellm-hybrid/no-such-path")
    if answer.status != 404 or kind(answer) != "none":
        raise Differs(f"{shown(answer)}, taken for {kind(answer)}")
    return shown(answer)


def leaves_request_id(upstream: Upstream) -> str:
    """It has no request id of its own in answers."""
    answer = upstream.ask("/v1/models", headers=(*upstream.fields, ("X-Request-ID", REQUEST_ID)))
    given = answer.header("x-request-id")
    if given not in ("", REQUEST_ID):
        raise Differs(f"it answers with one of its own: {given}")
    return "echoed" if given else "none in its answers"


def keeps_alive(upstream: Upstream) -> str:
    """Two requests on one connection, the first with an error."""
    connection = probes.connect(Probe(upstream.address, "/", within=LIMIT))
    try:
        for _ in range(2):
            connection.request("GET", f"{upstream.address.path}/litellm-hybrid/no-such-path")
            response = connection.getresponse()
            response.read()
            if response.version != 11 or response.will_close:
                raise Differs(
                    f"HTTP version {response.version}, Connection: {response.getheader('connection')}"
                )
    except (OSError, HTTPException) as e:
        raise Differs(f"the second request fails: {probes.failed(e).detail}") from e
    finally:
        connection.close()
    return "two requests on one connection"


def bodiless(upstream: Upstream) -> str:
    """HEAD and OPTIONS are answered without a body: one would be taken for the start of the next answer."""
    found = []
    for method, path in (("HEAD", "/"), ("OPTIONS", CHAT)):
        head, _, rest = _two_answers(upstream, method, path).partition(b"\r\n\r\n")
        status = head.partition(b"\r\n")[0].decode("ascii", "replace").removeprefix("HTTP/1.1 ")
        if not rest.startswith(b"HTTP/1."):
            raise Differs(f"{method} {path}: {status}, and then a body: {rest[:40]!r}")
        found.append(f"{method} {status}")
    return ", ".join(found)


def _two_answers(upstream: Upstream, method: str, path: str) -> bytes:
    """What comes back for this request and another one behind it, as bytes, up to the second one's body."""
    address, received = upstream.address, b""
    connection = probes.connect(Probe(address, path, within=LIMIT))
    lines = (f"{method} {address.path}{path} HTTP/1.1", f"GET {address.path}/healthz HTTP/1.1")
    try:
        connection.connect()
        connection.sock.sendall("".join(f"{line}\r\nHost: {address.host}\r\n\r\n" for line in lines).encode())
        while received.count(b"\r\n\r\n") < 2 and (data := connection.sock.recv(65536)):
            received += data
    except OSError as e:
        raise Differs(f"{method} {path}: {probes.failed(e).detail}") from e
    finally:
        connection.close()
    return received


def takes_large_body(upstream: Upstream) -> str:
    """A long conversation, as long as we read one."""
    needs_key(upstream)
    answer = upstream.name_model(CHAT, padding="x" * LARGE)
    if kind(answer) != "unknown-model":
        raise Differs(shown(answer))
    return f"{LARGE // 1024 // 1024} MB taken"


def upgrades(upstream: Upstream) -> str:
    """Codex's websockets are there."""
    handshake = (
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    )
    wanted = 101 if upstream.lets_in else 401
    for path in WEBSOCKETS:
        answer = upstream.ask(path, headers=(*upstream.fields, *handshake))
        if answer.status != wanted:
            raise Differs(f"{path}: {shown(answer)}, expected {wanted}")
    return f"{wanted} on {' and '.join(WEBSOCKETS)}"


def guards_management(upstream: Upstream) -> str:
    """Asked in the name of an address that nobody has: no attempt counts against a real one."""
    answer = upstream.ask("/v0/management/debug", headers=(("X-Forwarded-For", "192.0.2.1"),))
    version = answer.header("x-cpa-version")
    if answer.status == 404:
        raise NotSeen("its management is off (no secret-key)")
    if answer.status == 401:
        raise NotSeen("allow-remote is on, so remote clients are asked for a key as local ones are")
    if answer.status != 403:
        raise Differs(shown(answer))
    return f"403 {answer.error}" + (f"; it says version {version}" if version else "")


def streams(upstream: Upstream) -> str:
    """One streamed token of a real model."""
    if not upstream.models:
        raise NotSeen("needs --live, and a model in its list")
    messages = [{"role": "user", "content": "Say hi"}]
    body = {"model": upstream.models[0], "max_tokens": 1, "stream": True, "messages": messages}
    answer = upstream.ask(CHAT, "POST", body)
    if answer.status != 200 and kind(answer) != "none":
        raise NotSeen(f"{upstream.models[0]} is not served now: {answer.status}, taken for {kind(answer)}")
    if not answer.header("content-type").startswith("text/event-stream"):
        raise Differs(f"{answer.status} {answer.header('content-type')}")
    if b"data:" not in answer.body or not answer.body.rstrip().endswith(b"data: [DONE]"):
        raise Differs("events without `data:`, or without `data: [DONE]` at their end")
    return f"text/event-stream from {upstream.models[0]}, data: … [DONE]"


def not_live(_upstream: Upstream) -> str:
    """What would cost a token."""
    raise NotSeen("costs a token: --live")


def no_account(_upstream: Upstream) -> str:
    """Known from its source alone."""
    raise NotSeen("cannot be provoked from outside; its words are in tests/corpus/upstream_answers.json")
