"""No command of a document touches the machine outside its sandbox."""

import pytest

from docs.harmless import objection


@pytest.mark.parametrize(
    "text",
    [
        "litellm-hybrid explain /v1/messages -H 'x: systemctl' -d '{\"model\": \"a\"}'",
        "HYBRID_LISTEN=127.0.0.1:8317 ./scripts/run config.yaml   # systemctl; docker",
        "curl -s http://127.0.0.1:8318/_hybrid/metrics | promtool check metrics",
        "export A=1 B=2",
        "cat >x <<'EOF'\nrm -rf /etc\nEOF",
        'mitmdump -s "$(litellm-hybrid script)" --set litellm_config=config.yaml',
        "curl -s localhost >/dev/null 2>&1",
        "echo '{}' >~/.gemini/settings.json",
    ],
)
def test_what_stays_in_the_sandbox_may_be_run(text: str) -> None:
    assert objection(text) == ""


@pytest.mark.parametrize(
    "text",
    [
        "systemctl enable --now litellm-hybrid",
        "sudo litellm-hybrid check",
        "docker compose up",
        "install -d -m 755 x",
        "cp config.yaml /etc/litellm-hybrid/",
        'echo "A=$A" >> /etc/litellm-hybrid/environment',
        "cd x && uv venv y",
        "echo a | tee b",
        "echo a & reboot",
        "echo a\nreboot",
        "./scripts/test",
        "python -m venv /opt/x",
        "A=b rm -r x",
        "cat <<EOF | bash\nx\nEOF",
    ],
)
def test_what_may_reach_the_machine_is_not_run(text: str) -> None:
    assert objection(text)


def test_more_programs_may_be_named() -> None:
    assert objection("claude -p x")
    assert objection("claude -p x", programs=frozenset({"claude"})) == ""
