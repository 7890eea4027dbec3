"""Every row of the table of states in proxy/stream.py, without sockets."""

import pytest
from mitmproxy import http

from litellm_hybrid.proxy import stream
from unit.proxy.playbook import Clock, Playbook

HEAD = b"POST /v1/messages HTTP/1.1\r\nHost: here\r\nAuthorization: secret\r\n"
REQUEST = HEAD + b"Content-Length: 2\r\n\r\n{}"
QUOTA = b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 5\r\n\r\nquota"
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
JSON = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 4\r\n\r\n"
OPEN_JSON = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"
WHOLE = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
BROKEN_JSON = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\nbroken"

TOO_LONG = f"The body is longer than {stream.MOST_BODY} bytes."

DECIDED = ["hook requestheaders", "hook request"]
UPSTREAM = ["upstream < POST /v1/messages", "upstream < {}"]
LITELLM = ["litellm < POST /v1/messages", "litellm < {}"]
HOOKS = ["hook responseheaders", "hook response"]
OURS = [*HOOKS, "client < 502 Bad Gateway", "client < ours"]
ORIGINAL = [*HOOKS, "client < 429 Too Many Requests", "client < quota"]
SERVED = ["ask on_response 200", "hook responseheaders", "client < 200 OK", "client < hello", "hook response"]


@pytest.fixture
def play() -> Playbook:
    return Playbook(Clock())


def replacement(port: int = 4000) -> http.Request:
    host = "litellm" if port == 4000 else "upstream"
    headers = http.Headers(authorization="secret")
    return http.Request.make("POST", f"http://{host}:{port}/v1/messages", b"{}", headers)


def waiting(play: Playbook) -> Playbook:
    """Its request has gone to upstream."""
    assert play.client(REQUEST) == [*DECIDED, "open upstream"]
    assert play.connected("upstream") == UPSTREAM
    return play


def holding(play: Playbook) -> Playbook:
    """And the head of a JSON response has come."""
    assert waiting(play).server("upstream", JSON) == ["ask on_response 200"]
    return play


def replaying(play: Playbook, first: bytes = QUOTA) -> Playbook:
    """A quota response has come, and the request has gone to LiteLLM."""
    play.rest.replacements = [replacement()]
    waiting(play).server("upstream", first)
    if first is BROKEN_JSON:
        play.wait(45)
    assert play.connected("litellm") == LITELLM
    return play


def streaming(play: Playbook) -> Playbook:
    """The head of an event stream has gone to the client."""
    assert waiting(play).server("upstream", STREAM) == [
        *("ask on_response 200", "hook responseheaders", "client < 200 OK")
    ]
    return play


def is_usable(play: Playbook) -> bool:
    """Whether the same client is served again."""
    seen = play.client(REQUEST)
    return seen[:2] == DECIDED and seen[2].startswith(("open upstream#", "upstream < POST"))


# -- uploading ----------------------------------------------------------------


def test_a_body_that_says_it_is_too_long_is_refused_before_it_comes(play: Playbook) -> None:
    head = HEAD + b"Expect: 100-continue\r\nContent-Length: 99999999999\r\n\r\n"

    assert play.client(head) == [
        *("hook requestheaders", "tell malformed", "hook error"),
        "client < 413 Payload Too Large",
        f'client < {{"error": "request_too_large", "message": "{TOO_LONG}"}}',
        "close client",
    ]
    assert play.is_idle


def test_a_body_that_grows_too_long_is_refused(play: Playbook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "MOST_BODY", 4)
    play.client(HEAD + b"Transfer-Encoding: chunked\r\n\r\n4\r\n1234\r\n")

    seen = play.client(b"1\r\n5\r\n")

    assert seen[:2] == ["tell malformed", "hook error"]
    assert seen[2].startswith("client < 413 ")
    assert seen[-1] == "close client"
    assert play.is_idle


