#!/usr/bin/env python3
"""Fuzzing of what reads a client's bytes (codings, JSON, forms, paths, headers, keys), and an answer's.

Inputs are put together from pieces that such readers trip over, repeated, nested, cut and mixed with noise,
up to 1 MB. A reader may refuse one with the error that it documents, and with no other; none may take
100 ms of the processor, and none of an error of 64 KiB more than 5. Start it with scripts/fuzz.
"""

import argparse
import gzip
import random
import sys
import time
import zlib
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from ipaddress import ip_network
from pathlib import Path

import brotli
import zstandard

sys.path.insert(0, str(Path(__file__).parents[1] / "addon"))

from litellm_hybrid.llm import history, usage
from litellm_hybrid.llm.replay import refusals
from litellm_hybrid.message import credentials, forms, forwarded, ids, sse
from litellm_hybrid.message.decoders import UndecodableError, decode, decode_beginning
from litellm_hybrid.quota import classifier
from litellm_hybrid.routing import paths, requested_model
from litellm_hybrid.routing.paths import Api

MOST = 1_000_000
SLOW = 0.1
SLOW_ERROR = 0.005
"""Of the processor's time, in seconds: the least of some turns, for others may disturb one."""
TURNS = 5
PIECE = 65536
"""As much of a stream is read at once."""
FOUND = Path(".run/fuzz")

_JSON = [
    *(
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b'"',
        b'""',
        b"null",
        b"NaN",
        b"-",
        b"1e999",
        b"9" * 400,
        b"\\ud800",
        b"\\u0000",
    ),
    *(
        b'"model"',
        b'"model":"gpt-5",',
        b'"m\\u006fdel":1,',
        b'"stream":true,',
        b'"messages":[{"content":[',
        b'{"a":',
    ),
    *(
        b'"previous_response_id":"r",',
        b'{"type":"item_reference"},',
        b'"usage":{"input_tokens":1},',
        b'"error":{"message":"',
    ),
    *(
        b" ",
        b"\n",
        b"\xff",
        b"\xed\xa0\x80",
        b"\xef\xbb\xbf",
        b"\x00",
        b"usage limit reached",
        b"data: ",
        b"event: x\n",
        b"\n\n",
    ),
]
_PATH = [
    *(
        "/",
        "//",
        "/v1",
        "/v1beta",
        "/models/",
        "/chat/completions",
        "/messages",
        "/api/provider/",
        "x",
        ":generateContent",
    ),
    *(
        "%2f",
        "%00",
        "%25",
        "%",
        "..",
        "/../",
        "\\",
        "?",
        "&key=",
        "key=a",
        "auth_token=",
        "=",
        "\udcff",
        "é",
        ":",
        "*",
    ),
]
_HEADER = [
    *(
        b"x-forwarded-for",
        b"Forwarded",
        b"x-real-ip",
        b"authorization",
        b"X-Api-Key",
        b"x-goog-api-key",
        b"traceparent",
    ),
    *(
        b"127.0.0.1",
        b"::1",
        b"[::1]:1",
        b",",
        b" ",
        b"for=",
        b"localhost",
        b"Bearer ",
        b"a",
        b"\xff",
        b"%",
        b"1" * 70,
        b"00-",
    ),
]
_WORDS = [
    *(
        b"limit",
        b"quota",
        b"your ",
        b"the ",
        b"request",
        b"tokens",
        b"exceeded",
        b"try again in ",
        b"5 hours",
    ),
    *(b"invalid ", b"signature", b"thinking", b"messages.1.content.0: ", b"param", b"'", b'\\"', b"`", b": "),
    *(b"does not support ", b"unknown ", b"2026-09-22 01:00:00 ", b"1", b"maximum ", b"tool", b"json_schema"),
    *(b"}", b"{", b'"', b"\n", b",", b".", b"-", b">", b"model ", b"\xe9\x99\x90\xe9\xa2\x9d"),
]
_CODINGS = ["gzip", "deflate", "br", "zstd", "gzip, gzip", "identity", "x", "", ","]


_REFUSES: dict[str, type[ValueError]] = {"decode": UndecodableError, "forms": ValueError}
"""How a reader refuses, by its name; the others take anything."""

_OF_ERRORS = {"classify", "classify, words", "refusals"}
"""Readers of an error's body, of which 64 KiB are read."""


