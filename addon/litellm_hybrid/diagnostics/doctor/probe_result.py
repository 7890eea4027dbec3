"""What the doctor asks a server, and what it met there: plain values, no I/O."""

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from litellm_hybrid.config.settings import Address

type Fields = tuple[tuple[str, str], ...]


class Trouble(StrEnum):
    """Why there is no answer."""

    REFUSED = "refused"
    NO_HOST = "no-host"
    UNREACHABLE = "unreachable"
    TIMEOUT = "timeout"
    CERTIFICATE = "certificate"
    NO_TLS = "no-tls"
    TLS = "tls"
    CLOSED = "closed"
    NO_HTTP = "no-http"


@dataclass(frozen=True, slots=True)
class Ask:
    """One request.

    Attributes:
        path: below the address's own prefix, with its query.
        within: seconds that the whole of it may take.
    """

    address: Address
    path: str
    method: str = "GET"
    headers: Fields = ()
    body: bytes = b""
    within: float = 5.0


@dataclass(frozen=True, slots=True)
class Failure:
    """No answer.

    Attributes:
        detail: the system's words, for people.
    """

    trouble: Trouble
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer; redirects are not followed.

    Attributes:
        headers: names lower-cased.
        body: its first megabytes at most.
        seconds: from the connect to the last byte.
    """

    status: int
    headers: Fields = ()
    body: bytes = b""
    seconds: float = 0.0

    def header(self, name: str) -> str:
        """The first value of a header, or ""; `name` in lower case."""
        return next((value for other, value in self.headers if other == name), "")

    @property
    def json(self) -> Any:  # noqa: ANN401  whatever a server writes
        """The body parsed; None if it is no JSON."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None

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
        value = self.json
        error = value.get("error") if isinstance(value, dict) else None
        said = error.get("message") if isinstance(error, dict) else error
        return " ".join(said.split())[:200] if isinstance(said, str) else ""

    @property
    def model_ids(self) -> tuple[str, ...] | None:
        """The models it lists, `{"data": [{"id": …}, …]}`; None if it is no such list."""
        value = self.json
        data = value.get("data") if isinstance(value, dict) else None
        if self.status != 200 or not isinstance(data, list):
            return None
        ids = [entry.get("id") for entry in data if isinstance(entry, dict)]
        return tuple(found for found in ids if isinstance(found, str))


type Seen = Answer | Failure


class Program(StrEnum):
    """Which program an answer comes from."""

    CLIPROXYAPI = "CLIProxyAPI"
    LITELLM = "LiteLLM"
    OURSELVES = "litellm-hybrid"
    WEB_PAGE = "a web page"
    UNKNOWN = "another program"


def program(*seen: Seen | None) -> Program | None:
    """Whose answers these are: those of one server to `GET /` and `GET /health/liveliness`.

    CLIProxyAPI introduces itself at `/` (internal/api/server.go, setupRoutes), LiteLLM at both
    (health_endpoints). None: there is no answer among them.
    """
    answers = [each for each in seen if isinstance(each, Answer)]
    for answer in answers:
        if answer.header("x-hybrid-route"):
            return Program.OURSELVES
        value = answer.json
        if isinstance(value, dict) and str(value.get("message")).startswith("CLI Proxy API"):
            return Program.CLIPROXYAPI
        if value in ("I'm alive!", "LiteLLM: RUNNING"):
            return Program.LITELLM
        if "X-CPA-" in answer.header("access-control-expose-headers").upper():
            return Program.CLIPROXYAPI  # in safe mode `/` is a page that warns
    if not answers:
        return None
    return Program.WEB_PAGE if any(answer.is_page for answer in answers) else Program.UNKNOWN
