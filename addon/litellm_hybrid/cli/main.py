"""The console script `litellm-hybrid`. Thin: options in, a room's lines out."""

import os
import sys
from pathlib import Path

import click

from litellm_hybrid.cli.common import CONFIG, FILE, as_json_option, config_option, end, load, show, show_json
from litellm_hybrid.cli.doctor import doctor
from litellm_hybrid.cli.explain import explain
from litellm_hybrid.cli.migrate import migrate
from litellm_hybrid.config.addresses import parse_listen, parse_url
from litellm_hybrid.config.parser import ConfigError
from litellm_hybrid.diagnostics import check as check_room
from litellm_hybrid.observability.logging.logger import AppLog
from litellm_hybrid.server.supervisor import Supervisor, worker_command
from litellm_hybrid.terminal import printable


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="litellm-hybrid", message="%(prog)s %(version)s")
@click.pass_context
def main(context: click.Context) -> None:
    """The tools around litellm-hybrid, the mitmproxy addon between CLIProxyAPI's clients and LiteLLM."""
    if os.environ.get("NO_COLOR"):
        context.color = False
    for stream in (sys.stdout, sys.stderr):
        if (reconfigure := getattr(stream, "reconfigure", None)) is not None:
            reconfigure(encoding="utf-8", errors="backslashreplace")


@main.command()
def script() -> None:
    """Print the path of the script to load.

    For mitmproxy: mitmdump -s "$(litellm-hybrid script)".
    """
    click.echo(script_path(Path(__file__).parents[1]))


def script_path(package: Path) -> Path:
    """Where hybrid.py is: inside the installed package, beside it in a checkout.

    Raises:
        click.ClickException: it is in neither place.
    """
    places = (package / "script" / "hybrid.py", package.parent / "hybrid.py")
    for place in places:
        if place.is_file():
            return place
    looked = " nor ".join(str(place) for place in places)
    raise click.ClickException(f"neither {looked} is there; install litellm-hybrid again")


@main.command()
@click.argument("file", default=CONFIG, type=FILE)
@as_json_option
def check(file: Path, as_json: bool) -> None:
    """Check a configuration file.

    Shows what is in force, defaults included. FILE is config.yaml if left out. The errors are those
    that a start stops with, except for the addresses in mitmdump's --mode.
    """
    try:
        parsed = load(file)
    except ConfigError as e:
        if as_json:
            show_json(check_room.failed_as_json(str(file), e.problems))
        end(e)
    if as_json:
        show_json(check_room.as_json(str(file), parsed))
    else:
        show(check_room.lines(parsed))


@main.command()
@config_option
@click.option("--upstream", metavar="URL", help="Where CLIProxyAPI is. Default: upstream-url of the file.")
@click.option("--listen", metavar="HOST:PORT", help="Where to listen. Default: listen of the file.")
@click.option("--workers", type=click.IntRange(1), help="How many processes. Default: workers of the file.")
@click.option("--shared", type=FILE, hidden=True, help="Be one of several workers; see supervisor.py.")
@click.pass_context
def serve(
    context: click.Context,
    *,
    file: Path,
    upstream: str | None,
    listen: str | None,
    workers: int | None,
    shared: Path | None,
) -> None:
    """Serve, leaner than mitmdump: the same addon without mitmproxy's tools around it."""
    from litellm_hybrid.server import standalone as server  # noqa: PLC0415 (mitmproxy takes half a second)

    try:
        settings = load(file).settings
        behind = parse_url(upstream) if upstream else settings.upstream
        here = parse_listen(listen) if listen else settings.listen
    except ConfigError as e:
        end(e)
    except ValueError as e:
        raise click.UsageError(printable(str(e))) from e
    # From here on the format is known, also to a worker that finds the file broken a moment later.
    app_log = AppLog(settings.log_format)
    count = workers or settings.workers
    if shared is not None or count == 1:
        context.exit(server.run(file, behind, here, shared=shared, app_log=app_log))
    host = f"[{here[0]}]" if ":" in here[0] else here[0]
    where = ["-c", str(file), "--upstream", str(behind), "--listen", f"{host}:{here[1]}"]
    app_log.install(None)
    try:
        server.check_sharing()
        context.exit(Supervisor(worker_command(["serve", *where]), count).run())
    except OSError as e:
        raise click.ClickException(str(e)) from e


main.add_command(doctor)
main.add_command(explain)
main.add_command(migrate)
