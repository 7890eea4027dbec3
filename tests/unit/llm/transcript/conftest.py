import pytest

from litellm_hybrid.llm.transcript import reader


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where lines are folded is a test of its own."""
    monkeypatch.setattr(reader, "WIDTH", 10_000)
