"""`litellm-hybrid status`: the status page of a running proxy on one screen, or on one line."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from litellm_hybrid.cli.common import as_json_option, file_or_config_option, find, load, show
from litellm_hybrid.config.converters import format_duration, parse_url
from litellm_hybrid.config.settings import Address, Settings
from litellm_hybrid.diagnostics.doctor import probes
from litellm_hybrid.diagnostics.doctor.probes import Probe, bearer
from litellm_hybrid.diagnostics.init import CLIENT_KEY
from litellm_hybrid.observability.status import dollars
from litellm_hybrid.routing.rules import IN_UPSTREAMS_PLACE
from litellm_hybrid.terminal import OutputLine, Style, counted, printable

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
