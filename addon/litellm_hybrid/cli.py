"""The console script `litellm-hybrid`. Thin: options in, a room's lines out."""

import json
import os
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NoReturn

import click

from litellm_hybrid import check as check_room
from litellm_hybrid import cli_request, explain_text, log
from litellm_hybrid.addresses import parse_listen, parse_url
from litellm_hybrid.cli_text import Line, Tone, hide, label_width, printable
from litellm_hybrid.config import ConfigError, Parsed
from litellm_hybrid.explain import explain as explain_request
from litellm_hybrid.supervisor import Supervisor, worker_command
from litellm_hybrid.watch import Watcher

_COLORS = {Tone.GOOD: "green", Tone.BAD: "red", Tone.NOTICE: "yellow"}
_FILE = click.Path(path_type=Path)
_INPUT = click.Path(exists=True, dir_okay=False, allow_dash=True)
_CONFIG = "config.yaml"
_HEADER = "'NAME: VALUE'"

_as_json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


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
    click.echo(script_path(Path(__file__).parent))


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
@click.argument("file", default=_CONFIG, type=_FILE)
@_as_json_option
def check(file: Path, as_json: bool) -> None:
    """Check a configuration file.

    Shows what is in force, defaults included. FILE is config.yaml if left out. The errors are those
    that a start stops with, except for the addresses in mitmdump's --mode.
    """
    try:
        parsed = _load(file)
    except ConfigError as e:
        if as_json:
            _print_json(check_room.failed_as_json(str(file), e.problems))
        _end(e)
    if as_json:
        _print_json(check_room.as_json(str(file), parsed))
    else:
        _print(check_room.lines(parsed))


@main.command()
@click.argument("what", nargs=-1, required=True, metavar="MODEL | [METHOD] PATH")
@click.option("-c", "--config", "file", default=_CONFIG, type=_FILE, show_default=True)
@click.option("-H", "--header", "headers", multiple=True, metavar=_HEADER, help="Of the request; repeatable.")
@click.option("-d", "--data", metavar="TEXT", help="The body.")
@click.option("--body", type=_INPUT, help="A file with the body; - is stdin.")
@click.option("--client-ip", default="127.0.0.1", show_default=True, help="Where the request comes from.")
@click.option("--answer-status", type=click.IntRange(100, 599), help="Status of upstream's answer.")
@click.option("--answer-header", "answer_headers", multiple=True, metavar=_HEADER, help="Of it; repeatable.")
@click.option("--answer-body", type=_INPUT, help="A file with its body; - is stdin.")
@_as_json_option
def explain(
    *,
    what: Sequence[str],
    file: Path,
    headers: Sequence[str],
    data: str | None,
    body: str | None,
    client_ip: str,
    answer_status: int | None,
    answer_headers: Sequence[str],
    answer_body: str | None,
    as_json: bool,
) -> None:
    """Explain where a request goes, and why. Nothing is sent.

    \b
      litellm-hybrid explain gpt-5
      litellm-hybrid explain /v1/messages -H 'x-api-key: k' -d '{"model": "claude-opus-4"}'
      litellm-hybrid explain gpt-5 --answer-status 429 --answer-body answer.json

    MODEL alone is a POST to /v1/chat/completions that names it; METHOD is POST if left out. With an
    answer of upstream's: whether LiteLLM is asked instead, and the rule that decides.
    """  # noqa: D301  \b is click's
    if data is not None and body is not None:
        raise click.UsageError("--data and --body exclude each other")
    if body == answer_body == "-":
        raise click.UsageError("--body and --answer-body cannot both be stdin")
    if answer_status is None and (answer_headers or answer_body):
        raise click.UsageError("upstream's answer needs a status: --answer-status")
    text = None if data is None else data.encode("utf-8", "surrogateescape")
    try:
        settings = _load(file).settings
    except ConfigError as e:
        _end(e)
    try:
        request = cli_request.request(what, headers, _read(body) if body else text, client_ip, settings)
        answer = None
        if answer_status is not None:
            answer = cli_request.answer(
                answer_status, answer_headers, _read(answer_body) if answer_body else b""
            )
    except ValueError as e:
        raise click.UsageError(printable(str(e))) from e
    explanation = explain_request(settings, request, answer, now=time.time())
    secrets = cli_request.secrets(settings, request)
    if as_json:
        _print_json(explain_text.as_json(explanation), secrets)
    else:
        _print(explain_text.lines(explanation), secrets)


@main.command()
@click.option("-c", "--config", "file", default=_CONFIG, type=_FILE, show_default=True)
@click.option("--upstream", metavar="URL", help="Where CLIProxyAPI is. Default: upstream-url of the file.")
@click.option("--listen", metavar="HOST:PORT", help="Where to listen. Default: listen of the file.")
@click.option("--workers", type=click.IntRange(1), help="How many processes. Default: workers of the file.")
@click.option("--shared", is_flag=True, hidden=True, help="Be one of several workers.")
@click.pass_context
def serve(
    context: click.Context,
    *,
    file: Path,
    upstream: str | None,
    listen: str | None,
    workers: int | None,
    shared: bool,
) -> None:
    """Serve, leaner than mitmdump: the same addon without mitmproxy's tools around it."""
    from litellm_hybrid import serve as server  # noqa: PLC0415 (mitmproxy takes half a second)

    try:
        settings = _load(file).settings
        behind = parse_url(upstream) if upstream else settings.upstream
        here = parse_listen(listen) if listen else settings.listen
    except ConfigError as e:
        _end(e)
    except ValueError as e:
        raise click.UsageError(printable(str(e))) from e
    count = workers or settings.workers
    if shared or count == 1:
        context.exit(server.run(file, behind, here, shared=shared))
    host = f"[{here[0]}]" if ":" in here[0] else here[0]
    where = ["-c", str(file), "--upstream", str(behind), "--listen", f"{host}:{here[1]}"]
    log.install(None)
    try:
        server.check_sharing()
        context.exit(Supervisor(worker_command(["serve", *where, "--shared"]), count).run())
    except OSError as e:
        raise click.ClickException(str(e)) from e


def _load(file: Path) -> Parsed:
    if file == Path(_CONFIG) and not file.exists():
        raise ConfigError(
            (f"no {_CONFIG} in this folder: say where it is with `check FILE` or `explain --config FILE`",)
        )
    return Watcher(file.expanduser(), os.environ).load()


def _read(file: str) -> bytes:
    with click.open_file(file, "rb") as stream:
        content: bytes = stream.read()
    return content


def _end(error: ConfigError) -> NoReturn:
    for problem in error.problems:
        click.echo(printable(problem), err=True)
    raise click.exceptions.Exit(1)


def _print(lines: Sequence[Line], secrets: Iterable[str] = ()) -> None:
    secrets, width = tuple(secrets), label_width(lines)
    for line in lines:
        shown = printable(hide(line.text, secrets))
        text = click.style(shown, fg=_COLORS.get(line.tone), dim=line.tone is Tone.QUIET or None)
        click.echo(f"{click.style(line.label.ljust(width), bold=True)}  {text}" if line.text else "")


def _print_json(value: object, secrets: Iterable[str] = ()) -> None:
    click.echo(hide(json.dumps(value, indent=2), secrets))
