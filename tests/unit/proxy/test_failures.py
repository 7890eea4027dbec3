"""Who failed, by mitmproxy's protocol errors."""

import pytest
from mitmproxy.proxy.layers.http._events import ErrorCode, RequestProtocolError, ResponseProtocolError

from litellm_hybrid.errors import Cause
from litellm_hybrid.proxy import failures
from litellm_hybrid.proxy.deadlines import LimitReached

GENERIC = ErrorCode.GENERIC_SERVER_ERROR


@pytest.mark.parametrize(
    ("message", "code", "closed", "cause"),
    [
        ("x", GENERIC, True, Cause.SERVER_CLOSED),
        ("x", GENERIC, False, Cause.SERVER_PROTOCOL),
        ("x", ErrorCode.CONNECT_FAILED, False, Cause.CONNECT_FAILED),
        ("x", ErrorCode.CONNECT_FAILED, True, Cause.CONNECT_FAILED),
        ("x", ErrorCode.RESPONSE_VALIDATION_FAILED, True, Cause.ANSWER_REFUSED),
        (LimitReached(Cause.IDLE_LIMIT, 5), GENERIC, True, Cause.IDLE_LIMIT),
        (LimitReached(Cause.CONNECT_LIMIT, 5), ErrorCode.CONNECT_FAILED, False, Cause.CONNECT_LIMIT),
    ],
)
def test_a_servers(message: str, code: ErrorCode, *, closed: bool, cause: Cause) -> None:
    failure = failures.of_server(ResponseProtocolError(1, message, code), closed=closed)

    assert (failure.cause, failure.detail) == (cause, message)


@pytest.mark.parametrize(
    ("code", "closed", "cause"),
    [
        (ErrorCode.CLIENT_DISCONNECTED, False, Cause.CLIENT_LEFT),
        (ErrorCode.CANCEL, False, Cause.CLIENT_LEFT),
        (ErrorCode.GENERIC_CLIENT_ERROR, True, Cause.CLIENT_LEFT),
        (ErrorCode.GENERIC_CLIENT_ERROR, False, Cause.CLIENT_PROTOCOL),
    ],
)
def test_a_clients(code: ErrorCode, *, closed: bool, cause: Cause) -> None:
    assert failures.of_client(RequestProtocolError(1, "x", code), closed=closed).cause is cause


def test_a_limit_says_how_long_it_was() -> None:
    assert LimitReached(Cause.FIRST_BYTE_LIMIT, 600.0) == "first-byte limit: nothing within 600 s"
