"""One real request each way, on request: what is sent, what it costs, and what its answer means.

They go through the running proxy if there is one, else to the servers themselves.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from litellm_hybrid.config.model_patterns import is_glob
from litellm_hybrid.config.settings import Settings
from litellm_hybrid.diagnostics.doctor import probes
from litellm_hybrid.diagnostics.doctor.check_models import Known
from litellm_hybrid.diagnostics.doctor.probes import Fields, Probe, ProbeResponse, ProbeResult
from litellm_hybrid.diagnostics.doctor.report import Finding, Severity
from litellm_hybrid.routing.rules import name_for_litellm

WITHIN = 60.0
"""Seconds for one; CLIProxyAPI may try again by itself before it gives up."""

_ENOUGH = 300
"""Characters of an error."""


@dataclass(frozen=True, slots=True)
class Live:
    """A request that will be sent.

    Attributes:
        check: `live-litellm` or `live-upstream`.
        expects: how `x-hybrid-route` must begin; "": it goes straight to the server.
    """

    check: str
    model: str
    ask: Probe
    expects: str

    @property
    def whom(self) -> str:
        """Who is to answer."""
        return "LiteLLM" if self.check == "live-litellm" else "upstream"

    @property
    def says(self) -> str:
        """What it does and costs, for before it is sent."""
        way = "through the proxy" if self.expects else "directly"
        cost = (
            "LiteLLM's provider bills it"
            if self.whom == "LiteLLM"
            else "it counts towards the account's quota"
        )
        return f"{self.whom}, {way}: one chat completion of {self.model}, about 8 tokens in and 1 out; {cost}"


def plan(
    settings: Settings, litellm_models: Iterable[str], upstream_models: Iterable[str], *, runs: bool
) -> list[Live]:
    """The requests.

    Args:
        settings: those of the file.
        litellm_models: what LiteLLM lists.
        upstream_models: what CLIProxyAPI lists.
        runs: whether the proxy runs at `listen`.
    """
    planned = []
    if settings.base_url is not None and (to_litellm := _to_litellm(settings, litellm_models, runs)):
        planned.append(to_litellm)
    routed = settings.models if settings.routing else ()
    ours = [name for name in upstream_models if not (routed and settings.models.match(name))]
    if ours:
        key = probes.client_key(settings)
        through = runs and not (settings.routing and settings.passthrough)
        where = probes.proxy_address(settings) if through else settings.upstream
        ask = Probe(where, _PATH, "POST", _fields(probes.bearer(key)), _body(ours[0]), WITHIN)
        planned.append(Live("live-upstream", ours[0], ask, "upstream;" if through else ""))
    return planned


def _to_litellm(settings: Settings, listed: Iterable[str], runs: bool) -> Live | None:
    assert settings.base_url is not None
    entry = next((entry for entry in settings.models.entries if not is_glob(entry)), None)
    if runs and settings.routing and entry is not None:
        ask = Probe(
            probes.proxy_address(settings),
            _PATH,
            "POST",
            _fields(probes.bearer(probes.client_key(settings))),
            _body(entry),
            WITHIN,
        )
        return Live("live-litellm", entry, ask, "litellm;")
    if entry is not None:
        name: str | None = name_for_litellm(settings, entry, entry)
    else:
        name = next(iter((*settings.mappings.values(), *Known(listed).names)), None)
    if name is None:
        return None
    key = settings.api_key.value if settings.api_key else ""
    ask = Probe(settings.base_url, _PATH, "POST", _fields(probes.bearer(key)), _body(name), WITHIN)
    return Live("live-litellm", name, ask, "")


def unasked(settings: Settings, planned: Iterable[Live]) -> list[Finding]:
    """A note for each server that no request could be made up for."""
    wanted = {"live-upstream": "upstream", **({"live-litellm": "LiteLLM"} if settings.base_url else {})}
    asked = {each.check for each in planned}
    return [
        Finding(
            check,
            Severity.NOTE,
            f"{whom} was not asked",
            f"no model is known to ask {whom} for",
            "see what is said of it above",
        )
        for check, whom in wanted.items()
        if check not in asked
    ]


def judge(live: Live, seen: ProbeResult) -> Finding:
    """What its answer means."""
    if not isinstance(seen, ProbeResponse):
        return Finding(
            live.check,
            Severity.ERROR,
            f"no answer from {live.whom} for {live.model}: {seen.detail or seen.kind}",
            "the server cannot be reached, or took too long",
            "see what is said of it above, and its log",
        )
    route = seen.header("x-hybrid-route")
    took = f"{live.model} in {seen.seconds:.2f} s"
    if seen.status >= 300:
        said = f"{seen.status} {seen.error}".rstrip()[:_ENOUGH]
        cause, fix = _refusal(live, seen)
        return Finding(
            live.check, Severity.ERROR, f"{live.whom} did not serve {live.model}: {said}", cause, fix
        )
    if live.expects and not route.startswith(live.expects):
        return _elsewhere(live, route, took)
    cost = seen.header("x-litellm-response-cost")
    price = f", for ${cost}" if cost else ""
    by = f" ({route})" if route else ""
    return Finding(live.check, Severity.OK, f"{live.whom} served {took}{price}{by}")


def _elsewhere(live: Live, route: str, took: str) -> Finding:
    if "reason=fallback;" in route:
        return Finding(
            live.check,
            Severity.NOTE,
            f"LiteLLM served {took} ({route})",
            "upstream could not serve it, and the fallback did",
            f"`litellm-hybrid explain --reason '{route}'` says what the parts mean",
        )
    return Finding(
        live.check,
        Severity.WARNING,
        f"the request for {live.model} went elsewhere: {route or 'no x-hybrid-route'}",
        "the proxy that runs has other settings than this file",
        f"`litellm-hybrid explain {live.model}` with its file; start it anew if it runs with another one",
    )


def _refusal(live: Live, seen: ProbeResponse) -> tuple[str, str]:
    for statuses, cause, fix in _REFUSALS[live.whom]:
        if seen.status in statuses:
            return cause, fix
    return "its own error", f"see the log of {live.whom}"


_REFUSALS: dict[str, Sequence[tuple[frozenset[int], str, str]]] = {
    "LiteLLM": (
        (frozenset({401, 403}), "a key is wrong: ours, or LiteLLM's for its provider", "check `api-key`"),
        (
            frozenset({400, 404}),
            "LiteLLM or its provider refuses the request or the name",
            "see `models` above",
        ),
        (frozenset({402, 429}), "the budget or the quota behind LiteLLM is used up", "top it up"),
        (frozenset({502}), "LiteLLM, or its provider, cannot be reached", "see `litellm` above"),
    ),
    "upstream": (
        (
            frozenset({401}),
            "CLIProxyAPI wants a client key, or the account has to log in again",
            "`client-api-keys`",
        ),
        (
            frozenset({402, 403, 429}),
            "the account's quota is used up, or it may not",
            "`fallback: {enabled: true}`",
        ),
        (frozenset({503}), "CLIProxyAPI has no account left for this model", "`fallback: {enabled: true}`"),
    ),
}

_PATH = "/v1/chat/completions"


def _fields(key: Fields) -> Fields:
    return (*key, ("Content-Type", "application/json"))


def _body(model: str) -> bytes:
    messages = [{"role": "user", "content": "Say hi"}]
    return json.dumps({"model": model, "max_tokens": 1, "stream": False, "messages": messages}).encode()
