"""What all tests share."""

import os
import signal
from collections.abc import Generator

import pytest
from hypothesis import settings

# No deadline: what an example may take would depend on the machine.
settings.register_profile("default", deadline=None)
settings.register_profile("quick", deadline=None, max_examples=20)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

ALLOWED_SKIPS = (
    "root reads everything",
    "only root can give a file away",
    "only root can mount a disk",
    "it is about glibc",
    "memory is read from /proc",
    "only Linux has that table",
    "this machine has no IPv6",
    "a network namespace needs root",
    "no network namespaces here",
    "the kernel is older than 6.3",
    "there are more rows for the screenshots",
    "no real CLIProxyAPI was asked",
)
"""Beginnings of the reasons for which a test may be left out of a full run: none can be mended by installing
something, but for a CLIProxyAPI's binary, whose captured answers are replayed always."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--strict-skips", action="store_true", help="fail where a test is skipped without need")


class StrictSkips:
    """Fails a run in which a test was skipped for a reason that is not allowed."""

    def __init__(self) -> None:
        self.found: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if not report.skipped or hasattr(report, "wasxfail") or not isinstance(report.longrepr, tuple):
            return
        reason = report.longrepr[2].removeprefix("Skipped: ")
        if not reason.startswith(ALLOWED_SKIPS):
            self.found[report.nodeid] = reason

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.found and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for test, reason in self.found.items():
            terminalreporter.write_line(f"SKIPPED WITHOUT NEED {test}: {reason}", red=True)


def pytest_configure(config: pytest.Config) -> None:
    # Programs that ignore a signal hand that down, and `serve` respects it: tests run under nohup (SIGHUP), or in a
    # script's background (SIGINT), could not end it.
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda *_: None)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if config.getoption("--strict-skips") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(StrictSkips(), "strict-skips")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let lone surrogates in captured output pass between xdist's processes."""
    report = yield
    report.sections = [
        (name, text.encode("utf-8", "backslashreplace").decode()) for name, text in report.sections
    ]
    return report
