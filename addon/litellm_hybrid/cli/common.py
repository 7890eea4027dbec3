"""What the commands share: the configuration and requests out of arguments, and lines or JSON to print."""

import json
import os
import shutil
import sys
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

import click

from litellm_hybrid.config.file_watcher import Watcher
from litellm_hybrid.config.parser import ConfigError, Parsed
from litellm_hybrid.config.settings import Address
from litellm_hybrid.terminal import OutputLine, Style, hide, printable

CONFIG = "config.yaml"
FILE = click.Path(path_type=Path)
_UPSTREAM_CONFIGS = ("~/.cli-proxy-api/config.yaml", "~/CLIProxyAPI/config.yaml", "/CLIProxyAPI/config.yaml")
"""Where CLIProxyAPI's config.yaml usually is, besides this folder."""

_NARROWEST = 30
"""Columns for text in which lines are still broken between words."""

_COLORS = {Style.GOOD: "green", Style.BAD: "red", Style.NOTICE: "yellow"}

as_json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
config_option = click.option("-c", "--config", "file", default=CONFIG, type=FILE, show_default=True)


def load(file: Path) -> Parsed:
    """Read the configuration file.

    Raises:
        ConfigError: it cannot be used, or is not there.
    """
    if file == Path(CONFIG) and not file.exists():
        raise ConfigError(
            (f"no {CONFIG} in this folder: say where it is with `check FILE` or `explain --config FILE`",)
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


class Report(Protocol):
    """What a command has found."""

    def lines(self) -> Sequence[OutputLine]:
        """Format it for people."""

    def as_json(self) -> dict[str, object]:
        """Format it for programs."""


def show(report: Report, secrets: Iterable[str] = (), *, as_json: bool) -> None:
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
