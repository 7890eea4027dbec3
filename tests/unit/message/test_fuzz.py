"""What a hostile client or server may send, through whole packages: no exception, no doubt, no time lost.

Each module's own tests have its own fuzz; here are the properties that hold across
modules, and inputs on which anything quadratic would take minutes.
"""

import json
from collections.abc import Callable
from contextlib import suppress
from ipaddress import ip_network
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from litellm_hybrid.config.parser import ConfigError, parse
from litellm_hybrid.config.settings import Patterns, Settings
from litellm_hybrid.fallback import conversations
from litellm_hybrid.fallback.response_hold import JudgedResponse, ResponseHead, needs_inspection
from litellm_hybrid.llm.history import detect_history_rejection, reduce
from litellm_hybrid.message import forwarded, sse
from litellm_hybrid.message.credentials import Headers
from litellm_hybrid.message.forwarded import ClientAddress
from litellm_hybrid.proxy.held_response import HoldDecision
from litellm_hybrid.quota import classifier, retry_after
from litellm_hybrid.routing import paths, requested_model, rules
from litellm_hybrid.routing.paths import Api
from litellm_hybrid.routing.rewrite import Incoming
from litellm_hybrid.routing.rules import Request, Target

NOW = 1_750_000_000.0
KEY = "sk-a-client"
CHAT = "/v1/chat/completions"


def configured(**keys: Any) -> Settings:
    given = {"enabled": True, "base-url": "http://127.0.0.1:4000", "api-key": "sk-ours", "models": ["gpt-5*"]}
    text = json.dumps({"extensions": {"litellm": given | {"client-api-keys": [KEY]} | keys}})
    return parse(text, source="f", env={}).settings


SETTINGS = configured(fallback={"enabled": True})

# -- who is it? -------------------------------------------------------------------------

REMOTE = ["203.0.113.9", "198.51.100.7", "2001:db8::9", "10.1.2.3"]
WORDS = st.sampled_from(
    [
        "127.0.0.1",
        "::1",
        "localhost",
        "::ffff:127.0.0.1",
        "[::1]:80",
        "unknown",
        "for=127.0.0.1",
        "",
        ",",
        *REMOTE,
    ]
) | st.text(max_size=12)
NAMES = st.sampled_from(
    [b"X-Forwarded-For", b"x-forwarded-for", b"Forwarded", b"X-Real-IP", b"Via", b"X-Other"]
)
HEADERS = st.lists(st.tuples(NAMES, WORDS.map(lambda word: word.encode("utf-8", "replace"))), max_size=5).map(
    tuple
)
TRUSTED = (ip_network("127.0.0.0/8"), ip_network("10.0.0.0/8"), ip_network("::1/128"))


@given(
    peer=st.sampled_from(["127.0.0.1", "::1", *REMOTE]) | st.text(max_size=20),
    headers=HEADERS,
    believed=st.booleans(),
)
def test_any_address_and_headers(peer: str, headers: Headers, *, believed: bool) -> None:
    found = forwarded.find(peer, headers, TRUSTED if believed else ())
    kept = forwarded.put(headers, found.ip)
    named = [
        name.lower() for name, _ in kept if name.lower() in (b"x-forwarded-for", b"forwarded", b"x-real-ip")
    ]
    assert named == ([b"x-forwarded-for"] if found.ip else [])
    if not believed:
        assert found.ip == peer


@given(st.sampled_from(REMOTE[:3]), HEADERS)
def test_nothing_makes_a_remote_client_local(peer: str, headers: Headers) -> None:
    assert not forwarded.find(peer, headers, ()).is_loopback
    assert not forwarded.find(peer, headers, TRUSTED).is_loopback


@given(st.sampled_from(REMOTE[:3]), st.lists(WORDS, max_size=4))
def test_what_a_client_writes_before_a_trusted_proxy_counts_for_nothing(
    client: str, made_up: list[str]
) -> None:
    """The proxy appends; the last hop that nobody vouches for is the client."""
    line = ", ".join([*made_up, client]).encode("utf-8", "replace")
    found = forwarded.find("127.0.0.1", ((b"X-Forwarded-For", line),), TRUSTED)
    assert found == ClientAddress(client, is_loopback=False)


