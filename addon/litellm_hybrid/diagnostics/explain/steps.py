"""What each step of a decision said about a request, in words: up to the route and the access check."""

import difflib
from dataclasses import dataclass

from litellm_hybrid.config.model_patterns import bare
from litellm_hybrid.config.settings import Settings
from litellm_hybrid.diagnostics.explain.reasons import REASONS
from litellm_hybrid.message import credentials
from litellm_hybrid.message.redaction import redact_target
from litellm_hybrid.routing.access import AccessDenied
from litellm_hybrid.routing.requested_model import Named
from litellm_hybrid.routing.rules import Reason, Request, Routed, Target, name_for_litellm

NEAREST = 3
"""How many near misses are named for a model that is not listed."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a decision, and what it said."""

    name: str
    message: str


def request_steps(settings: Settings, request: Request, routed: Routed) -> list[Step]:
    """Describe the steps of `rules.route`, as far as they were taken."""
    steps = [Step("request", request_line(request)), Step("head", _head(settings, request, routed))]
    if routed.named is None:
        return steps
    steps.append(Step("body", _body(request, routed.named)))
    if (model := routed.route.model) is None:
        return steps
    if routed.reason is Reason.NEVER_REROUTE:
        return [*steps, Step("agent", "the interaction names an agent, which lives on upstream's account")]
    steps.append(Step("models", _models(settings, model)))
    if routed.route.litellm_model is not None:
        steps.append(Step("mapping", _mapping(settings, model, routed.route.litellm_model)))
    if routed.reason is Reason.STATEFUL:
        steps.append(Step("stateful", REASONS[Reason.STATEFUL].means))
    if routed.route.target is Target.LITELLM:
        steps.append(access_step(request, routed.refusal))
    return steps


def access_step(request: Request, refusal: AccessDenied | None) -> Step:
    """Describe what the access check said."""
    keys = len(credentials.presented(request.sent.headers, request.sent.query))
    origin = "with" if request.client.origin else "no"
    who = f"from {request.client.ip}, Host {request.client.host}, {origin} Origin, client keys: {keys}"
    if refusal is None:
        return Step("access", f"allowed: {who}")
    return Step("access", f"refused: {who}. {refusal.message}")


def nearest(settings: Settings, model: str) -> tuple[str, ...]:
    """Return the entries of `models` that a model's name resembles most."""
    entries: dict[str, str] = {}
    for entry in settings.models.entries:
        # `openai/gpt-5` resembles `gpt-5`.
        entries.setdefault(entry.lower(), entry)
        entries.setdefault(entry.lower().rpartition("/")[2], entry)
    close = difflib.get_close_matches(bare(model).lower(), list(entries), 2 * NEAREST)
    return tuple(dict.fromkeys(entries[spelling] for spelling in close))[:NEAREST]


def request_line(request: Request) -> str:
    """Return method and target, without credentials."""
    sent = request.sent
    return f"{request.method} {redact_target(f'{sent.path}?{sent.query}' if sent.query else sent.path)}"


def _head(settings: Settings, request: Request, routed: Routed) -> str:
    if routed.named is not None:
        return "leaves it open: the body is read"
    if request.own_via and routed.reason is Reason.NEVER_REROUTE:
        return "its Via says that it has been through litellm-hybrid already"
    means = REASONS[routed.reason].means
    if routed.downgrade:
        return f"{means}; `websocket: {settings.websocket}` answers it with 426"
    return means


def _body(request: Request, named: Named) -> str:
    coding = request.sent.header(b"content-encoding")
    size = f"{len(request.sent.body)} bytes" + (f" of {coding}" if coding else "")
    if named.content is None:
        return f"{size}, cannot be read: {named.problem}"
    if named.model is None:
        return f"{size}; neither body nor path names a model"
    where = {"json": "JSON", "form": "a form", "path": "the path"}[named.where]
    return f'{size}; {where} names the model "{named.model}"'


def _models(settings: Settings, model: str) -> str:
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


def _mapping(settings: Settings, model: str, litellm_model: str) -> str:
    if (entry := settings.mapping_patterns.match(model)) is not None:
        return f'the entry {entry} makes it "{litellm_model}" for LiteLLM'
    if litellm_model == name_for_litellm(settings, model, None):
        return f'none: LiteLLM gets the client\'s "{litellm_model}"'
    return f'none: LiteLLM gets "{litellm_model}", as the entry of `models` spells it'
