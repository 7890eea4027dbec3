import re
from collections.abc import Callable
from urllib.parse import quote, unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from litellm_hybrid.routing import paths
from litellm_hybrid.routing.paths import Api, generates, identify_api

# path → (model, the path under which LiteLLM serves it when the model is called "m")
MODEL_PATHS = [
    ("/v1beta/models/gemini-2.5-pro:generateContent", "gemini-2.5-pro", "/v1beta/models/m:generateContent"),
    ("/v1beta/models/g:streamGenerateContent", "g", "/v1beta/models/m:streamGenerateContent"),
    ("/v1beta/models/g:countTokens", "g", "/v1beta/models/m:countTokens"),
    ("/v1beta1/models/g:generateContent", "g", "/v1beta/models/m:generateContent"),
    ("/v1/models/g:generateContent", "g", "/v1beta/models/m:generateContent"),
    ("/models/g:generateContent", "g", "/models/m:generateContent"),
    ("/v1beta/models/g:countTokens/", "g", "/v1beta/models/m:countTokens"),
    ("/v1beta%2Fmodels/g:countTokens", "g", "/v1beta/models/m:countTokens"),
    ("/openai/deployments/gpt-5/chat/completions", "gpt-5", "/openai/deployments/m/chat/completions"),
    ("/publishers/google/models/g:generateContent", "g", "/v1beta/models/m:generateContent"),
    ("/v1beta1/publishers/google/models/g:generateContent", "g", "/v1beta/models/m:generateContent"),
    (
        "/v1/projects/p/locations/l/publishers/google/models/g:streamGenerateContent",
        "g",
        "/v1beta/models/m:streamGenerateContent",
    ),
    ("/v1alpha/models/g:generateContent", "g", "/v1beta/models/m:generateContent"),
    ("/v1beta/models/g:generateContent/", "g", "/v1beta/models/m:generateContent"),
    # the provider prefix of Amp
    ("/api/provider/google/v1beta/models/g:countTokens", "g", "/v1beta/models/m:countTokens"),
    (
        "/api/provider/google/v1beta1/publishers/google/models/g:generateContent",
        "g",
        "/v1beta/models/m:generateContent",
    ),
    ("/api/provider/azure/openai/deployments/g/embeddings", "g", "/openai/deployments/m/embeddings"),
    # percent-encoding
    ("/v1beta/models/g%3AgenerateContent", "g", "/v1beta/models/m:generateContent"),
    ("/v1beta/models/g%3agenerateContent", "g", "/v1beta/models/m:generateContent"),
    ("/v1beta/models/gemini%2D2:generateContent", "gemini-2", "/v1beta/models/m:generateContent"),
    ("/v1beta/models/g%288192%29:generateContent", "g(8192)", "/v1beta/models/m:generateContent"),
    ("/v1beta/models/%20g%20:generateContent", "g", "/v1beta/models/m:generateContent"),
    ("/v1beta/models/100%2525:generateContent", "100%25", "/v1beta/models/m:generateContent"),
    ("/v1beta/models/gr%C3%BCn:generateContent", "grün", "/v1beta/models/m:generateContent"),
    ("/v1beta/models/%FF:generateContent", "\ufffd", "/v1beta/models/m:generateContent"),
    ("/v1beta/models/\udcff:generateContent", "\ufffd", "/v1beta/models/m:generateContent"),
    ("/models/org%2Fname:countTokens", "org/name", "/models/m:countTokens"),
    # slashes and colons are part of LiteLLM's names
    ("/v1beta/models/org/name:generateContent", "org/name", "/v1beta/models/m:generateContent"),
    ("/v1beta/models/llama3:8b:generateContent", "llama3:8b", "/v1beta/models/m:generateContent"),
    (
        "/openai/deployments/org/name/images/edits",
        "org/name",
        "/openai/deployments/m/images/edits",
    ),
]


