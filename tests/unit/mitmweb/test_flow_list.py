"""mitmweb's list stays within its limit, on mitmproxy's own list."""

from collections.abc import Sequence
from typing import override

import pytest
from mitmproxy import flow as flows
from mitmproxy import http
from mitmproxy.addons.view import View
from mitmproxy.test import tflow

from litellm_hybrid.mitmweb.flow_list import DEFAULT_LIMIT, Keeper, Limit, parse_limit

MB = 1024**2


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        (DEFAULT_LIMIT, Limit(2000, 200 * MB)),
        ("500", Limit(500)),
        ("1GB", Limit(None, 1024 * MB)),
        ("200m", Limit(None, 200 * MB)),
        (" 64 MiB , 10", Limit(10, 64 * MB)),
        ("none", Limit()),
    ],
)
def test_what_the_option_says(text: str, limit: Limit) -> None:
    assert parse_limit(text) == limit


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("", "''"),
        ("many", "'many'"),
        ("0", "'0'"),
        ("0MB", "'0MB'"),
        ("-5", "'-5'"),
        ("2000;200MB", "'2000;200MB'"),
        ("2000,", "''"),
        ("2000,3000", "'3000'"),
        ("1GB,200MB", "'200MB'"),
        ("none,5", "'none'"),
        ("5TB", "'5TB'"),
        ("²", "'²'"),
    ],
)
def test_a_bad_value_is_named(text: str, wrong: str) -> None:
    with pytest.raises(ValueError, match="litellm_view_limit") as error:
        parse_limit(text)
    assert wrong in str(error.value)
    assert repr(text) in str(error.value)
    assert DEFAULT_LIMIT in str(error.value)


class Rows(View):
    """mitmproxy's list, which notes how often it is looked through."""

    def __init__(self) -> None:
        super().__init__()
        self.looks = 0

    @override
    def resolve(self, flow_spec: str) -> Sequence[flows.Flow]:
        self.looks += 1
        found: Sequence[flows.Flow] = super().resolve(flow_spec)
        return found


def _flow(name: str = "", *, body: int = 0, live: bool = False, marked: str = "") -> http.HTTPFlow:
    flow = tflow.tflow(resp=True)
    assert flow.response
    flow.request.data.content = b""
    flow.response.data.content = b"x" * body
    flow.live, flow.marked, flow.comment = live, marked, name
    return flow


def _names(view: View) -> str:
    return "".join(flow.comment for flow in view.resolve("@all"))


def _keeper(rows: int | None = None, size: int | None = None) -> Keeper:
    keeper = Keeper()
    keeper.limit = Limit(rows, size)
    return keeper


def _fill(keeper: Keeper, view: View, *arriving: http.HTTPFlow) -> None:
    for flow in arriving:
        view.add([flow])
        keeper.finished(view, flow)


def test_the_oldest_go_first() -> None:
    view = Rows()
    _fill(_keeper(rows=3), view, *(_flow(name) for name in "abcde"))
    assert _names(view) == "cde"


def test_marked_ones_go_last() -> None:
    view = Rows()
    _fill(_keeper(rows=3), view, _flow("a", marked=":x:"), *(_flow(name) for name in "bcde"))
    assert _names(view) == "ade"


def test_where_all_are_marked_the_oldest_go() -> None:
    view = Rows()
    _fill(_keeper(rows=2), view, *(_flow(name, marked=":x:") for name in "abcd"))
    assert _names(view) == "cd"


def test_running_ones_stay() -> None:
    view = Rows()
    waiting = _flow("w")
    waiting.is_replay, waiting.response = "request", None
    view.add([_flow("r", live=True), waiting])
    _fill(_keeper(rows=2), view, *(_flow(name) for name in "abc"))
    assert _names(view) == "rw"


def test_rows_that_a_filter_hides_count_too() -> None:
    view = Rows()
    view.set_filter_cmd("~m NOTHING")
    _fill(_keeper(rows=2), view, *(_flow(name) for name in "abc"))
    assert (len(view), _names(view)) == (0, "bc")


def test_bodies_count() -> None:
    view = Rows()
    _fill(_keeper(size=100), view, *(_flow(name, body=40) for name in "abc"))
    assert _names(view) == "bc"


def test_what_the_user_has_removed_does_not_count() -> None:
    view, keeper = Rows(), _keeper(size=100)
    _fill(keeper, view, *(_flow(name, body=40) for name in "ab"))
    view.clear()
    _fill(keeper, view, *(_flow(name, body=40) for name in "cd"))
    assert _names(view) == "cd"


def test_what_others_have_put_there_counts_after_a_while() -> None:
    view = Rows()
    view.add([_flow("o", body=1000)])
    _fill(_keeper(rows=12, size=100), view, *(_flow(name, body=1) for name in "abc"))
    assert _names(view) == "abc"


def test_without_a_limit_everything_stays() -> None:
    view = Rows()
    _fill(_keeper(), view, *(_flow(name, body=MB) for name in "abcdefgh"))
    assert (_names(view), view.looks) == ("abcdefgh", 1)


def test_a_long_list_is_seldom_looked_through() -> None:
    view = Rows()
    _fill(_keeper(rows=200, size=MB), view, *(_flow() for _ in range(1000)))
    assert 190 <= len(view) <= 200
    assert view.looks <= 1000 // (200 // 20)


def test_nothing_is_said_to_the_user(caplog: pytest.LogCaptureFixture) -> None:
    view = Rows()
    _fill(_keeper(rows=100), view, *(_flow() for _ in range(120)))
    assert len(view) <= 100
    assert not caplog.records
