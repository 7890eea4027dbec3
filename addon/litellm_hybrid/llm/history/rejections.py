"""Whether an error response is a provider's rejection of a history that it did not make.

quota/error_shapes.py finds the error in the response. A phrase counts only where a message,
or one that is quoted inside it, begins; so LiteLLM's wrapping
(`litellm.BadRequestError: OpenAIException - {…}`) is looked through, and a user's
words in the middle of another error are not taken for one. The sources of the
phrases are in docs/history.md.
"""

import re
from itertools import islice
from typing import Literal, get_args

from litellm_hybrid.message.json import decode
from litellm_hybrid.quota import error_shapes
from litellm_hybrid.quota.wording import alternatives

type HistoryRejection = Literal[
    "encrypted-content",
    "reasoning-item",
    "item-not-found",
    "thinking-signature",
    "thinking-missing",
    "thought-signature",
    "thought-signature-missing",
    "cached-content",
    "tool-id",
    "clear-thinking",
    "unknown-member",
    "empty-text",
]

REJECTIONS: tuple[HistoryRejection, ...] = get_args(HistoryRejection.__value__)
"""All of them, the most telling first."""

# 200 is an error inside a stream; 500 is how LiteLLM passes on what it cannot map.
_STATUSES = frozenset({200, 400, 403, 404, 422, 500})

# CLIProxyAPI's Codex executor rewrites OpenAI's code to its own.
_CODES = frozenset({"invalid_encrypted_content", "thinking_signature_invalid"})

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
