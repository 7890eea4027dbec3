import asyncio
import json
import logging
import os
import pty
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import litellm_hybrid
from litellm_hybrid.config.settings import LogFormat, Secret
from litellm_hybrid.observability import log
from litellm_hybrid.observability.log import AppLog
from litellm_hybrid.observability.log_format import TextFormatter

CLOCK = re.compile(r"\[\d\d:\d\d:\d\d\.\d{3}\] ")
type Line = Callable[..., str]

CONTROLS = "\n\r\x1b[31m\x00\x7f\x85\x9b\u2028\u2029"


@pytest.fixture(autouse=True)
def app_log() -> Iterator[AppLog]:
    app_log = AppLog()
    app_log.install(None)
    yield app_log
    app_log.use_format("text")
    app_log.uninstall()


@pytest.fixture
def line(app_log: AppLog, capsys: pytest.CaptureFixture[str]) -> Line:
    """Emits a line in a format, and gives back what stands on stdout without its end."""

    def emit(log_format: LogFormat, level: int, message: str, **fields: object) -> str:
        app_log.use_format(log_format)
        log.emit(level, message, **fields)  # type: ignore[arg-type]
        written = capsys.readouterr().out
        assert written.endswith("\n")
        return written[:-1]

    return emit


def _identity(text: str) -> str:
    return text


@pytest.mark.parametrize(
    ("level", "message", "fields", "expected"),
    [
        (logging.INFO, "litellm routing: gpt-5 → LiteLLM", {}, "INFO    litellm routing: gpt-5 → LiteLLM"),
        (logging.WARNING, "w", {}, "WARNING w"),
        (logging.ERROR, "e", {"reason": "a", "kind": None, "bytes": 0}, "ERROR   e reason=a bytes=0"),
        (logging.INFO, "100% %s", {"duration_ms": 1.23456}, "INFO    100% %s duration_ms=1.235"),
        (
            logging.INFO,
            "m",
            {"duration_ms": 7.5, "retry_after": 30.0},
            "INFO    m duration_ms=7.5 retry_after=30",
        ),
        (
            logging.INFO,
            "m",
            {"rule": "x y", "kind": 'q"', "error": "d=e", "model": ""},
            r'INFO    m rule="x y" kind="q\"" error="d=e" model=""',
        ),
        (logging.INFO, "m", {"model": "ü→"}, "INFO    m model=ü→"),
        (logging.INFO, "m", {"model": Secret("sk-1")}, "INFO    m model=***"),
        # Programs look for an event, people for the message.
        (logging.INFO, "m", {"event": "routed", "span_id": "00f067aa0ba902b7"}, "INFO    m"),
        # The request's id is where the eye finds it, whatever the caller's order.
        (
            logging.INFO,
            "m",
            {"request_id": "id-1", "trace_id": "4bf9", "kind": "quota"},
            "INFO    m kind=quota trace_id=4bf9 request_id=id-1",
        ),
        # What the message says is not said twice; a part of a word is something else.
        (
            logging.INFO,
            "litellm 200 POST /v1/messages",
            {"status": 200, "target": "litellm", "method": "POST", "path": "/v1/messages", "model": "v1"},
            "INFO    litellm 200 POST /v1/messages model=v1",
        ),
        (
            logging.ERROR,
            "litellm proxy error for POST /p: it broke",
            {"path": "/p", "error": "it broke", "model": "p"},
            "ERROR   litellm proxy error for POST /p: it broke model=p",
        ),
        (logging.INFO, "status 200", {"status": 200, "bytes": 200}, "INFO    status 200 bytes=200"),
    ],
)
def test_text(line: Line, level: int, message: str, fields: dict[str, Any], expected: str) -> None:
    written = line("text", level, message, **fields)
    assert CLOCK.match(written)
    assert CLOCK.sub("", written, count=1) == expected


