"""Requests to the servers, what they have met, and which program that comes from: all that has sockets.

No redirect is followed, nothing is tried twice and no proxy of the environment is used: a server is met
as the proxy itself would meet it, with the same trusted certificates. None waits longer than it says.
"""

import json
import socket
import ssl
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from enum import StrEnum
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any

from litellm_hybrid.config.settings import Address, Settings
from litellm_hybrid.proxy import trust

type HeaderFields = tuple[tuple[str, str], ...]

_MOST = 4 * 1024 * 1024
"""Bytes of a body that are read; LiteLLM lists some hundred models in 30 kB."""

_NO_TLS = frozenset(
    {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG"}
)
"""OpenSSL's reasons where the other side speaks something else."""


class FailureKind(StrEnum):
    """Why there is no response, as what the server does."""

    UNREACHABLE = "cannot be reached"
    TIMEOUT = "does not answer"
    CERTIFICATE = "shows a certificate that is not trusted"
    NO_TLS = "does not speak TLS"
    NO_HTTP = "does not speak HTTP"


@dataclass(frozen=True, slots=True)
class Probe:
    """One request, to a path below the address's own prefix, and how many seconds all of it may take."""

    address: Address
    path: str
    method: str = "GET"
    headers: HeaderFields = ()
    body: bytes = b""
    within: float = 5.0


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """A response, or why there is none (status 0); redirects are not followed.

    Attributes:
        headers: names lower-cased.
        body: its first megabytes at most.
        seconds: from the connect to the last byte.
        at: epoch seconds when it had come; 0: not known.
        detail: the system's words for the failure.
    """

    status: int = 0
    headers: HeaderFields = ()
    body: bytes = b""
    seconds: float = 0.0
    at: float = 0.0
    failure: FailureKind | None = None
    detail: str = ""

    def header(self, name: str) -> str:
        """Return the first value of a header, or ""; `name` in lower case."""
        return next((value for other, value in self.headers if other == name), "")

    @property
    def outcome(self) -> str:
        """Its status, or why there is none, for a sentence."""
        failure = self.detail or self.failure
        return f"no response ({failure})" if self.failure is not None else f"status {self.status}"

    @property
    def json(self) -> Any:  # noqa: ANN401  whatever a server writes
        """The body parsed; None if it is no JSON."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None

    def member(self, name: str) -> Any:  # noqa: ANN401  whatever a server writes
        """Return a member of the JSON object that the body is; None if it is none, or has none."""
        value = self.json
        return value.get(name) if isinstance(value, dict) else None

    @property
    def is_page(self) -> bool:
        """Whether it is a web page."""
        start = self.body.lstrip()[:15].lower()
        return self.header("content-type").startswith("text/html") or start.startswith(
            (b"<!doctype", b"<html")
        )

    @property
    def error(self) -> str:
        """What its JSON says went wrong, on one line and not long; "" if it says nothing."""
        error = self.member("error")
        said = error.get("message") if isinstance(error, dict) else error
        return " ".join(said.split())[:200] if isinstance(said, str) else ""

    @property
    def entries(self) -> tuple[dict[str, Any], ...] | None:
        """The objects of a list `{"data": [{…}, …]}`; None if it is no such list."""
        data = self.member("data")
        if self.status != 200 or not isinstance(data, list):
            return None
        return tuple(entry for entry in data if isinstance(entry, dict))

    @property
    def model_ids(self) -> tuple[str, ...] | None:
        """The models it lists, by their `id`; None if it is no list of models."""
        if (entries := self.entries) is None:
            return None
        return tuple(found for entry in entries if isinstance(found := entry.get("id"), str))

    @property
    def clock_skew(self) -> float | None:
        """By how many seconds the server's clock is ahead of ours; None: not known."""
        try:
            return parsedate_to_datetime(self.header("date")).timestamp() - self.at if self.at else None
        except ValueError:
            return None


def bearer(key: str) -> HeaderFields:
    """Present a key as every server here takes it; () for ""."""
    return (("Authorization", f"Bearer {key}"),) if key else ()


def connect(probe: Probe, tls_ca: Path | None = None) -> HTTPConnection:
    """Make a connection to the server, not opened yet."""
    address = probe.address
    if address.scheme == "https":
        context = trust.client_context(tls_ca)
        return HTTPSConnection(address.host, address.port, timeout=probe.within, context=context)
    return HTTPConnection(address.host, address.port, timeout=probe.within)


def send(probe: Probe, tls_ca: Path | None = None) -> ProbeResult:
    """Send one request and read its response."""
    start = time.monotonic()
    try:
        connection = connect(probe, tls_ca)
    except OSError as e:  # of the file of authorities
        return failed(e)
    try:
        target, headers = probe.address.path + probe.path, {"Connection": "close", **dict(probe.headers)}
        connection.request(probe.method, target, body=probe.body or None, headers=headers)
        response = connection.getresponse()
        body = response.read(_MOST)
        fields = tuple((name.lower(), value) for name, value in response.getheaders())
        return ProbeResult(response.status, fields, body, time.monotonic() - start, time.time())
    except (OSError, HTTPException) as e:
        return failed(e)
    finally:
        connection.close()


def failed(error: Exception) -> ProbeResult:
    """Tell what an exception of a connection means."""
    kind = FailureKind.UNREACHABLE
    detail = (error.strerror if isinstance(error, OSError) else "") or type(error).__name__
    match error:
        case ssl.SSLCertVerificationError():
            kind, detail = FailureKind.CERTIFICATE, error.verify_message
        case ssl.SSLError() if error.reason in _NO_TLS:
            kind, detail = FailureKind.NO_TLS, error.reason
        case TimeoutError():
            kind, detail = FailureKind.TIMEOUT, "timed out"
        case ConnectionResetError() | BrokenPipeError():
            kind, detail = FailureKind.NO_HTTP, "it closes the connection without a response"
        case ssl.SSLError() | HTTPException():
            kind = FailureKind.NO_HTTP
    return ProbeResult(failure=kind, detail=detail)


def send_all(probes: Mapping[str, Probe], tls_ca: Path | None = None) -> dict[str, ProbeResult]:
    """Send all requests at once; what is not there when its time is over is a timeout.

    The threads are daemons: a name server that does not answer must not keep the program from ending.
    """
    results: dict[str, ProbeResult] = {}

    def run(name: str, each: Probe) -> None:
        results[name] = send(each, tls_ca)

    threads = [threading.Thread(target=run, args=item, daemon=True) for item in probes.items()]
    for thread in threads:
        thread.start()
    # A socket's limit begins anew with every piece: this one does not.
    deadline = time.monotonic() + max((each.within for each in probes.values()), default=0) + 1
    for thread in threads:
        thread.join(max(0, deadline - time.monotonic()))
    late = failed(TimeoutError())
    return {name: results.get(name, late) for name in probes}


def binding(host: str, port: int) -> OSError | None:
    """Return what the system says to a program that would listen there; None: the address is free."""
    try:
        (family, kind, protocol, _, address), *_ = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        with socket.socket(family, kind, protocol) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(address)
            sock.listen(1)
    except OSError as e:
        return e
    return None


# -- what the doctor asks ---------------------------------------------------------

ALIVE = "/health/liveliness"
TRANSFORM = "/utils/transform_request"
"""Shows what LiteLLM would send to a provider, and sends nothing (proxy_server.py, transform_request)."""

_TRANSFORMED = json.dumps(
    {
        "call_type": "completion",
        "request_body": {
            "model": "anthropic/claude-sonnet-4-5",
            "messages": [{"role": "user", "content": "hi"}],
            "prompt_cache_key": "doctor",
        },
    }
).encode()
"""`prompt_cache_key` is Codex's, and Anthropic does not know it: refused unless `drop_params` is on."""

PROVIDER_MODELS = "/api/provider/openai/v1/models"
"""Tells whether CLIProxyAPI has Amp's routes: without a key 401 or 200 in v6.10 and v7.1, 404 in v7.2.

HEAD is 404 and OPTIONS is 204 in all of them.
"""

_LOOPBACK = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104


type Deployments = list[tuple[str, dict[str, Any]]]
"""(name, `litellm_params`) of each entry of LiteLLM's model_list."""


def deployments(entries: Iterable[object]) -> Deployments:
    """Return what the entries of a model_list, or of `/model/info`, say; what is none is left out."""
    return [
        (str(entry.get("model_name")), params)
        for entry in entries
        if isinstance(entry, dict) and isinstance(params := entry.get("litellm_params"), dict)
    ]


class Results(dict[str, ProbeResult]):
    """What the probes met, by their names in `plan`; an empty result for one that was not sent."""

    def __missing__(self, name: str) -> ProbeResult:
        return ProbeResult()

    def models(self, server: str) -> tuple[str, ...] | None:
        """Return what `upstream` or `litellm` lists, wildcard routes too; None: it does not show it."""
        keyed = self[f"{server}-models"].model_ids
        return self[f"{server}-open"].model_ids if keyed is None else keyed


class Program(StrEnum):
    """Which program a response comes from."""

    CLIPROXYAPI = "CLIProxyAPI"
    LITELLM = "LiteLLM"
    OURSELVES = "litellm-hybrid"
    UNKNOWN = "another program"


def identify(*results: ProbeResult) -> Program:
    """Tell whose responses these are: those of one server to `GET /` and `GET /health/liveliness`.

    CLIProxyAPI introduces itself at `/` (internal/api/server.go, setupRoutes), LiteLLM at both
    (health_endpoints).
    """
    for result in results:
        if result.header("x-hybrid-route"):
            return Program.OURSELVES
        if result.json in ("I'm alive!", "LiteLLM: RUNNING"):
            return Program.LITELLM
        exposed = result.header("access-control-expose-headers").upper()
        introduced = str(result.member("message")).startswith("CLI Proxy API")
        if introduced or "X-CPA-" in exposed or is_safe_mode(result):
            return Program.CLIPROXYAPI
    return Program.UNKNOWN


def is_safe_mode(*results: ProbeResult) -> bool:
    """Tell whether CLIProxyAPI refuses to serve because its `api-keys` are those of its example file.

    v7.2 says so in a header of each refusal, v7.1 answers 404 and says it only on the page at `/`.
    """
    title = b"<title>Example API key detected"
    return any(each.header("x-cpa-safe-mode") or title in each.body for each in results)


def lacks_provider_routes(result: ProbeResult) -> bool | None:
    """Tell by its response to `GET PROVIDER_MODELS` whether it has no routes of Amp's; None: not known."""
    return result.status == 404 if result.status in (200, 401, 404) else None


def proxy_address(settings: Settings) -> Address:
    """Return where a program of this machine reaches the proxy, if it runs."""
    host, port = settings.listen
    return Address("http", _LOOPBACK.get(host, host), port)


def client_key(settings: Settings) -> str:
    """Return the first client key; "" if there is none."""
    return settings.client_keys[0].value if settings.client_keys else ""


def litellm_key(settings: Settings) -> str:
    """Return the key that LiteLLM gets; "" if there is none."""
    return settings.api_key.value if settings.api_key else ""


def plan(settings: Settings) -> dict[str, Probe]:
    """Plan the requests to everything that these settings name; none reaches a model or spends anything.

    LiteLLM's `/health` is never asked: it calls the models. A bad request to CLIProxyAPI's management
    counts towards a ban of the address it comes from, so its version is asked in the name of one that
    nobody has: it believes X-Forwarded-For, and RFC 5737 keeps 192.0.2.1 for documentation.
    """
    upstream, key = settings.upstream, bearer(client_key(settings))
    nobody = (("X-Forwarded-For", "192.0.2.1"),)
    planned = {
        "listen-health": Probe(proxy_address(settings), "/_hybrid/health"),
        "listen-root": Probe(proxy_address(settings), "/"),
        "upstream-root": Probe(upstream, "/"),
        "upstream-alive": Probe(upstream, ALIVE),
        "upstream-open": Probe(upstream, "/v1/models"),
        "upstream-provider": Probe(upstream, PROVIDER_MODELS, headers=key),
        "upstream-version": Probe(upstream, "/v0/management/debug", headers=nobody),
    }
    if key:
        planned["upstream-models"] = Probe(upstream, "/v1/models", headers=key)
    if settings.base_url is not None:
        planned |= _of_litellm(settings, settings.base_url)
    return planned


def _of_litellm(settings: Settings, address: Address) -> dict[str, Probe]:
    models = "/v1/models?return_wildcard_routes=True"
    key = bearer(litellm_key(settings))
    planned = {
        "litellm-alive": Probe(address, ALIVE),
        "litellm-ready": Probe(address, "/health/readiness"),
        "litellm-root": Probe(address, "/"),
        "litellm-open": Probe(address, models),
    }
    if address.path:
        planned["litellm-bare"] = Probe(Address(address.scheme, address.host, address.port), ALIVE)
    if key:
        planned["litellm-models"] = Probe(address, models, headers=key)
        planned["litellm-details"] = Probe(address, "/health/readiness/details", headers=key)
    if key or settings.no_auth:
        fields = (*key, ("Content-Type", "application/json"))
        planned["litellm-info"] = Probe(address, "/model/info", headers=key)
        planned["litellm-transform"] = Probe(address, TRANSFORM, "POST", fields, _TRANSFORMED)
    return planned
