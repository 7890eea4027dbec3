import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from litellm_hybrid.message.forms import find_field, is_form

MULTIPART = 'multipart/form-data; boundary="b"'
URLENCODED = "application/x-www-form-urlencoded"


def part(name: str, value: bytes, more: str = "") -> bytes:
    return f'--b\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'.encode() + value + b"\r\n"


def multipart(*parts: bytes) -> bytes:
    return b"".join(parts) + b"--b--\r\n"


FILE = part("file", b"\x00\xff--b\r\n\r\n-b--" * 50, '; filename="a.mp3"\r\nContent-Type: audio/mpeg')


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        ("multipart/form-data; boundary=b", True),
        ("Multipart/Form-Data;boundary=b", True),
        (" multipart/form-data ", True),
        ("application/x-www-form-urlencoded", True),
        ("application/x-www-form-urlencoded; charset=utf-8", True),
        ("application/json", False),
        ("multipart/mixed; boundary=b", False),
        ("text/plain; x=multipart/form-data", False),
        ("", False),
    ],
)
def test_is_form(content_type: str, *, expected: bool) -> None:
    assert is_form(content_type) is expected


@pytest.mark.parametrize(
    ("body", "model"),
    [
        (multipart(part("model", b"gpt-4o")), "gpt-4o"),
        (multipart(FILE, part("model", b"gpt-4o")), "gpt-4o"),
        (multipart(part("model", b"gpt-4o"), FILE), "gpt-4o"),
        (b"preamble\r\n" + multipart(part("model", b"a")) + b"epilogue", "a"),
        (multipart(part("model", " grün ".encode())), " grün "),
        (multipart(part("model", b"a\xff")), "a\ufffd"),
        (multipart(part("model", b"a"), part("model", b"b")), "b"),
        (multipart(part("model", b"a"), part("model", b" ")), "a"),
        (multipart(part("model", b"a", "\r\nContent-Type: text/plain")), "a"),
        (multipart(b"--b\r\ncontent-disposition: FORM-DATA; Name=model\r\n\r\na\r\n"), "a"),
        (multipart(b'--b  \r\nX: y\r\nContent-Disposition: form-data;name="model"\r\n\r\na\r\n'), "a"),
        # none
        (multipart(), None),
        (multipart(FILE), None),
        (multipart(part("model", b"")), None),
        (multipart(part("model", b" \t")), None),
        (multipart(part("Model", b"a")), None),
        (multipart(part("models", b"a")), None),
        (multipart(part("model", b"a", '; filename="x"')), None),
        (multipart(part("file", b'name="model"\r\n\r\na', '; filename="x"')), None),
        (multipart(b'--b\r\n\r\nname="model"\r\n'), None),
        (multipart(b'--b\r\nX: form-data; name="model"\r\n\r\na\r\n'), None),
        (multipart(b"--b\r\nno head at all\r\n"), None),
        # parameters that are numbered and are not: Python's parser raises TypeError
        (multipart(part("model", b"a", "; x*; x*0")), None),
        # `--b` that does not start a line is part of a value
        (multipart(part("model", b"a--b--c")), "a--b--c"),
    ],
)
def test_multipart(body: bytes, model: str | None) -> None:
    field = find_field(body, MULTIPART, "model")
    assert (field.value if field else None) == model


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/form-data", multipart(part("model", b"a"))),
        ('multipart/form-data; boundary=""', multipart(part("model", b"a"))),
        ("multipart/form-data; boundary=c", multipart(part("model", b"a"))),
        (MULTIPART + "; x*=1; x*0=2", multipart(part("model", b"a"))),
        (MULTIPART, b"invalid"),
        (MULTIPART, b"x--b\r\n"),
        (MULTIPART, part("model", b"a")),
        (MULTIPART, multipart(part("model", b"a"))[:-7]),
        (MULTIPART, multipart(part("model", b"a")).replace(b"\r\n", b"\n")),
        (MULTIPART + "; x=" + "y" * 2000, multipart(part("model", b"a"))),
    ],
)
def test_an_unusable_multipart_body(content_type: str, body: bytes) -> None:
    with pytest.raises(ValueError, match=r"boundary|end|too long|malformed"):
        find_field(body, content_type, "model")


