"""`litellm-hybrid doctor`: prints what is wrong with a set-up, why, and what to change."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from litellm_hybrid.cli.common import as_json_option, config_option, load, show, show_json
from litellm_hybrid.config.addresses import parse_listen, parse_url
from litellm_hybrid.config.parser import Parsed
from litellm_hybrid.diagnostics.doctor import doctor as room
from litellm_hybrid.diagnostics.doctor import report as doctor_finding
from litellm_hybrid.terminal import hide, printable


@click.command()
@config_option
@as_json_option
@click.option("--upstream", metavar="URL", help="Where CLIProxyAPI is, if mitmdump's --mode says it.")
@click.option("--listen", metavar="HOST:PORT", help="Where the proxy listens, if --mode says it.")
@click.option("--live", is_flag=True, help="Also send one real request each way; this costs a few tokens.")
@click.pass_context
def doctor(
    context: click.Context,
    *,
    file: Path,
    as_json: bool,
    upstream: str | None,
    listen: str | None,
    live: bool,
) -> None:
    """Find out what is wrong with a set-up, and how to mend it.

    Looks at the configuration file, the address to listen on, CLIProxyAPI, LiteLLM, its key, every
    configured model's name, Python and mitmproxy. No model is called, so nothing is spent, unless --live
    asks for it; that goes through the proxy if it runs.

    \b
    Exit codes: 0  nothing is wrong
                1  it works, with a warning
                2  something does not work
    """  # noqa: D301  \b is click's
    given: dict[str, Any] = {}
    try:
        if upstream:
            given["upstream"] = parse_url(upstream)
        if listen:
            given["listen"] = parse_listen(listen)
    except ValueError as e:
        raise click.UsageError(printable(str(e))) from e
    secrets: tuple[str, ...] = ()

    def read() -> Parsed:
        nonlocal secrets
        parsed = load(file)
        settings = parsed.settings
        secrets = tuple(each.value for each in (settings.api_key, *settings.client_keys) if each)
        return replace(parsed, settings=replace(settings, **given))

    progress = Progress(keep=live)
    report = room.examine(file, read, live=live, tell=lambda text: progress.tell(hide(text, secrets)))
    progress.end()
    if as_json:
        show_json(doctor_finding.as_json(report), secrets)
    else:
        show(doctor_finding.lines(report), secrets)
    context.exit(report.exit_code)


class Progress:
    """Says on a terminal's stderr what is being done, and wipes it away.

    Args:
        keep: what is told stays, and is told without a terminal too: it says what will be spent.
    """

    def __init__(self, *, keep: bool) -> None:
        self._terminal = sys.stderr.isatty()
        self._keep = keep

    def tell(self, text: str) -> None:
        """Say it."""
        if self._keep:
            click.echo(printable(text), err=True)
        elif self._terminal:
            click.echo(f"\r\033[K{printable(text)}", err=True, nl=False)

    def end(self) -> None:
        """Wipe it away."""
        if self._terminal and not self._keep:
            click.echo("\r\033[K", err=True, nl=False)