@pytest.mark.parametrize(("path", "model", "at_litellm"), MODEL_PATHS)
def test_model_path(path: str, model: str, at_litellm: str) -> None:
    found = paths.model_path(path)
    assert found is not None
    assert found.model == model
    assert found.with_model("m") == at_litellm
    assert paths.for_litellm(path, "m") == at_litellm


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "/v1/chat/completions",
        "/v1/models",
        "/v1/models/g",
        "/v1beta/models",
        "/v1beta/models/g",
        "/v1beta/models/:generateContent",
        "/v1beta/models/%20:generateContent",
        "/v1beta/models/g:",
        "/v1beta/models/g:not a verb",
        "/models",
        "/models/",
        "/models/%20/x",
        "/openai/deployments/g",
        "/openai/deployments/g/files",
        "/openai/deployments/g/chat/completions/x",
        "/models/g",
        "/models/g/predict",
        "/v1beta/models/g:predict",
        "/v1beta/models/g:predictLongRunning",
        "/v1beta/models/g:bidiGenerateContent",
        "/v1beta/models/../g:generateContent",
        "/v1beta/models/..%2Fg:generateContent",
        "/v1beta/models//g:generateContent",
        "/v1beta/models/a%0Ab:generateContent",
        "/v1beta/models/a%5Cb:generateContent",
        "/api/internal/publishers/google/models/g:generateContent",
        "/openai/deployments//chat/completions",
        "/v1/xmodels/g:generateContent",
        "/x/v1beta/models/g:generateContent",
        "/publishers/google/models/g",
        "/publishers/anthropic/models/g:rawPredict",
    ],
)
def test_paths_that_name_no_model(path: str) -> None:
    assert paths.model_path(path) is None


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("org/name", "/v1beta/models/org/name:countTokens"),
        ("a b?c#d", "/v1beta/models/a%20b%3Fc%23d:countTokens"),
        ("llama3:8b", "/v1beta/models/llama3%3A8b:countTokens"),
        ("100%25", "/v1beta/models/100%2525:countTokens"),
        ("x{verb}", "/v1beta/models/x%7Bverb%7D:countTokens"),
        ("a\r\nb", "/v1beta/models/a%0D%0Ab:countTokens"),
    ],
)
def test_the_new_model_is_encoded(name: str, expected: str) -> None:
    assert paths.for_litellm("/v1beta/models/g:countTokens", name) == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/api/provider/openai", "/"),
        ("/api/provider/openai/", "/"),
        ("/api/provider/openai/v1/chat/completions", "/v1/chat/completions"),
        ("/api/provider/anthropic/v1/messages", "/v1/messages"),
        ("/api/provider/a/api/provider/b/x", "/api/provider/b/x"),
        ("/api/provider/", "/api/provider/"),
        ("/api/provider", "/api/provider"),
        ("/api/providers/openai/x", "/api/providers/openai/x"),
        ("/x/api/provider/openai/v1", "/x/api/provider/openai/v1"),
        ("/v1/messages", "/v1/messages"),
    ],
)
def test_strip_provider(path: str, expected: str) -> None:
    assert paths.strip_provider(path) == expected


MODEL_ENDPOINTS = [
    "/v1/chat/completions",
    "/chat/completions",
    "/v1/completions",
    "/v1/embeddings",
    "/v1/messages",
    "/v1/messages/count_tokens",
    "/v1/responses",
    "/v1/responses/compact",
    "/v1/images/generations",
    "/v1/images/edits",
    "/v1/audio/transcriptions",
    "/v1/audio/speech",
    "/v1/moderations",
    "/v1/rerank",
    "/v2/rerank",
    "/v1beta/models/g:generateContent",
    "/v1beta/interactions",
    "/openai/deployments/g/chat/completions",
]


