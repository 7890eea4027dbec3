"""The parser as a whole: a file's text in, settings or every problem out."""

from ipaddress import ip_network
from operator import attrgetter
from textwrap import dedent, indent
from typing import get_args

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from litellm_hybrid.config.parser import ConfigError, Parsed, parse
from litellm_hybrid.config.schema import BY_FLAT, KEYS
from litellm_hybrid.config.settings import Address, Patterns, Secret, Settings
from litellm_hybrid.config.yaml_nodes import Code

ENV = {"KEY": "sk-env", "HOST": "litellm", "PORT": "4000", "YES": "Yes", "EMPTY": "", "LINE": " sk-line\n"}
LITELLM = "base-url: http://127.0.0.1:4000\napi-key: sk-1\n"
FALLBACK_OFF = "f: fallback is off: quota failures reach the client; `fallback: {enabled: true}` turns it on"


def read(text: str) -> Parsed:
    return parse(text, source="f", env=ENV)


def ours(text: str) -> str:
    """The file that has `text` below extensions.litellm, from its third line on."""
    return "extensions:\n  litellm:\n" + indent(dedent(text), "    ")


def problems(text: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        read(text)
    assert str(caught.value) == "\n".join(caught.value.problems)
    return caught.value.problems


@pytest.mark.parametrize(
    "text",
    [
        *("", " \n", "# nothing\n", "---\n", "~", "\ufeff# bom\n"),
        *("extensions:", "extensions: {litellm: }", "extensions: {other: {models: 5}}"),
    ],
)
def test_nothing_and_foreign_sections_are_all_defaults(text: str) -> None:
    assert read(text) == Parsed(Settings(), (), has_keys=False)


@pytest.mark.parametrize(
    ("said", "cooldown"),
    [("auto", "auto"), ("'AUTO '", "auto"), ("0", 0.0), ("0s", 0.0), ("10m", 600.0), ("'${WAIT}'", "auto")],
)
def test_a_cooldown_is_a_duration_or_auto(said: str, cooldown: object) -> None:
    text = ours(f"fallback: {{cooldown-max: {said}, opening-max: 2s, first-byte: 90}}")
    found = parse(text, source="f", env={"WAIT": "auto"}).settings.fallback
    assert (found.cooldown_max, found.opening_max, found.first_byte) == (cooldown, 2.0, 90.0)


@pytest.mark.parametrize("said", ["automatic", "-1s", "[auto]", "true"])
def test_a_cooldown_is_nothing_else(said: str) -> None:
    with pytest.raises(ConfigError, match="expected `auto` or a duration"):
        read(ours(f"fallback: {{cooldown-max: {said}}}"))


def test_a_whole_file_in_the_namespaced_form() -> None:
    parsed = read(
        ours("""\
            enabled: true
            base-url: https://example.com/llm/
            api-key: ${KEY}
            models: [" GPT-5 ", claude-*, 4.1]
            model-mappings: {" GPT-5 ": openai/gpt-5, claude-*: anthropic/x, 4.1: 5}
            passthrough-mode: false
            fallback:
              enabled: on
              on: [quota, server-error]
              models: [gpt-*]
              except: [gpt-4]
              hold-max: 1m30s
              cooldown-max: 5m
              max-per-hour: 20
            timeouts: {connect: 500ms, first-byte: 90, idle: 1h}
            client-api-keys: [a, 1234]
            trusted-proxies: [10.1.2.3/8, "::1"]
            websocket: pass
            strip-provider-prefix: yes
            upstream-url: http://127.0.0.1:8316/
            listen: :8317
            workers: 2
            log-format: JSON
            """)
    )
    assert parsed.warnings == ()
    assert parsed.has_keys
    found = parsed.settings
    assert (found.enabled, found.passthrough, found.strip_provider_prefix) == (True, False, True)
    assert found.base_url == Address("https", "example.com", 443, "/llm")
    assert (found.api_key, found.no_auth) == (Secret("sk-env"), False)
    assert found.models.entries == ("GPT-5", "claude-*", "4.1")
    assert found.mappings == {"gpt-5": "openai/gpt-5", "claude-*": "anthropic/x", "4.1": "5"}
    assert found.mapping_patterns.entries == ("GPT-5", "claude-*", "4.1")
    assert found.mapped("gpt-5(high)") == "openai/gpt-5"
    assert found.fallback.enabled
    assert found.fallback.on == {"quota", "server-error"}
    assert (found.fallback.models, found.fallback.excluded) == (Patterns(["gpt-*"]), Patterns(["gpt-4"]))
    assert (found.fallback.hold_max, found.fallback.cooldown_max) == (90.0, 300.0)
    assert found.fallback.max_per_hour == 20
    assert (found.timeouts.connect, found.timeouts.first_byte, found.timeouts.idle) == (0.5, 90.0, 3600.0)
    assert found.client_keys == (Secret("a"), Secret("1234"))
    assert found.trusted_proxies == (ip_network("10.0.0.0/8"), ip_network("::1/128"))
    assert (found.websocket, found.log_format, found.workers) == ("pass", "json", 2)
    assert found.upstream == Address("http", "127.0.0.1", 8316)
    assert found.listen == ("127.0.0.1", 8317)


FLAT = """\
port: 8317
litellm-hybrid-mode: true
litellm-base-url: http://localhost:4000
litellm-api-key: none
litellm-models: [gpt-5]
litellm-model-mappings: {gpt-5: openai/gpt-5}
litellm-passthrough-mode: true
litellm-fallback-enabled: true
"""
NAMESPACED = ours("""\
    enabled: true
    base-url: http://localhost:4000
    api-key: none
    models: [gpt-5]
    model-mappings: {gpt-5: openai/gpt-5}
    passthrough-mode: true
    fallback: {enabled: true}
    """)


def test_the_flat_form_says_the_same_and_both_together_too() -> None:
    assert FLAT.count("litellm-") == len(BY_FLAT)
    assert read(FLAT) == read(NAMESPACED) == read(FLAT + NAMESPACED)
    assert read(FLAT).settings.no_auth
    assert read(FLAT).settings.api_key is None
    assert read(FLAT).has_keys


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # one line of each: text below extensions.litellm, from line 3 → its problem
        ("modles: []", "f:3: extensions.litellm.modles: unknown key; did you mean `models`?"),
        (
            "fallback:\n  hold_max: 1s",
            "f:4: extensions.litellm.fallback.hold_max: unknown key; did you mean `fallback.hold-max`?",
        ),
        (
            "timeouts.idle: 1s",
            "f:3: extensions.litellm.timeouts.idle: unknown key; write `idle` in a mapping `timeouts`",
        ),
        ("fallback: true", 'f:3: extensions.litellm.fallback: expected a mapping (`key: value`), got "true"'),
        ("? [a]\n: b", "f:3: extensions.litellm.: unknown key; the keys are base-url, api-key,"),
        ("enabled: maybe", 'f:3: extensions.litellm.enabled: expected true or false, got "maybe"'),
        ("enabled: 1", 'f:3: extensions.litellm.enabled: expected true or false, got "1"'),
        ("enabled:", "f:3: extensions.litellm.enabled: expected true or false, got nothing"),
        ("enabled: [true]", "f:3: extensions.litellm.enabled: expected true or false, got a list"),
        (
            "timeouts: {connect: soon}",
            'f:3: extensions.litellm.timeouts.connect: expected a duration such as 10s, longer than 0s, got "so',
        ),
        ("timeouts: {idle: -1s}", "f:3: extensions.litellm.timeouts.idle: expected a duration such as 10s"),
        ("timeouts: {idle: .nan}", "f:3: extensions.litellm.timeouts.idle: expected a duration such as 10s"),
        ("timeouts: {idle: .inf}", "f:3: extensions.litellm.timeouts.idle: expected a duration such as 10s"),
        (
            "timeouts: {idle: 0}",
            "f:3: extensions.litellm.timeouts.idle: expected a duration such as 10s, longer",
        ),
        (
            "fallback: {hold-max: 0s}",
            "f:3: extensions.litellm.fallback.hold-max: expected a duration such as 10s, longer",
        ),
        (
            "models: gpt-5",
            'f:3: extensions.litellm.models: expected a list, got "gpt-5"; write [gpt-5] or each entry on a',
        ),
        ("models:", "f:3: extensions.litellm.models: expected a list, got nothing; write each entry"),
        ("models: {a: b}", "f:3: extensions.litellm.models: expected a list, got a mapping; write each"),
        ("models:\n- a\n- ''", "f:5: extensions.litellm.models: expected a model name, got an empty text"),
        ("models:\n- a\n-\n", "f:5: extensions.litellm.models: expected a model name, got nothing"),
        ("models: [[a]]", "f:3: extensions.litellm.models: expected a model name, got a list"),
        ("models: [no]", 'f:3: extensions.litellm.models: expected a model name, got "no", a boolean'),
        ('models: ["a\\nb"]', "f:3: extensions.litellm.models: expected a model name without control"),
        ("models: [!env KEY]", "f:3: extensions.litellm.models: the tag !env means nothing here; ${VAR}"),
        ("model-mappings: [a]", "f:3: extensions.litellm.model-mappings: expected a mapping"),
        (
            "model-mappings:\n  a:",
            "f:4: extensions.litellm.model-mappings: expected a model name, got nothing",
        ),
        ("model-mappings: {a: b*}", "f:3: extensions.litellm.model-mappings: expected the one name that"),
        (
            "model-mappings:\n  GPT: a\n  gpt : b",
            "f:5: extensions.litellm.model-mappings: `gpt` is there already, on line 4; keep one",
        ),
        (
            "fallback: {on: [quotas]}",
            'f:3: extensions.litellm.fallback.on: expected a kind of failure, got "quotas": did you mean `quota`?',
        ),
        (
            "fallback: {on: [zzz]}",
            'f:3: extensions.litellm.fallback.on: expected a kind of failure, got "zzz": the kinds',
        ),
        (
            "fallback: {max-per-hour: -1}",
            "f:3: extensions.litellm.fallback.max-per-hour: expected a whole number, 0 or more",
        ),
        ("workers: 0", 'f:3: extensions.litellm.workers: expected a whole number, 1 or more, got "0"'),
        ("workers: 1.5", 'f:3: extensions.litellm.workers: expected a whole number, 1 or more, got "1.5"'),
        (
            "workers: " + "9" * 5000,
            "f:3: extensions.litellm.workers: expected a whole number, 1 or more, got",
        ),
        ("websocket: up", 'f:3: extensions.litellm.websocket: expected `downgrade` or `pass`, got "up"'),
        ("log-format: xml", 'f:3: extensions.litellm.log-format: expected `text` or `json`, got "xml"'),
        (
            "trusted-proxies: [here]",
            "f:3: extensions.litellm.trusted-proxies: expected an address or a network",
        ),
        ("trusted-proxies: 10.0.0.1", "f:3: extensions.litellm.trusted-proxies: expected a list"),
        ("base-url: litellm:4000", "f:3: extensions.litellm.base-url: expected a URL such as"),
        ("base-url: ''", "f:3: extensions.litellm.base-url: expected a URL such as"),
        (
            "upstream-url: http://a/b",
            "f:3: extensions.litellm.upstream-url: expected a URL without a path such as",
        ),
        (
            "listen: nowhere",
            'f:3: extensions.litellm.listen: expected host:port such as 127.0.0.1:8318, got "no',
        ),
        ("api-key: ''", "f:3: extensions.litellm.api-key: expected a key, got an empty text"),
        (
            "client-api-keys: ['']",
            "f:3: extensions.litellm.client-api-keys: expected a key, got an empty text",
        ),
        ("client-api-keys: [true]", "f:3: extensions.litellm.client-api-keys: expected a key, got a boolean"),
        ("client-api-keys:", "f:3: extensions.litellm.client-api-keys: expected a list, got nothing"),
        ("api-key: ${NOPE}", "f:3: extensions.litellm.api-key: environment variable not set or empty: NOPE;"),
        (
            "models: ['${A}${EMPTY}']",
            "f:3: extensions.litellm.models: environment variable not set or empty: A, E",
        ),
        ("models: ['${']", "f:3: extensions.litellm.models: `${` without a variable's name and `}`"),
        ("models: ['${a b}']", "f:3: extensions.litellm.models: `${` without a variable's name and `}`"),
        (
            "workers: ${KEY}",
            'f:3: extensions.litellm.workers: expected a whole number, 1 or more, got "${KEY}" wi',
        ),
        (
            "workers: 1\nworkers: 1",
            "f:4: extensions.litellm.workers: is there already, on line 3; keep one",
        ),
        ("<<: 5", "f:3: extensions.litellm: `<<` merges mappings only"),
    ],
)
def test_a_bad_value_is_named_with_its_line(text: str, expected: str) -> None:
    found = problems(ours(text))
    assert len(found) == 1
    assert found[0].startswith(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[a]", "f:1: expected a mapping (`key: value`), got a list"),
        ("text", 'f:1: expected a mapping (`key: value`), got "text"'),
        ("a: 1\nb: [", "f:2: not valid YAML: while parsing a flow node: expected the node content"),
        ("a:\n\tb: 1", "f:2: not valid YAML: while scanning for the next token: found character '\\t'"),
        ("a: b: c", "f:1: not valid YAML: mapping values are not allowed here"),
        ("a: *b", "f:1: not valid YAML: found undefined alias; quote a text"),
        (
            "a: 1\n---\nb: 1",
            "f:2: not valid YAML: expected a single document in the stream: but found another",
        ),
        ("a: 1\nb: \x00", "f:2: not valid YAML: the character U+0000 is not allowed"),
        ("[" * 1000, "f:1: not valid YAML: nested too deeply"),
        ('"\\UFFFFFFFF"', "f:1: not valid YAML: "),
        ("litellm-modles: []", "f:1: litellm-modles: unknown key; did you mean `litellm-models`?"),
        (
            "litellm-timeouts: {}",
            "f:1: litellm-timeouts: unknown key; this setting has no flat form: use `extensions.litellm.tim",
        ),
        (
            "litellm-models: []\nlitellm-models: []",
            "f:2: litellm-models: is there already, on line 1; keep one",
        ),
        ("extensions: {}\nextensions: {}", "f:2: extensions: is there already, on line 1; keep one"),
        (
            "extensions:\n  litellm: {}\n  litellm: {}",
            "f:3: extensions.litellm: is there already, on line 2; keep one",
        ),
        ("api-keys: [a]\napi-keys: []", "f:2: api-keys: is there already, on line 1; keep one"),
        ("extensions: [litellm]", "f:1: extensions: expected a mapping (`key: value`), got a list"),
        ("extensions: {litellm: 5}", 'f:1: extensions.litellm: expected a mapping (`key: value`), got "5"'),
        (
            "litellm-models: [a]\nextensions:\n  litellm:\n    models: [b]",
            "f:4: extensions.litellm.models: says something else than litellm-models on line 1; keep one",
        ),
        (
            "litellm-api-key: none\nextensions: {litellm: {api-key: sk-1}}",
            "f:2: extensions.litellm.api-key: says something else than litellm-api-key on line 1; keep one",
        ),
    ],
)
def test_a_bad_file_is_named_with_its_line(text: str, expected: str) -> None:
    found = problems(text)
    assert len(found) == 1
    assert found[0].startswith(expected)


