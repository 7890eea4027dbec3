#!/usr/bin/env python3
"""Makes docs/replays.md of what tests/support/replay_matrix.py has measured; see scripts/reference.py."""

import json
from collections import Counter
from pathlib import Path

MEASURED = Path(__file__).parents[1] / "tests" / "litellm" / "replays.json"

_SELDOM = 6
"""Changes of fewer requests have no row of their own."""

type Rows = list[dict[str, str | int]]

_PROSE = """\
# What backends behind LiteLLM take of a replay

Made by `scripts/reference` of `tests/litellm/replays.json`, which `tests/support/replay_matrix.py` measures:
requests as agents make them, an upstream without quota, a real LiteLLM without `drop_params` in its
configuration, and backends that check strictly, with the request types of the official SDKs and by the
providers' own rules, in their own words. **{answered} of {all} requests are answered**, {once} of them at the
first attempt, the others after {most} at most; a session's second turn, with a history that another account
has made, needs one{late}. How a replay is made to fit is in [fallback.md](fallback.md).

A number is how often LiteLLM was asked: at a session's first turn, and at its second. **no** is a refusal:
the client gets upstream's answer. None is an answer to another question: the image that LiteLLM would leave
out for DeepSeek is not sent, and the tool that it would not force Mistral to call is the only one it gets.
LiteLLM's `/model/info` tells that. Where the key may not read it, or it has not answered yet, **{untold} are
answered**: a request with an image, a forced tool or a form of its answer is replayed, and the head of the
answer (`x-litellm-model-name`) says whether the one who gave it had got all of the request. If not, or if it
says nothing, which is so for most of Gemini's requests, the client gets upstream's answer, and for an hour no
such request is replayed to that model.

LiteLLM with `drop_params: true` in its own configuration, and for Claude Code and Codex any LiteLLM, leaves
out in silence what it has no option for: a forced tool for `perplexity/`, many models of Fireworks and
Bedrock, and Claude Opus 5.5, a JSON schema for `zai/`. Such requests are not replayed there.

`reasoning_content` of another account is left out at once for those who are known to refuse it (OpenAI,
Azure, Groq, Cerebras, xAI), and for an `openai/…` server of which nothing is known, once it has answered
without reasoning of its own; elsewhere once it is refused, for the model from then on. Such a server may
refuse it or take it, which nothing tells before it is sent: so one that would have taken it gets it no more,
and one that gives reasoning, or has taken it, gets it byte for byte. A seal that looks genuine and is refused
costs one attempt more, once a conversation.

`compatible-openai` is a server without `/responses` that stands in LiteLLM's configuration as `openai/…`.
LiteLLM asks it for `/responses`, gets a 404, and leaves it alone for 5 s, longer than a replay is tried
again: a session's first request fails, for it cannot be known before; from then on `use_chat_completions_api`
is set at once. `hosted_vllm/…`, which `doctor` proposes, spares that (`compatible-vllm`).

"""


def page() -> str:
    """The whole page."""
    rows: Rows = json.loads(MEASURED.read_text("utf-8"))
    answered = [int(row["attempts"]) for row in rows if row["result"] == "answered"]
    late = sum(row["turn"] == "second" and row["attempts"] != 1 for row in rows)
    prose = _PROSE.format(
        answered=len(answered),
        all=len(rows),
        once=answered.count(1),
        most=f"{max(answered)} attempts",
        untold=sum(row["untold"] == "answered" for row in rows),
        late=f" ({late} need more)" if late else "",
    )
    parts = (
        f"{prose}{_matrix(rows)}",
        "## What was changed of the requests that were answered",
        _changes(rows),
    )
    return "\n\n".join(parts) + "\n"


def _matrix(rows: Rows) -> str:
    agents = list(dict.fromkeys(f"{row['agent']}" for row in rows))
    backends = list(dict.fromkeys(f"{row['backend']}" for row in rows))
    lines = [f"| | {' | '.join(agents)} |", f"|---|{'---|' * len(agents)}"]
    lines += [
        f"| {backend} | {' | '.join(_cell(rows, agent, backend) for agent in agents)} |"
        for backend in backends
    ]
    return "\n".join(lines)


def _cell(rows: Rows, agent: str, backend: str) -> str:
    turns = [row for row in rows if (row["agent"], row["backend"]) == (agent, backend)]
    words = {"refused": "no", "changed": "**another meaning**"}
    return " ".join(words.get(f"{row['result']}") or f"{row['attempts']}" for row in turns)


def _changes(rows: Rows) -> str:
    made: dict[str, Counter[str]] = {}
    for row in rows:
        for change in (
            f"{row['remedies']}".split("; ") if row["result"] == "answered" and row["remedies"] else ()
        ):
            made.setdefault(change, Counter())[f"{row['backend']}"] += 1
    lines = ["| changed | requests | at |", "|---|---|---|"]
    seldom = []
    for change, where in sorted(made.items(), key=lambda item: (-item[1].total(), item[0])):
        if where.total() < _SELDOM:
            seldom.append(f"`{change}` ({', '.join(where)})")
        else:
            lines.append(
                f"| `{change}` | {where.total()} | {', '.join(where) if len(where) < 7 else 'most'} |"
            )
    return "\n".join(lines) + f"\n\nSeldom: {'; '.join(seldom)}."
