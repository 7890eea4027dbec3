"""How long `/_hybrid/health` takes while one client sends bodies that are long to read.

    PYTHONPATH=tests .venv/bin/python -m bench.health [--at-once 12] [--key] [NAME …]

For each shape of a body: once alone, and as many as `--at-once` says at the same time, from one address.
Ends with 0 only if every answer of health came within 0.5 s; a machine that is busy with other things shows.
"""

import argparse
import asyncio
import gzip
import json
import os
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path

import brotli
import zstandard

from bench import programs

LIMIT = 0.5
KEY = "sk-client"

_CHAT, _RESPONSES, _MESSAGES = "/v1/chat/completions", "/v1/responses", "/v1/messages"
_GEMINI = "/v1beta/models/o3:generateContent"
_MB = 1_000_000


def _chat(content: bytes, *, model: bytes = b"o3") -> bytes:
    return b'{"model":"%b","messages":[{"role":"user","content":%b}]}' % (model, content)


def _turns(turn: bytes, size: int, name: bytes = b"messages") -> bytes:
    return b'{"model":"o3","%b":[' % name + turn * (size // len(turn)) + b"{}]}"


def _form(size: int) -> bytes:
    part = b'--a\r\nContent-Disposition: form-data; name="%d"\r\n\r\nb\r\n'
    return b"".join(part % at for at in range(size // 60)) + b"--a--\r\n"


def _text(size: int) -> bytes:
    return _chat(b'"%b"' % (b"a" * size * _MB))


type Shape = tuple[str, str, Callable[[], bytes]]
"""A path, a content coding, and what makes the body, without it."""

_TOOL = b'{"role":"assistant","content":[{"type":"tool_use","id":"a","name":"b","input":{}}]},'
_SEALED = b'{"type":"reasoning","id":"rs_1","encrypted_content":"aaaaaaaaaaaaaaaa","summary":[]},'
_FILE = b'{"role":"user","content":[{"type":"file","file_id":"f"}]},'
_THOUGHT = b'{"role":"assistant","content":[{"type":"thinking","thinking":"a","signature":"b"}]},'

SHAPES: dict[str, Shape] = {
    **{f"text of {size} MB": (_CHAT, "", partial(_text, size)) for size in (7, 9, 30, 63)},
    **{
        f"text of {size} MB, {coding}": (_CHAT, coding, partial(_text, size))
        for size in (1, 63)
        for coding in ("gzip", "deflate", "br", "zstd")
    },
    "routed, 30 MB": (_CHAT, "", lambda: _chat(b'"%b"' % (b"a" * 30 * _MB), model=b"gpt-4.1")),
    "routed, 63 MB, gzip": (_CHAT, "gzip", lambda: _chat(b'"%b"' % (b"a" * 63 * _MB), model=b"gpt-4.1")),
    "escapes, 60 MB": (_CHAT, "", lambda: _chat(b'"%b"' % (b"\\n" * 30 * _MB))),
    "half characters, 7 MB": (_CHAT, "", lambda: _chat(b'"%b"' % (b"\\ud800" * 1_160_000))),
    "half characters, 60 MB": (_CHAT, "", lambda: _chat(b'"%b"' % (b"\\ud800" * 10 * _MB))),
    "half characters, 5 MB": (_CHAT, "", lambda: _chat(b'"%b"' % (b"\\ud800" * 830_000))),
    "no UTF-8, 30 MB": (_CHAT, "", lambda: _chat(b'"%b"' % (b"\xff" * 30 * _MB))),
    "commas in text, 60 MB": (_CHAT, "", lambda: _chat(b'"%b"' % (b",a" * 30 * _MB))),
    "elements, 1.9 million": (_CHAT, "", lambda: _chat(b"[" + b"0," * 1_900_000 + b"0]")),
    "elements, 1.9 million, gzip": (_CHAT, "gzip", lambda: _chat(b"[" + b"0," * 1_900_000 + b"0]")),
    "long elements, 60 MB": (
        _CHAT,
        "",
        lambda: _chat(b"[" + b'"aaaaaaaaaaaaaaaaaaaaaaaaaaaaa",' * 1_900_000 + b"0]"),
    ),
    "empty turns": (_CHAT, "", lambda: _turns(b"{},", 3 * 1_900_000)),
    "turns, 7 MB": (_CHAT, "", lambda: _turns(b'{"role":"user","content":"a"},', 7 * _MB)),
    "turns, 30 MB": (_CHAT, "", lambda: _turns(b'{"role":"user","content":"a"},', 28 * _MB)),
    "turns of tools, 7 MB": (_MESSAGES, "", lambda: _turns(_TOOL, 7 * _MB)),
    "turns of tools, 60 MB": (_MESSAGES, "", lambda: _turns(_TOOL, 35 * _MB)),
    "thoughts, 7 MB": (_MESSAGES, "", lambda: _turns(_THOUGHT, 7 * _MB)),
    "thoughts, 60 MB": (_MESSAGES, "", lambda: _turns(_THOUGHT, 40 * _MB)),
    "sealed, 7 MB": (_RESPONSES, "", lambda: _turns(_SEALED, 7 * _MB, b"input")),
    "sealed, 40 MB": (_RESPONSES, "", lambda: _turns(_SEALED, 38 * _MB, b"input")),
    "files, 4 MB": (_CHAT, "", lambda: _turns(_FILE, 2_900_000)),
    "files, 30 MB": (_CHAT, "", lambda: _turns(_FILE, 30 * _MB)),
    "a file at the end of 60 MB": (
        _RESPONSES,
        "",
        lambda: b'{"model":"o3","input":["' + b"a" * 60 * _MB + b'",{"type":"item_reference","id":"a"}]}',
    ),
    "nested, 7 MB": (_CHAT, "", lambda: _chat(b"[" * 3_500_000 + b"]" * 3_500_000)),
    "nested a thousandfold": (
        _CHAT,
        "",
        lambda: _chat(b"[" + (b"[" * 900 + b"]" * 900 + b",") * 30_000 + b"0]"),
    ),
    "nested, in no JSON, 15 MB": (_CHAT, "", lambda: b'{"model":"o3",,"a":' + b"[" * 15 * _MB),
    "numbers, 60 MB": (_CHAT, "", lambda: _chat(b"1" * 60 * _MB)),
    "numbers of 1,000 digits": (_CHAT, "", lambda: _chat(b"[" + (b"1" * 1000 + b",") * 60_000 + b"0]")),
    "members, 49,000": (
        _CHAT,
        "",
        lambda: b'{"model":"o3",' + b"".join(b'"%d":0,' % at for at in range(49_000)) + b'"a":1}',
    ),
    "members, 800,000": (_CHAT, "", lambda: b'{"model":"o3",' + b'"":0,' * 800_000 + b'"a":1}'),
    "members, 800,000, of no JSON": (
        _CHAT,
        "",
        lambda: b'{"m":NaN,"model":"o3",' + b'"":0,' * 800_000 + b'"a":1}',
    ),
    "comments, 15 MB": (_CHAT, "", lambda: b'{"model":"o3",' + b"/**/" * 3_700_000 + b'"a":1}'),
    "blanks, 60 MB": (_CHAT, "", lambda: b" " * 60 * _MB + b'{"model":"o3"}'),
    "no JSON, 7 MB": (_CHAT, "", lambda: b'{"model":"o3",,"a":"' + b"a" * 7 * _MB + b'"}'),
    "no JSON, 15 MB": (_CHAT, "", lambda: b'{"model":"o3",,"a":"' + b"a" * 15 * _MB + b'"}'),
    "no JSON, brackets, 15 MB": (
        _CHAT,
        "",
        lambda: b'{"model":"o3",,"a":[' + b"[],," * 120_000 + b'"' + b"a" * 14 * _MB + b'"]}',
    ),
    "no JSON, text, 63 MB": (_CHAT, "", lambda: b"a" * 63 * _MB),
    "model twice": (_CHAT, "", lambda: b'{"model":"o3","a":"' + b"a" * 60 * _MB + b'","model":"o4"}'),
    "model, many times": (_CHAT, "", lambda: b'{"model":"o3",' + b'"model":"o4",' * 100_000 + b'"a":1}'),
    "a form of 7 MB": ("/v1/images/edits", "", lambda: _form(7 * _MB)),
    "a form of 60 MB": ("/v1/images/edits", "", lambda: _form(60 * _MB)),
    "a form's fields, 60 MB": ("/v1/videos", "", lambda: b"a=b&" * 15 * _MB + b"model=o3"),
    "Gemini, 60 MB": (_GEMINI, "", lambda: b'{"contents":[{"parts":[{"text":"' + b"a" * 60 * _MB + b'"}]}]}'),
    "frames of zstd": (_CHAT, "zstd", lambda: zstandard.compress(b"") * 1_000_000),
    "members of gzip": (_CHAT, "gzip", lambda: gzip.compress(b"") * 400_000),
}
_IN_PARTS = ("frames of zstd", "members of gzip")
"""They are compressed already."""


_COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "": lambda body: body,
    "gzip": lambda body: gzip.compress(body, 1),
    "deflate": lambda body: zlib.compress(body, 1),
    "br": lambda body: brotli.compress(body, quality=1),
    "zstd": lambda body: zstandard.compress(body, 1),
}
_TYPES = {
    "/v1/images/edits": "multipart/form-data; boundary=a",
    "/v1/videos": "application/x-www-form-urlencoded",
}


def _requests(names: list[str], *, key: bool) -> Iterator[tuple[str, bytes]]:
    for name, (path, coding, make) in SHAPES.items():
        if names and not any(one in name for one in names):
            continue
        body = make() if name in _IN_PARTS else _COMPRESS[coding](make())
        headers = f"content-encoding: {coding}\r\n" if coding else ""
        headers += f"x-api-key: {KEY}\r\n" if key else ""
        head = (
            f"POST {path} HTTP/1.1\r\nhost: h\r\ncontent-type: {_TYPES.get(path, 'application/json')}\r\n"
            f"{headers}content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        yield name, head.encode() + body


async def _send(port: int, request: bytes) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        await writer.drain()
        status = await reader.readline()
        await reader.read()
        return int(status.split()[1]) if status else 0
    except ConnectionError:
        return 0
    finally:
        writer.close()


def _strain(port: int, request: bytes, count: int) -> None:
    async def all_of_them() -> list[int]:
        return await asyncio.gather(*(_send(port, request) for _ in range(count)))

    os._exit(0 if all(asyncio.run(all_of_them())) else 1)


def _longest(port: int, strain: BaseProcess) -> tuple[float, int]:
    """The longest that health took, in seconds, until a process has ended; and how often it was asked."""

    async def ask() -> tuple[float, int]:
        longest, count = 0.0, 0
        while strain.is_alive() or not count:
            start = time.monotonic()
            await _send(port, b"GET /_hybrid/health HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n")
            longest, count = max(longest, time.monotonic() - start), count + 1
            await asyncio.sleep(0.005)
        return longest, count

    return asyncio.run(ask())


def main() -> int:
    """Measure; 1 if something took longer."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--at-once", type=int, default=12)
    parser.add_argument("--key", action="store_true", help="with client keys configured, and one sent")
    parser.add_argument("names", nargs="*")
    given = parser.parse_args()
    late = 0
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home)
        with programs.stub("upstream", folder) as upstream, programs.stub("litellm", folder) as litellm:
            config = programs.write_config(litellm.port, folder / "config.yaml")
            if given.key:
                read = json.loads(config.read_text())
                config.write_text(json.dumps({"api-keys": [KEY], **read}))
            with programs.serve(upstream.port, folder, config) as proxy:
                for name, request in _requests(given.names, key=given.key):
                    for count in (1, given.at_once) if given.at_once > 1 else (1,):
                        strain = get_context("fork").Process(
                            target=_strain, args=(proxy.port, request, count)
                        )
                        start = time.monotonic()
                        strain.start()
                        longest, asked = _longest(proxy.port, strain)
                        took = time.monotonic() - start
                        strain.join()
                        late += longest > LIMIT
                        print(  # noqa: T201
                            f"{'LATE' if longest > LIMIT else 'ok  '} {count:3} x {name:32} at most "
                            f"{longest * 1000:5.0f} ms ({asked} asked), all in {took:5.1f} s, "
                            f"rc {strain.exitcode}, load {os.getloadavg()[0]:.1f}",
                            flush=True,
                        )
    print(f"health: {late} late")  # noqa: T201
    return 1 if late else 0


if __name__ == "__main__":
    sys.exit(main())
