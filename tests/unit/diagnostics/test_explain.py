"""`explain` says what the addon does: the same reason, the same request, and a fix that is complete."""

import gzip
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from litellm_hybrid.config.parser import parse
from litellm_hybrid.config.settings import DEFAULT_FALLBACK_KINDS, Fallback, Patterns, Settings
from litellm_hybrid.diagnostics import remedies
from litellm_hybrid.diagnostics.explain import Explanation, explain, nearest
from litellm_hybrid.diagnostics.reasons import REASONS
from litellm_hybrid.diagnostics.remedies import UpstreamResponse
from litellm_hybrid.fallback import response_hold
from litellm_hybrid.message.credentials import redact_as_text, redact_target
from litellm_hybrid.message.forwarded import ClientAddress, is_loopback
from litellm_hybrid.routing.rewrite import Incoming
from litellm_hybrid.routing.rules import Reason, Request, Target, route

if TYPE_CHECKING:
    from mitmproxy.http import HTTPFlow

API_KEY = "sk-key-of-litellm"
CLIENT_KEY = "sk-key-of-a-client"
CHAT = "/v1/chat/completions"
GPT5 = b'{"model": "gpt-5"}'
JSON = {"content-type": "application/json"}

OFF = "base-url: http://127.0.0.1:4000\napi-key: " + API_KEY + "\n"
ON = OFF + "enabled: true\nmodels: [Claude-X, openrouter/*, gpt-5-mini]\n"
FALLBACK = OFF + "fallback: {enabled: true}\n"
EXCEPT = OFF + "fallback: {enabled: true, except: [gpt-*]}\n"
ONLY_CLAUDE = OFF + "fallback: {enabled: true, models: [claude*]}\n"
NO_KEY = "enabled: true\nbase-url: http://127.0.0.1:4000\nmodels: [gpt-5]\n"


def settings_of(text: str) -> Settings:
    indented = "".join(f"    {line}\n" for line in text.splitlines())
    return parse(f"extensions:\n  litellm:\n{indented}", source="config.yaml", env={}).settings


def request_of(
    method: str = "POST",
    target: str = CHAT,
    body: bytes = GPT5,
    headers: tuple[tuple[bytes, bytes], ...] = (),
    ip: str = "127.0.0.1",
) -> Request:
    path, _, query = target.partition("?")
    sent = Incoming(path, query, ((b"Host", b"localhost"), *headers), body)
    return Request(method, sent, ClientAddress(ip, is_loopback(ip)), sent.header(b"host"))


