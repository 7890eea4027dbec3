"""A place in which a document's commands are run as they stand there, against stand-ins for both servers.

The documented addresses are replaced by free ports on the way in, and put back
in what is printed. The folder has config.example.yaml, a config.yaml that is the
same, and answer.json, an answer of upstream's; a program that serves is started, waited for, and stays until the next
one takes its place or the document ends. A command that asks the proxy where
none was started finds one that runs with config.yaml.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from docs.blocks import Command, Kind
from docs.harmless import objection
from docs.surroundings import KEY, LITELLM_PAGES, UPSTREAM_PAGES, Server, environment
from support.ports import free_port
from support.processes import ROOT, Process, ProcessError, running
from support.servers import in_thread

UPSTREAM, FORMER_UPSTREAM, PROXY, LITELLM = 8317, 8316, 8318, 4000
"""Where the documents say that things listen."""

MODELS = (
    "gpt-4.1",
    "claude-sonnet-4-5",
    "claude-sonnet-4-5-20250929",
    "anthropic/claude-sonnet-4-5",
    "gemini-2.5-pro",
    "openrouter/auto",
)
_ADDRESS = re.compile(r"(?<![\d.])(127\.0\.0\.1|localhost):(\d{4,5})\b")
_SERVES = re.compile(
    r"^(?:[A-Z_]+=\S+ )*(?P<program>\S*scripts/(?:run|web)|mitmdump|mitmweb|litellm-hybrid serve)\b(?!.*--help)"
)
_LISTEN = re.compile(r"(?:HYBRID_LISTEN=|--listen[ =]|@)127\.0\.0\.1:(?P<port>\d+)")
_SCRIPTS = re.compile(r"(?<![\w/])(?:\./)?scripts/(?=\w)")
_PLACEHOLDERS = {
    "MODEL": "gpt-4.1",
    "FILE": "config.yaml",
    "URL": f"http://127.0.0.1:{PROXY}",
    "PATH": "/v1/messages",
    "BODY": "'{}'",
}
"""What inline commands have in a reader's own words' place → what is run instead."""

_PLACEHOLDER = re.compile(rf"(?<![\w$\"'])({'|'.join(_PLACEHOLDERS)})(?![\w=])")
_WITHIN = 600.0
"""How long a command may take, in seconds; the demo starts a real LiteLLM, on a machine that may be busy."""


@dataclass(slots=True)
class Sandbox:
    """A folder, its environment, and what is running in it.

    Attributes:
        ports: documented port → the real one.
        stubs: the documented ports at which a stand-in listens already.
        programs: what may be run besides the harmless ones.
    """

    folder: Path
    env: dict[str, str]
    ports: dict[int, int]
    stubs: frozenset[int]
    upstream: Server
    litellm: Server
    stack: ExitStack
    serving: dict[int, Process] = field(default_factory=dict)
    programs: frozenset[str] = frozenset()

    def run(self, command: Command) -> tuple[int, str]:
        """Run a command; returns its exit code and what it printed, with the documented addresses in it."""
        if why := objection(command.text, programs=self.programs):
            return 1, f"it was not run: {why} (tests/docs/harmless.py)"
        if serves := _SERVES.match(command.text):
            return self._serve(command, serves["program"])
        if f":{PROXY}" in command.text and PROXY not in self.serving:
            code, printed = self._serve(replace(command, text="./scripts/run"), "./scripts/run")
            if code:
                return code, printed
        text = self.translate(command.text, inline=command.kind is Kind.INLINE)
        state = self.folder / ".state"
        # Variables and functions live on, as in the reader's own shell.
        script = (
            f"set -o pipefail; [[ ! -e {state} ]] || source {state} 2>/dev/null\n{text}\n"
            f"code=$?; {{ declare -px; declare -f; }} >{state}; exit $code"
        )
        with subprocess.Popen(
            ["bash", "-c", script],
            cwd=self.folder,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as popen:
            try:
                output, code = popen.communicate(timeout=_WITHIN)[0], popen.returncode
            except subprocess.TimeoutExpired:
                output, code = f"it did not end within {_WITHIN:g} s".encode(), -1
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(popen.pid, signal.SIGKILL)
        return code, self.documented(output.decode("utf-8", "replace"))

    def translate(self, text: str, *, inline: bool = False) -> str:
        """A command with real ports and paths, and where it is inline with something in each placeholder's place."""
        if inline:
            text = _PLACEHOLDER.sub(lambda found: _PLACEHOLDERS[found[1]], text)
        text = text.replace("sk-…", KEY).replace("tail -f ", "tail ")
        return self.real(_SCRIPTS.sub(f"{ROOT}/scripts/", text))

    def real(self, text: str) -> str:
        """A text with the real ports."""
        return _ADDRESS.sub(lambda found: f"{found[1]}:{self._port(int(found[2]))}", text)

    def documented(self, text: str) -> str:
        """A text with the documented ports, and without this machine's paths."""
        for documented, real in self.ports.items():
            text = re.sub(rf":{real}\b", f":{documented}", text)
        return text.replace(f"{self.folder}/", "").replace(f"{ROOT}/", "").replace("\r\n", "\n")

    def write(self, command: Command) -> None:
        """Write the file that a document shows."""
        assert command.output is not None
        (self.folder / command.text).write_text(self.real(command.output), encoding="utf-8")

    def _port(self, documented: int) -> int:
        if documented not in self.ports:
            self.ports[documented] = free_port()
        return self.ports[documented]

    def _serve(self, command: Command, program: str) -> tuple[int, str]:
        text, listen = command.text, _LISTEN.search(command.text)
        documented = int(listen["port"]) if listen else PROXY
        if listen and documented in self.stubs:  # it takes upstream's place, where the stand-in already is
            text = f"{text[: listen.start('port')]}{PROXY}{text[listen.end('port') :]}"
            documented = PROXY
        text, port = self.translate(text), self._port(documented)
        if documented in self.serving:
            self.serving.pop(documented).stop()
        if program.endswith("serve") and not listen:
            upstream = f"http://127.0.0.1:{self.ports[UPSTREAM]}"
            text += f" --listen 127.0.0.1:{port} --upstream {upstream}"
        if program.endswith("web"):
            text += f" --no-web-open-browser --web-port {free_port()}"
        log = self.folder / f"serving-{command.line}.log"
        try:
            process = self.stack.enter_context(
                running(
                    ["bash", "-c", f"[[ ! -e .state ]] || source ./.state 2>/dev/null\nexec env {text}"],
                    name=command.text,
                    log=log,
                    port=port,
                    ready=_is_ready,
                    within=_WITHIN,
                    env=self.env,
                )
            )
        except ProcessError as e:
            return 1, self.documented(str(e))
        self.serving[documented] = process
        with (self.folder / ".state").open("a", encoding="utf-8") as state:
            state.write(f"declare -x PID={process.popen.pid}\n")
        return 0, self.documented(process.output())


