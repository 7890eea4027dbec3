"""What is at `upstream-url`: CLIProxyAPI or not, which one, whom it lets in, and whether it has accounts."""

from collections.abc import Mapping
from typing import NamedTuple

from litellm_hybrid.config.settings import Settings
from litellm_hybrid.diagnostics.doctor import servers
from litellm_hybrid.diagnostics.doctor.probes import (
    ConnectFailure,
    ProbeResponse,
    ProbeResult,
    Program,
    identify,
    is_safe_mode,
)
from litellm_hybrid.diagnostics.doctor.report import Finding, error, not_checked, ok, warning
from litellm_hybrid.routing.access import is_loopback

_GIVE_KEY = "`litellm-hybrid doctor --key KEY`, with one of `api-keys` of CLIProxyAPI's config.yaml"


class VersionInfo(NamedTuple):
    """What could be told of CLIProxyAPI's version.

    Attributes:
        version: as it says it, or "".
        since_7_2: whether it has no routes below `/api/provider/`, which 7.2 removed; None: not known.
    """

    version: str
    since_7_2: bool | None

    def __str__(self) -> str:
        if self.version:
            return self.version
        return {True: "7.2 or newer", False: "older than 7.2", None: "unknown"}[self.since_7_2]


def version_of(results: Mapping[str, ProbeResult]) -> VersionInfo:
    """Tell which CLIProxyAPI it is."""
    managed, aliases = results.get("upstream-version"), results.get("upstream-provider")
    version = managed.header("x-cpa-version") if isinstance(managed, ProbeResponse) else ""
    if isinstance(aliases, ProbeResponse) and aliases.status in (200, 401, 404):
        return VersionInfo(version, aliases.status == 404)
    return VersionInfo(version, None)


def models(results: Mapping[str, ProbeResult]) -> tuple[str, ...] | None:
    """Return the models that CLIProxyAPI lists; None: it shows them to nobody here."""
    for name in ("upstream-models", "upstream-open"):
        response = results.get(name)
        if isinstance(response, ProbeResponse) and (ids := response.model_ids) is not None:
            return ids
    return None


def takes_for_models(results: Mapping[str, ProbeResult]) -> str:
    """Say what it takes to read its list of models, where it shows it to nobody here."""
    opened = results.get("upstream-open")
    if isinstance(opened, ProbeResponse) and opened.status == 401:
        return _GIVE_KEY
    return "CLIProxyAPI's list of models: see what is said of upstream above"


def check(settings: Settings, results: Mapping[str, ProbeResult]) -> list[Finding]:
    """Look at everything about CLIProxyAPI."""
    server = servers.upstream(settings.upstream)
    root = results["upstream-root"]
    if isinstance(root, ConnectFailure):
        return [servers.unreachable(server, root)]
    who = identify(root, results["upstream-alive"]) or Program.UNKNOWN
    if is_safe_mode(root, results["upstream-open"]):
        return [
            server.error(
                f"CLIProxyAPI at {server.address} is in safe mode: it refuses every request",
                "its `api-keys` are still those of its example file",
                "put keys of your own into `api-keys` of CLIProxyAPI's config.yaml",
            )
        ]
    if (other := servers.another_program(server, who, root, "/")) is not None:
        return [other]
    if who is Program.UNKNOWN:
        return [
            warning(
                "upstream",
                f"what answers at {server.address} does not say that it is CLIProxyAPI",
                f"another program, or something that stands in between (status {root.status} from /)",
                f"compare with CLIProxyAPI's own address: `upstream-url: {server.example}`",
            )
        ]
    which = version_of(results)
    found = [ok("upstream", f"CLIProxyAPI ({which}) answers at {server.address}"), *_accounts(results)]
    found += _client_keys(settings, results)
    if which.since_7_2 and not settings.strip_provider_prefix:
        cause = "7.2 removed these routes; Amp, and clients set up for them, still ask there"
        fix = "if you have such clients: `strip-provider-prefix: true`"
        found.append(ok("provider-prefix", "CLIProxyAPI answers 404 to /api/provider/…", cause, fix))
    return found


def _accounts(results: Mapping[str, ProbeResult]) -> list[Finding]:
    listed = models(results)
    if listed:
        return [ok("accounts", f"CLIProxyAPI has accounts for {len(listed)} models")]
    if listed is not None:
        return [
            error(
                "accounts",
                "CLIProxyAPI lists no model: it has no account, or none that is logged in",
                "every request to it fails with `unknown provider for model …`",
                "log in (`cli-proxy-api --claude-login` …), or give it providers' keys in its config.yaml",
            )
        ]
    if "upstream-models" in results:  # the key is not accepted, which is said elsewhere
        return [not_checked("accounts", "CLIProxyAPI's models could not be read", _GIVE_KEY)]
    return [not_checked("accounts", "CLIProxyAPI wants a client key, and none is known here", _GIVE_KEY)]


def _client_keys(settings: Settings, results: Mapping[str, ProbeResult]) -> list[Finding]:
    """Say whom CLIProxyAPI lets in, and whether the client keys known here are among them."""
    opened, keyed = results["upstream-open"], results.get("upstream-models")
    is_open = isinstance(opened, ProbeResponse) and opened.status == 200
    if is_open and not is_loopback(settings.listen[0]):
        return [
            warning(
                "client-keys",
                "CLIProxyAPI serves clients without a key, and this proxy listens beyond this machine",
                "its config.yaml has no `api-keys`: whoever reaches the proxy uses its accounts",
                "put keys into `api-keys` of CLIProxyAPI's config.yaml",
            )
        ]
    if isinstance(keyed, ProbeResponse) and keyed.status == 401 and not is_open:
        return [
            warning(
                "client-keys",
                "CLIProxyAPI does not accept the client key that is known here",
                "`client-api-keys` says who may spend LiteLLM's key; for upstream its own `api-keys` count",
                "put the same keys into `api-keys` of CLIProxyAPI's config.yaml and into `client-api-keys`",
            )
        ]
    return []
