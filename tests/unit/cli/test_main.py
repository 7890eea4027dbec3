"""The console script: what it prints where, its return codes, and that it shows no secret."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import click
import pytest
from click.testing import CliRunner, Result

from litellm_hybrid.cli import main as cli
from litellm_hybrid.cli.common import show
from litellm_hybrid.cli.explain import parse_request, parse_response
from litellm_hybrid.config.file_watcher import Watcher
from litellm_hybrid.config.parser import ConfigError
from litellm_hybrid.config.settings import Settings
from litellm_hybrid.diagnostics import report
from litellm_hybrid.terminal import OutputLine, hide, printable

ROOT = Path(__file__).parents[3]
PROGRAM = Path(sys.executable).with_name("litellm-hybrid")
API_KEY = "sk-key-of-litellm"
GOOD = f"""\
extensions:
  litellm:
    enabled: true
    base-url: http://127.0.0.1:4000
    api-key: {API_KEY}
    models: [gpt-5]
    fallback: {{enabled: true}}
"""
REQUEST_FAULT = b'{"error": {"type": "invalid_value"}}'
BAD = "extensions:\n  litellm:\n    modles: [a]\n    enabled: perhaps\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test runs in a folder with a good config.yaml."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NO_COLOR", raising=False)
    (tmp_path / "config.yaml").write_text(GOOD)
    return tmp_path


def run(*args: str, stdin: bytes = b"", color: bool = False) -> Result:
    return CliRunner().invoke(cli.main, args, input=stdin, color=color)


def test_init_proposes_the_usual_address_again_after_a_wrong_one(folder: Path) -> None:
    """The wrong one may be a key that was typed too early: it is proposed to nobody."""
    result = run("init", "--output", str(folder / "new.yaml"), stdin=b"sk-typed-too-early\n")

    first, second = result.output.split("sk-typed-too-early", 1)
    assert first.count("[http://") == second.count("[http://") == 1
    assert "[sk-typed-too-early]" not in result.output


# -- check --------------------------------------------------------------------


def test_check_shows_every_setting_aligned() -> None:
    result = run("check")
    assert result.exit_code == 0
    lines = dict(line.split(maxsplit=1) for line in result.output.splitlines() if line)
    assert (lines["api-key"], lines["timeouts.first-byte"]) == ("***", "10m")
    assert (
        lines["ok"]
        == "routing: the listed models to http://127.0.0.1:4000; fallback: to http://127.0.0.1:4000"
    )
    columns = {
        line.index(value)
        for line in result.output.splitlines()
        for value in ("***", "routing: ")
        if value in line
    }
    assert len(columns) == 1


def test_a_narrow_terminal_breaks_lines_between_words(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And what goes on stands below what it goes on with; elsewhere a line stays one."""

    class Two:
        def lines(self) -> list[OutputLine]:
            text = f"ok       {'word ' * 12}end"
            return [OutputLine("label", text, indent=9), OutputLine("", "x" * 80)]

        def as_json(self) -> dict[str, object]:
            return {}

    show(Two(), as_json=False)
    assert len(capsys.readouterr().out.splitlines()) == 2
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setattr("shutil.get_terminal_size", lambda: os.terminal_size((50, 9)))
    show(Two(), as_json=False)
    *rows, last = [click.unstyle(row) for row in capsys.readouterr().out.splitlines()]
    assert len(rows) > 1
    assert all(len(row) <= 50 for row in rows)
    assert {row[:16] for row in rows[1:]} == {" " * 16}
    assert last.strip() == "x" * 80


def test_check_shows_warnings(folder: Path) -> None:
    (folder / "other.yaml").write_text("litellm-hybrid-mode: true\n")
    result = run("check", "other.yaml")
    assert result.exit_code == 0
    assert "other.yaml:1: litellm-hybrid-mode: has no effect without base-url" in result.output


