"""No credential of the client reaches LiteLLM; LiteLLM's key reaches nobody else."""

import pytest

from e2e.conftest import Start
from e2e.harness import Stub, settings, until
from support.processes import MASTER_KEY
from support.servers import Reply
from support.wire import Request

SECRET = "client-secret-4711"

HEADER_FORMS = [
    ("Authorization", f"Bearer {SECRET}"),
    ("authorization", f"bearer {SECRET}"),
    ("Authorization", SECRET),
    ("Authorization", f"Basic {SECRET}"),
    ("X-Api-Key", SECRET),
    ("x-api-key", SECRET),
    ("X-Goog-Api-Key", SECRET),
    ("api-key", SECRET),
    ("X-LiteLLM-Api-Key", f"Bearer {SECRET}"),
    ("Ocp-Apim-Subscription-Key", SECRET),
    ("Cookie", f"session={SECRET}"),
    ("Proxy-Authorization", f"Bearer {SECRET}"),
    ("X-Management-Key", SECRET),
    ("ChatGPT-Account-Id", SECRET),
    ("X-Goog-User-Project", SECRET),
    ("OpenAI-Organization", SECRET),
    ("x-pass-authorization", f"Bearer {SECRET}"),
    ("X-Pass-Anything", SECRET),
    ("X-Custom", f"Bearer sk-ant-oat01-{SECRET}"),
    ("X-Custom", f"eyJhbGciOi.eyJzdWIi.{SECRET}"),
]
QUERY_FORMS = [
    f"key={SECRET}",
    f"auth_token={SECRET}",
    f"%6bey={SECRET}",
    f"KEY={SECRET}",
    f"a=b&key={SECRET}&c=d",
]


def _arrived(request: Request) -> str:
    fields = "".join(f"{name!r}: {value!r}\n" for name, value in request.headers)
    return f"{request.method} {request.target}\n{fields}{request.body!r}"


async def test_no_credential_of_the_client_reaches_litellm(start: Start, litellm: Stub) -> None:
    proxy = await start()
    client = await proxy.client()
    leaks = []
    for name, value in HEADER_FORMS:
        answer = await client.post("gpt-5", [(name, value)])
        assert answer.route == "litellm; reason=model"
        if SECRET in _arrived(litellm.last) or litellm.last.values("authorization") != [
            f"Bearer {MASTER_KEY}"
        ]:
            leaks.append((name, value))
    for query in QUERY_FORMS:
        target = f"/v1beta/models/gpt-5:generateContent?{query}"
        answer = await client.ask("POST", target, {"contents": []})
        assert answer.route == "litellm; reason=model"
        if SECRET in _arrived(litellm.last) or litellm.last.values("authorization") != [
            f"Bearer {MASTER_KEY}"
        ]:
            leaks.append(("query", query))

    assert leaks == []
    assert len(litellm.requests) == len(HEADER_FORMS) + len(QUERY_FORMS)
    assert litellm.last.target.endswith("?a=b&c=d")
    assert not [line for line in proxy.lines if SECRET in str(line)]


async def test_the_oauth_beta_is_taken_out(start: Start, litellm: Stub) -> None:
    proxy = await start()

    await proxy.post(
        "gpt-5", [("anthropic-beta", "oauth-2025-04-20, tools-1"), ("anthropic-beta", "tools-2")]
    )

    assert litellm.last.values("anthropic-beta") == ["tools-1,tools-2"]


@pytest.mark.parametrize(
    ("headers", "arrives"),
    [
        ([("Authorization", "Bearer sk-own"), ("x-api-key", SECRET)], ["Bearer sk-own"]),
        ([("x-api-key", "sk-own"), ("Cookie", SECRET)], ["Bearer sk-own"]),
        ([("Authorization", f"Bearer sk-ant-oat01-{SECRET}")], []),
        ([], []),
    ],
)
async def test_without_a_key_the_clients_own_goes_along(
    headers: list[tuple[str, str]], arrives: list[str], start: Start, litellm: Stub
) -> None:
    proxy = await start(api_key=None)

    answer = await proxy.post("gpt-5", headers)

    assert answer.route == "litellm; reason=model"
    assert litellm.last.values("authorization") == arrives
    assert SECRET not in _arrived(litellm.last)


async def test_litellms_key_reaches_litellm_alone(start: Start, upstream: Stub, litellm: Stub) -> None:
    async def talkative(request: Request, reply: Reply) -> None:
        kept = [
            (name.decode(), value.decode()) for name, value in request.headers if name != b"Authorization"
        ]
        revealing = {
            "x-litellm-model-api-base": "http://backend",
            "llm_provider-key": "x",
            "X-LiteLLM-Cost": "1",
        }
        await reply.json(200, kept, revealing)

    litellm.does = upstream.does = talkative
    proxy = await start()
    client = await proxy.client()
    requests: list[tuple[str, str, object]] = [
        ("POST", "/v1/chat/completions", {"model": "gpt-5"}),
        ("POST", "/v1/chat/completions", {"model": "o3"}),
        ("POST", "/v1/chat/completions", {}),
        ("POST", "/v1/chat/completions", b"invalid"),
        ("GET", "/v1/models", b""),
        ("POST", "/v0/management/config", {"model": "gpt-5"}),
    ]
    answers = [await client.ask(*request) for request in requests]
    await litellm.stop()
    answers.append(await client.post("gpt-5"))

    assert [answer.status for answer in answers] == [200] * 6 + [502]
    assert litellm.requests[0].values("authorization") == [f"Bearer {MASTER_KEY}"]
    assert not [request for request in upstream.requests if MASTER_KEY in _arrived(request)]
    assert not [answer for answer in answers if MASTER_KEY in str(answer)]
    assert not [line for line in proxy.lines if MASTER_KEY in str(line)]
    assert not [name for name, _ in answers[0].headers if name.lower().startswith((b"x-litellm-", b"llm_"))]
    # Upstream's answer is not LiteLLM's: nothing is taken out of it.
    assert answers[1].header("x-litellm-model-api-base") == "http://backend"


async def test_a_changed_key_is_not_logged(start: Start, litellm: Stub) -> None:
    proxy = await start()
    proxy.write(settings(litellm.url, api_key="sk-another-key"))

    await until(lambda: proxy.log("api-key"))
    await proxy.post("gpt-5")

    assert [line.message for line in proxy.log("api-key")] == ["litellm config: api-key: *** → *** (changed)"]
    assert litellm.last.values("authorization") == ["Bearer sk-another-key"]
    assert "sk-another-key" not in str(proxy.lines)
