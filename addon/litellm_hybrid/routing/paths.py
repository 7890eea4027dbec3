"""What a request's path says: its API, its model, where LiteLLM serves it, and who may reach it upstream.

Paths here are without their query. They are read as Gin reads them: percent-
decoded once, in their own case, neither dot segments nor double slashes
resolved; one slash at the end is allowed, which Gin and LiteLLM answer with a
redirect. CLIProxyAPI's routes are those of its v6.10, v7.1 and v7.2; LiteLLM's
side is what its 1.106 serves.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, StrEnum
from functools import lru_cache, wraps
from urllib.parse import quote, unquote

_PROVIDER = re.compile(r"/api/provider/[^/]+(?=/|$)")

_NO_UTF8 = re.compile(r"[\udc80-\udcff]")  # how a byte that is no UTF-8 stands in a decoded path

# What some server behind this one may resolve to another path than the one that was looked up.
_ODD = re.compile(r"//|/\.\.?(?:/|$)|[\\\x00-\x1f\x7f]")

_BELOW_V1 = (
    "chat/completions|completions|embeddings|responses(?:/compact)?|moderations|rerank"
    "|images/(?:generations|edits)|audio/(?:speech|transcriptions|translations)"
)
_MODEL_ENDPOINT = re.compile(
    rf"(?:/v1)?/(?:{_BELOW_V1})|/v2/rerank|/v1/messages(?:/count_tokens)?|/v1beta/interactions"
)
"""Where LiteLLM serves a model that the body names. Nothing else of LiteLLM's is reached through us."""

_BELOW_PROVIDER = re.compile(rf"/(?:{_BELOW_V1}|messages(?:/count_tokens)?|models)/?")
"""What Amp's module serves right below its prefix, and CLIProxyAPI below `/v1`."""

_CODEX = re.compile(r"/backend-api/codex(?=/responses(?:/compact)?$)")

_VERBS = "generateContent|streamGenerateContent|countTokens|embedContent|batchEmbedContents"
_VERB = rf":(?P<verb>{_VERBS})"

# The second column is what LiteLLM has before the model's name.
_MODEL_FORMS: tuple[tuple[re.Pattern[str], str], ...] = (
    (
        re.compile(
            r"(?:/v1(?:alpha|beta1?)?(?:/projects/[^/]+/locations/[^/]+)?)?/publishers/google/models/"
            rf"(?P<model>.+){_VERB}"
        ),
        "/v1beta/models/",
    ),
    (re.compile(rf"/v1(?:alpha|beta1?)?/models/(?P<model>.+){_VERB}"), "/v1beta/models/"),
    (re.compile(rf"/models/(?P<model>.+){_VERB}"), "/models/"),
    (re.compile(rf"/openai/deployments/(?P<model>.+?)(?P<rest>/(?:{_BELOW_V1}))"), "/openai/deployments/"),
)

_UPSTREAM_API = re.compile(
    r"""
      /v1/models(?:/.*)? | /v1(?:alpha|beta1?)/models(?:/.*)? | /models
    | (?:/openai)?/v1/videos(?:/.*)?
    | /v1/responses/.+
    | /v1/live(?:/.*)? | /v1/realtime(?:/.*)?
    | (?:/v1|/backend-api/codex)/alpha/search           # Codex's web search
    """,
    re.VERBOSE,
)
"""CLIProxyAPI's model APIs beside those that LiteLLM serves too."""

_STORED_RESPONSE = re.compile(
    r"(?:/v1)?/responses/(?P<id>resp_[\w=.+-]+)(?P<rest>/cancel|/input_items)?", re.ASCII
)
_STORED_METHODS = {"": ("GET", "DELETE"), "/cancel": ("POST",), "/input_items": ("GET",)}

_PUBLIC = re.compile(r"/|/healthz|/[a-z0-9-]+/callback")


_REMEMBERED = 200
"""Characters of a path."""


