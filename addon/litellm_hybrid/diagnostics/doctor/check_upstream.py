"""What is at `upstream-url`: CLIProxyAPI or not, which one, whom it lets in, and whether it has accounts."""

from litellm_hybrid.config.settings import Settings
from litellm_hybrid.diagnostics.doctor import servers
from litellm_hybrid.diagnostics.doctor.probes import (
    ConnectFailure,
    Program,
    Results,
    VersionInfo,
    identify,
    is_safe_mode,
    models,
    response_to,
)
from litellm_hybrid.diagnostics.doctor.report import Finding, error, not_checked, ok, warning
from litellm_hybrid.routing.access import is_loopback

_GIVE_KEY = "`litellm-hybrid doctor --key KEY`, with one of `api-keys` of CLIProxyAPI's config.yaml"


def takes_for_models(results: Results) -> str:
    """Say what it takes to read its list of models, where it shows it to nobody here."""
    if response_to("upstream-open", results).status == 401:
        return _GIVE_KEY
    return "CLIProxyAPI's list of models: see what is said of upstream above"


def check(settings: Settings, results: Results) -> list[Finding]:
    """Look at everything about CLIProxyAPI."""
    server = servers.upstream(settings.upstream)
    root = results["upstream-root"]
    if isinstance(root, ConnectFailure):
        return [servers.unreachable(server, root)]
    if is_safe_mode(root, results["upstream-open"]):
        symptom = f"CLIProxyAPI at {server.address} is in safe mode: it refuses every request"
        fix = "put keys of your own into `api-keys` of its config.yaml: they are those of its example file"
        return [error("upstream", symptom, fix)]
    who = identify(root, results["upstream-alive"]) or Program.UNKNOWN
    if (other := servers.another_program(server, who, root, "/")) is not None:
        return [other]
    if who is Program.UNKNOWN:
        symptom = (
            f"what answers at {server.address} (status {root.status}) does not say that it is CLIProxyAPI"
        )
        return [
            warning("upstream", symptom, f"compare with its own address: `upstream-url: {server.example}`")
        ]
    version = VersionInfo.of(results)
    found = [ok("upstream", f"CLIProxyAPI ({version}) answers at {server.address}"), _accounts(results)]
    found += _client_keys(settings, results)
    return found + _provider_prefix(settings, version)


def _provider_prefix(settings: Settings, version: VersionInfo) -> list[Finding]:
    """Say where `strip-provider-prefix` is set to what does not fit this CLIProxyAPI."""
    if version.since_7_2 and settings.strip_provider_prefix is False:
        symptom = "CLIProxyAPI answers 404 to /api/provider/…, where Amp and older set-ups ask"
    elif version.since_7_2 is False and settings.strip_provider_prefix is True:
        symptom = "CLIProxyAPI serves /api/provider/… itself, some of it not where it goes stripped"
    else:
        return []
    return [ok("provider-prefix", symptom, "if you have such: `strip-provider-prefix: auto`")]


def _accounts(results: Results) -> Finding:
    listed = models("upstream", results)
    if listed:
        return ok("accounts", f"CLIProxyAPI has accounts for {len(listed)} models")
    if listed is not None:
        symptom = "CLIProxyAPI lists no model: it has no account, or none that is logged in"
        return error(
            "accounts", symptom, "log in (`cli-proxy-api --claude-login` …), or give it providers' keys"
        )
    known = "accepts none that is" if "upstream-models" in results else "none is"
    return not_checked("accounts", f"CLIProxyAPI wants a client key, and {known} known here", _GIVE_KEY)


def _client_keys(settings: Settings, results: Results) -> list[Finding]:
    """Say whom CLIProxyAPI lets in, and whether the client keys known here are among them."""
    is_open = response_to("upstream-open", results).status == 200
    if is_open and not is_loopback(settings.listen[0]):
        symptom = "CLIProxyAPI serves clients without a key, and this proxy listens beyond this machine"
        return [warning("client-keys", symptom, "put keys into `api-keys` of CLIProxyAPI's config.yaml")]
    if response_to("upstream-models", results).status == 401 and not is_open:
        symptom = "CLIProxyAPI does not accept the client key that is known here"
        fix = "put the same keys into `api-keys` of CLIProxyAPI's config.yaml and into `client-api-keys`"
        return [warning("client-keys", symptom, fix)]
    return []
