"""What the commands share: the configuration out of arguments, lines or JSON to print, a running proxy."""

import json
import os
import re
import shlex
import shutil
import stat
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, Protocol

import click

from litellm_hybrid.config.file_watcher import Watcher
from litellm_hybrid.config.parser import ConfigError, Parsed
from litellm_hybrid.config.settings import Address, Settings
from litellm_hybrid.diagnostics import probes
from litellm_hybrid.diagnostics.init import CLIENT_KEY
from litellm_hybrid.diagnostics.probes import Probe, bearer
from litellm_hybrid.terminal import OutputLine, Style, hide, printable

OWN, CONFIG = NAMES = ("litellm-hybrid.yaml", "config.yaml")
"""The file in the current folder, if none is named: as `init` writes it, or CLIProxyAPI's; the first wins."""

FILE = click.Path(path_type=Path)
_UPSTREAM_CONFIGS = ("~/.cli-proxy-api/config.yaml", "~/CLIProxyAPI/config.yaml", "/CLIProxyAPI/config.yaml")
"""Where CLIProxyAPI's config.yaml usually is, besides this folder."""

_NARROWEST = 30
"""Columns for text in which lines are still broken between words."""

_STATUS = "/_hybrid/status"
_COLORS = {Style.GOOD: "green", Style.BAD: "red", Style.NOTICE: "yellow"}

as_json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
config_option = click.option(
    *("-c", "--config", "file"),
    metavar="FILE",
    type=FILE,
    help=f"The configuration. Default: {OWN} of this folder, else {CONFIG}.",
)

type _Command = Callable[..., None]


def file_or_config_option(command: _Command) -> _Command:
    """Give a command its `file`, as FILE or as `-c FILE`; None: it is not named."""

    @wraps(command)
    def run(*args: object, file: Path | None, named: Path | None, **rest: object) -> None:
        if file and named:
            raise click.UsageError("Name the file once: FILE, or -c FILE")
        command(*args, file=file or named, **rest)

    return config_option(click.argument("named", required=False, metavar="[FILE]", type=FILE)(run))


def find(named: Path | None, *, quiet: bool = False) -> Path:
    """Return the file that is named, or this folder's, and say which; it need not be there.

    Variables that it takes from the environment, and that are not there, are put there out of the file of the
    same name that ends in `.env`, or else `litellm-hybrid.env`, beside it.

    Args:
        named: by the user, if at all.
        quiet: say nothing.
    """
    here = [Path(name) for name in NAMES if Path(name).exists()]
    file = named.expanduser() if named else next(iter(here), Path(OWN))
    beside = [
        path for path in (file.with_suffix(".env"), file.with_name(Path(OWN).stem + ".env")) if path.is_file()
    ]
    said = [f"configuration: {file}"] if here and not named else []
    if len(here) > 1 and not named:
        said.append(f"{CONFIG} is here too, and not read (`-c {CONFIG}` takes it)")
    if beside and file.is_file() and os.access(file, os.R_OK):
        said += _take_keys(file, beside[0])
    if said and not quiet:
        click.echo(printable("; ".join(said)), err=True)
    return file


def _take_keys(file: Path, keys: Path) -> Iterator[str]:
    """Put what `file` names and the environment lacks there; says so, and what is wrong with `keys`."""
    wanted = re.findall(r"\$\{(\w+)\}", file.read_text(encoding="utf-8", errors="replace"))
    lacking = {name for name in wanted if not os.environ.get(name)}
    try:
        pairs = [each.partition("=") for each in shlex.split(keys.read_text(encoding="utf-8"), comments=True)]
    except (OSError, ValueError):  # not what it says: that may be a part of a key
        yield f"{keys} cannot be read as NAME=VALUE lines"
        return
    os.environ.update(taken := {name: value for name, _, value in pairs if name in lacking and value})
    if taken:
        yield f"keys: {keys}"
    if stat.S_IMODE(keys.stat().st_mode) & 0o077:
        yield f"others can read the keys: `chmod 600 {shlex.quote(str(keys))}`"


