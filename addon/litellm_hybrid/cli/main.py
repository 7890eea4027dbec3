"""The console script `litellm-hybrid`: its short commands, and where the longer ones are put together."""

import logging
import os
import stat
import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, override

import click

from litellm_hybrid.cli.common import (
    FILE,
    as_json_option,
    ask_status,
    changes_line,
    config_option,
    file_or_config_option,
    find,
    load,
    show,
)
from litellm_hybrid.cli.doctor import doctor
from litellm_hybrid.cli.explain import explain
from litellm_hybrid.cli.init import init
from litellm_hybrid.config.converters import format_duration, parse_listen, parse_url
from litellm_hybrid.config.file_watcher import Watcher
from litellm_hybrid.config.parser import ConfigError, Parsed
from litellm_hybrid.config.settings import Settings, host_port
from litellm_hybrid.diagnostics import probes
from litellm_hybrid.diagnostics.migrate import migrate as migrated
from litellm_hybrid.diagnostics.report import CheckReport, start_problems
from litellm_hybrid.observability.log import AppLog, emit
from litellm_hybrid.observability.status import dollars
from litellm_hybrid.routing.rules import IN_UPSTREAMS_PLACE
from litellm_hybrid.server.supervisor import Supervisor, check_free, check_sharing, worker_command
from litellm_hybrid.terminal import OutputLine, Style, counted, printable


class _Group(click.Group):
    """Commands that end in a line, and no traceback, for a broken configuration or a fault of their own."""

    @override
    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise  # click knows what to do
        except ConfigError as e:
            for problem in e.problems:
                click.echo(printable(problem), err=True)
            raise click.exceptions.Exit(1) from e
        except OSError as e:
            raise click.ClickException(printable(str(e))) from e
        except Exception as e:
            if ctx.params.get("show_traceback"):
                raise
            # Not the message: it may repeat a credential.
            frame = traceback.extract_tb(e.__traceback__)[-1]
            where = f"{Path(frame.filename).name}:{frame.lineno}"
            raise click.ClickException(
                f"a fault of litellm-hybrid's own: {type(e).__name__} in {where}. Please report this line; "
                f"`litellm-hybrid --traceback …` shows all of it"
            ) from e


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="litellm-hybrid", message="%(prog)s %(version)s")
@click.option("--traceback", "show_traceback", is_flag=True, help="Show where a fault of its own is.")
@click.pass_context
def main(context: click.Context, *, show_traceback: bool) -> None:  # noqa: ARG001 (read from the context)
    """The tools around litellm-hybrid, the mitmproxy addon between CLIProxyAPI's clients and LiteLLM."""
    if os.environ.get("NO_COLOR"):
        context.color = False
    for stream in (sys.stdout, sys.stderr):
        if (reconfigure := getattr(stream, "reconfigure", None)) is not None:
            reconfigure(encoding="utf-8", errors="backslashreplace")


@main.command()
@file_or_config_option
@as_json_option
def check(*, file: Path | None, as_json: bool) -> None:
    """Check a configuration file.

    Shows what is in force, defaults included. The errors are those that `litellm-hybrid serve` refuses to
    start with.
    """
    file = find(file)
    try:
        show(CheckReport(str(file), _startable(file)), as_json=as_json)
    except ConfigError as e:
        if as_json:
            show(CheckReport(str(file), errors=e.problems), as_json=True)
        raise


def _startable(file: Path) -> Parsed:
    """Read a file that a start takes.

    Raises:
        ConfigError: it cannot be used, or `serve` refuses it.
    """
    parsed = load(file)
    settings = parsed.settings
    if problems := start_problems(str(file), settings, [(*settings.listen, settings.upstream)]):
        raise ConfigError(problems)
    return parsed