def response_of(status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> UpstreamResponse:
    return UpstreamResponse(response_hold.ResponseHead(status, JSON if headers is None else headers), body)


QUOTA = response_of(429, b'{"error": {"code": "model_cooldown", "reset_seconds": 42}}')
LONG_OPENING = b'data: {"type": "ping"}\n\n' * (response_hold.OPENING_MOST // 20)
ORIGIN = (b"Origin", b"http://evil.example")


@dataclass(frozen=True)
class Case:
    reason: Reason
    fix: tuple[str, ...]
    settings: str = ON
    request: Request = field(default_factory=request_of)
    response: UpstreamResponse | None = None


LIST_GPT5 = 'add "gpt-5" to `models`, or set `passthrough-mode: true`'
HERE = "or come from this machine, with a loopback Host and without Origin"
ALLOW = f"set `client-api-keys` and send one of them, {HERE}"
MAPPED_ONLY = "`model-mappings` has it, but a mapping alone does not route"
DEFAULT_KINDS = "quota, overload, no-credential, login, account, no-answer"
FALL_BACK = "set `fallback.enabled: true`"
KEY = "set `api-key` (`none` for a LiteLLM without keys)"
BASE_URL = "set `base-url` to LiteLLM's address, for example http://127.0.0.1:4000"
ENABLE = "set `enabled: true`"

CASES = [
    Case(Reason.MODEL, (), request=request_of(body=b'{"model": "claude-x(high)"}')),
    Case(Reason.PASSTHROUGH, (), OFF + "enabled: true\npassthrough-mode: true\n"),
    Case(Reason.DISABLED, (f"{ENABLE}; {BASE_URL}; {LIST_GPT5}",), ""),
    Case(Reason.DISABLED, (f"{ENABLE}; {LIST_GPT5}",), OFF),
    Case(Reason.NOT_LISTED, (), FALLBACK),
    Case(Reason.NOT_LISTED, ("take gpt-* out of `fallback.except`",), EXCEPT),
    Case(Reason.DISABLED, (f"{ENABLE}; {LIST_GPT5}; {ALLOW}",), OFF, request_of(headers=(ORIGIN,))),
    Case(Reason.NO_BASE_URL, (BASE_URL,), "enabled: true\nmodels: [gpt-5]\n"),
    Case(Reason.NOT_LISTED, (LIST_GPT5,)),
    Case(
        Reason.NOT_LISTED,
        ('add "GPT-5" to `models`, or set `passthrough-mode: true`',),
        request=request_of(body=b'{"model": " GPT-5(high) "}'),
    ),
    Case(
        Reason.NOT_POST,
        (f"send it as POST: LiteLLM gets nothing else, and this is PUT; {LIST_GPT5}",),
        request=request_of("PUT"),
    ),
    Case(
        Reason.NOT_POST,
        ("nothing to do: a GET asks no model, and a list of models is upstream's",),
        request=request_of("GET", "/v1/models", b""),
    ),
    Case(
        Reason.NO_MODEL,
        (REASONS[Reason.NO_MODEL].fix,),
        request=request_of(body=b"{}"),
    ),
    Case(
        Reason.UNREADABLE_BODY,
        ("send a body that can be read, JSON or a form (unknown content coding 'rot13')",),
        request=request_of(headers=((b"Content-Encoding", b"rot13"),), body=b"x"),
    ),
    Case(
        Reason.NEVER_REROUTE,
        ("nothing helps: only upstream can serve this path",),
        request=request_of(target="/v1internal:generateContent"),
    ),
    Case(
        Reason.NEVER_REROUTE,
        ("break the loop: LiteLLM sends what it gets back to this proxy; give it another api_base",),
        request=request_of(headers=((b"Via", b"1.1 litellm-hybrid"),)),
    ),
    Case(
        Reason.NEVER_REROUTE,
        ("send no `agent`: it lives on upstream's account, and only `model` can be routed",),
        request=request_of(target="/v1beta/interactions", body=b'{"agent": "a", "model": "gpt-5"}'),
    ),
    Case(
        Reason.WEBSOCKET,
        ("nothing to do: answered with 426, Codex sends the same as a POST, which is routed",),
        request=request_of("GET", "/v1/responses", b"", ((b"Upgrade", b"WebSocket"),)),
    ),
    Case(
        Reason.WEBSOCKET,
        ("use HTTP: a websocket is never routed; `websocket: downgrade` makes Codex do so",),
        ON + "websocket: pass\n",
        request_of("GET", "/v1/responses", b"", ((b"Upgrade", b"websocket"),)),
    ),
    Case(
        Reason.WEBSOCKET,
        ("use HTTP: a websocket is never routed",),
        request=request_of("GET", "/other", b"", ((b"Upgrade", b"websocket"),)),
    ),
    Case(
        Reason.STATEFUL,
        (f"{ENABLE}; {LIST_GPT5}", remedies.WHOLE_CONVERSATION),
        FALLBACK,
        request_of(body=b'{"model": "gpt-5", "previous_response_id": "r"}'),
        QUOTA,
    ),
    Case(Reason.REFUSED, (ALLOW,), request=request_of(body=b'{"model": "claude-x"}', headers=(ORIGIN,))),
    Case(
        Reason.REFUSED,
        ("send one of the keys in `client-api-keys`",),
        ON + f"client-api-keys: [{CLIENT_KEY}]\n",
        request_of(
            body=b'{"model": "claude-x"}', ip="10.0.0.9", headers=((b"x-api-key", b"sk-another-key"),)
        ),
    ),
    # with a response of upstream's
    Case(Reason.FALLBACK, (), FALLBACK, response=QUOTA),
    Case(
        Reason.FALLBACK_FAILED,
        (ALLOW,),
        FALLBACK,
        request_of(headers=(ORIGIN,)),
        QUOTA,
    ),
    Case(Reason.NOT_LISTED, (LIST_GPT5, FALL_BACK), ON, response=QUOTA),
    Case(
        Reason.NOT_LISTED,
        (LIST_GPT5, f"{FALL_BACK}; {KEY}"),
        NO_KEY.replace("gpt-5", "other"),
        response=QUOTA,
    ),
    Case(
        Reason.DISABLED,
        (
            f"{ENABLE}; {BASE_URL}; {LIST_GPT5}",
            f"{FALL_BACK}; {BASE_URL}; {KEY}; {ALLOW}",
        ),
        "",
        request_of(headers=(ORIGIN,)),
        QUOTA,
    ),
    Case(
        Reason.EXCEPTED,
        ("take gpt-* out of `fallback.except`",),
        EXCEPT,
        response=QUOTA,
    ),
    Case(
        Reason.EXCEPTED,
        ('add "gpt-5" to `fallback.models`',),
        ONLY_CLAUDE,
        response=QUOTA,
    ),
    Case(
        Reason.NOT_LISTED,
        ("add server-error to `fallback.on`",),
        FALLBACK,
        response=response_of(500),
    ),
    # responses that nothing can get replayed
    Case(
        Reason.NOT_LISTED,
        (),
        FALLBACK,
        response=response_of(200, b'{"choices": [{"message": {"content": "x"}}]}'),
    ),
    Case(
        Reason.NOT_LISTED,
        (),
        FALLBACK,
        response=response_of(400, b"x", {"content-encoding": "gzip"}),
    ),
    Case(
        Reason.NOT_LISTED,
        (),
        FALLBACK,
        response=response_of(
            200, LONG_OPENING + b"data: " + QUOTA.body, {"content-type": "text/event-stream"}
        ),
    ),
    Case(
        Reason.NOT_LISTED,
        (),
        FALLBACK,
        response=response_of(200, QUOTA.body, {"content-type": "text/html"}),
    ),
    Case(Reason.MODEL, (), request=request_of(body=b'{"model": "claude-x"}'), response=QUOTA),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.reason.value)
def test_every_reason_and_how_to_get_it_to_litellm(case: Case) -> None:
    """The reason, and the fixes in the order: at once, by fallback."""
    explanation = explain(settings_of(case.settings), case.request, case.response)
    assert (explanation.reason, explanation.fixes) == (case.reason, case.fix)


def test_the_cases_have_every_reason_but_those_of_a_running_proxy() -> None:
    assert {case.reason for case in CASES} == set(Reason) - {
        Reason.UNREACHABLE,
        Reason.COOLDOWN,
        Reason.STICKY,
        Reason.SPILL,
        Reason.LITELLM_FAILED,
        Reason.OWN_PAGE,
        Reason.ERROR,
    }


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.response is not None], ids=lambda case: case.settings
)
def test_a_replay_is_explained_only_where_routing_allows_one(case: Case) -> None:
    settings = settings_of(case.settings)
    explanation = explain(settings, case.request, case.response)
    replays = explanation.reason in {Reason.FALLBACK, Reason.FALLBACK_FAILED}
    if replays:
        assert route(settings, case.request).route.may_fall_back
        assert explanation.verdict is not None
        assert explanation.verdict.kind in settings.fallback.on


