import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from litellm_hybrid.message import json as lenient
from litellm_hybrid.message.json import NotJSONError, decode, has_many_parts, read

DEEP = b"[" * 100_000 + b"]" * 100_000
# More digits than Python turns into an int, more exponent than a float has.
LONG_TURNS = b'[{"model":"z","content":"' + b"x" * 9999 + b'"},{"model":"z"}]'
LONG_NUMBER = b"1" * 5000


def read_strings(body: bytes) -> dict[str, str]:
    return read(body).strings("model", "agent", "previous_response_id")


def replace(body: bytes, member: str, value: str) -> bytes:
    return read(body).put({member: value})


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"model": "gpt-5"}', {"model": "gpt-5"}),
        (b'{"model": "claude-3-opus"}', {"model": "claude-3-opus"}),
        (b"{}", {}),
        (b' \r\n\t{"model":"a"}\n ', {"model": "a"}),
        (b'{"model":" a "}', {"model": " a "}),
        (
            b'{"model":"a","agent":"b","previous_response_id":"c"}',
            {"model": "a", "agent": "b", "previous_response_id": "c"},
        ),
        # anything but a non-blank string counts as absent
        (b'{"model":null}', {}),
        (b'{"model":5}', {}),
        (b'{"model":["a"]}', {}),
        (b'{"model":{"name":"a"}}', {}),
        (b'{"model":true}', {}),
        (b'{"model":""}', {}),
        (b'{"model":" \\t\\n"}', {}),
        # other spellings of the key, other places
        (b'{"Model":"a","MODEL":"b"}', {}),
        (b'{"x":{"model":"a"}}', {}),
        (b'{"x":"\\"model\\":\\"a\\""}', {}),
        (b'{"mod\\u0065l":"a"}', {"model": "a"}),
        # of duplicate keys the last wins, of `model` the first, also if it is no string
        (b'{"agent":"a","agent":"b"}', {"agent": "b"}),
        (b'{"model":"a","model":"b"}', {"model": "a"}),
        (b'{"x":{"model":"z"},"model":"a","model":"b"}', {"model": "a"}),
        (b'{"model":"a","model":5}', {"model": "a"}),
        (b'{"model":5,"model":"a"}', {}),
        # on both sides of a long member, behind it, before it, and within it
        (b'{"model":"a","messages":' + LONG_TURNS + b',"model":"b"}', {"model": "a"}),
        (b'{"messages":' + LONG_TURNS + b',"model":"a","model":"b"}', {"model": "a"}),
        (b'{"model":"a","model":"b","messages":' + LONG_TURNS + b"}", {"model": "a"}),
        (b'{"messages":' + LONG_TURNS + b',"model":"b"}', {"model": "b"}),
        (b'{"model":"a","messages":1,"messages":' + LONG_TURNS + b',"model":"b"}', {"model": "a"}),
        # JSON, but no object
        (b"[]", {}),
        (b'["model"]', {}),
        (b'"model"', {}),
        (b"5", {}),
        (b"null", {}),
        # text
        (b'{"model":"gr\\u00fcn"}', {"model": "grün"}),
        ('{"model":"grün"}'.encode(), {"model": "grün"}),
        (b'{"model":"\\ud83d\\ude00"}', {"model": "\U0001f600"}),
        (b'{"model":"a","x":' + LONG_NUMBER + b"}", {"model": "a"}),
        (b'{"model":"a","x":1e999999}', {"model": "a"}),
    ],
)
def test_read_strings(body: bytes, expected: dict[str, str]) -> None:
    assert read_strings(body) == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"x":"\\ud83d","model":"a"}', {"model": "a"}),
        (b'{"model":"a","x":"\\ude00\\ud83d"}', {"model": "a"}),
        (b'{"x":["\\ud83d"],"model":"a","model":"b"}', {"model": "a"}),
        (b'{"x":"\\ud83d","model":"a","model":5}', {"model": "a"}),
        (b'{"\\ud83d":1,"model":"a"}', {"model": "a"}),
        (b'{"x":"\xff","model":"a"}', {"model": "a"}),
        (b'{"\xff":1,"model":"a"}', {"model": "a"}),
        (b'{"x":"a\x01b\nc","model":"a"}', {"model": "a"}),
        (b'{"x":"\\ud83d\x01\n","model":"a"}', {"model": "a"}),
        (b' { "x" : "\\ud83d" , "model" : "a" } ', {"model": "a"}),
        (b'{"model":"a\\ud83d"}', {"model": "a\ufffd"}),
        (b'{"model":"a\xff"}', {"model": "a\ufffd"}),
        (b'{"x":"\\ud83d"}', {}),
    ],
)
def test_what_javascript_clients_send_is_read_too(body: bytes, expected: dict[str, str]) -> None:
    found = read_strings(body)
    assert found == expected
    assert all(value.encode() for value in found.values())


