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
    left_out,
    model_list,
    propose,
    spending,
)
from litellm_hybrid.llm.usage import PriceList

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
    """Of what an agent can use, by makers that are known."""
    asked = ("claude-opus-4-5", "gpt-5", "yes", "gpt-image-1.5", "codex-auto-review")
    lacking = [Proposal(name, "", Match.NONE) for name in asked]
    names, text = model_list([*lacking, *PROPOSALS])
    found = yaml.safe_load(text)["model_list"]

    assert names == [each["model_name"] for each in found] == ["claude-opus-4-5", "gpt-5"]
    assert found[0]["litellm_params"] == {
        "model": "anthropic/claude-opus-4-5",
        "api_key": "os.environ/ANTHROPIC_API_KEY",
    }
    assert model_list(PROPOSALS)[0] == []


def test_another_model_is_for_somebody_to_agree_to() -> None:
    assert [each.target for each in left_out(PROPOSALS)] == ["gpt-5", "", "", 'd"e']
    assert model_list(left_out(PROPOSALS))[0] == ["claude-opus-4-5"]


@pytest.mark.parametrize(
    ("costs", "said"),
    [
        ({}, "LiteLLM says no price"),
        ({"gpt-5": (1.25e-6, 1e-5)}, "cost $1.25 in, $10 out (gpt-5)."),
        (
            {"gpt-5": (1.25e-6, 1e-5), "anthropic/claude-opus-4-1": (1.5e-5, 7.5e-5), "other": (1, 1)},
            "cost $1.25 in, $10 out (gpt-5) to $15 in, $75 out (anthropic/claude-opus-4-1).",
        ),
    ],
)
def test_what_falling_back_costs(costs: dict[str, tuple[float, float]], said: str) -> None:
    entries = [
        {"model_name": name, "model_info": {"input_cost_per_token": i, "output_cost_per_token": o}}
        for name, (i, o) in costs.items()
    ]
    line = spending(PROPOSALS, PriceList({"data": entries}))
    assert said in line
    assert "\n" not in line


def test_a_shell_reads_the_variables() -> None:
    values = {"A": "plain", "B": 'it\'s $HOME `x` "y" z'}
    lines = env_text(values).splitlines()
    assert dict(shlex.split(line)[0].split("=", 1) for line in lines) == values


@pytest.mark.parametrize("has_keys", [False, True])
def test_each_client_is_pointed_at_the_proxy(has_keys: bool) -> None:
    proposals = [Proposal(name, name, Match.SAME) for name in ("claude-a", "gpt-5", "gemini-3-pro")]
    lines = dict(client_lines("http://127.0.0.1:8318", proposals, has_keys=has_keys))
    assert len(lines) == 4
    for line in lines.values():
        assert "http://127.0.0.1:8318" in line
        assert ("HYBRID_CLIENT_KEY" in line) == has_keys
        shlex.split(line)


@pytest.mark.parametrize(
    ("models", "claude", "codex"),
    [
        (["gpt-5", "claude-opus-4-5"], "claude-opus-4-5", "gpt-5"),
        (
            ["claude-3-5-haiku-20241022", "claude-sonnet-4-5-20250929", "claude-opus-4-1"],
            "claude-sonnet-4-5-20250929",
            "",
        ),
        (["claude-opus-4-8-", "claude-sonnet-4-5", "claude-haiku-5"], "claude-sonnet-4-5", ""),
        (["gpt-6-", "gpt-5.5-mini", "gpt-5", "gpt-5.2", "gpt-image-7", "gpt-oss-120b"], "", "gpt-5.2"),
        (["gpt-6-", "gpt-image-7"], "", "gpt-6"),
        (["grok-4"], "", ""),
        ([], "", ""),
    ],
)
def test_each_client_is_told_a_model_of_its_own(models: list[str], claude: str, codex: str) -> None:
    """Its own first choice may be none; the newest that falls back (none with a `-` here), or no line."""
    proposals = [Proposal(name.rstrip("-"), "" if name.endswith("-") else "x", Match.SAME) for name in models]
    lines = client_lines("http://127.0.0.1:8318", proposals, has_keys=False)
    for client, line, model in zip(("Claude Code", "Codex"), lines, (claude, codex), strict=False):
        assert line[0].startswith(client)
        assert ("does not fall back" in line[0]) == (f"{model}-" in models)
        assert shlex.split(line[1])[-1:] == ([model] if model else [])
        assert bool(line[1]) != ("lists no" in line[0])
    assert lines[-1][1]
