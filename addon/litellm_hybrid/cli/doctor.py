"""`litellm-hybrid doctor`: sends every probe, prints what is wrong with a set-up, why, and what to change."""

import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
import yaml

from litellm_hybrid.cli.common import FILE, as_json_option, file_or_config_option, find, load, show
from litellm_hybrid.cli.common import upstream_config as find_upstream_config
from litellm_hybrid.config.converters import parse_listen, parse_url
from litellm_hybrid.config.parser import ConfigError, Parsed
from litellm_hybrid.config.settings import Secret, Settings
from litellm_hybrid.diagnostics import (
    check_models,
    check_replays,
    check_setup,
    probes,
)
from litellm_hybrid.diagnostics.probes import Results
from litellm_hybrid.diagnostics.report import Finding, Report
from litellm_hybrid.terminal import hide, printable


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


@click.command()
@file_or_config_option
@as_json_option
@click.option("--upstream", metavar="URL", help="Where CLIProxyAPI is, if mitmdump's --mode says it.")
@click.option("--listen", metavar="HOST:PORT", help="Where the proxy listens, if --mode says it.")
@click.option("--key", default="", help="A client key that CLIProxyAPI takes, if the file has none.")
@click.option(
    "--upstream-config",
    type=FILE,
    help="CLIProxyAPI's config.yaml, if --config is another file, and it is in no usual place.",
)
@click.option("--live", is_flag=True, help="Also send one real request each way; this costs a few tokens.")
@click.option(
    "--replay",
    metavar="MODEL",
    default="",
    help="Also ask this model of LiteLLM's in the form of each agent; this costs some hundred tokens each.",
)
@click.option("--litellm-config", type=FILE, help="LiteLLM's own configuration file.")
@click.pass_context
def doctor(
    context: click.Context,
    *,
    file: Path | None,
    as_json: bool,
    upstream: str | None,
    listen: str | None,
    key: str,
    upstream_config: Path | None,
    live: bool,
    replay: str,
    litellm_config: Path | None,
) -> None:
    """Find out what is wrong with a set-up, and how to mend it.

    Looks at the configuration file, the address to listen on, CLIProxyAPI and its accounts, LiteLLM, its
    key and its backends, every name of a model that is routed or may fall back, the clocks, Python and
    mitmproxy. No model is called, so nothing is spent, unless --live asks for it, which goes through the
    proxy if it runs, or --replay, which tells what a replay of each agent's needs. What could not be looked
    at is told as "not checked", with what it takes.

    \b
    Exit codes: 0  all was looked at, and nothing is wrong
                1  it works, with a warning, or something was not checked
                2  something does not work
    """  # noqa: D301  \b is click's
    own = _read_yaml(litellm_config) if litellm_config else None
    file = find(file)
    given: dict[str, Any] = {}
    try:
        if upstream:
            given["upstream"] = parse_url(upstream)
        if listen:
            given["listen"] = parse_listen(listen)
    except ValueError as e:
        raise click.UsageError(printable(str(e))) from e
    secrets = [key] if key else []

    def read() -> Parsed:
        parsed = load(file)
        settings = parsed.settings
        secrets.extend(each.value for each in (settings.api_key, *settings.client_keys) if each)
        changed = replace(parsed, settings=replace(settings, **given))
        if upstream_config is not None:
            return with_upstream(changed, load(upstream_config))
        usual = None if parsed.has_upstream_keys else find_upstream_config(changed.settings.upstream)
        return with_upstream(changed, usual[1]) if usual else changed

    context.exit(run(file, read, secrets, Options(key, live, replay, own), as_json=as_json))


def with_upstream(parsed: Parsed, theirs: Parsed) -> Parsed:
    """Add what CLIProxyAPI's own file, another one, says better."""
    return replace(parsed, hints=(*parsed.hints, *theirs.hints), has_upstream_keys=True)


def _read_yaml(file: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(file.read_bytes())
    except (OSError, ValueError, yaml.YAMLError) as e:
        raise click.UsageError(printable(f"{file} cannot be read: {e}")) from e
    return content if isinstance(content, dict) else {}


def run(
    file: Path,
    read: Callable[[], Parsed],
    secrets: Sequence[str],
    options: Options,
    *,
    as_json: bool = False,
) -> int:
    """Look at everything and show what was found; the exit code.

    What is being done is shown on a terminal's stderr, and wiped away; where models are called it stays,
    and is shown without a terminal too: it says what will be spent. `read` may add to `secrets`, which are
    shown nowhere, and raises ConfigError.
    """
    wiped = sys.stderr.isatty() and not options.spends

    def progress(text: str) -> None:
        if options.spends or wiped:
            shown = printable(hide(text, secrets))
            click.echo(f"\r\033[K{shown}" if wiped else shown, err=True, nl=options.spends)

    report = examine(file, read, options, progress)
    if wiped:
        click.echo("\r\033[K", err=True, nl=False)
    show(report, secrets, as_json=as_json)
    return report.exit_code


def examine(
    file: Path, load: Callable[[], Parsed], options: Options, progress: Callable[[str], None]
) -> Report:
    """Look at everything; `load` raises ConfigError, `progress` is told what is being done."""
    progress("looking at Python and mitmproxy …")
    versions, lacking = _surroundings()
    surroundings = check_setup.surroundings(versions, lacking)
    try:
        parsed = load()
    except ConfigError as e:
        return Report(
            str(file), [*check_setup.broken(e.problems), check_setup.unread(), *surroundings], versions
        )
    settings = parsed.settings
    presented = replace(settings, client_keys=(Secret(options.key),)) if options.key else settings
    progress(f"asking upstream{' and LiteLLM' if settings.base_url else ''}, 6 s at most …")
    results = Results(probes.send_all(probes.plan(presented), settings.tls_ca))
    runs = check_setup.runs(results)
    bound = None if runs else probes.binding(*settings.listen)
    versions["upstream"] = check_setup.upstream_version(results)
    versions["litellm"] = check_setup.litellm_version(results) or "unknown"
    findings = [
        *check_setup.file(parsed, str(file)),
        check_setup.access(settings),
        *check_setup.listen(settings, results, bound),
        *check_setup.check_upstream(settings, results),
        *check_setup.check_litellm(settings, results),
        *_proposals(settings, results, options.litellm_config),
        *check_models.check_names(settings, results),
        *check_models.check_prices(settings, results),
        *check_setup.clock(results),
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
