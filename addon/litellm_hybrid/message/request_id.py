"""One id for a request on both servers, in the answer and in every log line."""

import itertools
import re
import time

_VISIBLE_ASCII = re.compile(r"[\x21-\x7e]{1,128}")

_counter = itertools.count(1)


def is_valid(request_id: str) -> bool:
    """Whether a client's X-Request-ID is kept: 1 to 128 visible ASCII characters."""
    return _VISIBLE_ASCII.fullmatch(request_id) is not None


def choose(given: str | None) -> str:
    """The id for a request whose X-Request-ID is `given`: that one if it is valid, else a new one."""
    return given if given is not None and is_valid(given) else generate()


def generate() -> str:
    """A new id, `req-<nanoseconds since 1970>` as in the fork, with a counter that makes it unique."""
    return f"req-{time.time_ns()}-{next(_counter)}"
