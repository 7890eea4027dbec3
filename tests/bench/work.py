"""What is sent: bodies of a given size, and requests as they go over the wire."""

import json

KIB = 1024
MIB = 1024 * KIB

CHAT = "/v1/chat/completions"
RESPONSES = "/v1/responses"

STREAM = "sse-30-100"
"""The model of one of many streams: 30 events, 100 ms apart; the first still runs when the 1,000th begins."""

type Headers = tuple[tuple[str, str], ...]

_WORDS = 'The quick brown fox said "jump", and the lazy dog did:\n\tover C:\\dogs it went, naïvely. '


def body(size: int, model: str, *, stream: bool = False) -> bytes:
    """A chat request of `size` bytes, or the least that it takes; `model` follows the messages, as in the SDKs.

    Claude's Messages API understands it too, and the Responses API's paths take it from `stub.py`.
    """
    rest = {"model": model, "max_tokens": 64} | ({"stream": True} if stream else {})
    messages: list[dict[str, str]] = [{"role": "user", "content": ""}]
    missing = size - len(_encode(messages, rest))
    turn = _WORDS * 24
    per_turn = len(_encode([*messages, _turn(1, turn)], rest)) - len(_encode(messages, rest))
    # A few turns less than fit: their length in bytes is not quite the same for each.
    turns = max(0, missing // per_turn - 1)
    messages += [_turn(number, turn) for number in range(turns)]
    missing = size - len(_encode(messages, rest))
    messages[0]["content"] = "x" * max(0, missing)
    return _encode(messages, rest)


def _turn(number: int, text: str) -> dict[str, str]:
    return {"role": "assistant" if number % 2 else "user", "content": text}


def _encode(messages: list[dict[str, str]], rest: dict[str, object]) -> bytes:
    return json.dumps({"messages": messages, **rest}, ensure_ascii=False, separators=(",", ":")).encode()


def request(path: str, content: bytes, headers: Headers = (), *, keep_alive: bool = True) -> bytes:
    """A POST, head and body, as it goes over the wire."""
    fields: Headers = (
        ("Host", "127.0.0.1"),
        ("Content-Type", "application/json"),
        ("Authorization", "Bearer sk-key-of-the-client"),
        ("User-Agent", "bench"),
        ("Accept", "*/*"),
        *headers,
        ("Content-Length", str(len(content))),
        ("Connection", "keep-alive" if keep_alive else "close"),
    )
    # A subject's own header replaces the one that everybody gets.
    unique = {name.lower(): (name, value) for name, value in fields}
    lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in unique.values())]
    return "\r\n".join([*lines, "", ""]).encode() + content
