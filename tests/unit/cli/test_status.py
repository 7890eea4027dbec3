"""What `litellm-hybrid status` says of what falls back."""

import pytest

from litellm_hybrid.cli import status


@pytest.mark.parametrize(("requests", "served"), [(1, "1 request "), (1200, "1,200 requests ")])
def test_what_falls_back_was_seen_when(requests: int, served: str) -> None:
    one = {"model": "o3", "why": "quota", "requests": requests}
    times = {"since": "2026-11-27T11:25:23Z", "last": "2026-11-27T11:27:02Z"}
    line = status._falling_back(one | times)
    assert line == f"o3 ↪ LiteLLM (quota), {served}since 2026-11-27 11:25:23 UTC, last seen 11:27:02"