@pytest.mark.parametrize("path", MODEL_ENDPOINTS)
@pytest.mark.parametrize(
    "spelling",
    [
        lambda path: path,
        lambda path: path + "/",
        lambda path: "/api/provider/openai" + path,
        lambda path: "/api%2Fprovider/openai" + path,
        lambda path: "/" + "".join(f"%{ord(letter):02x}" for letter in path[1:]),
    ],
)
def test_what_litellm_serves_by_model(path: str, spelling: Callable[[str], str]) -> None:
    """As Gin looks a path up; LiteLLM gets it without prefix, escapes and the slash that it would redirect."""
    assert paths.is_model_endpoint(spelling(path))
    assert paths.for_litellm(spelling(path), None) == path


NO_MODEL_ENDPOINTS = [
    # LiteLLM's own administration, and its ways through to a provider
    "/key/generate",
    "/key/delete",
    "/user/new",
    "/team/new",
    "/model/new",
    "/config/update",
    "/spend/calculate",
    "/v1/files",
    "/v1/batches",
    "/v1/fine_tuning/jobs",
    "/v1/threads",
    "/v1/vector_stores",
    "/openai/v1/chat/completions",
    "/anthropic/v1/messages",
    "/gemini/v1beta/models/g:generateContent",
    "/vertex_ai/x",
    "/openai/deployments/g/files",
    "/mcp/x",
    "/v1/a2a/x",
    # tied to upstream's accounts, its state or its own protocols
    "/v0/management",
    "/v0/management/config.yaml",
    "/management.html",
    "/v1internal:generateContent",
    "/v1/videos",
    "/v1/videos/generations",
    "/openai/v1/videos",
    "/v1beta/models/veo-3:predictLongRunning",
    "/v1/live",
    "/v1beta/models/g:bidiGenerateContent",
    "/v1/realtime",
    "/v1/alpha/search",
    "/backend-api/codex/alpha/search",
    "/anthropic/callback",
    # spelt so that two readers may read it in two ways
    "/v1/chat/completions/x",
    "/v1/chat/completions//",
    "//v1/chat/completions",
    "/v1//chat/completions",
    "/v1/./chat/completions",
    "/key/generate/../../v1/chat/completions",
    "/v1/chat/completions/../../../key/generate",
    "/v1/chat/completions/%2e%2e/%2E%2e/key/generate",
    "/v1/chat/completions%2f..%2f..%2fkey%2fgenerate",
    "/v1/chat/completions\\..\\..\\key",
    "/v1/chat/completions%5C",
    "/v1/chat/completions%00",
    "/v1/chat/completions%0a",
    "/v1/chat%252Fcompletions",
    "/V1/chat/completions",
    "/v1/chat/completions;x",
    "/",
    "",
    "/api/provider/openai",
]


@pytest.mark.parametrize("path", NO_MODEL_ENDPOINTS)
@pytest.mark.parametrize("prefix", ["", "/api/provider/openai"])
def test_nothing_else_of_litellms_is_reached(path: str, prefix: str) -> None:
    assert not paths.is_model_endpoint(prefix + path)
    assert paths.for_litellm(prefix + path, "m") is None


def test_a_path_begins_with_a_slash() -> None:
    assert not paths.is_model_endpoint("v1/chat/completions")
    assert paths.exposure("GET", "v1/models") is paths.Exposure.NOBODY


@pytest.mark.parametrize(
    ("path", "interactions", "websocket"),
    [
        ("/v1beta/interactions", True, False),
        ("/v1beta/interactions/", True, False),
        ("/api/provider/google/v1beta/interactions", True, False),
        ("/v1beta/interactions/x", False, False),
        ("/v1/responses", False, True),
        ("/v1/responses/", False, True),
        ("/api/provider/openai/v1/responses", False, True),
        ("/backend-api/codex/responses", False, True),
        ("/v1/responses/compact", False, False),
        ("/v1/realtime", False, False),
    ],
)
def test_special_paths(path: str, *, interactions: bool, websocket: bool) -> None:
    assert paths.is_interactions(path) is interactions
    assert paths.takes_websocket(path) is websocket


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/backend-api/codex/responses", "/v1/responses"),
        ("/backend-api/codex/responses/compact", "/v1/responses/compact"),
        ("/backend-api/codex/responsesx", None),
        ("/backend-api/codex", None),
        ("/api/provider/openai/v1/chat/completions", "/v1/chat/completions"),
        ("/api/provider/openai/backend-api/codex/responses", "/v1/responses"),
        ("/v1/messages", "/v1/messages"),
    ],
)
def test_for_litellm_without_a_model_in_the_path(path: str, expected: str | None) -> None:
    assert paths.for_litellm(path, "m") == expected
    assert paths.for_litellm(path, None) == expected


