import pytest

from litellm_hybrid.routing.apis import Api, identify


@pytest.mark.parametrize(
    ("path", "api"),
    [
        ("/v1/responses", Api.RESPONSES),
        ("/v1/responses/", Api.RESPONSES),
        ("/v1/responses/compact", Api.RESPONSES),
        ("/backend-api/codex/responses", Api.RESPONSES),
        ("/backend-api/codex/responses/compact", Api.RESPONSES),
        ("/api/provider/openai/responses", Api.RESPONSES),
        ("/responses", Api.RESPONSES),
        ("/v1/messages?beta=true", Api.MESSAGES),
        ("/v1/messages/count_tokens?beta=true", Api.MESSAGES),
        ("/api/provider/anthropic/v1/messages", Api.MESSAGES),
        ("/v1/chat/completions", Api.CHAT),
        ("/chat/completions", Api.CHAT),
        ("/api/provider/openai/v1/chat/completions", Api.CHAT),
        ("/api/provider/groq/chat/completions", Api.CHAT),
        ("/openai/deployments/gpt-5/chat/completions", Api.CHAT),
        ("/v1/completions", Api.COMPLETIONS),
        ("/v1beta/models/gemini-3-pro:generateContent", Api.GENERATE_CONTENT),
        ("/v1beta/models/gemini-3-pro%3AgenerateContent", Api.GENERATE_CONTENT),
        ("/v1beta/models/gemini-3-pro:streamGenerateContent?alt=sse", Api.GENERATE_CONTENT),
        ("/v1/models/gemini-3-pro:countTokens", Api.GENERATE_CONTENT),
        ("/v1internal:generateContent", Api.GENERATE_CONTENT),
        (
            "/api/provider/google/v1beta1/publishers/google/models/gemini-3-pro:generateContent",
            Api.GENERATE_CONTENT,
        ),
        ("/v1/responses/resp_1", None),
        ("/v1/embeddings", None),
        ("/v1beta/models/gemini-3-pro:embedContent", None),
        ("/v1/messages/batches", None),
        ("", None),
    ],
)
def test_the_ending_of_a_path_tells_the_api(path: str, api: Api | None) -> None:
    assert identify(path) == api
