"""Which conversation does a request belong to? Asked so that both ends of a switch can be recognised.

Clients that name their session are believed. For the others the beginning of
the history, which every turn repeats, and the client key stand for it. What is
kept of either is a hash.
"""

import hashlib
import re
from collections.abc import Iterable

import msgspec

from litellm_hybrid.fallback.expiring import ExpiringSet
from litellm_hybrid.flow.exchange import Exchange
from litellm_hybrid.llm.history.rejections import REJECTIONS, HistoryRejection
from litellm_hybrid.message.credentials import Headers
from litellm_hybrid.message.json import readable

# The headers by which CLIProxyAPI keeps a session on one account, in the order of how sure they are.
_SESSION_HEADERS = (
    b"x-claude-code-session-id",
    b"session-id",
    b"session_id",
    b"x-session-id",
    b"x-client-request-id",
)

CONVERSATIONS_MAX = 10_000
"""Of the remembered conversations the oldest are forgotten beyond this number."""

SERVED_FOR = 24 * 3600.0
"""How long, in seconds, a conversation is remembered to have been on LiteLLM."""


class _Beginning(msgspec.Struct):
    """The members that hold a history, in the four APIs; `input` may be a mere prompt."""

    messages: list[msgspec.Raw] | None = None
    input: list[msgspec.Raw] | str | None = None
    contents: list[msgspec.Raw] | None = None


class _HistoryItem(msgspec.Struct):
    role: str = ""
    type: str = ""

    @property
    def is_models(self) -> bool:
        """Whether it is a model's: its turn, its call, or its reasoning."""
        return self.role in {"assistant", "model"} or (not self.role and self.type not in {"", "message"})


_beginning = msgspec.json.Decoder(_Beginning)
_turn = msgspec.json.Decoder(_HistoryItem)

# Anthropic's clients move these marks along as the history grows. Only the first of some blanks can
# begin a match, and nothing is given back: a text of blanks would take quadratic time.
_CACHE_MARK = re.compile(rb'(?<!\s)\s*+,?+\s*+"cache_control"\s*+:\s*+\{[^{}]*+\}')


def key(headers: Headers, client_keys: Iterable[str], body: bytes) -> str | None:
    """A hash that all requests of a conversation share; None if the request shows none.

    Two clients may begin with the same words: their keys are part of it. `body`: without its content coding.
    """
    session = _session(headers) or _opening(body)
    if session is None:
        return None
    parts = (session, *(client_key.encode("utf-8", "surrogateescape") for client_key in client_keys))
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:32]


def _session(headers: Headers) -> bytes | None:
    given = {name.lower(): value.strip() for name, value in headers}
    return next((given[name] for name in _SESSION_HEADERS if given.get(name)), None)


def is_new(body: bytes) -> bool:
    """Whether no model has said anything in a request's history; False where it cannot be read."""
    try:
        turns = history(body)
        return isinstance(turns, str) or (
            turns is not None and not any(_turn.decode(item).is_models for item in turns)
        )
    except (ValueError, RecursionError):
        return False


def history(body: bytes) -> list[msgspec.Raw] | str | None:
    """Return the turns of a request of any of the four APIs, or a mere prompt; None: it has neither.

    Raises:
        msgspec.MsgspecError: the body is not read so.
    """
    try:
        beginning = _beginning.decode(body)
    except msgspec.DecodeError:
        beginning = _beginning.decode(readable(body))
    return beginning.messages or beginning.input or beginning.contents


def _opening(body: bytes) -> bytes | None:
    """The history up to the user's first words."""
    try:
        turns = history(body)
        if not isinstance(turns, list):
            return None
        opening = bytearray()
        for item in turns:
            turn = bytes(item)
            opening += _CACHE_MARK.sub(b"", turn)
            if _turn.decode(turn).role == "user":
                break
    except (ValueError, RecursionError):
        return None
    return bytes(opening)


def conversation_id(exchange: Exchange, *, search: bool = True) -> str | None:
    """Return a request's conversation id, None if it cannot be told; `search`: in its body, too."""
    if not exchange.conversation:
        body = exchange.content if search else b""
        exchange.conversation = (key(exchange.request.sent.headers, exchange.client.keys, body),)
    return exchange.conversation[0]


class Conversations:
    """Which conversations LiteLLM has served, and which of them stay there, and until when."""

    def __init__(self) -> None:
        self._served: ExpiringSet[str] = ExpiringSet(CONVERSATIONS_MAX)
        self._sticky: ExpiringSet[tuple[str, str]] = ExpiringSet(CONVERSATIONS_MAX)
        self._refused: ExpiringSet[tuple[str, str, str]] = ExpiringSet(CONVERSATIONS_MAX)

    def __bool__(self) -> bool:
        return bool(self._served)

    def add_served(self, conversation: str, now: float) -> None:
        """LiteLLM has served it just now."""
        self._served.add(conversation, now + SERVED_FOR)

    def was_served(self, conversation: str, now: float) -> bool:
        """Whether LiteLLM may have left something in its history."""
        return self._served.has(conversation, now)

    def add_refused(self, conversation: str, side: str, rejection: str, now: float) -> None:
        """That side refuses its history, and will again in the next turn."""
        self._refused.add((conversation, side, rejection), now + SERVED_FOR)

    @property
    def has_refused(self) -> bool:
        """Whether any side has refused any history."""
        return len(self._refused) > 0

    def refused(self, conversation: str, side: str, now: float) -> tuple[HistoryRejection, ...]:
        """Why that side has refused its history before."""
        return tuple(r for r in REJECTIONS if self._refused.has((conversation, side, r), now))

    def stick(self, conversation: str, model: str, seconds: float, now: float) -> None:
        """Its requests for a model pass upstream by for so long.

        An agent asks small models on the side, which upstream may still serve and LiteLLM may not know.
        """
        self._sticky.add((conversation, model), now + seconds)

    def is_sticky(self, conversation: str, model: str, now: float) -> bool:
        """Whether its requests for a model pass upstream by."""
        return self._sticky.has((conversation, model), now)
