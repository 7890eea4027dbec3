"""One real request each way, on request: what is sent, what it costs, and what its response means.

They go through the running proxy if there is one, else to the servers themselves.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass

from litellm_hybrid.config.model_patterns import is_glob
from litellm_hybrid.config.settings import Address, Settings
from litellm_hybrid.diagnostics.doctor.check_models import Known
from litellm_hybrid.diagnostics.doctor.probes import (
    ConnectFailure,
    Probe,
    ProbeResult,
    bearer,
    client_key,
    proxy_address,
)
from litellm_hybrid.diagnostics.doctor.report import Finding, error, not_checked, ok, warning
from litellm_hybrid.diagnostics.explain import reasons
from litellm_hybrid.routing.rules import name_for_litellm

WITHIN = 60.0
"""Seconds for one; CLIProxyAPI may try again by itself before it gives up."""

_LONGEST_ERROR = 300
"""Characters."""


@dataclass(frozen=True, slots=True)
class LiveRequest:
    """A request that will be sent.

    Attributes:
        check: `live-litellm` or `live-upstream`.
        expects: how `x-hybrid-route` must begin; "": it goes straight to the server.
    """

    check: str
    model: str
    probe: Probe
    expects: str

    @property
    def server(self) -> str:
        """Who is to answer."""
        return "LiteLLM" if self.check == "live-litellm" else "upstream"

    @property
    def message(self) -> str:
        """What it does and costs, for before it is sent."""
        way = "through the proxy" if self.expects else "directly"
        billed = "LiteLLM's provider bills it", "it counts towards the account's quota"
        cost = billed[self.server != "LiteLLM"]
        return (
            f"{self.server}, {way}: one chat completion of {self.model}, about 8 tokens in and 1 out; {cost}"
        )


def plan(
    settings: Settings, litellm_models: Iterable[str], upstream_models: Iterable[str], *, runs: bool
) -> list[LiveRequest]:
    """Plan the requests.

    Args:
        settings: those of the file, with the client key to present.
        litellm_models: what LiteLLM lists.
        upstream_models: what CLIProxyAPI lists.
        runs: whether the proxy runs at `listen`.
    """
    planned = []
    if settings.base_url is not None:
        planned += _to_litellm(settings, settings.base_url, litellm_models, runs=runs)
    routed = settings.models if settings.routing else ()
    own = next((name for name in upstream_models if not (routed and settings.models.match(name))), None)
    if own is not None:
        through = runs and not (settings.routing and settings.passthrough)
        where = proxy_address(settings) if through else settings.upstream
        probe = _chat(where, client_key(settings), own)
        planned.append(LiveRequest("live-upstream", own, probe, "upstream;" if through else ""))
    return planned


def _to_litellm(
    settings: Settings, base_url: Address, listed: Iterable[str], *, runs: bool
) -> list[LiveRequest]:
    entry = next((entry for entry in settings.models.entries if not is_glob(entry)), None)
    if runs and settings.routing and entry is not None:
        probe = _chat(proxy_address(settings), client_key(settings), entry)
        return [LiveRequest("live-litellm", entry, probe, "litellm;")]
    names = [name_for_litellm(settings, entry, entry)] if entry else settings.mappings.values()
    name = next(iter((*names, *Known(listed).names)), None)
    if name is None:
        return []
    key = settings.api_key.value if settings.api_key else ""
    return [LiveRequest("live-litellm", name, _chat(base_url, key, name), "")]


def unasked(settings: Settings, planned: Iterable[LiveRequest]) -> list[Finding]:
    """Name each server that no request could be made up for."""
    wanted = {"live-upstream": "upstream", **({"live-litellm": "LiteLLM"} if settings.base_url else {})}
    asked = {each.check for each in planned}
    return [
        not_checked(check, f"{server} was not asked", f"a model of {server}'s: see what is said of it above")
        for check, server in wanted.items()
        if check not in asked
    ]


def check(live: LiveRequest, result: ProbeResult) -> Finding:
    """Say what its response means."""
    if isinstance(result, ConnectFailure):
        symptom = f"no answer from {live.server} for {live.model}: {result.detail or result.kind}"
        return error(live.check, symptom, "", f"see what is said of it above, and the log of {live.server}")
    route = result.header("x-hybrid-route")
    took = f"{live.model} in {result.seconds:.2f} s"
    if result.status >= 300:
        said = f"{result.status} {result.error}".rstrip()[:_LONGEST_ERROR]
        fix = f"see what is said of it above, and the log of {live.server}"
        return error(live.check, f"{live.server} did not serve {live.model}: {said}", "", fix)
    if live.expects and not route.startswith(live.expects):
        return _elsewhere(live, route, took)
    cost = result.header("x-litellm-response-cost")
    by = f" ({route})" if route else ""
    return ok(live.check, f"{live.server} served {took}{f', for ${cost}' if cost else ''}{by}")


def _elsewhere(live: LiveRequest, route: str, took: str) -> Finding:
    if "reason=fallback;" in route:
        means = reasons.meaning(reasons.parse(route)).means
        fix = f"`litellm-hybrid explain --reason '{route}'`"
        return warning(live.check, f"LiteLLM served {took} ({route})", means, fix)
    return warning(
        live.check,
        f"the request for {live.model} went elsewhere: {route or 'no x-hybrid-route'}",
        "the proxy that runs has other settings than this file",
        f"`litellm-hybrid explain {live.model}` with its file; start it anew if it runs with another one",
    )


def _chat(address: Address, key: str, model: str) -> Probe:
    fields = (*bearer(key), ("Content-Type", "application/json"))
    messages = [{"role": "user", "content": "Say hi"}]
    body = {"model": model, "max_tokens": 1, "stream": False, "messages": messages}
    return Probe(address, "/v1/chat/completions", "POST", fields, json.dumps(body).encode(), WITHIN)
