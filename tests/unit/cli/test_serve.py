"""The commands that run the proxy: which program they start, and with what."""

from collections.abc import Sequence
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from litellm_hybrid.cli.main import _falling_back, main, script_path

ROOT = Path(__file__).parents[3]


def run(*args: str) -> Result:
    return CliRunner().invoke(main, args)


def test_script_prints_the_checkouts_hybrid_py() -> None:
    assert run("script").output == f"{ROOT / 'addon' / 'hybrid.py'}\n"


def test_the_script_of_a_wheel_comes_before_that_of_a_checkout(tmp_path: Path) -> None:
    package = tmp_path / "litellm_hybrid"
    (package / "script").mkdir(parents=True)
    (tmp_path / "hybrid.py").touch()
    assert script_path(package) == tmp_path / "hybrid.py"
    (package / "script" / "hybrid.py").touch()
    assert script_path(package) == package / "script" / "hybrid.py"


def test_a_missing_script_is_an_error_that_says_where_it_looked(tmp_path: Path) -> None:
    with pytest.raises(click.ClickException, match=r"script/hybrid\.py nor .*hybrid\.py is there"):
        script_path(tmp_path / "litellm_hybrid")


# -- mitmproxy's tools --------------------------------------------------------


@pytest.mark.parametrize("tool", ["web", "dump"])
@pytest.mark.parametrize(
    ("args", "mode", "rest"),
    [
        ((), "reverse:http://127.0.0.1:8317@127.0.0.1:8318", []),
        (
            ("--upstream", "http://h:1", "--listen", "[::1]:2", "--set", "a=b", "-q"),
            "reverse:http://h:1@::1:2",
            ["--set", "a=b", "-q"],
        ),
        (("--", "--listen", "x"), "reverse:http://127.0.0.1:8317@127.0.0.1:8318", ["--listen", "x"]),
    ],
)
def test_mitmproxys_tools_get_the_addon_and_their_own_options(
    tool: str,
    args: tuple[str, ...],
    mode: str,
    rest: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = tmp_path / "config.yaml"
    file.touch()
    started: list[list[str]] = []

    def start(given: Sequence[str]) -> None:
        started.append(list(given))

    monkeypatch.setattr(f"mitmproxy.tools.main.mitm{tool}", start)
    result = run(tool, "-c", str(file), *args)
    assert result.exit_code == 0, result.output
    own = ["-s", str(ROOT / "addon" / "hybrid.py"), "--set", f"litellm_config={file}", "--mode", mode]
    assert started == [own + rest]


def test_a_broken_file_starts_nothing(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("litellm-modles: []")
    result = run("dump", "-c", str(file))
    assert result.exit_code == 1
    assert "did you mean `litellm-models`?" in result.stderr


@pytest.mark.parametrize(("requests", "served"), [(1, "1 request "), (1200, "1,200 requests ")])
def test_what_falls_back_was_seen_when(requests: int, served: str) -> None:
    one = {"model": "o3", "why": "quota", "requests": requests}
    times = {"since": "2026-11-27T11:25:23Z", "last": "2026-11-27T11:27:02Z"}
    line = _falling_back(one | times)
    assert line == f"o3 ↪ LiteLLM (quota), {served}since 2026-11-27 11:25:23 UTC, last seen 11:27:02"