def record(
    message: str, level: int = logging.INFO, name: str = "mitmproxy.proxy.server", **more: object
) -> logging.LogRecord:
    made = logging.LogRecord(name, level, "", 1, message, (), None)
    made.__dict__.update(more)
    return made


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        (logging.INFO, "\x1b[2m[T]\x1b[0m INFO    m\x1b[2m kind=quota\x1b[0m"),
        (logging.WARNING, "\x1b[2m[T]\x1b[0m \x1b[33mWARNING m\x1b[0m\x1b[2m kind=quota\x1b[0m"),
        (logging.ERROR, "\x1b[2m[T]\x1b[0m \x1b[31mERROR   m\x1b[0m\x1b[2m kind=quota\x1b[0m"),
    ],
)
def test_colors(level: int, expected: str) -> None:
    written = TextFormatter(_identity, colors=True).format(
        record("m", level, "litellm_hybrid", fields={"kind": "quota"})
    )
    assert re.sub(r"\[\d\d:\d\d:\d\d\.\d{3}\]", "[T]", written) == expected


@pytest.mark.parametrize(
    ("env", "colored"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True), ({"TERM": "dumb"}, False)],
)
def test_colors_are_for_a_terminal_whose_user_wants_them(env: dict[str, str], *, colored: bool) -> None:
    ours, theirs = pty.openpty()
    environment = {k: v for k, v in os.environ.items() if k != "NO_COLOR"} | {"TERM": "xterm"} | env
    try:
        _python('log.emit(40, "m", event="error")', stdout=theirs, env=environment)
        written = os.read(ours, 1000)
    finally:
        os.close(ours)
        os.close(theirs)
    assert b"ERROR   m" in written
    assert (b"\x1b" in written) is colored


def test_there_are_no_colors_in_a_file() -> None:
    assert "\x1b" not in _python('log.emit(40, "m", event="error")').stdout


