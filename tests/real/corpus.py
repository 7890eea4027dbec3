"""The two corpora of the real CLIProxyAPI: what providers answer, and what its versions made of it.

`tests/corpus/provider_errors.json`: one provider's answer a line. `tests/corpus/captured_answers.jsonl`: one
answer of CLIProxyAPI a line, with every client API and version that wrote exactly this.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "corpus"
PROVIDER_ERRORS = FOLDER / "provider_errors.json"
CAPTURED = FOLDER / "captured_answers.jsonl"
SHARED = FOLDER / "real_answers.json"

NOT_FAILED = frozenset({"none", "answer", "late"})
"""Kinds of a provider's answer that are no failure: a refused request, an answer, an error after content."""

FALLS_BACK = frozenset({"quota", "overload", "no-credential", "login", "account", "no-answer"})
"""The kinds that fall back by default."""


@dataclass(frozen=True, slots=True, eq=False)
class ProviderError:
    """What a provider answers; one is only equal to itself.

    Attributes:
        provider: anthropic, codex, gemini, openai-compatible; by subscription also antigravity, xai, kimi.
        kind: what it means: a kind of failure, or one of `NOT_FAILED`.
        chunks: text, a pause in seconds, or None where the connection breaks.
    """

    name: str
    provider: str
    kind: str
    status: int
    headers: dict[str, str]
    chunks: tuple[str | float | None, ...]

    @property
    def is_stream(self) -> bool:
        """Whether it answers a streamed request only."""
        return self.headers.get("Content-Type") == "text/event-stream"

    @property
    def text(self) -> str:
        """All of it."""
        return "".join(chunk for chunk in self.chunks if isinstance(chunk, str))


def provider_errors(file: Path = PROVIDER_ERRORS) -> list[ProviderError]:
    """Read a corpus of providers' answers."""
    entries = json.loads(file.read_text(encoding="utf-8"))
    return [ProviderError(**entry | {"chunks": tuple(entry["chunks"])}) for entry in entries]


@dataclass(frozen=True, slots=True)
class Captured:
    """What CLIProxyAPI wrote, and where.

    Attributes:
        at: client API (with `~` for a streamed request, `+` behind `nonstream-keepalive-interval`) → versions.
        kind: what it means by what is left in it.
        want: whether it falls back by default.
    """

    name: str
    status: int
    headers: dict[str, str]
    body: str
    kind: str
    want: bool
    at: dict[str, list[str]] = field(default_factory=dict)

    @property
    def key(self) -> tuple[object, ...]:
        """What makes it another answer than the rest."""
        return (self.name, self.status, *self.headers.items(), self.body)

    def line(self) -> str:
        """One line of the file."""
        fields = {
            "name": self.name,
            "kind": self.kind,
            "want": self.want,
            "at": {api: " ".join(sorted(versions)) for api, versions in sorted(self.at.items())},
            "status": self.status,
            "headers": self.headers,
            "body": self.body,
        }
        return json.dumps(fields, ensure_ascii=False)


def captured(file: Path = CAPTURED) -> list[Captured]:
    """Read a corpus of captured answers."""
    return list(_read(file.read_text(encoding="utf-8").splitlines()))


def _read(lines: Iterable[str]) -> Iterator[Captured]:
    for line in lines:
        entry = json.loads(line)
        yield Captured(**entry | {"at": {api: versions.split() for api, versions in entry["at"].items()}})


def shared(file: Path = SHARED) -> list[Captured]:
    """The project's shared corpus of captured answers, in the same form."""
    entries = json.loads(file.read_text(encoding="utf-8"))
    return [
        Captured(
            entry["names"][0],
            entry["status"],
            entry["headers"],
            entry["body"],
            entry["kind"],
            entry["want"],
            at,
        )
        for entry in entries
        for at in [_places(entry["names"])]
    ]


def _places(names: Iterable[str]) -> dict[str, list[str]]:
    """`error/claude/slow/v7.1.76` → `messages+`: its versions."""
    places: dict[str, list[str]] = {}
    for name in names:
        _, api, *words, version = name.split("/")
        place = api.replace("claude", "messages") + ("+" if words == ["slow"] else "")
        places.setdefault(place, []).append(version)
    return places


def write_captured(answers: Iterable[Captured], file: Path = CAPTURED) -> None:
    """Write them, those of one name together and in a lasting order."""
    lines = sorted(answers, key=lambda answer: (answer.name, sorted(answer.at), answer.body))
    file.write_text("".join(f"{answer.line()}\n" for answer in lines), encoding="utf-8")


def merge(answers: Iterable[Captured]) -> list[Captured]:
    """Join equal answers: one entry with every place that wrote it."""
    merged: dict[tuple[object, ...], Captured] = {}
    for answer in answers:
        known = merged.setdefault(
            answer.key,
            Captured(answer.name, answer.status, answer.headers, answer.body, answer.kind, answer.want),
        )
        for api, versions in answer.at.items():
            places = known.at.setdefault(api, [])
            places.extend(version for version in versions if version not in places)
    return list(merged.values())