# -- what becomes of it? -------------------------------------------------------------------

METHODS = st.sampled_from(["POST", "GET", "post", "CONNECT", ""]) | st.text(max_size=5)
PATHS = (
    st.sampled_from(
        [CHAT, "/v1/messages", "/v1beta/models/gpt-5:countTokens", "/v0/management/config", "/v1/responses"]
    )
    | st.text(max_size=30)
    | st.lists(
        st.sampled_from(["/", "..", ".", "%2e", "%2F", "v0", "management", "models", "gpt-5", ":x"])
    ).map("".join)
)
FIELDS = st.lists(
    st.tuples(
        st.sampled_from(
            [
                b"Authorization",
                b"x-api-key",
                b"Origin",
                b"Upgrade",
                b"Via",
                b"Content-Type",
                b"Content-Encoding",
            ]
        ),
        st.sampled_from(
            [
                b"Bearer " + KEY.encode(),
                b"x",
                b"websocket",
                b"application/json",
                b"gzip",
                b"1.1 litellm-hybrid",
            ]
        )
        | st.binary(max_size=20),
    ),
    max_size=5,
).map(tuple)
BODIES = (
    st.sampled_from(
        [b'{"model":"gpt-5"}', b'{"model":"gpt-5(high)","previous_response_id":"r"}', b'{"model":[1]}', b""]
    )
    | st.binary(max_size=60)
    | st.dictionaries(st.sampled_from(["model", "agent", "x"]), st.text(max_size=8)).map(
        lambda d: json.dumps(d).encode()
    )
)


@settings(max_examples=300)
@given(
    METHODS,
    PATHS,
    st.text(max_size=20),
    FIELDS,
    BODIES,
    st.sampled_from(["127.0.0.1", *REMOTE]),
    st.text(max_size=10),
)
def test_any_request_gets_one_decision(
    method: str, path: str, query: str, fields: Headers, body: bytes, ip: str, host: str
) -> None:
    """And the LiteLLM key is spent for nobody but this machine's programs and who has a key."""
    address = ClientAddress(ip, is_loopback=ip == "127.0.0.1")
    request = Request(method, Incoming(path, query, fields, body), address, host)

    routed = rules.route(SETTINGS, request)

    assert rules.route(SETTINGS, request) == routed
    if routed.route.target is Target.LITELLM and routed.refusal is None:
        assert KEY in request.keys or address.is_loopback
    if paths.exposure("GET", path) is paths.Exposure.NOBODY and not address.is_loopback:
        assert routed.refusal is not None


@given(FIELDS, st.lists(st.text(max_size=9), max_size=2), st.binary(max_size=80) | BODIES)
def test_any_conversation(fields: Headers, keys: list[str], body: bytes) -> None:
    found = conversations.key(fields, keys, body)
    assert found is None or len(found) == 32


# -- what does an answer mean? ---------------------------------------------------------------

EVENTS = st.lists(
    st.sampled_from(
        [
            b": comment\n\n",
            b'event: message_start\ndata: {"type":"message_start"}\n\n',
            b'data: {"type":"response.created"}\r\n\r\n',
            b'event: ping\rdata: {"type":"ping"}\r\r',
            b'data: {"error":{"message":"You exceeded your current quota","code":"insufficient_quota"}}\n\n',
            b'data: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n',
            b'data: {"choices":[{"delta":{"content":"error"}}]}\n\n',
            b"data: \xff\xfe\n\n",
            b"\n\n\n",
            b"data\n",
            b"data: [DONE]\n\n",
            b"event: error\n",
            b"\xef\xbb\xbf",
        ]
    )
    | st.binary(max_size=12),
    max_size=8,
).map(b"".join)


