"""Whether a replay takes the history along as it is, or reduced.

`auto` sends what the provider behind LiteLLM is likely to read. Anthropic's
signed thinking and Google's thought signatures belong to a model, whoever pays
for it: they travel to the same provider's models. OpenAI's encrypted reasoning
belongs to an organisation, and LiteLLM's key is another one's.
"""

from litellm_hybrid.config.settings import HistoryPolicy
from litellm_hybrid.llm.history.reduce import Api

_SAME_PROVIDER = {"messages": ("claude", "anthropic"), "generate-content": ("gemini", "google")}


def travels(policy: HistoryPolicy, api: Api, model: str) -> bool:
    """Whether a history goes along as it is.

    Args:
        policy: `fallback.history`.
        api: the request's.
        model: LiteLLM's name for the model, which mostly names its provider.
    """
    if policy != "auto":
        return policy == "keep"
    if api == "responses":
        return False
    names = _SAME_PROVIDER.get(api)
    return names is None or any(name in model.lower() for name in names)
