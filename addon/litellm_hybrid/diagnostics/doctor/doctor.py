"""The doctor: sends every probe, has the results checked, and puts the findings together."""

import platform
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from litellm_hybrid.config.parser import ConfigError, Parsed
from litellm_hybrid.config.settings import Secret
from litellm_hybrid.diagnostics.doctor import check_local, check_models, check_servers, http_client, probes
from litellm_hybrid.diagnostics.doctor.probes import Results
from litellm_hybrid.diagnostics.doctor.report import Report


def examine(
    file: Path, load: Callable[[], Parsed], *, key: str = "", live: bool, progress: Callable[[str], None]
) -> Report:
    """Look at everything.

    Args:
        file: the configuration file, for the report.
        load: reads it; raises ConfigError.
        key: a client key to present to upstream; "": the first one that the file has.
        live: also send one real request each way.
        progress: is told what is being done.
    """
    progress("looking at Python and mitmproxy …")
    versions, lacking = _surroundings()
    surroundings = check_local.surroundings(versions, lacking)
    try:
        parsed = load()
    except ConfigError as e:
        return Report(str(file), [*check_local.broken(e.problems), *surroundings], versions)
    settings = parsed.settings
    presented = replace(settings, client_keys=(Secret(key),)) if key else settings
    progress(f"asking upstream{' and LiteLLM' if settings.base_url else ''}, 6 s at most …")
    results = Results(http_client.send_all(probes.plan(presented), settings.tls_ca))
    runs = check_local.runs(results)
    bound = None if runs else http_client.binding(*settings.listen)
    versions["upstream"] = check_servers.upstream_version(results)
    versions["litellm"] = check_servers.litellm_version(results) or "unknown"
    findings = [
        *check_local.file(parsed, str(file)),
        check_local.access(settings),
        *check_local.listen(settings, results, bound),
        *check_servers.check_upstream(settings, results),
        *check_servers.check_litellm(settings, results),
        *check_models.check_names(settings, results),
        *check_local.clock(results),
    ]
    if live:
        planned = check_models.plan_live(presented, results, runs=runs)
        for each in planned:
            progress(f"asking {each.message} …")
        lived = http_client.send_all({each.check: each.probe for each in planned}, settings.tls_ca)
        findings += [check_models.check_live(each, lived[each.check]) for each in planned]
        findings += check_models.unasked(settings, planned)
    return Report(str(file), [*findings, *surroundings], versions)


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
