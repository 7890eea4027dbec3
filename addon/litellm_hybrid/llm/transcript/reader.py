"""Requests and responses of the four APIs as text for people: plain, streamed, whole or cut short."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Protocol

from litellm_hybrid.llm.transcript import anthropic, gemini, openai_chat, openai_responses, render
from litellm_hybrid.llm.transcript.model import DONE, Conversation, TranscriptResponse, counted
from litellm_hybrid.message.json import Object, decode, decode_cut_array, first, members, text
from litellm_hybrid.message.sse import Event, EventReader
from litellm_hybrid.routing.paths import Api, identify_api, model_path

_EVENT_STREAM = "text/event-stream"

_STREAM_BEGINS = (b":", b"data", b"event", b"id", b"retry", b"\xef\xbb\xbf")
"""Some send plain JSON or a page under the type of an event stream."""


class _Reader(Protocol):
    """How one API is read: what each of the four modules has."""

    END: str

    def conversation(self, body: Object) -> Conversation | None: ...
    def response(self, body: Object) -> TranscriptResponse | None: ...
    def assemble(self, events: Iterable[Object]) -> Object: ...
    def knows(self, event: Object) -> bool: ...
    def ends(self, event: Object) -> bool: ...


_READERS: dict[Api, tuple[str, _Reader]] = {
    Api.CHAT: ("OpenAI chat completions", openai_chat),
    Api.COMPLETIONS: ("OpenAI completions", openai_chat),
    Api.RESPONSES: ("OpenAI Responses", openai_responses),
    Api.MESSAGES: ("Anthropic Messages", anthropic),
    Api.GENERATE_CONTENT: ("Gemini generateContent", gemini),
}
"""The name that people are shown, and the module."""


@dataclass(frozen=True, slots=True)
class _Stream:
    """What was read of a stream: its events, what they were read from, and how it ends if it is cut short."""

    events: list[Object]
    source: str
    ending: str


def show_request(path: str, body: bytes) -> str | None:
    """A request (without its content coding) as a conversation in text; None if this is no such request."""
    if (api := identify_api(path)) is None:
        return None
    name, reader = _READERS[api]
    try:
        asked = reader.conversation(members(decode(body)))
        if asked is None:
            return None
        # Gemini's paths say what the bodies of the others do.
        bare = path.partition("?")[0]
        named = model_path(bare)
        model = asked.model or (named.model if named else "")
        streams = "streamGenerateContent" in bare if asked.streams is None else asked.streams
        return render.conversation(name, asked, model=model, streams=streams)
    except RecursionError:
        return None


def show_response(path: str, content_type: str, body: bytes) -> str | None:
    """A response (without its content coding) as the text that was said; None if this is no such response.

    An error that comes alone, in plain JSON, is none: there is nothing to put together.
    """
    api, begins = identify_api(path), body.lstrip()
    if api is None or not begins:
        return None
    name, reader = _READERS[api]
    try:
        if content_type.partition(";")[0].strip().lower() == _EVENT_STREAM:
            stream = _events(body) if begins.startswith(_STREAM_BEGINS) else None
        elif begins.startswith(b"["):  # Gemini's stream without `alt=sse`
            stream = _list(body)
        else:
            plain = members(decode(body))
            return _text(name, reader.response(plain), _errors([plain]), "not streamed")
        return _streamed(name, reader, stream) if stream else None
    except RecursionError:
        return None


def _streamed(name: str, reader: _Reader, stream: _Stream) -> str | None:
    errors = _errors(stream.events)
    ended = bool(errors) or any(map(reader.ends, stream.events))
    if stream.events and not ended and not any(map(reader.knows, stream.events)):
        return None
    cut = None if ended else f"{stream.ending} without {reader.END}"
    return _text(name, reader.response(reader.assemble(stream.events)), errors, stream.source, cut)


def _text(
    name: str, given: TranscriptResponse | None, errors: list[str], source: str, cut: str | None = None
) -> str | None:
    if given is None:
        return None
    given = replace(given, errors=[*errors, *given.errors])
    return render.response(name, given, source=source, cut=cut)


def _list(body: bytes) -> _Stream | None:
    whole = decode(body)
    read = whole if isinstance(whole, list) else decode_cut_array(body)
    chunks: list[Object] = [chunk for chunk in read if isinstance(chunk, dict)]
    if not chunks:
        return None
    ending = "the list ends" if isinstance(whole, list) else "the list breaks off"
    return _Stream(chunks, f"list of {counted(len(chunks), 'chunk')}", ending)


def _events(body: bytes) -> _Stream | None:
    reader = EventReader()
    read = [_data(event) for event in reader.feed(body)]
    half = reader.close()
    last = _data(half) if half else {}
    events = [event for event in [*read, last] if event]
    unreadable = read.count({})
    if not events and unreadable:
        return None
    source = f"stream of {counted(len(events), 'event')}"
    if unreadable:
        source += f" and {unreadable:,} that cannot be read"
    in_the_middle = (half and not last) or not body.endswith((b"\n", b"\r"))
    ending = f"the stream ends{' in the middle of an event,' if in_the_middle else ''}"
    return _Stream(events, source, ending)


def _data(event: Event) -> Object:
    """An event's data, which has its name as `type` if it says none; {} if it is no object."""
    if event.data.strip() == DONE:
        return {"type": DONE}
    data = members(decode(event.data))
    return data if "type" in data or not event.name or not data else {"type": event.name, **data}


def _errors(events: list[Object]) -> list[str]:
    return list(dict.fromkeys(words for event in events if (words := _error(event))))


def _error(event: Object) -> str:
    """The words of the error that an event or a response states; "" if it states none."""
    error: Any = first(event, "error") or first(members(event.get("response")), "error")
    if error is None and event.get("type") == "error":
        error = event
    if not isinstance(error, dict):
        return text(error)
    names = [str(error[name]) for name in ("type", "code", "status") if error.get(name)]
    names = [name for name in dict.fromkeys(names) if name != "error"]
    return ": ".join(filter(None, (", ".join(names), text(error.get("message")))))
