"""Every link of a document leads somewhere, and every test that it names is there."""

import re
from pathlib import Path

import pytest

from docs.blocks import documents
from support.processes import ROOT

PAGES = [*documents(ROOT), ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
EACH = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def _anchors(page: Path) -> set[str]:
    """What GitHub makes of the headings, and those that stand in the text."""
    text = page.read_text("utf-8")
    heads = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {*re.findall(r'<a id="([^"]+)">', text)} | {
        re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads
    }


@EACH
def test_every_link_leads_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"(?<!`)\]\(([^)\s]+)\)", text):
        path, _, anchor = target.partition("#")
        if "://" in path:
            continue
        there = page.parent / path if path else page
        assert there.exists(), target
        assert not anchor or anchor in _anchors(there), target


@EACH
def test_every_test_that_is_named_is_there(page: Path) -> None:
    """`::name` stands for a test of the file named last, `test_x.py` for the one of that name."""
    files: list[Path] = []
    named = r"`((?:tests/[\w/]*)?(?:test_\w+\.py)|tests/[\w/]+)?(?:::(\w+))?`"
    for path, name in re.findall(named, page.read_text("utf-8")):
        if path:
            files = [ROOT / path] if path.startswith("tests/") else [*(ROOT / "tests").rglob(path)]
            assert any(file.exists() for file in files), path
        if name:
            found = (
                re.search(rf"^(?:async )?def {name}\(", file.read_text("utf-8"), re.MULTILINE)
                for file in files
            )
            assert any(found), name


@pytest.mark.parametrize("name", ["docs/architecture.md", "docs/upstreaming.md", "CONTRIBUTING.md"])
def test_every_file_that_is_named_is_there(name: str) -> None:
    """From the root, or from the package."""
    text = (ROOT / name).read_text("utf-8")
    paths = set(re.findall(r"`((?:[\w.-]+/)*[\w-]+\.(?:py|json|yaml|toml)|(?:[\w-]+/)+)`", text))
    assert paths
    roots = (ROOT, ROOT / "addon" / "litellm_hybrid")
    missing = {path for path in paths if not any((root / path).exists() for root in roots)}
    assert not {path for path in missing if not path.startswith("test_")}
