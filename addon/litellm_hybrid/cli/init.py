"""`litellm-hybrid init`: finds both servers, asks for what it cannot know, writes a first configuration."""

import os
import re
import shlex
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import click

from litellm_hybrid.cli import doctor
from litellm_hybrid.cli.common import FILE, OWN, load
from litellm_hybrid.cli.common import upstream_config as upstream_config_file
from litellm_hybrid.config.converters import parse_url
from litellm_hybrid.config.file_watcher import Watcher
from litellm_hybrid.config.parser import ConfigError, Parsed, parse
from litellm_hybrid.config.settings import Address, Secret, Settings
from litellm_hybrid.diagnostics import init as first
from litellm_hybrid.diagnostics import probes
from litellm_hybrid.diagnostics.check_models import KnownModels
from litellm_hybrid.diagnostics.init import CLIENT_KEY, LITELLM_KEY, Match, Proposal, SetUp
from litellm_hybrid.diagnostics.probes import ProbeResult, Program, Results
from litellm_hybrid.diagnostics.report import some
from litellm_hybrid.llm.usage import PriceList
from litellm_hybrid.terminal import printable

_LITELLM = "http://127.0.0.1:4000"
_EXAMPLE = "config.example.yaml"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def _print_example(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    package = Path(__file__).parents[1]
    in_wheel, in_checkout = package / _EXAMPLE, package.parents[1] / _EXAMPLE
    if wanted:
        click.echo((in_wheel if in_wheel.exists() else in_checkout).read_text(encoding="utf-8"), nl=False)
        context.exit()


@click.command()
@click.option("--upstream", metavar="URL", help="Where CLIProxyAPI is.")
@click.option(
    "--upstream-config", type=FILE, help="CLIProxyAPI's config.yaml; its address and keys are read."
)
@click.option("--litellm", metavar="URL", help=f"Where LiteLLM is. Default: {_LITELLM}.")
@click.option("--litellm-key-env", default=LITELLM_KEY, show_default=True, help="The variable with its key.")
@click.option("--output", type=FILE, default=OWN, show_default=True, help="What is written.")
@click.option(
    "--example",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_example,
    help="Print an example with every key and its default instead.",
)
@click.option("--yes", is_flag=True, help="Ask nothing: take what is found and what is given.")
@click.pass_context
def init(
    context: click.Context,
    *,
    upstream: str | None,
    upstream_config: Path | None,
    litellm: str | None,
    litellm_key_env: str,
    output: Path,
    yes: bool,
) -> None:
    """Write a first configuration, and look whether it works.

    Finds CLIProxyAPI and LiteLLM, asks for their keys, reads both lists of models and proposes LiteLLM's
    name for each of upstream's. Keys that are typed in are kept in a file of their own beside OUTPUT,
    which only you can read; the other commands find it. No model is called. It says what `litellm-hybrid
    doctor` says, the exit code is that one's, and ends with how to start and what to type for each client.
    """
    if not _NAME.fullmatch(litellm_key_env):
        raise click.UsageError(printable(f"--litellm-key-env: {litellm_key_env!r} is no name of a variable"))
    output = output.expanduser()
    env_file, list_file = output.with_suffix(".env"), output.with_suffix(".model_list.yaml")
    for path in (output, env_file, list_file):
        if path.exists():
            raise click.ClickException(printable(f"{path} is there already; move it away, or give --output"))
    ask = _Asking(quiet=yes)
    theirs = _known_upstream(upstream_config)
    known = theirs.settings if theirs else Settings()
    typed: dict[str, str] = {}

    address = ask.address("CLIProxyAPI", upstream, str(known.upstream), Program.CLIPROXYAPI)
    client_key = probes.client_key(known) or os.environ.get(CLIENT_KEY, "")
    if not client_key and _probe(Settings(upstream=address))["upstream-open"].status == 401:
        client_key = ask.key(
            "One of the `api-keys` of CLIProxyAPI's config.yaml",
            CLIENT_KEY,
            lambda key: _probe(Settings(upstream=address, client_keys=(Secret(key),)))["upstream-models"],
        )
    if client_key and os.environ.get(CLIENT_KEY) != client_key:
        typed[CLIENT_KEY] = client_key

    base_url = ask.address("LiteLLM", litellm, _LITELLM, Program.LITELLM)
    litellm_key = os.environ.get(litellm_key_env, "")
    if not litellm_key and _probe(Settings(base_url=base_url))["litellm-open"].status != 200:
        litellm_key = ask.key(
            "LiteLLM's key; its master key works, a virtual key can be limited",
            litellm_key_env,
            lambda key: _probe(Settings(base_url=base_url, api_key=Secret(key)))["litellm-models"],
        )
        typed |= {litellm_key_env: litellm_key} if litellm_key else {}

    presented = Settings(
        upstream=address,
        base_url=base_url,
        api_key=Secret(litellm_key) if litellm_key else None,
        client_keys=(Secret(client_key),) if client_key else (),
    )
    results = _probe(presented)
    listed = results.models("upstream"), results.models("litellm")
    ask.go_on(results)
    proposals = first.propose(listed[0] or (), listed[1]) if listed[1] is not None else []
    proposals = ask.models(proposals, listed[1] or ())
    costs = first.spending(proposals, PriceList(results["litellm-info"].json))
    falls_back = ask.fallback(costs) if any(each.target for each in proposals) else True

    no_keys = not litellm_key and results["litellm-open"].status == 200
    wanted = SetUp(
        address,
        base_url,
        "" if no_keys else litellm_key_env,
        CLIENT_KEY if client_key else "",
        proposals,
        falls_back,
    )
    text = first.config_text(wanted)
    try:
        parse(text, source=str(output), env={litellm_key_env: "-", CLIENT_KEY: "-"})
    except ConfigError as e:
        raise click.ClickException(printable("nothing is written: " + "; ".join(e.problems))) from e
    lacking, entries = first.model_list(proposals)
    _write(output, text, "")
    _write(env_file, first.env_text(typed) if typed else "", ": the keys, readable by you alone")
    if litellm_key and litellm_key_env not in typed:
        click.echo(f"{litellm_key_env} is read from the environment: it is not written")
    _write(list_file, entries if lacking else "", f": for LiteLLM, which lacks {some(lacking)}")
    click.echo("\nWhat `litellm-hybrid doctor` says:\n")

    secrets = [value for value in (litellm_key, client_key) if value]
    beside = theirs if theirs and known.upstream.is_same_server(address) else None
    code = doctor.run(output, partial(_read_back, output, typed, beside), secrets, doctor.Options())
    _show_next(wanted, output, env_file if CLIENT_KEY in typed else None, upstream_config)
    context.exit(code)


def _read_back(file: Path, typed: Mapping[str, str], theirs: Parsed | None) -> Parsed:
    """Read what has been written, with the keys that were typed; `theirs`: CLIProxyAPI's own file."""
    parsed = Watcher(file, os.environ | dict(typed)).load()
    return doctor.with_upstream(parsed, theirs) if theirs else parsed


class _Asking:
    """Asks the user, or takes what is proposed where nothing may be asked.

    Args:
        quiet: nothing may be asked.
    """

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet

    def address(self, name: str, given: str | None, usual: str, program: Program) -> Address:
        """Ask where a server is until one is there, or what was given or is usual is insisted on."""
        text = given if given is not None else usual
        while True:
            if given is None and not self._quiet:
                text = click.prompt(f"Where is {name}?", default=text)
            try:
                address = parse_url(text)
            except ValueError as e:
                if given is not None or self._quiet:
                    raise click.UsageError(printable(f"{name}: {text!r}: {e}")) from e
                click.echo(printable(f"  {e}"), err=True)
                text = usual
                continue
            there = _who_is_at(address)
            if there == program:
                click.echo(printable(f"{name} is at {address}"))
                return address
            click.echo(printable(f"At {address} {f'is {there}' if there else 'nobody answers'}, not {name}"))
            if given is not None or self._quiet or click.confirm("Use it all the same?", default=False):
                return address

    def key(self, what: str, variable: str, use: Callable[[str], ProbeResult]) -> str:
        """Ask for a credential, which is not echoed, until its server takes it; "" where there is none.

        Args:
            what: the question.
            variable: of the environment, where nothing may be asked.
            use: asks its server for the list of models with a key.
        """
        if self._quiet:
            click.echo(f"{what} is needed: put it into {variable}", err=True)
            return ""
        while True:
            text = f"{what} (not shown)"
            key = str(click.prompt(text, hide_input=True, default="", show_default=False)).strip()
            if not key or not 400 <= (status := use(key).status) < 500:
                return key
            click.echo(f"  It does not take this key (status {status}); Enter goes on without one.", err=True)

    def fallback(self, costs: str) -> bool:
        """Say what falling back costs whom, and ask whether it is to be on."""
        click.echo("\n" + printable(f"{'Fallback is on. ' if self._quiet else ''}{costs}"))
        return self._quiet or click.confirm("Turn fallback on?", default=True)

    def go_on(self, results: Results) -> None:
        """Say how many models each server has; ask whether to go on where a list could not be read."""
        unread = False
        for name, server in (("CLIProxyAPI", "upstream"), ("LiteLLM", "litellm")):
            models = results.models(server)
            failure = results[f"{server}-models"].failure or results[f"{server}-open"].failure
            why = f"it {failure}; try again" if failure else "see to its key"
            unread = unread or models is None
            count = f"could not be read: {why}" if models is None else str(len(models))
            click.echo(printable(f"Models of {name}: {count}"))
        if unread and not self._quiet:
            click.confirm("Write a file without their names?", default=False, abort=True)

    def models(self, proposals: Sequence[Proposal], known: Sequence[str]) -> list[Proposal]:
        """Show what each model of upstream's becomes, to be accepted or changed.

        Args:
            proposals: what is shown.
            known: what LiteLLM lists.
        """
        chosen = {each.name: each for each in first.left_out(proposals)}
        if not proposals:
            return []
        click.echo("\nWhat may fall back, and LiteLLM's name for it:\n")
        _show_models(proposals)
        while not self._quiet:
            click.echo(
                "\nEnter takes these, but no other model of a family. To change one: MODEL NAME "
                "(`-` as NAME: it does not fall back)"
            )
            entered = str(click.prompt("Change", default="", show_default=False)).split()
            if not entered:
                break
            if len(entered) != 2 or entered[0] not in chosen:
                click.echo("  Type a model of the first column, a space, and LiteLLM's name for it.")
                continue
            name, target = entered
            chosen[name] = (
                Proposal(name, "", Match.LEFT_OUT) if target == "-" else Proposal(name, target, Match.CHOSEN)
            )
            _show_models([chosen[name]])
            if target != "-" and target not in KnownModels(known):
                click.echo(printable(f"  LiteLLM does not list {target} yet."))
        if other := [
            each for each in proposals if each.match is Match.FAMILY and not chosen[each.name].target
        ]:
            text = some((f"{each.name} → {each.target}" for each in other), 3)
            click.echo(printable(f"Not taken, being another model, at another price: {text}"))
        return list(chosen.values())


_ORDER = (*(Match.SAME, Match.SPELLING, Match.CHOSEN), *(Match.FAMILY, Match.NONE, Match.LEFT_OUT))


def _show_models(proposals: Sequence[Proposal]) -> None:
    widths = [max(map(len, column)) for column in zip(*((n, t) for n, t, _ in proposals), strict=True)]
    for name, target, match in sorted(proposals, key=lambda each: _ORDER.index(each.match)):
        row = f"  {name.ljust(widths[0])}  {(target or '-').ljust(max(widths[1], 1))}  {match}"
        click.echo(printable(row))


def _known_upstream(file: Path | None) -> Parsed | None:
    """Read CLIProxyAPI's own file, if there is one."""
    if file is None:
        found = upstream_config_file()
        if found is not None:
            click.echo(printable(f"CLIProxyAPI's configuration: {found[0]}"))
        return found[1] if found else None
    try:
        return load(file)
    except ConfigError as e:
        raise click.ClickException(printable("; ".join(e.problems))) from e


def _probe(settings: Settings) -> Results:
    planned = {name: each for name, each in probes.plan(settings).items() if not name.startswith("listen")}
    return Results(probes.send_all(planned))


def _who_is_at(address: Address) -> Program | None:
    results = probes.send_all({path: probes.Probe(address, path) for path in ("/", probes.ALIVE)})
    if all(each.failure for each in results.values()):
        return None
    return probes.identify(*results.values())


def _write(path: Path, text: str, what: str) -> None:
    """Write a new file, if there is anything to write, and say so; keys are nobody else's to read."""
    if text:
        mode = 0o600 if path.suffix == ".env" else 0o666
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        click.echo(printable(f"Written: {path}{what}"))


def _show_next(wanted: SetUp, output: Path, env_file: Path | None, theirs: Path | None) -> None:
    """Print how to start, and what to type for each client.

    Args:
        wanted: what was written.
        output: where.
        env_file: where the client key is, if it is not in the environment.
        theirs: CLIProxyAPI's own file, if it was named.
    """
    program, usual = _program(), output == Path(OWN)
    named = "" if usual else f" -c {shlex.quote(str(output))}"
    click.echo(f"\nStart it:\n\n  {program} serve{named}\n")
    here = str(probes.proxy_address(Settings()))
    click.echo(f"Then, for each client{', in another terminal' if env_file else ''}:\n")
    if env_file:  # not all of that file: no client has to know LiteLLM's key
        click.echo(f'  eval "export $(grep ^{CLIENT_KEY}= {shlex.quote(str(env_file.resolve()))})"\n')
    for name, line in first.client_lines(here, wanted.models, has_keys=bool(wanted.client_key)):
        click.echo(printable(f"  # {name}"))
        click.echo(printable(f"  {line}") + "\n" if line else "")
    more = f" --upstream-config {shlex.quote(str(theirs))}" if theirs else ""
    click.echo(f"What falls back and what it costs: {here}/_hybrid/status, or `{program} status{named}`.")
    click.echo(f"What is wrong, at any time: `{program} doctor{named}{more}`.")


def _program() -> str:
    """How this very program is started again: by its name only where a shell finds it."""
    return (
        "litellm-hybrid" if shutil.which("litellm-hybrid") else shlex.quote(str(Path(sys.argv[0]).absolute()))
    )
