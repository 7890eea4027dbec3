"""Upstream's lists of models on their way to clients: what stands in one, and what is routed joins it.

The shapes are those of CLIProxyAPI 6.10, 7.1 and 7.2: OpenAI's (`data`), Anthropic's (`data` and `has_more`,
for clients that look like Claude Code; 7.2 for all that send `anthropic-version`) and Gemini's (`models` with
a `name`). Codex's own (`models` with a `slug`, 7.1 and newer) is read, and left as it is.
"""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from time import monotonic
from typing import Any

import msgspec
from mitmproxy import http
from mitmproxy.net import encoding
from msgspec import Raw

from litellm_hybrid.config.settings import Settings, SettingsStore, is_glob
from litellm_hybrid.fallback.state import FallbackState
from litellm_hybrid.flow import local_replies
from litellm_hybrid.flow.exchange import Exchange
from litellm_hybrid.message.decoders import UndecodableError, decode
from litellm_hybrid.proxy.waits import Waits
from litellm_hybrid.routing import access, paths
from litellm_hybrid.routing.requested_model import disguised, is_disguised, undisguised
from litellm_hybrid.routing.rules import Target
from litellm_hybrid.runtime.prices import ask_litellm

# -- a list (pure) ---------------------------------------------------------------

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


# -- on its way to a client ------------------------------------------------------

_RENEW_AFTER = 60.0
"""Seconds after which LiteLLM is asked again for its list, when a client asks for one."""

_RETRY_AFTER = 2.0
"""The same after it has not answered."""

_FIRST_WAIT = 0.5
"""Seconds that the first request for a list waits for LiteLLM's, at most."""

_MOST = 4 * 1024 * 1024
"""Bytes of a list that is read; a longer one is passed on as it is."""


class ModelLists:
    """Merges lists; LiteLLM's own is asked for in the background, when a client asks and it is old."""

    def __init__(self, settings: SettingsStore, state: FallbackState, waits: Waits) -> None:
        self._settings = settings
        self._waits = waits
        self._state = state
        self._of_litellm: tuple[str, ...] | None = None
        self._renew_at = 0.0
        self._asking: asyncio.Task[None] | None = None
        settings.subscribe(self._apply)

    def _apply(self, _: Settings) -> None:
        self._of_litellm, self._renew_at = None, 0.0

    def prepare(self, flow: http.HTTPFlow, exchange: Exchange) -> None:
        """A request is about to be sent: where it asks for a list, ask LiteLLM for its own.

        For the very first one the request waits a moment, so that it is whole at once.
        """
        if not is_list(exchange.method, exchange.path) or not self._is_needed(exchange):
            return
        if self._asking is None or self._asking.done():
            self._asking = asyncio.get_running_loop().create_task(self._fetch())
        if self._of_litellm is None:
            self._waits.until(flow, asyncio.wait([self._asking], timeout=_FIRST_WAIT))

    def _is_needed(self, exchange: Exchange) -> bool:
        settings = self._settings.current
        by_glob = settings.passthrough or any(map(is_glob, settings.models.entries))
        is_old = monotonic() >= self._renew_at
        return settings.routing and by_glob and is_old and self._may_see(exchange)

    def _may_see(self, exchange: Exchange) -> bool:
        settings = self._settings.current
        return settings.models_list == "merge" and access.check(settings, exchange.client) is None

    async def _fetch(self) -> None:
        asked = self._settings.current
        found = await ask_litellm(self._settings, "/v1/models")
        if self._settings.current is not asked:  # perhaps of another LiteLLM
            return
        ids = found.model_ids if found is not None else None
        self._of_litellm = ids or self._of_litellm or ()
        self._renew_at = monotonic() + (_RENEW_AFTER if ids is not None else _RETRY_AFTER)

    def take(self, exchange: Exchange, response: http.Response) -> bool:
        """Read a response that has begun, if it is such a list; False: it is none, and nothing was done.

        One of a known length is waited for (see `merge`), any other collected on its way.
        """
        if not self._is_list(exchange, response):
            return False
        length = response.headers.get("content-length")
        if length is not None and not _is_short(length):
            return False
        if length is None:
            response.stream = self._collector(exchange, response.headers.get("content-encoding", ""))
        return True

    def merge(self, exchange: Exchange, response: http.Response) -> None:
        """Change a response whose end has come, if it is a list that was waited for: it is sent next."""
        if not response.stream and self._is_list(exchange, response):
            coding = response.headers.get("content-encoding", "")
            body = self._merged(exchange, response.raw_content or b"", coding)
            response.raw_content = body
            response.headers["content-length"] = str(len(body))

    def _is_list(self, exchange: Exchange, response: http.Response) -> bool:
        request = exchange.request
        return (
            is_list(request.method, request.sent.path)
            and response.status_code == 200
            and exchange.outcome.target is Target.UPSTREAM
            and not self._settings.is_empty
            and self._settings.current.active
        )

    def _collector(self, exchange: Exchange, coding: str) -> Callable[[bytes], tuple[bytes, ...]]:
        """A `response.stream` that gives out all at the end, or what is too long piece by piece."""
        collected, is_long = bytearray(), False

        def collect(piece: bytes) -> tuple[bytes, ...]:  # an empty chunk would end the response
            nonlocal is_long
            if is_long:
                return (piece,) if piece else ()
            collected.extend(piece)
            if piece and len(collected) <= _MOST:
                return ()
            body, is_long = bytes(collected), bool(piece)
            return (body if is_long else self._merged(exchange, body, coding),)

        return collect

    def _merged(self, exchange: Exchange, body: bytes, coding: str) -> bytes:
        """The list with what is routed, where its client may ask for that; what it held is remembered."""
        try:
            found = ModelList.read(decode(body, coding))
            if found is None:
                return body
            for name in found.names:
                self._state.served_models.add(name.lower())
            if not self._may_see(exchange):
                return body
            names = routed_names(self._settings.current, self._of_litellm or ())
            merged = found.with_models(names)
            return body if merged is None else encoding.encode(merged, coding or "identity")
        except UndecodableError:
            return body
        except Exception as e:  # noqa: BLE001 (whatever upstream has sent, the client gets it)
            local_replies.log_internal_error(exchange, e)
            return body


def _is_short(length: str) -> bool:
    return length.isascii() and length.isdecimal() and len(length) < 10 and int(length) <= _MOST
