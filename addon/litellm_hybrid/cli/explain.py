"""`litellm-hybrid explain`: a request from the command line in, where it goes and why out."""

import time
from collections.abc import Sequence
from pathlib import Path

import click

from litellm_hybrid.cli import request as cli_request
from litellm_hybrid.cli.common import as_json_option, config_option, end, load, show, show_json
from litellm_hybrid.config.parser import ConfigError
from litellm_hybrid.diagnostics.explain import output as explain_text
from litellm_hybrid.diagnostics.explain import reason_lookup as explain_reason
from litellm_hybrid.diagnostics.explain.explain import explain as explain_request
from litellm_hybrid.terminal import printable

_INPUT = click.Path(exists=True, dir_okay=False, allow_dash=True)
_HEADER = "'NAME: VALUE'"


@click.command()
@click.argument("what", nargs=-1, metavar="MODEL | [METHOD] PATH")
@config_option
@click.option("-H", "--header", "headers", multiple=True, metavar=_HEADER, help="Of the request; repeatable.")
@click.option("-d", "--data", metavar="TEXT", help="The body.")
@click.option("--body", type=_INPUT, help="A file with the body; - is stdin.")
@click.option("--client-ip", default="127.0.0.1", show_default=True, help="Where the request comes from.")
@click.option("--reason", metavar="TEXT", help="What a reason means: it, an x-hybrid-route, a log line.")
@click.option("--answer-status", type=click.IntRange(100, 599), help="Status of upstream's answer.")
@click.option("--answer-header", "answer_headers", multiple=True, metavar=_HEADER, help="Of it; repeatable.")
@click.option("--answer-body", type=_INPUT, help="A file with its body; - is stdin.")
@as_json_option
def explain(
    *,
    what: Sequence[str],
    file: Path,
    headers: Sequence[str],
    data: str | None,
    body: str | None,
    client_ip: str,
    reason: str | None,
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
      litellm-hybrid explain --reason 'x-hybrid-route: upstream; reason=not-listed'

    MODEL alone is a POST to /v1/chat/completions that names it; METHOD is POST if left out. With an
    answer of upstream's: whether LiteLLM is asked instead, and the rule that decides.
    """  # noqa: D301  \b is click's
    if reason is not None:
        _explain_reason(reason, what, as_json=as_json)
        return
    if not what:
        raise click.UsageError("Missing argument: a model, a path, or --reason with what the header says")
    if data is not None and body is not None:
        raise click.UsageError("--data and --body exclude each other")
    if body == answer_body == "-":
        raise click.UsageError("--body and --answer-body cannot both be stdin")
    if answer_status is None and (answer_headers or answer_body):
        raise click.UsageError("upstream's answer needs a status: --answer-status")
    text = None if data is None else data.encode("utf-8", "surrogateescape")
    try:
        settings = load(file).settings
    except ConfigError as e:
        end(e)
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
        show_json(explain_text.as_json(explanation), secrets)
    else:
        show(explain_text.lines(explanation), secrets)


def _explain_reason(text: str, what: Sequence[str], *, as_json: bool) -> None:
    """Needs no configuration: it is for whoever has only the header or a log line."""
    if what:
        raise click.UsageError("--reason explains a reason, of any request: leave the request out")
    try:
        seen = explain_reason.parse(text)
    except ValueError as e:
        raise click.UsageError(printable(str(e))) from e
    if as_json:
        show_json(explain_reason.as_json(seen))
    else:
        show(explain_reason.lines(seen))


def _read(file: str) -> bytes:
    with click.open_file(file, "rb") as stream:
        content: bytes = stream.read()
    return content