def test_all_problems_are_found_in_the_order_of_the_file() -> None:
    found = problems(
        "litellm-modles: []\n"
        "litellm-models: ['', true]\n"
        "litellm-base-url: nowhere\n"
        "extensions:\n  litellm:\n    fallback: {enabled: true, hold-max: x}\n    zzz: 1\n"
    )
    assert [line.split(": ")[:2] for line in found] == [
        ["f:1", "litellm-modles"],
        ["f:2", "litellm-models"],
        ["f:2", "litellm-models"],
        ["f:3", "litellm-base-url"],
        ["f:6", "extensions.litellm.fallback.hold-max"],
        ["f:6", "extensions.litellm.fallback.enabled"],
        ["f:7", "extensions.litellm.zzz"],
    ]
    assert "set api-key" in found[5]  # and not base-url, which is there


@pytest.mark.parametrize(
    "text",
    [
        "base-url: http://me:geheim@example.com",
        "base-url: ftp://me:geheim@example.com",
        "base-url: http://example.com?key=geheim",
        "api-key: [geheim]",
        "api-key: geheim geheim",
        'api-key: "geheim\\nx: y"',
        "client-api-keys: geheim",
        "client-api-keys: [geheim ß]",
        "client-api-keys: {geheim: geheim}",
        "base-url: ${GEHEIM}",
        "listen: ${GEHEIM}",
        "workers: ${GEHEIM}",
        "websocket: ${GEHEIM}",
        "fallback: {on: ['${GEHEIM}']}",
        "api-key: geheim\napi-key: geheim",
    ],
)
def test_no_message_shows_a_credential_or_what_the_environment_says(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(ours(text), source="f", env={"GEHEIM": "geheim"})
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "field", "value"),
    [
        ("api-key: ${KEY}", "api_key.value", "sk-env"),
        ("api-key: ${LINE}", "api_key.value", "sk-line"),
        ("api-key: 'a-${KEY}-${PORT}'", "api_key.value", "a-sk-env-4000"),
        ("api-key: '$${KEY}'", "api_key.value", "${KEY}"),
        ("api-key: a$b$", "api_key.value", "a$b$"),
        ("base-url: 'http://${HOST}:${PORT}'", "base_url.port", 4000),
        ("enabled: ${YES}", "enabled", True),
        ("timeouts: {idle: '${PORT}'}", "timeouts.idle", 4000.0),
        ("workers: ${PORT}", "workers", 4000),
        ("models: ['${HOST}/*']", "models.entries", ("litellm/*",)),
        ("model-mappings: {'${HOST}': '${KEY}'}", "mappings", {"litellm": "sk-env"}),
    ],
)
def test_variables(text: str, field: str, value: object) -> None:
    assert attrgetter(field)(read(ours(text)).settings) == value