class Api(StrEnum):
    """A request and response shape, by which histories, transcripts and model names are read."""

    RESPONSES = "responses"
    MESSAGES = "messages"
    CHAT = "chat"
    COMPLETIONS = "completions"
    GENERATE_CONTENT = "generate-content"


# CLIProxyAPI, its Amp module, Codex, Azure and LiteLLM put different prefixes before the same endings (`/v1`,
# `/api/provider/openai/v1`, `/backend-api/codex`, `/openai/deployments/gpt-5`, none at all): the first ending
# that matches decides.
_API_ENDINGS: tuple[tuple[tuple[str, ...], Api], ...] = (
    (("/chat/completions",), Api.CHAT),
    (("/completions",), Api.COMPLETIONS),
    (("/responses", "/responses/compact", "/responses/input_tokens"), Api.RESPONSES),
    (("/messages", "/messages/count_tokens"), Api.MESSAGES),
    ((":generateContent", ":streamGenerateContent", ":countTokens"), Api.GENERATE_CONTENT),
)


_COUNTS = ("/responses/input_tokens", "/messages/count_tokens", ":countTokens")


class Exposure(Enum):
    """Who may reach a path of upstream's through this proxy, beside this machine's programs."""

    ANYBODY = "anybody"
    CLIENTS = "clients"
    """Clients on other machines: with a client key, where client keys are configured."""
    NOBODY = "nobody"


@dataclass(frozen=True, slots=True)
class ModelPath:
    """A path that names a model.

    Attributes:
        model: the name, percent-decoded.
        verb: of `…/models/{model}:{verb}`; "" where the path has none.
    """

    model: str
    verb: str
    _before: str
    _behind: str

    def with_model(self, name: str) -> str:
        """The path under which LiteLLM serves this, with `name` in the model's place."""
        return f"{self._before}{quote(name, safe='/')}{self._behind}"


def remembered[T](read: Callable[[str], T]) -> Callable[[str], T]:
    """Read a path that was read a moment ago no second time; clients write it, so a long one is not kept."""
    cached = lru_cache(maxsize=256)(read)
    return wraps(read)(lambda path: cached(path) if len(path) <= _REMEMBERED else read(path))


@remembered
def identify_api(path: str) -> Api | None:
    """The API of a request path (with or without its query), or None."""
    bare = _bare(path)
    return next((api for endings, api in _API_ENDINGS if bare.endswith(endings)), None)


def _bare(path: str) -> str:
    return path.partition("?")[0].rstrip("/").replace("%3A", ":").replace("%3a", ":")


@remembered
def generates(path: str) -> bool:
    """Whether a path of an API answers with what a model has written, and not with a count of tokens."""
    return identify_api(path) is not None and not _bare(path).endswith(_COUNTS)


def strip_provider(path: str) -> str:
    """`path` without Amp's `/api/provider/{p}` prefix; what is left is at least "/"."""
    return _PROVIDER.sub("", path, count=1) or "/" if _PROVIDER.match(path) else path


@remembered
def model_path(path: str) -> ModelPath | None:
    """The model that a path names, or None. The provider prefix may still be on it."""
    decoded = _decoded(path)
    return None if decoded is None else _model_path(strip_provider(decoded))


@remembered
def is_model_endpoint(path: str) -> bool:
    """Whether LiteLLM serves POSTs to this path with the model that they name."""
    return for_litellm(path, None) is not None


def exposure(method: str, path: str) -> Exposure:
    """Who may reach a path of upstream's, whose own gates take this proxy for its client."""
    return _exposure_to_post(path) if method == "POST" else _exposure(method, path)


@remembered
def _exposure_to_post(path: str) -> Exposure:
    return _exposure("POST", path)


