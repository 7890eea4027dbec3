"""The commands that run the proxy, `serve`, `web` and `dump`, and `status`, which looks at a running one."""

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from litellm_hybrid.cli.common import (
    FILE,
    as_json_option,
    config_option,
    file_or_config_option,
    find,
    load,
    show,
)
from litellm_hybrid.config.converters import format_duration, parse_listen, parse_url
from litellm_hybrid.config.settings import Address, Settings, host_port
from litellm_hybrid.diagnostics import probes
from litellm_hybrid.diagnostics.init import CLIENT_KEY
from litellm_hybrid.diagnostics.probes import Probe, bearer
from litellm_hybrid.diagnostics.report import start_problems
from litellm_hybrid.observability.log import AppLog, emit
from litellm_hybrid.observability.status import dollars
from litellm_hybrid.routing.rules import IN_UPSTREAMS_PLACE
from litellm_hybrid.server.supervisor import Supervisor, check_free, check_sharing, worker_command
from litellm_hybrid.terminal import OutputLine, Style, counted, printable

# -- running it ------------------------------------------------------------------

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


# -- looking at a running one ----------------------------------------------------

_PAGE = "/_hybrid/status"
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
    found, why = _ask(address, settings)
    if line:
        click.echo(printable(one_line(found)))
    elif found is None:
        click.echo(printable(f"{address}: {why}"), err=True)
    else:
        show(_Screen(found), as_json=as_json)
    context.exit(0 if found is not None and found["ready"] else 1)


def replay_changes(settings: Settings, model: str) -> list[str]:
    """Return what a running proxy changes of the replays to LiteLLM's model; [] too if there is no proxy."""
    page, _ = _ask(probes.proxy_address(settings), settings)
    known = page.get("replay_changes", []) if page is not None else []
    return [changes_line(each) for each in known if each["model"] == model]


def changes_line(each: Mapping[str, Any]) -> str:
    """Say what one model needs of replays, and what would make that needless.

    Args:
        each: an entry of `replay_changes` of the status page.
    """
    needless = f"; needless with, in LiteLLM's configuration: {'; '.join(each['settings'])}"
    changed = f"{each['model']} by {each['api']}: {', '.join(each['changes'])}"
    return f"{changed}{needless if each['settings'] else ''}"


def _ask(address: Address, settings: Settings) -> tuple[dict[str, Any] | None, str]:
    """Return what the page says; or None, and why it says nothing."""
    key = probes.client_key(settings) or os.environ.get(CLIENT_KEY, "")
    result = probes.send(Probe(address, _PAGE, headers=bearer(key)))
    if result.status == 200 and isinstance(result.json, dict) and "ready" in result.json:
        return result.json, ""
    if result.status in (401, 403):
        return None, f"it shows this to nobody without a client key: put one into {CLIENT_KEY}"
    if result.status:
        return None, "another program is there, or another version of litellm-hybrid"
    return None, f"the proxy {result.failure}: {result.detail}"


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
