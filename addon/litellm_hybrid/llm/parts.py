"""What is shown of a request or a response, in whichever API it came.

Every API's module reads its own shape into these; `transcript.py` writes them as text.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from enum import Enum

from litellm_hybrid.message.json import Object, decode, encode, first, items, members, text

DONE = "[DONE]"
"""The `type` that stands for the line without JSON that ends OpenAI's older streams."""


class Kind(Enum):
    """What a part of a message is."""

    TEXT = "text"
    THINKING = "thinking"
    CALL = "call"
    RESULT = "result"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a message.

    Attributes:
        content: the text; of a call its arguments, any JSON value.
        id: by which a call and its result find each other.
        note: what else is to be known about it, in a few words.
    """

    kind: Kind
    content: object = ""
    name: str = ""
    id: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Turn:
    """A message; `role` is the API's own word."""

    role: str
    parts: list[Part]


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool that the model may call: no more of it than this is shown."""

    name: str
    description: str


@dataclass(frozen=True, slots=True)
class Conversation:
    """A request; `streams` is None where only the path can say so, `options` are all its other members."""

    model: str
    streams: bool | None
    options: dict[str, object]
    tools: list[Tool]
    turns: list[Turn]

    @classmethod
    def of(cls, body: Object, shown: frozenset[str], tools: list[Tool], turns: list[Turn]) -> "Conversation":
        """Make one of a body with `model` and `stream`; its members that are not `shown` are the options."""
        options = {name: value for name, value in body.items() if name not in shown}
        return cls(text(body.get("model")), body.get("stream") is True, options, tools, turns)


@dataclass(frozen=True, slots=True)
class TranscriptResponse:
    """A response, plain or put together from its stream.

    Attributes:
        finish: why it ended, in the API's own word; several for several choices.
        usage: what was counted, by the API's own names, nested.
        errors: the words of errors that it states.
    """

    model: str
    id: str
    finish: str
    usage: object
    turns: list[Turn]
    errors: list[str] = field(default_factory=list)


def said(words: str) -> list[Part]:
    """A text, unless it is empty."""
    return [Part(Kind.TEXT, words)] if words else []


def thought(words: str, sealed: str = "") -> list[Part]:
    """Reasoning: its text, and how much of it is sealed; nothing if there is neither."""
    if not words and not sealed:
        return []
    note = f"sealed, {size(len(sealed))}" if sealed else ""
    return [Part(Kind.THINKING, words, note=note)]


def called(arguments: object, name: object, id: object = "") -> list[Part]:  # noqa: A002
    """A tool's call."""
    return [Part(Kind.CALL, arguments, text(name), text(id))]


def noted(words: str) -> list[Part]:
    """Something that is only mentioned."""
    return [Part(Kind.NOTE, words)]


def base64(kind: str, data: str) -> list[Part]:
    """A note in the place of base64: its kind, and its size once decoded."""
    return noted(f"{kind or 'base64'}, {size(len(data) * 3 // 4)}")


def url(kind: str, where: str) -> list[Part]:
    """A note in the place of an image or a file at a URL, which may hold it as base64 itself."""
    if where.startswith("data:"):
        head, _, data = where.partition(",")
        return base64(head.removeprefix("data:").partition(";")[0] or kind, data)
    return noted(f"{kind} {where}")


def arguments(written: object) -> object:
    """A call's arguments, which OpenAI's APIs write as a string of JSON; the string itself if it is none."""
    read = decode(written) if isinstance(written, str) else written
    return read if isinstance(read, dict) else written


def results(parts: list[Part], name: str = "", id: str = "", note: str = "") -> list[Part]:  # noqa: A002
    """What a tool gave back, from the parts that its content was read into."""
    words = [part.content if isinstance(part.content, str) else encode(part.content) for part in parts]
    noted = [f"[{text}]" if part.kind is Kind.NOTE else text for part, text in zip(parts, words, strict=True)]
    return [Part(Kind.RESULT, "\n".join(noted), name, id, note)]


def content(value: object) -> list[Part]:
    """A message's content in OpenAI's APIs: a text, or a list of parts."""
    if isinstance(value, str):
        return said(value)
    parts: list[Part] = []
    for part in items(value):
        parts += said(part) if isinstance(part, str) else _content_part(members(part))
    return parts


def _content_part(part: Object) -> list[Part]:
    kind = text(part.get("type"))
    if words := text(first(part, "text", "refusal")):
        return said(words)
    if kind in ("image_url", "input_image"):
        where = part.get("image_url")
        link = text(where) or text(members(where).get("url"))
        return url("image", link or text(part.get("file_id")))
    if kind in ("input_audio", "audio"):
        audio = members(part.get("input_audio")) or part
        return base64(f"audio {text(audio.get('format'))}".strip(), text(audio.get("data")))
    if kind in ("file", "input_file"):
        return _file(members(part.get("file")) or part)
    if kind == "thinking":
        return thought(text(part.get("thinking")), text(part.get("signature")))
    return [] if "text" in part else noted(kind or "a part without a type")


def _file(file: Object) -> list[Part]:
    name = f"file {text(file.get('filename'))}".strip()
    if data := text(file.get("file_data")):
        return base64(name, data.rpartition(",")[2])
    return url(name, text(first(file, "file_url", "file_id")))


def size(length: int) -> str:
    """A number of bytes for people."""
    for unit, bytes_ in (("MB", 1_000_000), ("kB", 1_000)):
        if length >= bytes_:
            return f"{length / bytes_:.1f} {unit}"
    return f"{length} B"


class Texts:
    """Texts by their names, each put together once, at the end: adding strings would take quadratic time."""

    def __init__(self) -> None:
        self._pieces: defaultdict[str, list[str]] = defaultdict(list)

    def add(self, name: str, piece: object) -> None:
        """The next piece of one of them; what is no text is passed over."""
        if isinstance(piece, str) and piece:
            self._pieces[name].append(piece)

    def joined(self) -> dict[str, str]:
        """All of them that have come to something."""
        return {name: "".join(pieces) for name, pieces in self._pieces.items()}
