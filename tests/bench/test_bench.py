"""What the benchmark computes; that it runs is seen by running it."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench import checklist, load, measure, page, procfs, table, work
from bench.load import Load
from bench.stub import Stub
from support.processes import ROOT


@pytest.mark.parametrize("size", [1024, 90 * 1024, 2 * 1024 * 1024])
def test_body_has_exactly_the_size_that_is_asked_for(size: int) -> None:
    body = work.body(size, "plain", stream=True)
    assert len(body) == size
    assert json.loads(body)["model"] == "plain"


def test_a_subjects_own_header_replaces_the_common_one() -> None:
    head, _, body = work.request("/x", b"{}", (("Authorization", "Bearer other"),)).partition(b"\r\n\r\n")
    assert head.count(b"Authorization: ") == 1
    assert b"Authorization: Bearer other" in head
    assert body == b"{}"


@pytest.mark.parametrize(("percent", "expected"), [(50, 2.0), (99, 4.0), (0, 1.0)])
def test_percentile_is_one_of_the_values(percent: float, expected: float) -> None:
    assert measure.percentile([4.0, 1.0, 3.0, 2.0], percent) == expected


@pytest.mark.parametrize(
    ("name", "model", "status", "expect", "good"),
    [
        ("upstream", "plain", 200, "x-answered-by: upstream", True),
        ("upstream", "plain", 200, "x-answered-by: litellm", False),
        ("upstream", "limited", 429, "", True),
        ("upstream", "limited", 200, "", False),
        ("litellm", "limited", 200, "", True),
        ("litellm", "openai/routed/plain", 200, "", True),
    ],
)
async def test_stub_and_load_agree(
    tmp_path: Path, name: str, model: str, status: int, expect: str, good: bool
) -> None:
    result = await _ask(tmp_path, name, work.body(5000, model), status=status, expect=expect)
    assert (len(result.times), result.errors) == ((6, 0) if good else (0, 6))


@pytest.mark.parametrize("model", ["sse-4-1", "held-4-1", "sse-4-0"])
async def test_every_event_of_a_stream_is_counted(tmp_path: Path, model: str) -> None:
    result = await _ask(tmp_path, "upstream", work.body(1024, model, stream=True))
    assert (len(result.times), len(result.firsts), len(result.delays), result.errors) == (6, 6, 24, 0)


async def _ask(folder: Path, name: str, body: bytes, *, status: int = 200, expect: str = "") -> load.Result:
    file = folder / "request"
    file.write_bytes(work.request("/v1/chat/completions", body))
    server = await asyncio.get_running_loop().create_server(lambda: Stub(name), "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        return await load.run(Load(port, str(file), clients=2, count=6, status=status, expect=expect))


def test_usage_counts_a_child_and_what_it_has_used() -> None:
    code = (
        "import time; b = bytearray(60 << 20); t = time.process_time\nwhile t() < 0.2: pass\nprint(); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdin
        assert child.stdout
        child.stdout.readline()
        assert child.pid in procfs.tree(os.getpid())
        used = procfs.usage([child.pid])
        child.stdin.close()
    assert used.cpu_ms >= 150
    assert used.peak_mb >= 60


_RUN = {
    "date": "2026-01-02 03:04 UTC",
    "quick": True,
    "machine": {
        "cpu": "a CPU",
        "cores": "2",
        "memory": "4 GB",
        "system": "Linux 6",
        "python": "3.13",
        "mitmproxy": "12",
    },
    "skipped": {"nginx": "not installed"},
    "parts": {
        "plain": {
            "1 KB, upstream": {
                "mitmdump -q": {"rps": [900, 1000, 1100], "cpu_ms": [1.0, 1.0, 1.0], "errors": [0, 0, 0]},
                "serve": {"rps": [1400, 1500, 1700], "cpu_ms": [0.8, 0.8, 0.8], "errors": [0, 2, 0]},
            }
        }
    },
}


def test_table_shows_medians_spreads_errors_and_what_was_left_out() -> None:
    shown = table.render(_RUN)
    assert "Measured on 2026-01-02 03:04 UTC, a quick run: a CPU, 2 cores" in shown
    assert "| 1 KB, upstream | serve (2 errors) | 1,500 (1,400 to 1,700) |" in shown
    assert "Left out: nginx: not installed" in shown


def test_checklist_says_what_holds_what_fails_and_what_was_not_measured() -> None:
    shown = checklist.render(_RUN).splitlines()
    assert "- holds: `serve`, 1 KB: requests/s against bare mitmdump: 1.50 times (must be ≥ 1.4)" in shown
    assert "- FAILS: `serve`, 1 KB: CPU a request against bare mitmdump: 0.80 times (must be ≤ 0.75)" in shown
    assert "- not measured: 2 workers: CPU a request against 1 worker: - times (must be ≤ 1.1)" in shown


def test_the_documents_show_the_run_that_is_kept() -> None:
    run = json.loads((ROOT / "docs" / "bench" / "run.json").read_text())
    assert (ROOT / "docs" / "speed.md").read_text() == page.render(run), (
        "write it again: scripts/bench --page"
    )
    assert all((ROOT / "docs" / "bench" / name).is_file() for name, _ in page.PLOTS)
