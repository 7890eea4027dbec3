"""docs/versions.md and the comparison in docs/fallback.md, written from the results of `verify-upstream --binary`."""

import re
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from real.agents import AGENTS, Played
from support.processes import ROOT

PAGE = ROOT / "docs" / "versions.md"
FALLBACK = ROOT / "docs" / "fallback.md"

type Result = Mapping[str, Any]


def write(results: Sequence[Result], agents: Sequence[Played] = ()) -> None:
    """Write the measured part of both pages; without agents, theirs stays as it is."""
    replace(PAGE, "\n".join(versions(results)))
    if agents:
        replace(PAGE, "\n".join(sessions(agents)), "agents")
    replace(FALLBACK, "\n".join(comparison(results)), "own")
    if any(result["waits"] for result in results):
        replace(FALLBACK, "\n".join(waits(results)), "waits")


def replace(page: Path, text: str, part: str = "versions") -> None:
    """Put a text between the marks of a page; a page without marks is left alone."""
    begin, end = f"<!-- verify-upstream: {part} -->", f"<!-- verify-upstream: end of {part} -->"
    old = page.read_text(encoding="utf-8")
    new = re.sub(f"{begin}.*?{end}", lambda _: f"{begin}\n{text}\n{end}", old, flags=re.DOTALL)
    page.write_text(new, encoding="utf-8")


def sessions(agents: Sequence[Played]) -> list[str]:
    """How the agents' sessions went: a line for those of a client that went the same way."""
    lines = ["| sessions | client | what came of it |", "|---|---|---|"]
    alike: dict[str, list[str]] = {}
    for played in agents:
        well = "exit code 0, every step run once, nothing noticed"
        if AGENTS[played.name].excepted:
            well = "ends with its provider's refusal, as it has to: nothing was sent to LiteLLM"
        said = "; ".join(played.problems) or well
        alike.setdefault(f"{played.versions} | {said}", []).append(played.name)
    return [*lines, *(f"| {', '.join(names)} | {went} |" for went, names in alike.items())]


def litellm_version() -> str:
    """Of the LiteLLM that the tests run."""
    text = (ROOT / "tests" / "litellm" / "requirements.txt").read_text(encoding="utf-8")
    found = re.search(r"^litellm(?:\[[^]]*\])?==(\S+)", text, re.MULTILINE)
    return found[1] if found else "unknown"


def versions(results: Sequence[Result]) -> list[str]:
    """What was run with which version."""
    lines = [
        "| program | version | what was run |",
        "|---|---|---|",
        f"| mitmproxy | {version('mitmproxy')} | everything below, and `./scripts/test` |",
        f"| LiteLLM | {litellm_version()} | tests/litellm, and the agents below |",
    ]
    for result in results:
        ok = sum(row["state"] == "ok" for row in result["rows"])
        for by, found in result["by"].items():
            sums = found["all"]
            lines.append(
                f"| CLIProxyAPI by {by} | {result['version']} | {sums['failures'] + sums['others']} questions: "
                f"{sums['caught']} of {sums['failures']} failures fall back, {sums['sent']} of {sums['others']} "
                f"others; {sums['read']} of {sums['stated']} waits read; {ok} of {len(result['rows'])} scenarios |"
            )
    return lines


def comparison(results: Sequence[Result]) -> list[str]:
    """CLIProxyAPI's own fallback beside ours."""
    lines = [
        "| CLIProxyAPI | failures | caught here | by its own fallback | others | sent on here | by its own |",
        "|---|---|---|---|---|---|---|",
    ]
    for result in results:
        for by, found in result["by"].items():
            sums = found["all"]
            if not sums["own_of"]:
                continue
            lines.append(
                f"| {result['version']}, by {by} | {sums['failures']} | {_share(sums['caught'], sums['failures'])} | "
                f"{_share(sums['own_caught'], sums['own_of'])} | {sums['others']} | {sums['sent']} | {sums['own_sent']} |"
            )
    return lines


def waits(results: Sequence[Result]) -> list[str]:
    """How long CLIProxyAPI retries before it tells a failure."""
    names = [result["version"] for result in results if result["waits"]]
    lines = [
        f"| what the provider said | settings | {' | '.join(names)} |",
        f"|---|---|{'---|' * len(names)}",
    ]
    timed = [{(w["what"], w["settings"]): w["seconds"] for w in r["waits"]} for r in results if r["waits"]]
    said = dict.fromkeys((what.rpartition(", ")[0], settings) for what, settings in timed[0])
    for what, settings in said:  # of each the first and the second request
        asked = [(f"{what}, {which} request", settings) for which in ("first", "second")]
        cells = " | ".join(", ".join(f"{times.get(each, 0):.1f}" for each in asked) for times in timed)
        lines.append(f"| {what} | {settings} | {cells} |")
    return lines


def _share(part: int, whole: int) -> str:
    return f"{part} ({part / whole:.1%})" if whole else "-"
