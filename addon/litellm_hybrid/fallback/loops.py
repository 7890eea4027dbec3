"""Requests that come back: a model of LiteLLM's leads here, and LiteLLM drops the `Via` that would say so.

What says the same to the model as a request that waits for LiteLLM, with another key or user agent, is that
request. A client's parallel turns and retries have its own key and user agent. See also `rules.by_head`.
"""

import hashlib
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import msgspec

from litellm_hybrid.fallback.conversations import history
from litellm_hybrid.fallback.expiring import ExpiringDict
from litellm_hybrid.flow.exchange import Exchange
from litellm_hybrid.routing.rules import Target

MOST_RETURNS = 2
"""How often a request may come back and get upstream's answer: LiteLLM tries several times."""

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


_turn = msgspec.json.Decoder(_Turn)


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
    return _squeezed(_turn.decode(turn).words())


def _squeezed(text: str) -> str:
    return "".join(text.split())


@dataclass(slots=True, eq=False)
class _Waiting:
    """A request at LiteLLM.

    Attributes:
        said: see there; None: nobody has asked yet.
        returns: how often it has come back.
    """

    sender: _Sender
    exchange: Exchange | None
    said: str | None = None
    returns: int = 0

    def says(self) -> str:
        """Return what it says, which is worked out once."""
        if self.said is None:
            self.said = said(self.exchange.content) if self.exchange is not None else ""
        return self.said

    @property
    def is_open(self) -> bool:
        """Whether LiteLLM's response has not begun."""
        attempt = self.exchange.attempts[-1] if self.exchange is not None and self.exchange.attempts else None
        return attempt is not None and attempt.target is Target.LITELLM and attempt.first_byte is None


@dataclass(slots=True)
class Loops:
    """The requests that are at LiteLLM, by who has sent them."""

    _waiting: dict[_Sender, dict[Exchange, _Waiting]] = field(default_factory=dict)
    _left: ExpiringDict[str, _Waiting] = field(default_factory=lambda: ExpiringDict(_LEFT_MAX))

    def enter(self, exchange: Exchange) -> None:
        """A request is about to be sent to LiteLLM."""
        sender = _sender(exchange)
        self._waiting.setdefault(sender, {}).setdefault(exchange, _Waiting(sender, exchange))

    def leave(self, exchange: Exchange) -> None:
        """It has ended; one whose response has not even begun may still come back."""
        if not self._waiting:
            return
        sender = _sender(exchange)
        of_sender = self._waiting.get(sender, {})
        waiting = of_sender.pop(exchange, None)
        if not of_sender:
            self._waiting.pop(sender, None)
        if waiting is not None:
            if waiting.is_open and waiting.says():
                self._left.put(waiting.says(), waiting, monotonic() + _LEFT_FOR)
            waiting.exchange = None

    def count_return(self, exchange: Exchange, body: bytes, *, with_our_key: bool = False) -> int:
        """Return how often what a request says has come back from LiteLLM, this time included; 0: never.

        `with_our_key`: it presents the key that LiteLLM gets from us: then it may say anything.
        """
        if not self._waiting and not len(self._left):
            return 0
        sender = _sender(exchange)
        others = [waiting for other, waiting in self._waiting.items() if other != sender]
        if not others and not len(self._left):
            return 0
        words = said(body)
        is_open = [waiting for of_sender in others for waiting in of_sender.values() if waiting.is_open]
        found = next((waiting for waiting in is_open if words and waiting.says() == words), None)
        if found is None and with_our_key and is_open:
            found = is_open[0]
        left = self._left.get(words, monotonic())
        if found is None and left is not None and left.sender != sender:
            found = left
        if found is None:
            return 0
        found.returns += 1
        return found.returns


def _sender(exchange: Exchange) -> _Sender:
    return exchange.client.keys, exchange.request.sent.header(b"user-agent")