@pytest.mark.parametrize("before", [(), (REQUEST,)], ids=["the first", "a later one"])
def test_a_head_that_comes_too_slowly_is_refused(play: Playbook, before: tuple[bytes, ...]) -> None:
    for request in before:
        play.client(request)
        play.connected("upstream")
        play.server("upstream", WHOLE)
    assert play.wait(3600) == [], "a kept connection may be silent"
    play.client(HEAD[:10])
    for byte in HEAD[10:13]:
        assert play.wait(4) == []
        play.client(bytes([byte]))

    seen = play.wait(9)

    assert seen[0] == "tell malformed"
    assert seen[1] == "client < 408 Request Time-out"
    assert seen[2].startswith('client < {"error": "request_timeout"')
    assert play.is_idle


def test_a_head_that_ends_in_time_has_no_limit_any_more(play: Playbook) -> None:
    play.client(HEAD[:10])
    play.wait(14)
    assert play.client(REQUEST[10:]) == [*DECIDED, "open upstream"]
    assert play.connected("upstream") == UPSTREAM
    assert play.wait(60) == []
    assert play.server("upstream", WHOLE) == SERVED
    assert play.wait(60) == []


def test_an_upload_that_falls_silent_is_refused(play: Playbook) -> None:
    play.client(HEAD + b"Content-Length: 2\r\n\r\n")
    assert play.wait(299) == []
    play.client(b"{")
    assert play.wait(299) == []

    seen = play.wait(6)

    assert seen[:2] == ["tell malformed", "hook error"]
    assert seen[2] == "client < 408 Request Time-out"
    assert seen[3].startswith('client < {"error": "request_timeout"')
    assert play.is_idle


def test_an_upload_that_comes_byte_by_byte_is_refused_once_it_has_taken_too_long(play: Playbook) -> None:
    play.client(HEAD + b"Content-Length: 99\r\n\r\n")
    for _ in range(8):
        assert play.wait(100) == []
        play.client(b" ")
    assert play.wait(90) == []

    seen = play.wait(16)

    assert seen[2] == "client < 408 Request Time-out"
    assert seen[3].startswith('client < {"error": "request_timeout"')
    assert "not all of it within 900 s" in seen[3]
    assert play.is_idle


def test_a_whole_upload_ends_its_limit(play: Playbook) -> None:
    play.client(HEAD + b"Content-Length: 2\r\n\r\n{")
    play.wait(299)

    assert play.client(b"}") == ["hook request", "open upstream"]
    assert play.wait(9) == []


# -- deciding -----------------------------------------------------------------


def test_a_response_of_the_request_hook_is_sent(play: Playbook) -> None:
    def refuse(flow: http.HTTPFlow) -> None:
        flow.response = http.Response.make(403, b"no")

    play.hooks["request"] = refuse

    assert play.client(REQUEST) == [*DECIDED, *HOOKS, "client < 403 Forbidden", "client < no"]
    assert play.is_idle


def test_a_request_that_nobody_decided_on_goes_nowhere(play: Playbook) -> None:
    play.rest.decided = False

    assert play.client(REQUEST) == [
        *DECIDED,
        *("tell failed internal error", "ask on_failure internal error"),
        *OURS,
    ]


# -- connecting ---------------------------------------------------------------


def test_a_refused_connect_is_answered_and_forgotten(play: Playbook) -> None:
    play.client(REQUEST)

    assert play.refused("upstream") == ["tell failed connect failed", "ask on_failure connect failed", *OURS]
    assert play.is_idle
    assert is_usable(play)


def test_a_refused_connect_is_replaced(play: Playbook) -> None:
    play.rest.replacements = [replacement()]
    play.client(REQUEST)

    assert play.refused("upstream")[1:] == ["ask on_failure connect failed", "open litellm"]
    assert play.connected("litellm") == LITELLM
    assert play.server("litellm", WHOLE) == SERVED


