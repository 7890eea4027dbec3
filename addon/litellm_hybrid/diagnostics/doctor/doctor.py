"""The doctor: asks everything, has it judged, and puts the findings together."""

import sys
from collections.abc import Callable
from pathlib import Path

from litellm_hybrid.config.parser import ConfigError, Parsed
from litellm_hybrid.config.settings import Settings
from litellm_hybrid.diagnostics.doctor import check_config as doctor_file
from litellm_hybrid.diagnostics.doctor import check_listen as doctor_listen
from litellm_hybrid.diagnostics.doctor import check_litellm as doctor_litellm
from litellm_hybrid.diagnostics.doctor import check_live as doctor_live
from litellm_hybrid.diagnostics.doctor import check_models as doctor_models
from litellm_hybrid.diagnostics.doctor import check_upstream as doctor_upstream
from litellm_hybrid.diagnostics.doctor import http_client, probes
from litellm_hybrid.diagnostics.doctor.probes import ProbeResult
from litellm_hybrid.diagnostics.doctor.report import Finding, Report


def examine(file: Path, load: Callable[[], Parsed], *, live: bool, tell: Callable[[str], None]) -> Report:
    """Look at everything.

    Args:
        file: the configuration file, for the report.
        load: reads it; raises ConfigError.
        live: also send one real request each way.
        tell: is told what is being done.
    """
    tell("looking at Python and mitmproxy …")
    surroundings, versions = _surroundings()
    try:
        parsed = load()
    except ConfigError as e:
        return Report(str(file), [*doctor_file.broken(e), *surroundings], versions)
    settings = parsed.settings
    asks = probes.plan(settings)
    tell(f"asking upstream{' and LiteLLM' if settings.base_url else ''}, 6 s at most …")
    seen = http_client.send_all(asks)
    bound = None if doctor_listen.runs(seen) else http_client.binding(*settings.listen)
    versions |= {
        "upstream": doctor_upstream.told(seen).words,
        "litellm": doctor_litellm.version_of(seen) or "unknown",
    }
    findings = [
        *doctor_file.judge(parsed, str(file)),
        *doctor_file.access(settings),
        *doctor_listen.judge(settings, seen, bound),
        *doctor_upstream.judge(settings, seen),
        *doctor_litellm.judge(settings, seen),
        *_models(settings, seen),
        *(_live(settings, seen, tell) if live else ()),
        *surroundings,
    ]
    return Report(str(file), findings, versions)


def _models(settings: Settings, seen: dict[str, ProbeResult]) -> list[Finding]:
    listed = doctor_litellm.models(seen)
    if listed is None:  # the findings about the key or the server say why
        return []
    return doctor_models.judge(settings, listed, doctor_upstream.models(seen))


def _live(settings: Settings, seen: dict[str, ProbeResult], tell: Callable[[str], None]) -> list[Finding]:
    planned = doctor_live.plan(
        settings,
        doctor_litellm.models(seen) or (),
        doctor_upstream.models(seen),
        runs=doctor_listen.runs(seen),
    )
    for each in planned:
        tell(f"asking {each.says} …")
    answers = http_client.send_all({each.check: each.ask for each in planned})
    found = [doctor_live.judge(each, answers[each.check]) for each in planned]
    return found + doctor_live.unasked(settings, planned)


def _surroundings() -> tuple[list[Finding], dict[str, str]]:
    from mitmproxy import version  # noqa: PLC0415  half a second, which only this command needs

    from litellm_hybrid.proxy import engine  # noqa: PLC0415

    lacking = ""
    try:
        engine.check()
    except engine.EngineError as e:
        lacking = str(e)
    python = sys.version_info[:2]
    versions = {"python": ".".join(map(str, sys.version_info[:3])), "mitmproxy": version.VERSION}
    return doctor_file.surroundings(python, version.VERSION, lacking), versions
