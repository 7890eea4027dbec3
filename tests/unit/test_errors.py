import errno
import json
import os

import pytest

from litellm_hybrid import errors
from litellm_hybrid.errors import Cause, ErrorType, Failure


def oserror(code: int) -> str:
    return str(OSError(code, os.strerror(code)))


def test_the_classes_are_the_forks_and_one_more() -> None:
    assert [str(error_type) for error_type in ErrorType] == [
        "client_disconnect",
        "timeout",
        "network_timeout",
        "network_error",
        "proxy_error",
        "late_error",
        "unknown",
    ]


@pytest.mark.parametrize(
    ("cause", "error_type"),
    [
        (Cause.CLIENT_LEFT, ErrorType.CLIENT_DISCONNECT),
        (Cause.CLIENT_PROTOCOL, ErrorType.UNKNOWN),
        (Cause.CONNECT_LIMIT, ErrorType.NETWORK_TIMEOUT),
        (Cause.CONNECT_FAILED, ErrorType.NETWORK_ERROR),
        (Cause.FIRST_BYTE_LIMIT, ErrorType.TIMEOUT),
        (Cause.IDLE_LIMIT, ErrorType.TIMEOUT),
        (Cause.SERVER_CLOSED, ErrorType.NETWORK_ERROR),
        (Cause.SERVER_PROTOCOL, ErrorType.PROXY_ERROR),
        (Cause.ANSWER_REFUSED, ErrorType.PROXY_ERROR),
        (Cause.LATE_ERROR, ErrorType.LATE_ERROR),
        (Cause.INTERNAL_ERROR, ErrorType.PROXY_ERROR),
        (Cause.OTHER, ErrorType.UNKNOWN),
    ],
)
@pytest.mark.parametrize("detail", ["", "timed out", "client disconnected", "connection refused"])
def test_the_class_comes_from_the_cause_not_from_the_text(
    cause: Cause, error_type: ErrorType, detail: str
) -> None:
    assert Failure(cause, detail).error_type is error_type


def test_every_cause_has_a_class() -> None:
    assert all(Failure(cause, "").error_type in ErrorType for cause in Cause)


@pytest.mark.parametrize(
    ("cause", "detail", "error_type"),
    [
        (Cause.CONNECT_FAILED, oserror(errno.ETIMEDOUT), ErrorType.NETWORK_TIMEOUT),
        (Cause.CONNECT_FAILED, oserror(errno.ECONNREFUSED), ErrorType.NETWORK_ERROR),
        (Cause.CONNECT_FAILED, oserror(errno.EHOSTUNREACH), ErrorType.NETWORK_ERROR),
        (Cause.CONNECT_FAILED, f"about {oserror(errno.ETIMEDOUT)}", ErrorType.NETWORK_ERROR),
        (Cause.CONNECT_FAILED, f"[Errno {errno.ETIMEDOUT}0] x", ErrorType.NETWORK_ERROR),
        (Cause.SERVER_CLOSED, oserror(errno.ETIMEDOUT), ErrorType.NETWORK_ERROR),
    ],
)
def test_the_systems_code_for_a_connect_that_timed_out(
    cause: Cause, detail: str, error_type: ErrorType
) -> None:
    assert Failure(cause, detail).error_type is error_type


def test_the_answers_are_the_forks_to_the_byte() -> None:
    assert (
        errors.LITELLM_UNREACHABLE
        == b'{"error":"litellm_proxy_error","message":"Failed to reach LiteLLM proxy"}'
    )
    assert (
        errors.UPSTREAM_UNREACHABLE
        == b'{"error":"upstream_proxy_error","message":"Failed to reach upstream"}'
    )
    assert json.loads(errors.body("a", "b ü")) == {"error": "a", "message": "b ü"}
