import pytest

from litellm_hybrid.llm import transcript


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where lines are folded is a test of its own."""
    monkeypatch.setattr(transcript, "WIDTH", 10_000)
