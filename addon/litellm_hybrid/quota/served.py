"""What counts as LiteLLM's answer to a replay. Pure: facts of the request and a response go in.

A response that answers nothing must not take the place of upstream's own: it has to be a 200 in JSON or
events, without an error, with content or an end that says why there is none. Another endpoint's
(count_tokens, embeddings …) has to be JSON without an error. Where the request wants a compaction (Codex),
an answer without one leaves the client with a history that it cannot go on from.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from litellm_hybrid.message import sse
from litellm_hybrid.message.json import decode, members, objects
from litellm_hybrid.quota import content
from litellm_hybrid.quota.classifier import ANSWER, NO_ANSWER, StreamJudge, Verdict, classify_decoded
from litellm_hybrid.quota.content import Carries

_COMPACTS = re.compile(r"/responses/compact/?$")

NO_COMPACTION = Verdict("no-answer", "no compaction in it")


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request wants of its answer.

    Attributes:
        generates: it is for one of the four APIs' own endpoints.
        compaction: it wants the conversation compacted.
    """

    generates: bool = True
    compaction: bool = False


def asked(path: str, body: bytes, *, generates: bool) -> Asked:
    """What a request wants; `path` with or without the query, `body` without content coding."""
    payload = members(decode(body)) if b"compaction_trigger" in body else {}
    triggers = any(item.get("type") == "compaction_trigger" for item in objects(payload.get("input")))
    return Asked(generates, triggers or bool(_COMPACTS.search(path.partition("?")[0])))


def refused_by_head(status: int, content_type: str) -> Verdict | None:
    """Why a response can be no answer, by its head alone; None where its body decides."""
    if status != 200:
        return Verdict("litellm", f"status {status}")
    kind = content_type.partition(";")[0].strip().lower()
    if kind in {"text/event-stream", "application/json"} or kind.endswith("+json"):
        return None
    return Verdict("litellm", f"content type {kind or 'missing'}")


def judge(wanted: Asked, status: int, headers: Mapping[str, str], body: bytes, *, now: float) -> Verdict:
    """Judge a complete response as `classify` does: `ANSWER`, or a verdict that says why it is none."""
    refused = refused_by_head(status, headers.get("content-type", ""))
    if refused is not None:
        return refused
    text = body.lstrip()
    if not text.startswith((b"{", b"[")) and (
        sse.is_stream(text) or "event-stream" in headers["content-type"]
    ):
        return ReplayJudge(wanted, headers=headers).whole(body, now=now)
    payload = decode(text)
    verdict = classify_decoded(status, headers, text, payload, now=now)
    return _judge_whole(wanted, payload) if verdict is ANSWER else verdict


def _judge_whole(wanted: Asked, payload: object) -> Verdict:
    """Judge JSON that states no error."""
    if wanted.compaction:
        return ANSWER if has_compaction(payload) else NO_COMPACTION
    if not wanted.generates:
        return ANSWER if isinstance(payload, (dict, list)) else NO_ANSWER
    return ANSWER if content.read(payload, whole=True) in (Carries.CONTENT, Carries.END) else NO_ANSWER


class ReplayJudge(StreamJudge):
    """A `StreamJudge` for LiteLLM's stream: nothing but an answer to what was asked decides for it."""

    __slots__ = ("_wanted",)

    def __init__(self, wanted: Asked, *, headers: Mapping[str, str]) -> None:
        super().__init__(headers=headers)
        self._wanted = wanted

    def event(self, event: sse.Event, *, now: float) -> Verdict | None:
        """Judge the next event, as `StreamJudge.event`."""
        verdict = super().event(event, now=now)
        if verdict is not ANSWER or not self._wanted.compaction:
            return verdict
        if has_compaction(decode(event.data)):
            return ANSWER
        return NO_COMPACTION if event.name.startswith(("response.completed", "response.incomplete")) else None

    def end(self) -> Verdict:
        """Judge the end of a stream that has been nothing but opening."""
        return NO_COMPACTION if self._wanted.compaction else NO_ANSWER


def has_compaction(payload: object) -> bool:
    """Whether a response, or an event of one, has a compaction among its items."""
    told = members(payload)
    response = members(told.get("response")) or told
    items = [members(told.get("item")), *objects(response.get("output"))]
    return any(str(item.get("type")).startswith("compaction") for item in items)
