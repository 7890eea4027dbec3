"""The generateContent shape (Google): thoughts, their signatures, and cached content.

A thought signature is sealed for the account and model it came from: "Corrupted
thought signature" (google-gemini/gemini-cli#13467), "Thought signature is not valid"
(decolua/9router#301). Gemini 3 also refuses a turn whose first function call has
none: "Function call is missing a thought_signature" (langgenius/dify#29187). For a
history from elsewhere Google documents a placeholder that it does not check
(ai.google.dev/gemini-api/docs/thought-signatures#faqs); CLIProxyAPI knows it, too.
"""

from functools import partial

from msgspec import Raw

from litellm_hybrid.llm.history.json_edit import (
    Object,
    edited,
    elements,
    encoded,
    filtered,
    is_empty,
    is_true,
    opened,
    replace,
    text,
)
from litellm_hybrid.llm.history.reduction import Reduction

PLACEHOLDER = "skip_thought_signature_validator"
_PLACEHOLDERS = frozenset({PLACEHOLDER, "context_engineering_is_the_way_to_go"})

# Protobuf's JSON takes both spellings of every name.
_SIGNATURES = ("thoughtSignature", "thought_signature")
_CALLS = ("functionCall", "function_call")
_CACHE_NAMES = ("cachedContent", "cached_content")
_CONFIGS = ("generationConfig", "generation_config")
_THINKING = ("thinkingConfig", "thinking_config")
_EMPTY = "empty text"
_UNSIGNED = {_EMPTY, "provider_specific_fields"}
_COUNTED = ("generateContentRequest", "generate_content_request")


def reduce_gemini(request: Object, work: Reduction) -> bool:
    """Reduce a generateContent or countTokens request in place; says whether it was changed.

    A signature on a function call becomes the placeholder, any other goes. Once a
    request has foreign parts, or was refused for a missing signature, each model
    content's first function call gets the placeholder if it has no signature.
    """
    changed = work.everything and work.remove(request, _CACHE_NAMES)
    part = partial(_part, work=work)
    changed |= replace(
        request,
        "contents",
        lambda raw: filtered(raw, lambda each: work.thinned(each, "parts", part, "content")),
    )
    if (changed and work.dropped.keys() - _UNSIGNED) or work.rejection == "thought-signature-missing":
        changed |= replace(request, "contents", lambda raw: filtered(raw, partial(_signed, work=work)))
    if work.rejection == "thinking-missing":
        for config in _CONFIGS:
            changed |= work.switch_off_within(request, config, _THINKING)
    for key in _COUNTED:
        changed |= replace(
            request, key, lambda raw: edited(raw, lambda counted: reduce_gemini(counted, work))
        )
    return changed


def _part(raw: Raw, *, work: Reduction) -> Raw | None:
    part = opened(raw)
    if part is None:
        return raw
    call = _is_call(part)
    sealed = [
        key for key in _SIGNATURES if not is_empty(part.get(key)) and text(part[key]) not in _PLACEHOLDERS
    ]
    foreign = [key for key in sealed if work.everything or work.is_foreign(part[key])]
    if is_true(part.get("thought")) and not call and (work.everything or foreign):
        work.dropped["thought"] += 1
        return None
    if (
        text(part.get("text")) == ""
        and not (sealed and not foreign)
        and part.keys() <= {"text", *_SIGNATURES}
    ):
        # Google's clients send back the empty text that its streams end with; Anthropic and Vertex refuse it.
        work.dropped["thoughtSignature" if foreign else _EMPTY] += 1
        return None
    added = work.remove(part, work.added_members(None))
    if not foreign:
        return encoded(part) if added else raw
    work.dropped["thoughtSignature"] += 1
    for key in foreign:
        del part[key]
    if call:
        part[foreign[0]] = encoded(PLACEHOLDER)
    # Vertex refuses a part with an empty text, which is all that some signatures come with.
    return encoded(part) if any(not is_empty(value) for value in part.values()) else None


def _signed(raw: Raw, *, work: Reduction) -> Raw:
    content = opened(raw)
    parts = elements(content.get("parts")) if content is not None else None
    if content is None or parts is None:
        return raw
    for position, raw_part in enumerate(parts):
        part = opened(raw_part)
        if part is None or not _is_call(part):
            continue
        if any(not is_empty(part.get(key)) for key in _SIGNATURES):
            return raw
        part["thoughtSignature"] = encoded(PLACEHOLDER)
        work.dropped["thoughtSignature"] += 1
        content["parts"] = encoded([*parts[:position], encoded(part), *parts[position + 1 :]])
        return encoded(content)
    return raw


def _is_call(part: Object) -> bool:
    return any(key in part for key in _CALLS)
