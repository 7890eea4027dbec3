"""What scripts/reference makes is what the code says, and what it is made of is whole and true."""

import re
import subprocess
import sys
from dataclasses import fields
from operator import attrgetter
from pathlib import Path
from typing import Any, get_args

import pytest

from litellm_hybrid.config.parser import UPSTREAM_KEYS, parse
from litellm_hybrid.config.schema import BY_NAME, KEYS, Key
from litellm_hybrid.config.settings import (
    FALLBACK_KINDS,
    Fallback,
    HistoryPolicy,
    LogFormat,
    Settings,
    Timeouts,
    WebsocketPolicy,
)
from litellm_hybrid.config.yaml_nodes import Value, compose

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "configuration.md"
ENV = {"LITELLM_API_KEY": "sk-1", "HYBRID_CLIENT_KEY": "sk-2"}
BY_KEY = pytest.mark.parametrize("key", KEYS, ids=lambda key: key.name)


def converted(key: Key, text: str) -> object:
    node = compose(text)
    assert node is not None
    return key.convert(Value(node, ENV))


def test_the_page_is_what_the_code_says() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "reference.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr


def test_a_page_that_has_drifted_is_found(tmp_path: Path) -> None:
    made = ("configuration.md", "fallback.md", "operations.md", "replays.md", "troubleshooting.md")
    sources = (
        "scripts/reference.py",
        "scripts/replays_page.py",
        "docs/configuration.md.in",
        "tests/litellm/replays.json",
    )
    for name in (*sources, *(f"docs/{name}" for name in made)):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        text = (ROOT / name).read_text("utf-8")
        # A default, a number of requests, a code, a metric and a reason: what the code says in each of the pages.
        changed = re.sub(r"`45s`|\*\*\d+ of|`model_cooldown`|_errors_total`|\| LiteLLM ", "changed", text)
        assert (changed != text) == (name.removeprefix("docs/") in made)
        (tmp_path / name).write_text(changed, "utf-8")
    command: list[str | Path] = [sys.executable, tmp_path / "scripts" / "reference.py"]
    checked = subprocess.run([*command, "--check"], capture_output=True, text=True, check=False, timeout=60)
    assert checked.returncode == 1
    for name in made:
        assert f"{name} is not what the code says: run scripts/reference\n" in checked.stderr
    subprocess.run(command, check=True, timeout=60)
    subprocess.run([*command, "--check"], check=True, timeout=60)
    for name in ("configuration.md", "replays.md"):
        assert (tmp_path / "docs" / name).read_text("utf-8") == (ROOT / "docs" / name).read_text("utf-8")


def test_every_setting_has_a_key() -> None:
    """Those that the parser makes out of others have none."""
    parts: tuple[tuple[str, Any], ...] = (("", Settings), ("fallback.", Fallback), ("timeouts.", Timeouts))
    attributes = {f"{prefix}{field.name}" for prefix, kind in parts for field in fields(kind) if field.init}
    made = {"upstream_keys", "no_auth", "mapping_patterns", "fallback", "timeouts"}
    assert {key.field for key in KEYS} == attributes - made


@BY_KEY
def test_the_example_is_valid(key: Key) -> None:
    assert converted(key, key.example) != attrgetter(key.field)(Settings())


@BY_KEY
def test_the_page_says_what_each_key_takes(key: Key) -> None:
    (row,) = (line for line in PAGE.read_text("utf-8").splitlines() if f"</a>`{key.name}`" in line)
    assert f"Takes {key.convert.takes}. Example: " in row


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("fallback.on", FALLBACK_KINDS),
        ("fallback.history", get_args(HistoryPolicy)),
        ("websocket", get_args(WebsocketPolicy)),
        ("log-format", get_args(LogFormat)),
    ],
)
def test_every_word_that_may_be_chosen_is_named(name: str, words: tuple[str, ...]) -> None:
    assert re.findall(r"`([a-z-]+)`", BY_NAME[name].convert.takes) == list(words)
    for word in words:
        converted(BY_NAME[name], f"[{word}]" if name == "fallback.on" else word)


def test_the_durations_that_are_shown_are_some() -> None:
    (line,) = re.findall(r"^- \*\*Durations\*\*: (.*)$", PAGE.read_text("utf-8"), re.MULTILINE)
    shown = re.findall(r"`(\w+)`", line)
    assert len(shown) == 5
    assert [converted(BY_NAME["fallback.sticky"], text) for text in shown] == [0.5, 10, 300, 3600, 90]
    assert converted(BY_NAME["fallback.sticky"], "30") == 30


@pytest.mark.parametrize("text", ["yes", "no", "on", "off", "TRUE", "False"])
def test_true_and_false_have_other_spellings(text: str) -> None:
    assert converted(BY_NAME["enabled"], text) is (text in ("yes", "on", "TRUE"))


def test_cliproxyapis_own_keys_are_named() -> None:
    page = PAGE.read_text("utf-8")
    _, _, rest = page.partition("## What is read of CLIProxyAPI's own settings")
    table, _, _ = rest.partition("\n## ")
    assert {name.partition(".")[0] for name in re.findall(r"`([a-z.-]+)`", table)} >= UPSTREAM_KEYS


def test_every_environment_variable_that_is_read_is_in_the_page() -> None:
    _, _, table = PAGE.read_text("utf-8").partition("## Environment variables")
    cells = re.findall(r"^\| (`[A-Z_]+`.*?) \|", table, re.MULTILINE)
    named = {name for cell in cells for name in re.findall(r"`([A-Z_]+)`", cell)}
    read = set()
    for file in (ROOT / "addon").rglob("*.py"):
        read |= set(re.findall(r"""environ(?:\.get\(|\[)["']([A-Z_]+)""", file.read_text("utf-8")))
    for name in ("run", "web", "integration", "setup", "demo"):
        text = (ROOT / "scripts" / name).read_text("utf-8")
        read |= set(re.findall(r"\$\{((?:HYBRID|UV)_[A-Z_]+):[-+]", text)) - {"UV_PROJECT_ENVIRONMENT"}
    assert named == read


def test_the_yaml_on_the_page_is_valid_in_both_forms() -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    flat = "\n".join(line.partition("# ")[2] for line in block.splitlines() if "# litellm-" in line)
    assert parse(block, source="f", env=ENV).settings == parse(flat, source="f", env=ENV).settings
    assert parse(flat, source="f", env=ENV).settings.routing