def test_a_verdict_comes_with_its_rule_and_its_wait() -> None:
    said = dict(_steps(explain(settings_of(FALLBACK), request_of(), QUOTA)))
    assert (
        said["response"]
        == "429 means quota; the rule that decides: quota code model_cooldown; retry after 42 s"
    )


CORPUS = json.loads((Path(__file__).parents[2] / "corpus" / "upstream_answers.json").read_text("utf-8"))


@pytest.mark.parametrize(
    "entry", [entry for entry in CORPUS if entry["status"] != 101], ids=lambda entry: entry["name"]
)
def test_upstreams_responses_are_replayed_by_their_kind(entry: dict[str, Any]) -> None:
    headers = {name.lower(): value for name, value in entry["headers"].items()}
    response = response_of(entry["status"], entry["body"].encode(), headers)
    explanation = explain(settings_of(FALLBACK), request_of(), response)
    replayed = entry["kind"] in DEFAULT_FALLBACK_KINDS
    assert explanation.verdict is not None
    assert explanation.verdict.kind == entry["kind"]
    assert explanation.reason is (Reason.FALLBACK if replayed else Reason.NOT_LISTED)


@pytest.mark.parametrize(
    ("settings", "body", "step", "says"),
    [
        (ON, b'{"model": "claude-x"}', "models", '"claude-x" matches the entry Claude-X'),
        (
            ON,
            b'{"model": "claude-x"}',
            "mapping",
            'none: LiteLLM gets "Claude-X", as the entry of `models` spells it',
        ),
        (ON, b'{"model": "openrouter/a(low)"}', "mapping", 'none: LiteLLM gets the client\'s "openrouter/a"'),
        (ON, GPT5, "models", 'no entry matches "gpt-5"; nearest: gpt-5-mini'),
        (
            ON + "model-mappings: {gpt-*: azure/gpt}\n",
            GPT5,
            "models",
            f'no entry matches "gpt-5"; nearest: gpt-5-mini; {MAPPED_ONLY}',
        ),
        (
            ON + "model-mappings: {gpt-*: azure/gpt}\n",
            GPT5,
            "mapping",
            'the entry gpt-* makes it "azure/gpt" for LiteLLM',
        ),
        (ON, b"{}", "body", "2 bytes; neither body nor path names a model"),
        (
            FALLBACK,
            GPT5,
            "fallback",
            f"an upstream failure of these kinds is replayed to LiteLLM: {DEFAULT_KINDS}",
        ),
    ],
)
def test_what_a_step_says(settings: str, body: bytes, step: str, says: str) -> None:
    explanation = explain(settings_of(settings), request_of(body=body))
    assert dict(_steps(explanation))[step] == says


