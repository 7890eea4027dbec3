"""The documentation has no command that was not run.

Every command of a document is run in a sandbox, or stands in elsewhere.py with what runs it.
"""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from docs.blocks import Command, Kind, commands, documents, log_lines, yaml_blocks
from docs.elsewhere import COMMANDS, PROGRAMS, Elsewhere
from docs.sandbox import sandbox
from litellm_hybrid.config.parser import ConfigError, parse
from support.processes import ROOT

DOCUMENTS = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in documents(ROOT)}
ALL = {name: commands(name, text) for name, text in DOCUMENTS.items()}


def program(command: Command) -> str:
    """The first word behind the variables, without `./`."""
    return next((word.removeprefix("./") for word in command.text.split() if "=" not in word), "")


def exception(command: Command) -> Elsewhere | None:
    """Where a command is run instead of here; None: here."""
    if command.kind is Kind.NAMED:
        return None
    return COMMANDS.get(command.text) or PROGRAMS.get(program(command))


def matches(shown: str, printed: str) -> bool:
    """Whether an output is what a document shows; `…` is anything on a line, or alone any lines."""
    lines = [line.rstrip() for line in shown.splitlines()]
    pattern = "".join(
        r"(?:[^\n]*\n)*?" if line == "…" else re.escape(line).replace("…", r"[^\n]*") + r"[ \t]*\n"
        for line in lines
    )
    text = printed.strip("\n")
    return re.fullmatch(pattern, f"{text}\n" if text else "") is not None


HELP = """\
Correct the document or the program. A command that cannot be run here goes into tests/docs/elsewhere.py,
with the test that runs it. What is there for the commands, and how addresses and placeholders are
replaced: tests/docs/sandbox.py. What counts as a command: tests/docs/blocks.py."""


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", [name for name, found in ALL.items() if found])
def test_every_command_is_run(name: str, tmp_path: Path) -> None:
    problems = []
    with sandbox(tmp_path) as place:
        # What a document asks of a log, it has to find in the lines that it shows.
        (tmp_path / "hybrid.log").write_text(log_lines(DOCUMENTS[name]), encoding="utf-8")
        for command in ALL[name]:
            if command.kind is Kind.FILE:
                place.write(command)
            elif exception(command) is None:
                problems += wrong(command, *place.run(_proof(command)))
    assert not problems, "\n\n".join([*problems, HELP])


def wrong(command: Command, code: int, printed: str) -> list[str]:
    """What is wrong with what a command did; empty if nothing is."""
    good = code == 0 if command.output is None else matches(command.output, printed)
    if "jq " in command.text and not printed.strip():
        good = False  # it looks for something that is never there
    shown = "\n".join(printed.splitlines()[-20:])
    return [] if good else [f"{command}\n\nended with {code} and printed:\n{shown}"]


def _proof(command: Command) -> Command:
    """The command; for a program that is only named, one that shows that it is there and has these options."""
    if command.kind is not Kind.NAMED:
        return command
    named, *options = re.split(r" (?=--?[a-z])", command.text)
    if "scripts/" in named:
        proof = " && ".join([f"test -x {named}", *(f"grep -rqe '{option}' {named}*" for option in options)])
    elif named.startswith("litellm-hybrid"):
        proof = " && ".join(
            [f"{named} --help >help.txt", *(f"grep -qwe '{option}' help.txt" for option in options)]
        )
    else:
        proof = f"type {named}"
    return replace(command, text=proof)


@pytest.mark.parametrize("text", [*COMMANDS, *PROGRAMS])
def test_an_exception_is_needed_and_says_what_runs_it(text: str) -> None:
    found = [command for each in ALL.values() for command in each if command.kind is not Kind.NAMED]
    used = any(command.text == text if text in COMMANDS else program(command) == text for command in found)
    assert used, f"no document has {text!r} any more: take it out of tests/docs/elsewhere.py"
    path, _, test = (COMMANDS | PROGRAMS)[text].where.partition("::")
    assert (ROOT / path).is_file(), f"{text}: there is no {path}"
    assert f"def {test}" in (ROOT / path).read_text(encoding="utf-8") or not test, f"{path} has no {test}"


@pytest.mark.parametrize(
    ("name", "line", "text"),
    [(name, line, text) for name, whole in DOCUMENTS.items() for line, text in yaml_blocks(whole)],
)
def test_every_configuration_is_valid(name: str, line: int, text: str) -> None:
    if not re.search(r"^(extensions:|litellm-)", text, re.MULTILINE):
        return
    env = dict.fromkeys(re.findall(r"\$\{(\w+)\}", text), "sk-of-the-docs")
    try:
        parse(text.replace("sk-…", "sk-of-the-docs"), source=f"{name}, the block at line {line}", env=env)
    except ConfigError as e:
        pytest.fail(str(e))


@pytest.mark.parametrize(
    ("shown", "printed", "matching"),
    [
        ("a\nb", "a\nb\n", True),
        ("a", "a\nb\n", False),
        ("a …", "a 12 s", True),
        ("a …", "a 1\n2", False),
        ("…\nlast", "one\ntwo\nlast\n", True),
        ("first\n…", "first", True),
        ("a.c", "abc", False),
        ("", "", True),
    ],
)
def test_output_is_compared_with_wildcards(shown: str, printed: str, *, matching: bool) -> None:
    assert matches(shown, printed) is matching


MARKDOWN = """\
See `litellm-hybrid check --json` and `./scripts/run`, `config.yaml`, or `mitmdump -s x
--set y=z`.

```bash
# not this
first \\
  --more   # comment
cat >x <<'EOF'
second
EOF
f() {
  third
}
```

```console
$ fourth \\
    -x
shown

shown too
$ fifth
```

```yaml
# other.yaml
a: 1
```

```
scripts/bench --quick      sixth
other text
```

  `curl http://x | grep y` ``not `this` ``
"""


def test_commands_are_found_with_their_lines_and_outputs() -> None:
    assert [(c.line, c.kind, c.text, c.output) for c in commands("x.md", MARKDOWN)] == [
        (1, Kind.NAMED, "litellm-hybrid check --json", None),
        (1, Kind.NAMED, "./scripts/run", None),
        (1, Kind.INLINE, "mitmdump -s x --set y=z", None),
        (6, Kind.BLOCK, "first \\\n  --more   # comment", None),
        (8, Kind.BLOCK, "cat >x <<'EOF'\nsecond\nEOF", None),
        (11, Kind.BLOCK, "f() {\n  third\n}", None),
        (17, Kind.BLOCK, "fourth \\\n    -x", "shown\n\nshown too"),
        (22, Kind.BLOCK, "fifth", ""),
        (26, Kind.FILE, "other.yaml", "# other.yaml\na: 1\n"),
        (31, Kind.BLOCK, "scripts/bench --quick", None),
        (35, Kind.INLINE, "curl http://x | grep y", None),
    ]
