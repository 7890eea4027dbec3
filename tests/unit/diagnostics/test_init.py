import shlex

import pytest
import yaml

from litellm_hybrid.config.parser import parse
from litellm_hybrid.config.settings import Address
from litellm_hybrid.diagnostics.init import (
    Match,
    Proposal,
    SetUp,
    client_lines,
    config_text,
    env_text,
    model_list,
    propose,
)

UPSTREAM, LITELLM = Address("http", "127.0.0.1", 8317), Address("https", "litellm.example", 443, "/proxy")
PROPOSALS = [
    Proposal("gpt-5", "gpt-5", Match.SAME),
    Proposal("claude-opus-4-5", "anthropic/claude-opus-4-1", Match.FAMILY),
    Proposal("yes", "", Match.NONE),
    Proposal("a: b #c", 'd"e', Match.CHOSEN),
]


@pytest.mark.parametrize(
    ("name", "known", "target", "match"),
    [
        ("gpt-5", ["gpt-5"], "gpt-5", Match.SAME),
        ("gpt-5(high)", ["gpt-5"], "gpt-5", Match.SAME),
        ("gpt-5", ["*"], "gpt-5", Match.SAME),
        ("gpt-5", ["openai/*", "openai/gpt-5"], "gpt-5", Match.SAME),
        ("claude-sonnet-4-5-20250929", ["claude-sonnet-4-5"], "claude-sonnet-4-5", Match.SPELLING),
        ("gpt-5", ["openai/gpt-5"], "openai/gpt-5", Match.SPELLING),
        ("gpt-5", ["GPT-5"], "GPT-5", Match.SPELLING),
        ("claude-opus-4-5", ["claude-opus-4-1", "gpt-5"], "claude-opus-4-1", Match.FAMILY),
        ("gpt-5.5-mini", ["gpt-5", "gpt-5-mini"], "gpt-5-mini", Match.FAMILY),
        ("gemini-3-pro-preview", ["gemini-2.5-flash", "gemini-2.5-pro"], "gemini-2.5-pro", Match.FAMILY),
        ("claude-opus-4-5", ["gpt-5", "gemini-2.5-pro"], "", Match.NONE),
        ("gpt-5", [], "", Match.NONE),
    ],
)
def test_what_a_model_becomes(name: str, known: list[str], target: str, match: Match) -> None:
    (found,) = propose([name], known)
    assert (found.target, found.match) == (target, match)


def test_a_model_is_proposed_once() -> None:
    assert [each.name for each in propose(["gpt-5", "gpt-5(high)", "gpt-5"], ["gpt-5"])] == ["gpt-5"]


@pytest.mark.parametrize("litellm_key", ["LITELLM_API_KEY", ""])
@pytest.mark.parametrize("client_key", ["HYBRID_CLIENT_KEY", ""])
@pytest.mark.parametrize("models", [PROPOSALS, []])
def test_the_file_says_what_was_chosen(litellm_key: str, client_key: str, models: list[Proposal]) -> None:
    text = config_text(SetUp(UPSTREAM, LITELLM, litellm_key, client_key, models))
    env = {"LITELLM_API_KEY": "sk-litellm", "HYBRID_CLIENT_KEY": "sk-client"}
    settings = parse(text, source="x", env=env).settings

    assert (settings.upstream, settings.base_url) == (UPSTREAM, LITELLM)
    assert settings.fallback.enabled
    assert not settings.routing
    assert settings.no_auth == (not litellm_key)
    assert settings.api_key is None or settings.api_key.value == ("sk-litellm" if litellm_key else "none")
    assert [key.value for key in settings.client_keys] == (["sk-client"] if client_key else [])
    for each in models:
        assert settings.fallback.covers(each.name) == bool(each.target)
        mapped = settings.mapped(each.name)
        assert (mapped or each.name) == (each.target or each.name)


def test_what_litellm_lacks_is_a_model_list() -> None:
    lacking = [Proposal(name, "", Match.NONE) for name in ("claude-opus-4-5", "gpt-5", "yes")]
    found = yaml.safe_load(model_list([*lacking, *PROPOSALS[:2]]))["model_list"]

    assert [each["model_name"] for each in found] == ["claude-opus-4-5", "gpt-5", "yes"]
    assert found[0]["litellm_params"] == {
        "model": "anthropic/claude-opus-4-5",
        "api_key": "os.environ/ANTHROPIC_API_KEY",
    }
    assert model_list(PROPOSALS[:2]) == ""


def test_a_shell_reads_the_variables() -> None:
    values = {"A": "plain", "B": 'it\'s $HOME `x` "y" z'}
    lines = env_text(values).splitlines()
    assert dict(shlex.split(line)[0].split("=", 1) for line in lines) == values


@pytest.mark.parametrize("has_keys", [False, True])
def test_each_client_is_pointed_at_the_proxy(has_keys: bool) -> None:
    lines = dict(client_lines("http://127.0.0.1:8318", PROPOSALS, has_keys=has_keys))
    assert len(lines) == 4
    for line in lines.values():
        assert "http://127.0.0.1:8318" in line
        assert ("HYBRID_CLIENT_KEY" in line) == has_keys
        shlex.split(line)


@pytest.mark.parametrize(
    ("models", "claude", "codex"),
    [
        (["gpt-5", "claude-opus-4-5"], "--model claude-opus-4-5", "-m gpt-5"),
        (["gpt-6", "gpt-5"], "--model gpt-5", "-m gpt-5"),
        (["gpt-6"], "--model gpt-6", "-m gpt-6"),
        ([], "", ""),
    ],
)
def test_each_client_is_told_a_model_that_upstream_has(models: list[str], claude: str, codex: str) -> None:
    """Its own first choice may be none; one that may fall back comes first."""
    proposals = [Proposal(name, "" if name == "gpt-6" else "x", Match.CHOSEN) for name in models]
    lines = dict(client_lines("http://127.0.0.1:8318", proposals, has_keys=False))
    for line, option in ((lines["Claude Code"], claude), (lines["Codex"], codex)):
        assert option in line
        assert option or not {"--model", "-m"} & set(shlex.split(line))
