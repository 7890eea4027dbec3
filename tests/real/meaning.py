"""What an answer of CLIProxyAPI means by what is left in it, not by what its provider meant.

The judge of the classifier, so it shares no code with it: it knows the provider's own answer and looks how
much of that came through. A failure of which nothing is left is `no-answer`; one of which only the status is
left means what that status means; an answer to the client is no failure, whatever was in the provider's.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

from real.corpus import FALLS_BACK, NOT_FAILED, ProviderError

BY_STATUS = {
    401: "login",
    402: "account",
    403: "account",
    429: "quota",
    503: "overload",
    529: "overload",
    500: "server-error",
    502: "server-error",
    504: "server-error",
}
"""What a status means where no word is left; anything else is a refused request."""

BY_TYPE = {
    "authentication_error": "login",
    "permission_error": "account",
    "rate_limit_error": "quota",
    "overloaded_error": "overload",
    "server_error": "server-error",
    "api_error": "server-error",
}

HIDDEN = re.compile(
    r"empty_stream: upstream stream closed|stream closed before response\.completed|unexpected EOF"
    r"|INTERNAL_ERROR; received from peer|returned empty stream response|upstream stream closed before a terminal"
    r"|stream disconnected before|stream closed before \[DONE\]|connection reset by peer"
)
"""What it writes for an answer of the provider that was cut off or empty."""

_FINISHED = {"stop", "end_turn", "STOP", "completed", "in_progress", "FINISH_REASON_UNSPECIFIED"}
_WORD = re.compile(r"\w{3,}")


def meaning(case: ProviderError, status: int, body: str) -> tuple[str, bool]:
    """The kind of what was written, and whether it falls back by default."""
    kind = _kind(case, status, body)
    return kind, kind in FALLS_BACK


def _kind(case: ProviderError, status: int, body: str) -> str:
    documents = list(_documents(body))
    if status < 400 and any(_is_answer(document) for document in documents):
        return "none"
    error = next(filter(None, map(_error, documents)), None)
    if error is None:
        return "no-answer" if status < 400 else _by_status(case, status)
    if HIDDEN.search(body):
        return "no-answer"
    if not _words_left(case, body):
        return _by_type(error) if status < 400 else _by_status(case, status)
    return _left(case, status)


def _left(case: ProviderError, status: int) -> str:
    """What the provider's words mean where they came through."""
    if case.kind == "late":
        return "overload" if "verloaded" in case.text else "server-error"
    if case.kind == "no-answer":
        return _by_status(case, status)
    return "none" if case.kind in NOT_FAILED else case.kind


def _by_status(case: ProviderError, status: int) -> str:
    kind = BY_STATUS.get(status, "none")
    # The status of a failure inside a stream is CLIProxyAPI's own.
    return case.kind if case.status == status and case.kind == kind else kind


def _by_type(error: object) -> str:
    """Behind `nonstream-keepalive-interval` the status is gone; the type that was derived from it is left."""
    kind = error.get("type") if isinstance(error, dict) else None
    return BY_TYPE.get(str(kind), "none")


def _words_left(case: ProviderError, body: str) -> bool:
    """Whether the provider's message or code came through: half of its longer words."""
    said = [text for text in _texts(case) if len(text) > 3]
    if not said:
        return False
    plain = body.replace("\\", "")
    return any(text[:30].replace("\\", "") in plain or _half(text, plain) for text in said)


def _half(text: str, plain: str) -> bool:
    words = set(_WORD.findall(text))
    return len(words) > 3 and sum(word in plain for word in words) * 2 > len(words)


def _texts(case: ProviderError) -> Iterator[str]:
    for document in _documents(case.text):
        error = _error(document)
        if isinstance(error, str):
            yield error
        if isinstance(error, dict):
            for key in ("message", "Message", "msg", "detail", "error", "status_msg", "faultstring"):
                if isinstance(error.get(key), str):
                    yield error[key]
            # Types and codes that CLIProxyAPI does not derive from a status by itself.
            yield from (
                value
                for key in ("code", "type", "reason")
                if isinstance(value := error.get(key), str) and value not in _DERIVED and not value.isdigit()
            )
        if isinstance(document, dict) and isinstance(document.get("code"), str):
            yield document["code"]
    if not any(True for _ in _documents(case.text)):
        yield re.sub(r"\s+", " ", case.text)