CLIPROXYAPI_READS = [
    b'{"model":"a"',
    b'{"model":"a",',
    b'{"model":"a",}',
    b'{"model" "a"}',
    b'{"model":"a" "x":1}',
    b'{"model":"a"} x',
    b'{"model":"a"}{"model":"b"}',
    b'{"x":"\\ud83d","model":"a"} x',
    b'{"x":"\\ud83d","model":"a"',
    b'{"x":"\\ud83d" "model":"a"}',
    b'{"x":1,,"model":"a"}',
    b'{"x":NaN,"model":"a"}',
    b'{"x":[1,{"model":"b",},],"model":"a"}',
    b'\xef\xbb\xbf{"model":"a"}',
    b'\0\0{"x":1,\0"model"\0:\0"a"\0}\0',
    b'// the "model"\n{"x":1, /* not "this": */ "model":"a"}',
    b'{"model":/* really */"a"// yes',
    b'{"model":"a","x":' + DEEP + b"}",
    b'{"model":"a","x":' + b"[" * 100_000,
    b'{"x":"\\ud83d","model":"a","y":' + DEEP + b"}",
]


@pytest.mark.parametrize("body", CLIPROXYAPI_READS, ids=lambda body: repr(body[:30]))
def test_what_a_strict_reader_refuses_and_cliproxyapi_serves(body: bytes) -> None:
    members = read(body)
    assert members.strings("model") == {"model": "a"}
    assert members.irregular
    assert read_strings(members.put({"model": "b"})) == {"model": "b"}


LONG = json.dumps([{"messages": [1], "model": "z"}, "x" * 999]).encode()


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"a","x":1,"messages":' + LONG + b',"y":[2]}',
        b' { "messages" \n:\t' + LONG + b' , "model" : "a" , "y" : [ 2 ] } ',
        b'{"mess\\u0061ges":' + LONG + b',"model":"a"}',
        # another of the name: within another member, before it, behind it, the same again
        b'{"y":{"messages":' + LONG[:300] + b'"]},"messages":' + LONG + b',"model":"a"}',
        b'{"y":{"messages":[]},"messages":' + LONG + b',"model":"a"}',
        b'{"y":"\\"messages\\":","messages":' + LONG + b',"model":"a"}',
        b'{"messages":[],"messages":' + LONG + b',"model":"a"}',
        b'{"messages":' + LONG + b',"model":"a","messages":null}',
        b'{"messages":' + LONG + b',"model":"a","messages":' + LONG + b"}",
        b'{"messages":"' + b"x" * 999 + b'","model":"a"}',
        b'{"model":"' + b"x" * 999 + b'","y":1}',
        b'{"y":"' + b"x" * 999 + b'","model":"a"}',
        b'{"y":' + LONG + b"}",
    ],
    ids=lambda body: repr(body[:30]),
)
def test_a_member_is_changed_beside_one_that_most_of_the_body_is(body: bytes) -> None:
    changed = json.loads(replace(body, "model", "b"))
    assert changed == json.loads(body) | {"model": "b"}
    assert [*changed] == [*(json.loads(body) | {"model": "b"})]


@pytest.mark.parametrize(
    ("body", "joined"),
    [
        (b'\xef\xbb\xbf { "model" : "a" , "x" : [ 1 ] } ', b'{"model":"a","x":[ 1 ]}'),
        (b'{"model":"a","x":1,}', b'{"model":"a","x":1}'),
        (b'{"model":"a"}\n{"model":"b"}', b'{"model":"a"}'),
        (b'{"model":"a",/* x */"x":"\\ud83d"}', b'{"model":"a","x":"\\ud83d"}'),
        (b'{"model":"a","model":"b"}', b'{"model":"a"}'),
        (b'{"x":"\\ud83d","model":"a","x":"b","model":"b"}', b'{"x":"b","model":"a"}'),
    ],
)
def test_an_irregular_body_is_joined_anew(body: bytes, joined: bytes) -> None:
    members = read(body)
    assert members.irregular
    assert members.joined() == joined


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"a"}',
        b'{"model":"a","x":"\\ud83d"}',
        b'{"model":"a","tools":{"model":{}}}',
        b'{"model":"a","x":"\xff"}',
        b'{"model":"a","model":"a"}',
    ],
)
def test_a_regular_body_stays_as_it_is(body: bytes) -> None:
    assert not read(body).irregular


