"""What the doctor says of the configuration file, of this program's surroundings, and of who may use it."""

from collections.abc import Iterable
from typing import NamedTuple

from litellm_hybrid.config.parser import ConfigError, Parsed
from litellm_hybrid.config.settings import Settings
from litellm_hybrid.config.validation import Code, Diagnostic
from litellm_hybrid.diagnostics.doctor.probes import listen_text
from litellm_hybrid.diagnostics.doctor.report import Finding, Severity
from litellm_hybrid.routing.access import is_loopback

_CHECK = "file"

MAKE_KEY = "`client-api-keys: [KEY]`, with a KEY from `openssl rand -hex 24`"


class _Advice(NamedTuple):
    severity: Severity
    cause: str
    fix: str


_ADVICE: dict[Code, _Advice] = {
    "routing-without-base-url": _Advice(
        Severity.WARNING,
        "routing needs LiteLLM's address",
        "`base-url: http://127.0.0.1:4000`",
    ),
    "routing-without-models": _Advice(
        Severity.WARNING,
        "no request can match an empty list",
        "`models: [NAME, …]`, or `passthrough-mode: true`",
    ),
    "passthrough-without-enabled": _Advice(
        Severity.WARNING,
        "passthrough is a way of routing, and routing is off",
        "`enabled: true`, or take passthrough-mode out",
    ),
    "fallback-off": _Advice(
        Severity.NOTE,
        "it spends money, so it is on only where the file says so",
        "`fallback: {enabled: true}`, if that is what you want",
    ),
    "base-url-ends-in-v1": _Advice(
        Severity.NOTE,
        "every request brings its own /v1",
        "write base-url without it",
    ),
}


def judge(parsed: Parsed, file: str) -> list[Finding]:
    """The warnings of a file that can be used."""
    found = [_warning(warning) for warning in parsed.warnings]
    if not parsed.has_keys:
        found.append(
            Finding(
                _CHECK,
                Severity.WARNING,
                f"no setting of litellm-hybrid is in {file}",
                "every request goes upstream",
                "add `extensions: {litellm: {enabled: true, base-url: …, api-key: …, models: […]}}`, or name "
                "the right file: `litellm-hybrid doctor -c FILE`",
            )
        )
    return found or [Finding(_CHECK, Severity.OK, f"{file} has no errors and no warnings")]


def broken(error: ConfigError) -> list[Finding]:
    """The errors of a file that cannot be used."""
    return [
        _split(problem, Severity.ERROR, "the proxy does not start with it, and takes no such change")
        for problem in error.problems
    ]


def _warning(warning: Diagnostic) -> Finding:
    if advice := _ADVICE.get(warning.code):
        return Finding(_CHECK, advice.severity, str(warning).partition(";")[0], advice.cause, advice.fix)
    return _split(str(warning), Severity.WARNING, "")


def _split(text: str, severity: Severity, cause: str) -> Finding:
    symptom, _, fix = text.partition("; ")
    return Finding(_CHECK, severity, symptom, cause, fix or "correct that line")


def access(settings: Settings) -> list[Finding]:
    """Who may spend LiteLLM's key."""
    host, port = settings.listen
    spends = settings.active and (settings.api_key is not None or settings.no_auth)
    if is_loopback(host):
        who = "this machine's programs" + (" and clients with a key" if settings.client_keys else "")
        return [Finding("access", Severity.OK, f"{who} may use LiteLLM through {listen_text(settings)}")]
    if settings.client_keys:
        return [Finding("access", Severity.OK, "clients elsewhere need a client key for LiteLLM")]
    if settings.listen_without_keys:
        spent = "may spend LiteLLM's key" if spends else "may use it"
        return [
            Finding(
                "access",
                Severity.WARNING,
                f"whoever reaches {host or 'any address'} port {port} {spent}",
                "`listen-without-keys: true` and no client keys",
                f"{MAKE_KEY}, and take listen-without-keys out",
            )
        ]
    return [
        Finding(
            "access",
            Severity.ERROR,
            f"it will not listen on {host or 'every address'} (port {port}) without client keys",
            "anyone on the network could spend LiteLLM's key",
            f"{MAKE_KEY}; or `listen: 127.0.0.1:{port}`",
        )
    ]


def surroundings(
    python: tuple[int, int], mitmproxy: str, lacking: str, least: tuple[int, int] = (3, 12)
) -> list[Finding]:
    """Python, and mitmproxy with the names that the engine overrides.

    Args:
        python: its version.
        mitmproxy: its version.
        lacking: what the engine's own check says, or "".
        least: the oldest Python that will do.
    """
    found = [Finding("python", Severity.OK, f"Python {_dotted(python)}")]
    if python < least:
        found = [
            Finding(
                "python",
                Severity.ERROR,
                f"Python {_dotted(python)} is too old",
                f"litellm-hybrid needs {_dotted(least)}",
                f"install it with a newer one: `uv tool install --python {_dotted(least)} litellm-hybrid`",
            )
        ]
    if lacking:
        symptom, _, fix = lacking.partition("; ")
        cause = "litellm-hybrid overrides names inside mitmproxy, and refuses to start without them"
        return [*found, Finding("mitmproxy", Severity.ERROR, symptom, cause, fix)]
    return [*found, Finding("mitmproxy", Severity.OK, f"mitmproxy {mitmproxy} has what the engine needs")]


def _dotted(version: Iterable[int]) -> str:
    return ".".join(map(str, version))