def test_without_a_new_name_the_path_keeps_its_model() -> None:
    assert paths.for_litellm("/v1beta/models/g:countTokens", None) == "/v1beta/models/g:countTokens"


_SEGMENTS = [
    "/",
    "//",
    "api",
    "/provider/",
    "/models/",
    "/v1beta",
    "publishers/google/models/",
    ":",
    "%3A",
    "%",
    "%ff",
    "\udcff",
    "..",
    "g",
    "\n",
]
_any_path = st.one_of(st.text(), st.lists(st.sampled_from(_SEGMENTS)).map("".join).map(lambda s: "/" + s))


@settings(deadline=None)
@given(_any_path)
def test_no_path_raises(path: str) -> None:
    for ask in (paths.is_model_endpoint, paths.is_interactions, paths.takes_websocket, paths.strip_provider):
        ask(path)
    named = paths.model_path(path)
    assert named is None or named.model.strip()
    paths.for_litellm(path, "m")


@settings(deadline=None)
@given(
    st.text(alphabet=st.characters(exclude_categories=["Cs", "Cc"]), min_size=1).filter(
        lambda n: n == n.strip() != "" and not re.search(r"//|^/|/$|\\|(^|/)\.\.?(/|$)", n)
    )
)
def test_a_name_survives_the_way_into_a_path_and_back(name: str) -> None:
    for form in (
        "/v1beta/models/%s:countTokens",
        "/publishers/google/models/%s:countTokens",
        "/openai/deployments/%s/embeddings",
    ):
        found = paths.model_path(form % quote(name, safe=""))
        assert found is not None
        assert found.model == name
        assert unquote(found.with_model(name)).count(name) >= 1


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "path",
    [
        "/publishers/google/models/" * 40_000,
        "/publishers/google/models/" * 40_000 + "g:x:",
        "/v1beta/models/" + ":a" * 500_000 + ":",
        "/models/" + "%3A" * 300_000,
        "/api/provider/" * 70_000,
        "/" * 1_000_000,
        "/.." * 300_000,
        "/v1internal" * 90_000,
    ],
    ids=lambda path: path[:30],
)
def test_a_hostile_path_takes_no_quadratic_time(path: str) -> None:
    # Quadratic work on a million characters would take minutes.
    paths.model_path(path)
    paths.exposure("POST", path)
    paths.for_litellm(path, "m")


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
    assert identify_api(path) == api


@pytest.mark.parametrize(
    ("path", "does"),
    [
        ("/v1/chat/completions", True),
        ("/v1/completions", True),
        ("/prefix/v1/messages?beta=true", True),
        ("/v1/responses/", True),
        ("/v1/responses/compact", True),
        ("/v1beta/models/m:streamGenerateContent?alt=sse", True),
        ("/v1beta/models/m%3AgenerateContent", True),
        ("/v1/messages/count_tokens?beta=true", False),
        ("/v1/responses/input_tokens", False),
        ("/v1beta/models/m:countTokens", False),
        ("/v1beta/models/m%3AcountTokens", False),
        ("/v1/embeddings", False),
    ],
)
def test_what_is_answered_with_a_models_words(path: str, *, does: bool) -> None:
    assert generates(path) is does
