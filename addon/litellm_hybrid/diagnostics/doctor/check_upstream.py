"""What is at `upstream-url`: CLIProxyAPI or not, which one, and whom it lets in."""

from collections.abc import Mapping
from typing import NamedTuple

from litellm_hybrid.config.settings import Settings
from litellm_hybrid.diagnostics.doctor import server_errors as doctor_server
from litellm_hybrid.diagnostics.doctor.probes import (
    ConnectFailure,
    ProbeResponse,
    ProbeResult,
    Program,
    identify,
    is_safe_mode,
)
from litellm_hybrid.diagnostics.doctor.report import Finding, Severity
from litellm_hybrid.routing.access import is_loopback

_CHECK = "upstream"
_PREFIX_CHECK = "provider-prefix"
_KEY_CHECK = "client-keys"


class Told(NamedTuple):
    """What could be told of CLIProxyAPI's version.

    Attributes:
        version: as it says it, or "".
        since_7_2: whether it has no routes below `/api/provider/`, which 7.2 removed; None: not known.
    """

    version: str
    since_7_2: bool | None

    @property
    def words(self) -> str:
        """For people."""
        if self.version:
            return self.version
        return {True: "7.2 or newer", False: "older than 7.2", None: "unknown"}[self.since_7_2]


def told(seen: Mapping[str, ProbeResult]) -> Told:
    """Which CLIProxyAPI it is."""
    managed, aliases = seen.get("upstream-version"), seen.get("upstream-provider")
    version = managed.header("x-cpa-version") if isinstance(managed, ProbeResponse) else ""
    known = isinstance(aliases, ProbeResponse) and aliases.status in (200, 401, 404)
    return Told(version, aliases.status == 404 if known and isinstance(aliases, ProbeResponse) else None)


def judge(settings: Settings, seen: Mapping[str, ProbeResult]) -> list[Finding]:
    """Everything about CLIProxyAPI."""
    server = doctor_server.upstream(settings.upstream)
    root, who = seen["upstream-root"], identify(seen["upstream-root"], seen["upstream-alive"])
    if isinstance(root, ConnectFailure) or who is None:
        return [doctor_server.unreached(server, root)] if isinstance(root, ConnectFailure) else []
    if (other := doctor_server.somebody_else(server, who, root, "/")) is not None:
        return [other]
    if who is Program.UNKNOWN:
        return [
            Finding(
                _CHECK,
                Severity.WARNING,
                f"what answers at {server.address} does not say that it is CLIProxyAPI",
                f"another program, or something that stands in between (status {root.status} from /)",
                f"compare with CLIProxyAPI's own address: `upstream-url: {server.example}`",
            )
        ]
    which = told(seen)
    found = [Finding(_CHECK, Severity.OK, f"CLIProxyAPI ({which.words}) answers at {server.address}")]
    found += _safe_mode(seen)
    found += _prefix(settings, which)
    return found + _keys(settings, seen)


def _safe_mode(seen: Mapping[str, ProbeResult]) -> list[Finding]:
    if not is_safe_mode(seen["upstream-open"], seen["upstream-root"]):
        return []
    return [
        Finding(
            _CHECK,
            Severity.ERROR,
            "CLIProxyAPI refuses every request: it is in safe mode",
            "its `api-keys` are still those of its example file",
            "put keys of your own into `api-keys` of CLIProxyAPI's config.yaml",
        )
    ]


def _prefix(settings: Settings, which: Told) -> list[Finding]:
    if not which.since_7_2 or settings.strip_provider_prefix:
        return []
    return [
        Finding(
            _PREFIX_CHECK,
            Severity.NOTE,
            "CLIProxyAPI answers 404 to /api/provider/…",
            "7.2 removed these routes; Amp, and clients set up for them, still ask there",
            "if you have such clients: `strip-provider-prefix: true`",
        )
    ]


def _keys(settings: Settings, seen: Mapping[str, ProbeResult]) -> list[Finding]:
    """Whom CLIProxyAPI lets in, and whether the client keys known here are among them."""
    opened, keyed = seen["upstream-open"], seen.get("upstream-models")
    is_open = isinstance(opened, ProbeResponse) and opened.status == 200
    if is_open and not is_loopback(settings.listen[0]):
        return [
            Finding(
                _KEY_CHECK,
                Severity.WARNING,
                "CLIProxyAPI serves clients without a key, and this proxy listens beyond this machine",
                "its config.yaml has no `api-keys`: whoever reaches the proxy uses its accounts",
                "put keys into `api-keys` of CLIProxyAPI's config.yaml",
            )
        ]
    if isinstance(keyed, ProbeResponse) and keyed.status == 401 and not is_open:
        return [
            Finding(
                _KEY_CHECK,
                Severity.WARNING,
                "CLIProxyAPI does not accept the first client key known here",
                "`client-api-keys` says who may spend LiteLLM's key; for upstream its own `api-keys` count",
                "put the same keys into `api-keys` of CLIProxyAPI's config.yaml and into `client-api-keys`",
            )
        ]
    return []


def models(seen: Mapping[str, ProbeResult]) -> tuple[str, ...]:
    """The models that CLIProxyAPI lists, as far as it shows them."""
    for name in ("upstream-models", "upstream-open"):
        answer = seen.get(name)
        if isinstance(answer, ProbeResponse) and (ids := answer.model_ids) is not None:
            return ids
    return ()
