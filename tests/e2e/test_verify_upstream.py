"""scripts/verify-upstream against a stand-in for CLIProxyAPI, and against ones that break what we rely on."""

import os
import re
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from e2e.tls import self_signed_context
from support.cliproxyapi import CLIProxyAPI
from support.ports import free_port
from support.processes import ROOT
from support.servers import Reply, Server, in_thread
from support.wire import Request

KEY = "sk-key-of-a-cliproxyapi-client"
WAYS = "a key is taken from Authorization, X-Goog-Api-Key, X-Api-Key, ?key= and ?auth_token="
PROGRAM = ROOT / "scripts" / "verify_upstream.py"

type Breaks = Callable[[Request, Reply], Awaitable[None]]


def verify(url: str, *args: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, PROGRAM, url, *args],
        capture_output=True,
        encoding="utf-8",
        timeout=100,
        check=False,
        env=os.environ | {"PYTHONIOENCODING": "utf-8"} | (env or {}),
    )


def states(output: str) -> dict[str, str]:
    """Expectation → ok, not seen or DIFFERS."""
    rows = [line for line in output.splitlines() if line.startswith(("ok ", "not seen ", "DIFFERS "))]
    return {line[10:]: line[:10].strip() for line in rows}


@pytest.mark.parametrize(
    ("version", "unknown", "routes"),
    [("7.2.140", "400 on 9 paths", "404, as since 7.2"), ("6.10.9", "502 on 9 paths", "200, as before 7.2")],
)
def test_it_is_content_with_cliproxyapi(version: str, unknown: str, routes: str) -> None:
    server = CLIProxyAPI(keys=(KEY,), version=version)
    with in_thread(server):
        done = verify(server.url, "--key", KEY)
    assert (done.returncode, done.stderr) == (0, "")
    found = states(done.stdout)
    assert [text for text, state in found.items() if state == "not seen"] == [
        "no account left is 503 auth_unavailable",
        "a stream is text/event-stream",
    ]
    assert "DIFFERS" not in found.values()
    assert unknown in done.stdout
    assert routes in done.stdout
    assert f"it says version {version}" in done.stdout
    assert KEY not in done.stdout


def test_it_spends_nothing_and_counts_towards_no_ban() -> None:
    server = CLIProxyAPI(keys=(KEY,))
    with in_thread(server):
        verify(server.url, env={"HYBRID_CLIENT_KEY": KEY})
        named = [request.json()["model"] for request in server.requests if request.body]
        assert server.failed_attempts == 0
    assert named
    assert not set(named) & set(server.models)


def test_live_asks_one_real_model_for_one_token() -> None:
    server = CLIProxyAPI(keys=(KEY,))
    with in_thread(server):
        done = verify(server.url, "--key", KEY, "--live")
        asked = [request.json() for request in server.requests if request.body]
    real = [body for body in asked if body["model"] in server.models]
    assert [(body["max_tokens"], body["stream"]) for body in real] == [(1, True)]
    assert states(done.stdout)["a stream is text/event-stream"] == "ok"


def test_without_a_key_it_says_what_it_could_not_see() -> None:
    server = CLIProxyAPI(keys=(KEY,))
    with in_thread(server):
        done = verify(server.url, env={"HYBRID_CLIENT_KEY": ""})
    found = states(done.stdout)
    assert done.returncode == 0
    assert found["an unknown key is refused with a plain string"] == "ok"
    assert found["an unknown model is an error of its own, on every path"] == "not seen"
    assert "seen: it wants a key: --key" in done.stdout


def test_a_server_without_keys_is_checked_behind_them() -> None:
    server = CLIProxyAPI()
    with in_thread(server):
        found = states(verify(server.url, env={"HYBRID_CLIENT_KEY": ""}).stdout)
    assert found["an unknown key is refused with a plain string"] == "not seen"
    assert found["an unknown model is an error of its own, on every path"] == "ok"


def test_management_that_is_off_is_not_held_against_it() -> None:
    server = CLIProxyAPI(keys=(KEY,), management=False)
    with in_thread(server):
        done = verify(server.url, "--key", KEY)
    assert done.returncode == 0
    assert "seen: its management is off" in done.stdout


def json_reply(status: int, value: object, headers: dict[str, str] | None = None) -> Breaks:
    async def reply_with(_request: Request, reply: Reply) -> None:
        await reply.json(status, value, headers or {})

    return reply_with