def held(status: int, kind: str) -> JudgedResponse:
    return JudgedResponse(
        ResponseHead(status, {"content-type": kind}),
        since=0,
        hold_max=9,
        fails=lambda verdict: verdict.kind != "none",
    )


def decided(status: int, kind: str, body: bytes, bounds: list[int]) -> tuple[str | None, bool]:
    """What an answer is taken for, cut so: the kind of its failure, and whether it went to the client early."""
    one = held(status, kind)
    for start, end in pairwise(bounds):
        if one.feed(body[start:end], now=NOW, clock=0) is HoldDecision.RELEASE:
            return None, True
        if one.verdict is not None:
            return one.verdict.kind, False
    one.end(now=NOW)
    return (one.verdict.kind if one.verdict else None), False


@settings(max_examples=300)
@given(
    st.sampled_from([200, 200, 200, 429, 500]),
    st.sampled_from(["text/event-stream", "application/json"]),
    EVENTS,
    st.lists(st.integers(0, 300), max_size=12),
)
def test_where_an_answer_is_cut_decides_nothing(status: int, kind: str, body: bytes, cuts: list[int]) -> None:
    assert needs_inspection(ResponseHead(status, {"content-type": kind}))
    bounds = [0, *sorted(cut for cut in cuts if cut < len(body)), len(body)]
    whole = decided(status, kind, body, [0, len(body)])
    assert decided(status, kind, body, bounds) == whole
    assert decided(status, kind, body, list(range(len(body) + 1))) == whole


# -- time ------------------------------------------------------------------------------------

SIZE = 1_000_000


