"""What a configuration file says, as lines for a terminal and as JSON; secrets are `***`."""

from litellm_hybrid.config.parser import Parsed
from litellm_hybrid.config.report import DEFAULTS, effective_settings
from litellm_hybrid.config.validation import Code, Diagnostic
from litellm_hybrid.terminal import OutputLine, Style

_OF_FALLBACK: frozenset[Code] = frozenset({"upstream-retries", "upstream-keepalive"})
_NO_KEYS = "no setting of litellm-hybrid is in this file: every request goes upstream"


def lines(parsed: Parsed) -> list[OutputLine]:
    """For people: every setting in force, those with their default quieter, then the warnings."""
    settings = effective_settings(parsed.settings)
    return [
        *(OutputLine(name, value, _style(name, value)) for name, value in settings),
        OutputLine("", ""),
        *(OutputLine("warning", warning, Style.NOTICE) for warning in warnings(parsed)),
        *(OutputLine("hint", str(hint)) for hint in hints(parsed)),
        OutputLine("ok", _summary(parsed), Style.GOOD),
    ]


def warnings(parsed: Parsed) -> tuple[str, ...]:
    """Those of the start, and what only `check` says."""
    warnings = tuple(map(str, parsed.warnings))
    return warnings if parsed.has_keys else (*warnings, _NO_KEYS)


def hints(parsed: Parsed) -> tuple[Diagnostic, ...]:
    """What CLIProxyAPI's own settings could say better, as far as it matters with these settings."""
    return tuple(
        hint for hint in parsed.hints if parsed.settings.fallback.enabled or hint.code not in _OF_FALLBACK
    )


def as_json(file: str, parsed: Parsed) -> dict[str, object]:
    """For programs: the same, as a JSON object."""
    return {
        "file": file,
        "ok": True,
        "settings": dict(effective_settings(parsed.settings)),
        "warnings": warnings(parsed),
        "hints": tuple(map(str, hints(parsed))),
        "errors": (),
    }


def failed_as_json(file: str, problems: tuple[str, ...]) -> dict[str, object]:
    """The same shape for a file that cannot be used."""
    return {"file": file, "ok": False, "settings": {}, "warnings": (), "hints": (), "errors": problems}


def _summary(parsed: Parsed) -> str:
    settings = parsed.settings
    routing = "off"
    if settings.routing:
        what = "every POST that names a model" if settings.passthrough else "the listed models"
        routing = f"{what} to {settings.base_url}"
    fallback = f"to {settings.base_url}" if settings.fallback.enabled else "off"
    return f"routing: {routing}; fallback: {fallback}"


def _style(name: str, value: str) -> Style:
    return Style.QUIET if value == DEFAULTS[name] else Style.PLAIN
