"""A conversation's history without the parts that only their maker can read.

Providers seal parts of an answer for the account that got it: OpenAI's encrypted
reasoning, Anthropic's signed thinking, Google's thought signatures. Clients send
them back every turn, and another account refuses them. `reduce` takes them out and
keeps text, tool calls and tool results; `refuses_history` knows the refusals. What
each provider refuses, and where that is said: docs/history.md.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import msgspec
from msgspec import Raw

from litellm_hybrid.llm.history.anthropic import reduce_messages
from litellm_hybrid.llm.history.gemini import reduce_gemini
from litellm_hybrid.llm.history.json_edit import Changes, Object, masked, unmasked
from litellm_hybrid.llm.history.openai_chat import reduce_chat
from litellm_hybrid.llm.history.openai_responses import reduce_responses
from litellm_hybrid.llm.history.rejections import Refusal, refuses_history

__all__ = ["Api", "Reduced", "Refusal", "api_of", "reduce", "refuses_history"]

type Api = Literal["responses", "messages", "chat", "generate-content"]

_PATHS: tuple[tuple[Api, re.Pattern[str]], ...] = (
    ("responses", re.compile(r"(/(openai/)?v1|/backend-api/codex)?/responses(/compact|/input_tokens)?")),
    ("messages", re.compile(r"(/v1)?/messages(/count_tokens)?")),
    ("chat", re.compile(r"(/v1|/openai/deployments/[^/]+)?/chat/completions")),
    ("generate-content", re.compile(r"/.*models/[^/]+:(generateContent|streamGenerateContent|countTokens)")),
)
_PROVIDER_PREFIX = re.compile(r"^/api/provider/[^/]+(?=/)")

_REDUCERS: dict[Api, Callable[[Object, Changes, Refusal | None], bool]] = {
    "responses": reduce_responses,
    "messages": reduce_messages,
    "chat": reduce_chat,
    "generate-content": reduce_gemini,
}
_REQUEST = msgspec.json.Decoder(dict[str, Raw])


@dataclass(frozen=True, slots=True)
class Reduced:
    """A request body after reduction.

    Attributes:
        body: the reduced body; the very same object if nothing had to be changed.
        dropped: what was taken out or made neutral and how often, sorted by name:
            `(("reasoning", 2), ("tool id", 1))`.
        switched_off: options switched off for this turn, such as `thinking`.
    """

    body: bytes
    dropped: tuple[tuple[str, int], ...] = ()
    switched_off: tuple[str, ...] = ()


def api_of(path: str) -> Api | None:
    """The API that a request path (with or without query) belongs to, or None.

    A prefix `/api/provider/{p}` is looked past.
    """
    bare = _PROVIDER_PREFIX.sub("", path.partition("?")[0].rstrip("/"))
    return next((api for api, pattern in _PATHS if pattern.fullmatch(bare)), None)


def reduce(body: bytes, api: Api, *, refusal: Refusal | None = None) -> Reduced:
    """A request body without the parts that another account or provider refuses.

    Text, tool calls and tool results stay, a call and its result keep one id, and
    every value that is not changed keeps its bytes. Reducing twice is reducing once.
    A body that is not a JSON object, is broken, or is nested too deeply to read stays
    as it is.

    Args:
        body: the request body, decoded (no content-encoding).
        api: its shape, from `api_of`.
        refusal: the refusal that this answers, if any. One that misses a part
            (`thinking-missing`, `thought-signature-missing`, `reasoning-item`) makes
            the request do without it even where nothing foreign is left.
    """
    try:
        return _reduce(body, api, refusal)
    except RecursionError:
        return Reduced(body)
    except ValueError:  # msgspec's errors and UnicodeDecodeError are ValueErrors
        pass
    readable, mark = masked(body)
    try:
        reduced = _reduce(readable, api, refusal)
    except (ValueError, RecursionError):
        return Reduced(body)
    if reduced.body is readable:
        return Reduced(body)
    return replace(reduced, body=unmasked(reduced.body, mark))


def _reduce(body: bytes, api: Api, refusal: Refusal | None) -> Reduced:
    changes = Changes()
    request = _REQUEST.decode(body)
    if not _REDUCERS[api](request, changes, refusal):
        return Reduced(body)
    dropped = tuple(sorted((+changes.dropped).items()))
    return Reduced(msgspec.json.encode(request), dropped, tuple(changes.switched_off))