def _many(piece: bytes) -> bytes:
    return piece * (SIZE // len(piece))


_TURN = b'{"role":"user","content":"x"},'
HOSTILE = {
    "blanks in a text": b'{"model":"m","messages":[{"role":"user","content":"' + _many(b" ") + b'"}]}',
    "blanks between members": b'{"model":"m","messages":[{"role":"user",' + _many(b" ") + b'"content":"x"}]}',
    "blanks at the end": b'{"model":"m","messages":[]}' + _many(b" "),
    "commas and blanks": b'{"model":"m","input":[{"role":"user","content":"' + _many(b" , ") + b'"}]}',
    "line ends": b'{"model":"m","contents":[{"role":"user","parts":[{"text":"' + _many(b"\\n") + b'"}]}]}',
    "backslashes": b'{"model":"m","messages":[{"role":"user","content":"' + _many(b"\\\\") + b'"}]}',
    "half emojis": b'{"model":"m","messages":[{"role":"user","content":"' + _many(b"\\ud83d") + b'"}]}',
    "cache marks": b'{"model":"m","messages":[{"role":"user","content":"'
    + _many(rb"\"cache_control\":{")
    + b'"}]}',
    "cache marks without an end": b'{"model":"m","messages":[{"role":"user",'
    + _many(b'"cache_control" : {')
    + b"}]}",
    "many turns": b'{"model":"m","messages":[' + _many(_TURN) + _TURN[:-1] + b"]}",
    "many turns without a role": b'{"model":"m","messages":[' + _many(b"{},") + b"{}]}",
    "many items": b'{"model":"m","input":[' + _many(b'{"type":"reasoning","id":"rs_1"},') + b"{}]}",
    "many parts": b'{"model":"m","contents":[{"parts":[' + _many(b'{"thought":true,"text":"x"},') + b"{}]}]}",
    "many members": b"{" + b",".join(b'"k%d":1' % number for number in range(SIZE // 12)) + b',"model":"m"}',
    "the same member": b"{" + _many(b'"model":"a",') + b'"model":"m"}',
    "a long name": b'{"model":"' + _many(b"a(") + b'"}',
    "deep": b'{"messages":' + _many(b"[") + b"}",
    "an error of blanks": b'{"error":{"message":"' + _many(b"try again in ") + b'"}}',
    "an error in an error": b'{"error":{"message":"' + _many(rb"{\"error\":") + b'"}}',
    "no JSON": _many(b"\xff{"),
}


def _whole_way(body: bytes) -> object:
    fields = ((b"Content-Type", b"application/json"),)
    request = Request(
        "POST", Incoming(CHAT, "", fields, body), ClientAddress("127.0.0.1", is_loopback=True), ""
    )
    return rules.route(SETTINGS, request)


READERS: dict[str, Callable[[bytes], object]] = {
    "decision": _whole_way,
    "model name": lambda body: requested_model.read(CHAT, "application/json", "", body),
    "conversation": lambda body: conversations.key((), (), body),
    "history, chat": lambda body: reduce(body, Api.CHAT),
    "history, messages": lambda body: reduce(body, Api.MESSAGES),
    "history, responses": lambda body: reduce(body, Api.RESPONSES),
    "history, generateContent": lambda body: reduce(body, Api.GENERATE_CONTENT),
    "rejection": lambda body: detect_history_rejection(400, body),
    "quota": lambda body: classifier.classify(429, {"content-type": "application/json"}, body, now=NOW),
    "quota, 200": lambda body: classifier.classify(200, {"content-type": "application/json"}, body, now=NOW),
    "events": lambda body: sse.EventReader().feed(body),
    "wait": lambda body: retry_after.retry_after({}, (), (body.decode("latin-1"),), now=NOW),
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE)
def test_time_is_linear_in_the_size(reader: str, body: bytes) -> None:
    READERS[reader](body)


STREAMS = {
    "one line": b"data: " + _many(b"x"),
    "line ends": _many(b"\n"),
    "carriage returns": _many(b"\r"),
    "comments": _many(b":\n"),
    "empty fields": _many(b"data\n"),
    "pings": _many(b'event: ping\ndata: {"type":"ping"}\n\n'),
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("stream", STREAMS.values(), ids=STREAMS)
def test_a_stream_in_small_pieces_takes_linear_time(stream: bytes) -> None:
    reader = sse.EventReader()
    for start in range(0, len(stream), 7):
        reader.feed(stream[start : start + 7])


NAMES_OF_HEADERS = {
    "hops": b"127.0.0.1," * 20_000,
    "brackets": b"[" * 200_000,
    "colons": b":" * 200_000,
    "blanks": b" " * 200_000,
    "digits": b"9" * 200_000,
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("value", NAMES_OF_HEADERS.values(), ids=NAMES_OF_HEADERS)
def test_a_long_header_takes_linear_time(value: bytes) -> None:
    forwarded.find("127.0.0.1", ((b"X-Forwarded-For", value),), TRUSTED)
    fields = ((b"Authorization", value), (b"Via", value), (b"Upgrade", value), (b"Content-Encoding", value))
    request = Request(
        "POST", Incoming(CHAT, value.decode(), fields, b"{}"), ClientAddress("", is_loopback=False), ""
    )
    rules.route(SETTINGS, request)


@pytest.mark.timeout(60)
def test_a_glob_takes_no_exponential_time() -> None:
    stars = Patterns(["*a" * 30 + "b", "?" * 30 + "*" * 30 + "x"])
    assert stars.match("a" * 20_000) is None


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "text",
    [
        "litellm-models: [" + "x, " * 20_000 + "x]",
        "extensions: " + "[" * 3_000,
        "a: &a [x]\n" + "".join(f"b{n}: &b{n} [*a, *a]\n" for n in range(2_000)),
        "".join(f"k{n}: &k{n} [{f'*k{n - 1}, ' * 9 if n else ''}]\n" for n in range(9)),
        "litellm-api-key: " + "${" * 20_000,
        "litellm-api-key: '" + "x" * 500_000 + "'",
        "#" * 500_000,
    ],
    ids=["models", "deep", "anchors", "laughs", "variables", "long", "comment"],
)
def test_a_hostile_file_takes_no_quadratic_time(text: str) -> None:
    with suppress(ConfigError):
        parse(text, source="f", env={})
