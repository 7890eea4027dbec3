"""`litellm-hybrid doctor`: prints what is wrong with a set-up, why, and what to change."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import yaml

from litellm_hybrid.cli.common import FILE, as_json_option, file_or_config_option, find, load, show
from litellm_hybrid.cli.common import upstream_config as find_upstream_config
from litellm_hybrid.config.converters import parse_listen, parse_url
from litellm_hybrid.config.parser import Parsed
from litellm_hybrid.diagnostics.doctor.doctor import Options, examine
from litellm_hybrid.terminal import hide, printable


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
