"""Requests and responses as text for people."""

import re
from collections.abc import Iterable, Iterator, Mapping

from litellm_hybrid.llm.transcript.model import (
    Conversation,
    Kind,
    Part,
    Tool,
    TranscriptResponse,
    Turn,
    counted,
    size,
)
from litellm_hybrid.message.json import encode

LONGEST = 4_000
"""More characters than this of one text in a request are cut, in the middle."""

_LONGEST_VALUE = 300
"""The same for an option, and for a value that is shown as JSON."""

_LONGEST_LINE = 100
"""And for the description of a tool."""

_WIDTH = 80

_SURROGATE = re.compile(r"[\ud800-\udfff]")
_DATA_URL = re.compile(r"data:([\w.+/-]{1,100});base64,([A-Za-z0-9+/=_-]{100,}+)")


def conversation(api: str, asked: Conversation, *, model: str, streams: bool) -> str:
    """A request: what it asks for and of whom, the tools, the messages in order."""
    stream = "streamed" if streams else "not streamed"
    messages = counted(len(asked.turns), "message")
    options = [f"{name} {_value(value)}" for name, value in asked.options.items()]
    return _page(
        [
            " · ".join(filter(None, (api, model or "no model", stream, messages))),
            _folded(options),
            *_tools(asked.tools),
            *_turns(asked.turns, LONGEST),
        ]
    )


def response(api: str, given: TranscriptResponse, *, source: str, cut: str | None) -> str:
    """A response: how it ended, its cost, all that was said; `cut`: what is missing at its end."""
    return _page(
        [
            " · ".join(filter(None, (api, given.model, given.id, source))),
            f"finish: {given.finish or 'not stated'}",
            f"usage: {_folded(_counts(given.usage), len('usage: ')) or 'not stated'}",
            *(f"ERROR: {error}" for error in given.errors),
            *([f"CUT SHORT: {cut}"] if cut else []),
            *(_turns([turn for turn in given.turns if turn.parts], None) or ["\n(no output)"]),
        ]
    )


def _page(lines: Iterable[str]) -> str:
    text = "\n".join(lines).replace("\r\n", "\n")
    return _SURROGATE.sub("\ufffd", text) + "\n"


def _folded(items: Iterable[str], indent: int = 0) -> str:
    """Items in lines that fit into mitmweb's pane; the first stands behind `indent` characters."""
    lines: list[str] = []
    for item in items:
        joined = f"{lines[-1]} · {item}" if lines else item
        if lines and indent + len(joined) <= _WIDTH:
            lines[-1] = joined
        else:
            lines.append(item)
    return f"\n{' ' * indent}".join(lines)


def _rule(title: str) -> str:
    return f"\n── {title} {'─' * max(3, _WIDTH - len(title) - 4)}"


def _tools(tools: list[Tool]) -> Iterator[str]:
    if not tools:
        return
    yield _rule(f"tools: {len(tools)}")
    for tool in tools:
        description = " ".join(tool.description[: 2 * _LONGEST_LINE].split())
        if len(description) > _LONGEST_LINE:
            description = description[: _LONGEST_LINE - 1].rstrip() + "…"
        yield f"{tool.name}: {description}" if description else tool.name


def _turns(turns: list[Turn], longest: int | None) -> list[str]:
    calls = [part for turn in turns for part in turn.parts if part.kind is Kind.CALL]
    called = {part.id: part.name for part in calls if part.id}
    lines: list[str] = []
    for turn in turns:
        lines.append(_rule(turn.role or "no role"))
        before = None
        for part in turn.parts:
            if before is not None and Kind.NOTE not in (before, part.kind):
                lines.append("")
            lines += _part(part, called, longest)
            before = part.kind
    return lines


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
    for text in texts:
        for line in text.split("\n"):
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
