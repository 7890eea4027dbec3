"""An answer of one of the four APIs as the text that was said: plain, streamed, whole or cut short."""

from dataclasses import dataclass, replace
from typing import Any

from litellm_hybrid.llm.transcript import apis as view_apis
from litellm_hybrid.llm.transcript import render as view_layout
from litellm_hybrid.llm.transcript.apis import DONE, Api
from litellm_hybrid.llm.transcript.json_values import Members, decode, decode_cut_array, first, members, text
from litellm_hybrid.llm.transcript.model import Answer, counted
from litellm_hybrid.message.sse import Event, EventReader

_EVENT_STREAM = "text/event-stream"

_STREAM_BEGINS = (b":", b"data", b"event", b"id", b"retry", b"\xef\xbb\xbf")
"""Some send plain JSON or a page under the type of an event stream."""


@dataclass(frozen=True, slots=True)
class _Read:
    """What was read of an answer.

    Attributes:
        events: a stream's; of a plain answer the whole, as the only one.
        source: what it was read from, in a few words.
        ending: how it ends if it is cut short; "" for what cannot be.
    """

    events: list[Members]
    source: str
    ending: str = ""


def show(path: str, content_type: str, body: bytes) -> str | None:
    """The answer as text; None if this is no such answer.

    An error that comes alone, in plain JSON, is none: there is nothing to put together.

    Args:
        path: the request's, with or without its query.
        content_type: the answer's.
        body: without its content coding.
    """
    api = view_apis.of_path(path)
    begins = body.lstrip()
    if api is None or not begins:
        return None
    try:
        if content_type.partition(";")[0].strip().lower() == _EVENT_STREAM:
            read = _stream(body) if begins.startswith(_STREAM_BEGINS) else None
        elif begins.startswith(b"["):  # Gemini's stream without `alt=sse`
            read = _list(body)
        else:
            return _plain(api, members(decode(body)))
        return _streamed(api, read) if read else None
    except RecursionError:
        return None


def _plain(api: Api, answer: Members) -> str | None:
    given = api.answer(answer)
    return None if given is None else _text(api, given, _errors([answer]), "not streamed")


def _streamed(api: Api, read: _Read) -> str | None:
    errors = _errors(read.events)
    ended = bool(errors) or any(map(api.ends, read.events))
    if read.events and not ended and not any(map(api.knows, read.events)):
        return None
    given = api.answer(api.assemble(read.events))
    if given is None:
        return None
    return _text(api, given, errors, read.source, None if ended else f"{read.ending} without {api.end}")


def _text(api: Api, given: Answer, errors: list[str], source: str, cut: str | None = None) -> str:
    given = replace(given, errors=[*errors, *given.errors])
    return view_layout.answer(api.name, given, source=source, cut=cut)


def _list(body: bytes) -> _Read | None:
    whole = decode(body)
    read = whole if isinstance(whole, list) else decode_cut_array(body)
    chunks: list[Members] = [chunk for chunk in read if isinstance(chunk, dict)]
    if not chunks:
        return None
    ending = "the list ends" if isinstance(whole, list) else "the list breaks off"
    return _Read(chunks, f"list of {counted(len(chunks), 'chunk')}", ending)


def _stream(body: bytes) -> _Read | None:
    reader = EventReader()
    read = [_members(event) for event in reader.feed(body)]
    half = reader.close()
    last = _members(half) if half else {}
    events = [event for event in [*read, last] if event]
    unreadable = read.count({})
    if not events and unreadable:
        return None
    source = f"stream of {counted(len(events), 'event')}"
    if unreadable:
        source += f" and {unreadable:,} that cannot be read"
    in_the_middle = (half and not last) or not body.endswith((b"\n", b"\r"))
    ending = f"the stream ends{' in the middle of an event,' if in_the_middle else ''}"
    return _Read(events, source, ending)


def _members(event: Event) -> Members:
    """An event's data, which has its name as `type` if it says none; {} if it is no object."""
    if event.data.strip() == DONE:
        return {"type": DONE}
    data = members(decode(event.data))
    return data if "type" in data or not event.name or not data else {"type": event.name, **data}


def _errors(events: list[Members]) -> list[str]:
    return list(dict.fromkeys(words for event in events if (words := _error(event))))


def _error(event: Members) -> str:
    """The words of the error that an event or an answer states; "" if it states none."""
    error: Any = first(event, "error") or first(members(event.get("response")), "error")
    if error is None and event.get("type") == "error":
        error = event
    if not isinstance(error, dict):
        return text(error)
    names = [str(error[name]) for name in ("type", "code", "status") if error.get(name)]
    names = [name for name in dict.fromkeys(names) if name != "error"]
    return ": ".join(filter(None, (", ".join(names), text(error.get("message")))))