@main.command()
@click.argument("file", type=FILE)
@click.option("--write", is_flag=True, help="Rewrite FILE itself; the old one is kept as FILE.bak.")
def migrate(file: Path, write: bool) -> None:
    """Print FILE with the fork's flat keys in the namespaced form.

    `litellm-models` becomes `extensions.litellm.models`, and so on. Comments, order, quotes, `${VAR}`
    and everything that is not litellm-hybrid's stay as they are, and the result means the same. The
    errors are those of `check`; then nothing is printed and nothing is written.
    """
    file = file.expanduser()
    watcher = Watcher(file, os.environ)
    watcher.load()
    result = migrated(watcher.text, source=str(file), env=os.environ)
    for note in result.notes:
        click.echo(printable(note), err=True)
    if not write:
        click.echo(result.text.encode(), nl=False)  # as bytes: every line end stays as it is
    elif result.changed:
        try:
            backup = rewrite(file, watcher.text.encode(), result.text.encode())
        except OSError as e:
            raise click.ClickException(printable(f"nothing is changed: {e}")) from e
        click.echo(printable(f"{file}: rewritten; as it was, it is in {backup}"), err=True)


def rewrite(file: Path, before: bytes, after: bytes) -> Path:
    """Write a file anew in its place, when what it held before is safe in a backup beside it.

    The file itself is written into: CLIProxyAPI watches it by its inode, and a container that it is mounted
    into sees that one alone. Returns the backup, which has the file's mode and owner; one that is there
    already is never overwritten.

    Raises:
        OSError: it could not be done; the file is as it was, or its backup is there.
    """
    target = file.resolve()
    backup = target.with_name(f"{target.name}.bak")
    if not backup.exists():
        _copy(backup, before, target.stat())
    elif backup.read_bytes() != before:
        raise FileExistsError(f"{backup} is there already and holds something else; move it away first")
    with target.open("r+b") as written:
        written.write(after)
        written.truncate()
        written.flush()
        os.fsync(written.fileno())
    return backup


def _copy(path: Path, content: bytes, like: os.stat_result) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            os.fchown(file.fileno(), like.st_uid, like.st_gid)
            os.fchmod(file.fileno(), stat.S_IMODE(like.st_mode))  # after the owner, which clears bits of it
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        path.unlink(missing_ok=True)
        raise


# -- running the proxy ------------------------------------------------------------------

upstream_option = click.option(
    "--upstream", metavar="URL", help="Where CLIProxyAPI is. Default: upstream-url of the file."
)
listen_option = click.option(
    "--listen", metavar="HOST:PORT", help="Where to listen. Default: listen of the file."
)


@click.command()
def script() -> None:
    """Print the path of the script to load.

    For mitmproxy: mitmdump -s "$(litellm-hybrid script)".
    """
    click.echo(script_path(Path(__file__).parents[1]))


def script_path(package: Path) -> Path:
    """Find hybrid.py: inside the installed package, or beside it in a checkout.

    Raises:
        click.ClickException: it is in neither place.
    """
    candidates = (package / "script" / "hybrid.py", package.parent / "hybrid.py")
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    looked = " nor ".join(str(candidate) for candidate in candidates)
    raise click.ClickException(f"neither {looked} is there; install litellm-hybrid again")


@click.command()
@file_or_config_option
@upstream_option
@listen_option
@click.option("--workers", type=click.IntRange(1), help="How many processes. Default: workers of the file.")
@click.option(
    "--confdir",
    metavar="FOLDER",
    default="~/.mitmproxy",
    help="Where the certificate authority for TLS towards clients is. Default: ~/.mitmproxy.",
)
@click.option("--shared", type=FILE, hidden=True, help="Be one of several workers; see supervisor.py.")
@click.pass_context
def serve(
    context: click.Context,
    *,
    file: Path | None,
    upstream: str | None,
    listen: str | None,
    workers: int | None,
    confdir: str,
    shared: Path | None,
) -> None:
    """Serve, leaner than mitmdump: the same addon without mitmproxy's tools around it."""
    file = find(file, quiet=shared is not None)
    settings, _ = _settings(file, upstream, listen)
    # From here on the format is known, also to a worker that finds the file broken a moment later.
    app_log = AppLog(settings.log_format)
    count = workers or settings.workers
    if shared is None and (problem := _start_problem(file, settings)):
        if settings.log_format == "json":
            app_log.install(None)
            emit(logging.ERROR, f"litellm config: {problem}", event="config-broken")
            app_log.uninstall()
            context.exit(1)
        raise click.ClickException(printable(problem))
    from litellm_hybrid.server import standalone  # noqa: PLC0415 (mitmproxy takes seconds)

    if shared is not None or count == 1:
        code = standalone.run(
            file, settings.upstream, settings.listen, shared=shared, app_log=app_log, confdir=confdir
        )
        context.exit(code)
    where = ["-c", str(file), "--upstream", str(settings.upstream), "--listen", host_port(*settings.listen)]
    app_log.install(None)
    app_log.never_wait()
    try:
        check_sharing()
        with standalone.shared_confdir(confdir) as folder:
            command = worker_command(["serve", *where, "--confdir", folder])
            context.exit(Supervisor(command, count).run())
    except OSError as e:
        raise click.ClickException(printable(str(e))) from e


