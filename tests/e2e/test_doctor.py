"""`litellm-hybrid doctor` against real servers: good ones, and one of each bad kind.

What is read by people is asked of a process; the findings, of the command in this one: its imports take longer than it.
"""

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, override

import pytest
from click.testing import CliRunner

from e2e.harness import black_hole
from e2e.tls import self_signed_context, server_context
from litellm_hybrid.cli.main import main
from litellm_hybrid.config.settings import Address
from litellm_hybrid.diagnostics import probes
from litellm_hybrid.diagnostics.probes import TRANSFORM, FailureKind, Probe
from litellm_hybrid.diagnostics.report import CHECKS
from support.cliproxyapi import CLIProxyAPI
from support.ports import free_port
from support.probes import failed
from support.processes import MASTER_KEY, accepts, running
from support.servers import Handler, Reply, Server, in_thread
from support.wire import Request

PROGRAM = Path(sys.executable).with_name("litellm-hybrid")
CLIENT_KEY = "sk-client-key-of-the-doctors-tests"
MODELS = ("gpt-5", "claude-sonnet-4-5", "openai/o3")
USUAL: dict[str, Any] = {"keys": (CLIENT_KEY,), "version": "6.10.9", "models": ("gpt-5", "claude-opus-4-1")}


class LiteLLM(Server):
    """As LiteLLM 1.106 answers what the doctor asks; any completion is served."""

    def __init__(self, *, key: str | None = MASTER_KEY, ready: int = 200) -> None:
        super().__init__(self._answer)
        self._key = key
        self._ready = ready
        self.leads_to = "https://api.openai.example/v1"

    async def _answer(self, request: Request, reply: Reply) -> None:
        if request.path == "/health/liveliness":
            await reply.json(200, "I'm alive!")
        elif request.path == "/":
            await reply.json(200, "LiteLLM: RUNNING")
        elif request.path == "/health/readiness":
            await reply.json(self._ready, {"status": "healthy", "db": "Not connected"})
        elif self._key and request.header("authorization") != f"Bearer {self._key}":
            given = request.header("authorization")
            no_key = {"message": "No api key passed in.", "type": "auth_error", "code": "401"}
            no_database = {"message": "No connected db.", "type": "no_db_connection", "code": "400"}
            await reply.json(400 if given else 401, {"error": no_database if given else no_key})
        elif request.path == "/health/readiness/details":
            await reply.json(200, {"status": "healthy", "litellm_version": "1.106.2"})
        elif request.path == "/v1/models":
            await reply.json(200, {"data": [{"id": name, "object": "model"} for name in MODELS]})
        elif request.path == "/model/info":
            backend = {"model": "openai/gpt-5", "api_base": self.leads_to}
            await reply.json(200, {"data": [{"model_name": "gpt-5", "litellm_params": backend}]})
        elif request.path == TRANSFORM:
            await reply.json(200, {"raw_request_body": {}, "error": None})
        elif request.method == "POST":
            await reply.json(200, {"choices": []}, {"x-litellm-response-cost": "0.0001"})
        else:
            await reply.json(404, {"detail": "Not Found"})


@dataclass
class SetUp:
    """Where everything is, and the configuration to run the doctor with."""

    folder: Path
    upstream: CLIProxyAPI
    litellm: LiteLLM

    def config(self, **keys: Any) -> Path:
        """A good configuration; `_` in a key stands for `-`, None leaves it out."""
        given: dict[str, Any] = {
            "enabled": True,
            "base-url": self.litellm.url,
            "api-key": MASTER_KEY,
            "models": ["gpt-5"],
            "client-api-keys": [CLIENT_KEY],
            "upstream-url": self.upstream.url,
            "listen": f"127.0.0.1:{free_port()}",
            "fallback": {"enabled": True, "models": ["gpt-5"]},
        }
        given |= {name.replace("_", "-"): value for name, value in keys.items()}
        settings = {name: value for name, value in given.items() if value is not None}
        self.theirs("passthrough-headers: true")
        file = self.folder / "config.yaml"
        file.write_text(json.dumps({"extensions": {"litellm": settings}}), encoding="utf-8")
        return file

    def theirs(self, *more: str) -> None:
        """CLIProxyAPI's own file, in one of its usual places."""
        file = self.folder / ".cli-proxy-api" / "config.yaml"
        file.parent.mkdir(exist_ok=True)
        file.write_text("\n".join((f"host: 127.0.0.1\nport: {self.upstream.port}", *more)) + "\n")


