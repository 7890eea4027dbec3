"""Lists of models as upstream writes them: what stands in one, and the same with what is routed to LiteLLM.

The shapes are those of CLIProxyAPI 6.10, 7.1 and 7.2: OpenAI's (`data`), Anthropic's (`data` and `has_more`,
for clients that look like Claude Code; 7.2 for all that send `anthropic-version`) and Gemini's (`models` with
a `name`). Codex's own (`models` with a `slug`, 7.1 and newer) is read, and left as it is.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import Raw

from litellm_hybrid.config.settings import Settings, is_glob
from litellm_hybrid.routing import paths
from litellm_hybrid.routing.requested_model import disguised, is_disguised, undisguised

_PATHS = frozenset({"/v1/models", "/models", "/v1beta/models", "/v1alpha/models"})
_GEMINI = "models/"
_OWNER = "litellm"
_UNDATED = "1970-01-01T00:00:00Z"
"""Anthropic's own value for a model whose date is not known."""

_members = msgspec.json.Decoder(dict[str, Raw])


class _Entry(msgspec.Struct):
    id: str = ""
    name: str = ""
    slug: str = ""
    created_at: Any = None


_entries = msgspec.json.Decoder(list[_Entry])
_raw_entries = msgspec.json.Decoder(list[Raw])


def is_list(method: str, path: str) -> bool:
    """Whether a request asks which models there are."""
    return method == "GET" and paths.strip_provider(path).rstrip("/") in _PATHS


def routed_names(settings: Settings, of_litellm: Iterable[str]) -> list[str]:
    """The names under which clients may ask for what is routed; those of globs as LiteLLM lists them."""
    if not settings.routing:
        return []
    own = (*settings.models.entries, *settings.mapping_patterns.entries)
    listed = [name for name in own if not is_glob(name)]
    found: dict[str, str] = {}
    for name in (*listed, *(name for name in of_litellm if not is_glob(name))):
        if name and (settings.passthrough or settings.models.match(name) is not None):
            found.setdefault(name.lower(), name)
    return list(found.values())


@dataclass(frozen=True, slots=True)
class ModelList:
    """A list of models.

    Attributes:
        names: as requests name them: a disguised one as it was before.
    """

    names: tuple[str, ...]
    _key: str
    _members: dict[str, Raw]
    _entries: tuple[_Entry, ...]

    @classmethod
    def read(cls, body: bytes) -> "ModelList | None":
        """The list in a response's body (without its content coding); None: it is none."""
        try:
            members = _members.decode(body)
            key = "data" if "data" in members else "models"
            entries = tuple(_entries.decode(members.get(key, Raw(b""))))
        except (ValueError, RecursionError):
            return None
        names = (undisguised(e.id) or e.slug or e.name.removeprefix(_GEMINI) for e in entries)
        return cls(tuple(name for name in names if name), key, members, entries)

    def with_models(self, names: Iterable[str]) -> bytes | None:
        """The list with these models behind its own, each once; None: there is nothing to add."""
        known = {name.lower() for name in self.names}
        added = [name for name in names if name.lower() not in known]
        if not added or any(entry.slug for entry in self._entries):
            return None
        new = [self._entry(name) for name in added]
        members: dict[str, Any] = dict(self._members)
        members[self._key] = [*_raw_entries.decode(members[self._key]), *new]
        if "last_id" in members:
            members["last_id"] = new[-1]["id"]
            if not self._entries:
                members["first_id"] = new[0]["id"]
        return msgspec.json.encode(members)

    def _entry(self, name: str) -> dict[str, Any]:
        if self._key == "models":
            methods = ["generateContent", "countTokens"]
            return {
                "name": _GEMINI + name,
                "displayName": name,
                "description": name,
                "supportedGenerationMethods": methods,
            }
        if "has_more" not in self._members:
            return {"id": name, "object": "model", "created": 0, "owned_by": _OWNER}
        return {
            "type": "model",
            "id": disguised(name) if self._is_disguising else name,
            "display_name": name,
            "created_at": 0 if self._has_old_dates else _UNDATED,
            "object": "model",
            "owned_by": _OWNER,
        }

    @property
    def _is_disguising(self) -> bool:
        """Whether other providers' models stand here under names that Claude Code's picker shows (7.2).

        It may list none: then the dates tell, which are numbers in 7.1 and older.
        """
        plain = any(not entry.id.startswith("claude-") for entry in self._entries)
        return not plain and (any(is_disguised(e.id) for e in self._entries) or not self._has_old_dates)

    @property
    def _has_old_dates(self) -> bool:
        return any(isinstance(entry.created_at, int) for entry in self._entries)