async def closes(_request: Request, reply: Reply) -> None:
    await reply.send(404, "404 page not found", {"connection": "close"})
    await reply.close()


async def body_for_head(request: Request, reply: Reply) -> None:
    """A body behind the answer to HEAD, and a good answer to anything else."""
    if request.method == "HEAD":
        await reply.send(200, "not to be here")
    else:
        await reply.json(200, {"message": "CLI Proxy API Server"})


async def large_is_too_large(request: Request, reply: Reply) -> None:
    if len(request.body) > 1_000_000:
        await reply.json(413, {"error": {"message": "too large"}})
        return
    status, error = (
        (401, "Invalid API key") if b"no-such-key" in str(request.headers).encode() else (400, None)
    )
    unknown = {
        "message": "unknown provider for model x",
        "type": "invalid_request_error",
        "code": "model_not_found",
    }
    await reply.json(status, {"error": error or unknown})


async def error_as_event(request: Request, reply: Reply) -> None:
    if b"no-such-key" in str(request.headers).encode():
        await reply.json(401, {"error": "Invalid API key"})
    elif request.body and request.json().get("stream"):
        await reply.events(['data: {"error": {"message": "unknown provider for model x"}}\n\n'])
    else:
        await reply.json(
            400, {"error": {"message": "unknown provider for model x", "code": "model_not_found"}}
        )


PROVIDERS_401 = {
    "error": {"message": "Invalid API key", "type": "authentication_error", "code": "invalid_api_key"}
}
CHAT = "/v1/chat/completions"


@pytest.mark.parametrize(
    ("path", "breaks", "expectation"),
    [
        (
            "/",
            json_reply(200, {"message": "Other"}),
            "`GET /` says CLI Proxy API Server",
        ),
        (
            CHAT,
            json_reply(401, PROVIDERS_401),
            "an unknown key is refused with a plain string",
        ),
        (
            "/v1/messages",
            json_reply(404, {"error": "no such path"}),
            "an unknown model is an error of its own, on every path",
        ),
        (
            "/v1/images/generations",
            json_reply(404, {}),
            "`POST /v1/images/generations` is served",
        ),
        (CHAT, error_as_event, "a failing stream fails in its head"),
        (
            "/api/provider/openai/v1/models",
            json_reply(500, {}),
            "`/api/provider/…` is served, or is 404",
        ),
        (
            "/litellm-hybrid/no-such-path",
            json_reply(200, {"error": "no"}),
            "an unknown path is a plain 404",
        ),
        ("/litellm-hybrid/no-such-path", closes, "HTTP/1.1 connections are kept"),
        ("/", body_for_head, "HEAD and OPTIONS have no body"),
        (CHAT, large_is_too_large, "a body of 8 MB is taken"),
        (
            "/backend-api/codex/responses",
            json_reply(404, {}),
            "a websocket opens on Codex's paths",
        ),
        (
            "/v0/management/debug",
            json_reply(200, {"debug": False}),
            "management believes X-Forwarded-For, and is closed to others",
        ),
        (
            "/v1/models",
            json_reply(200, {"data": [{"id": "m"}]}, {"x-request-id": "its-own"}),
            "it sends no X-Request-ID of its own",
        ),
    ],
)
def test_what_differs_is_told_with_the_module_to_change(path: str, breaks: Breaks, expectation: str) -> None:
    server = CLIProxyAPI(keys=(KEY,))
    server.instead[path] = breaks
    with in_thread(server):
        done = verify(server.url, "--key", KEY)
    assert done.returncode == 1
    assert states(done.stdout)[expectation] == "DIFFERS"
    (_, told), *_ = [
        (index, done.stdout.splitlines()[index + 2])
        for index, line in enumerate(done.stdout.splitlines())
        if line == f"DIFFERS   {expectation}"
    ]
    assert told.startswith("          means: ")
    named = re.findall(r"\b[a-z_]+/(?:[a-z_/]+\.py)?", told)
    assert [name for name in named if not (ROOT / "addon" / "litellm_hybrid" / name).exists()] == []