def _start_problem(file: Path, settings: Settings) -> str:
    """Say why a start refuses, as far as it can be known without mitmproxy; "": it does not."""
    problems = start_problems(str(file), settings, [(*settings.listen, settings.upstream)])
    try:
        check_free(*settings.listen)
    except OSError as e:
        problems = problems or [str(e)]
    return "\n".join(problems)


def _mitmproxy(tool: str, summary: str) -> click.Command:
    """Make the command that runs one of mitmproxy's tools with the addon."""

    @click.command(tool.removeprefix("mitm"), context_settings={"ignore_unknown_options": True})
    @config_option
    @upstream_option
    @listen_option
    @click.argument("options", nargs=-1, type=click.UNPROCESSED)
    def run(*, file: Path | None, upstream: str | None, listen: str | None, options: Sequence[str]) -> None:
        file = find(file)
        settings, mode = _settings(file, upstream, listen)
        from mitmproxy.tools import main  # noqa: PLC0415 (half a second)

        listening = f"http://{host_port(*settings.listen)}"
        click.echo(
            f"{tool}: {listening} in front of {settings.upstream}, configured by {printable(str(file))}",
            err=True,
        )
        path = script_path(Path(__file__).parents[1])
        own = ["-s", str(path), "--set", f"litellm_config={file}", "--mode", mode]
        getattr(main, tool)([*own, *options])

    run.help = (
        f"{summary}\n\nThe {tool} of litellm-hybrid's own environment, in front of CLIProxyAPI like `serve`. "
        f"OPTIONS are {tool}'s own, behind `--` where litellm-hybrid has one of the same name."
    )
    return run


web = _mitmproxy("mitmweb", "Serve, and show every request in a browser.")
dump = _mitmproxy("mitmdump", "Serve with mitmdump: with mitmproxy's own options and other addons.")


def _settings(file: Path, upstream: str | None, listen: str | None) -> tuple[Settings, str]:
    """Read the settings, with the addresses of the command line, and make mitmproxy's mode of them."""
    settings = load(file).settings
    try:
        behind = parse_url(upstream) if upstream else settings.upstream
        host, port = parse_listen(listen) if listen else settings.listen
    except ValueError as e:
        raise click.UsageError(printable(str(e))) from e
    changed = replace(settings, upstream=behind, listen=(host, port))
    return changed, f"reverse:{behind}@{host}:{port}"  # mitmproxy wants an IPv6 address without brackets


# -- looking at a running proxy ----------------------------------------------------

_SHOWN = 5
"""How many of the last fallbacks are listed."""


@click.command()
@file_or_config_option
@click.option("--url", metavar="URL", help="Where the proxy is. Default: listen of the file, if it is there.")
@click.option("--line", is_flag=True, help="One line, for Claude Code's status line or tmux.")
@as_json_option
@click.pass_context
def status(context: click.Context, *, file: Path | None, url: str | None, line: bool, as_json: bool) -> None:
    """Show what a running proxy does: what falls back now, what it has cost today, how both servers are.

    Where the file has no client key, and the proxy wants one, it is read from HYBRID_CLIENT_KEY. The exit
    code is 0 if the proxy is ready, else 1.
    """
    settings = Settings()
    configured = find(file, quiet=line)
    if configured.exists():
        settings = load(configured).settings
    try:
        address = parse_url(url) if url is not None else probes.proxy_address(settings)
    except ValueError as e:
        raise click.UsageError(printable(f"--url: {url!r}: {e}")) from e
    found, why = ask_status(address, settings)
    if line:
        click.echo(printable(one_line(found)))
    elif found is None:
        click.echo(printable(f"{address}: {why}"), err=True)
    else:
        show(_Screen(found), as_json=as_json)
    context.exit(0 if found is not None and found["ready"] else 1)


