"""Flat keys become namespaced ones: the same settings, and every other byte where it was."""

import re
from textwrap import dedent

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from litellm_hybrid.config.parser import ConfigError, parse
from litellm_hybrid.config.schema import BY_FLAT
from litellm_hybrid.diagnostics import migrate as module
from litellm_hybrid.diagnostics.migrate import Migrated, migrate

ENV = {"LITELLM_API_KEY": "sk-from-the-environment", "HOST": "host-from-the-environment"}


def run(text: str) -> Migrated:
    return migrate(text, source="f", env=ENV)


def problems(text: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        run(text)
    return caught.value.problems


CLIPROXYAPI = """\
# CLIProxyAPI's own file
port: 8317
api-keys:
  - "client-1"   # laptop

# ── LiteLLM ──

# on or off
litellm-hybrid-mode: true   # yes, on
litellm-base-url: 'http://127.0.0.1:4000'

# its key\twith a tab
litellm-api-key: ${LITELLM_API_KEY}
litellm-models:
  - gpt-5     # five
  # - gpt-6
  - "claude-*"

# spends money
litellm-fallback-enabled: yes

# what CLIProxyAPI logs
debug:    false
"""

MIGRATED = """\
# CLIProxyAPI's own file
port: 8317
api-keys:
  - "client-1"   # laptop

# ── LiteLLM ──

extensions:
  litellm:
    # on or off
    enabled: true   # yes, on
    base-url: 'http://127.0.0.1:4000'

    # its key\twith a tab
    api-key: ${LITELLM_API_KEY}
    models:
      - gpt-5     # five
      # - gpt-6
      - "claude-*"

    fallback:
      # spends money
      enabled: yes

# what CLIProxyAPI logs
debug:    false
"""


def test_a_file_of_the_fork() -> None:
    assert run(CLIPROXYAPI) == Migrated(MIGRATED, changed=True)


def test_line_ends_a_missing_last_one_and_a_byte_order_mark_stay() -> None:
    windows = CLIPROXYAPI.replace("\n", "\r\n")
    assert run(windows).text == MIGRATED.replace("\n", "\r\n")
    assert run(CLIPROXYAPI.removesuffix("\n")).text == MIGRATED.removesuffix("\n")
    assert run("\ufeff" + CLIPROXYAPI).text == "\ufeff" + MIGRATED


TABLE = {
    "a list at its key's column": (
        "litellm-models:\n- a\n- b\nport: 1\n",
        "extensions:\n  litellm:\n    models:\n    - a\n    - b\nport: 1\n",
    ),
    "several places: the first one, and no blank line left over": (
        "litellm-hybrid-mode: true\n\nport: 1\n\nlitellm-base-url: http://x\n\ndebug: true\n",
        "extensions:\n  litellm:\n    enabled: true\n    base-url: http://x\n\nport: 1\n\ndebug: true\n",
    ),
    "the last key goes, and the blank line before it": (
        "litellm-hybrid-mode: true\nport: 1\n\nlitellm-base-url: http://x\n",
        "extensions:\n  litellm:\n    enabled: true\n    base-url: http://x\nport: 1\n",
    ),
    "a comment right below, and one right above the next key": (
        "litellm-models: [a]\n# litellm-passthrough-mode: true\n\n# the port\nport: 1\n",
        "extensions:\n  litellm:\n    models: [a]\n    # litellm-passthrough-mode: true\n\n# the port\nport: 1\n",
    ),
    "a comment that stands against the next key is that key's": (
        "litellm-models: [a]\n# the port\nport: 1\n",
        "extensions:\n  litellm:\n    models: [a]\n# the port\nport: 1\n",
    ),
    "quoted keys keep their quotes": (
        "\"litellm-models\": ['a']\n'litellm-hybrid-mode': \"on\"\n",
        "extensions:\n  litellm:\n    \"models\": ['a']\n    'enabled': \"on\"\n",
    ),
    "a key with an escape in it": (
        '"\\x6citellm-models": [a]\n',
        "extensions:\n  litellm:\n    models: [a]\n",
    ),
    "the same in both forms, without comments": (
        "extensions:\n  litellm:\n    models: [a]\nlitellm-models: [a]\nport: 1\n",
        "extensions:\n  litellm:\n    models: [a]\nport: 1\n",
    ),
    "values over several lines": (
        'litellm-base-url: >-\n  http://x:1\nlitellm-models: [a,\n  b,\n]\nlitellm-api-key: "sk-\\\n  1"\n',
        (
            "extensions:\n  litellm:\n    base-url: >-\n      http://x:1\n    models: [a,\n      b,\n    ]\n"
            '    api-key: "sk-\\\n      1"\n'
        ),
    ),
    "a root that is indented": (
        "  port: 1\n  litellm-models: [a]\n",
        "  port: 1\n  extensions:\n    litellm:\n      models: [a]\n",
    ),
    "between the markers of a document": (
        "---\nlitellm-models: [a]\n...\n",
        "---\nextensions:\n  litellm:\n    models: [a]\n...\n",
    ),
    "a block that looks like comments is no comment": (
        "text: |\n  # litellm\nlitellm-models: [a]\n",
        "text: |\n  # litellm\nextensions:\n  litellm:\n    models: [a]\n",
    ),
    "extensions is there": (
        "extensions:\n   other: {a: 1}\n# models\nlitellm-models: [a]\n",
        "extensions:\n   other: {a: 1}\n   litellm:\n     # models\n     models: [a]\n",
    ),
    "extensions.litellm is there, with comments at its end": (
        "extensions:\n    litellm:\n        enabled: true\n        # workers: 1\n# end\n\nlitellm-base-url: http://x\n",
        "extensions:\n    litellm:\n        enabled: true\n        # workers: 1\n        base-url: http://x\n# end\n",
    ),
    "extensions.litellm is there, but empty": (
        "litellm-models: [a]\nextensions:\n  litellm:   # later\n    # enabled: true\nport: 1\n",
        "extensions:\n  litellm:   # later\n    models: [a]\n    # enabled: true\nport: 1\n",
    ),
    "nothing, in letters": (
        "extensions: ~\nlitellm-models: [a]\n",
        "extensions: \n  litellm:\n    models: [a]\n",
    ),
    "fallback is there": (
        (
            "extensions:\n  litellm:\n    fallback:\n      hold-max: 5s\n    models: [a]\n"
            "litellm-fallback-enabled: true   # spend\nlitellm-base-url: http://x\nlitellm-api-key: k\n"
        ),
        (
            "extensions:\n  litellm:\n    fallback:\n      hold-max: 5s\n      enabled: true   # spend\n    models: [a]\n"
            "    base-url: http://x\n    api-key: k\n"
        ),
    ),
    "sections in braces are opened": (
        "extensions: {other: {a: 'ü'}, litellm: {enabled: true, fallback: {hold-max: 5s}}}\nlitellm-models: [a]\n",
        (
            "extensions:\n  other: {a: 'ü'}\n  litellm:\n    enabled: true\n    fallback:\n      hold-max: 5s\n"
            "    models: [a]\n"
        ),
    ),
    "a last line without an end goes away, and a block that needs one is left": (
        "litellm-hybrid-mode: on\ntext: |\n  a\nlitellm-models: [b]",
        "extensions:\n  litellm:\n    enabled: on\n    models: [b]\ntext: |\n  a\n",
    ),
    "a last line without an end goes away, and nothing needs one": (
        "litellm-hybrid-mode: on\nport: 1\nlitellm-models: [b]",
        "extensions:\n  litellm:\n    enabled: on\n    models: [b]\nport: 1",
    ),
    "JSON": (
        '{"port": 1, "litellm-models": ["a"]}\n',
        '"port": 1\nextensions:\n  litellm:\n    "models": ["a"]\n',
    ),
    "an anchor that others use": (
        "litellm-models: &m [a]\nport: 1\nmine: *m\n",
        "extensions:\n  litellm:\n    models: &m [a]\nport: 1\nmine: *m\n",
    ),
    "an alias to what stands between": (
        "litellm-hybrid-mode: true\nnames: &n [a]\nlitellm-models: *n\n",
        "names: &n [a]\nextensions:\n  litellm:\n    enabled: true\n    models: *n\n",
    ),
}


@pytest.mark.parametrize(("before", "after"), TABLE.values(), ids=TABLE)
def test_every_form(before: str, after: str) -> None:
    assert run(before).text == after


def test_a_namespaced_file_is_unchanged_and_a_note_says_so() -> None:
    for text in ("", "port: 8317\n", MIGRATED, "# nothing\r\n"):
        assert run(text) == Migrated(text, changed=False, notes=("f: has no flat key; nothing is changed",))


def test_the_same_value_in_both_forms_is_kept_once_with_the_comments_of_both() -> None:
    result = run(
        dedent("""\
            # flat
            litellm-models: [a]  # behind
            extensions:
              litellm:
                # namespaced
                models:
                  - a
        """)
    )
    assert result.text == dedent("""\
        extensions:
          litellm:
            # namespaced
            # flat
            # behind
            models:
              - a
    """)
    assert result.notes == ("f: litellm-models is left out, because extensions.litellm.models says the same",)


def test_two_values_are_the_error_of_check_that_names_both_keys() -> None:
    text = "litellm-models: [a]\nextensions:\n  litellm:\n    models: [b]\n"
    assert problems(text) == (
        "f:4: extensions.litellm.models: says something else than litellm-models on line 1; keep one",
    )


@pytest.mark.parametrize(
    "text",
    [
        "litellm-modles: [a]\n",
        "litellm-models:\n",
        "litellm-api-key: ${NOT_THERE}\n",
        "litellm-models: [a\n",
        "litellm-models: [a]\nlitellm-models: [a]\n",
    ],
)
def test_a_wrong_file_is_the_error_of_check(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text, source="f", env=ENV)
    assert problems(text) == caught.value.problems


BY_HAND = "f: its flat keys cannot be moved, "


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("? litellm-models\n: [a]\n", "f: litellm-models does not begin its line"),
        ("base: &b {litellm-models: [a]}\n<<: *b\n", BY_HAND),
        ("litellm-base-url: &u http://x\nmine: *u\nnames: &n [a]\nlitellm-models: *n\n", BY_HAND),
        ("x: &x\n  enabled: true\nextensions:\n  litellm: *x\nlitellm-models: [a]\n", BY_HAND),
        (
            "litellm-hybrid-mode: on\nx: |+\n  a\nlitellm-models: [a]\n\nport: 1\nlitellm-base-url: http://x\n",
            BY_HAND,
        ),
        (
            "extensions: {litellm: {enabled: true, # c\n}}\nlitellm-models: [a]\n",
            "f: sections in braces cannot be opened; write them without",
        ),
    ],
)
def test_what_cannot_be_moved_is_said_and_not_tried(text: str, message: str) -> None:
    parse(text, source="f", env=ENV)
    (problem,) = problems(text)
    assert problem.startswith(message)