NOT_JSON = [
    b"",
    b" ",
    b"invalid",
    b"{",
    b'{"model"',
    b'{"model":',
    b'{"model":"a',
    b"{'model':'a'}",
    b"{model:1}",
    b'{1:"a"}',
    b"{} x",
    b"\xef\xbb\xbf{}",
    b"\x00",
    b"\xff\xfe{\x00}\x00",
    b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\na\r\n--b--',
    b"model=a",
    DEEP,
    b'{"model":"a","x":NaN' + b',"":0' * 6_000 + b"}",
    b'{"x":NaN,"y":[' + b'"",' * lenient.MOST_TOKENS + b'""],"model":"a"}',
]


@pytest.mark.parametrize("body", [b for b in NOT_JSON if b != DEEP], ids=lambda body: repr(body[:30]))
def test_what_is_no_json(body: bytes) -> None:
    with pytest.raises(NotJSONError):
        read_strings(body)


def test_a_new_member_stands_at_the_end() -> None:
    body = b'{"model":"a", "x": 1.0}'
    assert read(body).put({"y": {"z": None}, "model": "b"}) == b'{"model":"b","x":1.0,"y":{"z":null}}'


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"a",' + b'"":0,' * 100_000 + b'"x":1}',
        b'{"model":"a","x":{' + b",".join(b'"%x":0' % number for number in range(100_000)) + b"}}",
    ],
)
def test_too_many_members_are_not_read(body: bytes) -> None:
    """800,000 in 4 MB took gigabytes and half a second; those of a history count for nothing."""
    with pytest.raises(NotJSONError):
        lenient.read(body)
    assert lenient.read(b'{"model":"a","messages":[' + body + b"]}").has("messages")


def test_a_sane_depth_is_no_problem() -> None:
    nested = b"[" * 200 + b"]" * 200
    body = b'{"model":"a","x":' + nested + b"}"
    assert read_strings(body) == {"model": "a"}
    assert replace(body, "model", "b") == b'{"model":"b","x":' + nested + b"}"


# What a re-encoding would change: numbers, escapes, blanks, order, text that is no Unicode.
OTHERS = [
    b"1.0",
    b"1e5",
    b"-0.0",
    b"100000000000000000000000000000000001",
    LONG_NUMBER,
    b"1e999999",
    b'"\\u00fc\\/\\n"',
    '"ü"'.encode(),
    b"[ 1 ,2 ]",
    b'{"z": 1, "a": {"model": "x"}}',
    b"null",
    b'"\xff"',
    b'"\\ud83d"',
]


@pytest.mark.parametrize("value", ["b", 'q"\\\n', "grün \U0001f600"])
@pytest.mark.parametrize("other", [o for o in OTHERS if b"ud83d" not in o])
def test_replace_keeps_the_other_members_byte_for_byte(other: bytes, value: str) -> None:
    body = b'{"z":' + other + b',"model":"a","a":' + other + b"}"
    changed = replace(body, "model", value)
    assert changed.startswith(b'{"z":' + other + b',"model":')
    assert changed.endswith(b',"a":' + other + b"}")
    assert read_strings(changed) == {"model": value}


@pytest.mark.parametrize("odd", [b'"\\ud83d"', b'"a\x01"', b'"\\ude00x"'])
def test_replace_keeps_what_the_fast_parser_refuses(odd: bytes) -> None:
    body = b' { "x" : ' + odd + b' , "model" : "a" , "y" : "\xff" } '
    assert replace(body, "model", "b") == b'{"x":' + odd + b',"model":"b","y":"\xff"}'


def test_replace_keeps_a_key_that_is_no_utf8() -> None:
    assert replace(b'{"\xff":1,"model":"a"}', "model", "b") == b'{"\xff":1,"model":"b"}'


@pytest.mark.parametrize("extra", [b"", b'"x":"\\ud83d",'])
def test_of_duplicate_keys_the_one_that_counts_is_replaced(extra: bytes) -> None:
    changed = replace(b"{" + extra + b'"model":"a","model":"b"}', "model", "c")
    assert json.loads(changed)["model"] == "c"
    assert read_strings(changed) == {"model": "c"}


_json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)
_objects = st.dictionaries(st.text(max_size=8).filter(lambda key: key != "model"), _json_values, max_size=6)