class _Screen:
    """What the page says, for people; for programs as it is."""

    def __init__(self, page: Mapping[str, Any]) -> None:
        self._page = page

    def as_json(self) -> dict[str, object]:
        return dict(self._page)

    def lines(self) -> Sequence[OutputLine]:
        page = self._page
        running, uptime = page["requests_in_flight"], format_duration(float(int(page["uptime_seconds"])))
        state = "ready" if page["ready"] else "; ".join(each["message"] for each in page["reasons"])
        style = Style.GOOD if page["ready"] else Style.BAD
        return [
            OutputLine("proxy", f"{state}; up {uptime}, {running} in flight", style),
            *(
                OutputLine(
                    server["name"],
                    server["state"],
                    Style.BAD if server["state"] == "unreachable" else Style.PLAIN,
                )
                for server in page["servers"]
            ),
            OutputLine("today", page["spend_in_words"].get(page["time"][:10], "nothing yet")),
            *(OutputLine("now", _falling_back(each), Style.NOTICE) for each in page["falling_back"]),
            *(OutputLine("now", _unserved(each), Style.BAD) for each in page["unserved"]),
            *(OutputLine("cooldown", _cooldown(each), Style.NOTICE) for each in page["cooldowns"]),
            *(OutputLine("quota", _quota(each)) for each in page["quotas"]),
            *(OutputLine("replays", changes_line(each), Style.NOTICE) for each in page["replay_changes"]),
            *(OutputLine("fallback", _fallback(each)) for each in page["recent_fallbacks"][:_SHOWN]),
        ]


def one_line(page: Mapping[str, Any] | None) -> str:
    """Say in a few words what falls back now, and what that has cost today.

    Args:
        page: the status page's JSON; None: there is no proxy.
    """
    if page is None:
        return "litellm-hybrid: not running"
    if not page["ready"]:
        return f"litellm-hybrid: {', '.join(each['reason'] for each in page['reasons'])}"
    today = [each for each in page["spend"] if each["day"] == page["time"][:10]]
    served = [each for each in today if each["reason"] in IN_UPSTREAMS_PLACE]
    count, cost = sum(each["requests"] for each in served), sum(each["cost_usd"] for each in served)
    now = [f"{each['model']} ↪ LiteLLM" for each in page["falling_back"]]
    now += [f"{each['model']} NOT served" for each in page["unserved"]]
    return f"{', '.join(now) or 'subscription'} · today {count} ↪ {dollars(cost)}"


def _falling_back(each: Mapping[str, Any]) -> str:
    since, last = (each[name][:19].replace("T", " ") for name in ("since", "last"))
    served = counted(each["requests"], "request")
    return f"{each['model']} ↪ LiteLLM ({each['why']}), {served} since {since} UTC, last seen {last[11:]}"


def _unserved(each: Mapping[str, Any]) -> str:
    return f"{each['model']}: upstream failed, and LiteLLM does not serve it: {each['why']}"


def _cooldown(each: Mapping[str, Any]) -> str:
    return f"{each['model']}: LiteLLM for {each['seconds_left']:.0f} s more"


def _quota(each: Mapping[str, Any]) -> str:
    anew = f", begins anew {each['resets_at'][:16].replace('T', ' ')} UTC" if each["resets_at"] else ""
    return f"{each['model']}: {each['used']:.0%} of {each['window']} used{anew}"


def _fallback(each: Mapping[str, Any]) -> str:
    status = each["upstream_status"] or "no response"
    why = f" ({each['why']})" if each["why"] else ""
    return f"{each['at'][11:19]} {each['model']} after {status}, {each['kind']}: {each['outcome']}{why}"


for command in (doctor, dump, explain, init, script, serve, status, web):
    main.add_command(command)
