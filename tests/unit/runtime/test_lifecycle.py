"""What the start does to the process: freed memory stays for the next body."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from litellm_hybrid.runtime import lifecycle

_BODIES = """
import resource, sys
from litellm_hybrid.runtime import lifecycle
if sys.argv[1] == "kept":
    assert lifecycle.tune_malloc()
def turn():
    bodies = [b"x" * (2 * 2**20) for _ in range(8)]
turn()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    turn()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
_PAGES = 20 * 8 * 2 * 2**20 // os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(sys.platform != "linux", reason="it is about glibc")
@pytest.mark.parametrize(("how", "page_by_page"), [("left", True), ("kept", False)])
def test_memory_for_the_next_body_is_not_fetched_again(how: str, page_by_page: bool) -> None:
    env = os.environ | {"PYTHONPATH": str(Path(lifecycle.__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", _BODIES, how], capture_output=True, check=True, text=True, env=env
    )
    assert (int(done.stdout) > _PAGES // 2) == page_by_page


def test_another_system_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not lifecycle.tune_malloc()
