"""`litellm-hybrid init`: finds both servers, asks for what it cannot know, writes a first configuration."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

import click

from litellm_hybrid.cli import doctor
from litellm_hybrid.cli.common import CONFIG, FILE, load
from litellm_hybrid.config.converters import parse_url
from litellm_hybrid.config.file_watcher import Watcher
from litellm_hybrid.config.parser import ConfigError, parse
from litellm_hybrid.config.settings import Address, Secret, Settings
from litellm_hybrid.diagnostics import init as first
from litellm_hybrid.diagnostics.doctor import probes
from litellm_hybrid.diagnostics.doctor.doctor import Options
from litellm_hybrid.diagnostics.doctor.probes import Program, Results
from litellm_hybrid.diagnostics.init import CLIENT_KEY, LITELLM_KEY, Match, Proposal, SetUp
from litellm_hybrid.terminal import printable

_LITELLM = "http://127.0.0.1:4000"
_UPSTREAM_CONFIGS = ("~/.cli-proxy-api/config.yaml", "~/CLIProxyAPI/config.yaml", "/CLIProxyAPI/config.yaml")
"""Where CLIProxyAPI's config.yaml usually is, besides this folder."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@click.command()
@click.option("--upstream", metavar="URL", help="Where CLIProxyAPI is.")
@click.option(
    "--upstream-config", type=FILE, help="CLIProxyAPI's config.yaml; its address and keys are read."
)
@click.option("--litellm", metavar="URL", help=f"Where LiteLLM is. Default: {_LITELLM}.")
@click.option("--litellm-key-env", default=LITELLM_KEY, show_default=True, help="The variable with its key.")
@click.option(
    "--output", type=FILE, default="litellm-hybrid.yaml", show_default=True, help="What is written."
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
    which only you can read. No model is called. It ends with what `litellm-hybrid doctor` says; the exit
    code is that one's.
    """
    if not _NAME.fullmatch(litellm_key_env):
        raise click.UsageError(printable(f"--litellm-key-env: {litellm_key_env!r} is no name of a variable"))
    output = output.expanduser()
    env_file = output.with_suffix(".env")
    for path in (output, env_file):
        if path.exists():
            raise click.ClickException(printable(f"{path} is there already; move it away, or give --output"))
    ask = _Asking(quiet=yes)
    known = _known_upstream(upstream_config)
    typed: dict[str, str] = {}

    address = ask.address("CLIProxyAPI", upstream, str(known.upstream), Program.CLIPROXYAPI)
    keys = [key.value for key in known.client_keys]
    client_key = keys[0] if keys else os.environ.get(CLIENT_KEY, "")
    found = _probe(Settings(upstream=address))
    if not client_key and found["upstream-open"].status == 401:
        client_key = ask.key("A key of CLIProxyAPI's `api-keys`", CLIENT_KEY)
    if client_key and os.environ.get(CLIENT_KEY) != client_key:
        typed[CLIENT_KEY] = client_key

    base_url = ask.address("LiteLLM", litellm, _LITELLM, Program.LITELLM)
    litellm_key = os.environ.get(litellm_key_env, "")
    if not litellm_key and _probe(Settings(base_url=base_url))["litellm-open"].status != 200:
        litellm_key = ask.key("A key of LiteLLM's (a virtual key, not the master key)", litellm_key_env)
        typed |= {litellm_key_env: litellm_key} if litellm_key else {}

    presented = Settings(
        upstream=address,
        base_url=base_url,
        api_key=Secret(litellm_key) if litellm_key else None,
        client_keys=(Secret(client_key),) if client_key else (),
    )
    results = _probe(presented)
    listed = results.models("upstream"), results.models("litellm")
    for name, models in zip(("CLIProxyAPI", "LiteLLM"), listed, strict=True):
        count = "could not be read" if models is None else f"{len(models)}"
        click.echo(f"Models of {name}: {count}")
    proposals = first.propose(listed[0] or (), listed[1]) if listed[1] is not None else []
    proposals = ask.models(proposals)

    no_keys = not litellm_key and results["litellm-open"].status == 200
    wanted = SetUp(
        address,
        base_url,
        "" if no_keys else litellm_key_env,
        CLIENT_KEY if client_key else "",
        proposals,
    )
    text = first.config_text(wanted)
    try:
        parse(text, source=str(output), env={litellm_key_env: "-", CLIENT_KEY: "-"})
    except ConfigError as e:
        raise click.ClickException(printable("nothing is written: " + "; ".join(e.problems))) from e
    with output.open("x", encoding="utf-8") as file:
        file.write(text)
    click.echo(printable(f"Written: {output}"))
    if typed:
        _write_private(env_file, first.env_text(typed))
        click.echo(printable(f"Written: {env_file}: the keys, readable by you alone"))
    _show_next(wanted, output, env_file if typed else None)

    secrets = [value for value in (litellm_key, client_key) if value]
    read = Watcher(output, os.environ | typed).load
    doctor.run(context, output, read, secrets, Options())


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
                continue
            there = _who_is_at(address)
            click.echo(printable(f"{name} at {address}: {there or 'nobody answers'}"))
            if there == program or given is not None or self._quiet:
                return address
            if click.confirm("Use it all the same?", default=False):
                return address

    def key(self, what: str, variable: str) -> str:
        """Ask for a credential, which is not echoed; "" where there is none."""
        if self._quiet:
            click.echo(f"{what} is needed: put it into {variable}", err=True)
            return ""
        entered: str = click.prompt(f"{what} (not shown)", hide_input=True, default="", show_default=False)
        return entered.strip()

    def models(self, proposals: Sequence[Proposal]) -> list[Proposal]:
        """Show what each model of upstream's becomes, to be accepted or changed."""
        if not proposals:
            return []
        width = max(len(each.name) for each in proposals)
        click.echo("\nWhat may fall back, and LiteLLM's name for it:")
        for each in proposals:
            click.echo(printable(f"  {each.name.ljust(width)}  {each.target or '-'}  ({each.match})"))
        if self._quiet or click.confirm("Take these?", default=True):
            return list(proposals)
        click.echo("Enter takes what is proposed; - leaves the model to upstream alone.")
        return [self._changed(each) for each in proposals]

    def _changed(self, each: Proposal) -> Proposal:
        target: str = click.prompt(f"  {printable(each.name)}", default=each.target or "-").strip()
        if target == each.target:
            return each
        return (
            Proposal(each.name, "", Match.NONE)
            if target == "-"
            else Proposal(each.name, target, Match.CHOSEN)
        )


def _known_upstream(file: Path | None) -> Settings:
    """Return what CLIProxyAPI's own file says; the defaults, if there is none."""
    if file is not None:
        try:
            return load(file).settings
        except ConfigError as e:
            raise click.ClickException(printable("; ".join(e.problems))) from e
    for name in (CONFIG, *_UPSTREAM_CONFIGS):
        candidate = Path(name).expanduser()
        try:
            parsed = load(candidate) if candidate.is_file() else None
        except ConfigError:
            continue
        if parsed is not None and parsed.has_upstream_keys:
            click.echo(printable(f"CLIProxyAPI's configuration: {candidate}"))
            return parsed.settings
    return Settings()


def _probe(settings: Settings) -> Results:
    planned = {name: each for name, each in probes.plan(settings).items() if not name.startswith("listen")}
    return Results(probes.send_all(planned))


def _who_is_at(address: Address) -> Program | None:
    results = probes.send_all({path: probes.Probe(address, path) for path in ("/", probes.ALIVE)})
    if all(each.failure for each in results.values()):
        return None
    return probes.identify(*results.values())


def _write_private(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)


def _show_next(wanted: SetUp, output: Path, env_file: Path | None) -> None:
    """Print what LiteLLM lacks, how to start, and what to type for each client."""
    if missing := first.model_list(wanted.models):
        click.echo("\nLiteLLM lacks these; once it has them, take them out of `fallback.except`:\n")
        click.echo("\n".join(map(printable, missing.splitlines())))
    reads_keys = f"set -a; . {env_file}; set +a\n  " if env_file else ""
    click.echo(f"\nStart it:\n\n  {reads_keys}litellm-hybrid serve -c {output}\n")
    here = str(probes.proxy_address(Settings()))
    click.echo("Then, for each client:\n")
    for name, line in first.client_lines(here, has_keys=bool(wanted.client_key)):
        click.echo(f"  # {name}\n  {line}\n")
