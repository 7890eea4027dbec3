"""`litellm-hybrid migrate`: a configuration file with the fork's flat keys in, the namespaced form out."""

import os
import stat
import tempfile
from pathlib import Path

import click

from litellm_hybrid.cli.common import FILE
from litellm_hybrid.config.file_watcher import Watcher
from litellm_hybrid.diagnostics.migrate import migrate as migrated
from litellm_hybrid.terminal import printable


@click.command()
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
    """Replace a file in one step; its mode and its owner stay, and a link to it remains one.

    Returns where what it held before is kept. A backup that is there already is never overwritten.

    Raises:
        OSError: it could not be done; the file is as it was.
    """
    target = file.resolve()
    backup = target.with_name(f"{target.name}.bak")
    if not backup.exists():
        _put(backup, before, target.stat())
    elif backup.read_bytes() != before:
        raise FileExistsError(f"{backup} is there already and holds something else; move it away first")
    _put(target, after, target.stat())
    return backup


def _put(path: Path, content: bytes, like: os.stat_result) -> None:
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            os.fchown(descriptor, like.st_uid, like.st_gid)
            os.fchmod(descriptor, stat.S_IMODE(like.st_mode))  # after the owner, which clears bits of it
            file.flush()
            os.fsync(descriptor)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
