"""What to change so that a request would go to LiteLLM after all.

Each change is tried on the settings, or on the request, and the rooms decide
anew, until they say LiteLLM: a fix that is named here is complete.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import NamedTuple

from litellm_hybrid.config.model_patterns import Patterns, bare
from litellm_hybrid.config.settings import Address, Settings
from litellm_hybrid.routing.router import Request, Routed, route
from litellm_hybrid.routing.rules import Reason, Target

EXAMPLE_BASE_URL = Address("http", "127.0.0.1", 4000)
SET_BASE_URL = f"set `base-url` to LiteLLM's address, for example {EXAMPLE_BASE_URL}"


WHOLE_CONVERSATION = "have the client send the whole conversation (`store: false`): then it may fall back"

_ASK_NO_MODEL = frozenset({"GET", "HEAD", "OPTIONS"})


class _Change(NamedTuple):
    """A change, and what it leaves; neither settings nor request: nothing further can be said."""

    text: str
    settings: Settings | None = None
    request: Request | None = None


def for_route(settings: Settings, request: Request) -> str:
    """All that has to change so that this request goes to LiteLLM at once; "" if it does."""
    said: list[str] = []
    while True:
        routed = route(settings, request)
        if routed.route.target is Target.LITELLM:
            if routed.refusal is not None:
                said.append(for_access(settings))
            return "; ".join(said)
        change = _CHANGES[routed.route.reason](settings, request, routed)
        said.append(change.text)
        if change.settings is None and change.request is None:
            return "; ".join(said)
        settings, request = change.settings or settings, change.request or request


def for_access(settings: Settings) -> str:
    """How a client that is refused may spend the key."""
    where = "or come from this machine, with a loopback Host and without Origin"
    if settings.client_keys:
        return f"send one of the keys in `client-api-keys`, {where}"
    return f"set `client-api-keys` and send one of them, {where}"


def _disabled(settings: Settings, request: Request, routed: Routed) -> _Change:
    if settings.enabled:
        return _no_base_url(settings, request, routed)
    return _Change("set `enabled: true`", settings=replace(settings, enabled=True))


def _no_base_url(settings: Settings, _request: Request, _routed: Routed) -> _Change:
    return _Change(SET_BASE_URL, settings=replace(settings, base_url=EXAMPLE_BASE_URL))


def _not_listed(settings: Settings, request: Request, routed: Routed) -> _Change:
    if not settings.routing:
        return _disabled(settings, request, routed)
    assert routed.route.model is not None
    name = bare(routed.route.model)
    listed = Patterns((*settings.models.entries, name))
    return _Change(
        f'add "{name}" to `models`, or set `passthrough-mode: true`',
        settings=replace(settings, models=listed),
    )


def _not_post(_settings: Settings, request: Request, _routed: Routed) -> _Change:
    if request.method in _ASK_NO_MODEL:
        return _Change(f"nothing to do: a {request.method} asks no model, and a list of models is upstream's")
    return _Change(
        f"send it as POST: LiteLLM gets nothing else, and this is {request.method}",
        request=replace(request, method="POST"),
    )


def _no_model(_settings: Settings, _request: Request, _routed: Routed) -> _Change:
    return _Change('name a model: as the text member "model" of a JSON body, a form field, or in the path')


def _unreadable_body(_settings: Settings, _request: Request, routed: Routed) -> _Change:
    problem = routed.named.problem if routed.named else ""
    return _Change(f"send a body that can be read, JSON or a form ({problem})")


def _never_reroute(_settings: Settings, request: Request, routed: Routed) -> _Change:
    if routed.named is not None:
        return _Change("send no `agent`: it lives on upstream's account, and only `model` can be routed")
    if request.own_via:
        return _Change(
            "break the loop: LiteLLM sends what it gets back to this proxy; give it another api_base"
        )
    return _Change("nothing helps: only upstream can serve this path")


def _websocket(settings: Settings, request: Request, routed: Routed) -> _Change:
    if routed.downgrade:
        return _Change("nothing to do: answered with 426, Codex sends the same as a POST, which is routed")
    change = _Change("use HTTP: a websocket is never routed")
    downgrading = replace(settings, websocket="downgrade")
    if route(downgrading, request).downgrade:
        return change._replace(text=f"{change.text}; `websocket: downgrade` makes Codex do so")
    return change


_CHANGES: Mapping[Reason, Callable[[Settings, Request, Routed], _Change]] = MappingProxyType(
    {
        Reason.DISABLED: _disabled,
        Reason.NO_BASE_URL: _no_base_url,
        Reason.NOT_LISTED: _not_listed,
        Reason.STATEFUL: _not_listed,
        Reason.NOT_POST: _not_post,
        Reason.NO_MODEL: _no_model,
        Reason.UNREADABLE_BODY: _unreadable_body,
        Reason.NEVER_REROUTE: _never_reroute,
        Reason.WEBSOCKET: _websocket,
    }
)
