"""`litellm-hybrid init` against real servers: it writes a file with which the proxy serves."""

import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from e2e.test_doctor import CLIENT_KEY, PROGRAM, USUAL, SetUp, a_set_up
from litellm_hybrid.cli.main import main
from support.cliproxyapi import CLIProxyAPI
from support.ports import free_port
from support.processes import MASTER_KEY

KEYS = {"LITELLM_API_KEY": MASTER_KEY, "HYBRID_CLIENT_KEY": CLIENT_KEY}


def init(
    folder: Path, *args: str, command: str = "init", env: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    own = {name: value for name, value in os.environ.items() if name not in KEYS}
    done = subprocess.run(
        [PROGRAM, command, *args],
        cwd=folder,
        env=own | {"HOME": str(folder)} | env,
        capture_output=True,
        encoding="utf-8",
        timeout=100,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert "Traceback" not in done.stderr, done.stderr
    for secret in KEYS.values():
        assert secret not in done.stdout + done.stderr
    return done


def written(file: Path) -> dict[str, object]:
    text = file.read_text()
    assert not any(secret in text for secret in KEYS.values())
    found: dict[str, object] = yaml.safe_load(text)["extensions"]["litellm"]
    return found


@pytest.fixture
def models() -> tuple[str, ...]:
    return ("gpt-5", "claude-sonnet-4-5-20250929", "grok-4")


@pytest.fixture
def servers(tmp_path: Path, models: tuple[str, ...]) -> object:
    with a_set_up(tmp_path, upstream=CLIProxyAPI(**USUAL | {"models": models})) as found:
        yield found


def addresses(servers: SetUp) -> tuple[str, ...]:
    return ("--upstream", servers.upstream.url, "--litellm", servers.litellm.url)


def test_nothing_is_asked(servers: SetUp, tmp_path: Path) -> None:
    done = init(tmp_path, "--yes", *addresses(servers), "--output", "own.yaml", env=KEYS)

    assert done.returncode in (0, 1), done.stdout + done.stderr  # warnings of the doctor's are no failure
    assert written(tmp_path / "own.yaml") == {
        "upstream-url": servers.upstream.url,
        "base-url": servers.litellm.url,
        "api-key": "${LITELLM_API_KEY}",
        "client-api-keys": ["${HYBRID_CLIENT_KEY}"],
        "enabled": False,
        "models": [],
        "model-mappings": {"claude-sonnet-4-5-20250929": "claude-sonnet-4-5"},
        "fallback": {"enabled": True, "except": ["grok-4"]},
    }
    lacking = tmp_path / "own.model_list.yaml"
    assert [each["model_name"] for each in yaml.safe_load(lacking.read_text())["model_list"]] == ["grok-4"]
    assert "model_name" not in done.stdout
    # Its own name stands there so that this shell finds it, and clients are told models that upstream has.
    (start,) = [line for line in done.stdout.splitlines() if line.endswith(" serve -c own.yaml")]
    subprocess.run(["sh", "-c", start.replace("serve -c own.yaml", "--version")], check=True, timeout=60)
    assert "claude --model claude-sonnet-4-5-20250929" in done.stdout
    assert "\n  # Gemini CLI: CLIProxyAPI lists no gemini model\n" in done.stdout
    # What to type is the last that is seen.
    assert done.stdout.index(" serve -c own.yaml") > done.stdout.index("\nresult ")
    assert not (tmp_path / "own.env").exists()
    assert "LITELLM_API_KEY is read from the environment" in done.stdout
    assert "Fallback is on. " in done.stdout
    checks = {line.split()[0]: line.split()[1] for line in done.stdout.splitlines() if len(line.split()) > 2}
    assert (checks["upstream"], checks["litellm"], checks["api-key"]) == ("ok", "ok", "ok")
    assert checks["fallback"] == "ok"


def test_another_variable_for_litellms_key(servers: SetUp, tmp_path: Path) -> None:
    init(tmp_path, "--yes", *addresses(servers), "--litellm-key-env", "MINE", env={"MINE": MASTER_KEY})

    assert written(tmp_path / "litellm-hybrid.yaml")["api-key"] == "${MINE}"


def test_cliproxyapis_own_file_is_read(servers: SetUp, tmp_path: Path) -> None:
    port = servers.upstream.url.rpartition(":")[2]
    (tmp_path / "config.yaml").write_text(f"port: {port}\napi-keys: [{CLIENT_KEY}]\n")

    done = init(tmp_path, "--yes", "--litellm", servers.litellm.url, env={"LITELLM_API_KEY": MASTER_KEY})

    assert written(tmp_path / "litellm-hybrid.yaml")["upstream-url"] == servers.upstream.url
    assert done.returncode in (0, 1), done.stdout
    kept = tmp_path / "litellm-hybrid.env"
    assert kept.read_text() == f"HYBRID_CLIENT_KEY={CLIENT_KEY}\n"
    assert kept.stat().st_mode & 0o777 == 0o600


def test_what_cannot_be_known_is_asked_for(
    servers: SetUp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The addresses, both keys until they are right, of the models one by one what to change, and fallback."""
    monkeypatch.chdir(tmp_path)
    answers = [
        *(f"http://127.0.0.1:{free_port()}", "n", servers.upstream.url),  # nobody is at the first
        *("sk-wrong-one", CLIENT_KEY, servers.litellm.url, "sk-wrong-one", "sk-wrong-too", MASTER_KEY),
        *("o3 gpt-5", "gpt-5 openai/o3", "grok-4 -", "", ""),
    ]
    absent = dict.fromkeys(KEYS) | {"HOME": str(tmp_path)}

    done = CliRunner().invoke(main, ["init"], input="\n".join(answers) + "\n", env=absent)

    assert done.exit_code in (0, 1), done.output
    assert written(tmp_path / "litellm-hybrid.yaml") | {"models": []} == {
        "upstream-url": servers.upstream.url,
        "base-url": servers.litellm.url,
        "api-key": "${LITELLM_API_KEY}",
        "client-api-keys": ["${HYBRID_CLIENT_KEY}"],
        "enabled": False,
        "models": [],
        "model-mappings": {"gpt-5": "openai/o3", "claude-sonnet-4-5-20250929": "claude-sonnet-4-5"},
        "fallback": {"enabled": True, "except": ["grok-4"]},
    }
    kept = tmp_path / "litellm-hybrid.env"
    assert kept.stat().st_mode & 0o777 == 0o600
    assert kept.read_text() == f"HYBRID_CLIENT_KEY={CLIENT_KEY}\nLITELLM_API_KEY={MASTER_KEY}\n"
    assert not any(secret in done.output for secret in (*KEYS.values(), "sk-wrong"))
    # What it says to type is typed, as it stands, in another shell: it reads the client's key, and no other.
    lines = [line.strip() for line in done.output.splitlines()]
    (reads,) = [line for line in lines if line.startswith("eval ")]
    own = {name: value for name, value in os.environ.items() if name not in KEYS}
    shown = subprocess.run(
        ["sh", "-c", f"{reads}\nenv"], capture_output=True, text=True, check=True, cwd="/", env=own
    )
    assert f"HYBRID_CLIENT_KEY={CLIENT_KEY}\n" in shown.stdout
    assert MASTER_KEY not in shown.stdout


@pytest.mark.parametrize(("answer", "is_on"), [("", True), ("y", True), ("n", False)])
def test_fallback_is_turned_on_only_by_whoever_has_read_what_it_costs(
    answer: str, is_on: bool, servers: SetUp, tmp_path: Path
) -> None:
    output = tmp_path / "own.yaml"
    args = ["init", *addresses(servers), "--output", str(output)]

    done = CliRunner().invoke(main, args, input=f"\n{answer}\n", env=KEYS | {"HOME": str(tmp_path)})

    assert done.exit_code in (0, 1), done.output
    assert written(output)["fallback"] == {"enabled": is_on, "except": ["grok-4"]}
    assert "\\n" not in done.output
    assert done.output.index("whose key pays") < done.output.index("Turn fallback on?")


def test_the_doctor_says_the_same_afterwards(servers: SetUp, tmp_path: Path) -> None:
    """With nothing given: it finds the file, the keys and CLIProxyAPI's own file."""
    port = servers.upstream.url.rpartition(":")[2]
    (tmp_path / ".cli-proxy-api").mkdir()
    theirs = f"port: {port}\napi-keys: [{CLIENT_KEY}]\nmax-retry-interval: 30\n"
    (tmp_path / ".cli-proxy-api" / "config.yaml").write_text(theirs)
    first = init(tmp_path, "--yes", "--litellm", servers.litellm.url, env={"LITELLM_API_KEY": MASTER_KEY})
    assert (tmp_path / "litellm-hybrid.env").read_text() == f"HYBRID_CLIENT_KEY={CLIENT_KEY}\n"
    with (tmp_path / "litellm-hybrid.env").open("a") as keys:
        keys.write(f"LITELLM_API_KEY={MASTER_KEY}\n")

    again = init(tmp_path, command="doctor", env={})

    assert again.returncode == first.returncode
    assert again.stderr.startswith("configuration: litellm-hybrid.yaml; keys: litellm-hybrid.env\n")
    rows = [line for line in again.stdout.splitlines() if line]
    assert any("max-retry-interval" in row for row in rows)
    assert set(rows) <= set(first.stdout.splitlines())


@pytest.mark.parametrize("models", [("claude-opus-4-8", "gpt-5", "claude-sonnet-4-7")])
def test_another_model_is_not_taken_unless_it_is_typed(servers: SetUp, tmp_path: Path) -> None:
    done = init(tmp_path, "--yes", *addresses(servers), env=KEYS)

    own = written(tmp_path / "litellm-hybrid.yaml")
    assert (own["model-mappings"], own["fallback"]) == (
        {},
        {"enabled": True, "except": ["claude-opus-4-8", "claude-sonnet-4-7"]},
    )
    (said,) = [line for line in done.stdout.splitlines() if line.startswith("Not taken")]
    assert "claude-sonnet-4-7 → claude-sonnet-4-5" in said
    assert "claude-opus-4-8 →" not in said


def test_nothing_is_overwritten(servers: SetUp, tmp_path: Path) -> None:
    for name in ("own.yaml", "own.env", "own.model_list.yaml"):
        (tmp_path / name).write_text("mine")
        done = init(tmp_path, "--yes", *addresses(servers), "--output", "own.yaml", env=KEYS)
        assert (done.returncode, (tmp_path / name).read_text()) == (1, "mine")
        assert name in done.stderr
        (tmp_path / name).unlink()
        assert list(tmp_path.glob("own.*")) == []


@pytest.mark.parametrize(
    ("args", "named"),
    [
        (("--upstream", "ftp://x"), "ftp://x"),
        (("--litellm", "127.0.0.1"), "127.0.0.1"),
        (("--litellm-key-env", "A B"), "A B"),
    ],
)
def test_bad_input(args: tuple[str, ...], named: str, tmp_path: Path) -> None:
    done = init(tmp_path, "--yes", *args, env=KEYS)
    assert done.returncode == 2
    assert re.search(re.escape(named), done.stderr)
    assert not (tmp_path / "litellm-hybrid.yaml").exists()


def test_nobody_answers(tmp_path: Path) -> None:
    """The file is written all the same, and the doctor says what is missing."""
    upstream, litellm = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
    done = init(tmp_path, "--yes", "--upstream", upstream, "--litellm", litellm, env=KEYS)
    assert done.returncode == 2
    assert written(tmp_path / "litellm-hybrid.yaml")["upstream-url"] == upstream
    assert done.stdout.count("could not be read: it cannot be reached") == 2


def test_both_addresses_are_the_same(tmp_path: Path) -> None:
    same = f"http://127.0.0.1:{free_port()}"
    done = init(tmp_path, "--yes", "--upstream", same, "--litellm", same, env=KEYS)
    assert done.returncode == 1
    assert "base-url" in done.stderr
    assert not (tmp_path / "litellm-hybrid.yaml").exists()
