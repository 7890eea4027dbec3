"""A conversation's history without the parts that only their maker can read.

Providers seal parts of an answer for the account that got it: OpenAI's encrypted
reasoning, Anthropic's signed thinking, Google's thought signatures. Clients send
them back every turn, and another account refuses them. `reduce` takes them out and
keeps text, tool calls and tool results; `rejections.py` knows the refusals. What
each provider refuses, and where that is said: docs/history.md.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import msgspec
from msgspec import Raw

from litellm_hybrid.config.settings import HistoryPolicy
from litellm_hybrid.llm.history.anthropic import reduce_messages
from litellm_hybrid.llm.history.gemini import reduce_gemini
from litellm_hybrid.llm.history.json_edit import Changes, Object
from litellm_hybrid.llm.history.openai_chat import reduce_chat
from litellm_hybrid.llm.history.openai_responses import reduce_responses
from litellm_hybrid.llm.history.rejections import HistoryRejection
from litellm_hybrid.message.json import masked, unmasked
from litellm_hybrid.routing.apis import Api

# Anthropic's signed thinking and Google's thought signatures belong to a model, whoever pays for it: they
# travel to the same provider's models. OpenAI's encrypted reasoning belongs to an organisation, and
# LiteLLM's key is another one's.
_SAME_PROVIDER = {Api.MESSAGES: ("claude", "anthropic"), Api.GENERATE_CONTENT: ("gemini", "google")}

_REDUCERS: dict[Api, Callable[[Object, Changes, HistoryRejection | None], bool]] = {
    Api.RESPONSES: reduce_responses,
    Api.MESSAGES: reduce_messages,
    Api.CHAT: reduce_chat,
    Api.GENERATE_CONTENT: reduce_gemini,
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


def travels(policy: HistoryPolicy, api: Api, model: str) -> bool:
    """Whether a history goes to LiteLLM as it is, or reduced.

    Args:
        policy: `fallback.history`; `auto` sends what the provider behind LiteLLM is likely to read.
        api: the request's.
        model: LiteLLM's name for the model, which mostly names its provider.
    """
    if policy != "auto":
        return policy == "keep"
    if api == Api.RESPONSES:
        return False
    names = _SAME_PROVIDER.get(api)
    return names is None or any(name in model.lower() for name in names)


def reduce(body: bytes, api: Api, *, rejection: HistoryRejection | None = None) -> Reduced:
    """A request body without the parts that another account or provider refuses.

    Text, tool calls and tool results stay, a call and its result keep one id, and
    every value that is not changed keeps its bytes. Reducing twice is reducing once.
    A body that is not a JSON object, is broken, or is nested too deeply to read stays
    as it is.

    Args:
        body: the request body, decoded (no content-encoding).
        api: its shape.
        rejection: the refusal that this answers, if any. One that misses a part
            (`thinking-missing`, `thought-signature-missing`, `reasoning-item`) makes
            the request do without it even where nothing foreign is left.
    """
    try:
        return _reduce(body, api, rejection)
    except RecursionError:
        return Reduced(body)
    except ValueError:  # msgspec's errors and UnicodeDecodeError are ValueErrors
        pass
    readable, mark = masked(body)
    try:
        reduced = _reduce(readable, api, rejection)
    except (ValueError, RecursionError):
        return Reduced(body)
    if reduced.body is readable:
        return Reduced(body)
    return replace(reduced, body=unmasked(reduced.body, mark))


def _reduce(body: bytes, api: Api, rejection: HistoryRejection | None) -> Reduced:
    changes = Changes()
    request = _REQUEST.decode(body)
    reducer = _REDUCERS.get(api)
    if reducer is None or not reducer(request, changes, rejection):
        return Reduced(body)
    dropped = tuple(sorted((+changes.dropped).items()))
    return Reduced(msgspec.json.encode(request), dropped, tuple(changes.switched_off))