@pytest.mark.parametrize("text", ["NONE", "None", "'none'"])
def test_a_litellm_without_keys(text: str) -> None:
    found = read(ours(f"api-key: {text}")).settings
    assert (found.api_key, found.no_auth) == (None, True)


LEAKED = "sk-1aB2_secret"


@pytest.mark.parametrize("key", ["litellm-api-key: {}", "extensions: {{litellm: {{client-api-keys: [{}]}}}}"])
@pytest.mark.parametrize(
    "written",
    [
        f"*{LEAKED}",
        f"&{LEAKED} &{LEAKED} x",
        f"!{LEAKED} x",
        f"!{LEAKED}!x y",
        f"'{LEAKED} '' '",
        f"'${{{LEAKED}'",
        f"'${{{LEAKED}}}'",
        f"'${{{LEAKED}:-x}}'",
        f"'${{{LEAKED.replace('-', '_')}}}'",
        f"[{LEAKED}]",
        f"{{{LEAKED}: 1}}",
        f'"{LEAKED}',
        f"{LEAKED}: x",
    ],
)
def test_an_error_never_quotes_a_key(key: str, written: str) -> None:
    said = "\n".join(problems(key.format(written)))
    assert "1aB2" not in said
    assert "secret" not in said


def test_an_error_names_a_variable_that_is_not_set() -> None:
    (problem,) = problems("litellm-api-key: ${LITELLM_KEY_2}")
    assert "not set or empty: LITELLM_KEY_2;" in problem