def test_a_fix_ends_for_settings_that_no_file_can_give() -> None:
    settings = Settings(enabled=True, fallback=Fallback(enabled=True))
    assert remedies.for_route(settings, request_of()) == f"{BASE_URL}; {LIST_GPT5}"


def test_near_misses_ignore_case_and_provider() -> None:
    settings = Settings(models=Patterns(["OpenAI/GPT-5", "gpt-5-mini", "claude"]))
    assert nearest(settings, "gpt-5x(high)") == ("OpenAI/GPT-5", "gpt-5-mini")


@pytest.mark.parametrize(
    ("header", "shown"),
    [
        ((b"Authorization", b"Bearer sk-1"), "Bearer ***"),
        ((b"authorization", b"sk-1"), "***"),
        ((b"X-Pass-Anything", b"sk-1"), "***"),
        ((b"X-Session-Token", b"sk-1"), "***"),
        ((b"X-Other", b"sk-ant-oat01-abc"), "***"),
        ((b"X-Other", b"seen"), "seen"),
    ],
)
def test_a_header_that_may_be_a_credential_is_masked(header: tuple[bytes, bytes], shown: str) -> None:
    assert redact_as_text([header]) == ((header[0].decode(), shown),)


def test_a_query_keeps_all_but_its_credentials() -> None:
    target = "/v1?key=sk-1&beta=true&auth_token=sk-1&access_token=sk-1&key="
    assert redact_target(target) == "/v1?key=***&beta=true&auth_token=***&access_token=***&key="


