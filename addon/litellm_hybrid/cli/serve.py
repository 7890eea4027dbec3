"""The commands that run the proxy: `serve`, and `web` and `dump` for mitmproxy's tools around the addon."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click

from litellm_hybrid.cli.common import FILE, config_option, file_or_config_option, find, load
from litellm_hybrid.config.converters import parse_listen, parse_url
from litellm_hybrid.config.settings import Settings, host_port
from litellm_hybrid.diagnostics.check import start_problems
from litellm_hybrid.observability.log import AppLog, emit
from litellm_hybrid.server.supervisor import Supervisor, check_free, check_sharing, worker_command
from litellm_hybrid.terminal import printable

upstream_option = click.option(
    "--upstream", metavar="URL", help="Where CLIProxyAPI is. Default: upstream-url of the file."
)
listen_option = click.option(
    "--listen", metavar="HOST:PORT", help="Where to listen. Default: listen of the file."
)


@click.command()
def script() -> None:
    """Print the path of the script to load.

    For mitmproxy: mitmdump -s "$(litellm-hybrid script)".
    """
    click.echo(script_path(Path(__file__).parents[1]))


def script_path(package: Path) -> Path:
    """Find hybrid.py: inside the installed package, or beside it in a checkout.

    Raises:
        click.ClickException: it is in neither place.
    """
    candidates = (package / "script" / "hybrid.py", package.parent / "hybrid.py")
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    looked = " nor ".join(str(candidate) for candidate in candidates)
    raise click.ClickException(f"neither {looked} is there; install litellm-hybrid again")


@click.command()
@file_or_config_option
@upstream_option
@listen_option
@click.option("--workers", type=click.IntRange(1), help="How many processes. Default: workers of the file.")
@click.option(
    "--confdir",
    metavar="FOLDER",
    default="~/.mitmproxy",
    help="Where the certificate authority for TLS towards clients is. Default: ~/.mitmproxy.",
)
@click.option("--shared", type=FILE, hidden=True, help="Be one of several workers; see supervisor.py.")
@click.pass_context
def serve(
    context: click.Context,
    *,
    file: Path | None,
    upstream: str | None,
    listen: str | None,
    workers: int | None,
    confdir: str,
    shared: Path | None,
) -> None:
    """Serve, leaner than mitmdump: the same addon without mitmproxy's tools around it."""
    file = find(file, quiet=shared is not None)
    settings, _ = _settings(file, upstream, listen)
    # From here on the format is known, also to a worker that finds the file broken a moment later.
    app_log = AppLog(settings.log_format)
    count = workers or settings.workers
    if shared is None and (problem := _start_problem(file, settings)):
        if settings.log_format == "json":
            app_log.install(None)
            emit(logging.ERROR, f"litellm config: {problem}", event="config-broken")
            app_log.uninstall()
            context.exit(1)
        raise click.ClickException(printable(problem))
    from litellm_hybrid.server import standalone  # noqa: PLC0415 (mitmproxy takes seconds)

    if shared is not None or count == 1:
        code = standalone.run(
            file, settings.upstream, settings.listen, shared=shared, app_log=app_log, confdir=confdir
        )
        context.exit(code)
    where = ["-c", str(file), "--upstream", str(settings.upstream), "--listen", host_port(*settings.listen)]
    app_log.install(None)
    app_log.never_wait()
    try:
        check_sharing()
        with standalone.shared_confdir(confdir) as folder:
            command = worker_command(["serve", *where, "--confdir", folder])
            context.exit(Supervisor(command, count).run())
    except OSError as e:
        raise click.ClickException(printable(str(e))) from e


def _start_problem(file: Path, settings: Settings) -> str:
    """Say why a start refuses, as far as it can be known without mitmproxy; "": it does not."""
    problems = start_problems(str(file), settings, [(*settings.listen, settings.upstream)])
    try:
        check_free(*settings.listen)
    except OSError as e:
        problems = problems or [str(e)]
    return "\n".join(problems)


def _mitmproxy(tool: str, summary: str) -> click.Command:
    """Make the command that runs one of mitmproxy's tools with the addon."""

    @click.command(tool.removeprefix("mitm"), context_settings={"ignore_unknown_options": True})
    @config_option
    @upstream_option
    @listen_option
    @click.argument("options", nargs=-1, type=click.UNPROCESSED)
    def run(*, file: Path | None, upstream: str | None, listen: str | None, options: Sequence[str]) -> None:
        file = find(file)
        settings, mode = _settings(file, upstream, listen)
        from mitmproxy.tools import main  # noqa: PLC0415 (half a second)

        listening = f"http://{host_port(*settings.listen)}"
        click.echo(
            f"{tool}: {listening} in front of {settings.upstream}, configured by {printable(str(file))}",
            err=True,
        )
        path = script_path(Path(__file__).parents[1])
        own = ["-s", str(path), "--set", f"litellm_config={file}", "--mode", mode]
        getattr(main, tool)([*own, *options])

    run.help = (
        f"{summary}\n\nThe {tool} of litellm-hybrid's own environment, in front of CLIProxyAPI like `serve`. "
        f"OPTIONS are {tool}'s own, behind `--` where litellm-hybrid has one of the same name."
    )
    return run


web = _mitmproxy("mitmweb", "Serve, and show every request in a browser.")
dump = _mitmproxy("mitmdump", "Serve with mitmdump: with mitmproxy's own options and other addons.")


def _settings(file: Path, upstream: str | None, listen: str | None) -> tuple[Settings, str]:
    """Read the settings, with the addresses of the command line, and make mitmproxy's mode of them."""
    settings = load(file).settings
    try:
        behind = parse_url(upstream) if upstream else settings.upstream
        host, port = parse_listen(listen) if listen else settings.listen
    except ValueError as e:
        raise click.UsageError(printable(str(e))) from e
    changed = replace(settings, upstream=behind, listen=(host, port))
    return changed, f"reverse:{behind}@{host}:{port}"  # mitmproxy wants an IPv6 address without brackets