@pytest.mark.parametrize("spelling", ["true", "True", "TRUE", "yes", "On", "'true'"])
def test_true(spelling: str) -> None:
    assert read(f"litellm-hybrid-mode: {spelling}").settings.enabled


@pytest.mark.parametrize("spelling", ["false", "FALSE", "no", "Off", "'false'"])
def test_false(spelling: str) -> None:
    assert not read(f"litellm-hybrid-mode: {spelling}").settings.enabled


@pytest.mark.parametrize(
    ("url", "path", "warned"),
    [
        ("http://a:1", "", False),
        ("http://a:1/v1", "", True),
        ("http://a:1/v1/", "", True),
        ("http://a:1/llm/v1", "/llm", True),
        ("http://a:1/v10", "/v10", False),
        ("http://a:1/xv1", "/xv1", False),
    ],
)
def test_v1_at_the_end_of_base_url_is_dropped(url: str, path: str, *, warned: bool) -> None:
    parsed = read(f"litellm-base-url: {url}")
    warning = "f:1: litellm-base-url: the `/v1` at the end is dropped, every request brings its own; write base-url without it"
    assert parsed.settings.base_url == Address("http", "a", 1, path)
    assert (warning in map(str, parsed.warnings)) is warned


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ()),
        ("enabled: false", ()),
        ("enabled: true", ("f:3: extensions.litellm.enabled: has no effect without base-url; set it",)),
        (
            "passthrough-mode: true",
            ("f:3: extensions.litellm.passthrough-mode: has no effect without enabled",),
        ),
        ("base-url: http://a", (FALLBACK_OFF,)),
        ("models: [a]\nenabled: true\nbase-url: http://a", (FALLBACK_OFF,)),
        (
            "enabled: true\nbase-url: http://a",
            (FALLBACK_OFF, "f:3: extensions.litellm.enabled: has no effect while models is empty and"),
        ),
        ("enabled: true\npassthrough-mode: true\nbase-url: http://a", (FALLBACK_OFF,)),
        (LITELLM + "fallback: {enabled: true}", ()),
        ("base-url: http://a\napi-key: none\nfallback: {enabled: true}", ()),
    ],
)
def test_warnings(text: str, expected: tuple[str, ...]) -> None:
    found = [str(warning) for warning in read(ours(text)).warnings]
    assert len(found) == len(expected)
    assert all(line.startswith(start) for line, start in zip(found, expected, strict=True))


