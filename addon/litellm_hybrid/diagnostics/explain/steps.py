"""What each room said about a request, in words: the steps up to the route and the access check."""

import difflib
from dataclasses import dataclass

from litellm_hybrid.config.model_patterns import bare
from litellm_hybrid.config.settings import Settings
from litellm_hybrid.message import credentials
from litellm_hybrid.message import redaction as masking
from litellm_hybrid.routing import rules as routing
from litellm_hybrid.routing.access import Refusal
from litellm_hybrid.routing.requested_model import Named
from litellm_hybrid.routing.router import Request, Routed
from litellm_hybrid.routing.rules import Reason, Target

NEAREST = 3
"""How many near misses are named for a model that is not listed."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step: the room that took it and what it said."""

    name: str
    says: str


def request_steps(settings: Settings, request: Request, routed: Routed) -> list[Step]:
    """The steps of `decision.route`, as far as they were taken."""
    steps = [Step("request", request_words(request)), Step("head", _head_words(settings, request, routed))]
    if routed.named is None:
        return steps
    steps.append(Step("body", _body_words(request, routed.named)))
    if (model := routed.route.model) is None:
        return steps
    if routed.reason is Reason.NEVER_REROUTE:
        return [*steps, Step("agent", "the interaction names an agent, which lives on upstream's account")]
    steps.append(Step("models", _models_words(settings, model)))
    if routed.route.sends is not None:
        steps.append(Step("mapping", _mapping_words(settings, model, routed.route.sends)))
    if routed.reason is Reason.STATEFUL:
        steps.append(Step("stateful", "previous_response_id: only upstream has the response it continues"))
    if routed.route.target is Target.LITELLM:
        steps.append(access_step(request, routed.refusal))
    return steps


def access_step(request: Request, refusal: Refusal | None) -> Step:
    """What access.py said."""
    keys = len(credentials.presented(request.sent.headers, request.sent.query))
    origin = "with" if request.client.origin else "no"
    who = f"from {request.client.ip}, Host {request.client.host}, {origin} Origin, client keys: {keys}"
    if refusal is None:
        return Step("access", f"allowed: {who}")
    return Step("access", f"refused: {who}. {refusal.message}")


def nearest(settings: Settings, model: str) -> tuple[str, ...]:
    """The entries of `models` that a model's name resembles most."""
    entries: dict[str, str] = {}
    for entry in settings.models.entries:
        # `openai/gpt-5` resembles `gpt-5`.
        entries.setdefault(entry.lower(), entry)
        entries.setdefault(entry.lower().rpartition("/")[2], entry)
    close = difflib.get_close_matches(bare(model).lower(), list(entries), 2 * NEAREST)
    return tuple(dict.fromkeys(entries[spelling] for spelling in close))[:NEAREST]


def request_words(request: Request) -> str:
    """Method and target, without credentials."""
    sent = request.sent
    target = masking.masked_target(f"{sent.path}?{sent.query}" if sent.query else sent.path)
    return f"{request.method} {target}"


def _head_words(settings: Settings, request: Request, routed: Routed) -> str:
    if routed.named is not None:
        return "leaves it open: the body is read"
    words = {
        Reason.DISABLED: "nothing goes to LiteLLM: neither `enabled` nor `fallback.enabled` is on",
        Reason.NO_BASE_URL: "nothing goes to LiteLLM: `enabled` is on, but there is no base-url",
        Reason.WEBSOCKET: "asks for a websocket",
        Reason.NEVER_REROUTE: "only upstream can serve this path",
        Reason.NOT_POST: f"{request.method}: only a POST is routed",
    }
    if routed.reason is Reason.NEVER_REROUTE and request.own_via:
        return "its Via says that it has been through litellm-hybrid already"
    if routed.downgrade:
        return f"{words[routed.reason]}; `websocket: {settings.websocket}` answers it with 426"
    return words[routed.reason]


def _body_words(request: Request, named: Named) -> str:
    coding = request.sent.header(b"content-encoding")
    size = f"{len(request.sent.body)} bytes" + (f" of {coding}" if coding else "")
    if named.content is None:
        return f"{size}, cannot be read: {named.problem}"
    if named.model is None:
        return f"{size}; neither body nor path names a model"
    where = {"json": "JSON", "form": "a form", "path": "the path"}[named.where]
    return f'{size}; {where} names the model "{named.model}"'


def _models_words(settings: Settings, model: str) -> str:
    entry = settings.models.match(model)
    ignored = "" if settings.routing else "; `models` has no effect while `enabled` is off"
    if entry is not None:
        return f'"{model}" matches the entry {entry}{ignored}'
    if settings.routing and settings.passthrough:
        return "no entry matches; `passthrough-mode` takes every model"
    near = nearest(settings, model)
    hint = f"; nearest: {', '.join(near)}" if near else ""
    if settings.routing and settings.mapped(model) is not None:
        hint += "; `model-mappings` has it, but a mapping alone does not route"
    return f'no entry matches "{model}"{hint}{ignored}'


def _mapping_words(settings: Settings, model: str, sends: str) -> str:
    if (entry := settings.mapping_patterns.match(model)) is not None:
        return f'the entry {entry} makes it "{sends}" for LiteLLM'
    if sends == routing.name_for_litellm(settings, model, None):
        return f'none: LiteLLM gets the client\'s "{sends}"'
    return f'none: LiteLLM gets "{sends}", as the entry of `models` spells it'
