"""What the commands share: reading the configuration, and printing lines or JSON."""

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NoReturn

import click

from litellm_hybrid.config.file_watcher import Watcher
from litellm_hybrid.config.parser import ConfigError, Parsed
from litellm_hybrid.terminal import Line, Tone, hide, label_width, printable

CONFIG = "config.yaml"
FILE = click.Path(path_type=Path)

_COLORS = {Tone.GOOD: "green", Tone.BAD: "red", Tone.NOTICE: "yellow"}

as_json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
config_option = click.option("-c", "--config", "file", default=CONFIG, type=FILE, show_default=True)


def load(file: Path) -> Parsed:
    """What the configuration file says.

    Raises:
        ConfigError: it cannot be used, or is not there.
    """
    if file == Path(CONFIG) and not file.exists():
        raise ConfigError(
            (f"no {CONFIG} in this folder: say where it is with `check FILE` or `explain --config FILE`",)
        )
    return Watcher(file.expanduser(), os.environ).load()


def end(error: ConfigError) -> NoReturn:
    """Print what is wrong with the file, and end with 1."""
    for problem in error.problems:
        click.echo(printable(problem), err=True)
    raise click.exceptions.Exit(1)


def show(lines: Sequence[Line], secrets: Iterable[str] = ()) -> None:
    """Print lines, their labels aligned and no secret in them."""
    secrets, width = tuple(secrets), label_width(lines)
    for line in lines:
        shown = printable(hide(line.text, secrets))
        text = click.style(shown, fg=_COLORS.get(line.tone), dim=line.tone is Tone.QUIET or None)
        click.echo(f"{click.style(line.label.ljust(width), bold=True)}  {text}" if line.text else "")


def show_json(value: object, secrets: Iterable[str] = ()) -> None:
    """Print JSON with no secret in it."""
    click.echo(hide(json.dumps(value, indent=2), secrets))
