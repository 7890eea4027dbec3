"""How long a provider's refusal asks to wait: every place that says so, read in one order.

Relative times come before absolute ones, because a clock may be wrong. A time
that is negative or beyond 30 days counts as none, and the next place is asked.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from itertools import chain

from litellm_hybrid.message.json import members, objects

Fields = Mapping[str, object]

LONGEST = 30 * 86400.0
"""Seconds; Codex's windows are a week, Anthropic's as well."""

_UNITS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_NUMBER = r"\d{1,15}(?:\.\d{1,12})?"
_WHOLE_NUMBER = re.compile(_NUMBER, re.ASCII)
_DIGIT = re.compile(r"\d")
"""Whatever says how long, in whatever language, has one."""
_GO_PART = re.compile(rf"({_NUMBER})(ms|us|µs|ns|d|h|m|s)")
_GO = re.compile(rf"(?:{_GO_PART.pattern}){{1,8}}")

_WORDS = r"ms|milliseconds?|seconds?|secs?|minutes?|mins?|hours?|hrs?|days?|[dhms]"
_TEXT_PART = re.compile(rf"({_NUMBER})\s?({_WORDS})(?![a-z])", re.IGNORECASE)
_SPAN = rf"(?:{_NUMBER}\s?(?:{_WORDS})(?:,? and |, |\s)?){{1,6}}(?![a-z])"
_TEXT = re.compile(
    rf"\b(?:try again|retry|retrying|reset|resets|available|back|wait)(?: again)?(?: in| after| for)?"
    rf"(?: about| approximately)? ~?({_SPAN})|\b({_SPAN})\s?remaining\b",
    re.IGNORECASE,
)
# "30 秒后重试", "5分後", "20초 후"; "in 5 Minuten", "dans 2 heures", "через 20 секунд".
_FOREIGN_UNITS: Mapping[str, float] = {
    r"秒|초|sekund\w*|second[eoi]\w*|segund\w*|секунд\w*": 1.0,
    r"分钟?|분|minut\w*|минут\w*": 60.0,
    r"(?:个)?小时|時間|시간|stunden?|heures?|horas?|or[ae]|uur|godzin\w*|час\w*": 3600.0,
    r"天|日|일|tage?n?|jours?|d[ií]as?|giorn\w|dagen|dni|дн\w*|день": 86400.0,
}
_FOREIGN = re.compile(
    rf"(?<!\d)({_NUMBER})\s?(?:{'|'.join(f'({unit})' for unit in _FOREIGN_UNITS)})\s?"
    r"(?:之?[后後]|以[后後]|후|뒤)"
    rf"|\b(?:in|dans|en|em|tra|fra|over|za|через)\s({_NUMBER})\s"
    rf"(?:{'|'.join(f'({unit})' for unit in _FOREIGN_UNITS)})(?!\w)",
    re.IGNORECASE,
)
_TEXT_LONGEST = 2000

# A date in a sentence: RFC 3339, Go's "2026-09-22 01:00:00 +0800 CST", Anthropic's "2026-03-01 at 00:00 UTC".
_DATE = re.compile(
    r"(?<!\d)(\d{4}-\d\d-\d\d)(?:T|,? at |\s)(\d\d:\d\d(?::\d\d)?)(?:\.\d{1,9})?"
    r"\s?(Z\b|UTC|GMT|[+-]\d\d:?\d\d)?",
    re.IGNORECASE,
)
_CHINA = timezone(timedelta(hours=8))
"""The zone of a date that names none: those are Zhipu's and z.ai's."""
_EPOCH = re.compile(r"limit reached\|(\d{10})\b")
"""As Claude's subscription writes it in a message."""


def retry_after(
    headers: Mapping[str, str], sources: Sequence[Fields], messages: Sequence[str], *, now: float
) -> float | None:
    """The wait that an answer states; None where nothing valid is stated.

    Whole seconds, rounded up, 0 to 30 days. Of `sources` (the error's JSON objects) and `messages` (its
    texts) the first are the most telling. Names in `headers` are in lower case, `now` is epoch seconds.
    """
    for seconds in _stated(headers, sources, messages, now):
        if seconds is not None and 0 <= seconds <= LONGEST:
            return float(math.ceil(seconds))
    return None


def _stated(
    headers: Mapping[str, str], sources: Sequence[Fields], messages: Sequence[str], now: float
) -> Iterator[float | None]:
    if header := headers.get("retry-after", ""):
        yield _span(header)  # RFC 9110, section 10.2.3: seconds or a date
    if "retry-after-ms" in headers:  # Azure's and OpenAI's
        milliseconds = _number(headers["retry-after-ms"])
        yield None if milliseconds is None else milliseconds / 1000
    own = [_places(source) for source in sources]
    yield from _values([place for places in own for place in places], _SECONDS, _span)
    listed = [objects(source["details"]) for source in sources if "details" in source]
    details = [_places(detail) for found in listed for detail in found]
    yield from _values([place for places in details for place in places], _DELAYS, go_duration)
    told = [text for message in messages if _DIGIT.search(text := message[:_TEXT_LONGEST])]
    yield from map(_text, told)
    moments = chain(
        ((_http_date(header) or _moment(header)) if header else None,),
        *(_values(places, _MOMENTS, _moment) for places in (*own, *details)),
        map(_openrouter_reset, [places[1] for places in own if len(places) > 1]),
        (_number(headers.get("anthropic-ratelimit-unified-reset")),),
        map(_date, told),
    )
    for moment in moments:
        yield None if moment is None else moment - now


