"""The corpora: what upstream answers, and what it means.

`upstream_answers.json` is a copy of the project's shared corpus,
`own_answers.json` has the same shapes in other words.
"""

import json
from dataclasses import dataclass
from pathlib import Path

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


def load(file: str) -> list[Answer]:
    return [Answer(**entry) for entry in json.loads((HERE / file).read_text(encoding="utf-8"))]


SHARED = load("upstream_answers.json")
OWN = load("own_answers.json")
