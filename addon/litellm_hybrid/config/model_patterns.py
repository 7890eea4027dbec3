"""Model names as the configuration lists them: exact spellings and globs.

Names are compared trimmed and without case. A suffix in parentheses, as in
`gpt-5(high)` or `gemini-2.5-pro(8192)`, is CLIProxyAPI's way to write a
thinking setting and not part of the name. In a glob only `*` and `?` are
special: `claude-sonnet-4-5[1m]` is a name that Claude Code really sends, for a
longer context; it is looked past like the other suffix.
"""

import fnmatch
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

_SUFFIX = re.compile(r"\([^()]*\)$")
_LONG_CONTEXT = re.compile(r"\[1m\]$", re.IGNORECASE)


def bare(name: str) -> str:
    """`name` trimmed and without its suffixes, `(…)` and `[1m]`; one that is only a suffix stays as it is."""
    return _candidates(name)[-1]


def without_suffix(name: str) -> tuple[str, str]:
    """A name without its thinking setting, and that: `gpt-5`, `(high)`; "" where it has none."""
    found = _SUFFIX.search(name.rstrip())
    plain = name[: found.start()].rstrip() if found else ""
    return (plain, found[0]) if found and plain else (name, "")


def _candidates(name: str) -> tuple[str, ...]:
    """A name trimmed, without `(…)`, and without `[1m]` too."""
    trimmed = name.strip()
    if not trimmed.endswith((")", "]")):
        return (trimmed,)
    plain = _SUFFIX.sub("", trimmed).rstrip() or trimmed
    return tuple(dict.fromkeys((trimmed, plain, _LONG_CONTEXT.sub("", plain).rstrip() or plain)))


@dataclass(frozen=True, slots=True)
class Patterns:
    """A set of exact names and globs that knows which of its entries a name matches.

    Attributes:
        entries: the entries as they were written, trimmed, in order.
    """

    entries: tuple[str, ...]
    _exact: Mapping[str, str] = field(init=False, repr=False, compare=False)
    _globs: tuple[tuple[Callable[[str], object], str], ...] = field(init=False, repr=False, compare=False)

    def __init__(self, entries: Iterable[str] = ()) -> None:
        trimmed = tuple(entry.strip() for entry in entries)
        exact: dict[str, str] = {}
        globs: list[str] = []
        for entry in trimmed:
            if is_glob(entry):
                globs.append(entry)
            else:
                exact.setdefault(entry.lower(), entry)
        # The glob that says more wins: its literal part is longer.
        globs.sort(key=lambda glob: len(glob) - glob.count("*") - glob.count("?"), reverse=True)
        object.__setattr__(self, "entries", trimmed)
        object.__setattr__(self, "_exact", exact)
        object.__setattr__(self, "_globs", tuple((_matcher(glob), glob) for glob in globs))

    def __bool__(self) -> bool:
        return bool(self.entries)

    def match(self, name: str) -> str | None:
        """The entry that `name` matches, spelt as in the configuration, or None.

        An exact entry comes before any glob, a glob with a longer literal part before a shorter one. Either
        may match the whole name or the bare one, an exact entry the whole name first: it may name a suffix.
        """
        if not self.entries:
            return None
        candidates = _candidates(name.lower())
        for candidate in candidates:
            if (entry := self._exact.get(candidate)) is not None:
                return entry
        for matches, glob in self._globs:
            for candidate in candidates:
                if matches(candidate):
                    return glob
        return None


def is_glob(entry: str) -> bool:
    """Whether an entry has a wildcard."""
    return "*" in entry or "?" in entry


def _matcher(glob: str) -> Callable[[str], object]:
    # fnmatch's translation cannot backtrack badly; a bracket is no wildcard here.
    return re.compile(fnmatch.translate(glob.lower().replace("[", "[[]"))).match
