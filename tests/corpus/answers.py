"""The corpora: what upstream answers, and what it means.

`upstream_answers.json`, `field_answers.json` and `real_answers.json` are copies of the project's
shared corpora, the last with equal answers joined; `own_answers.json` has the same shapes in other
words, `own_field_answers.json` is after reports from the field, `unseen_answers.json` too, written in
other words before the rules were looked at, and `rule_answers.json` has one or more for each word of
the rules. `request_faults.txt` are messages that blame the request in words that failures use, one a
line. Made up, but for `real_answers.json`: what the real CLIProxyAPI
v6.10.9, v7.1.76 and v7.2.140 wrote.
"""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Answer:
    name: str
    protocol: str
    versions: str
    status: int
    headers: dict[str, str]
    body: str
    stream: bool
    kind: str
    retry_after_seconds: float | None
    why: str

    def __str__(self) -> str:
        return self.name

    @property
    def lower_headers(self) -> dict[str, str]:
        return {name.lower(): value for name, value in self.headers.items()}


def _entries(file: str) -> list[Any]:
    entries: list[Any] = json.loads((HERE / file).read_text(encoding="utf-8"))
    return entries


def load(file: str) -> list[Answer]:
    return [Answer(**entry) for entry in _entries(file)]


@cache
def real() -> list[Answer]:
    """What the real CLIProxyAPI wrote; named after the first that wrote it."""
    return [
        Answer(
            name=entry["names"][0],
            protocol=entry["names"][0].split("/")[1],
            versions="",
            why="",
            **{key: value for key, value in entry.items() if key not in ("names", "want")},
        )
        for entry in _entries("real_answers.json")
    ]


@cache
def of_rules() -> list[Answer]:
    """Answers for the words of the rules: `[status, body, kind]`; a text is the message, 0 an event of a 200."""
    answers = []
    for number, (status, said, kind) in enumerate(_entries("rule_answers.json")):
        body = {"error": {"message": said}} if isinstance(said, str) else said
        answers.append(
            Answer(
                name=f"rule_{number}",
                protocol="any",
                versions="made up",
                status=status or 200,
                headers={"Content-Type": "application/json" if status else "text/event-stream"},
                body=json.dumps(body) if status else f"data: {json.dumps(body)}\n\n",
                stream=not status,
                kind=kind,
                retry_after_seconds=None,
                why="",
            )
        )
    return answers


def request_faults() -> list[str]:
    """Messages that blame the request, in words that failures use."""
    return (HERE / "request_faults.txt").read_text(encoding="utf-8").splitlines()


SHARED = load("upstream_answers.json")
OWN = load("own_answers.json")
FIELD = load("field_answers.json")
OWN_FIELD = load("own_field_answers.json")
UNSEEN = load("unseen_answers.json")
