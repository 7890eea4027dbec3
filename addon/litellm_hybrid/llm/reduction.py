"""One reduction: what it is asked to do, the edits that it counts, and which seals tell who made them."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Literal, get_args
from zlib import crc32

from msgspec import Raw

from litellm_hybrid.config.settings import without_suffix
from litellm_hybrid.message.json_edit import (
    RawObject,
    edited,
    encoded,
    filtered,
    is_empty,
    last_element,
    opened,
    raw_text,
    replace,
    replace_and_prune,
)

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

type Side = Literal["litellm", "upstream"]
"""Where a history goes."""

# What CLIProxyAPI's accounts make: OpenAI's reasoning under another name, Antigravity's Claude and Gemini.
_OF_UPSTREAM = re.compile(r"gAAA|claude#|cpa-gemini-carrier-v1:")
UPSTREAM_MARK = re.compile(rb'"(?:' + _OF_UPSTREAM.pattern.encode() + rb")")
"""Stands in a body that has such a seal; looking for it costs less than reading that."""
_OF_LITELLM = re.compile(r"litellm_enc:")


_LITELLM_ADDS = "provider_specific_fields"
"""What LiteLLM keeps of a provider's response, in messages, blocks and calls of every API."""

_UPSTREAM_ADDS = {"tool_use": "signature"}
"""What CLIProxyAPI adds for Antigravity's Claude models, by the type of the block."""

# LiteLLM hides Gemini's thought signature in the id of a tool call (`call_<uuid>__thought__<base64>`): longer
# than the 64 characters that OpenAI's Responses API takes, and with characters outside Anthropic's
# `^[a-zA-Z0-9_-]+$`. Other models make ids like `functions.Bash:0`.
# Sources: BerriAI/litellm#41534 and #18160, langchain-ai/langchain#37756.
_SIGNATURE_MARK = "__thought__"
_NOT_ANTHROPIC = re.compile(r"[^a-zA-Z0-9_-]")


def last_turn(turns: Raw | None) -> RawObject:
    """The last one in an array of turns, or {}; behind it may stand what clients remind the model of."""
    return last_element(turns, lambda turn: raw_text(turn.get("role")) in {"system", "developer"}) or {}


@dataclass(slots=True)
class Reduction:
    """What to leave out of a history, and what has been left out so far.

    Attributes:
        side: where it goes.
        everything: all that is sealed is left out; else only what nobody on that side can read.
        rejection: the refusal that this answers.
        dropped: how many parts of each kind were taken out or made neutral, by
            the name that the part has in JSON.
        switched_off: options of the request that were switched off, by their path.
    """

    side: Side
    everything: bool = True
    rejection: HistoryRejection | None = None
    dropped: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    switched_off: list[str] = field(default_factory=list)

    def leaves_out(self, seal: Raw | None) -> bool:
        """Whether a part sealed so is left out; one without a seal was made by who cannot seal."""
        return self.everything or is_empty(seal) or self.is_foreign(seal)

    def is_foreign(self, seal: Raw | None) -> bool:
        """Whether a seal tells that its maker is on the other side."""
        foreign = _OF_UPSTREAM if self.side == "litellm" else _OF_LITELLM
        return foreign.match(raw_text(seal) or "") is not None

    def strips(self, member: str) -> bool:
        """Whether a member that one side adds is taken off."""
        return self.everything or (self.side == "upstream") == (member == _LITELLM_ADDS)

    def added_members(self, name: str | None) -> tuple[str, ...]:
        """The members to take off a block or item of this type: its maker on the other side added them."""
        added = (_LITELLM_ADDS, _UPSTREAM_ADDS.get(name or "", ""))
        return tuple(member for member in added if member and self.strips(member))

    def remove(self, members: RawObject, keys: Iterable[str]) -> bool:
        """Take members out and count them; an empty one (see `is_empty`) binds nobody and stays."""
        return self._take_out(members, [key for key in keys if not is_empty(members.get(key))])

    def keep_only(self, members: RawObject, documented: frozenset[str]) -> bool:
        """Take out every other member, empty ones too."""
        return self._take_out(members, [key for key in members if key not in documented])

    def _take_out(self, members: RawObject, keys: list[str]) -> bool:
        for key in keys:
            del members[key]
            self.dropped[key] += 1
        return bool(keys)

    def switch_off(self, members: RawObject, keys: Iterable[str], path: str = "") -> bool:
        """Leave options out of a request, and say so under `path`."""
        found = [key for key in keys if not is_empty(members.get(key))]
        for key in found:
            del members[key]
            self.switched_off.append(path + key)
        return bool(found)

    def switch_off_within(self, members: RawObject, outer: str, keys: Iterable[str]) -> bool:
        """Leave options out of an object of the request, and the object if nothing else is in it."""
        step = partial(self.switch_off, keys=keys, path=f"{outer}.")
        return replace_and_prune(members, outer, lambda raw: edited(raw, step))

    def switch_off_suffix(self, request: RawObject) -> bool:
        """Leave the thinking setting out of the model's name: CLIProxyAPI switches it on for `M(high)`."""
        plain, suffix = without_suffix(raw_text(request.get("model")) or "")
        if self.side != "upstream" or not suffix:
            return False
        request["model"] = encoded(plain)
        self.switched_off.append(f"model {suffix}")
        return True

    def thinned(self, raw: Raw, member: str, reduce: Callable[[Raw], Raw | None], name: str) -> Raw | None:
        """An object whose list `member` was filtered; None, counted as `name`, if nothing is left in it."""
        whole = opened(raw)
        if whole is None or not replace(whole, member, lambda elements: filtered(elements, reduce)):
            return raw
        if is_empty(whole[member]):
            self.dropped[name] += 1
            return None
        return encoded(whole)

    def plain_ids(self, members: RawObject, keys: tuple[str, ...], *, anthropic: bool = False) -> bool:
        """Make tool call ids such that every provider takes them, and count them; whether one was not.

        A call and its result are rewritten alike, so that they still belong together. `anthropic`: also
        replace characters that Anthropic refuses.
        """
        found = [key for key in keys if replace(members, key, partial(_plain, anthropic=anthropic))]
        self.dropped["tool id"] += len(found)
        return bool(found)


def _plain(raw: Raw, *, anthropic: bool) -> Raw:
    before = raw_text(raw)
    if not before:
        return raw
    head, mark, _ = before.partition(_SIGNATURE_MARK)
    after = head if mark and head else before
    if anthropic and _NOT_ANTHROPIC.search(after):
        # The checksum keeps ids apart that would be cleaned to the same.
        after = f"{_NOT_ANTHROPIC.sub('_', after)}_{crc32(after.encode()):08x}"
    return raw if after == before else encoded(after)
