"""Which conversation does a request belong to? Asked so that both ends of a switch can be recognised.

Clients that name their session are believed. For the others the beginning of
the history, which every turn repeats, and the client key stand for it. What is
kept of either is a hash.
"""

import hashlib
import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, time_ns
from typing import Any

import msgspec

from litellm_hybrid.fallback.expiring import ExpiringDict, SharedSet
from litellm_hybrid.fallback.shared_state import SharedState
from litellm_hybrid.flow.exchange import Exchange
from litellm_hybrid.llm.reduction import REJECTIONS, HistoryRejection
from litellm_hybrid.message.credentials import Headers
from litellm_hybrid.message.json import MOST_HISTORY, has_many_parts
from litellm_hybrid.message.json_edit import readable
from litellm_hybrid.routing.rules import Target

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

_OPENING_MAX = 64 * 1024
"""Bytes of a turn, and turns, that tell a conversation; of a turn some more are read, for the marks in it."""

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

_CACHED = b'"cache_control"'

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
    parts = (session, *[client_key.encode("utf-8", "surrogateescape") for client_key in client_keys])
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:32]


def _session(headers: Headers) -> bytes | None:
    given = {
        lowered: value.strip() for name, value in headers if (lowered := name.lower()) in _SESSION_HEADERS
    }
    return next(filter(None, map(given.get, _SESSION_HEADERS)), None) if given else None


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
    if has_many_parts(body, MOST_HISTORY):
        return None
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
        for item in turns[:_OPENING_MAX]:
            beginning = bytes(memoryview(item)[: 2 * _OPENING_MAX])
            if _CACHED in beginning:
                beginning = _CACHE_MARK.sub(b"", beginning)
            opening += beginning[:_OPENING_MAX]
            if _turn.decode(item).role == "user":
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

    def __init__(self, shared: SharedState) -> None:
        self._served = SharedSet("served", shared, CONVERSATIONS_MAX)
        self._sticky = SharedSet("sticky", shared, CONVERSATIONS_MAX)
        self._refused = SharedSet("refused", shared, CONVERSATIONS_MAX)

    def __bool__(self) -> bool:
        return bool(self._served)

    def add_served(self, conversation: str, now: float) -> None:
        """LiteLLM has served it just now."""
        self._served.add(conversation, now + SERVED_FOR, now)

    def was_served(self, conversation: str, now: float) -> bool:
        """Whether LiteLLM may have left something in its history."""
        return self._served.has(conversation, now)

    def add_refused(self, conversation: str, side: str, rejection: str, now: float) -> None:
        """That side refuses its history, and will again in the next turn."""
        self._refused.add((conversation, side, rejection), now + SERVED_FOR, now)

    @property
    def has_refused(self) -> bool:
        """Whether any side has refused any history."""
        return len(self._refused) > 0

    def refused(self, conversation: str, side: str, now: float) -> tuple[HistoryRejection, ...]:
        """Why that side has refused its history before."""
        if not self._refused:
            return ()
        return tuple(r for r in REJECTIONS if self._refused.has((conversation, side, r), now))

    def stick(self, conversation: str, model: str, seconds: float, now: float) -> None:
        """Its requests for a model pass upstream by for so long.

        An agent asks small models on the side, which upstream may still serve and LiteLLM may not know.
        """
        self._sticky.add((conversation, model), now + seconds, now)

    def is_sticky(self, conversation: str, model: str, now: float) -> bool:
        """Whether its requests for a model pass upstream by."""
        return self._sticky.has((conversation, model), now)


# -- requests that come back -------------------------------------------------------------
#
# A model of LiteLLM's leads here, and LiteLLM drops the `Via` that would say so. What says the same to the
# model as a request that waits for LiteLLM, with another key or user agent, is that request. A client's
# parallel turns and retries have its own key and user agent: of the same sender only what is nested more
# deeply is a return, where LiteLLM is known to lead here. Workers see each other's requests as files in the
# folder that they share: a request mostly comes back to another one. See also `rules.by_head`.

MOST_RETURNS = 2
"""How often a request may come back and get upstream's answer: LiteLLM tries several times."""

_NESTED = 2
"""How many requests of one sender that say the same wait at LiteLLM where another is their return."""

