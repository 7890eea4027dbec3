"""What a request's path says: the model it names, where LiteLLM serves it, and whether it may leave upstream.

Paths here are without their query. The forms are those that CLIProxyAPI, its
v6 Amp module and google-genai use; LiteLLM's side is what its 1.106 serves.
"""

import re
from dataclasses import dataclass
from posixpath import normpath
from urllib.parse import quote, unquote

_PROVIDER = re.compile(r"/api/provider/[^/]+(?=/|$)")

_NO_UTF8 = re.compile(r"[\udc80-\udcff]")  # how a byte that is no UTF-8 stands in a decoded path

_VERB = r"(?::|%3[Aa])(?P<verb>[A-Za-z]+)"

# The first that matches decides. The second column is what LiteLLM serves for it.
# (?>…) gives nothing back: a path made of that prefix alone would take quadratic time.
_MODEL_FORMS: tuple[tuple[re.Pattern[str], str], ...] = (
    (
        re.compile(rf"(?>(?:/.*)?/publishers/google/models/)(?P<model>.+){_VERB}"),
        "/v1beta/models/{model}:{verb}",
    ),
    (re.compile(rf"/v1(?:beta|beta1)?/models/(?P<model>.+){_VERB}"), "/v1beta/models/{model}:{verb}"),
    (re.compile(rf"/models/(?P<model>.+){_VERB}"), "/models/{model}:{verb}"),
    (re.compile(r"/models/(?P<model>[^/]+)(?P<rest>/.*)?"), "/models/{model}{rest}"),
    (re.compile(r"/openai/deployments/(?P<model>[^/]+)(?P<rest>/.*)"), "/openai/deployments/{model}{rest}"),
)

_CODEX = re.compile(r"/backend-api/codex(?=/responses(?:/|$))")

# Requests that only upstream can serve: tied to its accounts, its state or its
# own protocols. Matched against the decoded, normalised, lower-cased path.
_UPSTREAM_ONLY = re.compile(
    r"""
      /v0/management(?:/.*)? | /management\.html        # its own management
    | /v1internal(?:[:/].*)?                            # Code Assist
    | (?:/openai)?/v1/videos(?:/.*)?
    | .*:predictlongrunning                             # Gemini's videos
    | /v1/live(?:/.*)? | .*:bidigeneratecontent | /ws(?:/.*)?
    | (?:/openai)?/v1/realtime(?:/.*)?
    | (?:/v1|/backend-api/codex)/alpha/search           # Codex's web search
    | /[^/]+/callback | /oauth2?callback | /oauth(?:/.*)?
    """,
    re.VERBOSE | re.DOTALL,  # an encoded line break must not hide a path either
)


_MANAGEMENT = re.compile(r"/v0/management(?:/|$)|/management\.html$")


@dataclass(frozen=True, slots=True)
class ModelPath:
    """A path that names a model.

    Attributes:
        model: the name, percent-decoded.
        verb: of `…/models/{model}:{verb}`; "" where the path has none.
    """

    model: str
    verb: str
    _template: str
    _rest: str

    def with_model(self, name: str) -> str:
        """The path under which LiteLLM serves this, with `name` in the model's place."""
        return self._template.format(model=quote(name, safe="/"), verb=self.verb, rest=self._rest)


def strip_provider(path: str) -> str:
    """`path` without Amp's `/api/provider/{p}` prefix; what is left is at least "/"."""
    return _PROVIDER.sub("", path, count=1) or "/" if _PROVIDER.match(path) else path


def model_path(path: str) -> ModelPath | None:
    """The model that a path names, or None. The provider prefix may still be on it."""
    stripped = strip_provider(path)
    for pattern, template in _MODEL_FORMS:
        if (match := pattern.fullmatch(stripped)) is None:
            continue
        groups = match.groupdict()
        model = _NO_UTF8.sub("\ufffd", unquote(groups["model"])).strip()
        if not model:
            return None
        return ModelPath(model, groups.get("verb") or "", template, groups.get("rest") or "")
    return None


def upstream_only(path: str) -> bool:
    """Whether only upstream can serve this path, whatever model the request names."""
    return _UPSTREAM_ONLY.fullmatch(_normal(path)) is not None


def is_management(path: str) -> bool:
    """Whether this is CLIProxyAPI's own management, however it is written."""
    return _MANAGEMENT.match(_normal(path)) is not None


def is_interactions(path: str) -> bool:
    """Whether this is Gemini's interactions API, where an `agent` binds a request to upstream."""
    return strip_provider(path).rstrip("/") == "/v1beta/interactions"


def takes_websocket(path: str) -> bool:
    """Whether Codex opens a websocket here before it tries HTTP."""
    return strip_provider(path).rstrip("/") in {"/v1/responses", "/backend-api/codex/responses"}


def for_litellm(path: str, model: str | None) -> str:
    """The path under which LiteLLM serves a request.

    Args:
        path: the client's path, provider prefix and all.
        model: LiteLLM's name for the model, put where the path names one.
    """
    named = model_path(path)
    if named is not None and model is not None:
        return named.with_model(model)
    return _CODEX.sub("/v1", strip_provider(path))


def _normal(path: str) -> str:
    """A path as upstream may read it: encoded dots and doubled slashes must not hide it from a list."""
    decoded = unquote(strip_provider(path)).lower()
    return strip_provider(normpath("/" + decoded.lstrip("/")))
