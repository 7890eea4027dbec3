"""What becomes of a request: where it goes and why, which servers were asked, and all of it as plain data."""

from dataclasses import dataclass
from time import monotonic
from typing import TypedDict

from mitmproxy import http

from litellm_hybrid.observability.log_format import OfRequest
from litellm_hybrid.routing.rules import Reason, Target

METADATA = "litellm_hybrid"
"""The key of `flow.metadata` that has the snapshot."""


class ReplacedResponse(TypedDict):
    """A server's response that no client sees, because another took its place; credentials are masked.

    Attributes:
        why: what it was taken for: a kind as in `fallback.on`, a status, an error type.
        words: what it says in a line; where there was no response, what went wrong.
        headers: names and values, in order.
        body: without its content coding, at most `REPLACED_MOST` characters of it.
    """

    why: str
    words: str
    headers: list[list[str]]
    body: str


class AttemptSnapshot(TypedDict):
    """One server that was asked.

    Attributes:
        status: of its response; None: none has begun.
        milliseconds: how long it took, or has taken so far.
        replaced: its response, unless that is the one that the client gets.
    """

    server: str
    status: int | None
    milliseconds: float
    replaced: ReplacedResponse | None


REPLACED_MOST = 16_384
"""How much of a replaced response's body is kept, in characters."""


class Snapshot(OfRequest):
    """An exchange as plain data, without a credential: what other addons and saved flows have.

    Attributes:
        reason, detail: as in the route header.
        upstream_status, litellm_status: of the response that the other server's replaces.
        kind: of upstream's failure, as in `fallback.on`; "" where it has not failed.
        fallback_failed: why LiteLLM could not help, as there; "" where it was not asked to or could.
        litellm_model: the name that LiteLLM gets, or would get, for `model`, as the client spells that.
        reduced: parts of the history that only their maker can read were left out.
        first_failure: for what upstream had suspended the account, where it says only that it has.
        words: what the server says of its 4xx or 5xx that the client gets, "" if it is none.
        attempts: the servers that were asked, in order.
        error_type, error: what went wrong last, see `errors.ErrorType`.
    """

    reason: str
    detail: str
    upstream_status: int | None
    litellm_status: int | None
    kind: str
    fallback_failed: str
    litellm_model: str | None
    may_fall_back: bool
    reduced: bool
    first_failure: str | None
    cost_usd: float | None
    words: str
    attempts: list[AttemptSnapshot]
    error_type: str | None
    error: str | None


@dataclass(slots=True)
class Outcome:
    """Where a request goes, and why: see `Snapshot`."""

    target: Target = Target.NONE
    reason: Reason = Reason.ERROR
    upstream_status: int | None = None
    litellm_status: int | None = None
    fallback_failed: str = ""
    litellm_model: str | None = None
    may_fall_back: bool = False
    reduced: bool = False

    @property
    def detail(self) -> str:
        """What stands behind the reason in the route header, from the semicolon on."""
        status = f"; upstream-status={self.upstream_status}" if self.upstream_status is not None else ""
        status += f"; litellm-status={self.litellm_status}" if self.litellm_status is not None else ""
        failed = f"; fallback-failed={self.fallback_failed}" if self.fallback_failed else ""
        return f"{status}{failed}{'; history=reduced' if self.reduced else ''}"


@dataclass(slots=True)
class ServerAttempt:
    """One server that was asked, when, and how long; times are of the monotonic clock.

    Attributes:
        request: as it is sent, credentials and all; None once the exchange has ended.
        first_byte: when the head of its response came.
        cost_usd: what LiteLLM says that its response cost; None: it does not.
        deployment: LiteLLM's id of what has answered.
        replaced: its response where another took its place, and somebody sees flows.
    """

    target: Target
    request: http.Request | None
    since: float
    first_byte: float | None = None
    status: int | None = None
    until: float | None = None
    cost_usd: float | None = None
    deployment: str = ""
    replaced: ReplacedResponse | None = None

    @property
    def milliseconds(self) -> float:
        """How long it took."""
        return max(0.0, round(((self.until or monotonic()) - self.since) * 1000, 1))

    def snapshot(self) -> AttemptSnapshot:
        """It as plain data."""
        return {
            "server": self.target.value,
            "status": self.status,
            "milliseconds": self.milliseconds,
            "replaced": self.replaced,
        }
