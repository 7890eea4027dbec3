"""What a real run writes: in JSON, every line an object of the table in logging/fields.py, with its request's id."""

import json
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

from e2e.conftest import Start
from e2e.harness import Client, Stub, hello, settings, until
from litellm_hybrid.observability.log_format import Event, Fields, Line, OfRequest
from support.ports import free_port
from support.processes import Process, mitmdump, serve
from support.servers import Reply
from support.wire import Request

PROGRAM = Path(sys.executable).with_name("litellm-hybrid")
QUOTA = {"error": {"type": "usage_limit_reached", "message": "The usage limit has been reached"}}
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
CONTENT = b'data: {"choices": [{"delta": {"content": "hello"}}]}\n\n'
TRACEPARENT = f"00-{TRACE}-{SPAN}-01"
TRACESTATE = "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"
TYPES = {name: hint for part in (Line, OfRequest, Fields) for name, hint in get_type_hints(part).items()}

type Entry = dict[str, Any]


async def _upstream(request: Request, reply: Reply) -> None:
    if b"exhausted" in request.body:
        await reply.json(429, QUOTA)
    elif b"broken" in request.body:
        await reply.reset()
    elif b"stalls" in request.body:
        await reply.stall()
    elif b"streams" in request.body:
        await reply.events([CONTENT, CONTENT])
    else:
        await hello(request, reply)


async def _litellm(request: Request, reply: Reply) -> None:
    if b"exhausted-too" in request.body:
        await reply.json(500, {"error": {"message": "no money left"}})
    elif b"broken" in request.body:
        await reply.reset()
    else:
        await hello(request, reply)


def _config(litellm: str, **keys: Any) -> dict[str, Any]:
    return settings(
        litellm,
        models=["gpt-5", "gpt-broken"],
        fallback={"enabled": True},
        trusted_proxies=["127.0.0.1"],
        log_format="json",
        **keys,
    )


def _has_type(value: object, hint: object) -> bool:
    kinds = (hint, *get_args(hint))
    return isinstance(value, (int, float) if float in kinds else int if int in kinds else str)


def _entries(output: str) -> list[Entry]:
    """The lines of a log, each checked against the table."""
    entries = [json.loads(line) for line in output.splitlines()]
    for entry in entries:
        assert set(entry) <= set(TYPES), entry
        assert {"time", "level", "logger", "message"} <= set(entry), entry
        assert all(_has_type(value, TYPES[name]) for name, value in entry.items()), entry
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", entry["time"])
        assert ("event" in entry) is (entry["logger"] == "litellm_hybrid"), entry
        assert entry.get("event", "ended") in get_args(Event)
    return entries


# What each request is, and the events that its lines are, in order.
REQUESTS: Mapping[str, tuple[str, str, list[tuple[str, str]], list[str]]] = {
    "routed": ("POST", "gpt-5", [], ["routed", "answered"]),
    "upstream": ("POST", "o3", [], ["answered"]),
    "stream": ("POST", "o3-streams", [], ["answered"]),
    "models": ("GET", "", [], ["answered"]),
    "fallback": ("POST", "exhausted", [], ["fallback", "answered"]),
    "failed": ("POST", "exhausted-too", [], ["fallback", "fallback-failed", "answered"]),
    "litellm-error": ("POST", "gpt-broken", [], ["routed", "error", "answered"]),
    "upstream-error": ("POST", "o3-broken", [], ["error", "answered"]),
    "refused": ("POST", "gpt-5", [("X-Forwarded-For", "192.0.2.7")], ["refused", "answered"]),
    "health": ("GET", "/_hybrid/health", [], []),
}


async def _ask_all(port: int, upstream: Stub, **headers: str) -> None:
    for request_id, (method, model, more, _) in REQUESTS.items():
        client = await Client.connect(port)
        target = model if model.startswith("/") else "/v1/chat/completions"
        body = {"model": model} if method == "POST" else b""
        given = [("X-Request-ID", request_id), *headers.items(), *more]
        await client.ask(method, target, body, given)
        await client.close()
    client = await Client.connect(port)
    given = [("X-Request-ID", "gone"), *headers.items()]
    await client.request("POST", "/v1/messages", {"model": "o3-stalls"}, given)
    await until(lambda: upstream.last.values("x-request-id") == ["gone"])
    await client.close()


def _by_request(entries: list[Entry]) -> Mapping[str, list[Entry]]:
    found: defaultdict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        if entry["logger"] == "litellm_hybrid":
            found[entry.get("request_id", "")].append(entry)
    return found