def load(file: Path) -> Parsed:
    """Read the configuration file.

    Raises:
        ConfigError: it cannot be used, or is not there.
    """
    if str(file) in NAMES and not file.exists():
        absent = " and no ".join(name for name in NAMES if not Path(name).exists())
        raise ConfigError(
            (f"no {absent} in this folder; `litellm-hybrid init` writes one, `-c FILE` names another",)
        )
    return Watcher(file.expanduser(), os.environ).load()


def upstream_config(at: Address | None = None) -> tuple[Path, Parsed] | None:
    """Find CLIProxyAPI's own config.yaml where it usually is, and read it; None: it is not there.

    Args:
        at: only one that says this address.
    """
    for name in (CONFIG, *_UPSTREAM_CONFIGS):
        candidate = Path(name).expanduser()
        try:
            parsed = load(candidate) if candidate.is_file() else None
        except ConfigError:
            continue
        if parsed is None or not parsed.has_upstream_keys:
            continue
        if at is None or parsed.settings.upstream.is_same_server(at):
            return candidate, parsed
    return None


class Showable(Protocol):
    """What a command has found."""

    def lines(self) -> Sequence[OutputLine]:
        """Format it for people."""

    def as_json(self) -> dict[str, object]:
        """Format it for programs."""


def show(report: Showable, secrets: Iterable[str] = (), *, as_json: bool) -> None:
    """Print a report, as JSON or as lines with their labels aligned, and no secret in it."""
    secrets = tuple(secrets)
    if as_json:
        click.echo(hide(json.dumps(report.as_json(), indent=2), secrets))
        return
    lines = report.lines()
    width = max((len(line.label) for line in lines), default=0)
    columns = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0
    for line in lines:
        rows = _rows(printable(hide(line.text, secrets)), columns - width - 2, line.indent)
        for label, row in zip((line.label, *("" for _ in rows[1:])), rows, strict=True):
            text = click.style(row, fg=_COLORS.get(line.style), dim=line.style is Style.QUIET or None)
            click.echo(f"{click.style(label.ljust(width), bold=True)}  {text}" if row else "")


def _rows(text: str, columns: int, indent: int) -> list[str]:
    if len(text) <= columns or columns < 2 * indent or columns < _NARROWEST:
        return [text]
    return textwrap.wrap(
        text, columns, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False
    )


# -- a running proxy ----------------------------------------------------------


def replay_changes(settings: Settings, model: str) -> list[str]:
    """Return what a running proxy changes of the replays to LiteLLM's model; [] too if there is no proxy."""
    page, _ = ask_status(probes.proxy_address(settings), settings)
    known = page.get("replay_changes", []) if page is not None else []
    return [changes_line(each) for each in known if each["model"] == model]


def changes_line(each: Mapping[str, Any]) -> str:
    """Say what one model needs of replays, and what would make that needless.

    Args:
        each: an entry of `replay_changes` of the status page.
    """
    needless = f"; needless with, in LiteLLM's configuration: {'; '.join(each['settings'])}"
    changed = f"{each['model']} by {each['api']}: {', '.join(each['changes'])}"
    return f"{changed}{needless if each['settings'] else ''}"


def ask_status(address: Address, settings: Settings) -> tuple[dict[str, Any] | None, str]:
    """Return what the page says; or None, and why it says nothing."""
    key = probes.client_key(settings) or os.environ.get(CLIENT_KEY, "")
    result = probes.send(Probe(address, _STATUS, headers=bearer(key)))
    if result.status == 200 and isinstance(result.json, dict) and "ready" in result.json:
        return result.json, ""
    if result.status in (401, 403):
        return None, f"it shows this to nobody without a client key: put one into {CLIENT_KEY}"
    if result.status:
        return None, "another program is there, or another version of litellm-hybrid"
    return None, f"the proxy {result.failure}: {result.detail}"
