"""The doctor: sends every probe, has the results checked, and puts the findings together."""

import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from litellm_hybrid.config.parser import ConfigError, Parsed
from litellm_hybrid.config.settings import Secret, Settings
from litellm_hybrid.diagnostics.doctor import (
    check_local,
    check_models,
    check_replays,
    check_servers,
    probes,
)
from litellm_hybrid.diagnostics.doctor.probes import Results
from litellm_hybrid.diagnostics.doctor.report import Finding, Report


@dataclass(frozen=True, slots=True)
class Options:
    """What the doctor is asked for besides.

    Attributes:
        key: a client key to present to upstream; "": the first one that the file has.
        live: also send one real request each way.
        replay: a model of LiteLLM's that is asked in each agent's form; "": none.
        litellm_config: what stands in LiteLLM's own file; None: it was not given.
    """

    key: str = ""
    live: bool = False
    replay: str = ""
    litellm_config: Mapping[str, Any] | None = None

    @property
    def spends(self) -> bool:
        """Whether models are called."""
        return self.live or bool(self.replay)


def examine(
    file: Path, load: Callable[[], Parsed], options: Options, progress: Callable[[str], None]
) -> Report:
    """Look at everything; `load` raises ConfigError, `progress` is told what is being done."""
    progress("looking at Python and mitmproxy …")
    versions, lacking = _surroundings()
    surroundings = check_local.surroundings(versions, lacking)
    try:
        parsed = load()
    except ConfigError as e:
        return Report(
            str(file), [*check_local.broken(e.problems), check_local.unread(), *surroundings], versions
        )
    settings = parsed.settings
    presented = replace(settings, client_keys=(Secret(options.key),)) if options.key else settings
    progress(f"asking upstream{' and LiteLLM' if settings.base_url else ''}, 6 s at most …")
    results = Results(probes.send_all(probes.plan(presented), settings.tls_ca))
    runs = check_local.runs(results)
    bound = None if runs else probes.binding(*settings.listen)
    versions["upstream"] = check_servers.upstream_version(results)
    versions["litellm"] = check_servers.litellm_version(results) or "unknown"
    findings = [
        *check_local.file(parsed, str(file)),
        check_local.access(settings),
        *check_local.listen(settings, results, bound),
        *check_servers.check_upstream(settings, results),
        *check_servers.check_litellm(settings, results),
        *_proposals(settings, results, options.litellm_config),
        *check_models.check_names(settings, results),
        *check_models.check_prices(settings, results),
        *check_local.clock(results),
    ]
    if options.live:
        planned = check_models.plan_live(presented, results, runs=runs)
        for each in planned:
            progress(f"asking {each.message} …")
        lived = probes.send_all({each.check: each.probe for each in planned}, settings.tls_ca)
        findings += [check_models.check_live(each, lived[each.check]) for each in planned]
        findings += check_models.unasked(settings, planned)
    if options.replay:
        progress(f"asking {check_replays.cost(options.replay)} …")
        findings += check_replays.ask(
            settings, options.replay, lambda send: probes.send_all(send, settings.tls_ca)
        )
    return Report(str(file), [*findings, *surroundings], versions)


def _proposals(
    settings: Settings, results: Results, litellm_config: Mapping[str, Any] | None
) -> list[Finding]:
    """Name what LiteLLM's configuration should say of the models that replays, or routed requests, go to."""
    listed = (litellm_config or {}).get("model_list")
    entries = results["litellm-info"].entries or (listed if isinstance(listed, list) else ())
    backends = probes.deployments(entries)
    upstream_models = results.models("upstream")
    if not settings.active:
        return []
    if not settings.routing and upstream_models is not None:
        wanted = set(check_models.may_fall_back(settings, upstream_models).values())
        backends = [backend for backend in backends if backend[0] in wanted]
    own = (litellm_config or {}).get("litellm_settings")
    return check_replays.propose(
        backends, own if isinstance(own, dict) else None if litellm_config is None else {}
    )


def _surroundings() -> tuple[dict[str, str], str]:
    """Return the versions of what runs here, and what mitmproxy lacks, or ""."""
    from mitmproxy import version  # noqa: PLC0415  half a second, which only this command needs

    from litellm_hybrid.proxy import compat  # noqa: PLC0415

    lacking = ""
    try:
        compat.check()
    except compat.IncompatibleMitmproxyError as e:
        lacking = str(e)
    return {"python": platform.python_version(), "mitmproxy": version.VERSION}, lacking
