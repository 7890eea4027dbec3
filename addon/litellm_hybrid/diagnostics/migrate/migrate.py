"""Turn the fork's flat keys (`litellm-models`) into the namespaced form (`extensions.litellm.models`).

The text is edited and not written anew from what YAML reads in it: whatever is
not one of our keys keeps every byte. The result is read again before anybody
sees it, and has to say the same.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import yaml

from litellm_hybrid.config.parser import ConfigError, Parsed, parse
from litellm_hybrid.config.schema import BY_FLAT, NAMESPACE
from litellm_hybrid.config.yaml_nodes import Value, compose
from litellm_hybrid.diagnostics.migrate import edits as migrate_edits
from litellm_hybrid.diagnostics.migrate import lines as migrate_text

_BOM = "\ufeff"
_SECTION = NAMESPACE.rstrip(".")


@dataclass(frozen=True, slots=True)
class Migrated:
    """A file in the namespaced form.

    Attributes:
        text: its content.
        changed: whether that is another one than before.
        notes: what a person should know about it, a line each.
    """

    text: str
    changed: bool
    notes: tuple[str, ...] = ()


def migrate(text: str, *, source: str, env: Mapping[str, str]) -> Migrated:
    """The file whose content is `text`, with each flat key in its namespaced form.

    Comments, order, quotes, anchors, line ends and `${VAR}` stay as they are.

    Args:
        text: the file's content.
        source: the file's name, for messages.
        env: where `${VAR}` is looked up, to see what the file says; no value of it gets into the result.

    Raises:
        ConfigError: the file is not valid, or gives a setting in both forms with different values, or
            cannot be rewritten without changing what it says.
    """
    before = parse(text, source=source, env=env)
    plain = text.removeprefix(_BOM)
    root = compose(plain)
    if root is None or not _flat_keys(root):
        return Migrated(text, changed=False, notes=(f"{source}: has no flat key; nothing is changed",))
    try:
        block = migrate_text.in_block_form(plain)
        candidates = [migrate_edits.moved(block, to_the_last=last) for last in (False, True)]
    except ValueError as e:
        raise ConfigError((f"{source}: {e}",)) from e
    # A text in a block may end the file now, and its last line have no end: that would be another text.
    endings = ("",) if block.endswith(("\n", "\r")) else ("", migrate_text.newline(block))
    for candidate, dropped in (
        (moved + ending, dropped) for moved, dropped in candidates for ending in endings
    ):
        if _says_the_same(candidate, before, root, env):
            notes = tuple(f"{source}: {note}" for note in dropped)
            return Migrated(text[: len(text) - len(plain)] + candidate, changed=True, notes=notes)
    why = "perhaps because of an alias (`*name`) or a merge (`<<`); "
    raise ConfigError(
        (f"{source}: its flat keys cannot be moved, {why}move them below `{_SECTION}` by hand",)
    )


def _flat_keys(root: yaml.Node) -> frozenset[str]:
    """Those in force, merged ones (`<<`) among them."""
    return frozenset(key.name for key, _ in Value(root).pairs()) & BY_FLAT.keys()


def _says_the_same(candidate: str, before: Parsed, root: yaml.Node, env: Mapping[str, str]) -> bool:
    try:
        after = parse(candidate, source="", env=env)
        migrated = compose(candidate)
    except ValueError:  # no longer YAML, or no valid configuration
        return False
    assert migrated is not None
    same = after.settings == before.settings and _not_ours(migrated) == _not_ours(root)
    return same and not _flat_keys(migrated)


def _not_ours(root: yaml.Node) -> str:
    """All of a file but our settings, in one way of writing it."""
    return yaml.serialize(_without(root, {*BY_FLAT, "extensions.litellm"}))


def _without(node: yaml.Node, names: set[str], prefix: str = "") -> yaml.Node:
    """A mapping without some of its keys, and without `extensions` if nothing else is in it."""
    if not isinstance(node, yaml.MappingNode):
        return node
    kept = []
    for key, value in node.value:
        rest = value
        if key.value == "extensions" and not prefix:
            rest = _without(value, names, "extensions.")
            if not rest.value or Value(rest).is_null:
                continue
        if f"{prefix}{key.value}" not in names:
            kept.append((key, rest))
    return yaml.MappingNode(node.tag, kept)
