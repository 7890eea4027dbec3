from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from litellm_hybrid.message.credentials import (
    Headers,
    is_credential,
    is_oauth,
    presented,
    without_credentials,
)

JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln"


@pytest.mark.parametrize(
    "name",
    [
        "authorization",
        "x-litellm-api-key",
        "api-key",
        "x-api-key",
        "x-goog-api-key",
        "ocp-apim-subscription-key",
        "cookie",
        "proxy-authorization",
        "x-management-key",
        "chatgpt-account-id",
        "x-goog-user-project",
        "openai-organization",
        "x-pass-authorization",
        "x-pass-anything",
        "x-pass-",
    ],
)
@pytest.mark.parametrize("spell", [str.lower, str.upper, str.title])
def test_headers_that_carry_credentials(name: str, spell: Callable[[str], str]) -> None:
    assert is_credential(spell(name).encode())


@pytest.mark.parametrize(
    "name",
    [
        "accept",
        "x-request-id",
        "anthropic-version",
        "anthropic-beta",
        "x-passage",
        "x-api-keys",
        "api-key-id",
        "my-x-pass-a",
    ],
)
def test_other_headers(name: str) -> None:
    assert not is_credential(name.encode())


@pytest.mark.parametrize(
    ("headers", "query", "keys"),
    [
        ([], "", ()),
        ([("Authorization", "Bearer k")], "", ("k",)),
        ([("authorization", "bearer k")], "", ("k",)),
        ([("AUTHORIZATION", "BEARER   k ")], "", ("k",)),
        ([("Authorization", "k")], "", ("k",)),
        ([("Authorization", "Basic k")], "", ("Basic k",)),
        ([("X-Goog-Api-Key", " k ")], "", ("k",)),
        ([("X-Api-Key", "k")], "", ("k",)),
        ([], "key=k", ("k",)),
        ([], "auth_token=k", ("k",)),
        ([], "k%65y=a%2Bb+c", ("a+b c",)),
        # in CLIProxyAPI's order, however they came
        (
            [("x-api-key", "3"), ("x-goog-api-key", "2"), ("authorization", "1")],
            "auth_token=5&key=4",
            ("1", "2", "3", "4", "5"),
        ),
        ([("x-api-key", ""), ("x-api-key", "a"), ("x-api-key", "b")], "", ()),
        # forms that it does not read
        ([("api-key", "k"), ("x-litellm-api-key", "k"), ("cookie", "key=k")], "KEY=k&token=k&key", ()),
        ([("authorization", " "), ("x-api-key", "")], "key=&auth_token=", ()),
        # a line break would start a header of its own on the way to LiteLLM
        ([], "key=k%0D%0AX-Evil:1&auth_token=good", ("good",)),
        ([], "key=k%00", ()),
    ],
)
def test_presented(headers: list[tuple[str, str]], query: str, keys: tuple[str, ...]) -> None:
    fields: Headers = tuple((name.encode(), value.encode()) for name, value in headers)
    assert presented(fields, query) == keys


@pytest.mark.parametrize(
    ("credential", "expected"),
    [
        ("sk-ant-oat01-abc", True),
        ("Bearer sk-ant-oat01-abc", True),
        ("bearer   SK-ANT-OAT01", True),
        (JWT, True),
        ("Bearer " + JWT, True),
        ("Token " + JWT, True),
        ("ya29.a0Af", True),
        ("sk-ant-api03-abc", False),
        ("sk-proj-abc", False),
        ("AIzaSyA", False),
        ("eyJhbGciOiJSUzI1NiJ9", False),
        ("eyJ and. so on.", False),
        ("I like sk-ant-oat01", False),
        ("", False),
    ],
)
def test_is_oauth(credential: str, *, expected: bool) -> None:
    assert is_oauth(credential) is expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ""),
        ("beta=true", "beta=true"),
        ("key=k", ""),
        ("auth_token=k", ""),
        ("alt=sse&key=k", "alt=sse"),
        ("key=k&alt=sse&auth_token=t", "alt=sse"),
        ("KEY=k&Auth_Token=t&a=1", "a=1"),
        ("%6Bey=k&auth%5Ftoken=t&a=1", "a=1"),
        ("key&a=1", "a=1"),
        ("key=a&key=b&a=1", "a=1"),
        (f"access_token={JWT}&a=1", "a=1"),
        ("access_token=ya29.x&a=1", "a=1"),
        ("x=sk-ant%2Doat01-x&a=1", "a=1"),
        ("x=Bearer+sk-ant-oat01-x&a=1", "a=1"),
        # the rest byte for byte
        ("a=%2f+%20&&b;c=d&=&monkey=1", "a=%2f+%20&&b;c=d&=&monkey=1"),
        ("a=\udcff&key=k", "a=\udcff"),
    ],
)
def test_without_credentials(query: str, expected: str) -> None:
    assert without_credentials(query) == expected


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from([b"Authorization", b"x-api-key", b"a"]), st.binary(max_size=20)), max_size=4
    ),
    st.text(alphabet="key=auth_token&%0aA\udcff+; eyJ.", max_size=40),
)
def test_no_request_raises_and_no_key_could_start_a_header(
    headers: list[tuple[bytes, bytes]], query: str
) -> None:
    for key in presented(headers, query):
        assert key
        assert not set(key.encode("utf-8", "surrogateescape")) & {0, 10, 13}
    assert presented((), without_credentials(query)) == ()


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "text", ["eyJ" * 300_000, "bearer " * 150_000, "a" * 1_000_000, " " * 1_000_000, "a&" * 300_000]
)
def test_a_hostile_value_takes_no_quadratic_time(text: str) -> None:
    is_oauth(text)
    without_credentials(text)
    presented([(b"authorization", text.encode())], text)
