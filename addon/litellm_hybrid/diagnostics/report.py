"""What `check` and `doctor` say of a set-up: as lines, as JSON, as an exit code; and why a start refuses it.

Secrets are `***`.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from functools import partial
from importlib.util import find_spec

from litellm_hybrid.config.parser import Parsed
from litellm_hybrid.config.schema import DEFAULTS, effective_settings
from litellm_hybrid.config.settings import Address, Settings
from litellm_hybrid.config.yaml_nodes import Code, Diagnostic
from litellm_hybrid.message.forwarded import is_loopback
from litellm_hybrid.proxy import trust
from litellm_hybrid.terminal import OutputLine, Style

# -- what the doctor found -------------------------------------------------------


class Severity(StrEnum):
    """How bad it is, the mildest first."""

    OK = "ok"
    NOT_CHECKED = "not checked"
    WARNING = "warning"
    ERROR = "error"


CHECKS = (
    *("file", "access", "listen", "upstream", "accounts", "client-keys", "provider-prefix"),
    *("litellm", "api-key", "loops", "drop-params", "backends", "models", "fallback", "prices"),
    *("clock", "live-litellm", "live-upstream", "replay", "python", "mitmproxy"),
)
"""Every name that `Finding.check` may have, in the order in which they are told."""

_SHOWN = {
    Severity.OK: (0, Style.GOOD),
    Severity.NOT_CHECKED: (1, Style.NOTICE),
    Severity.WARNING: (1, Style.NOTICE),
    Severity.ERROR: (2, Style.BAD),
}
"""Exit code and style."""

_SAYS_OF_FIX = {Severity.OK: "you may", Severity.NOT_CHECKED: "takes"}

_WIDTH = max(map(len, Severity)) + 2


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        check: what was looked at, one of `CHECKS`.
        symptom: what was seen, and why it is so.
        fix: the exact key or command; of what was not checked, what it takes.
    """

    severity: Severity
    check: str
    symptom: str
    fix: str = ""


ok = partial(Finding, Severity.OK)
"""Nothing is wrong; `fix` says what else could be wanted."""

not_checked = partial(Finding, Severity.NOT_CHECKED)
"""It could not be looked at; `fix` is what has to be given for it."""

warning = partial(Finding, Severity.WARNING)
"""It works, and may not be what was meant."""

error = partial(Finding, Severity.ERROR)
"""It does not work."""


def some(names: Iterable[str], most: int = 5) -> str:
    """Name a few, each once."""
    distinct = list(dict.fromkeys(names))
    return ", ".join((*distinct[:most], *(["…"] if len(distinct) > most else [])))


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that was found.

    Attributes:
        versions: program → version, or as much as could be told of it.
    """

    file: str
    findings: Sequence[Finding]
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def severity(self) -> Severity:
        """That of the worst finding."""
        return max((each.severity for each in self.findings), key=list(Severity).index, default=Severity.OK)

    @property
    def exit_code(self) -> int:
        """0: all was looked at, and nothing is wrong; 1: a warning, or a gap; 2: an error."""
        return _SHOWN[self.severity][0]

    def lines(self) -> list[OutputLine]:
        """Format it for people: what was found in the order of a request's way, then how much of each."""
        found: list[OutputLine] = []
        for each in self.findings:
            symptom = f"{each.severity:<{_WIDTH}}{each.symptom}"
            found.append(OutputLine(each.check, symptom, _SHOWN[each.severity][1], _WIDTH))
            name = _SAYS_OF_FIX.get(each.severity, "fix")
            found += [OutputLine("", f"{name:<{_WIDTH}}{each.fix}", indent=_WIDTH)] if each.fix else []
        counts = Counter(each.severity for each in self.findings)
        said = [
            f"{n} {level}{'s' if n > 1 and level is not Severity.NOT_CHECKED else ''}"
            for level in list(Severity)[:0:-1]
            if (n := counts[level])
        ]
        result = ", ".join(said) or "everything was looked at and is in order"
        return [*found, OutputLine("", ""), OutputLine("result", result, _SHOWN[self.severity][1])]

    def as_json(self) -> dict[str, object]:
        """Format it for programs: the same, as a JSON object."""
        findings = [asdict(each) for each in self.findings]
        more = {"severity": self.severity, "exit_code": self.exit_code, "versions": dict(self.versions)}
        return {"file": self.file, **more, "findings": findings}


# -- what a file says ------------------------------------------------------------

_OF_FALLBACK: frozenset[Code] = frozenset({"upstream-retries", "upstream-keepalive"})
NEEDS_PRICES = (
    "max-cost-per-day: a model that LiteLLM has no price for does not fall back (`fallback-failed=budget`); "
    "`litellm-hybrid doctor` names those"
)
NO_KEYS = "no setting of litellm-hybrid is in this file: every request goes upstream"