@pytest.mark.parametrize(
    ("body", "model"),
    [
        (b"model=gpt-5", "gpt-5"),
        (b"x=1&model=gpt-5&y=2", "gpt-5"),
        (b"model=a&model=b", "b"),
        (b"model=a&model=+", "a"),
        (b"m%6fdel=gpt%2D5", "gpt-5"),
        (b"model=a+b%26c", "a b&c"),
        (b"model=gr%C3%BCn", "grün"),
        (b"model=%FF", "\ufffd"),
        (b"model=a=b", "a=b"),
        (b"&&model=a&&", "a"),
        (b"", None),
        (b"model", None),
        (b"model=", None),
        (b"model=%20", None),
        (b"Model=a", None),
        (b"x=model=a", None),
        (b"x=1;model=a", None),
    ],
)
def test_urlencoded(body: bytes, model: str | None) -> None:
    field = find_field(body, URLENCODED + "; charset=utf-8", "model")
    assert (field.value if field else None) == model


@pytest.mark.parametrize("count", [999, 1000])
def test_what_stands_behind_too_many_fields_is_not_searched(count: int) -> None:
    fields = find_field(b"x=1&" * count + b"model=a&y=2", URLENCODED, "model")
    parts = find_field(multipart(*[part("x", b"1")] * count, part("model", b"a")), MULTIPART, "model")
    expected = "a" if count < 1000 else None
    assert (fields.value if fields else None) == expected
    assert (parts.value if parts else None) == expected


@pytest.mark.parametrize(
    ("content_type", "body", "expected"),
    [
        (URLENCODED, b"x=%20&model=a&y=+", b"x=%20&model=b%2Fc+%26d&y=+"),
        (URLENCODED, b"model=a&model=a", b"model=a&model=b%2Fc+%26d"),
        (
            MULTIPART,
            multipart(FILE, part("model", b"a"), FILE),
            multipart(FILE, part("model", b"b/c &d"), FILE),
        ),
    ],
)
def test_replace_changes_nothing_else(content_type: str, body: bytes, expected: bytes) -> None:
    field = find_field(body, content_type, "model")
    assert field is not None
    assert field.replace(body, "b/c &d") == expected


_content_types = st.sampled_from([URLENCODED, MULTIPART]) | st.text(max_size=30).map(
    lambda text: "multipart/form-data; boundary" + text
)
_fragments = [
    b"--b",
    b"--",
    b"\r\n",
    b"\r\n--b",
    b"\r\n\r\n",
    b'Content-Disposition: form-data; name="model"',
    b"Content-Disposition: form-data; name*=utf-8''model",
    b"Content-Disposition: ",
    b"; name*0=mo; name*1=del",
    b"; filename=",
    b"model=",
    b"&",
    b"%",
    b"%ff",
    b"=",
    b"a",
    b"\xff",
    b"\x00",
]
_bodies = st.binary() | st.lists(st.sampled_from(_fragments), max_size=20).map(b"".join)


@settings(deadline=None, max_examples=300)
@given(_content_types, _bodies)
def test_no_body_raises_anything_but_a_value_error(content_type: str, body: bytes) -> None:
    try:
        field = find_field(body, content_type, "model")
    except ValueError:
        return
    if field is not None:
        assert field.value.strip()
        changed = field.replace(body, "new")
        assert changed.startswith(body[: field.start])
        assert changed.endswith(body[field.end :])


_text = st.text(alphabet=st.characters(exclude_categories=["Cs", "Cc"]), min_size=1).filter(str.strip)


@settings(deadline=None)
@given(st.sampled_from([URLENCODED, MULTIPART]), _text)
def test_a_replaced_value_is_read_back(content_type: str, value: str) -> None:
    body = b"x=1&model=a&y=2" if content_type == URLENCODED else multipart(FILE, part("model", b"a"), FILE)
    field = find_field(body, content_type, "model")
    assert field is not None
    again = find_field(field.replace(body, value), content_type, "model")
    assert again is not None
    assert again.value == value


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ('multipart/form-data; x="' + ";" * 200_000, b""),
        (MULTIPART, multipart(*[part('"' + ";" * 60_000, b"a")] * 60)),
        (MULTIPART, b"\r\n--b" * 500_000),
        (MULTIPART, b"\r\n--" * 500_000),
        (MULTIPART, b"--b" + b"\r\n\r" * 500_000),
        (MULTIPART, b"--b" + b"\r\n" * 500_000 + b"\r\n--b--"),
        (URLENCODED, b"&" * 2_000_000),
        (URLENCODED, b"%6d" * 500_000 + b"="),
    ],
    ids=lambda value: repr(value[:24]),
)
def test_a_hostile_form_takes_no_quadratic_time(content_type: str, body: bytes) -> None:
    try:
        find_field(body, content_type, "model")
    except ValueError:
        return
