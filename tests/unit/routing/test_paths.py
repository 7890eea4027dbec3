from collections.abc import Callable
from urllib.parse import quote, unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from litellm_hybrid.routing import paths

# path → (model, the path under which LiteLLM serves it when the model is called "m")
MODEL_PATHS = [
    ("/v1beta/models/gemini-2.5-pro:generateContent", "gemini-2.5-pro", "/v1beta/models/m:generateContent"),
    ("/v1beta/models/g:streamGenerateContent", "g", "/v1beta/models/m:streamGenerateContent"),
    ("/v1beta/models/g:countTokens", "g", "/v1beta/models/m:countTokens"),
    ("/v1beta1/models/g:generateContent", "g", "/v1beta/models/m:generateContent"),
    ("/v1/models/g:generateContent", "g", "/v1beta/models/m:generateContent"),
    ("/models/g:generateContent", "g", "/models/m:generateContent"),
    ("/models/g", "g", "/models/m"),
    ("/models/g/", "g", "/models/m/"),
    ("/models/g/predict", "g", "/models/m/predict"),
    ("/models/g/a/b", "g", "/models/m/a/b"),
    ("/openai/deployments/gpt-5/chat/completions", "gpt-5", "/openai/deployments/m/chat/completions"),
    ("/publishers/google/models/g:generateContent", "g", "/v1beta/models/m:generateContent"),
    ("/v1beta1/publishers/google/models/g:generateContent", "g", "/v1beta/models/m:generateContent"),
    (
        "/v1/projects/p/locations/l/publishers/google/models/g:streamGenerateContent",
        "g",
        "/v1beta/models/m:streamGenerateContent",
    ),
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
    ("/models/org%2Fname", "org/name", "/models/m"),
    # slashes and colons are part of LiteLLM's names
    ("/v1beta/models/org/name:generateContent", "org/name", "/v1beta/models/m:generateContent"),
    ("/v1beta/models/llama3:8b:generateContent", "llama3:8b", "/v1beta/models/m:generateContent"),
    # not a placeholder of ours
    ("/models/g/{model}{verb}", "g", "/models/m/{model}{verb}"),
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


UPSTREAM_ONLY = [
    "/v0/management",
    "/v0/management/",
    "/v0/management/config.yaml",
    "/management.html",
    "/v1internal",
    "/v1internal:generateContent",
    "/v1internal:streamGenerateContent",
    "/v1internal/x",
    "/v1/videos",
    "/v1/videos/generations",
    "/openai/v1/videos",
    "/v1beta/models/veo-3:predictLongRunning",
    "/v1/live",
    "/v1/live/x",
    "/v1beta/models/g:bidiGenerateContent",
    "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent",
    "/v1/realtime",
    "/v1/realtime/client_secrets",
    "/openai/v1/realtime",
    "/v1/alpha/search",
    "/backend-api/codex/alpha/search",
    "/anthropic/callback",
    "/codex/callback",
    "/google/callback",
    "/oauth2callback",
    "/oauthcallback",
    "/oauth/token",
]


@pytest.mark.parametrize("path", UPSTREAM_ONLY)
@pytest.mark.parametrize(
    "disguise",
    [
        lambda path: path,
        lambda path: path.upper(),
        lambda path: "/api/provider/openai" + path,
        lambda path: "//" + path,
        lambda path: "/v1/.." + path,
        lambda path: "/v1/%2e%2E" + path,
        lambda path: "/api%2Fprovider/openai" + path,
        lambda path: "/" + "".join(f"%{ord(letter):02x}" for letter in path[1:]),
    ],
)
def test_what_only_upstream_can_serve(path: str, disguise: Callable[[str], str]) -> None:
    assert paths.upstream_only(disguise(path))


def test_an_encoded_line_break_hides_nothing() -> None:
    assert paths.upstream_only("/v0/management/%0A")
    assert paths.upstream_only("/v1beta/models/a%0Ab:bidiGenerateContent")


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/v1/chat/completions",
        "/v1/completions",
        "/v1/messages",
        "/v1/messages/count_tokens",
        "/v1/responses",
        "/v1/responses/compact",
        "/v1/embeddings",
        "/v1/images/generations",
        "/v1/images/edits",
        "/v1/audio/transcriptions",
        "/v1beta/models/g:generateContent",
        "/v1beta/interactions",
        "/backend-api/codex/responses",
        "/v1internals",
        "/v1/videosx",
        "/v1/livestock",
        "/wsx",
        "/api/provider/openai/v1/chat/completions",
        "/a/b/callback",
        "/models/callback/x",
    ],
)
def test_what_litellm_may_serve(path: str) -> None:
    assert not paths.upstream_only(path)


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
        ("/backend-api/codex/responsesx", "/backend-api/codex/responsesx"),
        ("/backend-api/codex", "/backend-api/codex"),
        ("/api/provider/openai/v1/chat/completions", "/v1/chat/completions"),
        ("/api/provider/openai/backend-api/codex/responses", "/v1/responses"),
        ("/v1/messages", "/v1/messages"),
        ("/v1/a%2Fb", "/v1/a%2Fb"),
    ],
)
def test_for_litellm_without_a_model_in_the_path(path: str, expected: str) -> None:
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
    for ask in (paths.upstream_only, paths.is_interactions, paths.takes_websocket, paths.strip_provider):
        ask(path)
    named = paths.model_path(path)
    assert named is None or named.model.strip()
    paths.for_litellm(path, "m")


@settings(deadline=None)
@given(
    st.text(alphabet=st.characters(exclude_categories=["Cs"]), min_size=1).filter(
        lambda n: n == n.strip() != ""
    )
)
def test_a_name_survives_the_way_into_a_path_and_back(name: str) -> None:
    for form in ("/v1beta/models/%s:countTokens", "/publishers/google/models/%s:countTokens", "/models/%s/x"):
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
    paths.upstream_only(path)
    paths.for_litellm(path, "m")
