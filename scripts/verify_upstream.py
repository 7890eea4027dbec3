#!/usr/bin/env python3
"""Is a CLIProxyAPI as litellm-hybrid needs it? Start it with scripts/verify-upstream.

With a URL: asks a running one everything that we rely on, and prints what was
expected, what was seen, and, where they differ, what that means and which module
to change. Nothing is spent: the models are unknown ones and the keys wrong ones,
so no provider is asked, unless --live allows one streamed token.

With --binary: starts that program with a configuration of its own in a temporary
folder, scripted providers before it, litellm-hybrid in front and a scripted
LiteLLM behind, all on this machine. Plays what providers answer on every client
API, whole and streamed, and everything else that we rely on.

Ends with 0 if everything is as expected (with --binary: at least 99 % of the
failures fall back, nothing else does, every stated wait is read), else with 1.
"""

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import verify_checks as checks
from verify_checks import Differs, NotSeen, Upstream

from litellm_hybrid.config.converters import parse_url
from litellm_hybrid.diagnostics import probes
from litellm_hybrid.diagnostics.probes import FailureKind, Probe, is_safe_mode
from litellm_hybrid.terminal import hide, printable
from real.verify import Wanted, verify_binaries


@dataclass(frozen=True)
class Expectation:
    """One thing that we rely on.

    Attributes:
        check: returns what was seen, raises Differs or NotSeen.
        means: what it would mean for us, and which module to change.
    """

    text: str
    check: Callable[[Upstream], str]
    means: str


EXPECTATIONS = (
    Expectation(
        "`GET /` says CLI Proxy API Server",
        checks.introduces_itself,
        "it is not CLIProxyAPI, or doctor no longer knows it: diagnostics/probes.py",
    ),
    Expectation(
        "an unknown key is refused with a plain string",
        checks.refuses_unknown_key,
        "a client's wrong key might spend LiteLLM's: quota/",
    ),
    Expectation(
        "a key is taken from Authorization, X-Goog-Api-Key, X-Api-Key, ?key= and ?auth_token=",
        checks.takes_key,
        "we look for client keys where it does not: message/credentials.py",
    ),
    Expectation(
        "`GET /v1/models` lists `data[].id`",
        checks.lists_models,
        "doctor cannot compare models: diagnostics/probes.py",
    ),
    Expectation(
        "an unknown model is an error of its own, on every path",
        checks.names_unknown_model,
        "a path is gone, or fallback.on: [unknown-model] no longer works: routing/paths.py, quota/",
    ),
    Expectation(
        "`POST /v1/images/generations` is served",
        checks.serves_images,
        "the path has moved: routing/paths.py, message/forms.py",
    ),
    Expectation(
        "a failing stream fails in its head",
        checks.fails_streams_in_head,
        "errors come as events: fallback/response_hold.py must hold them back",
    ),
    Expectation(
        "`/api/provider/…` is served, or is 404",
        checks.provider_routes,
        "Amp's requests go wrong: routing/paths.py, strip-provider-prefix",
    ),
    Expectation(
        "an unknown path is a plain 404",
        checks.no_route,
        "a missing path might fall back: quota/",
    ),
    Expectation(
        "it sends no X-Request-ID of its own",
        checks.leaves_request_id,
        "our log and its answers differ: flow/exchange.py",
    ),
    Expectation(
        "HTTP/1.1 connections are kept",
        checks.keeps_alive,
        "every request connects anew: slower, and nothing else",
    ),
    Expectation("HEAD and OPTIONS have no body", checks.bodiless, "they go through untouched: proxy/"),
    Expectation(
        "a body of 8 MB is taken",
        checks.takes_large_body,
        "long conversations fail upstream first: README, limits",
    ),
    Expectation(
        "a websocket opens on Codex's paths",
        checks.upgrades,
        "`websocket: downgrade` has nothing to downgrade there: routing/paths.py",
    ),
    Expectation(
        "management believes X-Forwarded-For, and is closed to others",
        checks.guards_management,
        "remote clients might reach it through us: routing/access.py",
    ),
    Expectation(
        "no account left is 503 auth_unavailable",
        checks.no_account,
        "such a request does not fall back: quota/",
    ),
)
LIVE = "a stream is text/event-stream"
LIVE_MEANS = "streams are not told apart from JSON: fallback/response_hold.py, message/sse.py"


# -- the table ----------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """What became of an expectation."""

    state: str
    expectation: Expectation
    seen: str


