"""How long a provider's refusal asks to wait: every place that says so, read in one order.

Relative times come before absolute ones, because a clock may be wrong. A time
that is negative or beyond 30 days counts as none, and the next place is asked.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

Fields = Mapping[str, object]

LONGEST = 30 * 86400.0
"""Seconds; Codex's windows are a week, Anthropic's as well."""

_UNITS = {
    "d": 86400.0,
    "h": 3600.0,
    "m": 60.0,
    "s": 1.0,
    "ms": 1e-3,
    "us": 1e-6,
    "µs": 1e-6,
    "ns": 1e-9,
}
_NUMBER = r"\d{1,12}(?:\.\d{1,12})?"
_GO_PART = re.compile(rf"({_NUMBER})(ms|us|µs|ns|d|h|m|s)")
_GO = re.compile(rf"(?:{_GO_PART.pattern}){{1,8}}")

_WORDS = r"ms|milliseconds?|seconds?|secs?|minutes?|mins?|hours?|hrs?|days?|[dhms]"
_TEXT_PART = re.compile(rf"({_NUMBER})\s?({_WORDS})(?![a-z])", re.IGNORECASE)
_SPAN = rf"(?:{_NUMBER}\s?(?:{_WORDS})(?:,? and |, |\s)?){{1,6}}(?![a-z])"
_TEXT = re.compile(
    rf"\b(?:try again|retry|retrying|reset|resets|available|wait)(?: again)?(?: in| after| for)?"
    rf"(?: about| approximately)? ~?({_SPAN})|\b({_SPAN})\s?remaining\b",
    re.IGNORECASE,
)
_TEXT_LONGEST = 2000


def retry_after(
    headers: Mapping[str, str], sources: Sequence[Fields], messages: Sequence[str], *, now: float
) -> float | None:
    """The wait that an answer states.

    Args:
        headers: the answer's headers, names in lower case.
        sources: the error's JSON objects, the most telling first.
        messages: the error's texts, the most telling first.
        now: epoch seconds.

    Returns:
        Whole seconds, rounded up, 0 to 30 days; None where nothing valid is stated.
    """
    for seconds in _stated(headers, sources, messages, now):
        if seconds is not None and 0 <= seconds <= LONGEST:
            return float(math.ceil(seconds))
    return None


def _stated(
    headers: Mapping[str, str], sources: Sequence[Fields], messages: Sequence[str], now: float
) -> Iterator[float | None]:
    header = headers.get("retry-after", "")
    yield _number(header)  # RFC 9110, section 10.2.3: seconds or a date
    for read in _RELATIVE:
        yield from (read(source) for source in sources)
    yield from (_text(message) for message in messages)
    for moment in (_http_date(header), *(_moment(source.get("resets_at")) for source in sources)):
        yield None if moment is None else moment - now


def _number(value: object) -> float | None:
    """A JSON number, or one that is written as a string."""
    if isinstance(value, str):
        return float(value) if re.fullmatch(_NUMBER, value.strip(), re.ASCII) else None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    # Compared first: an integer may be larger than any float.
    return float(value) if abs(value) < 1e15 else None


def go_duration(value: object) -> float | None:
    """Seconds of a duration as Go and protobuf write it: "2m10s", "41.5s", "1h43m56.2s".

    None for anything else, negative ones among them.
    """
    if not isinstance(value, str) or not _GO.fullmatch(value):
        return None
    return sum(float(number) * _UNITS[unit] for number, unit in _GO_PART.findall(value))


def _retry_info(source: Fields) -> float | None:
    """Google's `RetryInfo.retryDelay` (google/rpc/error_details.proto)."""
    return _in_details(source, lambda detail: detail.get("retryDelay"))


def _quota_reset_delay(source: Fields) -> float | None:
    """Google's `metadata.quotaResetDelay`, in an ErrorInfo of Gemini Code Assist and Antigravity."""

    def read(detail: Fields) -> object:
        metadata = detail.get("metadata")
        return metadata.get("quotaResetDelay") if isinstance(metadata, dict) else None

    return _in_details(source, read)


def _in_details(source: Fields, read: Callable[[Fields], object]) -> float | None:
    details = source.get("details")
    entries = details if isinstance(details, list) else []
    spans = (go_duration(read(entry)) for entry in entries if isinstance(entry, dict))
    return next((span for span in spans if span is not None), None)


_RELATIVE: tuple[Callable[[Fields], float | None], ...] = (
    lambda source: _number(source.get("reset_seconds")),  # CLIProxyAPI's model_cooldown
    lambda source: _number(source.get("resets_in_seconds")),  # Codex's usage_limit_reached
    _retry_info,
    _quota_reset_delay,
)


def _text(message: str) -> float | None:
    """The wait in a sentence: "try again in 2m10s", "retry in 41.5s", "2m10s remaining"."""
    found = _TEXT.search(message[:_TEXT_LONGEST])
    if not found:
        return None
    parts = _TEXT_PART.findall(found[1] or found[2])
    return sum(float(number) * _UNITS[_unit(word.lower())] for number, word in parts)


def _unit(word: str) -> str:
    return "ms" if word.startswith(("ms", "milli")) else word[0]


def _http_date(value: str) -> float | None:
    try:
        return _timestamp(parsedate_to_datetime(value))
    except (ValueError, OverflowError):
        return None


def _moment(value: object) -> float | None:
    """Epoch seconds, or a date as in RFC 3339."""
    seconds = _number(value)
    if seconds is not None or not isinstance(value, str):
        return seconds
    try:
        return _timestamp(datetime.fromisoformat(value))
    except (ValueError, OverflowError):
        return None


def _timestamp(date: datetime) -> float:
    return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
