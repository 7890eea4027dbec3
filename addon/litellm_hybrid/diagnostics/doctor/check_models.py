"""Does LiteLLM know every name that it would be sent, and what was meant where it does not?"""

import difflib
import json
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from litellm_hybrid.config.model_patterns import Patterns, bare, is_glob
from litellm_hybrid.config.settings import Settings
from litellm_hybrid.diagnostics.doctor.report import Finding, Severity
from litellm_hybrid.routing.rules import name_for_litellm

_CHECK = "models"
_NEAR = 0.8
"""How alike two names must be for one to be a misspelling of the other."""

_MOST_NAMED = 5
_PLAIN = re.compile(r"[A-Za-z][\w./-]*")


class Known:
    """The names that LiteLLM serves; they are case-sensitive.

    A wildcard route is listed as `openai/*`, and so is each model of that provider that LiteLLM knows,
    `openai/gpt-4o`; it serves those without the prefix too (seen with 1.106.2).
    """

    def __init__(self, listed: Iterable[str]) -> None:
        everything = tuple(listed)
        wildcards = [name for name in everything if "*" in name]
        self.names = tuple(name for name in everything if "*" not in name)
        bare_names = {name.removeprefix(route[:-1]) for route in wildcards for name in self.names}
        self._exact = frozenset((*self.names, *bare_names))
        self._all = "*" in wildcards
        self._patterns = [
            re.compile(".*".join(re.escape(part) for part in name.split("*")), re.DOTALL)
            for name in wildcards
        ]

    def __contains__(self, name: str) -> bool:
        return name in self._exact or any(pattern.fullmatch(name) for pattern in self._patterns)

    def fitting(self, glob: str) -> bool:
        """Whether some name fits a glob of ours, which does not care for case."""
        fits = Patterns([glob])
        return self._all or any(fits.match(name) for name in self._exact)

    def in_other_case(self, name: str) -> str | None:
        """The name that differs in case alone."""
        return next((known for known in self.names if known.lower() == name.lower()), None)

    def prefixed(self, name: str) -> str | None:
        """The name behind a provider's prefix: `openai/gpt-5`."""
        return next((known for known in self.names if known.lower().endswith(f"/{name.lower()}")), None)

    def alike(self, name: str) -> str | None:
        """The name that is spelt most alike."""
        lowered = {known.lower(): known for known in self.names}
        found = difflib.get_close_matches(name.lower(), lowered, 1, _NEAR)
        return lowered[found[0]] if found else None


class _Sent(NamedTuple):
    """A name that LiteLLM is sent, and the line of the configuration that says so."""

    entry: str
    name: str
    mapped: bool


def judge(settings: Settings, listed: Iterable[str], upstream_models: Iterable[str]) -> list[Finding]:
    """What is found out about the configured names.

    Args:
        settings: those of the file.
        listed: what LiteLLM lists, wildcard routes too.
        upstream_models: what CLIProxyAPI lists, as far as it is known.
    """
    known = Known(listed)
    sent = tuple(_sent(settings))
    found = [_unknown(settings, each, known) for each in sent if each.name not in known]
    found += _globs(settings, known)
    if not found and (sent or settings.models):
        found.append(Finding(_CHECK, Severity.OK, "LiteLLM knows every configured model and mapping target"))
    return found + _fallback(settings, known, upstream_models)


def _sent(settings: Settings) -> Iterator[_Sent]:
    seen = set()
    for entry in settings.models.entries:
        if not is_glob(entry):
            name = name_for_litellm(settings, entry, entry)
            seen.add(name)
            yield _Sent(entry, name, mapped=settings.mapped(entry) is not None)
    for entry in settings.mapping_patterns.entries:
        name = settings.mappings[entry.lower()]
        if name not in seen:
            seen.add(name)
            yield _Sent(entry, name, mapped=True)


def _unknown(settings: Settings, sent: _Sent, known: Known) -> Finding:
    severity = Severity.ERROR if settings.routing else Severity.WARNING
    key = "model-mappings" if sent.mapped else "models"
    if (right := known.in_other_case(sent.name)) is not None:
        cause, fix = "its names are case-sensitive", _corrected(sent, right)
    elif (right := known.prefixed(sent.name)) is not None:
        cause, fix = f"it knows it as {right}", _mapping(sent.entry, right)
    elif (right := known.alike(sent.name)) is not None:
        cause = f"the name may be misspelt: it knows {right}"
        fix = _corrected(sent, right)
        if not sent.mapped:
            fix += f"; if clients really ask for it: {_mapping(sent.entry, right)}"
    else:
        names = ", ".join((*known.names[:_MOST_NAMED], *(["…"] if len(known.names) > _MOST_NAMED else [])))
        cause = f"its model_list has no such name; it knows {names or 'no model at all'}"
        fix = (
            f"add `model_name: {_yaml(sent.name)}` to LiteLLM's model_list, "
            f"or write LiteLLM's name for it: {_mapping(sent.entry, 'NAME')}"
        )
    symptom = f"LiteLLM does not know {_quoted(sent.name)}, which `{key}` sends there"
    return Finding(_CHECK, severity, symptom, cause, fix)


def _corrected(sent: _Sent, right: str) -> str:
    if sent.mapped:
        return _mapping(sent.entry, right)
    return f"in `models` write `- {_yaml(right)}` instead of `- {_yaml(sent.entry)}`"


def _mapping(entry: str, target: str) -> str:
    return f"in `model-mappings` write `{_yaml(entry)}: {_yaml(target)}`"


def _globs(settings: Settings, known: Known) -> list[Finding]:
    """Globs send the client's own spelling: some name must fit, or each of their requests fails."""
    found = []
    for entry in settings.models.entries:
        if not is_glob(entry) or settings.mapped(entry) is not None:
            continue
        if known.fitting(entry) or any(Patterns([entry]).match(name) for name in settings.mappings):
            continue
        found.append(
            Finding(
                _CHECK,
                Severity.WARNING,
                f"LiteLLM knows no model that {_quoted(entry)} in `models` fits",
                "a glob sends the client's own spelling to LiteLLM",
                f"say what it is called there: {_mapping(entry, 'NAME')}",
            )
        )
    return found


def _fallback(settings: Settings, known: Known, upstream_models: Iterable[str]) -> list[Finding]:
    """A replay carries the client's own name: which of upstream's models would LiteLLM refuse?"""
    if not settings.fallback.enabled:
        return []
    covered = [
        name
        for name in upstream_models
        if settings.fallback.covers(name) and not (settings.routing and settings.models.match(name))
    ]
    missing = [name for name in covered if (settings.mapped(name) or bare(name)) not in known]
    if not missing:
        return []
    named = ", ".join((*missing[:_MOST_NAMED], *(["…"] if len(missing) > _MOST_NAMED else [])))
    return [
        Finding(
            "fallback",
            Severity.NOTE,
            f"LiteLLM lacks {len(missing)} of the {len(covered)} upstream models that may fall back: {named}",
            "their replays will fail, and the client gets upstream's own error",
            f"say its name for them: {_mapping(missing[0], 'NAME')}; or leave them out: `fallback.except`",
        )
    ]


def _quoted(name: str) -> str:
    return json.dumps(name, ensure_ascii=False)


def _yaml(name: str) -> str:
    return name if _PLAIN.fullmatch(name) else _quoted(name)