def rows(upstream: Upstream, *, live: bool) -> Iterator[Row]:
    """Each expectation, as soon as it is known."""
    last = Expectation(LIVE, checks.streams if live else checks.not_live, LIVE_MEANS)
    for each in (*EXPECTATIONS, last):
        try:
            yield Row("ok", each, each.check(upstream))
        except NotSeen as e:
            yield Row("not seen", each, str(e))
        except Differs as e:
            yield Row("DIFFERS", each, str(e))


def say(line: str) -> None:
    """Print a line at once."""
    print(line, flush=True)


def arguments_parser() -> argparse.ArgumentParser:
    """What the command line takes."""
    summary, _, rest = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(
        prog="scripts/verify-upstream",
        description=f"{summary}\n{rest}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("url", metavar="URL", nargs="?", help="CLIProxyAPI's address, as http://127.0.0.1:8317")
    add(
        "--key",
        default=os.environ.get("HYBRID_CLIENT_KEY", ""),
        help="one of its api-keys; HYBRID_CLIENT_KEY in the environment is not seen by other users",
    )
    add("--live", action="store_true", help="also ask a real model for one streamed token")
    add = parser.add_argument_group("for a CLIProxyAPI that is started here").add_argument
    add("--binary", metavar="PATH", nargs="+", type=Path, help="the program, of any version")
    add("--subscriptions", action="store_true", help="also providers by auth file (from v7 on)")
    add("--own-fallback", action="store_true", help="measure CLIProxyAPI's own fallback beside ours")
    add("--only", metavar="WORD", default="", help="only cases and scenarios whose name has it")
    add("--json", metavar="FILE", type=Path, help="write what was found there too")
    add("--capture", metavar="DIR", type=Path, help="write there what CLIProxyAPI answered")
    add("--add", action="store_true", help="add it to tests/corpus, and show what is new in it")
    add("--agents", action="store_true", help="also run coding agents through it, with a real LiteLLM")
    add("--docs", action="store_true", help="write the tables in docs/ anew")
    return parser


def main() -> int:
    """Verify a running server, or binaries; returns the exit code."""
    parser = arguments_parser()
    arguments = parser.parse_args()
    if arguments.binary:
        if missing := [str(binary) for binary in arguments.binary if not binary.is_file()]:
            parser.error(f"--binary: there is no {missing[0]}")
        wanted = Wanted(
            arguments.subscriptions,
            arguments.own_fallback,
            arguments.only,
            arguments.capture,
            arguments.json,
            arguments.docs,
            arguments.add,
            arguments.agents,
        )
        return verify_binaries(arguments.binary, wanted, say)
    if arguments.url is None:
        parser.error("one of the following is required: URL, --binary")
    key = arguments.key.strip()
    if not all("!" <= character <= "~" for character in key):
        # Not shown: it may be a good key with one character too many.
        parser.error(
            "--key: it must be of visible ASCII characters alone, as in CLIProxyAPI's api-keys; copy it again"
        )
    try:
        upstream = Upstream(parse_url(arguments.url), key)
    except ValueError as e:
        parser.error(f"URL: {e}")
    return verify_running(upstream, live=arguments.live)


def verify_running(upstream: Upstream, *, live: bool) -> int:
    """Print the table of a running server; returns the exit code."""

    def harmless(text: str) -> str:
        return printable(hide(text, [upstream.key, quote(upstream.key, safe="")]))

    first = probes.send(Probe(upstream.address, "/v1/models", headers=upstream.fields, within=checks.LIMIT))
    if first.failure is not None:
        untrusted = first.failure is FailureKind.CERTIFICATE
        what = "no trusted certificate at" if untrusted else "nothing answers at"
        print(f"verify-upstream: {what} {upstream.address}: {harmless(first.detail)}", file=sys.stderr)
        return 1
    if is_safe_mode(first, probes.send(Probe(upstream.address, "/", within=checks.LIMIT))):
        print(
            "verify-upstream: it is in safe mode: its `api-keys` are still those of its example file",
            file=sys.stderr,
        )
        return 1
    if first.status == 401 and upstream.key:
        print(f"verify-upstream: it does not know this key: {harmless(first.error)}", file=sys.stderr)
        return 1
    upstream = replace(upstream, models=first.model_ids)
    if upstream.models == ():
        print("it lists no model: it has no account, or none that is logged in\n")
    counts = {"ok": 0, "not seen": 0, "DIFFERS": 0}
    for row in rows(upstream, live=live):
        counts[row.state] += 1
        print(f"{row.state:<8}  {row.expectation.text}")
        print(harmless(f"          seen: {row.seen}"))
        if row.state == "DIFFERS":
            print(f"          means: {row.expectation.means}")
        sys.stdout.flush()
    said = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    print(f"\n{upstream.address}: {said}")
    return 1 if counts["DIFFERS"] else 0


if __name__ == "__main__":
    sys.exit(main())