def _text(chance: random.Random, pieces: list[bytes]) -> bytes:
    """Some pieces in a row, a part of it repeated up to a million bytes."""
    text = b"".join(chance.choices(pieces, k=chance.randint(0, 12)))
    for _ in range(chance.randint(0, 2)):
        part = b"".join(chance.choices(pieces, k=chance.randint(1, 3)))
        text += part * chance.choice((1, 10, 1000, MOST // max(1, len(part))))
    if text and chance.random() < 0.3:
        text = text[: chance.randrange(len(text))]
    if chance.random() < 0.2:
        text = b'{"model":"gpt-5","messages":[' + text
    return text[:MOST]


def _headers(chance: random.Random) -> credentials.Headers:
    fields = ((chance.choice(_HEADER), _text(chance, _HEADER)[:65536]) for _ in range(chance.randint(0, 9)))
    return tuple(fields)


def _compressed(chance: random.Random) -> tuple[bytes, str]:
    coding, body = chance.choice(_CODINGS), _text(chance, _JSON)
    for name in reversed(coding.split(",")):
        match name.strip():
            case "gzip":
                body = gzip.compress(body, 1)
            case "deflate":
                body = zlib.compress(body, 1)
            case "br":
                body = brotli.compress(body, quality=1)
            case "zstd":
                body = zstandard.compress(body, 1)
    if chance.random() < 0.3 and body:
        body = body[: chance.randrange(len(body))] + chance.randbytes(3)
    return body, coding


def _readers(chance: random.Random) -> list[tuple[str, object, Callable[[], object]]]:
    text, (body, coding), headers = _text(chance, _JSON), _compressed(chance), _headers(chance)
    path = "/" + "".join(chance.choices(_PATH, k=chance.randint(0, 14))) * chance.choice((1, 1, 1, 50, 1000))
    content_type = chance.choice(
        ("application/json", "multipart/form-data; boundary=a", "application/x-www-form-urlencoded")
    )
    peer, networks = (
        chance.choice(("127.0.0.1", "10.0.0.1", "")),
        (ip_network("10.0.0.0/8"), ip_network("127.0.0.1")),
    )
    status = chance.choice((200, 400, 429, 500))
    plain = {"content-type": chance.choice(("application/json", "text/event-stream", ""))}
    said, error = _text(chance, _WORDS), b'{"error":{"message":"%b"}}'
    said = chance.choice((b"%b", error, b"data: " + error + b"\n\n")) % said
    api = chance.choice(list(Api))
    return [
        ("decode", (body, coding), lambda: decode(body, coding)),
        ("decode_beginning", (body, coding), lambda: decode_beginning(body, coding)),
        (
            "requested_model",
            (path, content_type, text),
            lambda: requested_model.read(path, content_type, "", text),
        ),
        (
            "requested_model, coded",
            (body, coding),
            lambda: requested_model.read(path, content_type, coding, body),
        ),
        ("forms", (content_type, text), lambda: forms.find_field(text, content_type, "model")),
        (
            "paths",
            path,
            lambda: [
                paths.exposure("POST", path),
                paths.model_path(path),
                paths.for_litellm(path, "m"),
                paths.for_upstream(path),
            ],
        ),
        (
            "forwarded",
            (peer, headers),
            lambda: forwarded.put(headers, forwarded.find(peer, headers, networks).ip),
        ),
        (
            "keys",
            (headers, path),
            lambda: [credentials.presented(headers, path), credentials.without_credentials(path)],
        ),
        ("ids", headers, lambda: [ids.choose(value.decode("latin-1")) for _, value in headers]),
        ("events", text, lambda: list(sse.EventReader().feed(text[:PIECE])) + list(sse.events(text))),
        ("usage", text, lambda: usage.read(text[:4096], text[-16384:])),
        (
            "classify",
            (status, plain, text),
            lambda: classifier.classify(status, plain, text[:65536], now=0.0),
        ),
        (
            "classify, words",
            (status, plain, said),
            lambda: classifier.classify(status, plain, said[:65536], now=0.0),
        ),
        ("refusals", (status, said), lambda: refusals.remedies(status, said[:65536])),
        ("history", (api, text), lambda: history.reduce(text, api, rejection=None)),
    ]


def _time(read: Callable[[], object]) -> float:
    start = time.thread_time()
    with suppress(ValueError):
        read()
    return time.thread_time() - start


def main() -> int:
    """Fuzz; 1 if something was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    given = parser.parse_args()
    chance = random.Random(given.seed)  # noqa: S311 (to be repeated, not to be safe)
    until = time.monotonic() + 60 * given.minutes
    count, found, slowest = 0, Counter[str](), dict[str, float]()
    while time.monotonic() < until:
        for name, value, read in _readers(chance):
            count += 1
            problem, start = "", time.thread_time()
            try:
                read()
            except Exception as e:  # noqa: BLE001 (that is what is looked for)
                if not isinstance(e, _REFUSES.get(name, ())):
                    problem = f"{type(e).__name__}: {e}"
            took = time.thread_time() - start
            most = SLOW_ERROR if name in _OF_ERRORS else SLOW
            if took > most and not problem:
                took = min(took, *(_time(read) for _ in range(TURNS)))
            slowest[name] = max(slowest.get(name, 0.0), took)
            if took > most:
                problem = f"{took * 1000:.0f} ms"
            if problem:
                found[name] += 1
                if found[name] <= 3:
                    FOUND.mkdir(parents=True, exist_ok=True)
                    file = FOUND / f"{name.replace(', ', '-')}-{given.seed}-{found[name]}"
                    file.write_text(repr(value))
                    print(f"fuzz: {name}: {problem[:200]}: {file}")
    for name, took in slowest.items():
        print(f"fuzz: {name:24} at most {took * 1000:6.1f} ms, {found[name]} found")
    print(f"fuzz: {count} inputs, seed {given.seed}: {'nothing found' if not found else 'FOUND'}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