def test_a_connect_that_takes_too_long_is_given_up(play: Playbook) -> None:
    play.client(REQUEST)
    assert play.wait(9) == []

    assert play.wait(1) == [
        *("close upstream", "tell failed connect limit", "ask on_failure connect limit"),
        *OURS,
    ]
    assert play.is_idle


# -- waiting for the head -------------------------------------------------------


def test_a_server_that_closes_before_its_head(play: Playbook) -> None:
    assert waiting(play).server_closes("upstream") == [
        *("close upstream", "tell failed server closed the connection"),
        *("ask on_failure server closed the connection", *OURS),
    ]
    assert is_usable(play)


@pytest.mark.parametrize(
    ("head", "cause"),
    [
        (b"HTTP/1.1 two hundred\r\n\r\n", "server broke the protocol"),
        (b"HTTP/1.1 200 OK\r\nX: a\x00b\r\n\r\n", "server broke the protocol"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "server broke the protocol"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "answer refused"),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", "answer refused"),
    ],
)
def test_a_head_that_is_no_http(play: Playbook, head: bytes, cause: str) -> None:
    waiting(play).rest.hold_for = 0

    seen = [line for line in play.server("upstream", head) if not line.startswith("ask on_response")]

    assert seen == ["close upstream", f"tell failed {cause}", f"ask on_failure {cause}", *OURS]
    assert is_usable(play)


def test_a_head_that_does_not_come(play: Playbook) -> None:
    assert waiting(play).wait(599) == []

    assert play.wait(1) == [
        *("close upstream", "tell failed first-byte limit", "ask on_failure first-byte limit"),
        *OURS,
    ]
    assert is_usable(play)


def test_a_head_that_does_not_come_is_replaced(play: Playbook) -> None:
    play.rest.replacements = [replacement()]

    assert waiting(play).wait(600) == [
        *("close upstream", "tell failed first-byte limit", "ask on_failure first-byte limit"),
        "open litellm",
    ]
    assert play.connected("litellm") == LITELLM
    assert play.server("upstream", WHOLE) == [], "it was dropped"
    assert play.server("litellm", WHOLE) == SERVED


def served_once(play: Playbook) -> Playbook:
    """A request has been served, and a second one has gone out on the kept connection."""
    assert waiting(play).server("upstream", WHOLE) == SERVED
    assert play.client(REQUEST) == [*DECIDED, *UPSTREAM]
    return play


def test_a_request_that_is_lost_with_a_kept_connection_is_sent_again_once(play: Playbook) -> None:
    assert served_once(play).server_closes("upstream") == [
        *("close upstream", "tell sent_again", "open upstream#2")
    ]
    assert play.connected("upstream#2") == ["upstream#2 < POST /v1/messages", "upstream#2 < {}"]

    assert play.server_closes("upstream#2")[:2] == [
        *("close upstream#2", "tell failed server closed the connection")
    ]


def test_a_request_that_was_sent_again_is_served(play: Playbook) -> None:
    served_once(play).server_closes("upstream")
    play.connected("upstream#2")

    assert play.server("upstream#2", WHOLE) == SERVED
    assert play.client(REQUEST) == [*DECIDED, "upstream#2 < POST /v1/messages", "upstream#2 < {}"]
    assert play.server_closes("upstream#2") == ["close upstream#2", "tell sent_again", "open upstream#3"]


def test_a_request_that_its_server_has_had_for_a_while_is_not_sent_again(play: Playbook) -> None:
    """It may have been worked on, and paid."""
    served_once(play).wait(2)

    assert play.server_closes("upstream")[:2] == [
        *("close upstream", "tell failed server closed the connection")
    ]


@pytest.mark.parametrize("begun", [b"H", b"HTTP/1.1 103 Early Hints\r\n\r\n"])
def test_a_request_of_which_a_response_had_begun_is_not_sent_again(play: Playbook, begun: bytes) -> None:
    served_once(play).server("upstream", begun)

    assert play.server_closes("upstream")[:2] == [
        *("close upstream", "tell failed server closed the connection")
    ]


