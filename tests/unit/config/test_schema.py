"""The table of keys, and config.example.yaml and `check` against it."""

import re
from dataclasses import replace
from ipaddress import ip_network
from itertools import product
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest
import yaml

from litellm_hybrid.config.parser import parse
from litellm_hybrid.config.schema import (
    BY_FLAT,
    BY_NAME,
    DEFAULTS,
    KEYS,
    NAMESPACE,
    NOT_SET,
    Key,
    diff,
    effective_settings,
    suggest_flat,
    suggest_namespaced,
    suggest_top_level,
)
from litellm_hybrid.config.settings import Address, Fallback, Patterns, Secret, Settings, Timeouts
from litellm_hybrid.config.yaml_nodes import BadValueError, Value, compose

EXAMPLE = Path(__file__).parents[3] / "config.example.yaml"
ENV = {"LITELLM_API_KEY": "sk-1", "HYBRID_CLIENT_KEY": "sk-2"}
BY_KEY = pytest.mark.parametrize("key", KEYS, ids=lambda key: key.name)

# A comment that is a key: `# hold-max: 45s`, `# timeouts:`; prose has a capital letter or no such colon.
COMMENTED_KEY = re.compile(r"^( {4,})# ([a-z-]+:(?: .*)?)$", re.MULTILINE)


def all_of_the_example() -> str:
    return COMMENTED_KEY.sub(r"\1\2", EXAMPLE.read_text("utf-8"))


def names_in(tree: dict[str | bool, Any], prefix: str = "") -> set[str]:
    known = {key.name for key in KEYS}
    names: set[str] = set()
    for name, value in tree.items():
        dotted = prefix + ("on" if name is True else str(name))
        names |= {dotted} if dotted in known or not isinstance(value, dict) else names_in(value, f"{dotted}.")
    return names


def test_names_are_unique_and_kebab_case() -> None:
    names = [key.name for key in KEYS] + [key.flat for key in KEYS if key.flat]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*(\.[a-z]+(-[a-z]+)*)?", name) for name in names)


def test_the_flat_keys_are_the_forks() -> None:
    assert {flat: key.name for flat, key in BY_FLAT.items()} == {
        "litellm-hybrid-mode": "enabled",
        "litellm-base-url": "base-url",
        "litellm-api-key": "api-key",
        "litellm-models": "models",
        "litellm-model-mappings": "model-mappings",
        "litellm-passthrough-mode": "passthrough-mode",
        "litellm-fallback-enabled": "fallback.enabled",
    }


@BY_KEY
def test_the_default_is_what_holds_without_the_key(key: Key) -> None:
    shown = dict(effective_settings(Settings()))[key.name]
    assert shown == DEFAULTS[key.name]


@BY_KEY
def test_the_default_can_be_written_down(key: Key) -> None:
    if DEFAULTS[key.name] == NOT_SET or key.secret:
        return
    node = compose(DEFAULTS[key.name].replace("[*]", "['*']"))
    assert node is not None
    default = attrgetter(key.field)(Settings())
    assert key.convert(Value(node, {})) == default


@BY_KEY
def test_every_key_is_described_in_a_sentence(key: Key) -> None:
    assert key.meaning[0].isupper() or key.meaning[0] == "`"
    assert key.meaning.endswith(".")
    first = re.split(r"(?<=[.:;])\s", key.meaning)[0]  # what the overview of the reference shows
    assert first.count("`") % 2 == 0


def test_exactly_the_secrets_are_marked() -> None:
    assert {key.name for key in KEYS if key.secret} == {"api-key", "client-api-keys", "notify"}


def test_the_example_parses_as_it_is() -> None:
    parsed = parse(EXAMPLE.read_text("utf-8"), source="config.example.yaml", env=ENV)
    assert parsed.warnings == ()
    assert parsed.settings.routing
    assert parsed.settings.fallback.enabled
    assert parsed.settings.api_key
    assert parsed.settings.api_key.value == "sk-1"


def test_the_example_has_every_key() -> None:
    tree = yaml.safe_load(all_of_the_example())["extensions"]["litellm"]
    assert names_in(tree) == {key.name for key in KEYS}