CODES = {
    "routing-without-base-url": ours("enabled: true"),
    "routing-without-models": ours(
        "enabled: true\nbase-url: http://a\napi-key: k\nfallback: {enabled: true}"
    ),
    "passthrough-without-enabled": ours("passthrough-mode: true"),
    "fallback-off": ours("base-url: http://a"),
    "base-url-ends-in-v1": ours("base-url: http://a/v1\napi-key: k\nfallback: {enabled: true}"),
    "unreadable-client-key": "api-keys: [1234]",
    "misspelt-key": "litellm_models: []",
    "misplaced-key": "base-url: http://a",
}
HINTS = {
    "upstream-retries": "max-retry-interval: 30\npassthrough-headers: true\n",
    "upstream-keepalive": "nonstream-keepalive-interval: 5\npassthrough-headers: true\n",
    "upstream-headers": "port: 1",
}


@pytest.mark.parametrize(("code", "text"), CODES.items())
def test_every_warning_has_a_code(code: str, text: str) -> None:
    assert [warning.code for warning in read(text).warnings] == [code]


def test_no_code_is_without_its_warning() -> None:
    assert {"invalid", *CODES, *HINTS} == set(get_args(Code))


@pytest.mark.parametrize(("code", "text"), HINTS.items())
def test_every_hint_has_a_code(code: str, text: str) -> None:
    """A hint is for `check` and `doctor`: a start does not say it."""
    parsed = read(text)
    assert [hint.code for hint in parsed.hints] == [code]
    assert not parsed.warnings


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("fallback: {enabled: true}", ("set base-url", "set api-key (`none` for")),
        ("fallback: {enabled: true}\napi-key: k", ("set base-url",)),
        ("fallback: {enabled: true}\nbase-url: http://a", ("set api-key (`none` for",)),
        (
            "base-url: http://127.0.0.1:8317\nupstream-url: http://localhost:8317",
            ("the same server as extens",),
        ),
        (
            "base-url: http://127.0.0.1:8318\nlisten: 0.0.0.0:8318",
            ("the same server as extensions.litellm.lis",),
        ),
        ("upstream-url: http://127.0.0.1:1\nlisten: :1", ("is the same server",)),
    ],
)
def test_contradictions(text: str, expected: tuple[str, ...]) -> None:
    found = problems(ours(text))
    assert len(found) == len(expected)
    assert all(part in line for line, part in zip(found, expected, strict=True))


