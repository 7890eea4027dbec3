import json
import logging
import re
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from litellm_hybrid import log
from litellm_hybrid.settings import LogFormat, Secret

CLOCK = re.compile(r"\[\d\d:\d\d:\d\d\.\d{3}\] ")
CONTROLS = "\n\r\x1b[31m\x00\x7f\x85\x9b\u2028\u2029"


@pytest.fixture(autouse=True)
def _installed() -> Iterator[None]:
    log.install(None)
    yield
    log.use_format("text")
    log.uninstall()


def line(
    capsys: pytest.CaptureFixture[str], log_format: LogFormat, level: int, message: str, **fields: object
) -> str:
    log.use_format(log_format)
    log.emit(level, message, **fields)
    written = capsys.readouterr().out
    assert isinstance(written, str)
    assert written.endswith("\n")
    return written[:-1]


@pytest.mark.parametrize(
    ("level", "message", "fields", "expected"),
    [
        (logging.INFO, "litellm routing: gpt-5 → LiteLLM", {}, "litellm routing: gpt-5 → LiteLLM"),
        (logging.WARNING, "w", {}, "WARNING w"),
        (logging.ERROR, "e", {"a": 1, "b": None, "c": 0}, "ERROR e a=1 c=0"),
        (logging.INFO, "100% %s", {"t": 1.23456}, "100% %s t=1.235"),
        (logging.INFO, "m", {"a": "x y", "b": 'q"', "c": "d=e", "f": ""}, r'm a="x y" b="q\"" c="d=e" f=""'),
        (logging.INFO, "m", {"a": "ü→"}, "m a=ü→"),
        (logging.INFO, "m", {"key": Secret("sk-1")}, "m key=***"),
        (logging.INFO, "m", {"keys": (Secret("sk-1"),)}, "m keys=(***,)"),
    ],
)
def test_text(
    capsys: pytest.CaptureFixture[str], level: int, message: str, fields: dict[str, Any], expected: str
) -> None:
    written = line(capsys, "text", level, message, **fields)
    assert CLOCK.match(written)
    assert CLOCK.sub("", written, count=1) == expected


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    written = line(
        capsys, "json", logging.WARNING, "a → b", model="ü", status=502, none=None, key=Secret("sk-1"), t=1.5
    )
    entry = json.loads(written)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", entry.pop("time"))
    assert entry == {
        "level": "warning",
        "message": "a → b",
        "model": "ü",
        "status": 502,
        "key": "***",
        "t": 1.5,
    }
    assert "→" in written


@pytest.mark.parametrize("log_format", ["text", "json"])
@pytest.mark.parametrize("control", CONTROLS.replace("[31m", ""), ids=ascii)
def test_control_characters_forge_no_line_and_drive_no_terminal(
    capsys: pytest.CaptureFixture[str], log_format: LogFormat, control: str
) -> None:
    forged = f"x{control}[00:00:00.000] forged"
    written = line(capsys, log_format, logging.INFO, forged, model=forged, path=f"a{control}b")
    assert control not in written
    assert len(written.splitlines()) == 1
    if log_format == "json":
        entry = json.loads(written)
        assert (entry["message"], entry["model"], entry["path"]) == (forged, forged, f"a{control}b")


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_a_traceback_forges_no_line_either(capsys: pytest.CaptureFixture[str], log_format: LogFormat) -> None:
    log.use_format(log_format)
    error = ValueError(f"{CONTROLS}\n[00:00:00.000] forged")
    log.logger.error("it failed", exc_info=error)
    written = capsys.readouterr().out
    first, *rest = written.splitlines()
    assert "it failed" in first
    assert "\x1b" not in written
    if log_format == "json":
        assert not rest
        assert "forged" in json.loads(first)["traceback"]
    else:
        assert "ERROR it failed" in first
        assert any("ValueError" in text for text in rest)
        assert all(text.startswith("  ") for text in rest)


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_half_an_emoji_is_written_with_a_backslash(
    capfdbinary: pytest.CaptureFixture[bytes], log_format: LogFormat
) -> None:
    log.install(None)
    log.use_format(log_format)
    log.emit(logging.INFO, "a\ud83db →")
    sys.stdout.flush()
    written = capfdbinary.readouterr().out
    assert rb"a\ud83db " + "→".encode() in written
    if log_format == "json":
        assert json.loads(written)["message"] == "a\ud83db →"


def test_a_closed_stdout_raises_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Closed:
        def write(self, _: str) -> int:
            raise BrokenPipeError

        def flush(self) -> None:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stdout", Closed())
    log.emit(logging.INFO, "m")
    monkeypatch.undo()
    assert "BrokenPipeError" in capsys.readouterr().err


def test_a_line_is_written_once_however_often_it_is_installed(capsys: pytest.CaptureFixture[str]) -> None:
    log.install(None)
    assert line(capsys, "text", logging.INFO, "once").count("once") == 1


def test_debug_lines_are_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    log.emit(logging.DEBUG, "m")
    assert capsys.readouterr().out == ""


def test_after_uninstall_nothing_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    log.uninstall()
    log.emit(logging.INFO, "m")
    assert capsys.readouterr().out == ""


class TermLog:
    """The shape of mitmproxy's addon of that name."""

    def __init__(self) -> None:
        self.logger: logging.Handler = logging.NullHandler()


@pytest.mark.parametrize(("name", "passes"), [("litellm_hybrid", False), ("mitmproxy.proxy.server", True)])
def test_mitmproxys_terminal_log_leaves_our_lines_to_us(name: str, *, passes: bool) -> None:
    termlog = TermLog()
    log.install(termlog)
    log.install(termlog)
    assert len(termlog.logger.filters) == 1
    assert bool(termlog.logger.filter(logging.LogRecord(name, logging.INFO, "", 1, "m", (), None))) is passes


def test_known_secrets_are_hidden_in_messages_and_fields(caplog: pytest.LogCaptureFixture) -> None:
    secret = "sk-litellm-0123456789"
    log.hide([Secret(secret), Secret("short")])
    try:
        with caplog.at_level(logging.INFO, logger="litellm_hybrid"):
            log.emit(logging.INFO, f"LiteLLM says: {secret} is wrong", words=f"short {secret}", count=3)
    finally:
        log.hide([])

    (record,) = caplog.records
    assert record.getMessage() == "LiteLLM says: *** is wrong"
    assert record.__dict__["fields"] == {"words": "short ***", "count": 3}