def test_what_the_example_comments_out_parses_and_is_the_default() -> None:
    """So nothing but the client keys, which are an example, changes when everything is uncommented."""
    as_it_is = parse(EXAMPLE.read_text("utf-8"), source="example", env=ENV)
    uncommented = parse(all_of_the_example(), source="example", env=ENV)
    differing = set(effective_settings(uncommented.settings)) ^ set(effective_settings(as_it_is.settings))
    assert {name for name, _ in differing} == {"client-api-keys", "state", "tls-ca"}


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("litellm-modles", "did you mean `litellm-models`?"),
        ("litellm-base_url", "did you mean `litellm-base-url`?"),
        ("litellm-timeouts", f"this setting has no flat form: use `{NAMESPACE}timeouts`"),
        ("litellm-timeouts-connect", f"this setting has no flat form: use `{NAMESPACE}timeouts.connect`"),
        ("litellm-fallback-on", f"this setting has no flat form: use `{NAMESPACE}fallback.on`"),
        ("litellm-websockets", f"did you mean a setting with no flat form: use `{NAMESPACE}websocket`"),
        ("litellm-qqqqqqqqqqqqqqqq", f"the flat keys are {', '.join(BY_FLAT)}"),
    ],
)
def test_suggest_flat(name: str, hint: str) -> None:
    assert suggest_flat(name) == hint


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("modles", "models"),
        ("base_url", "base-url"),
        ("litellm-models", "models"),
        ("litellm-hybrid-mode", "enabled"),
        ("hybrid-mode", "enabled"),
        ("fallback-enabled", "fallback.enabled"),
        ("hold-max", "fallback.hold-max"),
        ("fallback.hold_max", "fallback.hold-max"),
        ("fallback.base-url", "base-url"),
        ("timeout", "timeouts"),
        ("timeouts.first-bite", "timeouts.first-byte"),
    ],
)
def test_suggest_namespaced(name: str, nearest: str) -> None:
    assert suggest_namespaced(name) == f"did you mean `{nearest}`?"


def test_without_a_near_key_all_are_named() -> None:
    assert suggest_namespaced("zzzz") == f"the keys are {', '.join(key.name for key in KEYS)}"


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("litellm", "extensions.litellm"),
        ("litellm_base_url", "litellm-base-url"),
        ("LiteLLM-Models", "litellm-models"),
        ("litellm_settings", None),
        ("model_list", None),
    ],
)
def test_suggest_top_level(name: str, key: str | None) -> None:
    assert suggest_top_level(name) == key


@pytest.mark.parametrize(
    ("names", "wrong"),
    [
        (("base-url",), ("127.0.0.1:4000", "http://me:secret@127.0.0.1:4000", "http://a?b", "[a]")),
        (("tls-ca",), ("[a]", "", "''")),
        (("api-key",), ('"two words"', "true", "${NOT_SET}", "''")),
        (
            (
                "enabled",
                "passthrough-mode",
                "fallback.enabled",
                "listen-without-keys",
                "strip-provider-prefix",
            ),
            ("perhaps", "429", "[]", ""),
        ),
        (("models", "fallback.models", "fallback.except"), ("gpt-4.1", "[true]", "{claude: haiku}")),
        (("model-mappings",), ("[gpt-5]", "{gpt-5: openai/*}", "{a: b, A: c}")),
        (("fallback.on",), ("quota", "[qouta]")),
        (
            (
                "fallback.hold-max",
                "fallback.opening-max",
                "timeouts.connect",
                "timeouts.first-byte",
                "timeouts.upload",
            ),
            ("0s", "soon", "-1s", "[]"),
        ),
        (("timeouts.idle",), ("0", "forever")),
        (("fallback.first-byte", "fallback.sticky", "grace-period"), ("never", "-1s", "auto")),
        (("fallback.cooldown-max",), ("-1s", "[auto]", "automatic")),
        (("fallback.max-per-hour", "max-in-flight"), ("many", "-1", "1.5")),
        (("fallback.history",), ("drop",)),
        (("client-api-keys",), ("sk-1", '["two words"]')),
        (("trusted-proxies",), ("[haproxy.example]", "10.0.0.1")),
        (("websocket",), ("deny",)),
        (("log-format",), ("xml",)),
        (("upstream-url",), ("http://127.0.0.1:8317/v1", "8317")),
        (("listen",), ("127.0.0.1", "::1:8318", "127.0.0.1:0")),
        (("workers",), ("0", "two")),
    ],
)
def test_what_a_key_does_not_take(names: tuple[str, ...], wrong: tuple[str, ...]) -> None:
    for name, text in product(names, wrong):
        node = compose(text) or compose("~")
        assert node is not None
        with pytest.raises(BadValueError):
            BY_NAME[name].convert(Value(node, {}))


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
