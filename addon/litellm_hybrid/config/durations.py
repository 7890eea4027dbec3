"""Durations as people write them: `500ms`, `10s`, `5m`, `1h`, `1m30s`, or a plain number of seconds."""

import re
from decimal import Decimal
from fractions import Fraction

_NUMBER = r"([0-9]{1,12}(?:\.[0-9]{1,12})?)"
_PLAIN = re.compile(_NUMBER)
_WITH_UNITS = re.compile(rf"(?=.)(?:{_NUMBER}h)?(?:{_NUMBER}m)?(?:{_NUMBER}s)?(?:{_NUMBER}ms)?")
_UNITS = (("h", Fraction(3600)), ("m", Fraction(60)), ("s", Fraction(1)), ("ms", Fraction(1, 1000)))


def parse_duration(text: str) -> float:
    """The seconds that `text` says.

    Raises:
        ValueError: it is no duration; negative and infinite ones are none.
    """
    text = text.strip().lower()
    if plain := _PLAIN.fullmatch(text):
        return float(plain[1])
    if not (parts := _WITH_UNITS.fullmatch(text)):
        raise ValueError
    # Fractions, so that 1m0.1s is the float nearest to 60.1 and not the sum of two rounded ones.
    return float(
        sum(
            Fraction(number) * seconds
            for number, (_, seconds) in zip(parts.groups(), _UNITS, strict=True)
            if number
        )
    )


def format_duration(seconds: float) -> str:
    """`seconds` with units, so that `parse_duration` reads the same number: 90.0 is `1m30s`, 0.0 is `0s`."""
    milliseconds = round(seconds * 1000)
    if milliseconds / 1000 != seconds:
        return f"{Decimal(repr(seconds)):f}s"
    parts = []
    for unit, size in _UNITS:
        count, milliseconds = divmod(milliseconds, int(size * 1000))
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"
