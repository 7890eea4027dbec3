"""Does LiteLLM know every name that it would be sent, routed or replayed, and what was meant where not?"""

import difflib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from litellm_hybrid.config.model_patterns import Patterns, bare, is_glob
from litellm_hybrid.config.settings import Settings
from litellm_hybrid.diagnostics.doctor.report import Finding, Severity, error, not_checked, ok, warning
from litellm_hybrid.routing.rules import name_for_litellm

_NEAR = 0.8
"""How alike two names must be for one to be a misspelling of the other."""

_MOST_NAMED = 5
_SEE_ABOVE = "LiteLLM's list of models: see what is said of it and of `api-key` above"
_DATE = re.compile(r"[-@](\d{8}|\d{4}-\d\d-\d\d|latest)$")
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
        """Tell whether some name fits a glob of ours, which does not care for case."""
        fits = Patterns([glob])
        return self._all or any(fits.match(name) for name in self._exact)

    def meant(self, name: str) -> str | None:
        """Return the name that an unknown one probably stands for."""
        plain = _DATE.sub("", name)
        if plain != name and plain in self:
            return plain
        return self.in_other_case(name) or self.prefixed(name) or self.alike(name)

    def in_other_case(self, name: str) -> str | None:
        """Return the name that differs in case alone."""
        return next((known for known in self.names if known.lower() == name.lower()), None)

    def prefixed(self, name: str) -> str | None:
        """Return the name behind a provider's prefix: `openai/gpt-5`."""
        return next((known for known in self.names if known.lower().endswith(f"/{name.lower()}")), None)

    def alike(self, name: str) -> str | None:
        """Return the name that is spelt most alike."""
        lowered = {known.lower(): known for known in self.names}
        found = difflib.get_close_matches(name.lower(), lowered, 1, _NEAR)
        return lowered[found[0]] if found else None


class _Sent(NamedTuple):
    """A name that LiteLLM is sent, and the line of the configuration that says so."""

    entry: str
    name: str
    mapped: bool


def check(
    settings: Settings,
    litellm_models: Iterable[str] | None,
    upstream_models: Iterable[str] | None,
    takes: str = "",
) -> list[Finding]:
    """Look at the configured names, and at each model that may fall back.

    Args:
        settings: those of the file.
        litellm_models: what LiteLLM lists, wildcard routes too; None: not known.
        upstream_models: what CLIProxyAPI lists; None: not known.
        takes: what it would take to know it.
    """
    if settings.base_url is None:
        return []
    sent = tuple(_sent(settings))
    wanted = bool(sent or settings.models)
    if litellm_models is None:
        checks = [*(["models"] if wanted else ()), *(["fallback"] if settings.fallback.enabled else ())]
        return [not_checked(name, "LiteLLM's models are not known", _SEE_ABOVE) for name in checks]
    known = Known(litellm_models)
    found = [_unknown(settings, each, known) for each in sent if each.name not in known]
    found += _globs(settings, known)
    if not found and wanted:
        found.append(ok("models", "LiteLLM knows every configured model and mapping target"))
    if not settings.fallback.enabled:
        return found
    if upstream_models is None:
        return [*found, not_checked("fallback", "which models may fall back is not known", takes)]
    return found + _fallback(settings, known, tuple(upstream_models))


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
        cause = f"its model_list has no such name; it knows {_some(known.names) or 'no model at all'}"
        fix = (
            f"add `model_name: {_yaml(sent.name)}` to LiteLLM's model_list, "
            f"or write LiteLLM's name for it: {_mapping(sent.entry, 'NAME')}"
        )
    key = "model-mappings" if sent.mapped else "models"
    symptom = f"LiteLLM does not know {_quoted(sent.name)}, which `{key}` sends there"
    severity = Severity.ERROR if settings.routing else Severity.WARNING
    return Finding("models", severity, symptom, cause, fix)


def _corrected(sent: _Sent, right: str) -> str:
    if sent.mapped:
        return _mapping(sent.entry, right)
    return f"in `models` write `- {_yaml(right)}` instead of `- {_yaml(sent.entry)}`"


def _mapping(entry: str, target: str) -> str:
    return f"in `model-mappings` write `{_yaml(entry)}: {_yaml(target)}`"


def _globs(settings: Settings, known: Known) -> list[Finding]:
    """Globs send the client's own spelling: some name must fit, or each of their requests fails."""
    return [
        warning(
            "models",
            f"LiteLLM knows no model that {_quoted(entry)} in `models` fits",
            "a glob sends the client's own spelling to LiteLLM",
            f"say what it is called there: {_mapping(entry, 'NAME')}",
        )
        for entry in settings.models.entries
        if is_glob(entry)
        and settings.mapped(entry) is None
        and not known.fitting(entry)
        and not any(Patterns([entry]).match(name) for name in settings.mappings)
    ]


def _fallback(settings: Settings, known: Known, upstream_models: tuple[str, ...]) -> list[Finding]:
    """Look at each model that may fall back: a replay carries LiteLLM's name for it, or the client's own."""
    if not upstream_models:  # said of the accounts
        return [not_checked("fallback", "upstream has no model that could fall back", "an account upstream")]
    found = [
        warning(
            "fallback",
            f"upstream lists no model that {_quoted(entry)} in `fallback.models` fits",
            "the name may be misspelt, or its account is gone",
            f"upstream has {_some(upstream_models)}",
        )
        for entry in settings.fallback.models.entries
        if entry != "*" and not any(Patterns([entry]).match(name) for name in upstream_models)
    ]
    covered = [
        name
        for name in upstream_models
        if settings.fallback.covers(name) and not (settings.routing and settings.models.match(name))
    ]
    missing = [name for name in covered if name_for_litellm(settings, name, None) not in known]
    if covered and not missing:
        found.append(ok("fallback", f"LiteLLM knows each of the {len(covered)} models that may fall back"))
    if missing:
        found.append(_missing(settings, known, covered, missing))
    return found


def _missing(settings: Settings, known: Known, covered: list[str], missing: list[str]) -> Finding:
    names = [(name, known.meant(name_for_litellm(settings, name, None)) or "NAME") for name in missing]
    lines = ", ".join(f"`{_yaml(bare(name))}: {_yaml(right)}`" for name, right in names)
    cause = "each of their replays fails, and the client gets upstream's own error"
    fix = f"say LiteLLM's name in `model-mappings`: {lines}; or leave them out: `fallback.except`"
    symptom = f"LiteLLM lacks {len(missing)} of the {len(covered)} models that may fall back: "
    severity = error if len(missing) == len(covered) else warning
    return severity("fallback", symptom + ", ".join(missing), cause, fix)


def _some(names: Sequence[str]) -> str:
    return ", ".join((*names[:_MOST_NAMED], *(["…"] if len(names) > _MOST_NAMED else [])))


def _quoted(name: str) -> str:
    return json.dumps(name, ensure_ascii=False)


def _yaml(name: str) -> str:
    return name if _PLAIN.fullmatch(name) else _quoted(name)
