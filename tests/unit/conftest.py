"""The unit tests are quick to collect: vendors' SDKs are imported where a test needs them."""

import sys

import pytest

SDKS = ("openai", "anthropic", "google.genai")


def pytest_collection_finish(session: pytest.Session) -> None:
    here = [item for item in session.items if "unit" in item.path.parts]
    if len(here) == len(session.items) and (loaded := [sdk for sdk in SDKS if sdk in sys.modules]):
        raise pytest.UsageError(f"collecting the unit tests imported {', '.join(loaded)}")
