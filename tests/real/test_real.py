"""The real CLIProxyAPI, where the environment names one: CLIPROXYAPI=PATH[:PATH…].

`scripts/verify-upstream --binary` runs the same, and shows it.
"""

import os
import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from real.apis import CLIENT_KEY
from real.cliproxyapi import NOWHERE, cliproxyapi, version_of
from real.corpus import Captured, captured, write_captured
from real.providers import Providers
from real.report import tally
from real.rig import LiteLLM, product
from real.verify import Progress, Wanted, added, shown, verify
from support.registered_routes import registered_by
from support.servers import in_thread

BINARIES = [Path(name) for name in os.environ.get("CLIPROXYAPI", "").split(":") if name]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("binary", BINARIES or [None], ids=lambda binary: binary.name if binary else "none")
def test_a_real_cliproxyapi(binary: Path | None) -> None:
    """At least 99 % of the failures fall back, nothing else does, and all that we rely on is there."""
    if binary is None:
        pytest.skip("no real CLIProxyAPI was asked: CLIPROXYAPI names none (PATH[:PATH…])")
    report = verify(binary, Wanted(), Progress(shown=False))
    sums = tally(report.outcomes)
    assert report.is_good, "\n".join(shown(report))
    assert sums.failures > 700


def test_a_new_version_shows_what_is_new(tmp_path: Path) -> None:
    """What is known gets the version's name; what is not is told and kept."""
    file = tmp_path / "captured.jsonl"
    headers = {"Content-Type": "application/json"}
    write_captured([Captured("a", 429, headers, "{}", "quota", want=True, at={"chat": ["v1"]})], file)
    new = [
        Captured("a", 429, headers, "{}", "quota", want=True, at={"chat": ["v2"]}),
        Captured("a", 400, headers, "Bad Request", "none", want=False, at={"responses~": ["v2"]}),
    ]
    told = list(added(new, file))
    assert told == ["1 of 2 answers are new", "  a on responses~: 400, none: Bad Request"]
    assert {(entry.status, str(entry.at)) for entry in captured(file)} == {
        (429, "{'chat': ['v1', 'v2']}"),
        (400, "{'responses~': ['v2']}"),
    }


@pytest.mark.parametrize("binary", BINARIES or [None], ids=lambda binary: binary.name if binary else "none")
def test_its_lists_of_models_also_have_what_is_routed(binary: Path | None, tmp_path: Path) -> None:
    """In the three shapes, and disguised for Claude Code where it disguises its own."""
    if binary is None:
        pytest.skip("no real CLIProxyAPI was asked: CLIPROXYAPI names none (PATH[:PATH…])")
    from anthropic import Anthropic
    from google import genai
    from google.genai import types
    from openai import OpenAI

    models = {"anthropic": ["claude-sonnet-4-5"], "codex": ["gpt-5.5"], "gemini": ["gemini-2.5-pro"]}
    own = {"enabled": True, "models": ["Routed-1", "gpt-5.5", "claude-x"]}
    with (
        in_thread(Providers([])) as providers,
        in_thread(LiteLLM()) as litellm,
        cliproxyapi(binary, providers, models, tmp_path / "upstream") as upstream,
        product(upstream.process.url, litellm.url, tmp_path / "product", own=own) as hybrid,
    ):

        def both(path: str, **headers: str) -> tuple[Any, Any]:
            headers = {"Authorization": f"Bearer {CLIENT_KEY}", **headers}
            answers = [
                httpx.get(f"{url}{path}", headers=headers, trust_env=False)
                for url in (upstream.process.url, hybrid.process.url)
            ]
            assert [answer.status_code for answer in answers] == [200, 200]
            return answers[0].json(), answers[1].json()

        def ids(listed: list[dict[str, Any]]) -> list[str]:
            return sorted(str(entry.get("id") or entry["name"]) for entry in listed)

        direct, through = both("/v1/models")
        assert ids(through["data"]) == sorted([*ids(direct["data"]), "Routed-1", "claude-x"])
        assert all(set(entry) == set(direct["data"][0]) for entry in through["data"])
        claude_code = {"anthropic-version": "2023-06-01", "User-Agent": "claude-cli/2.1.332 (external, cli)"}
        direct, through = both("/v1/models?limit=1000", **claude_code)
        disguises = any(name.startswith("claude-fable-5-dd-") for name in ids(direct["data"]))
        assert disguises == ("v7.2" in binary.name)
        ours = "claude-fable-5-dd-1-detuoR" if disguises else "Routed-1"
        assert ids(through["data"]) == sorted([*ids(direct["data"]), ours, "claude-x"])
        assert all(set(entry) <= set(direct["data"][0]) for entry in through["data"])
        assert through["last_id"] == "claude-x"
        direct, through = both("/v1beta/models")
        assert ids(through["models"]) == sorted(
            [*ids(direct["models"]), "models/Routed-1", "models/claude-x"]
        )

        url = hybrid.process.url
        options = types.HttpOptions(base_url=url)
        with (
            OpenAI(base_url=f"{url}/v1", api_key=CLIENT_KEY) as openai,
            Anthropic(base_url=url, auth_token=CLIENT_KEY, default_headers=claude_code) as anthropic,
            genai.Client(api_key=CLIENT_KEY, http_options=options) as gemini,
        ):
            assert {"Routed-1", "claude-x", "gpt-5.5"} <= {model.id for model in openai.models.list()}
            assert {ours, "claude-x"} <= {model.id for model in anthropic.models.list()}
            assert {"models/Routed-1", "models/gemini-2.5-pro"} <= {
                model.name for model in gemini.models.list()
            }


_ROUTE = re.compile(r"\] (?P<method>[A-Z]+) +(?P<path>/\S*) +-->")
_OF_ANY = 9
"""Methods that Gin's `Any` registers."""


@pytest.mark.parametrize("binary", BINARIES or [None], ids=lambda binary: binary.name if binary else "none")
def test_the_table_of_routes_is_what_it_registers(binary: Path | None, tmp_path: Path) -> None:
    """A debugging one writes them at its start."""
    if binary is None:
        pytest.skip("no real CLIProxyAPI was asked: CLIPROXYAPI names none (PATH[:PATH…])")
    extra = {"debug": True, "ampcode": {"upstream-url": NOWHERE}}
    with (
        in_thread(Providers([])) as providers,
        cliproxyapi(binary, providers, {}, tmp_path / "upstream", extra=extra) as upstream,
    ):
        said: dict[str, set[str]] = {}
        for found in _ROUTE.finditer(upstream.process.wait_for("/v1/ws")):
            said.setdefault(found["path"], set()).add(found["method"])
    told = {path: {"ANY"} if len(methods) == _OF_ANY else methods for path, methods in said.items()}

    version = ".".join(version_of(binary).removeprefix("v").split(".")[:2])
    assert told == registered_by(version)
