"""Run the benchmark, or show what a run found: see README.md beside this file."""

import argparse
import json
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench import checklist, growth, machine, page, parts, peers, plotting, programs, table
from bench.parts import Bench, Works
from bench.scale import LONG, QUICK, Scale
from support.processes import ROOT

PARTS: dict[str, Callable[[Bench], Works]] = {
    "plain": parts.plain,
    "connections": parts.connections,
    "zstd": parts.zstd,
    "sse": parts.sse,
    "fallback": parts.fallback,
    "peers": parts.peers,
    "bodies": growth.bodies,
    "streams": growth.streams,
    "length": growth.length,
}

_BY_NAME = ("connections", "zstd")
"""Parts that only a long run does unasked: nothing that must hold is seen by them."""


def say(text: str) -> None:
    """Progress, on stderr."""
    print(f"bench: {text}", file=sys.stderr, flush=True)  # noqa: T201


def run(names: list[str], scale: Scale, out: Path) -> dict[str, Any]:
    """Start everything, measure it, write the file after each part."""
    found: dict[str, Any] = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "quick": scale == QUICK,
        "machine": machine.describe(),
        "skipped": {},
        "parts": {},
    }
    folder = ROOT / ".run" / "bench" / "work"
    with ExitStack() as stack:
        bench = _start(stack, names, scale, folder, found)
        for name in names:
            start = time.monotonic()
            say(f"{name} …")
            found["parts"][name] = PARTS[name](bench)
            say(f"{name}: {time.monotonic() - start:.0f} s")
            out.write_text(json.dumps(found, indent=1))
    return found


def _start(stack: ExitStack, names: list[str], scale: Scale, folder: Path, found: dict[str, Any]) -> Bench:
    folder.mkdir(parents=True, exist_ok=True)
    upstream = stack.enter_context(programs.stub("upstream", folder))
    litellm = stack.enter_context(programs.stub("litellm", folder))
    config = programs.write_config(litellm.port, folder / "hybrid.yaml")
    running = [
        upstream,
        stack.enter_context(programs.mitmdump(upstream.port, folder)),
        stack.enter_context(programs.mitmdump(upstream.port, folder, streaming=True)),
        stack.enter_context(programs.mitmdump(upstream.port, folder, config)),
        stack.enter_context(programs.serve(upstream.port, folder, config)),
        stack.enter_context(programs.serve(upstream.port, folder, config, 2)),
    ]
    if why := machine.install("nginx"):
        found["skipped"][programs.NGINX] = why
    else:
        running.append(stack.enter_context(programs.nginx(upstream.port, folder)))
    if why := machine.install("wrk"):
        found["skipped"]["wrk"] = why
    bench = Bench({subject.name: subject for subject in running}, scale, folder)
    for name, start in peers.ALL.items() if "peers" in names else ():
        say(f"starting {name} …")
        try:
            bench.subjects[name] = stack.enter_context(start(upstream.port, folder))
        except peers.CannotRunError as e:
            found["skipped"][name] = str(e)
        else:
            bench.peers.append(name)
    for name, why in found["skipped"].items():
        say(f"without {name}: {why}")
    return bench


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench", description="Measure litellm-hybrid beside others."
    )
    parser.add_argument(
        "parts", nargs="*", metavar="PART", help=f"which: {', '.join(PARTS)}; all without one"
    )
    parser.add_argument("--quick", action="store_true", help="less of everything: about 5 minutes")
    parser.add_argument("--long", action="store_true", help="more of everything: three quarters of an hour")
    parser.add_argument("--out", type=Path, help="the JSON file to write; else a new one in .run/bench")
    shows = parser.add_mutually_exclusive_group()
    shows.add_argument("--table", type=Path, metavar="FILE", help="print a run's tables")
    shows.add_argument("--check", type=Path, metavar="FILE", help="print what must hold, and whether it does")
    shows.add_argument(
        "--page", type=Path, metavar="FILE", help="write docs/speed.md, and keep the run for it"
    )
    shows.add_argument("--plot", type=Path, metavar="FILE", help="draw all of a run's plots beside it")
    arguments = parser.parse_args()
    if unknown := set(arguments.parts) - set(PARTS):
        parser.error(f"there is no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    if arguments.table:
        print(table.render(json.loads(arguments.table.read_text())))  # noqa: T201
    elif arguments.check:
        print(checklist.render(json.loads(arguments.check.read_text())))  # noqa: T201
    elif arguments.page:
        kept = ROOT / "docs" / "bench" / "run.json"
        kept.write_text(written := arguments.page.read_text())
        (ROOT / "docs" / "speed.md").write_text(page.render(json.loads(written)))
        plotting.draw(kept, kept.parent, *(file for file, _ in page.PLOTS))
    elif arguments.plot:
        plotting.draw(arguments.plot, arguments.plot.with_suffix(""))
    else:
        out = arguments.out or ROOT / ".run" / "bench" / f"{datetime.now(UTC):%Y%m%d-%H%M%S}.json"
        out.parent.mkdir(parents=True, exist_ok=True)
        scale = QUICK if arguments.quick else LONG if arguments.long else Scale()
        names = arguments.parts or [name for name in PARTS if arguments.long or name not in _BY_NAME]
        found = run(names, scale, out)
        plotting.draw(out, out.with_suffix(""))
        print(f"{table.render(found)}\n\n{checklist.render(found)}")  # noqa: T201
        say(f"written: {out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
