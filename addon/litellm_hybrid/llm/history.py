"""A conversation's history without the parts that only their maker can read.

Providers seal parts of a response for the account that got it: OpenAI's encrypted
reasoning, Anthropic's signed thinking, Google's thought signatures. Clients send
them back every turn, and another account refuses them. `reduce` takes them out and
keeps text, tool calls and tool results; `detect_history_rejection` knows the refusals.
What each provider refuses, and where that is said: docs/history.md.
"""

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from itertools import islice

import msgspec
from msgspec import Raw

from litellm_hybrid.config.settings import HistoryPolicy
from litellm_hybrid.llm import anthropic, openai_chat, openai_responses
from litellm_hybrid.llm.gemini import reduce_gemini
from litellm_hybrid.llm.reduction import HistoryRejection, Reduction, Side
from litellm_hybrid.message.json import MOST_HISTORY, decode, has_many_parts
from litellm_hybrid.message.json_edit import RawObject, edit_body, readable
from litellm_hybrid.quota import error_shapes
from litellm_hybrid.quota.wording import alternatives
from litellm_hybrid.routing.paths import Api

# Anthropic's signed thinking and Google's thought signatures belong to a model, whoever pays for it: they
# travel to the same provider's models. OpenAI's encrypted reasoning belongs to an organisation, and
# LiteLLM's key is another one's.
_SAME_PROVIDER = {Api.MESSAGES: ("claude", "anthropic"), Api.GENERATE_CONTENT: ("gemini", "google")}

