"""The tables that come from the code are the code's."""

from docs.tables import DOCUMENT, filled

TEXT = DOCUMENT.read_text(encoding="utf-8")


def test_the_tables_are_those_of_the_code() -> None:
    assert filled(TEXT) == TEXT, "write them anew: PYTHONPATH=addon:tests .venv/bin/python -m docs.tables"
    assert TEXT.count("checked by tests/docs") == 2