def test_a_client_that_leaves_is_not_asked_for_again(play: Playbook) -> None:
    served_once(play)

    assert play.client_leaves() == ["tell failed client left", "close upstream", "hook error"]
    assert play.is_idle


def test_the_policys_own_limit_for_the_head_replaces_a_request(play: Playbook) -> None:
    play.rest.soft_limit = 10
    play.rest.replacements = [replacement()]
    assert waiting(play).wait(9) == []

    assert play.wait(1) == ["ask on_failure first-byte limit", "close upstream", "open litellm"]
    assert play.connected("litellm") == LITELLM
    assert play.server("upstream", WHOLE) == [], "it was dropped"
    assert play.wait(599) == [], "LiteLLM has its own time"
    assert play.server("litellm", WHOLE) == SERVED


def test_without_a_replacement_the_wait_goes_on(play: Playbook) -> None:
    play.rest.soft_limit = 10

    assert waiting(play).wait(10) == ["ask on_failure first-byte limit"]
    assert play.wait(589) == []
    assert play.server("upstream", WHOLE) == SERVED


def test_without_a_replacement_the_configured_limit_holds(play: Playbook) -> None:
    play.rest.soft_limit = 10
    waiting(play).wait(10)

    assert play.wait(590)[:2] == ["close upstream", "tell failed first-byte limit"]


def test_a_replacement_after_the_policys_limit_that_fails_gives_our_error(play: Playbook) -> None:
    play.rest.soft_limit = 10
    play.rest.replacements = [replacement()]
    waiting(play).wait(10)

    assert play.refused("litellm") == ["tell replay_failed network_error, 502 stands", *OURS]
    assert is_usable(play)