_REDUCERS: dict[Api, Callable[[RawObject, Reduction], bool]] = {
    Api.RESPONSES: openai_responses.reduce_responses,
    Api.MESSAGES: anthropic.reduce_messages,
    Api.CHAT: openai_chat.reduce_chat,
    Api.GENERATE_CONTENT: reduce_gemini,
}
TOOL_LOOPS: dict[Api, Callable[[RawObject], bool]] = {
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
    if not rejections:
        if not may_hold_unreadable(body, api):
            return Reduced(body)
        return _carried_out(body, api, partial(Reduction, side, everything=False))
    unsigned = [_UNSIGNED] if _UNSIGNED in rejections and api is Api.GENERATE_CONTENT else []
    passing = [_OF_A_TURN] if _OF_A_TURN in rejections and _in_tool_loop(body, api) else []
    lasting = [rejection for rejection in rejections if rejection not in {_OF_A_TURN, _UNSIGNED}]
    first = next(iter([*unsigned, *passing, *lasting]), None)
    everything = bool(passing or lasting)
    return _carried_out(body, api, partial(Reduction, side, everything=everything, rejection=first))


def may_hold_unreadable(body: bytes, api: Api | None) -> bool:
    """Whether `reduce_again` may change a body though nothing has been refused; it costs a little."""
    return api is not Api.CHAT or openai_chat.may_be_unreadable(body)


def _in_tool_loop(body: bytes, api: Api) -> bool:
    if has_many_parts(body, MOST_HISTORY):
        return False
    try:
        return api in TOOL_LOOPS and TOOL_LOOPS[api](_REQUEST.decode(readable(body)))
    except (ValueError, RecursionError):
        return False


def _carried_out(body: bytes, api: Api, start: Callable[[], Reduction]) -> Reduced:
    work, reducer = None, _REDUCERS.get(api)
    if reducer is None or has_many_parts(body, MOST_HISTORY):
        return Reduced(body)

    def edit(request: RawObject) -> bool:
        nonlocal work
        work = start()  # anew: a body with a lone surrogate is edited a second time
        return reducer(request, work)

    after = edit_body(body, edit)
    if after is body or work is None:
        return Reduced(body)
    return Reduced(
        after, tuple(sorted(item for item in work.dropped.items() if item[1])), tuple(work.switched_off)
    )


# -- rejections -------------------------------------------------------------------

# 200 is an error inside a stream; 500 is how LiteLLM passes on what it cannot map.
_STATUSES = frozenset({200, 400, 403, 404, 422, 500})

# CLIProxyAPI's Codex executor rewrites OpenAI's code to its own.
_CODES = frozenset({"invalid_encrypted_content", "thinking_signature_invalid"})

# A phrase counts only where a message, or one that is quoted inside it, begins; so LiteLLM's wrapping
# (`litellm.BadRequestError: OpenAIException - {…}`) is looked through, and a user's words in the middle of
# another error are not taken for one. The sources of the phrases are in docs/history.md.
# The most telling first; an alternative a line, `~` as in `said_at_beginning`.
# fmt: off
_PHRASES: dict[HistoryRejection, str] = {
    "encrypted-content": r"The encrypted content .{1,300}? could not be verified",
    "item-not-found": r"Item with id ~rs_[\w-]+~ not found",
    "reasoning-item":
        r"Item ~[\w-]+~ of type ~\w+~ was provided without its required ~\w+~ (following )?item",
    "thinking-signature": r"""
        Invalid ~signature~ in ~thinking~ block
        Invalid ~data~ in ~redacted_thinking~ block
        ~thinking~ or ~redacted_thinking~ blocks in the latest assistant message cannot
        When providing ~thinking~ or ~redacted_thinking~ blocks, the blocks must match
        messages\.\d+\.content\.\d+\.(thinking\.signature|redacted_thinking\.data)(\.str)?:[ ]
        each thinking block must contain thinking
        If an assistant message contains any thinking blocks, the first block must be""",
    "clear-thinking": r"~clear_thinking_\d+~ strategy requires ~thinking~",
    "thinking-missing": r"Expected ~thinking~ or ~redacted_thinking~, but found ",
    "thought-signature": r"""
        (Unable to submit request because )?Thought signature is not valid
        (Corrupted|Invalid) thought signature
        Invalid value at ~[\w.\[\]]+\.thought_signature~ \(TYPE_BYTES\)""",
    "thought-signature-missing":
        r"(Unable to submit request because )?Function call (.{1,300}? )?is missing a ~thought_signature~",
    "cached-content": r"""
        CachedContent not found
        Not found: cached content metadata for
        Invalid resource state for cache content
        Cache content [\w/-]+ is expired""",
    "tool-id": r"""
        messages\.\d+\.content\.\d+\.\w+\.(id|tool_use_id): String should match pattern
        Invalid ~(messages|input)\[[\w.\[\]]+\.(id|call_id|tool_call_id)~: string too long""",
    "unknown-member": r"""
        messages\.\d+(\.(?!cache_control)[\w-]+)+: Extra inputs are not permitted
        Unknown parameter: ~(messages|input)\[\d+\][\w.\[\]]*\.(?!cache_control)\w+~
        Invalid JSON payload received\. Unknown name ~\w+~ at ~contents\[""",
    "empty-text": r"(messages[\w. ]*: )?text content blocks must (be non-empty|contain non-whitespace text)",
}
# fmt: on

QUOTES = r"[\\'\"`]{0,20}+"
"""The quotes around a name, and what layers of JSON and Python make of them."""


_BEGINNING = re.compile(r"(?:^|[\"'>:\-]\s*+|\d{3}\s)")
_MOST_BEGINNINGS = 80
_LONGEST = 8_000


class Words:
    """A message, and where one begins in it; some servers repeat the whole request behind their words.

    It is searched for some 100 phrases: from its beginnings alone, and not from more than so many.
    """

    __slots__ = ("_starts", "_text")

    def __init__(self, message: str, behind: str = "") -> None:
        """Take as much of it as is read, and `behind`, which is ours."""
        self._text = message[:_LONGEST] + behind
        begun = islice(_BEGINNING.finditer(self._text), _MOST_BEGINNINGS)
        self._starts = tuple(dict.fromkeys(found.start() for found in begun))

    def find(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        """What `search` would find of a pattern that `said_at_beginning` has made."""
        return next((found for start in self._starts if (found := pattern.match(self._text, start))), None)


def said_at_beginning(phrase: str) -> re.Pattern[str]:
    """Words where a message, or one that is quoted inside it, begins; `~` in them stands for `QUOTES`."""
    return re.compile(_BEGINNING.pattern + phrase.replace("~", QUOTES), re.IGNORECASE | re.DOTALL)


_REJECTIONS = {rejection: said_at_beginning(alternatives(phrases)) for rejection, phrases in _PHRASES.items()}


def detect_history_rejection(status: int, body: bytes) -> HistoryRejection | None:
    """Which rejection of foreign history an error response is; None for any other.

    `status` is 200, and `body` the event's data, for an error event inside a stream.
    """
    if status not in _STATUSES:
        return None
    failure = error_shapes.read(decode(body), status)
    if failure is None:
        return None
    messages = [Words(message) for message in failure.messages]
    for rejection, pattern in _REJECTIONS.items():
        if any(message.find(pattern) for message in messages):
            return rejection
    coded = not _CODES.isdisjoint(failure.names | failure.wrapper_names)
    return "encrypted-content" if coded else None