type Listener = tuple[str, int, Address]
"""Where we listen (host, port) and the upstream behind it."""


def start_problems(source: str, settings: Settings, listeners: Iterable[Listener]) -> list[str]:
    """Say why a start with these settings, those of the file `source`, refuses; empty: it does not."""
    problems = [
        *untrusted(source, settings),
        *(
            problem
            for listener in listeners
            for problem in (*circles(source, settings, listener), *_unprotected(source, settings, listener))
        ),
    ]
    if settings.state is not None and settings.state.kind == "redis" and find_spec("redis") is None:
        problems.append(f"{source}: `state: {settings.state}` needs redis-py: install litellm-hybrid[redis]")
    return problems


def untrusted(source: str, settings: Settings) -> list[str]:
    """Say what is wrong with the certificate authorities that are to be trusted; empty: nothing."""
    unusable = trust.problem(settings.tls_ca)
    return [f"{source}: {unusable}"] if unusable else []


def circles(source: str, settings: Settings, listener: Listener) -> Iterator[str]:
    """Name the servers that are one and the same, so that a request would go round."""
    host, port, upstream = listener
    ourselves = Address("http", host or "127.0.0.1", port)
    for what, other in (("upstream", upstream), ("litellm-hybrid itself", ourselves)):
        if settings.base_url is not None and settings.base_url.is_same_server(other):
            yield (
                f"{source}: base-url {settings.base_url} is {what}; give the address of LiteLLM, "
                "for example http://127.0.0.1:4000"
            )
    if upstream.is_same_server(ourselves):
        yield f"{source}: upstream {upstream} is litellm-hybrid itself; give the address of CLIProxyAPI"


def _unprotected(source: str, settings: Settings, listener: Listener) -> Iterator[str]:
    host, port, upstream = listener
    if not is_loopback(host) and not settings.client_keys and not settings.listen_without_keys:
        yield (
            f"{source}: refusing to listen on {host or 'all addresses'} (port {port}) without "
            "client keys: anyone on the network could spend the LiteLLM key. Listen on 127.0.0.1 "
            f"(--mode reverse:{upstream}@127.0.0.1:{port}), set client-api-keys, or, if you "
            "mean it, listen-without-keys: true"
        )


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What a file says: it was parsed, or has errors, for which a start refuses it."""

    file: str
    parsed: Parsed | None = None
    errors: tuple[str, ...] = ()

    @property
    def warnings(self) -> tuple[str, ...]:
        """Those of the start, and what only `check` says."""
        if self.parsed is None:
            return ()
        return (*map(str, self.parsed.warnings), *(() if self.parsed.has_keys else (NO_KEYS,)))

    @property
    def hints(self) -> tuple[str, ...]:
        """What could be better, or needs a server to be known."""
        if self.parsed is None:
            return ()
        fallback = self.parsed.settings.fallback
        limited = fallback.enabled and fallback.max_cost_per_day
        return (*map(str, hints(self.parsed)), *([NEEDS_PRICES] if limited else []))

    def lines(self) -> list[OutputLine]:
        """Format it for people: every setting in force, defaults quieter, then the warnings."""
        if self.parsed is None:
            return []
        return [
            *(
                OutputLine(name, value, Style.QUIET if value == DEFAULTS[name] else Style.PLAIN)
                for name, value in effective_settings(self.parsed.settings)
            ),
            OutputLine("", ""),
            *(OutputLine("warning", warning, Style.NOTICE) for warning in self.warnings),
            *(OutputLine("hint", hint) for hint in self.hints),
            OutputLine("ok", _summary(self.parsed.settings), Style.GOOD),
        ]

    def as_json(self) -> dict[str, object]:
        """Format it for programs: the same, as a JSON object."""
        return {
            "file": self.file,
            "ok": not self.errors,
            "settings": dict(effective_settings(self.parsed.settings)) if self.parsed else {},
            "warnings": self.warnings,
            "hints": self.hints,
            "errors": self.errors,
        }


def hints(parsed: Parsed) -> tuple[Diagnostic, ...]:
    """Return what CLIProxyAPI's own settings could say better, as far as it matters with these settings."""
    return tuple(
        hint for hint in parsed.hints if parsed.settings.fallback.enabled or hint.code not in _OF_FALLBACK
    )


def _summary(settings: Settings) -> str:
    routing = "off"
    if settings.routing:
        what = "every POST that names a model" if settings.passthrough else "the listed models"
        routing = f"{what} to {settings.base_url}"
    return (
        f"routing: {routing}; fallback: {f'to {settings.base_url}' if settings.fallback.enabled else 'off'}"
    )