@pytest.mark.parametrize(
    "text", ["base-url: http://127.0.0.1:8317", "base-url: http://127.0.0.1:8318", "listen: :8317"]
)
def test_an_address_equal_to_a_default_is_fine(text: str) -> None:
    read(ours(text))


@pytest.mark.parametrize(
    ("text", "upstream"),
    [
        ("", Address("http", "127.0.0.1", 8317)),
        ("port: 8316", Address("http", "127.0.0.1", 8316)),
        ("host: ''\nport: 8316", Address("http", "127.0.0.1", 8316)),
        ("host: 0.0.0.0", Address("http", "127.0.0.1", 8317)),
        ("host: '::'", Address("http", "127.0.0.1", 8317)),
        ("host: ::1", Address("http", "::1", 8317)),
        ("host: 10.0.0.1\nport: 1\ntls: {enable: true, cert: c}", Address("https", "10.0.0.1", 1)),
        ("tls: {enable: false}", Address("http", "127.0.0.1", 8317)),
        ("tls:", Address("http", "127.0.0.1", 8317)),
        ("tls: {enable: '${YES}'}", Address("http", "127.0.0.1", 8317)),
        ("port: many", Address("http", "127.0.0.1", 8317)),
        ("port: 99999", Address("http", "127.0.0.1", 8317)),
        ("port: 1\n" + ours("upstream-url: https://example.com"), Address("https", "example.com", 443)),
    ],
)
def test_upstream_is_where_cliproxyapi_says(text: str, upstream: Address) -> None:
    parsed = read(text)
    assert parsed.settings.upstream == upstream
    assert parsed.warnings == ()