_DERIVED = {
    "invalid_request_error",
    "authentication_error",
    "permission_error",
    "rate_limit_error",
    "server_error",
    "api_error",
    "not_found_error",
    "insufficient_quota",
    "rate_limit_exceeded",
    "invalid_api_key",
    "model_not_found",
}


# -- what stands in an answer -----------------------------------------------------


def _documents(body: str) -> Iterator[Any]:
    """The JSON documents of a body: itself, or each event's data."""
    text = body.strip().removeprefix("\ufeff")
    if text.startswith(("{", "[")):
        try:
            value = json.loads(text)
        except ValueError:
            return
        yield from value if isinstance(value, list) else [value]
        return
    for line in text.splitlines():
        if line.startswith("data:"):
            try:
                yield json.loads(line[5:])
            except ValueError:
                continue


def _error(document: Any) -> Any:
    """The error that a document states at its top, or None."""
    if not isinstance(document, dict):
        return None
    found = document.get("error")
    response = document.get("response")
    if not found and isinstance(response, dict):
        found = response.get("error")
    if not found and isinstance(document.get("detail"), str | dict | list):
        found = document["detail"]
    if not found and document.get("object") == "error":
        found = document
    base = document.get("base_resp")
    if not found and isinstance(base, dict) and base.get("status_code"):
        found = base
    if not found and isinstance(document.get("message") or document.get("Message"), str):
        found = document
    return found


def _is_answer(document: Any) -> bool:
    """Whether a document holds content, counts a token, or says why it is empty."""
    if not isinstance(document, dict):
        return False
    if isinstance(document.get("error"), dict) and not _content(document):
        return False
    inner = document.get("response") if isinstance(document.get("response"), dict) else None
    return any(
        check(part) for part in filter(None, (document, inner)) for check in (_content, _counted, _reason)
    )


def _content(part: dict[str, Any]) -> bool:
    for choice in part.get("choices") or ():
        said = choice.get("delta") or choice.get("message") or {}
        if any(said.get(key) for key in ("content", "reasoning_content", "tool_calls", "refusal")):
            return True
    for candidate in part.get("candidates") or ():
        for piece in (candidate.get("content") or {}).get("parts") or ():
            if piece.get("text") or piece.get("functionCall") or piece.get("inlineData"):
                return True
    delta = part.get("delta")
    if isinstance(delta, str) and delta:
        return True
    if isinstance(delta, dict) and any(delta.get(k) for k in ("text", "thinking", "partial_json")):
        return True
    block = part.get("content_block") or {}
    blocks = part.get("content") if isinstance(part.get("content"), list) else []
    if block.get("type") in {"tool_use", "redacted_thinking"} or any(map(_filled, blocks or [])):
        return True
    items = [*(part.get("output") or ()), *filter(None, [part.get("item")])]
    return any(_item_filled(item) for item in items)


def _filled(block: Any) -> bool:
    return isinstance(block, dict) and any(
        block.get(k) for k in ("text", "thinking", "input", "name", "data")
    )


def _item_filled(item: Any) -> bool:
    if not isinstance(item, dict):
        return False
    if item.get("type") == "function_call":
        return True
    return any(_filled(block) for block in [*(item.get("content") or ()), *(item.get("summary") or ())])


def _counted(part: dict[str, Any]) -> bool:
    """A token counted at its end; `message_start` and `response.created` count before there is an answer."""
    if part.get("type") == "message_start" or part.get("status") == "in_progress":
        return False
    usage = part.get("usage") or part.get("usageMetadata") or {}
    names = ("prompt_tokens", "input_tokens", "output_tokens", "completion_tokens", "totalTokenCount")
    return any(isinstance(usage.get(name), int) and usage[name] > 0 for name in (*names, "promptTokenCount"))


def _reason(part: dict[str, Any]) -> bool:
    if part.get("object") == "chat.completion.chunk":
        # Counted only on request: there a finish reason is enough.
        return any(choice.get("finish_reason") for choice in part.get("choices") or ())
    delta = part.get("delta") if isinstance(part.get("delta"), dict) else {}
    said = [part.get("stop_reason"), (delta or {}).get("stop_reason")]
    said += [choice.get("finish_reason") for choice in part.get("choices") or ()]
    said += [candidate.get("finishReason") for candidate in part.get("candidates") or ()]
    if part.get("incomplete_details") or part.get("promptFeedback"):
        return True
    return any(reason and reason not in _FINISHED for reason in said)
