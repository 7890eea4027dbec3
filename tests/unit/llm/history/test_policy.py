import pytest

from litellm_hybrid.config.settings import HistoryPolicy
from litellm_hybrid.llm.history.policy import travels
from litellm_hybrid.llm.history.reduce import Api

CLAUDE = ["claude-opus-4-5", "anthropic/claude-3", "bedrock/eu.Anthropic.Claude-v2", "CLAUDE-X"]
GEMINI = ["gemini-2.5-pro", "vertex_ai/gemini-3", "google/whatever", "Gemini"]
OTHERS = ["gpt-5", "openai/o3", "qwen", ""]


@pytest.mark.parametrize(
    ("api", "models", "goes"),
    [
        ("messages", CLAUDE, True),
        ("messages", [*GEMINI, *OTHERS], False),
        ("generate-content", GEMINI, True),
        ("generate-content", [*CLAUDE, *OTHERS], False),
        # OpenAI's encrypted reasoning belongs to the organisation that got it.
        ("responses", [*CLAUDE, *GEMINI, *OTHERS], False),
        # Chat has no sealed parts of its own; what is refused after all goes reduced.
        ("chat", [*CLAUDE, *GEMINI, *OTHERS], True),
    ],
)
def test_auto(api: Api, models: list[str], *, goes: bool) -> None:
    assert {model: travels("auto", api, model) for model in models} == dict.fromkeys(models, goes)


@pytest.mark.parametrize("api", ["messages", "generate-content", "responses", "chat"])
@pytest.mark.parametrize("model", [CLAUDE[0], GEMINI[0], OTHERS[0]])
@pytest.mark.parametrize(("policy", "goes"), [("keep", True), ("reduce", False)])
def test_a_policy_of_its_own_asks_nothing_else(
    policy: HistoryPolicy, api: Api, model: str, *, goes: bool
) -> None:
    assert travels(policy, api, model) is goes
