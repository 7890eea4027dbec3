"""The words and shapes in which providers refuse a request."""

from collections.abc import Callable, Mapping
from typing import Any

from support.strict_types import Misfit

type Json = dict[str, Any]

UNKNOWN: dict[str, str] = {
    "openai": "Unknown parameter: '{bracketed}'.",
    "azure": "Unrecognized request argument supplied: {name}",
    "anthropic": "{dotted}: Extra inputs are not permitted",
    "gemini": "Invalid JSON payload received. Unknown name \"{name}\" at '{parent}': Cannot find field.",
    "vllm": "[{{'type': 'extra_forbidden', 'loc': ('body', '{name}'), 'msg': 'Extra inputs are not permitted', 'input': '…'}}]",
    "compatible": "Unrecognized request argument supplied: {name}",
    "mistral": "body.{dotted}: Extra inputs are not permitted",
    "groq": "property '{name}' is unsupported",
    "xai": "Argument not supported on this model: {name}",
    "deepseek": "Unsupported parameter: {name}",
    "openrouter": "Unrecognized key(s) in object: '{name}'",
    "bedrock": "Malformed input request: #: extraneous key [{name}] is not permitted, please reformat your input and try again.",
}
"""What each says of a member that it does not know."""


def misfit_words(whose: str, found: Misfit) -> str:
    """What a provider says of what does not fit its types."""
    dotted, bracketed = found.dotted, found.bracketed
    if found.what == "unknown":
        parent = Misfit("unknown", found.path[:-1]).bracketed
        return UNKNOWN[whose].format(name=found.path[-1], parent=parent, dotted=dotted, bracketed=bracketed)
    if found.what == "missing":
        anthropic = whose == "anthropic"
        return f"{dotted}: Field required" if anthropic else f"Missing required parameter: '{bracketed}'."
    allowed = ", ".join(f"'{value}'" for value in found.expected[:6])
    words = {
        "anthropic": f"{dotted}: Input should be {allowed}",
        "groq": f"'{dotted}' : value is not one of the allowed values [{allowed}]",
        "vllm": f"[{{'type': 'literal_error', 'loc': {('body', *found.path)}, 'msg': \"Input should be {allowed}\"}}]",
        "xai": f"{bracketed}: unknown variant `{found.value}`, expected {allowed.replace("'", '`')}",
    }
    return words.get(whose, f"Invalid value: '{found.value}'. Supported values are: {allowed}.")


def _openai(words: str, param: str | None) -> Json:
    return {"error": {"message": words, "type": "invalid_request_error", "param": param, "code": None}}


_SHAPES: dict[str, Callable[[str], Json]] = {
    "anthropic": lambda words: {"type": "error", "error": {"type": "invalid_request_error", "message": words}},
    "gemini": lambda words: {"error": {"code": 400, "message": words, "status": "INVALID_ARGUMENT"}},
    "vllm": lambda words: {"object": "error", "message": words, "type": "BadRequestError", "param": None, "code": 400},
    "mistral": lambda words: {"object": "error", "message": {"detail": [{"type": "extra_forbidden", "loc": ["body"], "msg": words}]}},
    "xai": lambda words: {"code": "Client specified an invalid argument", "error": words},
    "openrouter": lambda words: {"error": {"message": words, "code": 400}},
    "bedrock": lambda words: {"message": words},
}  # fmt: skip
"""The body around the words; OpenAI's where there is none."""


def refused(whose: str, words: str, param: str | None) -> tuple[int, Json, Mapping[str, str]]:
    """The status, body and headers in which a provider says something, of a parameter where it names one."""
    headers = {"x-amzn-errortype": "ValidationException"} if whose == "bedrock" else {}
    body = _SHAPES[whose](words) if whose in _SHAPES else _openai(words, param)
    return 422 if whose == "mistral" else 400, body, headers