def test_a_way_to_present_a_key_that_it_no_longer_takes_differs() -> None:
    class WithoutQueryKeys(CLIProxyAPI):
        async def answer(self, request: Request, reply: Reply) -> None:
            request.target = request.path
            await super().answer(request, reply)

    server = WithoutQueryKeys(keys=(KEY,))
    with in_thread(server):
        done = verify(server.url, "--key", KEY)
    assert done.returncode == 1
    assert "seen: ?key=: 401" in done.stdout
    assert "means: we look for client keys where it does not" in done.stdout


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        ((f"http://127.0.0.1:{free_port()}",), 1, "nothing answers at"),
        (("ftp://x",), 2, "URL: it must start with http:// or https://"),
        ((), 2, "required: URL"),
    ],
)
def test_without_a_server_it_says_so(args: tuple[str, ...], code: int, words: str) -> None:
    done = verify(*args) if args else verify("--live")
    assert (done.returncode, words in done.stderr) == (code, True), done.stderr
    assert "Traceback" not in done.stderr


def test_safe_mode_an_empty_upstream_and_a_self_signed_certificate_are_called_what_they_are(
    tmp_path: Path,
) -> None:
    with in_thread(CLIProxyAPI(keys=(KEY,), example_keys=True)) as server:
        done = verify(server.url, "--key", KEY)
    assert (done.returncode, "it is in safe mode" in done.stderr) == (1, True), done.stderr
    with in_thread(CLIProxyAPI(keys=(KEY,), models=())) as server:
        done = verify(server.url, "--key", KEY)
    assert done.stdout.startswith("it lists no model: it has no account")

    async def hello(_request: Request, reply: Reply) -> None:
        await reply.json(200, {})

    with in_thread(Server(hello, tls=self_signed_context(tmp_path))) as secure:
        done = verify(f"https://127.0.0.1:{secure.port}")
    assert (done.returncode, "self-signed certificate" in done.stderr) == (1, True), done.stderr


def test_a_wrong_key_is_told_at_once() -> None:
    server = CLIProxyAPI(keys=(KEY,))
    with in_thread(server):
        done = verify(server.url, "--key", "sk-another-key")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "verify-upstream: it does not know this key: Invalid API key\n"


@pytest.mark.parametrize("key", [f"{KEY}\r", f" {KEY}\n"])
def test_blanks_around_a_key_are_no_part_of_it(key: str) -> None:
    """As a file with Windows' line ends leaves them."""
    server = CLIProxyAPI(keys=(KEY,))
    with in_thread(server):
        done = verify(server.url, env={"HYBRID_CLIENT_KEY": key})
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("inside", ["\r", "\x1b", " ", "é", "\r\nX-Other: x"])
def test_a_key_that_no_header_takes_is_refused_and_not_repeated(inside: str) -> None:
    done = verify("http://127.0.0.1:9", env={"HYBRID_CLIENT_KEY": f"sk-first{inside}second"})
    assert (done.returncode, done.stdout) == (2, "")
    assert "--key: it must be of visible ASCII characters alone" in done.stderr
    assert "Traceback" not in done.stderr
    assert "first" not in done.stderr
    assert "second" not in done.stderr


def test_every_character_of_a_key_survives_a_query() -> None:
    key = "sk-a+b&c=d%41/e#f?g"
    server = CLIProxyAPI(keys=(key,))
    with in_thread(server):
        done = verify(server.url, "--key", key)
    assert states(done.stdout)[WAYS] == "ok"


def test_what_a_server_says_is_harmless() -> None:
    """Neither its control characters nor a key that it repeats reach the terminal."""

    async def repeats(_request: Request, reply: Reply) -> None:
        await reply.json(401, {"error": f"\x1b[31mno such key: {KEY}\r\nok"})

    server = CLIProxyAPI(keys=("sk-another-key",))
    server.instead["/v1/models"] = repeats
    with in_thread(server):
        done = verify(server.url, "--key", KEY)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("verify-upstream: it does not know this key: ")
    assert done.stderr.count("\n") == 1
    assert "no such key: ***" in done.stderr
    assert "\x1b" not in done.stderr
    assert KEY not in done.stderr


def test_the_script_starts_it(tmp_path: Path) -> None:
    """From another folder, as people do."""
    server = CLIProxyAPI()
    with in_thread(server):
        done = subprocess.run(
            [ROOT / "scripts" / "verify-upstream", server.url],
            cwd=tmp_path,
            capture_output=True,
            timeout=100,
            check=False,
        )
    assert done.returncode == 0, done.stderr
