"""The console script `litellm-hybrid`. Thin: options in, lines out."""

import os
import sys
import traceback
from pathlib import Path
from typing import Any, override

import click

from litellm_hybrid.cli.common import CONFIG, FILE, as_json_option, load, show
from litellm_hybrid.cli.doctor import doctor
from litellm_hybrid.cli.explain import explain
from litellm_hybrid.cli.init import init
from litellm_hybrid.cli.migrate import migrate
from litellm_hybrid.cli.serve import dump, script, serve, web
from litellm_hybrid.cli.status import status
from litellm_hybrid.config.parser import ConfigError, Parsed
from litellm_hybrid.diagnostics.check import CheckReport, start_problems
from litellm_hybrid.terminal import printable


class _Group(click.Group):
    """Commands that end in a line, and no traceback, for a broken configuration or a fault of their own."""

    @override
    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise  # click knows what to do
        except ConfigError as e:
            for problem in e.problems:
                click.echo(printable(problem), err=True)
            raise click.exceptions.Exit(1) from e
        except OSError as e:
            raise click.ClickException(printable(str(e))) from e
        except Exception as e:
            if ctx.params.get("show_traceback"):
                raise
            # Not the message: it may repeat a credential.
            frame = traceback.extract_tb(e.__traceback__)[-1]
            where = f"{Path(frame.filename).name}:{frame.lineno}"
            raise click.ClickException(
                f"a fault of litellm-hybrid's own: {type(e).__name__} in {where}. Please report this line; "
                f"`litellm-hybrid --traceback …` shows all of it"
            ) from e


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="litellm-hybrid", message="%(prog)s %(version)s")
@click.option("--traceback", "show_traceback", is_flag=True, help="Show where a fault of its own is.")
@click.pass_context
def main(context: click.Context, *, show_traceback: bool) -> None:  # noqa: ARG001 (read from the context)
    """The tools around litellm-hybrid, the mitmproxy addon between CLIProxyAPI's clients and LiteLLM."""
    if os.environ.get("NO_COLOR"):
        context.color = False
    for stream in (sys.stdout, sys.stderr):
        if (reconfigure := getattr(stream, "reconfigure", None)) is not None:
            reconfigure(encoding="utf-8", errors="backslashreplace")


@main.command()
@click.argument("file", default=CONFIG, type=FILE)
@as_json_option
def check(file: Path, as_json: bool) -> None:
    """Check a configuration file.

    Shows what is in force, defaults included. FILE is config.yaml if left out. The errors are those
    that `litellm-hybrid serve` refuses to start with.
    """
    try:
        show(CheckReport(str(file), _startable(file)), as_json=as_json)
    except ConfigError as e:
        if as_json:
            show(CheckReport(str(file), errors=e.problems), as_json=True)
        raise


def _startable(file: Path) -> Parsed:
    """Read a file that a start takes.

    Raises:
        ConfigError: it cannot be used, or `serve` refuses it.
    """
    parsed = load(file)
    settings = parsed.settings
    if problems := start_problems(str(file), settings, [(*settings.listen, settings.upstream)]):
        raise ConfigError(problems)
    return parsed


for command in (doctor, dump, explain, init, migrate, script, serve, status, web):
    main.add_command(command)
