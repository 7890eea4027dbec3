"""What the commands share: the configuration and requests out of arguments, and lines or JSON to print."""

import json
import os
import re
from collections.abc import Iterable, Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import NoReturn, Protocol

import click

from litellm_hybrid.config.file_watcher import Watcher
from litellm_hybrid.config.parser import ConfigError, Parsed
from litellm_hybrid.config.settings import Settings, host_port
from litellm_hybrid.diagnostics.explain.remedies import UpstreamResponse
from litellm_hybrid.fallback import response_hold
from litellm_hybrid.message import credentials, forwarded
from litellm_hybrid.message.credentials import Headers, redact_target
from litellm_hybrid.routing.rewrite import Incoming
from litellm_hybrid.routing.rules import Request
from litellm_hybrid.terminal import OutputLine, Style, hide, label_width, printable

CONFIG = "config.yaml"
FILE = click.Path(path_type=Path)

_COLORS = {Style.GOOD: "green", Style.BAD: "red", Style.NOTICE: "yellow"}

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"})

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


def end(error: ConfigError) -> NoReturn:
    """Print what is wrong with the file, and end with 1."""
    for problem in error.problems:
        click.echo(printable(problem), err=True)
    raise click.exceptions.Exit(1)


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
    width = label_width(lines := report.lines())
    for line in lines:
        shown = printable(hide(line.text, secrets))
        text = click.style(shown, fg=_COLORS.get(line.style), dim=line.style is Style.QUIET or None)
        click.echo(f"{click.style(line.label.ljust(width), bold=True)}  {text}" if line.text else "")


def parse_request(
    what: Sequence[str], headers: Sequence[str], body: bytes | None, client_ip: str, settings: Settings
) -> Request:
    """Make the request that a client would send.

    Args:
        what: (model,), (path,) or (method, path). A model alone is a chat completion that names it.
        headers: each `Name: value`; a Host that is missing is the address that `settings` listens on.
        body: raw; None: none was given.
        client_ip: where it comes from.
        settings: those in force.

    Raises:
        ValueError: something of it is no part of a request.
    """
    method, path = _method_and_path(what)
    fields = parse_headers(headers)
    if not path.startswith("/"):
        if body is not None:
            raise ValueError(
                f"{redact_target(path)!r} is taken as a model; with a body of your own give a path instead"
            )
        path, body = "/v1/chat/completions", json.dumps({"model": path}).encode()
        fields = _with_default(fields, b"Content-Type", b"application/json")
    if body:
        fields = _with_default(fields, b"Content-Length", str(len(body)).encode())
    fields = _with_default(fields, b"Host", host_port(*settings.listen).encode())
    try:
        ip_address(client_ip)
    except ValueError as e:
        raise ValueError(f"--client-ip: {client_ip!r} is no IP address") from e
    target, _, query = path.partition("?")
    sent = Incoming(target, query, fields, body or b"")
    address = forwarded.find(client_ip, fields, settings.trusted_proxies)
    return Request(method, sent, address, sent.header(b"host"))


def parse_response(status: int, headers: Sequence[str], body: bytes) -> UpstreamResponse:
    """Make the response that upstream would give.

    Raises:
        ValueError: a header is none.
    """
    texts = [(name.decode().lower(), _text(value)) for name, value in parse_headers(headers)]
    joined = {name: ", ".join(value for other, value in texts if other == name) for name, _ in texts}
    return UpstreamResponse(response_hold.ResponseHead(status, joined), body)


def parse_headers(headers: Sequence[str]) -> Headers:
    """Make a field of each `Name: value`.

    Raises:
        ValueError: one is not written so. The message repeats nothing of it: it may be a credential.
    """
    fields = []
    for number, header in enumerate(headers, start=1):
        name, colon, value = header.partition(":")
        if not colon or not _TOKEN.fullmatch(name):
            raise ValueError(f"header {number} is not written 'Name: value'")
        fields.append((name.encode(), value.strip().encode("utf-8", "surrogateescape")))
    return tuple(fields)


def secrets_of(settings: Settings, sent: Request) -> tuple[str, ...]:
    """Return every credential that is known here, to be shown nowhere."""
    fields, query = sent.sent.headers, sent.sent.query
    configured = [settings.api_key, *settings.client_keys]
    return (
        *(secret.value for secret in configured if secret),
        *credentials.presented(fields, query),
        *(_text(value) for name, value in fields if credentials.is_credential(name)),
    )


def _method_and_path(what: Sequence[str]) -> tuple[str, str]:
    if len(what) > 2:
        raise ValueError("expected a model, a path, or a method and a path")
    method, path = what if len(what) == 2 else ("POST", what[0])
    if path.upper() in _METHODS:
        raise ValueError(f"{path} of what? Give the path too, as `{path} /v1/messages`")
    if "://" in path:
        raise ValueError("give the path alone, and its host as a header: -H 'Host: …'")
    if len(what) == 2 and not path.startswith("/"):
        raise ValueError(f"the path {redact_target(path)!r} does not begin with a slash")
    if not _TOKEN.fullmatch(method):
        raise ValueError(f"{method!r} is no method")
    return method, path


def _with_default(fields: Headers, name: bytes, value: bytes) -> Headers:
    if any(other.lower() == name.lower() for other, _ in fields):
        return fields
    return ((name, value), *fields)


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")