def test_what_upstream_gets_is_the_clients_own() -> None:
    settings = settings_of(ON)
    request = request_of(
        target="/api/provider/openai/v1/x?a=b", headers=((b"X-Request-ID", b"r1"), (b"A", b"b"))
    )
    sent = explain(settings, request).sent
    assert sent is not None
    assert (sent.server, sent.url, sent.target) == (
        "upstream",
        "http://127.0.0.1:8317",
        request.sent.path + "?a=b",
    )
    assert sent.stripped == "/v1/x?a=b"
    assert "/v1/x?a=b if upstream answers 404 there" in [line.text for line in sent.lines()]
    assert sent.headers == (
        ("Host", "127.0.0.1:8317"),
        ("A", "b"),
        ("X-Forwarded-For", "127.0.0.1"),
        ("X-Request-ID", "r1"),
    )


@pytest.mark.parametrize(
    ("strip", "target", "shown"),
    [
        ("true", "/api/provider/openai/v1/x?key=k", ("/v1/x?key=***", "")),
        ("false", "/api/provider/openai/v1/x", ("/api/provider/openai/v1/x", "")),
        ("auto", "/api/provider/openai/v1/x?key=k", ("/api/provider/openai/v1/x?key=***", "/v1/x?key=***")),
        ("auto", "/v1/x", ("/v1/x", "")),
    ],
)
def test_the_path_for_upstream(strip: str, target: str, shown: tuple[str, str]) -> None:
    sent = explain(settings_of(f"{ON}strip-provider-prefix: {strip}\n"), request_of(target=target)).sent
    assert sent is not None
    assert (sent.target, sent.stripped) == shown


@pytest.mark.parametrize(
    ("model", "coding", "summary"),
    [
        ("claude-x", b"", '20 bytes, names "Claude-X" for "claude-x", all else as it was'),
        ("Claude-X", b"", "21 bytes, as the client sends it"),
        ("Claude-X", b"gzip", "21 bytes, decoded from gzip"),
    ],
)
def test_the_body_that_litellm_gets(model: str, coding: bytes, summary: str) -> None:
    body = json.dumps({"model": model}).encode()
    headers = ((b"Content-Encoding", coding),) if coding else ()
    request = request_of(body=gzip.compress(body) if coding else body, headers=headers)
    sent = explain(settings_of(ON), request).sent
    assert sent is not None
    assert sent.body == summary


@pytest.mark.parametrize("told", [True, False])
def test_the_body_of_a_replay(*, told: bool) -> None:
    body = b'{"model": "other"}'
    fallback = FALLBACK.replace("true}", f"true, drop-params: {str(told).lower()}}}")
    sent = explain(settings_of(fallback), request_of(body=body), QUOTA).sent
    assert sent is not None
    length = len(body) + (len(',"drop_params":true') if told else 0)
    assert sent.body.startswith(f"{length} bytes, ")
    assert ("in the form of a replay" in sent.body) is told
    assert ("Content-Length", str(length)) in sent.headers


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.reason.value)
def test_no_secret_is_in_any_output(case: Case) -> None:
    credentials = (
        (b"Authorization", f"Bearer {CLIENT_KEY}".encode()),
        (b"Cookie", CLIENT_KEY.encode()),
    )
    sent = case.request.sent
    request = Request(
        case.request.method,
        Incoming(sent.path, f"key={CLIENT_KEY}", (*sent.headers, *credentials), sent.body),
        case.request.address,
        case.request.host,
    )
    explanation = explain(settings_of(case.settings), request, case.response)
    shown = f"{explanation.lines()}{json.dumps(explanation.as_json())}"
    assert CLIENT_KEY not in shown
    assert API_KEY not in shown


