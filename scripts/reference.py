#!/usr/bin/env python3
"""Makes what the code says in the documents, or finds what has drifted.

- docs/configuration.md: names, meanings and examples from config/schema.py, defaults from `Settings`, and
  what stands between them from docs/configuration.md.in.
- docs/replays.md: of a measurement, by replays_page.py.
- The tables behind `<!-- generated: NAME -->` in docs/troubleshooting.md, docs/fallback.md and
  docs/operations.md: of the catalogue of reasons, of the rules' codes, and of the metrics.

Start it with scripts/reference.
"""

import argparse
import re
import sys
from pathlib import Path

import replays_page
from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.test import taddons

from litellm_hybrid.addon import HybridAddon
from litellm_hybrid.config.schema import CHAPTERS, DEFAULTS, NOT_SET, Key
from litellm_hybrid.config.settings import FALLBACK_KINDS
from litellm_hybrid.diagnostics.reasons import FALLBACK_FAILURES, REASONS
from litellm_hybrid.observability.metrics import FAMILIES
from litellm_hybrid.quota.rules import RULES
from litellm_hybrid.routing.rules import Target

_FILLED = ("fallback.md", "operations.md", "troubleshooting.md")
DOCS = Path(__file__).parents[1] / "docs"


def main() -> int:
    """Write, print or check the files."""
    options = argparse.ArgumentParser(description="Make what the code says in docs/.")
    options.add_argument("--check", action="store_true", help="end with 1 if something is not up to date")
    options.add_argument(
        "--print", action="store_true", help="print the configuration's page, and write nothing"
    )
    chosen = options.parse_args()
    if chosen.print:
        print(reference(), end="")
        return 0
    pages = {"configuration.md": reference(), "replays.md": replays_page.page()}
    pages |= {name: with_tables((DOCS / name).read_text("utf-8")) for name in _FILLED}
    drifted = False
    for name, text in pages.items():
        file = DOCS / name
        if not chosen.check:
            file.write_text(text, "utf-8")
        elif not file.exists() or file.read_text("utf-8") != text:
            print(f"{name} is not what the code says: run scripts/reference", file=sys.stderr)
            drifted = True
    return 1 if drifted else 0


def with_tables(text: str) -> str:
    """A document with its generated tables as they should be."""
    return re.sub(
        r"(<!-- generated: ([a-z-]+) -->\n).*?(?=<!-- end -->)",
        lambda found: found[1] + "".join(f"{line}\n" for line in _TABLES[found[2]]()),
        text,
        flags=re.DOTALL,
    )


def _reasons() -> list[str]:
    """A row for each reason of the route header."""
    by = {Target.LITELLM: "LiteLLM", Target.UPSTREAM: "upstream", Target.NONE: "the proxy itself"}
    rows = [
        f"| `{reason}` | {by[said.target]} | {said.means} | {said.fix} |" for reason, said in REASONS.items()
    ]
    return ["| reason | answered by | means | fix |", "|---|---|---|---|", *rows]


def _fallback_failures() -> list[str]:
    """A row for each word behind `fallback-failed=`."""
    rows = [f"| `{why}` | {means} | {fix} |" for why, (means, fix) in FALLBACK_FAILURES.items()]
    return ["| `fallback-failed=` | means | fix |", "|---|---|---|", *rows]


def _codes() -> list[str]:
    """A row for each kind with the codes that decide it."""
    rows = []
    for kind in (*FALLBACK_KINDS, "none"):
        codes = sorted(frozenset().union(*(rule.names for rule in RULES if rule.kind == kind)))
        if codes:
            rows.append(f"| `{kind}` | {', '.join(f'`{code}`' for code in codes)} |")
    return ["| kind | codes |", "|---|---|", *rows]


def _metrics() -> list[str]:
    """A row for each metric."""
    rows = []
    for family in FAMILIES:
        labels = ", ".join(f"`{label}`" for label in family.labels)
        rows.append(f"| `{family.full_name}` | {family.kind} | {labels} | {family.help} |")
    return ["| metric | type | labels | meaning |", "|---|---|---|---|", *rows]


_TABLES = {
    "reasons": _reasons,
    "fallback-failures": _fallback_failures,
    "codes": _codes,
    "metrics": _metrics,
}


def reference() -> str:
    """The whole page."""
    parts = {
        "settings": _settings(),
        "options": _options(),
    }
    _, _, page = (DOCS / "configuration.md.in").read_text("utf-8").partition("-->\n")
    return re.sub(r"<!-- (\w+) -->", lambda place: parts[place[1]], page)


def _settings() -> str:
    chapters = []
    for title, keys in CHAPTERS.items():
        rows = ["| `extensions.litellm.…` | default | what |", "|---|---|---|", *map(_setting, keys)]
        chapters.append("\n".join([f"### {title}", "", *rows]))
    return "\n\n".join(chapters)


def _setting(key: Key) -> str:
    name = f'<a id="{key.name.replace(".", "")}"></a>`{key.name}`'
    if key.flat:
        name += f"<br>`{key.flat}`"
    text = f"{key.meaning} Takes {key.convert.takes}. Example: `{_below(key.name, key.example)}`."
    if key.at_start:
        text += " Takes effect **at start**."
    return f"| {name} | {_default(key)} | {text.replace('|', '\\|')} |"


def _default(key: Key) -> str:
    if key.default:
        return key.default
    default = DEFAULTS[key.name]
    return default if default == NOT_SET else f"`{default}`"


def _below(name: str, value: str) -> str:
    """A setting as it stands below `extensions.litellm`."""
    section, _, last = name.rpartition(".")
    return f"{section}: {{{last}: {value}}}" if section else f"{last}: {value}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("*", "\\*").replace("<", "&lt;")


def _options() -> str:
    rows = ["| `--set …` | default | what |", "|---|---|---|"]
    with taddons.context(Proxyserver()) as context:
        known = set(context.options.keys())
        context.master.addons.add(HybridAddon())
        for name in sorted(set(context.options.keys()) - known):
            option = context.options._options[name]  # noqa: SLF001 (there is no other way to its help)
            default = f"`{option.default}`" if option.default else NOT_SET
            rows.append(f"| `{name}` | {default} | {_cell(option.help)} |")
    return "\n".join(rows)


if __name__ == "__main__":
    sys.exit(main())