_LEFT_FOR = 60.0
"""Seconds for which a request is remembered whose client has left, while LiteLLM may still work on it."""

_LEFT_MAX = 1000

type _Sender = tuple[tuple[str, ...], str]
"""Client keys and user agent."""


class _Part(msgspec.Struct):
    type: Any = None
    text: Any = None

    @property
    def is_text(self) -> bool:
        """Whether it is text, and no tool's result."""
        return isinstance(self.text, str) and (self.type is None or self.type in ("text", "input_text"))


class _Turn(msgspec.Struct):
    role: str | None = None
    type: str | None = None
    content: list[_Part] | str | None = None
    parts: list[_Part] | None = None

    def words(self) -> str:
        """The text of a user's turn, which LiteLLM translates into any API as it is; "" of all others."""
        is_users = self.role == "user" or (self.role is None and self.type in {None, "message"})
        if not is_users:
            return ""
        if isinstance(self.content, str):
            return self.content
        return "".join(part.text for part in self.content or self.parts or () if part.is_text)


_words = msgspec.json.Decoder(_Turn)


def said(body: bytes) -> str:
    """A hash of what the user says first and last in a request of any of the four APIs; "" if nothing."""
    try:
        turns = history(body) or ()
        if isinstance(turns, str):
            first = last = _squeezed(turns)
        else:
            first = next(filter(None, map(_spoken, turns)), "")
            last = next(filter(None, map(_spoken, reversed(turns))), "")
    except (ValueError, RecursionError):
        return ""
    if not first:
        return ""
    return hashlib.sha256(f"{first}\0{last}".encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _spoken(turn: msgspec.Raw) -> str:
    return _squeezed(_words.decode(turn).words())


def _squeezed(text: str) -> str:
    return "".join(text.split())


@dataclass(slots=True, eq=False)
class _Waiting:
    """A request at LiteLLM.

    Attributes:
        exchange: None: it is another worker's.
        since: in nanoseconds since the epoch.
        said: see there; None: nobody has asked yet.
        file: by which other workers know it, one byte for each return; its name is `said`, `since`, sender,
            worker, and until when it may come back (0: it waits), with dots between them.
    """

    sender: _Sender
    exchange: Exchange | None
    since: int
    said: str | None = None
    file: Path | None = None
    _returns: int = 0

    def says(self) -> str:
        """Return what it says, which is worked out once."""
        if self.said is None:
            self.said = said(self.exchange.content) if self.exchange is not None else ""
        return self.said

    @property
    def is_open(self) -> bool:
        """Whether LiteLLM's response has not begun, as far as is known here."""
        if self.exchange is None:
            return True
        attempt = self.exchange.attempts[-1] if self.exchange.attempts else None
        return attempt is not None and attempt.target is Target.LITELLM and attempt.first_byte is None

    @property
    def returns(self) -> int:
        """How often it has come back."""
        with suppress(OSError):
            return self._returns if self.file is None else self.file.stat().st_size
        return self._returns

    def count_return(self) -> int:
        """Count one more; how many there are now."""
        self._returns += 1
        if self.file is not None:
            with suppress(OSError):  # it has ended meanwhile
                to = os.open(self.file, os.O_WRONLY | os.O_APPEND)
                try:
                    os.write(to, b".")
                    return os.fstat(to).st_size
                finally:
                    os.close(to)
        return self._returns


@dataclass(slots=True)
class Loops:
    """The requests that are at LiteLLM, by who has sent them."""

    _waiting: dict[_Sender, dict[Exchange, _Waiting]] = field(default_factory=dict)
    _left: ExpiringDict[str, _Waiting] = field(default_factory=lambda: ExpiringDict(_LEFT_MAX))
    _shared: Path | None = None
    _worker: str = ""

    def share(self, worker_dir: Path) -> None:
        """Let other workers see the requests; `worker_dir`: their folder, and this one's name."""
        self._shared, self._worker = worker_dir.parent / "loops", worker_dir.name
        self._shared.mkdir(exist_ok=True)
        for file in self._shared.glob(f"*.{self._worker}.*"):  # of one that has died
            file.unlink(missing_ok=True)

    def enter(self, exchange: Exchange, leads_here: Callable[[], bool | None]) -> None:
        """A request is about to be sent to LiteLLM; `leads_here`: see `count_return`."""
        sender = _sender(exchange)
        of_sender = self._waiting.setdefault(sender, {})
        if exchange in of_sender:
            return
        of_sender[exchange] = waiting = _Waiting(sender, exchange, time_ns())
        if self._shared is not None and leads_here() is not False and waiting.says():
            name = f"{waiting.says()}.{waiting.since}.{_hashed_sender(sender)}.{self._worker}.0"
            with suppress(OSError):
                (self._shared / name).touch()
                waiting.file = self._shared / name

    def leave(self, exchange: Exchange) -> None:
        """It has ended; one whose response has not even begun may still come back."""
        if not self._waiting:
            return
        sender = _sender(exchange)
        of_sender = self._waiting.get(sender, {})
        waiting = of_sender.pop(exchange, None)
        if not of_sender:
            self._waiting.pop(sender, None)
        if waiting is None:
            return
        stays = waiting.is_open and bool(waiting.says())
        if stays:
            self._left.put(waiting.says(), waiting, monotonic() + _LEFT_FOR)
        if waiting.file is not None:
            with suppress(OSError):
                if stays:
                    until = time_ns() + int(_LEFT_FOR * 1e9)
                    waiting.file = waiting.file.rename(waiting.file.with_suffix(f".{until}"))
                else:
                    waiting.file.unlink()
        waiting.exchange = None

    def count_return(
        self,
        exchange: Exchange,
        body: bytes,
        *,
        with_our_key: bool = False,
        leads_here: Callable[[], bool | None],
    ) -> int:
        """Return how often what a request says has come back from LiteLLM, this time included; 0: never.

        Args:
            exchange: the request's.
            body: its body, without its content coding.
            with_our_key: it presents the key that LiteLLM gets from us: then it may say anything.
            leads_here: tells whether a model of LiteLLM's leads to this proxy; None: that is not known.
        """
        if not self._waiting and not len(self._left) and self._shared is None:
            return 0
        sender = _sender(exchange)
        own = self._waiting.get(sender, {}).values()
        others = [waiting for other, waiting in self._waiting.items() if other != sender]
        may_nest = (len(own) >= _NESTED or any(waiting.returns for waiting in own)) and leads_here() is True
        # Mostly no worker has a request at LiteLLM: then nothing has to be read.
        is_shared = self._shared is not None and leads_here() is not False
        shared = [*self._shared.iterdir()] if self._shared and is_shared else []
        if not (others or may_nest or shared or len(self._left)):
            return 0
        words = said(body)
        is_open = [waiting for of_sender in others for waiting in of_sender.values() if waiting.is_open]
        if words:
            is_open += self._of_workers([file for file in shared if file.name.startswith(words)], sender)
        same = sorted(
            (
                waiting
                for waiting in (*is_open, *own)
                if words and waiting.is_open and waiting.says() == words
            ),
            key=lambda waiting: waiting.since,
        )
        found = next((waiting for waiting in same if waiting.sender != sender), None)
        if found is None and with_our_key and is_open:
            found = is_open[0]
        left = self._left.get(words, monotonic())
        if found is None and left is not None and left.sender != sender:
            found = left
        is_nested = len(same) >= _NESTED or any(waiting.returns for waiting in same)
        if found is None and is_nested and leads_here() is True:
            found = same[0]
        return 0 if found is None else found.count_return()

    def _of_workers(self, files: Iterable[Path], sender: _Sender) -> Iterator[_Waiting]:
        """The requests of other workers in these files."""
        for file in files:
            words, since, by, worker, until = file.name.split(".")
            if until != "0" and int(until) < time_ns():
                file.unlink(missing_ok=True)
            elif worker != self._worker:
                yield _Waiting(
                    sender if by == _hashed_sender(sender) else ((), by), None, int(since), words, file
                )


def _sender(exchange: Exchange) -> _Sender:
    return exchange.client.keys, exchange.request.sent.header(b"user-agent")


def _hashed_sender(sender: _Sender) -> str:
    return hashlib.sha256(repr(sender).encode()).hexdigest()[:16]
