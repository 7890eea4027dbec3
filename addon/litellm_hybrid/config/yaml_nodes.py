"""The YAML file as a tree that knows its lines, and what can be said about one of them.

The nodes are read as they were written and not as PyYAML would construct them:
every problem can name its line, `on:` stays a key instead of becoming True
(YAML 1.1), and what a scalar means is for its converter to say.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import yaml

from litellm_hybrid.terminal import printable

_YAML = "tag:yaml.org,2002:"
_VARIABLE = re.compile(r"(?P<literal>\$\$\{)|\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)\}|\$\{")
_OTHER_VARIABLE = re.compile(r"\$(?P<shell>[A-Z_][A-Z0-9_]*)|os\.environ/(?P<litellm>[A-Za-z_]\w*)")
"""How a shell and LiteLLM's own configuration name a variable; nothing here is spelt so."""
_NAMES_QUOTED = re.compile(r"(?<=alias|nchor|andle) '\S+'")
_CONVENTIONAL = re.compile(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)*")
_LONGEST_SHOWN = 60

Code = Literal[
    "invalid",
    "routing-without-base-url",
    "routing-without-models",
    "passthrough-without-enabled",
    "fallback-off",
    "base-url-ends-in-v1",
    "unreadable-client-key",
    "misspelt-key",
    "misplaced-key",
    "upstream-retries",
    "upstream-keepalive",
    "upstream-headers",
]
"""What a warning is about, for programs; every error is `invalid`."""


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """An error or a warning about the file; as a string it is one printable line.

    Attributes:
        line: where, from 1; 0: nowhere in particular.
        path: the key as the file spells it; "": none in particular.
        message: what is wrong; behind the first `; ` what to do about it.
        source: the file's name.
    """

    line: int
    path: str
    message: str
    code: Code = "invalid"
    source: str = ""

    def __str__(self) -> str:
        where = f"{self.source}:{self.line}" if self.line else self.source
        # A quoted key may have any character in it.
        return printable(": ".join(part for part in (where, self.path, self.message) if part))


class Location(NamedTuple):
    """Where the file gives a setting: its line, from 1, and the key as it is spelt there."""

    line: int
    path: str


type Locations = Mapping[str, Location]
"""Namespaced name → where the file gives it; a setting that it does not give is missing."""