def test_check_hints_at_cliproxyapis_settings(folder: Path) -> None:
    """In its own file, and of its waits only where something falls back."""
    (folder / "other.yaml").write_text(f"port: 8317\nmax-retry-interval: 30\n{GOOD}")
    assert "hint" in (shown := run("check", "other.yaml").output)
    assert "other.yaml:2: max-retry-interval: 30: " in shown
    hints = json.loads(run("check", "--json", "other.yaml").stdout)["hints"]
    assert len(hints) == 2
    (folder / "other.yaml").write_text("port: 8317\nmax-retry-interval: 30\n")
    assert "max-retry-interval" not in run("check", "other.yaml").output


def test_check_says_that_a_days_limit_needs_prices(tmp_path: Path) -> None:
    """It cannot look at LiteLLM's; `doctor` names the models."""
    head = "litellm-base-url: http://h\nlitellm-api-key: k\nlitellm-fallback-enabled: true\n"
    file = tmp_path / "own.yaml"
    for limit, count in (("5", 1), ("0", 0)):
        file.write_text(f"{head}extensions: {{litellm: {{fallback: {{max-cost-per-day: {limit}}}}}}}\n")
        hints = json.loads(run("check", "--json", str(file)).stdout)["hints"]
        assert len([hint for hint in hints if "max-cost-per-day" in hint and "doctor" in hint]) == count


def test_check_says_that_redis_needs_its_client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The start refuses for the same reason; the password of the URL is not shown."""
    file = tmp_path / "own.yaml"
    file.write_text("extensions: {litellm: {state: 'redis://:secret@127.0.0.1:6379/0'}}\n")
    assert run("check", str(file)).exit_code == 0
    monkeypatch.setattr(report, "find_spec", lambda _: None)
    found = run("check", str(file))
    assert found.exit_code == 1
    assert "needs redis-py: install litellm-hybrid[redis]" in found.output
    assert "secret" not in found.output


def test_check_says_when_nothing_of_ours_is_in_the_file(folder: Path) -> None:
    (folder / "other.yaml").write_text("port: 8317\n")
    assert "no setting of litellm-hybrid is in this file" in run("check", "other.yaml").output


@pytest.mark.parametrize("command", [("check",), ("explain", "gpt-5", "--config")])
def test_errors_are_those_of_a_start(command: tuple[str, ...], folder: Path) -> None:
    (folder / "bad.yaml").write_text(BAD)
    with pytest.raises(ConfigError) as start:
        Watcher(Path("bad.yaml"), {}).load()
    result = run(*command, "bad.yaml")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == f"{start.value}\n"
    assert "did you mean `models`?" in result.stderr


# -- which file ---------------------------------------------------------------

USE_A_FILE = [("check",), ("explain", "gpt-5"), ("serve",), ("web",), ("dump",), ("doctor",)]


def found(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Which files are read from now on; each is refused."""
    read: list[Path] = []

    def load(watcher: Watcher) -> NoReturn:
        read.append(watcher._path)
        raise ConfigError(("x: it ends here",))

    monkeypatch.setattr(Watcher, "load", load)
    return read


