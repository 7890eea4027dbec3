"""The console script `litellm-hybrid`. Thin: options in, lines out."""

import os
import stat
import sys
import traceback
from pathlib import Path
from typing import Any, override

import click

from litellm_hybrid.cli.common import FILE, as_json_option, file_or_config_option, find, load, show
from litellm_hybrid.cli.doctor import doctor
from litellm_hybrid.cli.explain import explain
from litellm_hybrid.cli.init import init
from litellm_hybrid.cli.serve import dump, script, serve, status, web
from litellm_hybrid.config.file_watcher import Watcher
from litellm_hybrid.config.parser import ConfigError, Parsed
from litellm_hybrid.diagnostics.migrate import migrate as migrated
from litellm_hybrid.diagnostics.report import CheckReport, start_problems
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
@file_or_config_option
@as_json_option
def check(*, file: Path | None, as_json: bool) -> None:
    """Check a configuration file.

    Shows what is in force, defaults included. The errors are those that `litellm-hybrid serve` refuses to
    start with.
    """
    file = find(file)
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


@main.command()
@click.argument("file", type=FILE)
@click.option("--write", is_flag=True, help="Rewrite FILE itself; the old one is kept as FILE.bak.")
def migrate(file: Path, write: bool) -> None:
    """Print FILE with the fork's flat keys in the namespaced form.

    `litellm-models` becomes `extensions.litellm.models`, and so on. Comments, order, quotes, `${VAR}`
    and everything that is not litellm-hybrid's stay as they are, and the result means the same. The
    errors are those of `check`; then nothing is printed and nothing is written.
    """
    file = file.expanduser()
    watcher = Watcher(file, os.environ)
    watcher.load()
    result = migrated(watcher.text, source=str(file), env=os.environ)
    for note in result.notes:
        click.echo(printable(note), err=True)
    if not write:
        click.echo(result.text.encode(), nl=False)  # as bytes: every line end stays as it is
    elif result.changed:
        try:
            backup = rewrite(file, watcher.text.encode(), result.text.encode())
        except OSError as e:
            raise click.ClickException(printable(f"nothing is changed: {e}")) from e
        click.echo(printable(f"{file}: rewritten; as it was, it is in {backup}"), err=True)


def rewrite(file: Path, before: bytes, after: bytes) -> Path:
    """Write a file anew in its place, when what it held before is safe in a backup beside it.

    The file itself is written into: CLIProxyAPI watches it by its inode, and a container that it is mounted
    into sees that one alone. Returns the backup, which has the file's mode and owner; one that is there
    already is never overwritten.

    Raises:
        OSError: it could not be done; the file is as it was, or its backup is there.
    """
    target = file.resolve()
    backup = target.with_name(f"{target.name}.bak")
    if not backup.exists():
        _copy(backup, before, target.stat())
    elif backup.read_bytes() != before:
        raise FileExistsError(f"{backup} is there already and holds something else; move it away first")
    with target.open("r+b") as written:
        written.write(after)
        written.truncate()
        written.flush()
        os.fsync(written.fileno())
    return backup


def _copy(path: Path, content: bytes, like: os.stat_result) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            os.fchown(file.fileno(), like.st_uid, like.st_gid)
            os.fchmod(file.fileno(), stat.S_IMODE(like.st_mode))  # after the owner, which clears bits of it
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        path.unlink(missing_ok=True)
        raise


for command in (doctor, dump, explain, init, script, serve, status, web):
    main.add_command(command)
