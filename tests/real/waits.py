"""The wait that an answer of CLIProxyAPI states, read without the product's code: its judge."""

import re
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone

BEIJING = timezone(timedelta(hours=8))
"""Where a date that names no zone is meant: only Zhipu and z.ai write such ones."""

_RELATIVE = (
    re.compile(r'"(?:reset_seconds|resets_in_seconds)"\s*:\s*(?P<s>\d+(?:\.\d+)?)'),
    re.compile(r'"(?:retryDelay|quotaResetDelay)"\s*:\s*"(?P<text>[\dhms.]+)"'),
    re.compile(r"(?:try again|retry|retry again) in (?P<text>[\dhms.]+\w)"),
    re.compile(r"(?:try again|retry) after (?P<s>\d+(?:\.\d+)?) seconds"),
    re.compile(r"reset after (?P<text>[\dhms.]+\w)"),
    re.compile(r"(?P<text>[\d.]+s) remaining"),
)
_DATES = (
    re.compile(r"resets? at (?P<date>\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:Z|[+-]\d\d:\d\d)?)"),
    re.compile(r"regain access on (?P<date>\d{4}-\d\d-\d\d) at (?P<clock>\d\d:\d\d) UTC"),
)
_EPOCH = re.compile(r'"(?:resets_at|X-RateLimit-Reset)"\s*:\s*"?(?P<at>\d{10,13})')
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|h|m|s)")
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


def stated(body: str, headers: dict[str, str], now: float) -> list[float]:
    """Every wait that stands in an answer, in seconds; empty where none does."""
    return [wait for wait in _all(body.replace("\\", ""), headers, now) if wait > 0]


def _all(body: str, headers: dict[str, str], now: float) -> Iterator[float]:
    if (header := headers.get("Retry-After", "")).isdigit():
        yield float(header)
    for pattern in _RELATIVE:
        for found in pattern.finditer(body):
            fields = found.groupdict()
            if fields.get("s"):
                yield float(fields["s"])
            else:
                yield sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(fields["text"]))
    for found in _EPOCH.finditer(body):
        at = float(found["at"])
        yield (at / 1000 if at > 1e11 else at) - now
    for pattern in _DATES:
        for found in pattern.finditer(body):
            clock = found.groupdict().get("clock")
            date = datetime.fromisoformat(f"{found['date']}T{clock}+00:00" if clock else found["date"])
            yield (date if date.tzinfo else date.replace(tzinfo=BEIJING)).timestamp() - now


def is_read(waits: list[float], read: float | None) -> bool:
    """Whether the wait that was read is one of those stated, within rounding and the time between two looks."""
    return not waits or (read is not None and any(abs(read - wait) <= 2 + wait / 100 for wait in waits))