@settings(deadline=None)
@given(
    _objects,
    st.text(),
    st.text(alphabet=st.characters(exclude_categories=["Cs"])),
    st.booleans(),
    st.booleans(),
)
def test_replace_changes_only_the_model(
    others: dict[str, Any], model: str, value: str, escaped: bool, odd: bool
) -> None:
    before = others | {"model": model} | ({"odd": "\ud83d"} if odd else {})
    body = json.dumps(before, ensure_ascii=escaped or odd).encode("utf-8", "surrogatepass")
    changed = replace(body, "model", value)
    after = json.loads(changed)
    assert after.pop("model") == value
    assert after == {key: member for key, member in json.loads(body).items() if key != "model"}
    for key, member in before.items():
        if key != "model":
            raw = json.dumps(member, ensure_ascii=escaped or odd).encode("utf-8", "surrogatepass")
            assert raw in changed


_fragments = [
    b"{",
    b"}",
    b"[",
    b"]",
    b'"',
    b"\\",
    b"\\ud83d",
    b"\\u00",
    b'"model"',
    b":",
    b",",
    b'"a"',
    b"1",
    b"-",
    b"1e9",
    b"NaN",
    b"\xff",
    b" ",
    b"\x00",
    b"true",
]
_any_body = st.binary() | st.lists(st.sampled_from(_fragments), max_size=20).map(b"".join)


@settings(deadline=None, max_examples=300)
@given(_any_body | _any_body.map(lambda body: b'{"x":"\\ud83d","model":"a",' + body + b"}"))
def test_no_body_raises_anything_else(body: bytes) -> None:
    try:
        found = read_strings(body)
    except NotJSONError:
        found = {}
    if "model" in found:
        assert read_strings(replace(body, "model", "new"))["model"] == "new"


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "body",
    [
        b'{"x":"\\ud83d"' + b',"a":1' * 60_000 + b"}",
        b'{"x":"\\ud83d"' + b" " * 2_000_000 + b"}",
        b'{"x":"\\ud83d","y":"' + b'\\"' * 1_000_000,
        b'{"x":"\\ud83d",' + b'"a"//' * 500_000,
        b'{"x":"\\ud83d",' + b'"a"/*' * 500_000,
        b"/*" * 1_000_000 + b"{",
        b'{"x":NaN' + b',"model":"a"' * 300_000,
        b'{"m":NaN' + b',"":0' * 800_000,
        b'{"model":[NaN' + b",0" * 1_000_000,
        b'{"model":"a","model":' + b'[""' * 500_000,
        b'{"model":"a","x":"' + rb"-\ud800" * 500_000,
        b'{"model":"a","x":"\\ud800' + rb"\n" * 2_000_000,
        b'{"model":"a","x":NaN,"y":[' + b'"",' * 1_000_000,
        b'{"model":"a","y":[' + b"0 " * 2_000_000,
        b"\xff" * 4_000_000,
        b" " * 4_000_000,
    ],
    ids=lambda body: repr(body[-12:]),
)
def test_a_hostile_body_takes_no_quadratic_time(body: bytes) -> None:
    for work in (lambda: read_strings(body), lambda: replace(body, "model", "b")):
        try:
            work()
        except NotJSONError:
            continue


@pytest.mark.parametrize(
    ("written", "value"),
    [
        (rb'["\ud83d"]', ["\ufffd"]),
        (rb'"a\ude00\ud83d"', "a\ufffd\ufffd"),
        (rb'"\ud83d\ude00"', "\U0001f600"),
        (rb'"\\ud83d"', r"\ud83d"),
        (rb'"\\ud83d\ude00"', "\\ud83d\ufffd"),
        (rb'"\\\ud83d"', "\\\ufffd"),
        (rb'"\ud83d\ud83d\ude00\ude00"', "\ufffd\U0001f600\ufffd"),
        (b'"a\xffb"', "a\ufffdb"),
        (b'"a\nb"', "a\nb"),
        ('"a\ud83d"', "a\ufffd"),
        (b"{", None),
        (DEEP, None),
    ],
)
def test_what_is_no_character_is_read_as_a_replacement(written: str | bytes, value: object) -> None:
    assert decode(written) == value


@pytest.mark.parametrize("sign", [b",", b"[", b"{"])
@pytest.mark.parametrize("most", [10, 1000, 1001, 5000])
@pytest.mark.parametrize("more", [-1, 0, 1])
def test_parts_are_counted(sign: bytes, most: int, more: int) -> None:
    body = sign.join([b"xx"] * (most + more + 1))
    assert has_many_parts(body, most) is (more > 0)
    assert not has_many_parts(b"x" * (3 * most), most)