def _exposure(method: str, path: str) -> Exposure:
    decoded = _decoded(path)
    if decoded is None:
        return Exposure.NOBODY
    if method in ("GET", "HEAD") and _PUBLIC.fullmatch(decoded):
        return Exposure.ANYBODY
    stripped = strip_provider(decoded)
    # What is no model call below it goes to Amp's server with the operator's account (v6, v7.1).
    amp = decoded != stripped and stripped.startswith("/v1beta1")
    if amp:
        served = method == "POST" and _model_path(stripped) is not None
    else:
        served = is_model_endpoint(path) or bool(_UPSTREAM_API.fullmatch(stripped))
    if not served:
        return Exposure.NOBODY
    # A browser asks without a key whether it may ask with one.
    return Exposure.ANYBODY if method == "OPTIONS" else Exposure.CLIENTS


def is_opened(path: str, opened: tuple[str, ...]) -> bool:
    """Whether a path is one of those that `upstream-paths` names; a `*` at the end of one is anything."""
    decoded = _decoded(path) if opened else None
    return decoded is not None and any(
        decoded.startswith(entry[:-1]) if entry.endswith("*") else decoded == entry for entry in opened
    )


def is_interactions(path: str) -> bool:
    """Whether this is Gemini's interactions API, where an `agent` binds a request to upstream."""
    return for_litellm(path, None) == "/v1beta/interactions"


def takes_websocket(path: str) -> bool:
    """Whether Codex opens a websocket here before it tries HTTP."""
    return strip_provider(path).rstrip("/") in {"/v1/responses", "/backend-api/codex/responses"}


def for_litellm(path: str, model: str | None) -> str | None:
    """The path under which LiteLLM serves a request; None: it does not serve it.

    `model`, LiteLLM's name for the model, is put where the path names one; None: the client's.
    """
    found = _served(path)
    return found.with_model(model or found.model) if isinstance(found, ModelPath) else found


def stored_response(method: str, path: str) -> tuple[str, str] | None:
    """The id of the stored response that a request reads, deletes or cancels, and LiteLLM's path, or None."""
    if "/responses/" not in path:
        return None
    decoded = _decoded(path)
    found = _STORED_RESPONSE.fullmatch(strip_provider(decoded)) if decoded is not None else None
    if found is None or method not in _STORED_METHODS[found["rest"] or ""]:
        return None
    return found["id"], f"/v1/responses/{found['id']}{found['rest'] or ''}"


def for_upstream(path: str) -> str:
    """The path under which CLIProxyAPI since 7.2, which has no Amp module, serves one with Amp's prefix."""
    stripped = strip_provider(path)
    if stripped == path:
        return path
    named = model_path(path)
    if named is not None and named.verb and not stripped.startswith(("/v1beta/", "/v1/")):
        return "/v1beta" + named.with_model(named.model).removeprefix("/v1beta")
    return f"/v1{stripped}" if _BELOW_PROVIDER.fullmatch(stripped) else stripped


@remembered
def _decoded(path: str) -> str | None:
    """A path as Gin looks it up, without a slash at its end; None: there is something odd about it."""
    decoded = unquote(path)
    if not decoded.startswith("/") or _ODD.search(decoded):
        return None
    return decoded.removesuffix("/") or "/"


@remembered
def _served(path: str) -> ModelPath | str | None:
    """Where LiteLLM serves a path, or the model that it names; None: it does not serve it."""
    if (decoded := _decoded(path)) is None:
        return None
    stripped = strip_provider(decoded)
    plain = _CODEX.sub("/v1", stripped)
    return _model_path(stripped) or (plain if _MODEL_ENDPOINT.fullmatch(plain) else None)


def _model_path(path: str) -> ModelPath | None:
    if ":" not in path and "/deployments/" not in path:
        return None  # what most paths are
    for pattern, before in _MODEL_FORMS:
        if match := pattern.fullmatch(path):
            model = _NO_UTF8.sub("\ufffd", match["model"]).strip()
            verb, rest = (match.groupdict().get(name) or "" for name in ("verb", "rest"))
            return ModelPath(model, verb, before, rest or f":{verb}") if model else None
    return None
