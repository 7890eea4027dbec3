"""Does LiteLLM know each name that it would be sent, and, live, does each server serve a model?"""

import difflib
import json
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from litellm_hybrid.config.settings import Address, Patterns, Settings, bare, is_glob
from litellm_hybrid.diagnostics.check_setup import takes_for_models
from litellm_hybrid.diagnostics.probes import (
    Probe,
    ProbeResult,
    Results,
    bearer,
    client_key,
    litellm_key,
    proxy_address,
)
from litellm_hybrid.diagnostics.reasons import REASONS
from litellm_hybrid.diagnostics.report import Finding, error, not_checked, ok, some, warning
from litellm_hybrid.llm.usage import PriceList
from litellm_hybrid.routing.rules import Reason, name_for_litellm
from litellm_hybrid.terminal import counted

WITHIN = 60.0
"""Seconds for one live request; CLIProxyAPI may try again by itself before it gives up."""

_LONGEST_ERROR = 300
"""Characters."""

_NEAR = 0.8
"""How alike two names must be for one to be a misspelling of the other."""

_DATE = re.compile(r"[-@](\d{8}|\d{4}-\d\d-\d\d|latest)$")
_PLAIN = re.compile(r"[A-Za-z][\w./@-]*|https?://[\w.:\[\]/-]+")
_YAML_WORDS = frozenset({"yes", "no", "on", "off", "true", "false", "null", "y", "n"})


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
        return self._all or _fits(glob, self._exact)

    def meant(self, name: str) -> str | None:
        """Return the name that an unknown one probably stands for.

        One without its date; in another case; behind a provider's prefix (`openai/gpt-5`); or spelt alike.
        """
        if (undated := _DATE.sub("", name)) != name and undated in self:
            return undated
        lowered = {known.lower(): known for known in self.names}
        prefixed = (low for low in lowered if low.endswith(f"/{name.lower()}"))
        alike = difflib.get_close_matches(name.lower(), lowered, 1, _NEAR)
        return lowered.get(name.lower()) or next((lowered[low] for low in (*prefixed, *alike)), None)


def check_names(settings: Settings, results: Results) -> list[Finding]:
    """Look at the configured names, and at each model that may fall back."""
    if settings.base_url is None:
        return []
    listed, upstream_models = results.models("litellm"), results.models("upstream")
    wanted = bool(settings.models or settings.mappings)
    if listed is None:
        checks = [*(["models"] if wanted else ()), *(["fallback"] if settings.fallback.enabled else ())]
        see = "LiteLLM's list of models: see what is said of it and of `api-key` above"
        return [not_checked(name, "LiteLLM's models are not known", see) for name in checks]
    known = KnownModels(listed)
    found = [*_unknown(settings, known), *_globs(settings, known)]
    if not found and wanted:
        found.append(ok("models", "LiteLLM knows every configured model and mapping target"))
    if settings.fallback.enabled and upstream_models is None:
        symptom = "which models may fall back is not known"
        found.append(not_checked("fallback", symptom, takes_for_models(results)))
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
        cause = f"it knows {right or some(known.names) or 'no model at all'}"
        fix = f"in `model-mappings` write {_mapping(entry, right or 'NAME')}"
        if not right:
            fix = f"add `model_name: {as_yaml(name)}` to LiteLLM's model_list, or {fix}"
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
        and not _fits(entry, settings.mappings)
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
        if entry != "*" and not _fits(entry, upstream_models)
    ]
    covered = may_fall_back(settings, upstream_models)
    missing = {name: replayed for name, replayed in covered.items() if replayed not in known}
    if covered and not missing:
        others = some(name for name in upstream_models if not settings.fallback.covers(name))
        but = f"; not {others}, by `fallback.models` or `except`" if others else ""
        each = f"{'each of the' if len(covered) > 1 else 'the'} {counted(len(covered), 'model')}"
        symptom = f"LiteLLM knows {each} that may fall back{but}"
        found.append(ok("fallback", symptom))
    if missing:
        lines = ", ".join(_mapping(bare(name), known.meant(sent) or "NAME") for name, sent in missing.items())
        fix = f"say LiteLLM's name in `model-mappings`: {lines}; or leave them out: `fallback.except`"
        lacks = f"LiteLLM lacks {len(missing)} of the {counted(len(covered), 'model')} that may fall back: "
        severity = error if len(missing) == len(covered) else warning
        found.append(severity("fallback", lacks + ", ".join(missing), fix))
    return found


def check_prices(settings: Settings, results: Results) -> list[Finding]:
    """Look for models that `max-cost-per-day` keeps from LiteLLM because it has no price for them."""
    if not (settings.fallback.enabled and settings.fallback.max_cost_per_day):
        return []
    info, upstream_models = results["litellm-info"], results.models("upstream")
    if results.models("litellm") is None:
        see = "a LiteLLM that shows its models: see what is said of it above"
        return [not_checked("prices", "LiteLLM's prices are not known", see)]
    if info.entries is None:
        symptom = f"LiteLLM shows no prices ({info.outcome} from /model/info), so nothing falls back"
        fix = "an `api-key` that may read LiteLLM's `/model/info`; or take `max-cost-per-day` out"
        return [error("prices", symptom, fix)]
    if not upstream_models:
        symptom = "which models may fall back, and need a price, is not known"
        return [not_checked("prices", symptom, takes_for_models(results))]
    prices = PriceList(info.json)
    covered = set(may_fall_back(settings, upstream_models).values())
    if not (unpriced := sorted(name for name in covered if name not in prices)):
        return [ok("prices", "LiteLLM has a price for each model that may fall back")]
    severity = error if len(unpriced) == len(covered) else warning
    symptom = f"LiteLLM has no price for {', '.join(unpriced)}, and max-cost-per-day is set: "
    fix = "in LiteLLM's model_list `model_info: {input_cost_per_token: …, output_cost_per_token: …}`"
    return [severity("prices", f"{symptom}what asks for it does not fall back", fix)]