class BadValueError(ValueError):
    """Values of the file that cannot be taken.

    Attributes:
        problems: (line, what is wrong and what to write instead), at least one.
    """

    def __init__(self, *problems: tuple[int, str]) -> None:
        super().__init__("; ".join(message for _, message in problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Value:
    """A node of the file.

    Attributes:
        env: where `${VAR}` is looked up; None: a `${` is nothing special.
        secret: never show what it says.
    """

    node: yaml.Node
    env: Mapping[str, str] | None = None
    secret: bool = False

    @property
    def line(self) -> int:
        """The line on which it starts, from 1."""
        return int(self.node.start_mark.line) + 1

    @property
    def name(self) -> str:
        """The text of a key, as it is written; "" for a key that is a list or a mapping."""
        return str(self.node.value) if isinstance(self.node, yaml.ScalarNode) else ""

    @property
    def is_null(self) -> bool:
        """Whether nothing is there: `key:`, `~` or `null`."""
        return self.tag == "null"

    @property
    def tag(self) -> str:
        """What it is by YAML's rules: "null", "bool", "merge" (`<<`), "str" (quoted, or nothing else)."""
        return str(self.node.tag).removeprefix(_YAML)

    @property
    def merged(self) -> list[yaml.Node]:
        """What a `<<` with this value merges: it, or each entry if it is a list."""
        return list(self.node.value) if isinstance(self.node, yaml.SequenceNode) else [self.node]

    @property
    def shown(self) -> str:
        """How a message shows it. What came from the environment is never shown."""
        if self.is_null:
            return "nothing"
        if isinstance(self.node, yaml.SequenceNode):
            return "a list"
        if isinstance(self.node, yaml.MappingNode):
            return "a mapping"
        if self.secret:
            return "a text"
        text = str(self.node.value)
        cut = text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "…"
        replaced = self.env is not None and _VARIABLE.search(text)
        return json.dumps(cut, ensure_ascii=False) + (" with its variables replaced" if replaced else "")

    def bad(self, message: str) -> BadValueError:
        """The error that says `message` about this line."""
        return BadValueError((self.line, message))

    def text(self, expected: str) -> str:
        """The scalar's text, trimmed, each `${VAR}` in it replaced; never empty.

        Raises:
            BadValueError: it is no text, or names a variable that is not set.
        """
        if not isinstance(self.node, yaml.ScalarNode) or self.is_null:
            raise self.bad(f"expected {expected}, got {self.shown}")
        if not self.node.tag.startswith(_YAML):
            # A key that is not quoted and begins with `!` is a tag.
            tag = "a `!` at the start" if self.secret else f"the tag {self.node.tag}"
            raise self.bad(f"{tag} means nothing here; ${{VAR}} reads the environment, quotes make a text")
        text = self._expanded(self.node.value).strip()
        if not text:
            raise self.bad(f"expected {expected}, got an empty text")
        return text

    def items(self) -> Iterator["Value"]:
        """The entries of a list.

        Raises:
            BadValueError: it is no list.
        """
        if not isinstance(self.node, yaml.SequenceNode):
            one = 0 < len(self.name) <= _LONGEST_SHOWN and not self.secret
            example = f"write [{self.name}] or" if one else "write"
            raise self.bad(f"expected a list, got {self.shown}; {example} each entry on a line after a dash")
        return (replace(self, node=node) for node in self.node.value)

    def pairs(self) -> Iterator[tuple["Value", "Value"]]:
        """The keys and values of a mapping, the merged ones (`<<`) that it does not override last.

        A key that is written twice comes twice.

        Raises:
            BadValueError: it is no mapping, or merges something else than mappings.
        """
        if not isinstance(self.node, yaml.MappingNode):
            raise self.bad(f"expected a mapping (`key: value`), got {self.shown}")
        found: list[tuple[Value, Value]] = []
        names: set[str] = set()
        waiting: list[yaml.Node] = [self.node]
        visited: set[int] = set()  # an alias may lead back to where it came from
        while waiting:
            node = waiting.pop(0)
            if id(node) in visited:
                continue
            visited.add(id(node))
            if not isinstance(node, yaml.MappingNode):
                raise replace(self, node=node).bad("`<<` merges mappings only")
            own = [(replace(self, node=key), replace(self, node=value)) for key, value in node.value]
            fresh = [(key, value) for key, value in own if key.tag != "merge" and key.name not in names]
            found += fresh
            names.update(key.name for key, _ in fresh)
            waiting[:0] = [source for key, value in own if key.tag == "merge" for source in value.merged]
        return iter(found)

    def _expanded(self, text: str) -> str:
        if self.env is None:
            return text
        env = self.env
        if other := _OTHER_VARIABLE.fullmatch(text.strip()):
            raise self.bad(
                f"{other[0]} is no variable here; write `${{{other['shell'] or other['litellm']}}}`"
            )
        matches = list(_VARIABLE.finditer(text))
        if any(match[0] == "${" for match in matches):
            raise self.bad(
                "`${` without a variable's name and `}`; write `$${` for the characters themselves"
            )
        names = dict.fromkeys(match["name"] for match in matches if match["name"])
        if missing := [name for name in names if not env.get(name)]:
            if self.secret:  # somebody may have put the key itself between the braces
                missing = [name if _CONVENTIONAL.fullmatch(name) else "(an odd name)" for name in missing]
            raise self.bad(
                f"environment variable not set or empty: {', '.join(missing)}; "
                "set it where the proxy is started, or write it into `litellm-hybrid.env` beside the file"
            )
        return _VARIABLE.sub(lambda match: env[match["name"]] if match["name"] else "${", text)


def compose(text: str) -> yaml.Node | None:
    """The root of the one YAML document in `text`, None if there is nothing in it.

    Raises:
        BadValueError: it is no YAML, or more than one document.
    """
    try:
        root: yaml.Node | None = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as e:
        mark = e.problem_mark or e.context_mark
        message = " ".join(part for part in (e.context and f"{e.context}:", e.problem) if part)
        hint = "; YAML is indented with spaces" if "'\\t'" in message else ""
        # `api-key: *sk-1` is an alias to YAML: what it quotes may be part of a key.
        message, quoted = _NAMES_QUOTED.subn("", message)
        hint = "; quote a text that begins with `*`, `&` or `!`" if quoted else hint
        raise BadValueError((mark.line + 1 if mark else 1, f"not valid YAML: {message}{hint}")) from e
    except yaml.reader.ReaderError as e:
        line = text.count("\n", 0, e.position) + 1
        character = f"U+{ord(text[e.position]):04X}"
        raise BadValueError((line, f"not valid YAML: the character {character} is not allowed")) from e
    except RecursionError as e:
        raise BadValueError((1, "not valid YAML: nested too deeply")) from e
    except ValueError as e:
        # PyYAML lets what int() and chr() think of odd escapes and versions through, without a line.
        raise BadValueError((1, f"not valid YAML: {e}")) from e
    return root
