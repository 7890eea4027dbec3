"""What a protocol error of mitmproxy's layers says about who failed. Pure."""

from mitmproxy.proxy.layers.http._events import ErrorCode, RequestProtocolError, ResponseProtocolError

from litellm_hybrid.errors import Cause, Failure
from litellm_hybrid.proxy.deadlines import LimitReached

CLIENT_LEFT = Failure(Cause.CLIENT_LEFT, "client disconnected")


class ClosedBeforeResponse(str):
    """The text of a protocol error: the server closed the connection without a byte of its response."""

    __slots__ = ()


def of_client(event: RequestProtocolError, *, closed: bool) -> Failure:
    """Return what went wrong on the client's side.

    Args:
        event: as mitmproxy words it.
        closed: whether the client has closed its connection.
    """
    left = closed or event.code in (ErrorCode.CLIENT_DISCONNECTED, ErrorCode.CANCEL)
    return Failure(Cause.CLIENT_LEFT if left else Cause.CLIENT_PROTOCOL, event.message)


def of_server(event: ResponseProtocolError, *, closed: bool) -> Failure:
    """Return what went wrong on the server's side.

    Args:
        event: as mitmproxy words it; a `LimitReached` for one of our limits.
        closed: whether the server has closed its connection.
    """
    if isinstance(event.message, LimitReached):
        return Failure(event.message.cause, event.message)
    if event.code is ErrorCode.CONNECT_FAILED:
        return Failure(Cause.CONNECT_FAILED, event.message)
    if event.code is ErrorCode.RESPONSE_VALIDATION_FAILED:
        return Failure(Cause.ANSWER_REFUSED, event.message)
    return Failure(Cause.SERVER_CLOSED if closed else Cause.SERVER_PROTOCOL, event.message)
