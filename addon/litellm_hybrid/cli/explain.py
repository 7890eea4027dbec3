"""`litellm-hybrid explain`: a request from the command line in, where it goes and why out."""

import time
from collections.abc import Sequence
from pathlib import Path

import click

from litellm_hybrid.cli.common import (
    as_json_option,
    config_option,
    end,
    load,
    parse_request,
    parse_response,
    secrets_of,
    show,
)
from litellm_hybrid.config.parser import ConfigError
from litellm_hybrid.diagnostics.explain import reasons
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
@click.option(
    *("--response-status", "--answer-status", "status"),
    type=click.IntRange(100, 599),
    help="Status of upstream's response. The --answer-… names are those of older releases.",
)
@click.option(
    *("--response-header", "--answer-header", "response_headers"),
    multiple=True,
    metavar=_HEADER,
    help="Of it; repeatable.",
)
@click.option(
    *("--response-body", "--answer-body", "response_body"),
    type=_INPUT,
    help="A file with its body; - is stdin.",
)
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
    status: int | None,
    response_headers: Sequence[str],
    response_body: str | None,
    as_json: bool,
) -> None:
    """Explain where a request goes, and why. Nothing is sent.

    \b
      litellm-hybrid explain gpt-5
      litellm-hybrid explain /v1/messages -H 'x-api-key: k' -d '{"model": "claude-opus-4"}'
      litellm-hybrid explain gpt-5 --response-status 429 --response-body response.json
      litellm-hybrid explain --reason 'x-hybrid-route: upstream; reason=not-listed'

    MODEL alone is a POST to /v1/chat/completions that names it; METHOD is POST if left out. With an
    response of upstream's: whether LiteLLM is asked instead, and the rule that decides.
    """  # noqa: D301  \b is click's
    if reason is not None:
        _explain_reason(reason, what, as_json=as_json)
        return
    if not what:
        raise click.UsageError("Missing argument: a model, a path, or --reason with what the header says")
    if data is not None and body is not None:
        raise click.UsageError("--data and --body exclude each other")
    if body == response_body == "-":
        raise click.UsageError("--body and --response-body cannot both be stdin")
    if status is None and (response_headers or response_body):
        raise click.UsageError("upstream's response needs a status: --response-status")
    text = None if data is None else data.encode("utf-8", "surrogateescape")
    try:
        settings = load(file).settings
    except ConfigError as e:
        end(e)
    try:
        request = parse_request(what, headers, _read(body) if body else text, client_ip, settings)
        response = None
        if status is not None:
            content = _read(response_body) if response_body else b""
            response = parse_response(status, response_headers, content)
    except ValueError as e:
        raise click.UsageError(printable(str(e))) from e
    explanation = explain_request(settings, request, response, now=time.time())
    show(explanation, secrets_of(settings, request), as_json=as_json)


def _explain_reason(text: str, what: Sequence[str], *, as_json: bool) -> None:
    """Needs no configuration: it is for whoever has only the header or a log line."""
    if what:
        raise click.UsageError("--reason explains a reason, of any request: leave the request out")
    try:
        show(reasons.parse(text), as_json=as_json)
    except ValueError as e:
        raise click.UsageError(printable(str(e))) from e


def _read(file: str) -> bytes:
    with click.open_file(file, "rb") as stream:
        content: bytes = stream.read()
    return content