@pytest.mark.parametrize("command", [*USE_A_FILE, ("status",)])
def test_each_command_finds_the_file_and_says_which(
    command: tuple[str, ...], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Init's before CLIProxyAPI's; with `-c`, and where nothing else stands there alone, another's name."""
    read = found(monkeypatch)
    assert "configuration: config.yaml\n" in run(*command).stderr
    (folder / "litellm-hybrid.yaml").write_text(GOOD)
    (said,) = [line for line in run(*command).stderr.splitlines() if line.startswith("configuration: ")]
    assert said.startswith("configuration: litellm-hybrid.yaml; config.yaml is here too, and not read")
    (folder / "config.yaml").unlink()
    assert "configuration: litellm-hybrid.yaml\n" in run(*command).stderr
    (folder / "other").write_text(GOOD)
    alone = command[0] in ("check", "serve", "doctor", "status")
    for args in (["-c", "other"], ["--config", "other"], *([["other"]] if alone else [])):
        read.clear()
        assert "configuration: " not in run(*command, *args).stderr
        assert set(read) >= {Path("other")}
        assert Path("litellm-hybrid.yaml") not in read
    assert not alone or run(*command, "other", "-c", "config.yaml").exit_code == 2


@pytest.mark.parametrize("command", USE_A_FILE)
def test_without_a_file_it_says_how_to_get_one(command: tuple[str, ...], folder: Path) -> None:
    (folder / "config.yaml").unlink()
    result = run(*command)
    assert result.exit_code in (1, 2)
    assert "`litellm-hybrid init`" in result.output
    assert "-c FILE" in result.output


def test_what_starts_nothing_is_said_before_mitmproxy_is_read(folder: Path) -> None:
    """It takes seconds on a small machine."""
    (folder / "circle").write_text("extensions: {litellm: {listen: '127.0.0.1:8317'}}")
    for file, words in (("absent", "absent: cannot read"), ("circle", "is litellm-hybrid itself")):
        done = subprocess.run(
            [sys.executable, "-X", "importtime", PROGRAM, "serve", file],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert words in done.stderr
        assert "mitmproxy.master" not in done.stderr


# -- the keys beside it -------------------------------------------------------

WITH_KEYS = GOOD.replace(API_KEY, "${LITELLM_API_KEY}").replace(
    "models:", "client-api-keys: ['${B}']\n    models:"
)


@pytest.fixture
def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LITELLM_API_KEY", "B", "UNNAMED"):
        monkeypatch.setenv(name, "")


@pytest.mark.usefixtures("no_keys")
@pytest.mark.parametrize(("file", "keys"), [("own.yaml", "own.env"), ("own.yaml", "litellm-hybrid.env")])
def test_keys_beside_the_file_are_read(
    file: str, keys: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the file names and the environment lacks; and only that."""
    (folder / file).write_text(WITH_KEYS)
    (folder / keys).write_text(f"# both\nexport LITELLM_API_KEY={API_KEY}\nB='b \"c'\nUNNAMED=u\n")
    (folder / keys).chmod(0o600)
    monkeypatch.setenv("B", "mine")
    result = run("check", file)
    assert (result.exit_code, result.stderr) == (0, f"keys: {keys}\n")
    assert [os.environ[name] for name in ("LITELLM_API_KEY", "B", "UNNAMED")] == [API_KEY, "mine", ""]
    assert API_KEY not in result.output
    assert run("check", file).stderr == ""


@pytest.mark.usefixtures("no_keys")
@pytest.mark.parametrize(
    ("text", "mode", "words"),
    [
        ("LITELLM_API_KEY=k\nB=b", 0o644, "chmod 600 litellm-hybrid.env"),
        ("B='b", 0o600, "litellm-hybrid.env cannot be read"),
        ("B=b", 0o600, "environment variable not set or empty: LITELLM_API_KEY"),
        ("B=b", 0o600, "write it into `litellm-hybrid.env`"),
    ],
)
def test_what_is_wrong_with_the_keys_is_said(text: str, mode: int, words: str, folder: Path) -> None:
    (folder / "config.yaml").write_text(WITH_KEYS)
    (folder / "litellm-hybrid.env").write_text(text)
    (folder / "litellm-hybrid.env").chmod(mode)
    assert run("check").stderr.count(words) == 1


def test_check_as_json(folder: Path) -> None:
    result = run("check", "--json")
    good = json.loads(result.stdout)
    assert (good["ok"], good["errors"], good["settings"]["models"]) == (True, [], "[gpt-5]")
    (folder / "bad.yaml").write_text(BAD)
    result = run("check", "--json", "bad.yaml")
    bad = json.loads(result.stdout)
    assert (result.exit_code, bad["ok"], len(bad["errors"]), bad.keys()) == (1, False, 2, good.keys())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("listen: 0.0.0.0:8318", "refusing to listen on 0.0.0.0"),
        ("base-url: http://localhost:8317\n    api-key: k", "is upstream"),
        ("base-url: http://127.0.0.1:8318", "is litellm-hybrid itself"),
        ("listen: 127.0.0.1:8317", "upstream http://127.0.0.1:8317 is litellm-hybrid itself"),
        ("tls-ca: missing.pem", "tls-ca: missing.pem cannot be used: No such file or directory"),
        ("tls-ca: bad.yaml", "tls-ca: bad.yaml cannot be used: no certificate"),
    ],
)
def test_check_refuses_what_serve_refuses(text: str, words: str, folder: Path) -> None:
    (folder / "bad.yaml").write_text(f"extensions:\n  litellm:\n    {text}\n")
    checked, served = run("check", "bad.yaml"), run("serve", "-c", "bad.yaml")
    assert (checked.exit_code, served.exit_code) == (1, 1)
    assert words in checked.stderr
    assert json.loads(run("check", "--json", "bad.yaml").stdout)["ok"] is False


# -- faults of our own --------------------------------------------------------


def test_a_fault_of_its_own_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_report: object) -> None:
        raise KeyError(API_KEY)

    monkeypatch.setattr("litellm_hybrid.diagnostics.report.CheckReport.lines", broken)
    result = run("check", "config.yaml")
    assert result.exit_code == 1
    assert "a fault of litellm-hybrid's own: KeyError in test_main.py:" in result.stderr
    assert API_KEY not in result.output
    assert len(result.stderr.splitlines()) == 1
    assert isinstance(run("--traceback", "check").exception, KeyError)


def test_what_the_system_says_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_report: object) -> None:
        raise PermissionError(13, "denied", "a-file")

    monkeypatch.setattr("litellm_hybrid.diagnostics.report.CheckReport.lines", broken)
    result = run("check", "config.yaml")
    assert (result.exit_code, result.stderr) == (1, "Error: [Errno 13] denied: 'a-file'\n")


# -- explain ------------------------------------------------------------------


def explained(*args: str, stdin: bytes = b"") -> dict[str, object]:
    result = run("explain", "--json", *args, stdin=stdin)
    assert result.exit_code == 0, result.output
    explanation = json.loads(result.stdout)
    assert isinstance(explanation, dict)
    return explanation


def test_a_model_alone_is_a_chat_completion() -> None:
    explanation = explained("gpt-5")
    assert (explanation["target"], explanation["reason"], explanation["litellm_model"]) == (
        "litellm",
        "model",
        "gpt-5",
    )
    sent = explanation["sent"]
    assert isinstance(sent, dict)
    assert (sent["method"], sent["target"]) == ("POST", "/v1/chat/completions")


@pytest.mark.parametrize(
    ("args", "stdin", "reason"),
    [
        (("/v1/messages", "-d", '{"model": "gpt-5"}'), b"", "model"),
        (("/v1/messages", "--body", "-"), b'{"model": "other"}', "not-listed"),
        (("/v1/messages", "--body", "body.json"), b"", "model"),
        (("POST", "/v1beta/models/gpt-5:generateContent"), b"", "model"),
        (("GET", "/v1/models"), b"", "not-post"),
        (("gpt-5", "-H", "Host: evil.example"), b"", "refused"),
        (("gpt-5", "-H", "Origin:"), b"", "refused"),
        (("gpt-5", "--client-ip", "10.0.0.9"), b"", "refused"),
        (("other", "--response-status", "429"), b"", "fallback"),
        (("other", "--response-status", "429", "--response-body", "-"), REQUEST_FAULT, "not-listed"),
    ],
)
def test_explain_takes_a_request_in_parts(
    args: tuple[str, ...], stdin: bytes, reason: str, folder: Path
) -> None:
    (folder / "body.json").write_text('{"model": "gpt-5"}')
    assert explained(*args, stdin=stdin)["reason"] == reason


@pytest.mark.parametrize(
    ("args", "path"),
    [
        (("claude-opus-4-8",), "/v1/messages"),
        (("gemini-2.5-pro",), "/v1beta/models/gemini-2.5-pro:generateContent"),
        (("o3",), "/v1/chat/completions"),
        (("google/gemini-3",), "/v1/chat/completions"),
        (("gpt-5.5", "--path", "/v1/responses"), "/v1/responses"),
    ],
)
def test_a_model_is_asked_where_its_family_is(args: tuple[str, ...], path: str) -> None:
    explanation = explained(*args)
    assert explanation["model"] == args[0]
    steps = explanation["steps"]
    assert isinstance(steps, list)
    assert steps[0]["message"] == f"POST {path}"


def test_a_client_without_a_key_on_the_command_line_is_an_allowed_one(folder: Path) -> None:
    """Unless it is said which one it has, or that it has none."""
    text = GOOD.replace("enabled: true\n", "client-api-keys: [sk-one-of-ours]\n", 1)
    (folder / "config.yaml").write_text(text)
    result = run("explain", "o3", "--response-status", "429")
    lines = result.output.splitlines()
    assert "goes to   LiteLLM; reason=fallback" in lines
    assert any(line.startswith("client    assumed to have one of `client-api-keys`") for line in lines)
    assert not [line for line in lines if line.startswith(("fix", "or "))]
    assert "sk-one-of-ours" not in result.output
    for header in ("Authorization: Bearer another", "Authorization:"):
        assert explained("o3", "--response-status", "429", "-H", header)["reason"] == "fallback-failed"
    assert not [line for line in run("explain", "o3").output.splitlines() if line.startswith(("fix", "or "))]


def test_an_answers_headers_count_whatever_their_case() -> None:
    verdict = explained("other", "--response-status", "429", "--response-header", "RETRY-AFTER: 7")["verdict"]
    assert isinstance(verdict, dict)
    assert (verdict["kind"], verdict["retry_after"]) == ("quota", 7)


def test_names_of_older_releases_still_work() -> None:
    old, new = (explained("other", f"--{name}-status", "429") for name in ("answer", "response"))
    assert old == new
    assert old["sends"] == old["litellm_model"] == "other"
    steps = old["steps"]
    assert isinstance(steps, list)
    assert all(step["says"] == step["message"] for step in steps)


def test_explain_in_words() -> None:
    result = run("explain", "other", "--response-status", "500")
    lines = result.output.splitlines()
    assert 'models    no entry matches "other"' in lines
    assert "goes to   upstream; reason=not-listed" in lines
    assert 'fix       add "other" to `models`, or set `passthrough-mode: true`' in lines
    assert "or        add server-error to `fallback.on`" in lines
    assert "          POST /v1/chat/completions" in lines


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((), "Missing argument"),
        (("a", "b", "c"), "expected a model, a path, or a method and a path"),
        (("POST",), "POST of what? Give the path too"),
        (("POST", "v1/messages?key=sk-secret"), "the path 'v1/messages?key=***' does not begin with a slash"),
        (("PO ST", "/v1"), "'PO ST' is no method"),
        (("http://127.0.0.1/v1",), "give the path alone"),
        (("gpt-5", "-d", "{}"), "'gpt-5' is taken as a model"),
        (("/v1", "-d", "{}", "--body", "-"), "--data and --body exclude each other"),
        (("/v1", "--body", "missing.json"), "missing.json"),
        (
            ("/v1", "--body", "-", "--response-status", "429", "--response-body", "-"),
            "--body and --response-body cannot both be stdin",
        ),
        (("/v1", "--path", "/v2"), "--path is where a model is asked"),
        (("gpt-5", "--response-body", "-"), "upstream's response needs a status: --response-status"),
        (("gpt-5", "--response-status", "42"), "100<=x<=599"),
        (("gpt-5", "-H", "A: b", "-H", "Bearer sk-secret"), "header 2 is not written 'Name: value'"),
        (("gpt-5", "--client-ip", "localhost"), "'localhost' is no IP address"),
    ],
)
def test_a_wrong_call_ends_with_2_and_says_why(args: tuple[str, ...], message: str) -> None:
    result = run("explain", *args)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr
    assert "sk-secret" not in result.stderr


def test_explain_a_reason_needs_no_configuration(folder: Path) -> None:
    (folder / "config.yaml").unlink()
    result = run("explain", "--reason", "x-hybrid-route: upstream; reason=not-listed")
    assert result.exit_code == 0
    assert result.output.splitlines()[0] == "reason  not-listed: upstream answered"
    assert json.loads(run("explain", "--reason", "error", "--json").stdout)["target"] == "none"


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--reason", "not-lsted"), "did you mean not-listed?"),
        (("gpt-5", "--reason", "model"), "leave the request out"),
        (("--reason", "\x1b[31m"), "'\\x1b[31m' is no reason"),
    ],
)
def test_a_reason_that_cannot_be_explained_is_an_error(args: tuple[str, ...], message: str) -> None:
    result = run("explain", *args)
    assert result.exit_code == 2
    assert message in result.stderr


# -- what reaches a terminal --------------------------------------------------


@pytest.mark.parametrize("as_json", [(), ("--json",)])
def test_no_credential_is_shown_wherever_it_stands(as_json: tuple[str, ...]) -> None:
    key = "sk-of-a-client-1"
    result = run(
        "explain",
        f"/v1/{API_KEY}/{key}?key={key}&x={key}",
        *("-H", f"x-api-key: {key}", "-H", f"X-Seen: {key}", "-H", "Cookie: sk-in-a-cookie"),
        *("-d", f'{{"model": "m-{key}"}}'),
        *("--response-status", "429", "--response-body", "-"),
        *as_json,
        stdin=f'{{"error": {{"message": "quota of {key} is gone"}}}}'.encode(),
    )
    assert result.exit_code == 0
    assert [secret for secret in (key, API_KEY, "sk-in-a-cookie") if secret in result.output] == []


def test_color_is_for_terminals_that_want_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "\x1b[32m" in run("explain", "gpt-5", color=True).output
    assert "\x1b" not in run("explain", "gpt-5").output
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in run("explain", "gpt-5", color=True).output


def test_a_requests_control_characters_do_not_reach_the_terminal() -> None:
    output = run("explain", "/v1/\x1b]0;x\x07").output
    assert r"POST /v1/\x1b]0;x\x07" in output
    assert "\x1b" not in output
    output = run("explain", "/v1/messages", "-d", '{"model": "a\\n\\u202eb"}').output
    assert r"a\n\u202eb" in output
    assert "\x1b" not in output


@pytest.mark.parametrize(
    ("text", "shown"), [("plain é →", "plain é →"), ("\x00\n\x9b", r"\x00\n\x9b"), ("\udc80", r"\udc80")]
)
def test_printable(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_hide_takes_the_longest_secret_first_and_leaves_words_alone() -> None:
    secrets = ["sk-1234", "sk-12345678", "sk-1234567890", "a"]
    assert hide("sk-1234567890 sk-1234 a", secrets) == "*** sk-1234 a"


# -- requests from the command line -------------------------------------------


def test_headers_keep_their_order_and_host_comes_first() -> None:
    request = parse_request(("/v1",), ["B: 1", "a:2 "], b"x", "::1", Settings(listen=("::1", 8318)))
    assert request.sent.headers == (
        (b"Host", b"[::1]:8318"),
        (b"Content-Length", b"1"),
        (b"B", b"1"),
        (b"a", b"2"),
    )


def test_repeated_headers_of_a_response_are_joined() -> None:
    response = parse_response(429, ["X: 1", "Y: 3", "x: 2"], b"")
    assert response.head.headers == {"x": "1, 2", "y": "3"}


# -- the program itself -------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "code", "stdout", "stderr"),
    [
        (("--version",), 0, "litellm-hybrid ", ""),
        (("script",), 0, f"addon{os.sep}hybrid.py\n", ""),
        (("check",), 0, "   ***\n", ""),
        (("check", "missing.yaml"), 1, "", "missing.yaml: cannot read the configuration: No such file"),
        (("explain", "gpt-5é→"), 0, 'names the model "gpt-5é→"', ""),
        (("explain",), 2, "", "Missing argument"),
    ],
)
def test_the_installed_program(
    args: tuple[str, ...], code: int, stdout: str, stderr: str, folder: Path
) -> None:
    """As a process, whatever encoding the terminal claims."""
    env = {"PATH": os.environ["PATH"], "PYTHONIOENCODING": "latin-1"}
    done = subprocess.run(
        [PROGRAM, *args], cwd=folder, env=env, capture_output=True, encoding="utf-8", timeout=60, check=False
    )
    assert done.returncode == code, done.stderr
    assert stdout in done.stdout
    assert stderr in done.stderr
    assert "Traceback" not in done.stderr
