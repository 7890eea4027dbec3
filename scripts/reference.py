#!/usr/bin/env python3
"""Makes docs/configuration.md, the reference of every setting, out of the code.

docs/replays.md is made of a measurement, by replays_page.py.

Names, meanings and examples come from config/schema.py, defaults from `Settings`, the
words of errors and warnings from the parser, and what stands between them from
docs/configuration.md.in.
Start it with scripts/reference.
"""

import argparse
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from textwrap import fill

import replays_page
from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.test import taddons

from litellm_hybrid.addon import HybridAddon
from litellm_hybrid.config.parser import ConfigError, parse
from litellm_hybrid.config.schema import CHAPTERS, DEFAULTS, KEYS, NOT_SET, Key
from litellm_hybrid.config.settings import Address, SettingsStore
from litellm_hybrid.observability.history import ReloadHistory
from litellm_hybrid.observability.log import AppLog
from litellm_hybrid.runtime.lifecycle import ConfigReloader

FILE = Path(__file__).parents[1] / "docs" / "configuration.md"
PROSE = FILE.with_suffix(".md.in")
ENV = {"LITELLM_API_KEY": "sk-1", "HYBRID_CLIENT_KEY": "sk-2"}
WIDTH = 110


def main() -> int:
    """Write, print or check the files."""
    options = argparse.ArgumentParser(description="Make docs/configuration.md and docs/replays.md.")
    options.add_argument("--check", action="store_true", help="end with 1 if one is not up to date")
    options.add_argument("--print", action="store_true", help="print the reference, and write nothing")
    chosen = options.parse_args()
    if chosen.print:
        print(reference(), end="")
        return 0
    drifted = False
    for file, text in ((FILE, reference()), (FILE.with_name("replays.md"), replays_page.page())):
        if not chosen.check:
            file.write_text(text, "utf-8")
        elif not file.exists() or file.read_text("utf-8") != text:
            print(f"{file.name} is not what the code says: run scripts/reference", file=sys.stderr)
            drifted = True
    return 1 if drifted else 0


def reference() -> str:
    """The whole page."""
    parts = {
        "overview": _overview(),
        "settings": _settings(),
        "file": _whole_file(),
        "start": "\n".join(f"- {problem}" for problem in _at_start()),
        "options": _options(),
    }
    _, _, page = PROSE.read_text("utf-8").partition("-->\n")
    return re.sub(r"<!-- (\w+) -->", lambda place: parts[place[1]], page)


def _settings() -> str:
    chapters = []
    for title, keys in CHAPTERS.items():
        chapters.append("\n\n".join([f"## {title}", *map(_setting, keys)]))
    return "\n\n".join(chapters)


def _overview() -> str:
    rows = ["| `extensions.litellm.…` | flat | default | what |", "|---|---|---|---|"]
    for key in KEYS:
        flat = f"`{key.flat}`" if key.flat else ""
        link = f"[`{key.name}`](#{key.name.replace('.', '')})"
        rows.append(f"| {link} | {flat} | {_default(key)} | {_first_sentence(key.meaning)} |")
    return "\n".join(rows)


def _setting(key: Key) -> str:
    facts = (
        f"Takes {key.convert.takes}; default: {_default(key)}. Example: `{_below(key.name, key.example)}`."
    )
    if key.flat:
        facts += f" Flat: `{key.flat}`."
    if key.at_start:
        facts += " Takes effect **at start**."
    return "\n".join([f"### {key.name}", "", _wrapped(key.meaning), "", _wrapped(facts)])


def _default(key: Key) -> str:
    if key.default:
        return key.default
    default = DEFAULTS[key.name]
    return default if default == NOT_SET else f"`{default}`"


def _first_sentence(text: str) -> str:
    return re.split(r"(?<=[.:;])\s", text)[0].rstrip(".:;") + "."


def _wrapped(text: str) -> str:
    return fill(text, WIDTH, break_long_words=False, break_on_hyphens=False)


def _below(name: str, value: str) -> str:
    """A setting as it stands below `extensions.litellm`."""
    section, _, last = name.rpartition(".")
    return f"{section}: {{{last}: {value}}}" if section else f"{last}: {value}"


def _messages(text: str) -> Iterator[tuple[str, str]]:
    """(error or warning, what the parser says) for each thing that it says."""
    try:
        said = [("warning", str(warning)) for warning in parse(text, source="f", env=ENV).warnings]
    except ConfigError as error:
        said = [("error", line) for line in error.problems]
    for what, line in said:
        # The lines are those of a snippet; nobody has that file.
        message = re.sub(r",? (?:\(line \d+\)|on line \d+)", "", re.sub(r"^f(?::\d+)?: ", "", line))
        yield f"**{what}**", message


def _code(text: str) -> str:
    # Code in a cell loses the blanks before it.
    return "<br>".join(
        f"{'&emsp;' * ((len(line) - len(line.lstrip())) // 2)}`{line.lstrip()}`" for line in text.split("\n")
    )


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("*", "\\*").replace("<", "&lt;")


WHOLE = (
    "litellm-modles: [a]",
    "extensions:\n  litellm:\n    modles: [a]",
    "litellm-timeouts: 5s",
    "litellm_base_url: http://127.0.0.1:4000",
    "litellm-models: [a]\nextensions:\n  litellm:\n    models: [b]",
    "litellm-models: [a]\nlitellm-models: [b]",
    "litellm-api-key: ${NOT_SET}",
    "litellm-models: [a",
    "litellm-api-key: *sk-1",
    "litellm-fallback-enabled: true",
    "litellm-hybrid-mode: true",
    "litellm-passthrough-mode: true",
    "litellm-base-url: http://127.0.0.1:4000/v1",
    "litellm-base-url: http://127.0.0.1:8317\nextensions:\n  litellm:\n    upstream-url: http://localhost:8317",
    "api-keys: [1234]",
)


def _whole_file() -> str:
    rows = ["| what is wrong or odd | | is said |", "|---|---|---|"]
    for text in WHOLE:
        for what, message in _messages(text):
            rows.append(f"| {_code(text)} | {what} | {_cell(message)} |")
    return "\n".join(rows)


def _at_start() -> Iterator[str]:
    """What a start says to a file that does not fit its addresses."""
    upstream = Address("http", "127.0.0.1", 8317)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "config.yaml"
        file.write_text("litellm-base-url: http://127.0.0.1:8317\n")
        listener = ("0.0.0.0", 8318, upstream)  # noqa: S104 (it is refused)
        try:
            ConfigReloader(file, [listener], SettingsStore(), ReloadHistory(), AppLog())
        except ConfigError as error:
            for line in error.problems:
                yield line.replace(f"{file}: ", "")


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