def test_the_result_is_read_again_before_anybody_sees_it(monkeypatch: pytest.MonkeyPatch) -> None:
    other = "extensions: {litellm: {models: [b]}}\n"
    monkeypatch.setattr(module, "_candidates", lambda _: [(other, [])])
    assert problems("litellm-models: [a]\n")[0].startswith(BY_HAND)
    assert run("litellm-models: [b]\n").text == other


# -- any file of the fork's --------------------------------------------------------

VALUES = {
    "litellm-hybrid-mode": ["true", "ON", '"yes"', "'false'"],
    "litellm-base-url": [
        "http://127.0.0.1:4000",
        '"http://${HOST}:1/é"',
        "'https://x/v1/'",
        ">-\n  http://x:1",
    ],
    "litellm-api-key": ["${LITELLM_API_KEY}", "sk-1", '"sk-#1"', "none", "|\n  sk-#1\n"],
    "litellm-models": [
        "[]",
        "[gpt-5, 'claude-*']",
        "\n  - gpt-5   # five\n  # - no\n\n  - ü*",
        "\n- a\n- 'b'",
        "[a,\n  b]",
    ],
    "litellm-model-mappings": ["{}", "{a: b}", "\n  a: x\n\n  # odd\n  'ß': \"y\"", "{a: b,\n  c: d}"],
    "litellm-passthrough-mode": ["false", "no", "!!bool true"],
    "litellm-fallback-enabled": ["true", "off   "],
}
FOREIGN = [
    "port: 8317",
    "debug:    false   # logs",
    "api-keys:\n  - \"client-1\"\n\n  # old\n  - 'ключ'",
    "text: |\n  # no comment\n   litellm-models: [x]\n",
    'long: "${NOT_OURS}\n\n  # in the text\n  end"',
    "remote-management: {allow-remote: false, # why\n  secret-key: ''}",
    "nothing:",
    "indentless:\n- a: 1\n  b: 2",
]
COMMENTS = [
    "",
    "",
    "\n",
    "# about: [it]\n",
    "\n# über\n# zwei\n",
    "#\ttab\t\n\n",
    "\n# ── banner ──\n\n# of this\n",
]