def _is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/_hybrid/health", timeout=5) as answer:
            return json.load(answer)["live"] is True
    except urllib.error.HTTPError:
        return True
    except (OSError, ValueError):
        return False


@contextmanager
def sandbox(folder: Path) -> Iterator[Sandbox]:
    """Make one in an empty folder; everything that was started in it is ended behind it."""
    with ExitStack() as stack:
        upstream = stack.enter_context(in_thread(Server("upstream", UPSTREAM_PAGES, models=MODELS)))
        litellm = stack.enter_context(in_thread(Server("model server", LITELLM_PAGES, models=MODELS)))
        ports = {
            UPSTREAM: upstream.port,
            FORMER_UPSTREAM: upstream.port,
            LITELLM: litellm.port,
            PROXY: free_port(),
        }
        made = Sandbox(
            folder,
            environment(folder, ports[UPSTREAM], ports[PROXY]),
            ports,
            frozenset(ports) - {PROXY},
            upstream,
            litellm,
            stack,
        )
        example = (ROOT / "config.example.yaml").read_text(encoding="utf-8")
        # The defaults that the programs would take where the file has none.
        example = made.real(re.sub(r"# (?=(?:upstream-url|listen): )", "", example))
        for name in ("config.example.yaml", "config.yaml"):
            (folder / name).write_text(example, encoding="utf-8")
        shutil.copytree(ROOT / "deploy", folder / "deploy")
        (folder / "addon").symlink_to(ROOT / "addon")
        yield made
