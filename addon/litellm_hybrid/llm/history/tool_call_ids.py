"""Tool call ids that only the provider they came from can take.

LiteLLM hides Gemini's thought signature in the id of a tool call
(`call_<uuid>__thought__<base64>`), where it is far longer than the 64 characters
that OpenAI's Responses API takes and has characters outside Anthropic's
`^[a-zA-Z0-9_-]+$`. Other models make ids like `functions.Bash:0`. A call and its
result are rewritten alike, so that they still belong together.

Sources: BerriAI/litellm#41534 and #18160, langchain-ai/langchain#37756.
"""

import re
from functools import partial
from zlib import crc32

from msgspec import Raw

from litellm_hybrid.llm.history.json_edit import Object, encoded, replace, text
from litellm_hybrid.llm.history.plan import Changes

_SIGNATURE_MARK = "__thought__"
_NOT_ANTHROPIC = re.compile(r"[^a-zA-Z0-9_-]")


def plain_ids(members: Object, keys: tuple[str, ...], changes: Changes, *, anthropic: bool = False) -> bool:
    """Make the tool call ids under `keys` plain; says whether one was not.

    Args:
        members: a tool call, its result, or whatever holds their ids.
        keys: the members that are such ids.
        changes: counts what was rewritten, as `tool id`.
        anthropic: also replace characters that Anthropic refuses.
    """
    found = [key for key in keys if replace(members, key, partial(_plain, anthropic=anthropic))]
    changes.dropped["tool id"] += len(found)
    return bool(found)


def _plain(raw: Raw, *, anthropic: bool) -> Raw:
    before = text(raw)
    if not before:
        return raw
    head, mark, _ = before.partition(_SIGNATURE_MARK)
    after = head if mark and head else before
    if anthropic and _NOT_ANTHROPIC.search(after):
        # The checksum keeps ids apart that would be cleaned to the same.
        after = f"{_NOT_ANTHROPIC.sub('_', after)}_{crc32(after.encode()):08x}"
    return raw if after == before else encoded(after)
