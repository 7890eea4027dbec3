"""A conversation's history without the parts that only their maker can read.

Providers seal parts of a response for the account that got it: OpenAI's encrypted
reasoning, Anthropic's signed thinking, Google's thought signatures. Clients send
them back every turn, and another account refuses them. `reduce` takes them out and
keeps text, tool calls and tool results; `rejections.py` knows the refusals. What
each provider refuses, and where that is said: docs/history.md.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial

import msgspec
from msgspec import Raw

from litellm_hybrid.config.settings import HistoryPolicy
from litellm_hybrid.llm.history import anthropic, openai_chat, openai_responses
from litellm_hybrid.llm.history.gemini import reduce_gemini
from litellm_hybrid.llm.history.json_edit import Object, edit_body
from litellm_hybrid.llm.history.reduction import Reduction, Side
from litellm_hybrid.llm.history.rejections import HistoryRejection
from litellm_hybrid.message.json import MOST_HISTORY, has_many_parts
from litellm_hybrid.message.lone_surrogates import readable
from litellm_hybrid.routing.paths import Api

# Anthropic's signed thinking and Google's thought signatures belong to a model, whoever pays for it: they
# travel to the same provider's models. OpenAI's encrypted reasoning belongs to an organisation, and
# LiteLLM's key is another one's.
_SAME_PROVIDER = {Api.MESSAGES: ("claude", "anthropic"), Api.GENERATE_CONTENT: ("gemini", "google")}

_REDUCERS: dict[Api, Callable[[Object, Reduction], bool]] = {
    Api.RESPONSES: openai_responses.reduce_responses,
    Api.MESSAGES: anthropic.reduce_messages,
    Api.CHAT: openai_chat.reduce_chat,
    Api.GENERATE_CONTENT: reduce_gemini,
}
TOOL_LOOPS: dict[Api, Callable[[Object], bool]] = {
    Api.RESPONSES: openai_responses.in_tool_loop,
    Api.MESSAGES: anthropic.in_tool_loop,
    Api.CHAT: openai_chat.in_tool_loop,
}
"""Whether a request goes on from a tool's result, by its API."""
_REQUEST = msgspec.json.Decoder(dict[str, Raw])


_UNSIGNED: HistoryRejection = "thought-signature-missing"
_OF_A_TURN: HistoryRejection = "thinking-missing"


@dataclass(frozen=True, slots=True)
class Reduced:
    """A request body after reduction; the very same object if nothing had to be changed.

    Attributes:
        dropped: what was taken out or made neutral and how often, by name: `(("reasoning", 2), ("tool id",
            1))`.
        switched_off: options switched off for this turn, such as `thinking`.
    """

    body: bytes
    dropped: tuple[tuple[str, int], ...] = ()
    switched_off: tuple[str, ...] = ()


def travels(policy: HistoryPolicy, api: Api, model: str) -> bool:
    """Whether a history goes to LiteLLM as it is, or reduced.

    `auto` sends what the provider behind LiteLLM is likely to read: `model`, LiteLLM's name for it, mostly
    says which.
    """
    if policy != "auto":
        return policy == "keep"
    if api == Api.RESPONSES:
        return False
    names = _SAME_PROVIDER.get(api)
    return names is None or any(name in model.lower() for name in names)


def reduce(
    body: bytes, api: Api, *, side: Side = "litellm", rejection: HistoryRejection | None = None
) -> Reduced:
    """A request body without the parts that another account or provider refuses.

    Text, tool calls and tool results stay, a call and its result keep one id, and every value that is not
    changed keeps its bytes. Reducing twice is reducing once. A body that is no JSON object, broken, or
    nested too deeply stays as it is. A `rejection` that misses a part (`thinking-missing`,
    `thought-signature-missing`, `reasoning-item`) makes the request do without it even where nothing
    foreign is left.
    """
    return _carried_out(body, api, partial(Reduction, side, rejection=rejection))


def reduce_again(body: bytes, api: Api, side: Side, rejections: Collection[HistoryRejection]) -> Reduced:
    """A request body without what nobody on that side can read, or what it has refused before: see `reduce`.

    Nobody can read thinking whose seal is empty or tells a maker on the other side, members that such a maker
    adds, and empty texts. Thinking is missed only in the tool loop that the other side began: behind it
    nothing is left out for it. Where a signature was missed neither: calls without one get the placeholder.
    """
    if has_many_parts(body, MOST_HISTORY):
        return Reduced(body)
    unsigned = [_UNSIGNED] if _UNSIGNED in rejections and api is Api.GENERATE_CONTENT else []
    passing = [_OF_A_TURN] if _OF_A_TURN in rejections and _in_tool_loop(body, api) else []
    lasting = [rejection for rejection in rejections if rejection not in {_OF_A_TURN, _UNSIGNED}]
    first = next(iter([*unsigned, *passing, *lasting]), None)
    everything = bool(passing or lasting)
    return _carried_out(body, api, partial(Reduction, side, everything=everything, rejection=first))


def _in_tool_loop(body: bytes, api: Api) -> bool:
    try:
        return api in TOOL_LOOPS and TOOL_LOOPS[api](_REQUEST.decode(readable(body)))
    except (ValueError, RecursionError):
        return False


def _carried_out(body: bytes, api: Api, start: Callable[[], Reduction]) -> Reduced:
    work, reducer = start(), _REDUCERS.get(api)
    if reducer is None or has_many_parts(body, MOST_HISTORY):
        return Reduced(body)

    def edit(request: Object) -> bool:
        nonlocal work
        work = start()  # a body with a lone surrogate is edited a second time
        return reducer(request, work)

    after = edit_body(body, edit)
    if after is body:
        return Reduced(body)
    return Reduced(after, tuple(sorted((+work.dropped).items())), tuple(work.switched_off))
