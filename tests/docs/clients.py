"""Runs every recipe of docs/clients.md with the real client: `scripts/clients`.

Once with the model listed, and once with an upstream whose quota is used up. The
clients come from their registries into .run/clients and see nothing of this
machine's own settings.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from docs.blocks import Command, Kind, commands
from docs.sandbox import Sandbox, sandbox
from support.processes import ROOT
from support.sealed import USAGE_LIMIT
from support.servers import Reply
from support.wire import Request

DOCUMENT = ROOT / "docs" / "clients.md"
FOLDER = ROOT / ".run" / "clients"
ANSWER = "model server answered for"


class Client(NamedTuple):
    """A client of the page.

    Attributes:
        section: its heading.
        programs: what must print the model's answer.
        npm: its packages.
        pypi: its package, for an environment of its own.
    """

    section: str
    programs: tuple[str, ...]
    npm: tuple[str, ...] = ()
    pypi: str = ""


CLIENTS = {
    "claude": Client("Claude Code", ("claude",), ("@anthropic-ai/claude-code",)),
    "codex": Client("Codex", ("codex",), ("@openai/codex",)),
    "gemini": Client("Gemini CLI", ("gemini",), ("@google/gemini-cli",)),
    "opencode": Client("opencode", ("opencode",), ("opencode-ai",)),
    "qwen": Client("Qwen Code", ("qwen",), ("@qwen-code/qwen-code",)),
    "aider": Client("aider", ("aider",), pypi="aider-chat"),
    "cline": Client("Cline", ("cline -P",), ("cline",)),
    "python": Client("SDKs in Python", ("python",)),
    "node": Client("SDKs in JavaScript", ("node",), ("openai", "@anthropic-ai/sdk", "@google/genai")),
}


def install(name: str, client: Client) -> tuple[Path, str]:
    """Install a client, unless it is there.

    Returns:
        The folder, and the versions in words.
    """
    folder = FOLDER / name
    if client.npm and not (folder / "node_modules").exists():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "package.json").write_text('{"name": "recipes-of-litellm-hybrid", "private": true}')
        subprocess.run(
            ["npm", "install", "--no-audit", "--no-fund", "--silent", *client.npm], cwd=folder, check=True
        )
    if client.pypi and not (folder / "bin" / client.programs[0]).exists():
        uv = shutil.which("uv") or str(ROOT / ".tools" / "bin" / "uv")
        # aider does not run on 3.13.
        subprocess.run([uv, "venv", "--quiet", "--clear", "--python", "3.12", folder], check=True)
        to: list[str | Path] = [uv, "pip", "install", "--quiet", "--python", folder / "bin" / "python"]
        subprocess.run([*to, client.pypi], check=True)
    versions = [
        f"{package} {json.loads((folder / 'node_modules' / package / 'package.json').read_text())['version']}"
        for package in client.npm
    ]
    if client.pypi:
        found = next((folder / "lib").glob(f"*/site-packages/{client.pypi.replace('-', '_')}-*.dist-info"))
        versions.append(found.name.removesuffix(".dist-info"))
    return folder, ", ".join(versions)


def section_of(title: str) -> list[Command]:
    """The commands below a heading of the page."""
    text = DOCUMENT.read_text(encoding="utf-8")
    lines = text.splitlines()
    first = lines.index(f"## {title}") + 1
    last = next((n for n, line in enumerate(lines[first:], first + 1) if line.startswith("## ")), len(lines))
    return [
        command
        for command in commands(DOCUMENT.name, text)
        if first <= command.line <= last and command.kind is Kind.BLOCK
    ]


def preparation() -> tuple[Command, Command]:
    """The configuration of the page, and the command that starts the proxy with it."""
    found = commands(DOCUMENT.name, DOCUMENT.read_text(encoding="utf-8"))
    file = next(command for command in found if command.kind is Kind.FILE)
    return file, replace(file, kind=Kind.BLOCK, text="./scripts/run", output=None)


async def used_up(request: Request, reply: Reply) -> None:
    """An upstream whose account is exhausted."""
    if request.method == "POST":
        await reply.json(429, USAGE_LIMIT)
    else:
        await reply.json(200, {})


def check(client: Client, folder: Path, *, listed: bool) -> list[str]:
    """Run a client's recipe; returns what went wrong."""
    prefix = "litellm-hybrid-clients-"
    with (
        tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True) as name,
        sandbox(Path(name)) as place,
    ):
        try:
            return _problems(client, folder, place, listed=listed)
        finally:
            _end_what_stayed(place.folder)


def _problems(client: Client, folder: Path, place: Sandbox, *, listed: bool) -> list[str]:
    file, start = preparation()
    assert file.output is not None
    if not listed:
        output = "".join(line for line in file.output.splitlines(True) if " models:" not in line)
        file = replace(file, output=output)
        place.upstream.handler = used_up
    place.write(file)
    place.programs = frozenset(program.split()[0] for program in client.programs)
    bins = f"{folder / 'node_modules' / '.bin'}:{folder / 'bin'}"
    place.env["PATH"] = f"{bins}:{place.env['PATH']}" if folder.exists() else place.env["PATH"]
    if client.npm:
        (place.folder / "node_modules").symlink_to(folder / "node_modules")
    code, printed = place.run(start)
    problems = [] if code == 0 else [f"{start}\nended with {code}:\n{printed}"]
    for command in section_of(client.section):
        code, printed = place.run(replace(command, output=None))
        asks = command.text.startswith(client.programs) and command.output is None
        if code != 0 or (asks and ANSWER not in printed):
            problems.append(f"{command}\nended with {code} and printed:\n{printed}")
    asked = [request.method for request in place.upstream.requests]
    if listed and not place.litellm.requests:
        problems.append("LiteLLM got no request")
    if not listed and "POST" not in asked:
        problems.append("upstream was not asked")
    return problems


def _end_what_stayed(folder: Path) -> None:
    """End what a client has left running behind it (Cline's hub): its home was in this folder."""
    mark = f"HOME={folder}".encode()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if mark in (process / "environ").read_bytes():
                os.kill(int(process.name), signal.SIGKILL)


def say(text: str) -> None:
    """Print at once."""
    print(text, flush=True)  # noqa: T201 (a program)


def main() -> int:
    """Run the recipes that are named, or all; returns an exit code."""
    parser = argparse.ArgumentParser(prog="scripts/clients", description=__doc__)
    parser.add_argument("client", nargs="*", help=f"which, of {', '.join(CLIENTS)}; default: all")
    asked = parser.parse_args().client or list(CLIENTS)
    if unknown := set(asked) - set(CLIENTS):
        parser.error(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(CLIENTS)}")
    failed = False
    for name in asked:
        client = CLIENTS[name]
        try:
            folder, versions = install(name, client)
        except (OSError, subprocess.CalledProcessError) as e:
            say(f"{client.section}: NOT RUN, it could not be installed: {e}")
            failed = True
            continue
        for way, listed in (("listed", True), ("fallback", False)):
            problems = check(client, folder, listed=listed)
            failed = failed or bool(problems)
            shown = "FAILED" if problems else "ok"
            say(f"{client.section} ({versions or 'as installed'}), {way}: {shown}")
            for problem in problems:
                say("  " + problem.replace("\n", "\n  "))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