@pytest.mark.parametrize("program", ["serve", "mitmdump", "two workers"])
async def test_every_line_is_an_object_of_the_table(
    program: str, upstream: Stub, litellm: Stub, tmp_path: Path
) -> None:
    upstream.does, litellm.does = _upstream, _litellm
    config = _config(litellm.url)
    options = ("--workers", "2") if program == "two workers" else ()
    starting = (
        mitmdump(config, upstream.url, tmp_path)
        if program == "mitmdump"
        else serve(config, upstream.url, tmp_path, *options)
    )
    process: Process
    with starting as process:
        up, times = ("listening at", 1) if program == "mitmdump" else ("serving on", 1 + len(options) // 2)
        await until(lambda: process.output().count(up) == times)
        await _ask_all(process.port, upstream, traceparent=TRACEPARENT)
        await until(lambda: '"client-disconnected"' in process.output())
        good = (tmp_path / "config.yaml").read_text()
        (tmp_path / "config.yaml").write_text(good.replace('"models"', '"modles"'))
        await until(lambda: '"config-broken"' in process.output())
        (tmp_path / "config.yaml").write_text(good.replace('"gpt-broken"', '"gpt-other"'))
        await until(lambda: '"config-changed"' in process.output())
        assert process.stop() == 0
        output = process.output()

    first, _, rest = output.partition("\n")
    if program == "mitmdump":
        # The one line from before the file was read.
        assert "Loading script" in first
        output = rest
    entries = _entries(output)
    requests = _by_request(entries)
    for request_id, (*_, events) in REQUESTS.items():
        assert [entry["event"] for entry in requests[request_id]] == events, request_id
    assert [entry["event"] for entry in requests["gone"]] == ["client-disconnected"]
    about = [entry for entry in entries if "request_id" in entry]
    assert all((entry["trace_id"], entry["span_id"]) == (TRACE, SPAN) for entry in about)
    process_events = {entry["event"] for entry in requests[""]}
    assert process_events >= {"config-loaded", "config-broken", "config-changed", "ended"}
    assert ("serving" in process_events) is (program != "mitmdump")


async def test_what_the_answers_line_says(upstream: Stub, litellm: Stub, tmp_path: Path) -> None:
    """Status, reason, size, and how long it took, told by a server that is slow on purpose."""
    litellm.does = hello

    async def slow(_: Request, reply: Reply) -> None:
        await reply.pause(0.2)
        await reply.head(200, {"content-type": "text/event-stream"})
        await reply.chunk(CONTENT)
        await reply.end()

    upstream.does = slow
    with serve(_config(litellm.url), upstream.url, tmp_path) as process:
        for model in ("o3", "gpt-5"):
            client = await Client.connect(process.port)
            answer = await client.post(model, [("X-Request-ID", model)])
            await client.close()
        await until(lambda: process.output().count('"answered"') == 2)
        entries = _by_request(_entries(process.output()))

    (streamed,), (_, whole) = entries["o3"], entries["gpt-5"]
    assert (streamed["status"], streamed["reason"], streamed["target"]) == (200, "not-listed", "upstream")
    assert streamed["duration_ms"] >= streamed["first_byte_ms"] >= 190
    assert "bytes" not in streamed
    assert whole["bytes"] == len(answer.body)


def test_a_port_that_is_taken_is_said_in_json(tmp_path: Path) -> None:
    with serve(_config("http://127.0.0.1:9"), "http://127.0.0.1:10", tmp_path) as process:
        here = f"127.0.0.1:{process.port}"
        command: list[str | Path] = [PROGRAM, "serve", "-c", tmp_path / "config.yaml", "--listen", here]
        done = subprocess.run(
            [*command, "--upstream", "http://127.0.0.1:10"],
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip

    assert done.returncode == 1
    assert done.stderr == ""
    assert any(
        entry["level"] == "error" and f"{here} is taken by process" in entry["message"]
        for entry in _entries(done.stdout)
    )


def test_and_so_is_an_address_that_cannot_be(tmp_path: Path) -> None:
    """The file could be read: its format is known."""
    (tmp_path / "config.yaml").write_text(json.dumps(_config("http://127.0.0.1:9")), encoding="utf-8")
    command: list[str | Path] = [PROGRAM, "serve", "-c", tmp_path / "config.yaml"]
    done = subprocess.run(
        [*command, "--upstream", "http://127.0.0.1:9", "--listen", f"127.0.0.1:{free_port()}"],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip

    assert (done.returncode, done.stderr) == (1, "")
    broken = [entry["message"] for entry in _entries(done.stdout) if entry.get("event") == "config-broken"]
    assert any("is upstream" in message for message in broken)


# -- W3C Trace Context --------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "trace_id"),
    [
        (TRACEPARENT, TRACE),
        (f"cc-{TRACE}-{SPAN}-01-more", TRACE),
        (f"ff-{TRACE}-{SPAN}-01", None),
        (f"00-{'0' * 32}-{SPAN}-01", None),
        ("nonsense", None),
    ],
)
async def test_a_trace_goes_on_unchanged_at_both_servers(
    given: str, trace_id: str | None, start: Start, upstream: Stub, litellm: Stub
) -> None:
    """By route, to upstream, and with a fallback; logged on every line if it is valid."""
    upstream.does, litellm.does = _upstream, _litellm
    proxy = await start(fallback={"enabled": True})
    headers = [("TraceParent", given), ("tracestate", TRACESTATE), ("tracestate", "second=1")]

    for model, servers in (("o3", [upstream]), ("gpt-5", [litellm]), ("exhausted", [upstream, litellm])):
        await proxy.post(model, headers)

        for server in servers:
            assert server.last.values("traceparent") == [given]
            assert server.last.values("tracestate") == [TRACESTATE, "second=1"]
    logged = [line.fields for line in proxy.lines if "request_id" in line.fields]
    assert len(logged) == 5
    assert {fields.get("trace_id") for fields in logged} == {trace_id}
    assert {fields.get("span_id") for fields in logged} == {SPAN if trace_id else None}


async def test_without_a_trace_nothing_is_made_up(start: Start, upstream: Stub, litellm: Stub) -> None:
    proxy = await start()
    for model, server in (("o3", upstream), ("gpt-5", litellm)):
        await proxy.post(model)
        assert server.last.values("traceparent") == server.last.values("tracestate") == []
    assert not any("trace_id" in line.fields for line in proxy.lines)


async def test_two_traceparents_are_passed_on_and_not_logged(start: Start, upstream: Stub) -> None:
    proxy = await start()
    await proxy.post("o3", [("traceparent", TRACEPARENT)] * 2)
    assert upstream.last.values("traceparent") == [TRACEPARENT] * 2
    assert not any("trace_id" in line.fields for line in proxy.lines)