def _places(source: Fields) -> tuple[Fields, ...]:
    """An object, and its `metadata`."""
    metadata = source.get("metadata")
    return (source, metadata) if metadata and isinstance(metadata, dict) else (source,)


def _values(
    places: Sequence[Fields], keys: Sequence[str], read: Callable[[object], float | None]
) -> Iterator[float | None]:
    """Read members of some objects, the first of them wherever it is, then the next."""
    for key in keys:
        for place in places:
            if key in place:
                yield read(place[key])


def _number(value: object) -> float | None:
    """A JSON number, or one that is written as a string."""
    if isinstance(value, str):
        return float(value) if _WHOLE_NUMBER.fullmatch(value.strip()) else None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    # Compared first: an integer may be larger than any float.
    return float(value) if abs(value) < 1e15 else None


def _span(value: object) -> float | None:
    """Seconds: a number, or a duration as Go writes it."""
    seconds = _number(value)
    return go_duration(value) if seconds is None else seconds


def go_duration(value: object) -> float | None:
    """Seconds of a duration as Go and protobuf write it: "2m10s", "41.5s", "1h43m56.2s".

    None for anything else, negative ones among them.
    """
    if not isinstance(value, str) or not _GO.fullmatch(value):
        return None
    return sum(float(number) * _UNITS[unit] for number, unit in _GO_PART.findall(value))


def _moment(value: object) -> float | None:
    """Epoch seconds, or a date as in RFC 3339."""
    seconds = _number(value)
    if seconds is not None:
        return seconds / 1000 if seconds > _MILLISECONDS else seconds
    if not isinstance(value, str):
        return None
    try:
        return _timestamp(datetime.fromisoformat(value))
    except (ValueError, OverflowError):
        return None


def _timestamp(date: datetime) -> float:
    return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()


def _openrouter_reset(metadata: Fields) -> float | None:
    """OpenRouter's `metadata.headers`, the provider's own: a reset in milliseconds since the epoch."""
    headers = members(metadata.get("headers"))
    fields = {str(name).lower(): value for name, value in headers.items()}
    return _moment(fields.get("x-ratelimit-reset"))


_MILLISECONDS = 1e11
"""A number of seconds since the epoch that is larger (the year 5138) is one of milliseconds."""

_SECONDS = (
    "reset_seconds",  # CLIProxyAPI's model_cooldown
    "resets_in_seconds",  # Codex's usage_limit_reached
    *("retry_after", "retryAfter", "retry_after_seconds", "reset_after", "reset_after_seconds"),  # relays
    *("cooldown_seconds", "clears_in"),
)
# Of Google's `details` (google/rpc/error_details.proto), Gemini Code Assist's and Antigravity's the second.
_DELAYS = ("retryDelay", "quotaResetDelay")
_MOMENTS = (
    "resets_at",  # Codex's usage_limit_reached
    *("resetsAt", "reset_at", "resetAt", "reset_time", "quotaResetTimeStamp"),  # relays, Google
)


def _text(message: str) -> float | None:
    """The wait in a sentence: "try again in 2m10s", "retry in 41.5s", "2m10s remaining"."""
    found = _TEXT.search(message)
    if not found:
        return _foreign(message)
    parts = _TEXT_PART.findall(found[1] or found[2])
    words = ((float(number), word.lower()) for number, word in parts)
    return sum(n * _UNITS["ms" if word.startswith(("ms", "milli")) else word[0]] for n, word in words)


def _foreign(text: str) -> float | None:
    """The wait in a sentence of another language."""
    found = _FOREIGN.search(text)
    if not found:
        return None
    groups, scales = found.groups(), tuple(_FOREIGN_UNITS.values())
    number, *units = groups[:5] if groups[0] else groups[5:]
    return float(number) * next(scale for scale, unit in zip(scales, units, strict=True) if unit)


def _date(message: str) -> float | None:
    """The moment that a sentence names."""
    if epoch := _EPOCH.search(message):
        return float(epoch[1])
    found = _DATE.search(message)
    if found is None:
        return None
    day, time, zone = found.groups()
    try:
        date = datetime.fromisoformat(f"{day}T{time}")
        if zone is None:
            return date.replace(tzinfo=_CHINA).timestamp()
        offset = "+00:00" if zone.upper() in ("Z", "UTC", "GMT") else zone
        return datetime.fromisoformat(f"{day}T{time}{offset}").timestamp()
    except (ValueError, OverflowError):
        return None


def _http_date(value: str) -> float | None:
    try:
        return _timestamp(parsedate_to_datetime(value))
    except (ValueError, OverflowError):
        return None


# LiteLLM where all deployments of a model are cooling down (1.106, RouterRateLimitError).
_COOLDOWN = re.compile(
    rb"No deployments? available.{0,200}?[Tt]ry again in (\d{1,6}(?:\.\d+)?) seconds", re.DOTALL
)


def seconds_of_cooldown(body: bytes) -> float | None:
    """For how long LiteLLM says that it will ask no backend of the model's; None: it does not say that."""
    found = _COOLDOWN.search(body)
    return float(found[1]) if found else None
