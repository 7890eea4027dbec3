"""Every route that CLIProxyAPI 6.10.9, 7.1.76 and 7.2.140 register, and who gets through to it.

The routes are those of its `server*.go` and `modules/amp/routes.go`; `:x` and `*x` are replaced by a value.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace

import pytest

from litellm_hybrid.config.model_patterns import Patterns
from litellm_hybrid.config.settings import Address, Secret, Settings
from litellm_hybrid.message.forwarded import find
from litellm_hybrid.routing.rewrite import Incoming
from litellm_hybrid.routing.rules import Request, Target, route

KEY = "client-key"
OPEN = Settings(enabled=True, base_url=Address("http", "litellm", 4000), api_key=Secret("sk-litellm"))
KEYED = replace(OPEN, client_keys=(Secret(KEY),))
HERE, ELSEWHERE = "127.0.0.1", "192.0.2.7"

PUBLIC = [
    "GET /",
    "GET /healthz",
    "HEAD /healthz",
    "GET /anthropic/callback",
    "GET /codex/callback",
    "GET /google/callback",
    "GET /antigravity/callback",
    "GET /xai/callback",
]
MODEL_APIS = [
    "GET /v1/models",
    "POST /v1/chat/completions",
    "POST /v1/completions",
    "POST /v1/images/generations",
    "POST /v1/images/edits",
    "POST /v1/videos",
    "POST /v1/videos/generations",
    "POST /v1/videos/edits",
    "POST /v1/videos/extensions",
    "GET /v1/videos/id",
    "POST /v1/messages",
    "POST /v1/messages/count_tokens",
    "GET /v1/responses",
    "POST /v1/responses",
    "POST /v1/responses/compact",
    "POST /v1/alpha/search",
    "POST /v1/live",
    "GET /v1/live/id",
    "GET /v1/realtime",
    "POST /v1/realtime",
    "POST /v1/realtime/calls",
    "GET /v1/realtime/calls/id",
    "POST /v1/realtime/client_secrets",
    "POST /v1/realtime/sessions",
    "POST /v1/realtime/transcription_sessions",
    "GET /v1/realtime/translations",
    "POST /v1/realtime/translations/client_secrets",
    "POST /v1/realtime/calls/id/hangup",
    "POST /openai/v1/videos",
    "GET /openai/v1/videos/id/content",
    "GET /backend-api/codex/responses",
    "POST /backend-api/codex/responses",
    "POST /backend-api/codex/responses/compact",
    "POST /backend-api/codex/alpha/search",
    "GET /v1beta/models",
    "POST /v1beta/interactions",
    "POST /v1beta/models/g:generateContent",
    "POST /v1beta/models/veo:predictLongRunning",
    "GET /v1beta/models/g",
    "GET /api/provider/openai/models",
    "POST /api/provider/openai/chat/completions",
    "POST /api/provider/openai/completions",
    "POST /api/provider/openai/responses",
    "GET /api/provider/openai/v1/models",
    "POST /api/provider/openai/v1/chat/completions",
    "POST /api/provider/openai/v1/completions",
    "POST /api/provider/openai/v1/responses",
    "POST /api/provider/anthropic/v1/messages",
    "POST /api/provider/anthropic/v1/messages/count_tokens",
    "GET /api/provider/google/v1beta/models",
    "POST /api/provider/google/v1beta/models/g:generateContent",
    "GET /api/provider/google/v1beta/models/g",
    "POST /api/provider/google/v1beta1/publishers/google/models/g:streamGenerateContent",
]
ITS_MACHINE_ONLY = [
    "GET /v0/management/config",
    "PUT /v0/management/api-keys",
    "GET /v0/management",
    "GET /v0/management/",
    "GET /management.html",
    "POST /v1internal:generateContent",
    "POST /v1internal:streamGenerateContent",
    "GET /v1/ws",
    "GET /ws",
    "GET /keep-alive",
    "GET /debug/pprof/heap",
    "GET /v0/resource/plugins/x/index.html",
    "GET /api/provider/google/v1beta1/publishers/google/models",
    "GET /api/provider/google/v1beta1/x",
    "POST /api/provider/google/v1beta1/x",
    "POST /api/provider/google/v1beta1/models/x",
    *(
        f"{method} {path}"
        for method in ("GET", "POST")
        for path in (
            *(f"/api/{name}" for name in ("internal", "user", "auth", "meta", "ads", "telemetry", "threads")),
            *(f"/api/{name}/x" for name in ("internal", "user", "auth", "meta", "telemetry", "threads")),
            *("/api/thread-actors", "/api/otel", "/api/otel/x", "/api/tab", "/api/tab/x"),
            *("/auth", "/auth/x"),
        )
    ),
    *("GET /threads", "GET /threads/x", "GET /docs", "GET /docs/x", "GET /settings", "GET /settings/x"),
    *("GET /threads.rss", "GET /news.rss"),
    # nothing that is registered
    "GET /x",
    "POST /key/generate",
    "POST /healthz",
    "POST /a/b/callback",
]
DISGUISES: list[Callable[[str], str]] = [
    lambda path: f"/{path}",
    lambda path: f"/v1/messages/..{path}",
    lambda path: f"/v1/models/%2e%2e/..{path}",
    lambda path: f"/v1/models/%2E%2E%2F..{path}",
    lambda path: f"/healthz/..{path}",
    lambda path: f"/api/provider/openai{path}",
    lambda path: f"/v1beta/models/../..{path}:generateContent",
    lambda path: "/" + "".join(f"%{ord(letter):02X}" for letter in path[1:]),
    lambda path: path.replace("/", "%2f"),
    lambda path: path.upper(),
    lambda path: path + "%00",
    lambda path: path + "//",
]


def denied(
    settings: Settings,
    line: str,
    peer: str,
    keys: Iterable[str] = (),
    host: str = "127.0.0.1:8318",
    headers: tuple[tuple[bytes, bytes], ...] = (),
) -> int:
    """The status with which a request is refused before its body is looked at, 0 if it is not."""
    method, _, path = line.partition(" ")
    fields = tuple((b"X-Api-Key", key.encode()) for key in keys) + headers
    address = find(peer, fields, settings.trusted_proxies)
    routed = route(settings, Request(method, Incoming(path, "", fields, b""), address, host))
    if routed.refusal is None:
        return 0
    assert routed.named is None
    assert routed.route.target is Target.NONE
    return routed.refusal.status


@pytest.mark.parametrize("settings", [OPEN, KEYED, Settings(client_keys=KEYED.client_keys)])
@pytest.mark.parametrize("line", PUBLIC)
def test_what_anybody_may_reach(settings: Settings, line: str) -> None:
    assert denied(settings, line, ELSEWHERE) == denied(settings, line, HERE) == 0


@pytest.mark.parametrize("line", MODEL_APIS)
def test_the_model_apis(line: str) -> None:
    assert denied(OPEN, line, ELSEWHERE) == 0
    assert denied(KEYED, line, ELSEWHERE) == 401
    assert denied(KEYED, line, ELSEWHERE, ["wrong"]) == 403
    assert denied(KEYED, line, ELSEWHERE, ["wrong", KEY]) == 403, "the first decides, as in CLIProxyAPI"
    assert denied(KEYED, line, ELSEWHERE, ["", KEY]) == 401, "an empty one counts as given"
    assert denied(KEYED, line, ELSEWHERE, [KEY, "wrong"]) == denied(KEYED, line, ELSEWHERE, [KEY]) == 0
    assert denied(KEYED, line, HERE) == 0, "upstream itself asks for a key"
    assert denied(KEYED, line.replace("POST", "OPTIONS").replace("GET", "OPTIONS"), ELSEWHERE) in (0, 403)


def test_cliproxyapis_own_keys_open_its_model_apis_and_spend_nothing() -> None:
    both = replace(KEYED, upstream_keys=(Secret("upstreams"),), models=Patterns(["g"]))
    assert denied(both, "POST /v1/messages", ELSEWHERE, ["upstreams"]) == 0
    assert denied(both, "GET /v0/management/config", ELSEWHERE, ["upstreams"]) == 403
    fields = ((b"X-Api-Key", b"upstreams"),)
    sent = Incoming("/v1beta/models/g:generateContent", "", fields, b"")
    routed = route(both, Request("POST", sent, find(ELSEWHERE, fields, ()), "proxy"))
    assert routed.refusal is not None
    assert routed.refusal.status == 403


@pytest.mark.parametrize("line", ITS_MACHINE_ONLY)
def test_what_is_for_this_machine(line: str) -> None:
    for settings in (OPEN, KEYED):
        assert denied(settings, line, ELSEWHERE) == denied(settings, line, ELSEWHERE, [KEY]) == 403
        assert denied(settings, line, HERE) == denied(settings, line, HERE, host="localhost:8318") == 0
        assert denied(settings, line, HERE, host="evil.example") == 403
        assert denied(settings, line, HERE, headers=((b"Origin", b"https://evil.example"),)) == 403
        assert denied(settings, line, HERE, headers=((b"Origin", b"null"),)) == 403
        assert denied(settings, line, HERE, headers=((b"Sec-Fetch-Site", b"cross-site"),)) == 403
        assert denied(settings, line, HERE, headers=((b"X-Forwarded-For", b"127.0.0.1"),)) == 403
        own = ((b"Origin", b"http://127.0.0.1:8318"), (b"Sec-Fetch-Site", b"same-origin"))
        assert denied(settings, line, HERE, headers=own) == 0


@pytest.mark.parametrize("line", [line for line in ITS_MACHINE_ONLY if "/api/provider" not in line])
def test_no_spelling_opens_it(line: str) -> None:
    method, _, path = line.partition(" ")
    for disguise in DISGUISES:
        if disguise(path) == "/healthz" or method == "POST":
            continue
        spelt = disguise(path)
        assert denied(KEYED, f"{method} {spelt}", ELSEWHERE, [KEY]) == 403, spelt


def test_upstream_paths_opens_more_by_name() -> None:
    opened = replace(KEYED, upstream_paths=("/v1/ws", "/api/internal/*"))
    for line in ("GET /v1/ws", "GET /v1/ws/", "POST /api/internal/x", "POST /api/internal/x/y"):
        assert denied(opened, line, ELSEWHERE) == 0
    for line in (
        "GET /v1/ws/x",
        "GET /v1/wsx",
        "POST /api/internal",
        "POST /api/internal/../user",
        "POST /api/internal/%2e%2e/user",
        "GET /v0/management/config",
    ):
        assert denied(opened, line, ELSEWHERE) == 403
