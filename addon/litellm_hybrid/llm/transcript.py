"""Requests and responses of the four APIs as text for people: plain, streamed, whole or cut short."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any, Protocol
from unicodedata import east_asian_width

from litellm_hybrid.llm import anthropic, gemini, openai_chat, openai_responses
from litellm_hybrid.llm.parts import (
    DONE,
    Conversation,
    Kind,
    Part,
    Tool,
    TranscriptResponse,
    Turn,
    size,
)
from litellm_hybrid.message.json import Object, decode, decode_cut_array, encode, first, members, text
from litellm_hybrid.message.sse import Event, EventReader
from litellm_hybrid.routing.paths import Api, identify_api, model_path
from litellm_hybrid.terminal import counted

_EVENT_STREAM = "text/event-stream"

_STREAM_BEGINS = (b":", b"data", b"event", b"id", b"retry", b"\xef\xbb\xbf")
"""Some send plain JSON or a page under the type of an event stream."""

LONGEST = 4_000
"""More characters than this of one text in a request are cut, in the middle."""

_LONGEST_VALUE = 300
"""The same for an option, and for a value that is shown as JSON."""

_OLDER_RESULT = 240
"""More characters than this of a tool's result are cut that is not of the newest turn."""

_MODELS_ROLES = frozenset({"assistant", "model"})

WIDTH = 76
"""Characters of a line: what mitmweb's pane has at a width of 1280 pixels."""

_SURROGATE = re.compile(r"[\ud800-\udfff]")
_DATA_URL = re.compile(r"data:([\w.+/-]{1,100});base64,([A-Za-z0-9+/=_-]{100,}+)")


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
        return _conversation(name, asked, model=model, streams=streams)
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
            return _shown(name, reader.response(plain), _errors([plain]), "not streamed")
        return _streamed(name, reader, stream) if stream else None
    except RecursionError:
        return None


def ends_stream(event: Event) -> bool:
    """Whether an event is the one that ends a stream, of whichever API."""
    data = _data(event)
    return any(reader.ends(data) for _, reader in _READERS.values())


def _streamed(name: str, reader: _Reader, stream: _Stream) -> str | None:
    errors = _errors(stream.events)
    ended = bool(errors) or any(map(reader.ends, stream.events))
    if stream.events and not ended and not any(map(reader.knows, stream.events)):
        return None
    cut = None if ended else f"{stream.ending} without {reader.END}"
    return _shown(name, reader.response(reader.assemble(stream.events)), errors, stream.source, cut)


def _shown(
    name: str, given: TranscriptResponse | None, errors: list[str], source: str, cut: str | None = None
) -> str | None:
    if given is None:
        return None
    given = replace(given, errors=[*errors, *given.errors])
    return _response(name, given, source=source, cut=cut)


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


# -- text for people ----------------------------------------------------------------


def _conversation(api: str, asked: Conversation, *, model: str, streams: bool) -> str:
    """A request: what it asks for and of whom, the messages, the newest first, the tools."""
    stream = "streamed" if streams else "not streamed"
    messages = counted(len(asked.turns), "message")
    options = [f"{name} {_value(value)}" for name, value in asked.options.items()]
    return _page(
        [
            _folded(filter(None, (api, model or "no model", stream, messages))),
            _folded(options),
            *_turns(asked.turns, LONGEST),
            *_tools(asked.tools),
        ]
    )


def _response(api: str, given: TranscriptResponse, *, source: str, cut: str | None) -> str:
    """A response: how it ended, its cost, all that was said; `cut`: what is missing at its end."""
    return _page(
        [
            _folded(filter(None, (api, given.model, given.id, source))),
            f"finish: {given.finish or 'not stated'}",
            f"usage: {_folded(_counts(given.usage), len('usage: ')) or 'not stated'}",
            *(f"ERROR: {error}" for error in given.errors),
            *([f"CUT SHORT: {cut}"] if cut else []),
            *(_turns([turn for turn in given.turns if turn.parts], None) or ["\n(no output)"]),
        ]
    )


def _page(lines: Iterable[str]) -> str:
    return _wrapped("\n".join(lines)) + "\n"


def readable(body: bytes) -> str:
    """A body as text that fits into mitmweb's pane; JSON with a member in a line."""
    parsed = decode(body)
    is_json = isinstance(parsed, dict | list)
    text = json.dumps(parsed, ensure_ascii=False, indent=2) if is_json else body.decode(errors="replace")
    return _wrapped(text)


def rule(title: str) -> str:
    """A line with a title that parts what stands above it from what stands below."""
    return _wrapped(f"\n══ {title} {'═' * max(3, WIDTH - len(title) - 4)}")