def _python(
    code: str,
    *,
    log_format: LogFormat = "text",
    stdout: int = subprocess.PIPE,
    env: dict[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run code in an interpreter of its own that writes log lines."""
    begin = (
        "from litellm_hybrid.observability import log; "
        f"app_log = log.AppLog({log_format!r}); app_log.install(None)\n"
    )
    return subprocess.run(
        [sys.executable, "-c", begin + textwrap.dedent(code)],
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=60,
        env=(env or dict(os.environ)) | {"PYTHONPATH": str(Path(litellm_hybrid.__file__).parents[1])},
    )


def test_json(line: Line) -> None:
    written = line(
        "json",
        logging.WARNING,
        "a → b",
        event="answered",
        model="ü",
        status=502,
        kind=None,
        litellm_model=Secret("sk-1"),
        duration_ms=1.5,
    )
    entry = json.loads(written)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", entry.pop("time"))
    assert entry == {
        "level": "warning",
        "logger": "litellm_hybrid",
        "message": "a → b",
        "event": "answered",
        "model": "ü",
        "status": 502,
        "litellm_model": "***",
        "duration_ms": 1.5,
    }
    assert "→" in written


@pytest.mark.parametrize("log_format", ["text", "json"])
@pytest.mark.parametrize("control", CONTROLS.replace("[31m", ""), ids=ascii)
def test_control_characters_forge_no_line_and_drive_no_terminal(
    line: Line, log_format: LogFormat, control: str
) -> None:
    forged = f"x{control}[00:00:00.000] forged"
    written = line(log_format, logging.INFO, forged, model=forged, path=f"a{control}b")
    assert control not in written
    assert len(written.splitlines()) == 1
    if log_format == "json":
        entry = json.loads(written)
        assert (entry["message"], entry["model"], entry["path"]) == (forged, forged, f"a{control}b")


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_a_traceback_forges_no_line_either(line: Line, log_format: LogFormat) -> None:
    error = ValueError(f"{CONTROLS}\n[00:00:00.000] forged")
    written = line(log_format, logging.ERROR, "it failed", exc_info=error, event="error")
    first, *rest = written.splitlines()
    assert "it failed" in first
    assert "\x1b" not in written
    if log_format == "json":
        assert not rest
        assert "forged" in json.loads(first)["traceback"]
    else:
        assert "ERROR   it failed" in first
        assert any("ValueError" in text for text in rest)
        assert all(text.startswith("  ") for text in rest)


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_half_an_emoji_is_written_with_a_backslash(
    app_log: AppLog, capfdbinary: pytest.CaptureFixture[bytes], log_format: LogFormat
) -> None:
    app_log.install(None)
    app_log.use_format(log_format)
    log.emit(logging.INFO, "a\ud83db →", event="ended")
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
    log.emit(logging.INFO, "m", event="ended")
    monkeypatch.undo()
    assert "BrokenPipeError" in capsys.readouterr().err


def test_a_line_is_written_once_however_often_it_is_installed(app_log: AppLog, line: Line) -> None:
    app_log.install(None)
    assert line("text", logging.INFO, "once").count("once") == 1


@pytest.mark.parametrize("log_format", ["text", "json"])
async def test_lines_that_are_written_together_say_the_same(
    app_log: AppLog,
    line: Line,
    log_format: LogFormat,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`serve` makes no `LogRecord` of them; secrets are masked all the same."""
    for name in ("logThreads", "logProcesses", "logMultiprocessing"):
        monkeypatch.setattr(logging, name, True)
    monkeypatch.setattr(logging.getLogger("litellm_hybrid"), "propagate", True)
    app_log.hide([Secret("sk-secret")])
    fields = {"event": "answered", "status": 200, "error": "quotes sk-secret", "reason": None}
    given = [(level, "100% sk-secret\n") for level in (logging.DEBUG, logging.INFO, logging.ERROR)]
    apart = [line(log_format, *one, **fields) for one in given[1:]]
    app_log.batch(asyncio.get_running_loop())
    for one in given:
        log.emit(*one, **fields)  # type: ignore[arg-type]
    together = capsys.readouterr().out.splitlines()
    time = re.compile(r"\d\d:\d\d:\d\d\.\d{3}|\d{4}-\d\d-\d\dT")
    assert [time.sub("", one) for one in together] == [time.sub("", one) for one in apart]
    assert "sk-secret" not in str(together)


async def test_only_errors_and_other_threads_do_not_wait_to_be_written_together(
    app_log: AppLog, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("logThreads", "logProcesses", "logMultiprocessing"):
        monkeypatch.setattr(logging, name, True)
    monkeypatch.setattr(logging.getLogger("litellm_hybrid"), "propagate", True)
    app_log.batch(asyncio.get_running_loop())
    log.emit(logging.INFO, "first", event="ended")
    log.emit(logging.WARNING, "second", event="ended")
    assert capsys.readouterr().out == ""
    await asyncio.to_thread(log.emit, logging.INFO, "third", event="ended")
    assert [line.split()[-1] for line in capsys.readouterr().out.splitlines()] == ["first", "second", "third"]
    log.emit(logging.ERROR, "fourth", event="ended")
    assert "fourth" in capsys.readouterr().out


class _Wordless:
    def __str__(self) -> str:
        raise TypeError("no words")

    __repr__ = __str__


@pytest.mark.parametrize("log_format", ["text", "json"])
async def test_a_line_that_cannot_be_put_into_words_takes_no_other_with_it(
    app_log: AppLog,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    log_format: LogFormat,
) -> None:
    for name in ("logThreads", "logProcesses", "logMultiprocessing"):
        monkeypatch.setattr(logging, name, True)
    monkeypatch.setattr(logging.getLogger("litellm_hybrid"), "propagate", True)
    app_log.use_format(log_format)
    app_log.batch(asyncio.get_running_loop())
    log.emit(logging.INFO, "first", event="ended")
    log.emit(logging.INFO, "second", event="ended", error=_Wordless())  # type: ignore[arg-type]
    log.emit(logging.ERROR, "third", event="ended")
    out = capsys.readouterr().out
    assert [word in out for word in ("first", "second", "third")] == [True, False, True]


async def test_lines_that_wait_keep_their_format_and_what_is_hidden_in_them(
    app_log: AppLog, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("logThreads", "logProcesses", "logMultiprocessing"):
        monkeypatch.setattr(logging, name, True)
    monkeypatch.setattr(logging.getLogger("litellm_hybrid"), "propagate", True)
    app_log.hide([Secret("sk-secret")])
    app_log.batch(asyncio.get_running_loop())
    log.emit(logging.INFO, "first sk-secret", event="ended")
    app_log.hide([])
    log.emit(logging.INFO, "second sk-secret", event="ended")
    app_log.use_format("json")
    assert [one.split(" ", 2)[2].split() for one in capsys.readouterr().out.splitlines()] == [
        ["first", "***"],
        ["second", "sk-secret"],
    ]


def test_a_second_log_takes_over(line: Line) -> None:
    second = AppLog()
    second.install(None)
    assert line("text", logging.INFO, "once").count("once") == 1
    second.uninstall()


def test_debug_lines_are_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    log.emit(logging.DEBUG, "m", event="ended")
    assert capsys.readouterr().out == ""


def test_after_uninstall_nothing_is_written(app_log: AppLog, capsys: pytest.CaptureFixture[str]) -> None:
    app_log.uninstall()
    log.emit(logging.INFO, "m", event="ended")
    assert capsys.readouterr().out == ""


class TermLog:
    """The shape of mitmproxy's addon of that name."""

    def __init__(self) -> None:
        self.logger: logging.Handler = logging.NullHandler()


@pytest.mark.parametrize(("name", "passes"), [("litellm_hybrid", False), ("mitmproxy.addons.script", True)])
def test_mitmproxys_terminal_log_leaves_our_lines_to_us(app_log: AppLog, name: str, *, passes: bool) -> None:
    termlog = TermLog()
    app_log.install(termlog)
    app_log.install(termlog)
    assert len(termlog.logger.filters) == 1
    assert bool(termlog.logger.filter(logging.LogRecord(name, logging.INFO, "", 1, "m", (), None))) is passes


@pytest.mark.parametrize(
    ("verbosity", "level", "passes"),
    [
        (logging.INFO, logging.INFO, False),
        (logging.INFO, logging.WARNING, True),
        (logging.DEBUG, logging.INFO, True),
    ],
)
def test_mitmproxys_terminal_log_has_no_line_for_each_connection(
    app_log: AppLog, verbosity: int, level: int, *, passes: bool
) -> None:
    termlog = TermLog()
    termlog.logger.setLevel(verbosity)
    app_log.install(termlog)
    assert bool(termlog.logger.filter(record("client connect", level))) is passes


def test_known_secrets_are_hidden_in_messages_and_fields(
    app_log: AppLog, caplog: pytest.LogCaptureFixture
) -> None:
    secret = "sk-litellm-0123456789"
    app_log.hide([Secret(secret), Secret("short")])
    with caplog.at_level(logging.INFO, logger="litellm_hybrid"):
        log.emit(
            logging.INFO,
            f"LiteLLM says: {secret} is wrong",
            event="fallback-failed",
            litellm_message=f"short {secret}",
            status=3,
        )

    (record,) = caplog.records
    assert record.getMessage() == "LiteLLM says: *** is wrong"
    assert record.__dict__["fields"] == {
        "event": "fallback-failed",
        "litellm_message": "short ***",
        "status": 3,
    }


@pytest.mark.parametrize("log_format", ["text", "json"])
@pytest.mark.parametrize("name", ["mitmproxy.proxy.server", "asyncio", "litellm_hybrid"])
def test_known_secrets_are_hidden_in_others_lines_and_in_tracebacks(
    app_log: AppLog, name: str, log_format: LogFormat
) -> None:
    secret = 'sk-"litellm"-0123456789'  # as JSON it would look different
    termlog = TermLog()
    app_log.install(termlog)
    app_log.use_format(log_format)
    app_log.hide([Secret(secret)])
    error = ValueError(f"no header takes {secret}")
    failed = record(f"what is {secret}?", logging.ERROR, name, exc_info=(ValueError, error, None))
    if name == "litellm_hybrid":
        logging.getLogger(name).filter(failed)  # as `Logger.handle` does
    written = termlog.logger.format(failed)
    assert "what is ***?" in written
    assert "ValueError: no header takes ***" in written
    assert "0123456789" not in written


@pytest.mark.parametrize("order", [1, -1])
def test_a_secret_that_begins_with_another_is_hidden_whole(app_log: AppLog, line: Line, order: int) -> None:
    app_log.hide([Secret("sk-team-a"), Secret("sk-team-a-of-berlin")][::order])
    written = line("text", logging.INFO, "sk-team-a-of-berlin and sk-team-a", event="ended")
    assert written.endswith("*** and ***")


# -- mitmproxy's own lines -----------------------------------------------------


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (record("client connect", client=("127.0.0.1", 5)), "INFO    client connect client=127.0.0.1:5"),
        (record("first\nsecond\x1b[31m", logging.ERROR), "ERROR   first\n  second\\x1b[31m"),
        (record(""), "INFO    "),
    ],
)
def test_mitmproxys_lines_look_like_ours(app_log: AppLog, given: logging.LogRecord, expected: str) -> None:
    termlog = TermLog()
    app_log.install(termlog)
    assert CLOCK.sub("", termlog.logger.format(given), count=1) == expected


def test_and_are_json_where_ours_are(app_log: AppLog) -> None:
    termlog = TermLog()
    app_log.install(termlog)
    app_log.use_format("json")
    entry = json.loads(termlog.logger.format(record("a\nb", logging.WARNING, client=("::1", 5))))
    del entry["time"]
    assert entry == {
        "level": "warning",
        "logger": "mitmproxy.proxy.server",
        "message": "a\nb",
        "client": "::1:5",
    }


# -- what Python says itself ---------------------------------------------------


@pytest.mark.parametrize(
    ("code", "message", "error"),
    [
        ("1 / 0", "litellm: uncaught ZeroDivisionError: division by zero", "ZeroDivisionError"),
        (
            "import threading; t = threading.Thread(target=lambda: 1 / 0, name='t'); t.start(); t.join()",
            "litellm: uncaught ZeroDivisionError in t: division by zero",
            "ZeroDivisionError",
        ),
        (
            """
            class Bad:
                def __del__(self):
                    1 / 0
                def __repr__(self):
                    return "it"
            Bad()
            """,
            "__del__",
            "ZeroDivisionError",
        ),
        # Nobody listens to the log any more, but Python still has something to say.
        (
            "app_log.uninstall(); 1 / 0",
            "litellm: uncaught ZeroDivisionError: division by zero",
            "ZeroDivisionError",
        ),
        (
            """
            import warnings
            from mitmproxy.addons.termlog import TermLog
            app_log.install(TermLog())
            warnings.warn("odd", UserWarning)
            """,
            "UserWarning: odd",
            None,
        ),
        ("import logging; logging.getLogger('asyncio').error('lost')", "lost", None),
    ],
)
def test_in_json_nothing_is_text(code: str, message: str, error: str | None) -> None:
    done = _python(code, log_format="json")
    (written,) = (done.stdout + done.stderr).splitlines()
    entry = json.loads(written)
    assert message in entry["message"]
    assert (error is None) is ("traceback" not in entry)
    assert error is None or error in entry["traceback"]
    assert error is None or (entry["level"], entry["event"]) == ("critical", "crashed")


def test_a_key_stroke_that_ends_a_program_is_no_crash() -> None:
    done = _python("raise KeyboardInterrupt", log_format="json")
    assert done.stdout == ""
    assert done.stderr.endswith("KeyboardInterrupt\n")


def test_in_text_python_says_it_in_its_own_way() -> None:
    done = _python("1 / 0")
    assert done.stdout == ""
    assert done.stderr.endswith("ZeroDivisionError: division by zero\n")


def test_hooks_are_given_back(app_log: AppLog) -> None:
    before = sys.excepthook, sys.unraisablehook
    app_log.use_format("json")
    app_log.use_format("json")
    assert sys.excepthook is not before[0]
    app_log.use_format("text")
    assert (sys.excepthook, sys.unraisablehook) == before