@st.composite
def files(draw: st.DrawFn) -> str:
    flat = draw(st.lists(st.sampled_from(sorted(BY_FLAT)), min_size=1, unique=True))
    foreign = draw(st.lists(st.sampled_from(FOREIGN), unique=True, max_size=4))
    blocks = draw(st.permutations([*flat, *foreign]))
    text = ""
    for number, block in enumerate(blocks):
        text += draw(st.sampled_from(COMMENTS)).replace("about", f"about {number}")
        if block in BY_FLAT:
            value = draw(st.sampled_from(VALUES[block]))
            text += f"{block}:{value if value.startswith(chr(10)) else ' ' + value}"
        else:
            text += block
        text += "" if text.endswith("\n") else "\n"
    text += draw(st.sampled_from(["", "# the end\n", "\n# the end\n\n"]))
    if draw(st.booleans()):
        text = text.removesuffix("\n")
    return text.replace("\n", draw(st.sampled_from(["\n", "\n", "\r\n"])))


def written(text: str) -> list[str]:
    """What stands in a file, line by line, wherever it stands; without the heads of our sections."""
    names = "|".join(BY_FLAT)
    lines = [line.strip() for line in re.split(r"\r?\n", text)]
    renamed = (
        re.sub(f"^({names}):", lambda found: BY_FLAT[found[1]].name.rpartition(".")[2] + ":", line)
        for line in lines
    )
    return sorted(line for line in renamed if line and line not in {"extensions:", "litellm:", "fallback:"})


def is_valid(text: str) -> bool:
    try:
        parse(text, source="f", env=ENV)
    except ConfigError:
        return False
    return True


@given(files().filter(is_valid))
@settings(max_examples=150, deadline=None)
def test_any_flat_file(text: str) -> None:
    """Every line is still there, wherever it stands, and what is not ours has not even changed its indentation."""
    result = run(text)
    assert result.changed
    assert not result.notes
    assert parse(result.text, source="f", env=ENV).settings == parse(text, source="f", env=ENV).settings
    assert not re.search(r"^litellm-", result.text, re.MULTILINE)
    assert "from-the-environment" not in result.text
    assert written(result.text) == written(text)
    assert result.text.endswith("\n") or not text.endswith("\n")
    assert set(re.findall(r"\r?\n", result.text)) <= set(re.findall(r"\r?\n", text)) or "\n" not in text
    eol = "\r\n" if "\r\n" in text else "\n"
    for block in FOREIGN:
        assert text.count(block.replace("\n", eol)) == result.text.count(block.replace("\n", eol))
    again = run(result.text)
    assert (again.text, again.changed) == (result.text, False)
