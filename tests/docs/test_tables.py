"""The tables that come from the code are the code's."""

from docs.tables import DOCUMENT, filled
from litellm_hybrid.routing.rules import Reason
from support.processes import ROOT

TEXT = DOCUMENT.read_text(encoding="utf-8")


def test_the_tables_are_those_of_the_code() -> None:
    assert filled(TEXT) == TEXT, "write them anew: PYTHONPATH=addon:tests .venv/bin/python -m docs.tables"
    assert TEXT.count("checked by tests/docs") == 2


def test_every_reason_has_a_section_with_a_command() -> None:
    for reason in Reason:
        assert f"\n### {reason}\n" in TEXT, reason
        section = TEXT.partition(f"\n### {reason}\n")[2].partition("\n### ")[0]
        assert "```console\n$ litellm-hybrid explain " in section, reason
        assert f"reason={reason}" in section or f"reason  {reason}:" in section, reason


def test_the_readme_names_every_reason() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for reason in Reason:
        assert f"`{reason}`" in readme, reason
