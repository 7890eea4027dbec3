"""What a piece of a response carries: content, an end, or only its opening. All four APIs.

A piece is one event of a stream or a whole JSON response. Content is text, reasoning text,
arguments, a call or media: once it has gone to a client nothing can be replayed, and a response
that has it is an answer. What comes before is opening, whatever its type, because providers and
CLIProxyAPI begin a stream before anybody has agreed to answer it.
"""

from enum import Enum

from litellm_hybrid.message.json import Object, members, objects


class Carries(Enum):
    """What a piece carries."""

    CONTENT = "content"
    END = "end"
    """Without content, but it says why it is empty, or that tokens were counted: an answer."""
    EMPTY = "empty"
    """The last piece, and nothing has come: no content, no reason, nothing counted."""
    OPENING = "opening"
    """Nothing yet; the last piece of a stream that has been nothing else is no answer."""
    OTHER = "other"
    """Nothing of the four APIs: not judged by what it carries."""


ANSWER_KEYS = frozenset({"choices", "content", "candidates", "output"})
"""What a whole response of the four APIs has at its top level."""

_OF_GEMINI = frozenset({"candidates", "promptFeedback", "usageMetadata"})

# Reasons to stop that say no more than that it is over.
_STOPPED = frozenset({"", "stop", "end_turn", "finish_reason_unspecified", "error", "unspecified"})

# Where an event of a stream holds what it brings, whatever its type.
_BRINGS = (
    *("text", "arguments", "refusal", "audio", "transcript"),
    *("b64_json", "partial_image_b64", "partial_json", "thinking"),
)
_ANNOUNCED = frozenset({"response.created", "response.in_progress", "response.queued", "response.metadata"})
"""Events that repeat the request, or speak of it, and bring nothing of the answer."""

_NOTES = frozenset({"role", "type", "index", "signature", "thoughtSignature", "thought_signature", "thought"})
"""Members that say how something is written, and not what."""

_LAST = frozenset({"response.completed", "response.incomplete", "response.cancelled", "response.done"})

_STREAM_FAMILIES = ("response.", "responsesapi.", "codex.", "message_", "content_block", "ping", "keepalive")


def read(piece: object, name: str = "", *, whole: bool = False) -> Carries:
    """What a piece carries: decoded JSON, a whole response or an event with its `event:` field as `name`."""
    if isinstance(piece, list):
        found = {Carries.OTHER if isinstance(item, list) else read(item, name, whole=whole) for item in piece}
        return next((each for each in Carries if each in found), Carries.OPENING)
    if not isinstance(piece, dict):
        return Carries.OTHER
    if "choices" in piece:
        return _chat(piece, whole=whole)
    if not _OF_GEMINI.isdisjoint(piece):
        return _gemini(piece, whole=whole)
    kind = piece.get("type")
    return _whole(piece) if whole else _event(piece, kind if isinstance(kind, str) and kind else name)


def failed(piece: object) -> bool:
    """Whether a whole response or a chunk says of itself that it failed, whatever else is in it."""
    if isinstance(piece, list):
        piece = piece[0] if piece else None
    if not isinstance(piece, dict):
        return False
    choices = [choice for choice in objects(piece.get("choices")) if choice.get("finish_reason") == "error"]
    return bool(choices) or piece.get("status") == "failed" or piece.get("type") == "response.failed"


def _chat(piece: Object, *, whole: bool) -> Carries:
    choices = objects(piece.get("choices"))
    if any(_says(choice.get(key)) for choice in choices for key in ("message", "delta", "text")):
        return Carries.CONTENT
    reasons = [
        str(choice.get(key) or "").lower()
        for choice in choices
        for key in ("finish_reason", "native_finish_reason")
    ]
    if any(reason not in _STOPPED for reason in reasons) or _counted(piece.get("usage")):
        return Carries.END
    if whole:
        return Carries.EMPTY
    # A streamed chat completion counts its tokens only on request.
    return Carries.END if any(reason not in ("", "error") for reason in reasons) else Carries.OPENING


def _gemini(piece: Object, *, whole: bool) -> Carries:
    candidates = objects(piece.get("candidates"))
    for candidate in candidates:
        parts = objects(members(candidate.get("content")).get("parts"))
        if any(_says(value) for part in parts for key, value in part.items() if key not in _NOTES):
            return Carries.CONTENT
    reasons = [str(candidate.get("finishReason") or "").lower() for candidate in candidates]
    blocked = bool(members(piece.get("promptFeedback")).get("blockReason"))
    if blocked or any(reason not in _STOPPED for reason in reasons):
        return Carries.END
    ended = whole or not candidates or any(reasons)
    if ended and _counted(piece.get("usageMetadata")):
        return Carries.END
    # Not yet the end of a stream: an error, or a count, may follow the reason to stop.
    return Carries.EMPTY if whole else Carries.OPENING