@contextmanager
def a_set_up(
    folder: Path, *, upstream: CLIProxyAPI | None = None, litellm: LiteLLM | None = None
) -> Iterator[SetUp]:
    with ExitStack() as stack:
        yield SetUp(
            folder,
            stack.enter_context(in_thread(upstream or CLIProxyAPI(**USUAL))),
            stack.enter_context(in_thread(litellm or LiteLLM())),
        )


@pytest.fixture
def good(tmp_path: Path) -> Iterator[SetUp]:
    with a_set_up(tmp_path) as found:
        yield found


def doctor(file: Path, *args: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [PROGRAM, "doctor", "-c", file, *args],
        env=os.environ | {"HOME": str(file.parent)},
        capture_output=True,
        encoding="utf-8",
        timeout=100,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    for secret in (MASTER_KEY, CLIENT_KEY):
        assert secret not in done.stdout + done.stderr
    return done


def findings(file: Path, *args: str) -> tuple[int, list[dict[str, str]]]:
    done = CliRunner().invoke(
        main, ["doctor", "-c", str(file), "--json", *args], env={"HOME": str(file.parent)}
    )
    assert "a fault of litellm-hybrid's own" not in done.stderr, done.stderr
    for secret in (MASTER_KEY, CLIENT_KEY):
        assert secret not in done.output
    report = json.loads(done.stdout)
    assert report["exit_code"] == done.exit_code
    assert report.keys() == {"file", "severity", "exit_code", "versions", "findings"}
    assert {each["check"] for each in report["findings"]} <= set(CHECKS)
    return done.exit_code, report["findings"]


def bad(found: list[dict[str, str]]) -> list[dict[str, str]]:
    return [each for each in found if each["severity"] in ("warning", "error")]


# -- nothing is wrong ---------------------------------------------------------


def test_a_good_set_up(good: SetUp) -> None:
    done = doctor(good.config())
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert "\x1b" not in done.stdout
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert f"upstream ok CLIProxyAPI (6.10.9) answers at {good.upstream.url}" in lines
    assert f"litellm ok LiteLLM (1.106.2) is ready at {good.litellm.url}" in lines
    assert "api-key ok LiteLLM accepts the key" in lines
    assert "models ok LiteLLM knows every configured model and mapping target" in lines
    assert lines[-1] == "result everything was looked at and is in order"


def test_it_calls_no_model_and_counts_towards_no_ban(good: SetUp) -> None:
    doctor(good.config())
    asked = [*good.upstream.requests, *good.litellm.requests]
    assert {request.path for request in asked if request.method != "GET"} == {TRANSFORM}
    assert "/health" not in {request.path for request in asked}
    assert good.upstream.failed_attempts == 0


def test_json_names_the_versions(good: SetUp) -> None:
    report = json.loads(doctor(good.config(), "--json").stdout)
    assert (report["severity"], report["versions"]["upstream"], report["versions"]["litellm"]) == (
        "ok",
        "6.10.9",
        "1.106.2",
    )
    assert {"python", "mitmproxy"} <= report["versions"].keys()


# -- one thing is wrong -------------------------------------------------------


@contextmanager
def nobody() -> Iterator[str]:
    yield f"http://127.0.0.1:{free_port()}"


def serving(handler: Handler) -> Callable[[], Iterator[str]]:
    @contextmanager
    def serve() -> Iterator[str]:
        with in_thread(Server(handler)) as server:
            yield server.url

    return serve  # type: ignore[return-value]


async def page(_request: Request, reply: Reply) -> None:
    await reply.send(200, "<!DOCTYPE html><title>Welcome</title>", {"content-type": "text/html"})


async def moved(request: Request, reply: Reply) -> None:
    await reply.send(301, "", {"location": f"https://llm.example{request.target}"})


async def no_http(_request: Request, reply: Reply) -> None:
    await reply.raw(b"SSH-2.0-OpenSSH_9.2\r\n")
    await reply.close()


async def hangs_up(_request: Request, reply: Reply) -> None:
    await reply.close()


async def our_own(_request: Request, reply: Reply) -> None:
    await reply.json(404, {}, {"x-hybrid-route": "upstream; reason=not-post"})


async def cliproxyapi(_request: Request, reply: Reply) -> None:
    await reply.json(200, {"message": "CLI Proxy API Server"})


async def litellm_answers(_request: Request, reply: Reply) -> None:
    await reply.json(200, "I'm alive!")


BOTH = ("upstream-url", "base-url")


@pytest.mark.parametrize("key", BOTH)
@pytest.mark.parametrize(
    ("server", "symptom", "fix"),
    [
        (nobody, "cannot be reached: Connection refused", "`{key}: http://127.0.0.1:"),
        (serving(page), "answers with a web page", "`{key}: http://127.0.0.1:"),
        (serving(moved), "redirects to https://llm.example", "`{key}: https://llm.example`"),
        (serving(no_http), "does not speak HTTP", "`{key}: http://127.0.0.1:"),
        (serving(hangs_up), "it closes the connection without a response", "`{key}: https://127.0.0.1:"),
        (serving(our_own), "is litellm-hybrid, not", "`{key}: http://127.0.0.1:"),
    ],
)
def test_a_server_that_is_not_there(
    good: SetUp, key: str, server: Callable[[], Any], symptom: str, fix: str
) -> None:
    with server() as url:
        code, found = findings(good.config(**{key: url}))
    (wrong,) = [each for each in found if each["severity"] == "error"]
    assert code == 2
    assert wrong["check"] == {"upstream-url": "upstream", "base-url": "litellm"}[key]
    assert (symptom in wrong["symptom"], fix.format(key=key) in wrong["fix"]) == (True, True), wrong


def test_the_two_are_mixed_up(good: SetUp) -> None:
    with serving(cliproxyapi)() as first, serving(litellm_answers)() as second:  # type: ignore[attr-defined]
        _, found = findings(good.config(base_url=first, upstream_url=second))
    assert [each["symptom"] for each in bad(found)] == [
        f"at {second} is LiteLLM, not CLIProxyAPI",
        f"at {first} is CLIProxyAPI, not LiteLLM",
    ]


@pytest.mark.parametrize(
    ("keys", "check", "severity", "fix"),
    [
        ({"models": ["GPT-5"]}, "models", "error", "in `model-mappings` write `GPT-5: gpt-5`"),
        ({"models": ["o3"]}, "models", "error", "in `model-mappings` write `o3: openai/o3`"),
        ({"api_key": "sk-wrong-key-here"}, "api-key", "error", "`api-key: ${LITELLM_API_KEY}`"),
        ({"api_key": "none"}, "api-key", "error", "`api-key: ${LITELLM_API_KEY}`"),
        ({"client_api_keys": ["sk-not-upstreams"]}, "client-keys", "warning", "`api-keys` of CLIProxyAPI"),
        ({"listen": f"0.0.0.0:{free_port()}", "client_api_keys": []}, "access", "error", "openssl rand"),
        ({"models": [], "fallback": None}, "file", "warning", "`models: "),
    ],
)
def test_what_the_file_says_is_wrong(
    good: SetUp, keys: dict[str, Any], check: str, severity: str, fix: str
) -> None:
    code, found = findings(good.config(**keys))
    (wrong,) = bad(found)
    assert (wrong["check"], wrong["severity"]) == (check, severity)
    assert fix in wrong["fix"]
    assert code == {"warning": 1, "error": 2}[severity]


def test_a_path_in_base_url_that_litellm_does_not_have(good: SetUp) -> None:
    code, found = findings(good.config(base_url=f"{good.litellm.url}/ui"))
    assert (code, [each["fix"] for each in bad(found)]) == (2, [f"`base-url: {good.litellm.url}`"])


def test_a_v1_in_base_url_is_noted(good: SetUp) -> None:
    code, found = findings(good.config(base_url=f"{good.litellm.url}/v1"))
    assert code == 0
    assert [(each["severity"], each["fix"]) for each in found if "/v1" in each["symptom"]] == [
        ("ok", "write base-url without it")
    ]


def test_litellm_is_not_ready(tmp_path: Path) -> None:
    with a_set_up(tmp_path, litellm=LiteLLM(ready=503)) as set_up:
        code, found = findings(set_up.config())
    assert (code, [each["check"] for each in bad(found)]) == (2, ["litellm"])
    assert "curl --fail" in bad(found)[0]["fix"]


@pytest.mark.parametrize(
    ("key", "symptom"),
    [
        (MASTER_KEY, "LiteLLM takes requests without a key, although api-key is set"),
        ("none", "LiteLLM takes no keys, and `api-key: none` says so"),
    ],
)
def test_litellm_takes_no_keys(tmp_path: Path, key: str, symptom: str) -> None:
    with a_set_up(tmp_path, litellm=LiteLLM(key=None)) as set_up:
        code, found = findings(set_up.config(api_key=key))
    assert code == 0
    (api_key,) = [each for each in found if each["check"] == "api-key"]
    assert (api_key["severity"], api_key["symptom"]) == ("ok", symptom)


@pytest.mark.parametrize(
    ("upstream", "keys", "check", "severity"),
    [
        (CLIProxyAPI(keys=(CLIENT_KEY,), models=()), {"fallback": None}, "accounts", "error"),
        (
            CLIProxyAPI(keys=(CLIENT_KEY,), example_keys=True),
            {"fallback": None},
            "upstream",
            "error",
        ),
        (
            CLIProxyAPI(version="6.10.9"),
            {"listen": f"0.0.0.0:{free_port()}", "fallback": None},
            "client-keys",
            "warning",
        ),
    ],
)
def test_what_is_wrong_with_upstream(
    tmp_path: Path, upstream: CLIProxyAPI, keys: dict[str, Any], check: str, severity: str
) -> None:
    with a_set_up(tmp_path, upstream=upstream) as set_up:
        _, found = findings(set_up.config(**keys))
    assert [(each["check"], each["severity"]) for each in found if each["severity"] != "ok"] == [
        (check, severity)
    ]


def test_each_model_that_may_fall_back_is_looked_up(good: SetUp) -> None:
    code, found = findings(good.config(fallback={"enabled": True}, models=[], enabled=False))
    (wrong,) = bad(found)
    assert (code, wrong["check"], wrong["severity"]) == (1, "fallback", "warning")
    assert wrong["symptom"] == "LiteLLM lacks 1 of the 2 models that may fall back: claude-opus-4-1"
    code, found = findings(
        good.config(fallback={"enabled": True, "models": ["claude*"]}, models=[], enabled=False)
    )
    assert (code, [each["check"] for each in bad(found)]) == (2, ["fallback"])


def test_without_a_client_key_it_is_not_content(good: SetUp) -> None:
    """The lists cannot be compared: it says so, and what it takes."""
    file = good.config(client_api_keys=None)
    done = doctor(file)
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert done.returncode == 1
    assert "fallback not checked which models may fall back is not known" in lines
    assert lines[-1] == "result 2 not checked"
    assert any(line.startswith("takes `litellm-hybrid doctor --key KEY`") for line in lines)
    assert doctor(file, "--key", CLIENT_KEY).returncode == 0
    code, found = findings(file, "--key", "sk-another-key")
    assert code == 1
    assert ("client-keys", "warning") in [(each["check"], each["severity"]) for each in found]


def test_a_loop_through_litellm(good: SetUp) -> None:
    file = good.config()
    good.litellm.leads_to = json.loads(file.read_text())["extensions"]["litellm"]["upstream-url"]
    _, found = findings(file)
    assert [(each["check"], each["severity"]) for each in bad(found)] == [("loops", "warning")]


def test_cliproxyapis_own_file(good: SetUp) -> None:
    theirs = good.folder / "cliproxyapi.yaml"
    theirs.write_text("port: 8317\nmax-retry-interval: 30\npassthrough-headers: true\n")
    code, found = findings(good.config(), "--upstream-config", str(theirs))
    (wrong,) = bad(found)
    assert (code, wrong["check"]) == (1, "file")
    assert "cliproxyapi.yaml:2: max-retry-interval: 30" in wrong["symptom"]


def test_cliproxyapis_own_file_is_found_where_it_usually_is(good: SetUp) -> None:
    """By the address it says: another CLIProxyAPI's tells nothing of this one."""
    file = good.config()
    good.theirs("max-retry-interval: 30", "passthrough-headers: true")
    code, found = findings(file)
    assert (code, [each["check"] for each in bad(found)]) == (1, ["file"])
    assert "max-retry-interval: 30" in bad(found)[0]["symptom"]
    good.theirs("port: 1")
    code, found = findings(file)
    (gap,) = [each for each in found if each["severity"] == "not checked"]
    assert (code, bad(found), gap["check"]) == (1, [], "file")
    assert "--upstream-config FILE" in gap["fix"]


def test_models_without_a_price_where_a_days_cost_is_limited(good: SetUp) -> None:
    """LiteLLM shows none for `gpt-5`: nothing would fall back, and it says so."""
    code, found = findings(good.config(fallback={"enabled": True, "max-cost-per-day": 5}, models=None))
    (wrong,) = [each for each in bad(found) if each["check"] == "prices"]
    assert (code, wrong["severity"]) == (2, "error")
    assert "gpt-5" in wrong["symptom"]


def test_a_broken_file(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("litellm-modles: [a]\n")
    done = doctor(file)
    assert done.returncode == 2
    assert "did you mean `litellm-models`?" in done.stdout
    code, found = findings(tmp_path / "missing.yaml")
    assert (code, [each["check"] for each in found]) == (2, ["file", "upstream", "python", "mitmproxy"])


# -- the address to listen on -------------------------------------------------


def test_the_address_is_taken(good: SetUp) -> None:
    with in_thread(Server(page)) as other:
        _, found = findings(good.config(listen=f"127.0.0.1:{other.port}"))
    (wrong,) = bad(found)
    assert (wrong["check"], wrong["symptom"]) == (
        "listen",
        f"127.0.0.1:{other.port} is taken by another program",
    )


@contextmanager
def serving_proxy(good: SetUp, file: Path, port: int) -> Iterator[None]:
    with running(
        [PROGRAM, "serve", "-c", file],
        name="serve",
        log=good.folder / "serve.log",
        port=port,
        ready=accepts,
    ):
        yield


def test_the_proxy_runs_already(good: SetUp) -> None:
    port = free_port()
    file = good.config(listen=f"127.0.0.1:{port}")
    with serving_proxy(good, file, port):
        code, found = findings(file)
        said = {each["check"]: each["symptom"] for each in found}
    assert (code, said["listen"]) == (0, f"litellm-hybrid runs at 127.0.0.1:{port} and is ready")


def test_the_proxy_runs_with_a_broken_file(good: SetUp) -> None:
    port = free_port()
    file = good.config(listen=f"127.0.0.1:{port}")
    with serving_proxy(good, file, port):
        broken = good.folder / "config.yaml"
        broken.write_text(broken.read_text().replace("models", "modles"))
        done = doctor(file)
    assert done.returncode == 2
    assert "did you mean `models`?" in done.stdout


def test_addresses_that_mitmdumps_mode_says(good: SetUp) -> None:
    with in_thread(Server(page)) as other, in_thread(CLIProxyAPI(version="7.1.0")) as upstream:
        file, listen = good.config(client_api_keys=None), f"127.0.0.1:{other.port}"
        _, found = findings(file, "--upstream", upstream.url, "--listen", listen)
    said = [each["symptom"] for each in found]
    assert f"CLIProxyAPI (7.1.0) answers at {upstream.url}" in said
    assert f"{listen} is taken by another program" in said


def test_a_wrong_address_is_a_wrong_call(good: SetUp) -> None:
    done = doctor(good.config(), "--listen", "127.0.0.1")
    assert (done.returncode, done.stdout) == (2, "")
    assert "the port is missing or not 1 to 65535" in done.stderr


# -- live ---------------------------------------------------------------------


def test_live_through_the_running_proxy(good: SetUp) -> None:
    port = free_port()
    file = good.config(listen=f"127.0.0.1:{port}", models=["gpt-5", "gpt-5.5"], fallback=None)
    with serving_proxy(good, file, port):
        done = doctor(file, "--live")
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert any(line.startswith("live-litellm ok LiteLLM served gpt-5 in") for line in lines), done.stdout
    assert any("(upstream; reason=not-listed)" in line for line in lines), done.stdout
    assert "asking LiteLLM, through the proxy: one chat completion of gpt-5" in done.stderr
    posts = [request.json() for request in good.litellm.requests if request.path.endswith("/completions")]
    assert [(body["model"], body["max_tokens"]) for body in posts] == [("gpt-5", 1)]
    assert [body["model"] for body in (r.json() for r in good.upstream.requests if r.body)] == [
        "claude-opus-4-1"
    ]


def test_live_without_a_proxy_asks_the_servers(good: SetUp) -> None:
    done = doctor(good.config(), "--live")
    assert done.returncode == 0, done.stdout
    assert "for $0.0001" in done.stdout
    assert "directly" in done.stderr


# -- sockets ------------------------------------------------------------------


def test_no_answer_takes_no_longer_than_it_says() -> None:
    with black_hole() as (port, _):
        seen = probes.send_all({"a": Probe(Address("http", "127.0.0.1", port), "/", within=0.2)})
    assert seen == {"a": failed(FailureKind.TIMEOUT, "timed out")}


async def drips(_request: Request, reply: Reply) -> None:
    await reply.raw(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")
    while True:
        await reply.raw(b"x")
        await reply.pause(0.01)


def test_an_answer_that_drips_is_not_waited_for() -> None:
    with in_thread(Server(drips)) as server:
        seen = probes.send_all({"a": Probe(Address("http", "127.0.0.1", server.port), "/", within=0.5)})
    assert seen == {"a": failed(FailureKind.TIMEOUT, "timed out")}


class Quiet(BaseHTTPRequestHandler):
    """Logs nothing."""

    @override
    def log_message(self, format: str, *args: object) -> None:
        assert format


def test_tls(confdir: Path) -> None:
    async def hello(_request: Request, reply: Reply) -> None:
        await reply.json(200, {})

    with in_thread(Server(hello, tls=server_context(confdir))) as server:
        https = probes.send(Probe(Address("https", "127.0.0.1", server.port), "/"))
        http = probes.send(Probe(Address("http", "127.0.0.1", server.port), "/"))
        told = probes.send(
            Probe(Address("https", "127.0.0.1", server.port), "/"), confdir / "mitmproxy-ca-cert.pem"
        )
    # A server that answers what it does not understand, as Go's and uvicorn do.
    with ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as stdlib:
        thread = threading.Thread(target=stdlib.serve_forever)
        thread.start()
        plain = probes.send(Probe(Address("https", "127.0.0.1", stdlib.server_port), "/"))
        stdlib.shutdown()
        thread.join()
    assert told.status == 200
    assert (https.failure, http.failure, plain.failure) == (
        FailureKind.CERTIFICATE,
        FailureKind.NO_HTTP,
        FailureKind.NO_TLS,
    )


def test_a_self_signed_certificate_is_called_so(good: SetUp) -> None:
    with in_thread(Server(page, tls=self_signed_context(good.folder))) as server:
        code, found = findings(good.config(upstream_url=f"https://127.0.0.1:{server.port}"))
    (upstream,) = [each for each in found if each["check"] == "upstream"]
    assert (code, upstream["severity"]) == (2, "error")
    assert "not trusted: self-signed certificate" in upstream["symptom"]


def test_a_name_that_nobody_knows() -> None:
    seen = probes.send(Probe(Address("http", "no-such-host.invalid", 80), "/"))
    assert seen.failure is FailureKind.UNREACHABLE


def test_which_addresses_are_free() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        assert probes.binding(*sock.getsockname()) is not None
        port = sock.getsockname()[1]
    assert probes.binding("127.0.0.1", port) is None
    assert probes.binding("203.0.113.7", port) is not None


# -- the terminal -------------------------------------------------------------


def on_terminal(file: Path, env: dict[str, str]) -> str:
    """What somebody sees who runs it on a terminal."""
    leader, follower = os.openpty()
    with subprocess.Popen(
        [PROGRAM, "doctor", "-c", file], stdout=follower, stderr=follower, env=os.environ | env
    ):
        os.close(follower)
        shown = b""
        try:
            while data := os.read(leader, 65536):
                shown += data
        except OSError:
            pass  # the other side has been closed
    os.close(leader)
    return shown.decode()


def test_on_a_terminal_it_has_colors_and_shows_progress(good: SetUp) -> None:
    shown = on_terminal(good.config(models=["GPT-5"]), {"NO_COLOR": ""})
    assert "\r\x1b[Kasking upstream and LiteLLM, 6 s at most" in shown
    assert "\x1b[31merror        LiteLLM does not know" in shown
    assert "\x1b[32mok" in shown


def test_no_color(good: SetUp) -> None:
    shown = on_terminal(good.config(models=["GPT-5"]), {"NO_COLOR": "1"})
    assert "[31m" not in shown
    assert "error        LiteLLM does not know" in shown


# -- `explain` asks the same lists --------------------------------------------


def explained(file: Path, model: str) -> tuple[dict[str, str], list[str]]:
    done = CliRunner().invoke(main, ["explain", "-c", str(file), "--json", model])
    assert (done.exit_code, MASTER_KEY in done.output, CLIENT_KEY in done.output) == (0, False, False)
    explanation = json.loads(done.stdout)
    return {step["name"]: step["message"] for step in explanation["steps"]}, explanation["fixes"]


@pytest.mark.parametrize(("kinds", "then"), [(["quota"], "client"), (["quota", "unknown-model"], "LiteLLM")])
def test_explain_says_that_upstream_does_not_list_a_model(good: SetUp, kinds: list[str], then: str) -> None:
    """And what becomes of it; of one that is listed, whatever its case and suffix, nothing is said."""
    file = good.config(enabled=False, models=None, fallback={"enabled": True, "on": kinds})
    for listed in ("gpt-5", "GPT-5(high)"):
        assert "upstream" not in explained(file, listed)[0]

    steps, fixes = explained(file, "gpt-55")

    assert '"gpt-55"' in steps["upstream"]
    assert steps["upstream"].endswith(then)
    (fix,) = fixes  # LiteLLM has no such model either: nothing else helps
    assert "gpt-5" in fix
    assert "claude" not in fix
    assert "gpt-55" in steps["litellm"]
    _, fixes = explained(file, "openai/o3")  # which LiteLLM has
    assert any("unknown-model" in fix for fix in fixes) == (then == "client")


def test_explain_advises_nothing_that_litellm_lacks_the_model_for(good: SetUp) -> None:
    file = good.config(enabled=False, models=None, fallback={"enabled": True, "except": ["claude*", "gpt-5"]})
    for model, lacks in (("claude-opus-4-1", True), ("gpt-5", False)):
        (fix,) = explained(file, model)[1]
        assert "out of `fallback.except`" in fix
        assert ("model_list" in fix) == lacks


def test_explain_says_nothing_of_lists_that_it_cannot_read(tmp_path: Path) -> None:
    with a_set_up(tmp_path) as stopped:
        file = stopped.config(enabled=False, models=None, fallback={"enabled": True})
    assert not {"upstream", "litellm"} & explained(file, "gpt-55")[0].keys()
