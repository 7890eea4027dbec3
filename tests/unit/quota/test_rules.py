"""Mutations: whatever is taken out of the table, some answer of the corpora is misread."""

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple

import pytest

from corpus.answers import FIELD, OWN, OWN_FIELD, SHARED, UNSEEN, Answer, of_rules, real
from litellm_hybrid.message import sse
from litellm_hybrid.message.json import decode
from litellm_hybrid.quota import classifier, error_shapes
from litellm_hybrid.quota.error_shapes import ErrorPayload
from litellm_hybrid.quota.rules import RULES, Rule


class Judged(NamedTuple):
    """An error of a corpus, and what the table says of it."""

    error: ErrorPayload
    rule: int
    kind: str
    per_request: bool


def _errors(answer: Answer) -> Iterator[ErrorPayload]:
    """The errors that the classifier would ask the table about."""
    text = answer.body.lstrip("\ufeff \r\n\t").encode()
    in_stream = not text.startswith((b"{", b"["))
    if not in_stream:
        payloads = [decode(text)]
    else:
        payloads = [decode(event.data) for event in sse.EventReader().feed(answer.body.encode() + b"\n\n")]
    for payload in payloads:
        if error := error_shapes.read(payload, answer.status, in_stream=in_stream):
            yield error
            return
    if answer.status >= 400:
        yield classifier._shapeless(answer.status, text)


def _first(error: ErrorPayload, start: int = 0) -> int:
    """Which rule holds first; the number of rules if none does."""
    return next((i for i in range(start, len(RULES)) if RULES[i].reason(error)), len(RULES))


def _meaning(index: int) -> tuple[str, bool]:
    return (RULES[index].kind, RULES[index].per_request) if index < len(RULES) else ("none", False)


@cache
def judged() -> list[Judged]:
    answers = [*SHARED, *OWN, *FIELD, *OWN_FIELD, *UNSEEN, *real(), *of_rules()]
    errors = {
        error.phrase + repr(error.names) + repr(error.status): error
        for a in answers
        for error in _errors(a)
        if a.status != 101
    }
    found = []
    for error in errors.values():
        index = _first(error)
        found.append(Judged(error, index, *_meaning(index)))
    return found


def _is_caught(index: int, broken: Rule | None) -> bool:
    """Whether an error means something else with this rule in the place of the one there."""
    for one in judged():
        if one.rule < index:
            continue
        holds = broken is not None and broken.reason(one.error) is not None
        if one.rule == index and not holds:
            if _meaning(_first(one.error, index + 1)) != (one.kind, one.per_request):
                return True
        elif (
            holds and broken is not None and (broken.kind, broken.per_request) != (one.kind, one.per_request)
        ):
            return True
    return False


def _alternatives(pattern: str) -> list[str]:
    """The top-level alternatives of a pattern that `phrases` has made."""
    inner = pattern.removeprefix("(?:").removesuffix(")")
    parts, depth, in_class = [""], 0, False
    for token in re.findall(r"\\.|.", inner):
        in_class = token != "]" if in_class else token == "["
        depth += 0 if in_class else (token == "(") - (token == ")")
        if token == "|" and depth == 0 and not in_class:
            parts.append("")
        else:
            parts[-1] += token
    return parts


def _with(rule: Rule, field: str, value: object) -> Rule:
    changes: dict[str, Any] = {field: value}
    return replace(rule, **changes)


def _broken(rule: Rule) -> Iterator[tuple[str, Rule | None]]:
    yield "gone", None
    for field in ("without", "statuses", "unless", "shapes", "message"):
        members: frozenset[Any] = getattr(rule, field)
        only = field in ("statuses", "shapes", "message") and not _asks_more(rule, field)
        if members and not only:
            yield f"no {field}", _with(rule, field, frozenset())
    if rule.per_request:
        yield "not per request", replace(rule, per_request=False)
    for member in sorted(rule.names) if len(rule.names) > 1 else []:
        yield f"names without {member}", replace(rule, names=rule.names - {member})
    for field in ("phrase", "says"):
        pattern: re.Pattern[str] | None = getattr(rule, field)
        parts = _alternatives(pattern.pattern) if pattern else []
        for part in parts if len(parts) > 1 else []:
            rest = "|".join(other for other in parts if other is not part)
            yield f"without {part}", _with(rule, field, re.compile(f"(?:{rest})"))


def _asks_more(rule: Rule, field: str) -> bool:
    """Whether a rule asks anything beside this field."""
    empty = Rule("", "", "")
    asked = ("phrase", "says", "words", "coded", "names", "statuses", "shapes", "message")
    return any(getattr(rule, name) != getattr(empty, name) for name in asked if name != field)


MUTATIONS = [
    pytest.param(index, broken, id=f"{index} {rule.name}: {how}")
    for index, rule in enumerate(RULES)
    for how, broken in _broken(rule)
]


@pytest.mark.parametrize(("index", "broken"), MUTATIONS)
def test_a_table_with_one_broken_rule_misreads_an_answer(index: int, broken: Rule | None) -> None:
    assert _is_caught(index, broken)


def test_the_answers_for_the_rules_mean_what_they_say() -> None:
    wrong = []
    for answer in of_rules():
        verdict = classifier.classify(answer.status, answer.lower_headers, answer.body.encode(), now=0.0)
        if verdict.kind != answer.kind:
            wrong.append((answer.status, answer.body, answer.kind, verdict))
    assert wrong == []


def test_every_rule_names_its_source_and_no_two_rules_are_the_same() -> None:
    assert all(rule.source and " " not in rule.source for rule in RULES)
    assert len(set(RULES)) == len(RULES)
