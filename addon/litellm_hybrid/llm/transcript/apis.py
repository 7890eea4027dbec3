"""The four APIs that the content views can read, by the path that a request names."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from litellm_hybrid.llm.transcript import anthropic as view_messages
from litellm_hybrid.llm.transcript import gemini as view_gemini
from litellm_hybrid.llm.transcript import openai_chat as view_chat
from litellm_hybrid.llm.transcript import openai_responses as view_responses
from litellm_hybrid.llm.transcript.json_values import Members, members, objects, text
from litellm_hybrid.llm.transcript.model import Answer, Conversation
from litellm_hybrid.llm.transcript.streams import anthropic as view_stream_messages
from litellm_hybrid.llm.transcript.streams import gemini as view_stream_gemini
from litellm_hybrid.llm.transcript.streams import openai_chat as view_stream_chat
from litellm_hybrid.llm.transcript.streams import openai_responses as view_stream_responses

DONE = "[DONE]"
"""The `type` that stands for the line without JSON that ends OpenAI's older streams."""


@dataclass(frozen=True, slots=True)
class Api:
    """How one API is read.

    Attributes:
        name: for people.
        conversation: a request's body read; None if it is none.
        answer: a plain answer read; None if it is none.
        assemble: the plain answer that the events of a stream make.
        knows: whether an event is one of this API's.
        ends: whether it is one that ends a stream.
        end: the name of that event.
    """

    name: str
    conversation: Callable[[Members], Conversation | None]
    answer: Callable[[Members], Answer | None]
    assemble: Callable[[Iterable[Members]], Members]
    knows: Callable[[Members], bool]
    ends: Callable[[Members], bool]
    end: str


def _is_done(event: Members) -> bool:
    return event.get("type") == DONE


def _is_of_responses(event: Members) -> bool:
    return text(event.get("type")).startswith(("response.", "codex."))


def _ends_responses(event: Members) -> bool:
    return event.get("type") in ("response.completed", "response.incomplete", "response.failed")


def _is_of_messages(event: Members) -> bool:
    return text(event.get("type")).startswith(("message_", "content_block_", "ping"))


def _is_of_gemini(event: Members) -> bool:
    chunk = members(event.get("response")) or event
    return not {"candidates", "promptFeedback", "usageMetadata"}.isdisjoint(chunk)


def _ends_gemini(event: Members) -> bool:
    chunk = members(event.get("response")) or event
    finished = any(candidate.get("finishReason") for candidate in objects(chunk.get("candidates")))
    return finished or bool(members(chunk.get("promptFeedback")).get("blockReason"))


def _chat(name: str) -> Api:
    return Api(
        name,
        view_chat.conversation,
        view_chat.answer,
        view_stream_chat.assemble,
        lambda event: "choices" in event,
        _is_done,
        DONE,
    )


_RESPONSES = Api(
    "OpenAI Responses",
    view_responses.conversation,
    view_responses.answer,
    view_stream_responses.assemble,
    _is_of_responses,
    _ends_responses,
    "response.completed",
)
_MESSAGES = Api(
    "Anthropic Messages",
    view_messages.conversation,
    view_messages.answer,
    view_stream_messages.assemble,
    _is_of_messages,
    lambda event: event.get("type") == "message_stop",
    "message_stop",
)
_GEMINI = Api(
    "Gemini generateContent",
    view_gemini.conversation,
    view_gemini.answer,
    view_stream_gemini.assemble,
    _is_of_gemini,
    _ends_gemini,
    "a finishReason",
)

_ENDS: tuple[tuple[tuple[str, ...], Api], ...] = (
    (("/chat/completions",), _chat("OpenAI chat completions")),
    (("/completions",), _chat("OpenAI completions")),
    (("/responses", "/responses/compact"), _RESPONSES),
    (("/messages", "/messages/count_tokens"), _MESSAGES),
    ((":generateContent", ":streamGenerateContent", ":countTokens"), _GEMINI),
)


def of_path(path: str) -> Api | None:
    """The API of a request's path, with or without its query, whatever stands before its end."""
    bare = path.partition("?")[0].rstrip("/").replace("%3A", ":").replace("%3a", ":")
    return next((api for ends, api in _ENDS if bare.endswith(ends)), None)
