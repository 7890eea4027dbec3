"""`litellm-hybrid explain`: a request from the command line in, where it goes and why out."""

import json
import re
import time
from collections.abc import Sequence
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import click

from litellm_hybrid.cli.common import as_json_option, config_option, find, load, replay_changes, show
from litellm_hybrid.config.settings import Settings, bare, host_port
from litellm_hybrid.diagnostics import probes, reasons
from litellm_hybrid.diagnostics.check_models import KnownModels
from litellm_hybrid.diagnostics.explain import Explanation, Step
from litellm_hybrid.diagnostics.explain import explain as explain_request
from litellm_hybrid.diagnostics.probes import Results
from litellm_hybrid.diagnostics.remedies import UpstreamResponse
from litellm_hybrid.diagnostics.report import some
from litellm_hybrid.fallback import response_hold
from litellm_hybrid.message import credentials, forwarded
from litellm_hybrid.message.credentials import Headers, redact_target
from litellm_hybrid.routing.rewrite import Incoming
from litellm_hybrid.routing.rules import Request, Target
from litellm_hybrid.terminal import counted, printable

_INPUT = click.Path(exists=True, dir_okay=False, allow_dash=True)
_HEADER = "'NAME: VALUE'"
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"})


@click.command()
@click.argument("what", nargs=-1, metavar="MODEL | [METHOD] PATH")
@config_option
@click.option("-H", "--header", "headers", multiple=True, metavar=_HEADER, help="Of the request; repeatable.")
@click.option("--path", metavar="PATH", help="Where MODEL is asked. Default: the path of its family's API.")
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
    file: Path | None,
    headers: Sequence[str],
    path: str | None,
    data: str | None,
    body: str | None,
    client_ip: str,
    reason: str | None,
    status: int | None,
    response_headers: Sequence[str],
    response_body: str | None,
    as_json: bool,
) -> None:
    """Explain where a request goes, and why. It is not sent; the servers are asked which models they list.

    \b
      litellm-hybrid explain gpt-5
      litellm-hybrid explain /v1/messages -H 'x-api-key: k' -d '{"model": "claude-opus-4"}'
      litellm-hybrid explain gpt-5 --response-status 429 --response-body response.json
      litellm-hybrid explain --reason 'x-hybrid-route: upstream; reason=not-listed'

    MODEL alone is a POST that names it, for claude… to /v1/messages, for gemini… to /v1beta/models, else to
    /v1/chat/completions; METHOD is POST if left out. Where keys are configured, and -H gives none, its client
    has one. With a response of upstream's: whether LiteLLM is asked instead, and the rule that decides.
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
    settings = load(find(file)).settings
    try:
        request = parse_request(what, headers, _read(body) if body else text, client_ip, settings, path=path)
        given, request = request, _with_key(settings, request)
        response = None
        if status is not None:
            content = _read(response_body) if response_body else b""
            response = parse_response(status, response_headers, content)
    except ValueError as e:
        raise click.UsageError(printable(str(e))) from e
    explanation = explain_request(settings, request, response, now=time.time())
    steps = [*explanation.steps]
    if request is not given and any(step.name == "access" for step in steps):
        said = "assumed to have one of `client-api-keys`; -H 'Authorization: Bearer KEY' gives its own"
        steps.append(Step("client", said))
    learnt = replay_changes(settings, explanation.litellm_model) if explanation.litellm_model else []
    steps += [Step("replays", f"the running proxy changes them: {line}") for line in learnt]
    explanation = replace(explanation, steps=tuple(steps))
    if response is None:
        explanation = _with_lists(settings, explanation)
    show(explanation, secrets_of(settings, request), as_json=as_json)


def _with_lists(settings: Settings, explanation: Explanation) -> Explanation:
    """Say of a model that upstream or LiteLLM does not list what becomes of it there, and what helps."""
    model, sent_as = explanation.model, explanation.litellm_model
    if model is None or sent_as is None or explanation.own_status is not None:
        return explanation
    wanted = [f"{server}-{which}" for server in ("upstream", "litellm") for which in ("open", "models")]
    planned = {name: probe for name, probe in probes.plan(settings).items() if name in wanted}
    results = Results(probes.send_all(planned, settings.tls_ca))
    upstream, litellm = results.models("upstream"), results.models("litellm")
    steps, fixes = [*explanation.steps], [*explanation.fixes]
    served = litellm is None or sent_as in KnownModels(litellm)
    if not served:
        meant = KnownModels(litellm or ()).meant(sent_as)
        near = f"; `model-mappings` can make it {meant}" if meant else ""
        steps.append(Step("litellm", f'lists no "{sent_as}", and would refuse the request{near}'))
        fixes = [f"have LiteLLM's model_list name {sent_as}, or map it; then {fix}" for fix in fixes]
    asked = bare(model)
    if (
        upstream is None
        or explanation.target is not Target.UPSTREAM
        or asked.lower() in map(str.lower, upstream)
    ):
        return replace(explanation, steps=tuple(steps), fixes=tuple(fixes))
    kind, fallback = "unknown-model", settings.fallback
    is_replayed = fallback.enabled and fallback.covers(model) and kind in fallback.on
    then = "is replayed to LiteLLM" if is_replayed else "reaches the client"
    count = counted(len(upstream), "model")
    said = f'lists {count}, and no "{asked}": it answers with an error ({kind}), which {then}'
    steps.append(Step("upstream", said))
    listed = KnownModels(upstream).meant(asked) or some(upstream)
    fixes = [*([f"ask for what upstream lists: {listed}"] if listed else []), *(fixes if served else [])]
    if served and fallback.enabled and kind not in fallback.on:
        fixes.append(f"add {kind} to `fallback.on`")
    return replace(explanation, steps=tuple(steps), fixes=tuple(fixes))


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


def parse_request(
    what: Sequence[str],
    headers: Sequence[str],
    body: bytes | None,
    client_ip: str,
    settings: Settings,
    *,
    path: str | None = None,
) -> Request:
    """Make the request that a client would send.

    `what` is (model,), (path,) or (method, path): a model alone is asked at `path`, or where its family's own
    clients ask. The Host is by default the address that `settings` listens on.

    Raises:
        ValueError: something of it is no part of a request.
    """
    method, target = _method_and_path(what)
    fields = parse_headers(headers)
    if target.startswith("/") and path is not None:
        raise ValueError("--path is where a model is asked: there is a path already")
    if not target.startswith("/"):
        if body is not None:
            raise ValueError(
                f"{redact_target(target)!r} is taken as a model; with a body of your own give a path instead"
            )
        target, body = path or _path_of(target), json.dumps({"model": target}).encode()
        fields = _with_default(fields, b"Content-Type", b"application/json")
    if body:
        fields = _with_default(fields, b"Content-Length", str(len(body)).encode())
    fields = _with_default(fields, b"Host", host_port(*settings.listen).encode())
    try:
        ip_address(client_ip)
    except ValueError as e:
        raise ValueError(f"--client-ip: {client_ip!r} is no IP address") from e
    target, _, query = target.partition("?")
    sent = Incoming(target, query, fields, body or b"")
    address = forwarded.find(client_ip, fields, settings.trusted_proxies)
    return Request(method, sent, address, sent.header(b"host"))


def _path_of(model: str) -> str:
    """Return where clients of a model's family ask: Claude Code, Gemini CLI, all others."""
    if model.lower().startswith("claude"):
        return "/v1/messages"
    is_gemini = re.fullmatch(r"gemini[\w.-]*", model, re.IGNORECASE | re.ASCII)
    return f"/v1beta/models/{model}:generateContent" if is_gemini else "/v1/chat/completions"


def _with_key(settings: Settings, request: Request) -> Request:
    """Return a request with a key that its client is assumed to have, where it gives none."""
    fields = request.sent.headers
    gives_one = bool(request.keys) or any(credentials.is_credential(name) for name, _ in fields)
    if gives_one or not settings.client_keys:
        return request
    key = f"Bearer {settings.client_keys[0].value}".encode()
    return replace(request, sent=replace(request.sent, headers=(*fields, (b"Authorization", key))))


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
