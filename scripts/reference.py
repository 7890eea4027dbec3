#!/usr/bin/env python3
"""Makes docs/configuration.md, the reference of every setting, out of the code.

Names, kinds, defaults and meanings come from config_keys.py, values and examples
from config_help.py, the words of errors and warnings from the parser itself, and what
stands between them from docs/configuration.md.in.
Start it with scripts/reference.
"""

import argparse
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from textwrap import fill, indent

from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.test import taddons

from litellm_hybrid.addon import HybridAddon
from litellm_hybrid.config.parser import ConfigError, parse
from litellm_hybrid.config.reference_texts import GROUPS, HELP, Help
from litellm_hybrid.config.schema import BY_NAME, NAMESPACE, NOT_SET, Key
from litellm_hybrid.config.settings import Address
from litellm_hybrid.runtime.config_reloader import Lifecycle

FILE = Path(__file__).parents[1] / "docs" / "configuration.md"
PROSE = FILE.with_suffix(".md.in")
_FALLBACK_IS_OFF = "fallback is off"
ENV = {"LITELLM_API_KEY": "sk-1", "HYBRID_CLIENT_KEY": "sk-2"}
WIDTH = 110


def main() -> int:
    """Write, print or check the file."""
    options = argparse.ArgumentParser(description="Make docs/configuration.md from the code.")
    options.add_argument("--check", action="store_true", help="end with 1 if the file is not up to date")
    options.add_argument("--print", action="store_true", help="print it, and write nothing")
    chosen = options.parse_args()
    text = reference()
    if chosen.print:
        print(text, end="")
    elif not chosen.check:
        FILE.write_text(text, "utf-8")
    elif not FILE.exists() or FILE.read_text("utf-8") != text:
        print(f"{FILE.name} is not what the code says: run scripts/reference", file=sys.stderr)
        return 1
    return 0


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
    for title, names in GROUPS.items():
        settings = [_setting(BY_NAME[name], HELP[name]) for name in names]
        chapters.append("\n\n".join([f"## {title}", *settings]))
    return "\n\n".join(chapters)


def _overview() -> str:
    rows = ["| `extensions.litellm.…` | flat | default | what |", "|---|---|---|---|"]
    for name in (name for names in GROUPS.values() for name in names):
        key = BY_NAME[name]
        flat = f"`{key.flat}`" if key.flat else ""
        link = f"[`{name}`](#{name.replace('.', '')})"
        rows.append(f"| {link} | {flat} | {_default(key)} | {_first_sentence(key.meaning)} |")
    return "\n".join(rows)


def _setting(key: Key, about: Help) -> str:
    facts = [
        ("type", key.kind),
        ("values", about.allowed),
        ("default", _default(key)),
        ("flat name", f"`{key.flat}`" if key.flat else "none"),
        ("example", f"`{_below(key.name, about.example)}`"),
        ("takes effect", "**at start**" if about.at_start else "with the next request"),
    ]
    lines = [f"### {key.name}", "", _wrapped(f"{key.meaning} {about.more}"), ""]
    lines += [f"| `{NAMESPACE}{key.name}` | |", "|---|---|"]
    lines += [f"| {name} | {value} |" for name, value in facts]
    if said := list(_said(key, about)):
        lines += ["", "| what is wrong or odd | | is said |", "|---|---|---|"]
        lines += [f"| {_code(text)} | {what} | {_cell(message)} |" for text, what, message in said]
    return "\n".join(lines)


def _default(key: Key) -> str:
    return key.default if key.default == NOT_SET or key.secret else f"`{key.default}`"


def _first_sentence(text: str) -> str:
    return re.split(r"(?<=[.:;])\s", text)[0].rstrip(".:;") + "."


def _wrapped(text: str) -> str:
    return fill(text.strip(), WIDTH, break_long_words=False, break_on_hyphens=False)


def _below(name: str, value: str) -> str:
    """A setting as it stands below `extensions.litellm`."""
    section, _, last = name.rpartition(".")
    return f"{section}: {{{last}: {value}}}" if section else f"{last}: {value}"


def _said(key: Key, about: Help) -> Iterator[tuple[str, str, str]]:
    """What the parser says to wrong values of a setting, and to sections that it does not fit into."""
    for section in (*(_below(key.name, value) for value in about.wrong), *about.odd):
        for what, path, message in _messages("extensions:\n  litellm:\n" + indent(section, "    ")):
            if message.startswith(_FALLBACK_IS_OFF) and key.name != "fallback.enabled":
                continue
            alone = path in {"", NAMESPACE + key.name}
            yield section, what, message if alone else f"{path}: {message}"


def _messages(text: str) -> Iterator[tuple[str, str, str]]:
    """(error or warning, key, message) for each thing that the parser says."""
    try:
        said = [("warning", str(line)) for line in parse(text, source="f", env=ENV).warnings]
    except ConfigError as error:
        said = [("error", line) for line in error.problems]
    for what, line in said:
        found = re.fullmatch(r"f(?::\d+)?: (?:([a-z.-]+): )?(.*)", line)
        assert found
        # The lines are those of a snippet; nobody has that file.
        yield f"**{what}**", found[1] or "", re.sub(r",? (?:\(line \d+\)|on line \d+)", "", found[2])


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
    "api-keys: [1234]",
)


def _whole_file() -> str:
    rows = ["| what is wrong or odd | | is said |", "|---|---|---|"]
    for text in WHOLE:
        for what, path, message in _messages(text):
            if not message.startswith(_FALLBACK_IS_OFF):
                rows.append(
                    f"| {_code(text)} | {what} | {_cell(f'{path}: {message}' if path else message)} |"
                )
    return "\n".join(rows)


def _at_start() -> Iterator[str]:
    """What a start says to a file that does not fit its addresses."""
    upstream = Address("http", "127.0.0.1", 8317)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "config.yaml"
        file.write_text("litellm-base-url: http://127.0.0.1:8317\n")
        try:
            Lifecycle(file, [("0.0.0.0", 8318, upstream)])  # noqa: S104 (it is refused)
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
