"""The commands of the documents that tests/docs does not run, why, and what runs them instead."""

from typing import NamedTuple


class Elsewhere(NamedTuple):
    """An exception.

    Attributes:
        why: it is not run here.
        where: what does: `path::name` of a test, or the path of a script or of CI's steps that has it.
    """

    why: str
    where: str


_ITSELF = "it would run this very test"
_LONG = "takes minutes, and only an idle machine gives numbers"
_HAPROXY = "needs socat and HAProxy's socket below /run; the test says the same to it"
_DEPLOY = "tests/e2e/test_deploy.py"
_CLIENT = "a client of several hundred MB from npm or PyPI"

COMMANDS: dict[str, Elsewhere] = {
    "git clone URL litellm-hybrid && cd litellm-hybrid": Elsewhere("this is the clone", ".ci/run"),
    "litellm-hybrid init": Elsewhere(
        "it asks", "tests/e2e/test_init.py::test_what_cannot_be_known_is_asked_for"
    ),
    'eval "export $(grep ^HYBRID_CLIENT_KEY= litellm-hybrid.env)"': Elsewhere(
        "init makes that file", "tests/e2e/test_init.py::test_what_cannot_be_known_is_asked_for"
    ),
    "mitmdump -q -s addon/hybrid.py": Elsewhere(
        "names a subject of the benchmark, without its options", "tests/bench/programs.py"
    ),
    'echo "LITELLM_API_KEY=$LITELLM_API_KEY" >> /etc/litellm-hybrid/environment': Elsewhere(
        "belongs to the machine", _DEPLOY
    ),
    "cp compose.env.example .env && chmod 600 .env    # and fill it in": Elsewhere(
        "stands beside compose.yaml", "tests/docs/test_deploy.py"
    ),
}
"""Whole commands, as they are written."""

PROGRAMS: dict[str, Elsewhere] = {
    "scripts/verify-upstream": Elsewhere(
        "the stand-in for CLIProxyAPI does less than it asks for", "tests/e2e/test_verify_upstream.py"
    ),
    "scripts/integration": Elsewhere("needs the fork's models", "tests/e2e/test_moving.py"),
    "scripts/test": Elsewhere(_ITSELF, ".ci/run"),
    "scripts/bench": Elsewhere(_LONG, "tests/bench/test_bench.py"),
    **dict.fromkeys(
        ("docker", "systemctl", "journalctl", "systemd-analyze"),
        Elsewhere("needs a Docker engine, or a running systemd", _DEPLOY),
    ),
    "redis-server": Elsewhere("serves until it is ended", "tests/support/stores.py"),
    **dict.fromkeys(("say()", "say"), Elsewhere(_HAPROXY, "tests/e2e/test_haproxy.py")),
    **dict.fromkeys(("uv", "install"), Elsewhere("installs for the whole machine", _DEPLOY)),
    **dict.fromkeys(
        ("claude", "codex", "gemini", "opencode", "qwen", "aider", "cline", "node"),
        Elsewhere(_CLIENT, "tests/docs/clients.py"),
    ),
}
"""All commands of these programs."""