def may_fall_back(settings: Settings, upstream_models: Iterable[str]) -> dict[str, str]:
    """Return LiteLLM's name for each of upstream's models that may fall back."""
    return {
        name: name_for_litellm(settings, name, None)
        for name in upstream_models
        if settings.fallback.covers(name) and not (settings.routing and settings.models.match(name))
    }


def _fits(glob: str, names: Iterable[str]) -> bool:
    pattern = Patterns([glob])
    return any(pattern.match(name) for name in names)


def _mapping(entry: str, target: str) -> str:
    return f"`{as_yaml(entry)}: {as_yaml(target)}`"


def _quoted(name: str) -> str:
    return json.dumps(name, ensure_ascii=False)


def as_yaml(text: str) -> str:
    """Return a scalar: plain where that is the same text, else quoted as JSON, which YAML reads."""
    return text if _PLAIN.fullmatch(text) and text.lower() not in _YAML_WORDS else _quoted(text)


# -- one real request each way ------------------------------------------------


class LiveRequest(NamedTuple):
    """A request that will be sent, through the running proxy if there is one, else to the server itself.

    Attributes:
        server: "upstream" or "LiteLLM".
        expects: how `x-hybrid-route` must begin; "": it goes to the server itself.
    """

    server: str
    model: str
    probe: Probe
    expects: str

    @property
    def check(self) -> str:
        """The name of its finding."""
        return f"live-{self.server.lower()}"

    @property
    def message(self) -> str:
        """What it does and costs, for before it is sent."""
        way = "through the proxy" if self.expects else "directly"
        spent = "its provider bills it" if self.server == "LiteLLM" else "it counts towards the quota"
        return f"{self.server}, {way}: one chat completion of {self.model}, 8 tokens in and 1 out; {spent}"


def plan_live(settings: Settings, results: Results, *, runs: bool) -> list[LiveRequest]:
    """Plan the requests, with the client key of `settings`; `runs`: whether the proxy runs at `listen`."""
    here, key, planned = proxy_address(settings), client_key(settings), []
    entry = next((entry for entry in settings.models.entries if not is_glob(entry)), None)
    if settings.base_url is not None and runs and settings.routing and entry is not None:
        planned.append(LiveRequest("LiteLLM", entry, _chat(here, key, entry), "litellm;"))
    elif settings.base_url is not None:
        names = [name_for_litellm(settings, entry, entry)] if entry else settings.mappings.values()
        if name := next(iter((*names, *KnownModels(results.models("litellm") or ()).names)), ""):
            planned.append(
                LiveRequest("LiteLLM", name, _chat(settings.base_url, litellm_key(settings), name), "")
            )
    routed = settings.models if settings.routing else Patterns()
    own = next((name for name in results.models("upstream") or () if not routed.match(name)), None)
    if own is not None:
        through = runs and not (settings.routing and settings.passthrough)
        probe = _chat(here if through else settings.upstream, key, own)
        planned.append(LiveRequest("upstream", own, probe, "upstream;" if through else ""))
    return planned


def unasked(settings: Settings, planned: Iterable[LiveRequest]) -> list[Finding]:
    """Name each server that no request could be made up for."""
    asked = {each.server for each in planned}
    return [
        not_checked(f"live-{server.lower()}", f"{server} was not asked", f"a model of {server}'s: see above")
        for server in ("upstream", *(["LiteLLM"] if settings.base_url else []))
        if server not in asked
    ]


def check_live(live: LiveRequest, result: ProbeResult) -> Finding:
    """Say what its response means."""
    see = f"see what is said of it above, and the log of {live.server}"
    if result.failure is not None:
        symptom = f"no response from {live.server} for {live.model}: {result.detail or result.failure}"
        return error(live.check, symptom, see)
    route = result.header("x-hybrid-route")
    took = f"{live.model} in {result.seconds:.2f} s"
    if result.status >= 300:
        said = f"{result.status} {result.error}".rstrip()[:_LONGEST_ERROR]
        return error(live.check, f"{live.server} did not serve {live.model}: {said}", see)
    if live.expects and "reason=fallback;" in route:
        means = REASONS[Reason.FALLBACK].means
        fix = f"`litellm-hybrid explain --reason '{route}'`"
        return warning(live.check, f"LiteLLM served {took} ({route}): {means}", fix)
    if live.expects and not route.startswith(live.expects):
        symptom = f"the request for {live.model} went elsewhere: {route or 'no x-hybrid-route'}"
        return warning(live.check, symptom, "start the proxy anew: it runs with other settings")
    cost = result.header("x-litellm-response-cost")
    by = f" ({route})" if route else ""
    return ok(live.check, f"{live.server} served {took}{f', for ${cost}' if cost else ''}{by}")


def _chat(address: Address, key: str, model: str) -> Probe:
    fields = (*bearer(key), ("Content-Type", "application/json"))
    messages = [{"role": "user", "content": "Say hi"}]
    body = {"model": model, "max_tokens": 1, "stream": False, "messages": messages}
    return Probe(address, "/v1/chat/completions", "POST", fields, json.dumps(body).encode(), WITHIN)
