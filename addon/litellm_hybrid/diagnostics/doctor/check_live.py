"""One real request each way, on request: what is sent, what it costs, and what its response means.

They go through the running proxy if there is one, else to the servers themselves.
"""

import json
from collections.abc import Iterable
from typing import NamedTuple

from litellm_hybrid.config.model_patterns import is_glob
from litellm_hybrid.config.settings import Address, Settings
from litellm_hybrid.diagnostics.doctor.check_models import KnownModels
from litellm_hybrid.diagnostics.doctor.probes import (
    ConnectFailure,
    Probe,
    ProbeResult,
    bearer,
    client_key,
    proxy_address,
)
from litellm_hybrid.diagnostics.doctor.report import Finding, error, not_checked, ok, warning
from litellm_hybrid.diagnostics.explain.reasons import REASONS
from litellm_hybrid.routing.rules import Reason, name_for_litellm

WITHIN = 60.0
"""Seconds for one; CLIProxyAPI may try again by itself before it gives up."""

_LONGEST_ERROR = 300
"""Characters."""


class LiveRequest(NamedTuple):
    """A request that will be sent.

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
    here, key, planned = proxy_address(settings), client_key(settings), []
    entry = next((entry for entry in settings.models.entries if not is_glob(entry)), None)
    if settings.base_url is not None and runs and settings.routing and entry is not None:
        planned.append(LiveRequest("LiteLLM", entry, _chat(here, key, entry), "litellm;"))
    elif settings.base_url is not None:
        names = [name_for_litellm(settings, entry, entry)] if entry else settings.mappings.values()
        own_key = settings.api_key.value if settings.api_key else ""
        if name := next(iter((*names, *KnownModels(litellm_models).names)), ""):
            planned.append(LiveRequest("LiteLLM", name, _chat(settings.base_url, own_key, name), ""))
    routed = settings.models if settings.routing else ()
    own = next((name for name in upstream_models if not (routed and settings.models.match(name))), None)
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


def check(live: LiveRequest, result: ProbeResult) -> Finding:
    """Say what its response means."""
    see = f"see what is said of it above, and the log of {live.server}"
    if isinstance(result, ConnectFailure):
        symptom = f"no response from {live.server} for {live.model}: {result.detail or result.kind}"
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
