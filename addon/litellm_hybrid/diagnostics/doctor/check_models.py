"""Does LiteLLM know every name that it would be sent, routed or replayed, and what was meant where not?"""

import difflib
import json
import re
from collections.abc import Iterable, Sequence

from litellm_hybrid.config.model_patterns import Patterns, bare, is_glob
from litellm_hybrid.config.settings import Settings
from litellm_hybrid.diagnostics.doctor.probes import some
from litellm_hybrid.diagnostics.doctor.report import Finding, error, not_checked, ok, warning
from litellm_hybrid.routing.rules import name_for_litellm

_NEAR = 0.8
"""How alike two names must be for one to be a misspelling of the other."""

_DATE = re.compile(r"[-@](\d{8}|\d{4}-\d\d-\d\d|latest)$")
_PLAIN = re.compile(r"[A-Za-z][\w./-]*")


class KnownModels:
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
            re.compile(".*".join(map(re.escape, name.split("*"))), re.DOTALL) for name in wildcards
        ]

    def __contains__(self, name: str) -> bool:
        return name in self._exact or any(pattern.fullmatch(name) for pattern in self._patterns)

    def fitting(self, glob: str) -> bool:
        """Tell whether some name fits a glob of ours, which does not care for case."""
        fits = Patterns([glob])
        return self._all or any(fits.match(name) for name in self._exact)

    def meant(self, name: str) -> str | None:
        """Return the name that an unknown one probably stands for.

        One without its date; in another case; behind a provider's prefix (`openai/gpt-5`); or spelt alike.
        """
        if (undated := _DATE.sub("", name)) != name and undated in self:
            return undated
        lowered = {known.lower(): known for known in self.names}
        if same := lowered.get(name.lower()):
            return same
        if prefixed := next((k for low, k in lowered.items() if low.endswith(f"/{name.lower()}")), None):
            return prefixed
        found = difflib.get_close_matches(name.lower(), lowered, 1, _NEAR)
        return lowered[found[0]] if found else None


def check(
    settings: Settings,
    litellm_models: Iterable[str] | None,
    upstream_models: Sequence[str] | None,
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
    wanted = bool(settings.models or settings.mappings)
    if litellm_models is None:
        checks = [*(["models"] if wanted else ()), *(["fallback"] if settings.fallback.enabled else ())]
        see = "LiteLLM's list of models: see what is said of it and of `api-key` above"
        return [not_checked(name, "LiteLLM's models are not known", see) for name in checks]
    known = KnownModels(litellm_models)
    found = [*_unknown(settings, known), *_globs(settings, known)]
    if not found and wanted:
        found.append(ok("models", "LiteLLM knows every configured model and mapping target"))
    if settings.fallback.enabled and upstream_models is None:
        found.append(not_checked("fallback", "which models may fall back is not known", takes))
    elif settings.fallback.enabled:
        found += _fallback(settings, known, upstream_models or ())
    return found


def _unknown(settings: Settings, known: KnownModels) -> list[Finding]:
    """Look at each name that the file itself sends to LiteLLM: exact entries, and targets of mappings."""
    entries = {
        name_for_litellm(settings, name, name): name for name in settings.models.entries if not is_glob(name)
    }
    for entry in settings.mapping_patterns.entries:
        entries.setdefault(settings.mappings[entry.lower()], entry)
    found = []
    for name, entry in entries.items():
        if name in known:
            continue
        right = known.meant(name)
        cause = f"it knows {right}" if right else f"it knows {some(known.names) or 'no model at all'}"
        fix = f"in `model-mappings` write {_mapping(entry, right or 'NAME')}"
        if not right:
            fix = f"add `model_name: {_yaml(name)}` to LiteLLM's model_list, or {fix}"
        severity = error if settings.routing else warning
        found.append(severity("models", f"LiteLLM does not know {_quoted(name)}: {cause}", fix))
    return found


def _globs(settings: Settings, known: KnownModels) -> list[Finding]:
    """Globs send the client's own spelling: some name must fit, or each of their requests fails."""
    return [
        warning(
            "models",
            f"LiteLLM knows no model that {_quoted(entry)} in `models` fits",
            f"say what it is called there: in `model-mappings` write {_mapping(entry, 'NAME')}",
        )
        for entry in settings.models.entries
        if is_glob(entry)
        and settings.mapped(entry) is None
        and not known.fitting(entry)
        and not any(Patterns([entry]).match(name) for name in settings.mappings)
    ]


def _fallback(settings: Settings, known: KnownModels, upstream_models: Sequence[str]) -> list[Finding]:
    """Look at each model that may fall back: a replay carries LiteLLM's name for it, or the client's own."""
    if not upstream_models:  # said of the accounts
        return [not_checked("fallback", "upstream has no model that could fall back", "an account upstream")]
    found = [
        warning(
            "fallback",
            f"upstream lists no model that {_quoted(entry)} in `fallback.models` fits",
            f"correct it, or see to its account: upstream has {some(upstream_models)}",
        )
        for entry in settings.fallback.models.entries
        if entry != "*" and not any(Patterns([entry]).match(name) for name in upstream_models)
    ]
    covered = {
        name: name_for_litellm(settings, name, None)
        for name in upstream_models
        if settings.fallback.covers(name) and not (settings.routing and settings.models.match(name))
    }
    missing = {name: replayed for name, replayed in covered.items() if replayed not in known}
    if covered and not missing:
        found.append(ok("fallback", f"LiteLLM knows each of the {len(covered)} models that may fall back"))
    if missing:
        lines = ", ".join(_mapping(bare(name), known.meant(sent) or "NAME") for name, sent in missing.items())
        fix = f"say LiteLLM's name in `model-mappings`: {lines}; or leave them out: `fallback.except`"
        lacks = f"LiteLLM lacks {len(missing)} of the {len(covered)} models that may fall back: "
        severity = error if len(missing) == len(covered) else warning
        found.append(severity("fallback", lacks + ", ".join(missing), fix))
    return found


def _mapping(entry: str, target: str) -> str:
    return f"`{_yaml(entry)}: {_yaml(target)}`"


def _quoted(name: str) -> str:
    return json.dumps(name, ensure_ascii=False)


def _yaml(name: str) -> str:
    return name if _PLAIN.fullmatch(name) else _quoted(name)
