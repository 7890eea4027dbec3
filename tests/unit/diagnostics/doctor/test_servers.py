"""No response, or that of another program."""

import pytest

from litellm_hybrid.config.settings import Address, Secret, Settings
from litellm_hybrid.diagnostics.doctor import servers
from litellm_hybrid.diagnostics.doctor.probes import (
    ConnectFailure,
    FailureKind,
    ProbeResponse,
    Program,
)
from litellm_hybrid.diagnostics.doctor.report import Severity
from support.probes import PAGE, response

LITELLM = Address("http", "127.0.0.1", 4000)
KEY = "sk-key-of-litellm"
WITH_KEY = Settings(client_keys=(Secret("sk-client"),))
ROUTED = Settings(enabled=True, base_url=LITELLM, api_key=Secret(KEY))
NO_AUTH = Settings(enabled=True, base_url=LITELLM, no_auth=True)


@pytest.mark.parametrize("kind", list(FailureKind))
@pytest.mark.parametrize("server", [servers.upstream(Settings().upstream), servers.litellm(LITELLM)])
def test_every_kind_has_a_fix_that_names_what_to_do(kind: FailureKind, server: servers.Server) -> None:
    finding = servers.unreachable(server, ConnectFailure(kind, "the system's words"))
    assert finding.severity is Severity.ERROR
    assert server.key in finding.fix
    assert "the system's words" in finding.symptom
    assert "{" not in finding.symptom + finding.fix


def test_the_other_scheme_is_written_out() -> None:
    server = servers.litellm(Address("https", "::1", 4000, "/llm"))
    assert (
        servers.unreachable(server, ConnectFailure(FailureKind.NO_TLS)).fix
        == "`base-url: http://[::1]:4000/llm`"
    )


@pytest.mark.parametrize(
    ("seen", "who", "symptom", "fix"),
    [
        (
            response({}, 308, location="https://llm.example/health/liveliness?key=secret"),
            Program.UNKNOWN,
            "http://127.0.0.1:4000 redirects to https://llm.example",
            "`base-url: https://llm.example`",
        ),
        (
            response({}, 308, location="http://me:secret@[::1]:4000/llm/health/liveliness"),
            Program.UNKNOWN,
            "redirects to http://[::1]:4000/llm",
            "`base-url: http://[::1]:4000/llm`",
        ),
        (response({}, 302, location="/login"), Program.UNKNOWN, "answers with a web page", "base-url"),
        (PAGE, Program.UNKNOWN, "answers with a web page", "base-url"),
        (response({}), Program.CLIPROXYAPI, "is CLIProxyAPI, not LiteLLM", "base-url"),
        (response({}), Program.OURSELVES, "is litellm-hybrid, not LiteLLM", "base-url"),
        (
            ProbeResponse(400, (), b"Client sent an HTTP request to an HTTPS server.\n"),
            Program.UNKNOWN,
            "wants https",
            "`base-url: https://127.0.0.1:4000`",
        ),
    ],
)
def test_somebody_else_answers(seen: ProbeResponse, who: Program, symptom: str, fix: str) -> None:
    finding = servers.another_program(servers.litellm(LITELLM), who, seen, "/health/liveliness")
    assert finding is not None
    assert (symptom in finding.symptom, fix in finding.fix) == (True, True), finding
    assert "secret" not in finding.symptom + finding.fix


@pytest.mark.parametrize("who", [Program.LITELLM, Program.UNKNOWN])
def test_the_right_one_or_perhaps_the_right_one(who: Program) -> None:
    assert servers.another_program(servers.litellm(LITELLM), who, response({}), "/") is None