@pytest.mark.parametrize(
    ("text", "keys", "warnings"),
    [
        ("api-keys: [a, ' b ']", ["a", "b"], ()),
        ("api-keys: ['${KEY}']", ["${KEY}"], ()),
        ("api-keys:", [], ()),
        (
            "api-keys:\n- a\n- 12\n- ''\n- {b: c}",
            ["a"],
            tuple(f"f:{n}: api-keys: an entry that is no text is left out; quote it" for n in (3, 4, 5)),
        ),
        ("api-keys: geheim", [], ("f:1: api-keys: is no list; no client key is read from it",)),
        ("api-keys: [a]\n" + ours("client-api-keys: [b]"), ["b"], ()),
        ("api-keys: [a]\n" + ours("client-api-keys: []"), [], ()),
    ],
)
def test_client_keys(text: str, keys: list[str], warnings: tuple[str, ...]) -> None:
    parsed = read(text)
    assert [key.value for key in parsed.settings.client_keys] == keys
    assert tuple(map(str, parsed.warnings)) == warnings


def test_cliproxyapis_own_keys_are_left_alone() -> None:
    text = """\
        auth-dir: ~/.cli-proxy-api
        debug: ${NOT_OURS}
        proxy-url: socks5://me:pass@host
        proxy-url: twice
        model_list: [a]
        litellm_settings: {}
        tag: !custom x
        ? [a, list]
        : key
        extensions: {theirs: {models: 1, models: 2}}
        """
    assert read(dedent(text)) == Parsed(Settings(), (), has_keys=False)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: 1\nlitellm: {enabled: true}", "f:2: litellm: is not read; did you mean `extensions.litellm`?"),
        ("litellm_models: []", "f:1: litellm_models: is not read; did you mean `litellm-models`?"),
    ],
)
def test_a_key_that_looks_like_ours_is_warned_about(text: str, line: str) -> None:
    parsed = read(text)
    assert [str(warning) for warning in parsed.warnings] == [line]
    assert not parsed.has_keys


def test_aliases_and_merges() -> None:
    text = """\
        x-common: &common
          enabled: true
          models: &models [a]
          timeouts: {idle: 1s}
        x-more: &more {<<: *common, models: [m], workers: 3}
        extensions:
          litellm:
            <<: [*more, *common]
            enabled: false
            fallback: {except: *models}
        """
    found = read(dedent(text)).settings
    assert (found.enabled, found.workers, found.timeouts.idle) == (False, 3, 1.0)
    assert found.models.entries == ("m",)
    assert found.fallback.excluded.entries == ("a",)


@pytest.mark.parametrize(
    "text", ["models: &a [*a]", "model-mappings: &a {b: *a}", "fallback: &a {fallback: *a}"]
)
def test_an_alias_to_itself_is_a_bad_value(text: str) -> None:
    assert problems(ours(text))


