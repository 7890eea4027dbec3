import re

import pytest

from litellm_hybrid.message.ids import Trace, generate, is_valid, parse_traceparent


@pytest.mark.parametrize(
    ("request_id", "expected"),
    [
        ("a", True),
        ("req-1", True),
        ("x" * 128, True),
        ("".join(map(chr, range(0x21, 0x7F))), True),
        ("", False),
        ("x" * 129, False),
        ("a b", False),
        (" a", False),
        ("a\t", False),
        ("a\n", False),
        ("\x7f", False),
        ("ü", False),
        ("\udcff", False),
        ("a\x00", False),
    ],
)
def test_is_valid(request_id: str, *, expected: bool) -> None:
    assert is_valid(request_id) is expected


def test_generated_ids_are_valid_unique_and_look_like_the_forks() -> None:
    ids = [generate() for _ in range(1000)]
    assert len(set(ids)) == 1000
    assert all(is_valid(request_id) and re.fullmatch(r"req-\d{19}-\d+", request_id) for request_id in ids)


# W3C Trace Context, section 3.2: which `traceparent` is valid, and what is read from it.

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"


@pytest.mark.parametrize(
    "given",
    [
        f"00-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-00",
        f"00-{TRACE}-{SPAN}-ff",
        # A later version: what it has in common with 00 is read, and what follows may be anything.
        f"01-{TRACE}-{SPAN}-01",
        f"cc-{TRACE}-{SPAN}-01-what-the-future-will-be-like",
        f"fe-{TRACE}-{SPAN}-01-",
    ],
)
def test_valid(given: str) -> None:
    assert parse_traceparent(given) == Trace(TRACE, SPAN)


@pytest.mark.parametrize(
    "given",
    [
        "",
        "x",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN.upper()}-01",
        f"0A-{TRACE}-{SPAN}-01",
        f"00-{TRACE[1:]}-{SPAN}-01",
        f"00-{TRACE}a-{SPAN}-01",
        f"00-{TRACE}-{SPAN[1:]}-01",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-",
        f"00-{TRACE}-{SPAN}-1",
        f"00-{TRACE}-{SPAN}-0x",
        f"0-{TRACE}-{SPAN}-01",
        f"00_{TRACE}_{SPAN}_01",
        # Version 00 ends there, a later one only goes on behind a dash.
        f"00-{TRACE}-{SPAN}-01-",
        f"00-{TRACE}-{SPAN}-01-more",
        f"01-{TRACE}-{SPAN}-01.more",
        f"01-{TRACE}-{SPAN}-011",
        f"00-{TRACE}-{SPAN}-01\n",
        f" 00-{TRACE}-{SPAN}-01",
        # Two headers, joined as HTTP joins them.
        f"00-{TRACE}-{SPAN}-01, 00-{TRACE}-{SPAN}-01",
    ],
)
def test_invalid(given: str) -> None:
    assert parse_traceparent(given) is None
