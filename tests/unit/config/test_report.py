from dataclasses import replace
from ipaddress import ip_network

import pytest

from litellm_hybrid.config.model_patterns import Patterns
from litellm_hybrid.config.report import diff, effective_settings
from litellm_hybrid.config.settings import Address, Fallback, Secret, Settings, Timeouts

NOTHING = Settings()


@pytest.mark.parametrize(
    ("old", "new", "lines"),
    [
        (NOTHING, NOTHING, ()),
        (NOTHING, Settings(enabled=True), ("enabled: false → true",)),
        (
            Settings(models=Patterns(["a"])),
            Settings(models=Patterns(["a", "b*"])),
            ("models: [a] → [a, b*]",),
        ),
        (
            NOTHING,
            Settings(base_url=Address("http", "::1", 80, "/x")),
            ("base-url: not set → http://[::1]/x",),
        ),
        (NOTHING, Settings(api_key=Secret("sk-1")), ("api-key: not set → ***",)),
        (
            Settings(api_key=Secret("sk-1")),
            Settings(api_key=Secret("sk-2")),
            ("api-key: *** → *** (changed)",),
        ),
        (Settings(api_key=Secret("sk-1")), Settings(no_auth=True), ("api-key: *** → none",)),
        (
            Settings(client_keys=(Secret("sk-1"),)),
            Settings(client_keys=(Secret("sk-2"),)),
            ("client-api-keys: [***] → [***] (changed)",),
        ),
        (NOTHING, Settings(client_keys=(Secret("sk-1"),)), ("client-api-keys: [] → [***]",)),
        (
            NOTHING,
            Settings(mappings={"gpt-5": "openai/gpt-5"}, mapping_patterns=Patterns(["GPT-5"])),
            ("model-mappings: {} → {GPT-5: openai/gpt-5}",),
        ),
        (NOTHING, Settings(timeouts=Timeouts(first_byte=90.0)), ("timeouts.first-byte: 10m → 1m30s",)),
        (
            NOTHING,
            Settings(fallback=Fallback(on=frozenset({"login", "quota"}), max_per_hour=20)),
            (
                "fallback.on: [quota, overload, no-credential, login, account, no-answer] → [quota, login]",
                "fallback.max-per-hour: 0 → 20",
            ),
        ),
        (NOTHING, Settings(listen=("::1", 1)), ("listen: 127.0.0.1:8318 → [::1]:1",)),
        (
            NOTHING,
            Settings(trusted_proxies=(ip_network("10.0.0.0/8"),)),
            ("trusted-proxies: [] → [10.0.0.0/8]",),
        ),
    ],
)
def test_changes(old: Settings, new: Settings, lines: tuple[str, ...]) -> None:
    assert diff(old, new) == lines


def test_effective_settings_shows_every_key_and_no_secret() -> None:
    settings = replace(NOTHING, api_key=Secret("sk-1"), client_keys=(Secret("sk-2"), Secret("sk-3")))
    shown = dict(effective_settings(settings))
    assert shown["api-key"] == "***"
    assert shown["client-api-keys"] == "[***, ***]"
    assert shown["fallback.hold-max"] == "45s"
    assert shown["upstream-url"] == "http://127.0.0.1:8317"
    assert "sk-" not in str(shown)
