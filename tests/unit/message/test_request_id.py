import re

import pytest

from litellm_hybrid.message.request_id import generate, is_valid


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