# mitmproxy warns at its import, about a dependency of its own.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    "case", [case for case in CASES if case.response is None], ids=lambda case: case.reason.value
)
async def test_explain_says_what_the_addon_does(case: Case, tmp_path: Path) -> None:
    """The same reason, target and names in the flow, and the same request on the wire."""
    from mitmproxy.addons.proxyserver import Proxyserver
    from mitmproxy.test import taddons

    from litellm_hybrid.addon import HybridAddon
    from litellm_hybrid.flow.outcome import METADATA

    file = tmp_path / "config.yaml"
    file.write_text(
        "extensions:\n  litellm:\n" + "".join(f"    {line}\n" for line in case.settings.splitlines())
    )
    flow = _flow(case.request)
    hybrid = HybridAddon()
    with taddons.context(Proxyserver(), hybrid) as context:
        context.configure(
            hybrid, litellm_config=os.fspath(file), mode=["reverse:http://127.0.0.1:8317@127.0.0.1:8318"]
        )
        hybrid._observer.request_begun(flow, "localhost")
        hybrid.request(flow)
    decision = flow.metadata[METADATA]
    explanation = explain(settings_of(case.settings), case.request)
    assert (explanation.target, explanation.reason) == (decision["target"], decision["reason"])
    assert (explanation.model, explanation.litellm_model) == (decision["model"], decision["litellm_model"])
    assert explanation.own_status == (flow.response.status_code if flow.response else None)
    if explanation.sent is not None:
        assert explanation.sent.target == flow.request.path
        if explanation.sent.server == "litellm":
            expected = [(n.lower(), v) for n, v in redact_as_text(flow.request.headers.fields)]
            shown = [(n.lower(), v) for n, v in explanation.sent.headers]
            generated = {"x-request-id", "x-litellm-call-id"}
            assert [pair for pair in shown if pair[0] not in generated] == [
                pair for pair in expected if pair[0] not in generated
            ]


def _flow(request: Request) -> "HTTPFlow":
    from mitmproxy.http import Headers
    from mitmproxy.test import tflow

    flow = tflow.tflow()
    sent = request.sent
    flow.request.method = request.method
    flow.request.path = f"{sent.path}?{sent.query}" if sent.query else sent.path
    flow.request.headers = Headers(sent.headers)
    flow.request.raw_content = sent.body
    flow.client_conn.peername = (request.client.ip, 50000)
    flow.live = True
    return flow


def _steps(explanation: Explanation) -> list[tuple[str, str]]:
    return [(step.name, step.message) for step in explanation.steps]


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        (ON, "fallback is off"),
        (EXCEPT, "`fallback.except` excludes the model (gpt-*)"),
        (ONLY_CLAUDE, "`fallback.models` does not include the model"),
    ],
)
def test_without_a_fallback_it_says_why_there_is_none(settings: str, why: str) -> None:
    said = dict(_steps(explain(settings_of(settings), request_of())))
    assert said["fallback"] == f"none, an upstream failure reaches the client: {why}"


@pytest.mark.parametrize(
    ("method", "path", "ip", "status", "reason"),
    [
        ("GET", "/_hybrid/health", "127.0.0.1", 200, Reason.OWN_PAGE),
        ("GET", "/_hybrid/status?format=json", "127.0.0.1", 200, Reason.OWN_PAGE),
        ("POST", "/_hybrid/metrics", "127.0.0.1", 405, Reason.OWN_PAGE),
        ("POST", "/_hybrid/v1/messages", "127.0.0.1", 404, Reason.OWN_PAGE),
        ("GET", "/_hybrid/health", "192.0.2.1", 403, Reason.REFUSED),
    ],
)
def test_own_pages_go_nowhere(method: str, path: str, ip: str, status: int, reason: Reason) -> None:
    found = explain(settings_of(ON), request_of(method, path, ip=ip))

    assert (found.target, found.reason, found.own_status) == (Target.NONE, reason, status)
    assert (found.sent, found.fixes) == (None, ())
    assert found.steps[0].message == f"{method} {path}"
    assert any("/_hybrid/status" in step.message for step in found.steps)