def test_a_merge_of_itself_merges_nothing_more() -> None:
    assert read("extensions: {litellm: &a {<<: *a, workers: 3}}").settings.workers == 3


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("port: 1\nmax-retry-interval: 30\n", 2),
        ("port: 1\nmax-retry-interval: 0\n", None),
        ("port: 1\nmax-retry-interval: often\n", None),
        ("port: 1\nnonstream-keepalive-interval: 5\n", 2),
        ("port: 1\nnonstream-keepalive-interval: 0\n", None),
        ("port: 1\npassthrough-headers: false\n", 2),
        ("", None),
    ],
)
def test_what_cliproxyapi_could_say_better(text: str, line: int | None) -> None:
    rest = "passthrough-headers: true\n" if text and "passthrough" not in text else ""
    hints = read(text + rest).hints
    assert [hint.line for hint in hints] == ([] if line is None else [line])


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("port: 1\nbase-url: http://h\n", "misplaced-key", "f:2: base-url: is not read at the top"),
        ("fallback:\n  enabled: true\n", "misplaced-key", "indent it below `extensions.litellm`"),
    ],
)
def test_what_is_likely_a_mistake_is_a_warning(text: str, code: str, words: str) -> None:
    (warning,) = read(text).warnings
    assert (warning.code, words in str(warning)) == (code, True), str(warning)


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("api-keys:\n- mine\n- your-api-key-2\n", "f:3: api-keys: is a key of CLIProxyAPI's example file"),
        ("api-keys: [your-api-key]", "f:1: api-keys: is a key"),
        (
            "extensions: {litellm: {client-api-keys: [your-api-key-1]}}",
            "f:1: extensions.litellm.client-api-keys: is a key of",
        ),
    ],
)
def test_the_keys_of_cliproxyapis_example_are_refused(text: str, where: str) -> None:
    (problem,) = problems(text)
    assert problem.startswith(where)
    assert "put keys of your own there" in problem


def test_cliproxyapis_keys_beside_ours() -> None:
    found = read("api-keys: [a, b]\n" + ours("client-api-keys: [b]")).settings
    assert (found.client_keys, found.upstream_keys) == ((Secret("b"),), (Secret("a"), Secret("b")))
    assert read("api-keys: [a]").settings.upstream_keys == ()


@pytest.mark.parametrize("text", ["$LITELLM_KEY", "os.environ/LITELLM_KEY", '" $LITELLM_KEY "'])
def test_a_variable_in_another_spelling_is_an_error(text: str) -> None:
    with pytest.raises(ConfigError) as error:
        read(f"litellm-api-key: {text}")
    assert "write `${LITELLM_KEY}`" in str(error.value)
    assert read("litellm-api-key: sk-$LITELLM_KEY").settings.api_key == Secret("sk-$LITELLM_KEY")
    assert read("api-keys: [$LITELLM_KEY]").settings.client_keys == (Secret("$LITELLM_KEY"),)


SCALARS = st.one_of(
    st.sampled_from(
        [
            "~",
            "true",
            "no",
            "0",
            "-1",
            "1.5",
            ".inf",
            ".nan",
            "10s",
            "''",
            "${KEY}",
            "${",
            "$${",
            "!!binary x",
        ]
    ),
    st.sampled_from(["none", "quota", "http://a:1/v1", "[a, '']", "{a: b}", "&a [*a]", "*b", "&b x", "!t x"]),
    st.text(max_size=8),
)
NAMES = st.sampled_from(
    [key.name.rpartition(".")[2] for key in KEYS]
    + ["fallback", "timeouts", "<<", "modles", "on", "host", "port", "tls", "api-keys", *BY_FLAT]
)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(NAMES, SCALARS), max_size=6),
    st.sampled_from(
        [
            "",
            "extensions:\n  litellm:\n    ",
            "extensions: {litellm: {fallback: {",
            "extensions:\n  litellm: {",
        ]
    ),
)
def test_files_like_ours_parse_or_are_config_errors(pairs: list[tuple[str, str]], start: str) -> None:
    between = ", " if start.endswith("{") else "\n" + " " * (len(start) - start.rfind("\n") - 1)
    text = start + between.join(f"{name}: {value}" for name, value in pairs)
    closing = "}" * (start.count("{"))
    check_anything(text + closing)


@settings(max_examples=100, deadline=None)
@given(st.text())
@example("%YAML 1." + "1" * 5000 + "\n---\na")
@example("!<x> y: 1")
@example('"litellm-\\n\\e": 1')
@example("? &a [*a]\n: 1")
@example("extensions: {litellm: {? &a [*a] : 1}}")
@example("extensions: {litellm: {model-mappings: {? &a [*a] : 1}}}")
def test_any_text_parses_or_is_a_config_error(text: str) -> None:
    check_anything(text)


def check_anything(text: str) -> None:
    try:
        parsed = read(text)
    except ConfigError as e:
        lines = e.problems
        assert lines
    else:
        lines = tuple(map(str, parsed.warnings))
        assert isinstance(parsed.settings, Settings)
    assert all(line.startswith("f:") and line.isprintable() for line in lines)
