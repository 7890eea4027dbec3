"""The thinking setting in a model's name, `gpt-5(high)` or `gemini(8192)`, as LiteLLM takes it: in the body.

The levels and their budgets are CLIProxyAPI's, which takes both for every provider.
"""

import re
from typing import Any

from litellm_hybrid.message.json import Members, members
from litellm_hybrid.routing.apis import Api

_SUFFIX = re.compile(r"\(([^()]*)\)$")
_BUDGETS = {
    "none": 0,
    "minimal": 512,
    "low": 1024,
    "medium": 8192,
    "high": 24576,
    "xhigh": 32768,
    "max": 128000,
}
_LEAST = 1024
"""Tokens: Anthropic's least budget."""


def thinking_members(model: str, api: Api | None, body: Members) -> dict[str, Any]:
    """The members that say in a body what the suffix of a model's name says; {} where it says nothing.

    Args:
        model: as the client spelt it.
        api: the request's.
        body: the request's; the members replace its own, as in CLIProxyAPI.
    """
    suffix = _SUFFIX.search(model.strip())
    said = suffix[1].strip().lower() if suffix else ""
    budget = int(said) if said.isascii() and said.isdigit() and len(said) < 9 else _BUDGETS.get(said)
    if budget is None:
        return {}
    level = said if said in _BUDGETS else _level(budget)
    if api is Api.CHAT:
        return {"reasoning_effort": level}
    if api is Api.RESPONSES:
        return {"reasoning": {**members(body.decode("reasoning")), "effort": level}}
    if api is Api.MESSAGES:
        return _anthropic(budget, body.decode("max_tokens"))
    if api is Api.GENERATE_CONTENT:
        name = "generation_config" if body.has("generation_config") else "generationConfig"
        config = {key: value for key, value in members(body.decode(name)).items() if key != "thinking_config"}
        thinking = members(config.get("thinkingConfig"))
        thinking = {key: value for key, value in thinking.items() if key != "thinkingLevel"}
        return {name: {**config, "thinkingConfig": {**thinking, "thinkingBudget": budget}}}
    return {}


def _level(budget: int) -> str:
    return next((level for level, most in _BUDGETS.items() if budget <= most), "max")


def _anthropic(budget: int, max_tokens: object) -> dict[str, Any]:
    if budget == 0:
        return {"thinking": {"type": "disabled"}}
    if isinstance(max_tokens, int) and max_tokens <= _LEAST:
        return {}  # no room for any
    most = max_tokens - 1 if isinstance(max_tokens, int) else budget
    return {"thinking": {"type": "enabled", "budget_tokens": max(_LEAST, min(budget, most))}}
