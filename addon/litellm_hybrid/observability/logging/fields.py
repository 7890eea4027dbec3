"""Every field and every event that a log line may have; docs/logs.md says what each of them means."""

from typing import Literal, Required, TypedDict

Event = Literal[
    "serving",
    "draining",
    "drain-timeout",
    "ended",
    "worker-ended",
    "crashed",
    "config-loaded",
    "config-changed",
    "config-warning",
    "config-broken",
    "request-id-replaced",
    "routed",
    "answered",
    "fallback",
    "fallback-failed",
    "fallback-refused",
    "unknown-model",
    "upstream-login-expired",
    "account-refused",
    "history-reduced",
    "history-retry-failed",
    "hold-limit-reached",
    "hold-capacity-reached",
    "stateful",
    "error",
    "client-disconnected",
    "refused",
]
"""What a line of ours says, for programs; its message says it to people."""


class Line(TypedDict, total=False):
    """What the log itself puts on a line, mitmproxy's lines included.

    `client` is the address and port of a client connection that mitmproxy's line is about.
    """

    time: str
    level: str
    logger: str
    message: str
    client: str
    traceback: str


class OfRequest(TypedDict):
    """The fields that every line about a request has.

    `path` is without its query; `target`: where the request goes or would; `trace_id` and `span_id`: those
    of the client's W3C Trace Context.
    """

    method: str
    path: str
    client_ip: str
    request_id: str
    target: str
    model: str | None
    trace_id: str | None
    span_id: str | None


class Fields(TypedDict, total=False):
    """What a line of ours may say; None is left out. Durations are milliseconds, `retry_after` seconds."""

    event: Required[Event]
    request_id: str | None
    method: str | None
    path: str | None
    client_ip: str | None
    target: str | None
    model: str | None
    trace_id: str | None
    span_id: str | None
    reason: str | None
    litellm_model: str | None
    status: int | None
    server: str | None
    duration_ms: float | None
    first_byte_ms: float | None
    upstream_ms: float | None
    litellm_ms: float | None
    bytes: int | None
    input_tokens: int | None
    output_tokens: int | None
    cached_tokens: int | None
    cost_usd: float | None
    kind: str | None
    rule: str | None
    retry_after: float | None
    upstream_message: str | None
    first_failure: str | None
    litellm_message: str | None
    error_type: str | None
    error: str | None
