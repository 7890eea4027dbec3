"""The demo stays up for real clients, and its account is exhausted and refilled by keys and from elsewhere."""

import os
import pty
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from support.processes import PATIENCE, ROOT

DEMO = (sys.executable, str(ROOT / "scripts" / "demo.py"))


class Terminal:
    """The demo on a terminal of its own."""

    def __init__(self, *args: str) -> None:
        self._master, slave = pty.openpty()
        self.popen = subprocess.Popen([*DEMO, *args], stdin=slave, stdout=slave, stderr=slave)
        os.close(slave)
        self._shown = ""

    def press(self, key: str) -> None:
        os.write(self._master, key.encode())

    def until(self, pattern: str) -> str:
        """Wait until something is shown that was not there before; returns its first group."""
        os.set_blocking(self._master, False)
        deadline = time.monotonic() + PATIENCE
        while (found := re.search(pattern, self._shown)) is None:
            assert time.monotonic() < deadline, self._shown
            assert self.popen.poll() is None, self._shown
            try:
                self._shown += os.read(self._master, 65536).decode()
            except BlockingIOError:
                time.sleep(0.05)
        self._shown = self._shown[found.end() :]
        return found[found.lastindex or 0]

    def end(self) -> int:
        """Take what it still writes, or it would wait for that for ever."""
        deadline = time.monotonic() + PATIENCE
        while self.popen.poll() is None and time.monotonic() < deadline:
            try:
                os.read(self._master, 65536)
            except BlockingIOError:
                time.sleep(0.05)
            except OSError:
                break
        code = self.popen.wait(60)
        os.close(self._master)
        return code


@pytest.fixture
def demo() -> Iterator[Terminal]:
    terminal = Terminal("--web")
    try:
        yield terminal
    finally:
        if terminal.popen.poll() is None:
            terminal.popen.terminate()
            terminal.end()


def route(url: str) -> str:
    answer = httpx.post(
        f"{url}/v1/chat/completions",
        json={"model": "gpt-4.1", "messages": [{"role": "user", "content": "hi"}]},
        trust_env=False,
        timeout=60,
    )
    assert answer.status_code == 200
    return str(answer.headers["x-hybrid-route"]).partition(";")[0]


@pytest.mark.timeout(900)  # it starts two LiteLLMs
def test_its_account_can_be_exhausted_and_refilled(demo: Terminal) -> None:
    url = demo.until(r"OPENAI_BASE_URL=(http://\S+?)/v1")
    assert httpx.get(demo.until(r"mitmweb +(http://\S+)"), trust_env=False).status_code == 200
    demo.until("Ctrl-C")
    assert route(url) == "upstream"
    demo.press("e")
    demo.until("exhausted")
    assert route(url) == "litellm"
    demo.press("r")
    demo.until("refilled")
    assert route(url) == "upstream"

    for what, target in (("exhaust", "litellm"), ("refill", "upstream")):
        subprocess.run([*DEMO, what], check=True, timeout=60)
        assert route(url) == target

    demo.press("q")
    assert demo.end() == 0
    assert not Path(ROOT / ".run" / "demo").exists()
    assert subprocess.run([*DEMO, "exhaust"], check=False, timeout=60, capture_output=True).returncode == 1