def _whole(piece: Object) -> Carries:
    """A whole response of Anthropic's or of OpenAI's Responses."""
    if piece.get("object") == "response" or "output" in piece:
        return _response(piece)
    return _message(piece) if piece.get("type") == "message" or "content" in piece else Carries.OTHER


def _message(piece: Object) -> Carries:
    """A whole message of Anthropic's."""
    if any(_block(block) for block in objects(piece.get("content"))) or _says(
        piece.get("content"), blocks=False
    ):
        return Carries.CONTENT
    reason = str(piece.get("stop_reason") or "").lower()
    return Carries.END if reason not in _STOPPED or _counted(piece.get("usage")) else Carries.EMPTY


def _response(piece: Object) -> Carries:
    """A whole response of OpenAI's Responses, or the one inside its last event."""
    output = piece.get("output")
    if any(_item(item) for item in objects(output)) or _says(output, blocks=False):
        return Carries.CONTENT
    details = piece.get("incomplete_details")
    if (
        bool(details)
        or _counted(piece.get("usage"))
        or piece.get("status") not in ("completed", "failed", None)
    ):
        return Carries.END
    # A server's own says when it was made; what is only `{"output": []}` is left alone.
    return Carries.EMPTY if output is None or "created_at" in piece else Carries.OTHER


def _event(piece: Object, kind: str) -> Carries:
    if kind in _ANNOUNCED:
        return Carries.OPENING
    if kind in ("message_delta", "message_stop") or kind in _LAST:
        return _end(piece, kind)
    if kind == "message_start":
        found = _message(members(piece.get("message")))
        return found if found is Carries.CONTENT else Carries.OPENING
    if "_call" in kind and kind.startswith("response."):
        return Carries.CONTENT
    delta = piece.get("delta")
    brings = (
        *(_says(piece.get(key)) for key in _BRINGS),
        *(_says(value) for key, value in members(piece.get("delta")).items() if key not in _NOTES),
        isinstance(delta, str) and bool(delta),
        _block(members(piece.get("content_block"))),
        _block(members(piece.get("part"))),
        kind.startswith("response.output_item") and _item(members(piece.get("item"))),
    )
    if any(brings):
        return Carries.CONTENT
    return Carries.OPENING if kind.startswith(_STREAM_FAMILIES) else Carries.OTHER


def _end(piece: Object, kind: str) -> Carries:
    """An event with which a message, or a response of OpenAI's, ends."""
    if kind == "message_delta":
        reason = str(members(piece.get("delta")).get("stop_reason") or "").lower()
        return Carries.END if reason not in _STOPPED or _counted(piece.get("usage")) else Carries.OPENING
    found = _response(members(piece.get("response"))) if kind in _LAST else Carries.EMPTY
    if found is Carries.CONTENT:
        return found
    return Carries.END if found is Carries.END or kind == "response.cancelled" else Carries.EMPTY


def _block(block: Object) -> bool:
    """Whether a block of a message, or a part of an item, has content: Anthropic's or OpenAI's."""
    kind = str(block.get("type") or "")
    if kind in ("text", "thinking", "output_text", "reasoning_text", "summary_text", "refusal", "input_text"):
        return any(_says(block.get(key)) for key in ("text", "thinking", "refusal"))
    return bool(kind)


def _item(item: Object) -> bool:
    """Whether an output item has content. Reasoning that only its maker can read is none."""
    kind = str(item.get("type") or "")
    if kind not in ("message", "reasoning", ""):
        return True
    told = (item.get("content"), item.get("summary"))
    return any(_block(part) for parts in told for part in objects(parts)) or any(
        _says(part, blocks=False) for part in told
    )


def _says(value: object, *, blocks: bool = True, deepest: int = 50) -> bool:
    """Whether a value holds anything: a text, a number that is not 0, or a list or object with one.

    What is nested deeper than `deepest` counts as something: no API's empty opening is.
    """
    if isinstance(value, str):
        return bool(value)
    if isinstance(value, list):
        return blocks and (deepest == 0 or any(_says(item, deepest=deepest - 1) for item in value))
    if isinstance(value, dict):
        told = [inner for key, inner in value.items() if key not in _NOTES]
        return blocks and (deepest == 0 or any(_says(inner, deepest=deepest - 1) for inner in told))
    return bool(value)


def _counted(usage: object) -> bool:
    """Whether a token was counted."""
    fields = members(usage).items()
    return any(isinstance(value, int) and value > 0 for key, value in fields if "token" in key.lower())
