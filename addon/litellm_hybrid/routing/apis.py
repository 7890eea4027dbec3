"""Which of the model APIs a path belongs to: one table for histories, transcripts and model names.

CLIProxyAPI, its Amp module, Codex, Azure and LiteLLM put different prefixes before
the same endings (`/v1`, `/api/provider/openai/v1`, `/backend-api/codex`,
`/openai/deployments/gpt-5`, none at all), so the ending decides.
"""

from enum import StrEnum


class Api(StrEnum):
    """A request and response shape."""

    RESPONSES = "responses"
    MESSAGES = "messages"
    CHAT = "chat"
    COMPLETIONS = "completions"
    GENERATE_CONTENT = "generate-content"


# The first that matches decides.
_ENDINGS: tuple[tuple[tuple[str, ...], Api], ...] = (
    (("/chat/completions",), Api.CHAT),
    (("/completions",), Api.COMPLETIONS),
    (("/responses", "/responses/compact", "/responses/input_tokens"), Api.RESPONSES),
    (("/messages", "/messages/count_tokens"), Api.MESSAGES),
    ((":generateContent", ":streamGenerateContent", ":countTokens"), Api.GENERATE_CONTENT),
)


def identify(path: str) -> Api | None:
    """The API of a request path (with or without its query), or None."""
    bare = path.partition("?")[0].rstrip("/").replace("%3A", ":").replace("%3a", ":")
    return next((api for endings, api in _ENDINGS if bare.endswith(endings)), None)
