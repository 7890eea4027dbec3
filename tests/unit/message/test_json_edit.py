"""Characters that were cut in two: read with something in their place, and written back as they came."""

import pytest

from litellm_hybrid.message.json import decode
from litellm_hybrid.message.json_edit import MOST_LONE, masked, readable, unmasked

PAIR = rb"\ud83d\ude00"
BODIES = [
    b'{"a":"b"}',
    rb'["\ud83d"]',
    rb'["\\ud83d"]',
    b'["' + PAIR + rb'\ud83d\ude00\udE00"]',
    rb'["\uD83D\n\ud83d"]',
]


def test_too_many_are_not_read() -> None:
    assert decode(rb'["' + rb"\ud800-" * (MOST_LONE - 1) + b'"]') is not None
    assert decode(rb'["' + rb"\ud800-" * (MOST_LONE + 1) + b'"]') is None


@pytest.mark.parametrize("body", BODIES)
def test_what_was_masked_comes_back(body: bytes) -> None:
    changed, mark = masked(body)
    assert unmasked(changed, mark) == body
    assert decode(changed) is not None


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (rb'["\ud83d"]', rb'["\ufffd"]'),
        (b'["' + PAIR + b'"]', b'["' + PAIR + b'"]'),
        (rb'["\\ud83d"]', rb'["\\ud83d"]'),
        (rb'["\ude00\ud83d"]', rb'["\ufffd\ufffd"]'),
    ],
)
def test_only_half_a_character_is_replaced(body: bytes, found: bytes) -> None:
    assert readable(body) == found