def _wrapped(text: str) -> str:
    """Text with its long lines folded, at blanks where there are some; what is left stands as far in."""
    lines: list[str] = []
    for line in _SURROGATE.sub("\ufffd", text.replace("\r\n", "\n")).split("\n"):
        indent, rest = line[: min(len(line) - len(line.lstrip(" ")), WIDTH // 2)], line
        while (end := _fitting(rest)) < len(rest):
            blank = rest.rfind(" ", max(end // 2, len(indent) + 1), end + 1)
            lines.append(rest[: blank if blank > 0 else end])
            rest = indent + (rest[blank + 1 :] if blank > 0 else rest[end:])
        lines.append(rest)
    return "\n".join(lines)


def _fitting(line: str) -> int:
    """How many characters of a line fit; those of East Asia take two columns."""
    if len(line) <= WIDTH // 2 or line.isascii():
        return WIDTH
    columns = accumulate(1 + (east_asian_width(character) in "WF") for character in line[: WIDTH + 1])
    return sum(column <= WIDTH for column in columns)


def _folded(items: Iterable[str], indent: int = 0) -> str:
    """Items in lines that fit into mitmweb's pane; the first stands behind `indent` characters."""
    lines: list[str] = []
    for item in items:
        joined = f"{lines[-1]} · {item}" if lines else item
        if lines and indent + len(joined) <= WIDTH:
            lines[-1] = joined
        else:
            lines.append(item)
    return f"\n{' ' * indent}".join(lines)


def _rule(title: str) -> str:
    return f"\n── {title} {'─' * max(3, WIDTH - len(title) - 4)}"


def _tools(tools: list[Tool]) -> Iterator[str]:
    if not tools:
        return
    yield _rule(f"tools: {len(tools)}")
    for tool in tools:
        line = f"{tool.name}: {' '.join(tool.description[: 2 * WIDTH].split())}".removesuffix(": ")
        yield line if len(line) <= max(WIDTH, len(tool.name)) else f"{line[: WIDTH - 1].rstrip()}…"


def _turns(turns: list[Turn], longest: int | None) -> list[str]:
    """The messages of a request, the newest first, with the tool results before the model's last shortened.

    `longest` None: those of a response, as they come.
    """
    calls = [part for turn in turns for part in turn.parts if part.kind is Kind.CALL]
    called = {part.id: part.name for part in calls if part.id}
    lines: list[str] = []
    is_older, numbered = False, list(enumerate(turns, 1))
    for number, turn in numbered if longest is None else reversed(numbered):
        lines.append(_rule(f"{'' if longest is None else f'{number}. '}{turn.role or 'no role'}"))
        before = None
        for part in turn.parts:
            if before is not None and Kind.NOTE not in (before, part.kind):
                lines.append("")
            lines += _part(_shortened(part) if is_older else part, called, longest)
            before = part.kind
        is_older = is_older or (longest is not None and turn.role in _MODELS_ROLES)
    return lines


def _shortened(part: Part) -> Part:
    """A tool's result that has been read already: its beginning, and its size."""
    text = part.content if isinstance(part.content, str) else encode(part.content)
    if part.kind is not Kind.RESULT or len(text) <= _OLDER_RESULT + _OLDER_RESULT // 4:
        return part
    note = f"{part.note}, {size(len(text.encode(errors='replace')))}".removeprefix(", ")
    return replace(part, content=f"{text[:_OLDER_RESULT]}…", note=note)


def _part(part: Part, called: Mapping[str, str], longest: int | None) -> Iterator[str]:
    if part.kind is Kind.TEXT:
        yield _text(part.content, longest)
        return
    if part.kind is Kind.NOTE:
        yield f"[{_text(part.content, longest)}]"
        return
    name = part.name or (called.get(part.id, "") if part.kind is Kind.RESULT else "")
    about = f"({part.note})" if part.note else ""
    title = {Kind.THINKING: "[thinking]", Kind.CALL: "[tool call]", Kind.RESULT: "[tool result]"}[part.kind]
    yield " ".join(filter(None, (title, name, part.id, about)))
    yield from _indented(_arguments(part.content, longest))


def _arguments(content: object, longest: int | None) -> Iterator[str]:
    """A call's arguments, a name and a value in a line; a text of several lines below its name."""
    if not isinstance(content, dict):
        if content not in ("", None):
            yield _text(content, longest)
        return
    for name, value in content.items():
        text = _text(value, longest)
        if "\n" in text:
            yield f"{name}:"
            yield from _indented([text])
        else:
            yield f"{name}: {text}"


def _indented(texts: Iterable[str]) -> Iterator[str]:
    for lines in texts:
        for line in lines.split("\n"):
            yield f"    {line}" if line else ""


def _text(value: object, longest: int | None) -> str:
    text = value if isinstance(value, str) else encode(value)
    text = _DATA_URL.sub(lambda found: f"[{found[1]}, {size(len(found[2]) * 3 // 4)}]", text)
    return text if longest is None else _cut(text, longest)


def _cut(text: str, longest: int) -> str:
    left_out = len(text) - longest
    if left_out <= longest // 10:  # the note would not be much shorter
        return text
    end = longest // 4
    return f"{text[: longest - end]}\n[… {left_out:,} characters left out …]\n{text[-end:]}"


def _value(value: object) -> str:
    text = value if isinstance(value, str) else encode(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}… ({len(text):,} characters)"


def _counts(usage: object, prefix: str = "") -> Iterator[str]:
    """Numbers by their names; of the nested ones only those that say something."""
    for name, value in usage.items() if isinstance(usage, dict) else ():
        if isinstance(value, dict) and not prefix:
            yield from _counts(value, f"{name}.")
        elif isinstance(value, int | float) and (value or not prefix):
            yield f"{prefix}{name} {value:,}"