def test_an_interim_response_is_no_head(play: Playbook) -> None:
    assert waiting(play).server("upstream", b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n") == []
    assert play.server("upstream", WHOLE) == SERVED


def test_a_head_is_passed_on_before_its_body(play: Playbook) -> None:
    streaming(play)

    assert play.server("upstream", b"2\r\nhi\r\n") == ["client < 2/hi/"]
    assert play.server("upstream", b"0\r\n\r\n") == ["hook response", "client < 0//"]
    assert play.is_idle
    assert is_usable(play)


# -- holding --------------------------------------------------------------------


def test_what_is_held_is_released_once_it_is_an_answer(play: Playbook) -> None:
    assert holding(play).server("upstream", b"f") == []
    assert play.server("upstream", b"in") == []

    assert play.server("upstream", b"e") == [
        *("hook responseheaders", "client < 200 OK", "client < fine", "hook response")
    ]
    assert is_usable(play)


def test_what_is_held_is_released_whole_at_its_end(play: Playbook) -> None:
    assert holding(play).server("upstream", b"{}{}") == [*HOOKS, "client < 200 OK", "client < {}{}"]
    assert is_usable(play)


def test_a_failure_that_is_not_replaced_is_released(play: Playbook) -> None:
    assert waiting(play).server("upstream", QUOTA) == [
        *("ask on_response 429", "ask on_failed_response 429 quota"),
        *ORIGINAL,
    ]
    assert is_usable(play)


def test_a_failure_is_replaced(play: Playbook) -> None:
    play.rest.replacements = [replacement()]

    assert waiting(play).server("upstream", QUOTA) == [
        *("ask on_response 429", "ask on_failed_response 429 quota", "open litellm")
    ]
    assert play.connected("litellm") == LITELLM
    assert play.server("litellm", WHOLE) == SERVED
    assert play.is_idle
    assert is_usable(play)


def test_a_replay_is_told_before_its_connection_is_waited_for_and_once_it_is_sent(play: Playbook) -> None:
    play.rest.replacements, play.rest.tells_replays = [replacement()], True
    told = "tell replay_begun"

    assert waiting(play).server("upstream", QUOTA)[-2:] == [told, "open litellm"]
    assert play.connected("litellm") == [*LITELLM, told]


def test_a_failure_whose_end_does_not_come_is_replaced_and_its_rest_ignored(play: Playbook) -> None:
    play.rest.replacements = [replacement()]
    waiting(play).server("upstream", BROKEN_JSON)
    assert play.wait(44) == []

    assert play.wait(1) == ["ask on_failed_response 200 broken", "close upstream", "open litellm"]
    assert play.server("upstream", b"rest") == []
    assert play.connected("litellm") == LITELLM
    assert play.server("litellm", WHOLE) == SERVED


def test_what_is_held_for_too_long_is_released(play: Playbook) -> None:
    assert holding(play).server("upstream", b"{") == []
    assert play.wait(44) == []

    assert play.wait(1) == [
        *("tell hold_limit_reached", "hook responseheaders", "client < 200 OK", "client < {")
    ]
    assert play.server("upstream", b"}  ") == ["client < }  ", "hook response"]


def test_an_answer_that_breaks_off_while_it_is_held_is_released_and_cut(play: Playbook) -> None:
    holding(play).server("upstream", b"{")

    assert play.server_closes("upstream") == [
        *("close upstream", "hook responseheaders", "client < 200 OK", "client < {"),
        *("tell failed server closed the connection, begun", "hook error", "close client"),
    ]
    assert play.is_idle


def test_a_failure_that_breaks_off_while_it_is_held_is_replaced(play: Playbook) -> None:
    play.rest.replacements = [replacement()]
    waiting(play).server("upstream", BROKEN_JSON)

    assert play.server_closes("upstream") == [
        *("close upstream", "ask on_failed_response 200 broken", "open litellm")
    ]


def test_an_error_that_breaks_off_while_it_is_held_is_judged_by_its_status(play: Playbook) -> None:
    play.rest.replacements = [replacement()]
    waiting(play).server("upstream", QUOTA[:-1])

    assert play.server_closes("upstream") == [
        *("close upstream", "ask on_failed_response 429 quot", "open litellm")
    ]


@pytest.mark.parametrize(
    ("begun", "status"), [(QUOTA[:-1], "429 Too Many Requests"), (BROKEN_JSON, "200 OK")]
)
def test_a_failure_that_breaks_off_and_is_not_replaced_is_cut(
    play: Playbook, begun: bytes, status: str
) -> None:
    waiting(play).server("upstream", begun)

    asked, *seen = play.server_closes("upstream")[1:]

    assert asked.startswith("ask on_failed_response")
    assert seen[:3] == [
        "tell failed server closed the connection",
        "hook responseheaders",
        f"client < {status}",
    ]
    assert seen[-2:] == ["hook error", "close client"]
    assert play.is_idle


def test_an_error_that_breaks_off_and_whose_status_says_nothing_is_no_answer(play: Playbook) -> None:
    waiting(play).server("upstream", QUOTA.replace(b"429", b"400")[:-1])

    assert play.server_closes("upstream") == [
        *("close upstream", "tell failed server closed the connection"),
        *("ask on_failure server closed the connection", *OURS),
    ]


def test_an_answer_that_falls_silent_while_it_is_held(play: Playbook) -> None:
    play.rest.hold_for = 1e6
    holding(play).server("upstream", b"{")

    assert play.wait(300) == [
        *("close upstream", "hook responseheaders", "client < 200 OK", "client < {"),
        *("tell failed idle limit, begun", "hook error", "close client"),
    ]


# -- replaying --------------------------------------------------------------------


def test_a_replay_is_streamed(play: Playbook) -> None:
    assert replaying(play).server("litellm", STREAM) == [
        *("ask on_response 200", "hook responseheaders", "client < 200 OK")
    ]
    assert play.server("litellm", b"2\r\nhi\r\n") == ["client < 2/hi/"]
    assert play.server("litellm", b"0\r\n\r\n") == ["hook response", "client < 0//"]


def test_a_replay_that_is_refused_gives_the_first_response_back(play: Playbook) -> None:
    head = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 2\r\n\r\nno"

    assert replaying(play).server("litellm", head) == [
        *("ask on_response 500", "ask on_failed_response 500 no", "tell replay_failed 500, 429 stands"),
        *ORIGINAL,
    ]
    assert play.is_idle
    assert is_usable(play)


def refused_twice(play: Playbook) -> Playbook:
    """LiteLLM has refused the replay, which was sent again, on a new connection, and once more."""
    replaying(play)
    play.rest.replacements = [replacement(), replacement()]
    for number, again in ((1, 2), (2, 3)):
        name = f"litellm#{number}" if number > 1 else "litellm"
        head = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 1\r\n\r\n%d" % number
        assert play.server(name, head) == [
            *("ask on_response 400", f"ask on_failed_response 400 {number}", f"open litellm#{again}")
        ]
        assert play.connected(f"litellm#{again}") == [
            line.replace("litellm", f"litellm#{again}") for line in LITELLM
        ]
    return play


def test_a_replay_that_is_refused_is_sent_again_while_the_policy_knows_how(play: Playbook) -> None:
    assert refused_twice(play).server("litellm#3", STREAM) == [
        *("ask on_response 200", "hook responseheaders", "client < 200 OK")
    ]
    play.server("litellm#3", b"0\r\n\r\n")
    assert is_usable(play)


def test_a_replay_that_is_refused_for_good_gives_the_first_response_back(play: Playbook) -> None:
    head = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 1\r\n\r\n3"
    assert refused_twice(play).server("litellm#3", head) == [
        *("ask on_response 400", "ask on_failed_response 400 3", "tell replay_failed 400, 429 stands"),
        *ORIGINAL,
    ]
    assert play.is_idle


def test_a_client_that_leaves_ends_the_attempts(play: Playbook) -> None:
    """Also where a further one would be known."""
    play.rest.replacements = []
    assert refused_twice(play).client_leaves() == [
        *("tell failed client left", "close litellm#3", "hook error")
    ]
    play.rest.replacements = [replacement()]
    assert play.server("litellm#3", b"HTTP/1.1 400 Bad Request\r\nContent-Length: 1\r\n\r\n3") == []
    assert play.is_idle


@pytest.mark.parametrize("begun", [b"", b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 9\r\n\r\nno"])
def test_a_replay_that_breaks_off_gives_the_first_response_back(play: Playbook, begun: bytes) -> None:
    replaying(play).server("litellm", begun)

    seen = play.server_closes("litellm")

    assert seen == ["close litellm", "tell replay_failed network_error, 429 stands", *ORIGINAL]


def test_a_replay_without_a_connection_gives_the_first_response_back(play: Playbook) -> None:
    play.rest.replacements = [replacement()]
    waiting(play).server("upstream", QUOTA)

    assert play.refused("litellm") == ["tell replay_failed network_error, 429 stands", *ORIGINAL]
    assert is_usable(play)


def test_a_replay_that_does_not_begin_gives_the_first_response_back(play: Playbook) -> None:
    assert replaying(play).wait(600) == [
        *("close litellm", "tell replay_failed timeout, 429 stands"),
        *ORIGINAL,
    ]


def test_a_first_response_without_its_end_is_given_back_as_cut(play: Playbook) -> None:
    replaying(play, BROKEN_JSON)
    no = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 2\r\n\r\nno"

    assert play.server("litellm", no)[2:] == [
        *("tell replay_failed 500, 200 stands", "hook responseheaders"),
        *("client < 200 OK", "client < broken", "hook error", "close client"),
    ]
    assert play.is_idle


def test_a_replacement_for_the_same_server_has_a_connection_of_its_own(play: Playbook) -> None:
    play.rest.replacements = [replacement(8317)]

    assert waiting(play).server("upstream", QUOTA)[-1] == "open upstream#2"
    assert play.connected("upstream#2") == ["upstream#2 < POST /v1/messages", "upstream#2 < {}"]
    assert play.server("upstream#2", WHOLE) == SERVED


# -- streaming ----------------------------------------------------------------------


def test_a_stream_that_falls_silent_is_cut(play: Playbook) -> None:
    streaming(play).server("upstream", b"2\r\nhi\r\n")
    assert play.wait(299) == []
    play.server("upstream", b"2\r\nho\r\n")
    assert play.wait(299) == []

    assert play.wait(6) == ["close upstream", "tell failed idle limit, begun", "hook error", "close client"]
    assert play.is_idle


def test_a_stream_that_ends_without_its_end_is_cut(play: Playbook) -> None:
    streaming(play).server("upstream", b"2\r\nhi\r\n")

    assert play.server_closes("upstream") == [
        *("close upstream", "tell failed server closed the connection, begun", "hook error", "close client")
    ]
    assert play.is_idle


def test_a_stream_that_is_not_chunked_is_cut(play: Playbook) -> None:
    streaming(play)

    assert play.server("upstream", b"nonsense\r\n") == [
        *("close upstream", "tell failed server broke the protocol, begun", "hook error", "close client")
    ]


# -- in any state, the client leaves ---------------------------------------------------


def test_a_client_leaves_during_its_upload(play: Playbook) -> None:
    play.client(HEAD + b"Content-Length: 2\r\n\r\n{")

    assert play.client_leaves() == ["tell failed client left", "hook error"]
    assert play.is_idle


def test_a_client_leaves_while_its_request_is_decided_on(play: Playbook) -> None:
    play.paused = {"request"}
    play.client(REQUEST)
    assert play.client_leaves() == []

    assert play.resume() == ["tell failed client left", "hook error"]
    assert play.is_idle


def test_a_client_leaves_while_connecting(play: Playbook) -> None:
    play.client(REQUEST)
    assert play.client_leaves() == []

    assert play.connected("upstream") == ["close upstream", "tell failed client left", "hook error"]
    assert play.is_idle


def test_a_client_leaves_while_connecting_in_vain(play: Playbook) -> None:
    play.client(REQUEST)
    play.client_leaves()

    assert play.refused("upstream") == ["tell failed client left", "hook error"]
    assert play.is_idle


@pytest.mark.parametrize("state", [waiting, holding, replaying, streaming])
def test_a_client_leaves_a_server_that_is_running(play: Playbook, state: object) -> None:
    assert callable(state)
    state(play)
    server = "litellm" if state is replaying else "upstream"
    begun = ", begun" if state is streaming else ""

    assert play.client_leaves() == [f"tell failed client left{begun}", f"close {server}", "hook error"]
    assert play.is_idle
    assert play.server(server, WHOLE) == []


def test_a_client_leaves_while_a_response_is_looked_at(play: Playbook) -> None:
    play.paused = {"responseheaders"}
    waiting(play).server("upstream", WHOLE)
    play.client_leaves()

    assert play.resume() == ["tell failed client left", "hook error"]
    assert play.is_idle


def test_a_client_leaves_the_replacement_of_a_request_that_failed(play: Playbook) -> None:
    play.rest.replacements = [replacement()]
    play.client(REQUEST)
    play.refused("upstream")
    play.connected("litellm")

    assert play.client_leaves() == ["tell failed client left", "close litellm", "hook error"]
    assert play.is_idle


# -- beside the table ---------------------------------------------------------------------


@pytest.mark.parametrize("state", [waiting, holding, replaying, streaming])
def test_a_flow_shows_no_credentials_once_its_request_has_gone_out(play: Playbook, state: object) -> None:
    assert callable(state)
    state(play)

    assert play.rest.flows[-1].request.headers["authorization"] == "***"


def test_time_that_a_hook_takes_is_not_the_clients(play: Playbook) -> None:
    """In mitmweb somebody may look at an intercepted request for an hour."""
    play.paused = {"request"}
    play.client(REQUEST)

    assert play.wait(3600) == []
    assert play.resume() == ["open upstream"]
    assert play.connected("upstream") == UPSTREAM
    assert play.wait(599) == []
    assert play.server("upstream", WHOLE) == SERVED


# -- a client that sends no more ------------------------------------------------------------


def test_a_client_that_half_closes_is_served(play: Playbook) -> None:
    assert waiting(play).client_half_closes() == []

    assert play.wait(5) == []
    assert play.server("upstream", WHOLE) == [*SERVED, "close client"]
    assert play.is_idle


@pytest.mark.parametrize("state", [holding, replaying])
def test_a_client_that_half_closes_is_served_in_any_state(play: Playbook, state: object) -> None:
    assert callable(state)
    state(play)

    assert play.client_half_closes() == []

    if state is holding:
        assert play.server("upstream", b"fine")[1:] == [
            *("client < 200 OK", "client < fine", "hook response", "close client")
        ]
    else:
        assert play.server("litellm", WHOLE) == [*SERVED, "close client"]


def test_a_client_that_half_closes_while_its_request_is_decided_on_is_served(play: Playbook) -> None:
    play.paused = {"request"}
    play.client(REQUEST)
    assert play.client_half_closes() == []

    assert play.resume() == ["open upstream"]
    play.connected("upstream")
    assert play.server("upstream", WHOLE) == [*SERVED, "close client"]


def test_a_client_that_has_left_is_told_from_one_that_half_closed(play: Playbook) -> None:
    play.left = True

    assert waiting(play).client_half_closes() == [
        *("close client", "tell failed client left", "close upstream", "hook error")
    ]


@pytest.mark.parametrize("unknown", [False, True])
def test_a_client_that_leaves_after_it_half_closed_is_noticed(play: Playbook, unknown: bool) -> None:
    play.left = None if unknown else False
    assert waiting(play).client_half_closes() == []
    assert play.wait(10) == []
    play.left = True

    assert play.wait(1) == ["close client", "tell failed client left", "close upstream", "hook error"]
    assert play.is_idle


def test_an_unknown_client_that_half_closes_late_has_left(play: Playbook) -> None:
    play.left = None
    waiting(play).wait(2)

    assert play.client_half_closes()[:2] == ["close client", "tell failed client left"]


# -- HTTP/1.0 -------------------------------------------------------------------------------


OLD = REQUEST.replace(b"HTTP/1.1", b"HTTP/1.0")


def test_an_http_1_0_client_gets_no_chunks(play: Playbook) -> None:
    assert play.client(OLD) == [*DECIDED, "open upstream"]
    assert play.connected("upstream") == UPSTREAM, "in our own version"
    play.server("upstream", STREAM)

    assert play.server("upstream", b"2\r\nhi\r\n") == ["client < hi"]
    assert play.server("upstream", b"0\r\n\r\n") == ["hook response", "close client"]
    assert b"Transfer-Encoding" not in play.sent_to_client


def test_an_http_1_0_client_gets_no_100(play: Playbook) -> None:
    head = OLD.partition(b"\r\n\r\n")[0] + b"\r\nExpect: 100-continue\r\n\r\n"

    assert play.client(head) == ["hook requestheaders"]
    assert play.client(b"{}") == ["hook request", "open upstream"]


def test_a_whole_response_for_an_http_1_0_client_has_no_chunks(play: Playbook) -> None:
    play.client(OLD)
    play.connected("upstream")
    chunked = b"HTTP/1.1 429 Too Many Requests\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nquota\r\n0\r\n\r\n"

    assert play.server("upstream", chunked)[2:] == [*ORIGINAL, "close client"]
