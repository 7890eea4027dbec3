"""What went wrong between the client, us and a server, in seven words.

    client_disconnect   the client left
    timeout             a server took too long to respond, or fell silent
    network_timeout     no connection within the limit
    network_error       refused, unresolvable, reset, closed, bad certificate
    proxy_error         the server's response, or our own code, is at fault
    late_error          the server's stream began well, and ended with an error
    unknown             anything else

The classes come from where in the exchange the proxy stood and from its error
code. Texts are for people: they differ between systems and releases.
"""

import errno
import re
from dataclasses import dataclass
from enum import StrEnum


class ErrorType(StrEnum):
    """The classes, named as in the fork's logs."""

    CLIENT_DISCONNECT = "client_disconnect"
    TIMEOUT = "timeout"
    NETWORK_TIMEOUT = "network_timeout"
    NETWORK_ERROR = "network_error"
    PROXY_ERROR = "proxy_error"
    LATE_ERROR = "late_error"
    UNKNOWN = "unknown"


class Cause(StrEnum):
    """What the proxy saw happen."""

    CLIENT_LEFT = "client left"
    CLIENT_PROTOCOL = "client broke the protocol"
    CONNECT_LIMIT = "connect limit"
    CONNECT_FAILED = "connect failed"
    FIRST_BYTE_LIMIT = "first-byte limit"
    IDLE_LIMIT = "idle limit"
    UPLOAD_LIMIT = "upload limit"
    SERVER_CLOSED = "server closed the connection"
    SERVER_PROTOCOL = "server broke the protocol"
    ANSWER_REFUSED = "answer refused"
    LATE_ERROR = "error after output"
    INTERNAL_ERROR = "internal error"
    OTHER = "other"


_TYPES = {
    Cause.CLIENT_LEFT: ErrorType.CLIENT_DISCONNECT,
    Cause.CLIENT_PROTOCOL: ErrorType.UNKNOWN,
    Cause.CONNECT_LIMIT: ErrorType.NETWORK_TIMEOUT,
    Cause.CONNECT_FAILED: ErrorType.NETWORK_ERROR,
    Cause.FIRST_BYTE_LIMIT: ErrorType.TIMEOUT,
    Cause.IDLE_LIMIT: ErrorType.TIMEOUT,
    Cause.UPLOAD_LIMIT: ErrorType.TIMEOUT,
    Cause.SERVER_CLOSED: ErrorType.NETWORK_ERROR,
    Cause.SERVER_PROTOCOL: ErrorType.PROXY_ERROR,
    Cause.ANSWER_REFUSED: ErrorType.PROXY_ERROR,
    Cause.LATE_ERROR: ErrorType.LATE_ERROR,
    Cause.INTERNAL_ERROR: ErrorType.PROXY_ERROR,
    Cause.OTHER: ErrorType.UNKNOWN,
}

# asyncio renders a failed connect as `[Errno 110] …`: the number is the system's code.
_ERRNO = re.compile(r"\[Errno (\d+)\]")


@dataclass(frozen=True, slots=True)
class Failure:
    """One thing that went wrong.

    Attributes:
        detail: the proxy's words, for people.
    """

    cause: Cause
    detail: str

    @property
    def error_type(self) -> ErrorType:
        """Its class."""
        if self.cause is Cause.CONNECT_FAILED:
            code = _ERRNO.match(self.detail)
            if code and int(code[1]) == errno.ETIMEDOUT:
                return ErrorType.NETWORK_TIMEOUT
        return _TYPES[self.cause]

    @property
    def is_lasting(self) -> bool:
        """Whether the same request would meet it again, so that a client need not ask once more.

        An address that nobody listens at, or that has no name yet, is a server that is being started again.
        """
        if self.cause is Cause.CONNECT_FAILED:
            return "[Errno" not in self.detail  # a certificate, or no TLS
        return self.cause in (Cause.FIRST_BYTE_LIMIT, Cause.INTERNAL_ERROR)


def body(error: str, message: str) -> bytes:
    """The JSON of a response of our own: `{"error":…,"message":…}`, as the fork wrote it.

    Both members are strings without quotes, backslashes or control characters.
    """
    return f'{{"error":"{error}","message":"{message}"}}'.encode()


CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, POST, PUT, PATCH, DELETE, OPTIONS",
    "Access-Control-Allow-Headers": "*",
    "Access-Control-Expose-Headers": "*",
}
"""CLIProxyAPI's on every response: a web client can read why one of ours refuses."""

LITELLM_UNREACHABLE = body("litellm_proxy_error", "Failed to reach LiteLLM proxy")
UPSTREAM_UNREACHABLE = body("upstream_proxy_error", "Failed to reach upstream")
