"""What a decision about a request, and about upstream's response, said at each step. Nothing is sent."""

import dataclasses
import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from litellm_hybrid.config.model_patterns import bare
from litellm_hybrid.config.settings import FALLBACK_KINDS, Settings
from litellm_hybrid.diagnostics.explain import outgoing, remedies
from litellm_hybrid.diagnostics.explain.outgoing import Sent, shown_target
from litellm_hybrid.diagnostics.explain.reasons import REASONS
from litellm_hybrid.diagnostics.explain.remedies import Obstacle, UpstreamResponse
from litellm_hybrid.message import credentials
from litellm_hybrid.observability.admin_endpoints import PAGES, AdminRequest, AdminResponse, is_own, respond
from litellm_hybrid.quota.classifier import Verdict
from litellm_hybrid.routing import access
from litellm_hybrid.routing.access import AccessDenied
from litellm_hybrid.routing.requested_model import Named
from litellm_hybrid.routing.rules import Reason, Request, Routed, Target, name_for_litellm, route
from litellm_hybrid.terminal import OutputLine, Style

NEAREST = 3
"""How many near misses are named for a model that is not listed."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a decision, and what it said."""

    name: str
    message: str


def request_steps(settings: Settings, request: Request, routed: Routed) -> list[Step]:
    """Describe the steps of `rules.route`, as far as they were taken."""
    steps = [
        _request_step(request),
        Step("head", _head(settings, request, routed)),
    ]
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


def _request_step(request: Request) -> Step:
    return Step("request", f"{request.method} {shown_target(request)}")


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


_SERVERS = {Target.LITELLM: "LiteLLM", Target.UPSTREAM: "upstream", Target.NONE: "nobody"}


@dataclass(frozen=True, slots=True)
class Explanation:
    """A whole decision.

    Attributes:
        steps: in order.
        target: as in the route header.
        reason: as in the route header.
        model: as the client spells it; None: unknown, or not looked for.
        litellm_model: LiteLLM's name for it, where it may go there.
        sent: what the last server asked gets; None: the proxy answers by itself.
        own_status: the status of the proxy's own response, None if it gives none.
        verdict: what upstream's response means, if one was given.
        fixes: the ways to get it to LiteLLM, each complete by itself; empty if it goes there.
    """

    steps: tuple[Step, ...]
    target: Target
    reason: Reason
    model: str | None = None
    litellm_model: str | None = None
    sent: Sent | None = None
    own_status: int | None = None
    verdict: Verdict | None = None
    fixes: tuple[str, ...] = ()

    def lines(self) -> list[OutputLine]:
        """Format it for people: the steps, the outcome, how to change it, what would be sent."""
        fixes = enumerate(self.fixes)
        return [
            *(OutputLine(step.name, step.message) for step in self.steps),
            OutputLine("", ""),
            self._outcome(),
            *(OutputLine("or" if other else "fix", fix, Style.NOTICE) for other, fix in fixes),
            *(self.sent.lines() if self.sent else ()),
        ]

    def as_json(self) -> dict[str, object]:
        """Format it for programs: the same, as a JSON object.

        `sends` and the steps' `says` are the names that `litellm_model` and `message` had before; they go
        with the next release.
        """
        value = dataclasses.asdict(self) | {"sends": self.litellm_model}
        value["steps"] = [{"name": s.name, "message": s.message, "says": s.message} for s in self.steps]
        return value

    def _outcome(self) -> OutputLine:
        reason = f"reason={self.reason}"
        if (status := self.own_status) is not None:
            style = Style.BAD if status >= 400 else Style.GOOD
            return OutputLine("response", f"{status} by litellm-hybrid itself; {reason}", style)
        style = Style.GOOD if self.target is Target.LITELLM else Style.NOTICE
        return OutputLine("goes to", f"{_SERVERS[self.target]}; {reason}", style)


def explain(
    settings: Settings, request: Request, response: UpstreamResponse | None = None, *, now: float = 0.0
) -> Explanation:
    """Explain where a request goes, and with `response` whether upstream's would be replayed.

    Args:
        settings: those in force.
        request: the client's.
        response: upstream's, complete.
        now: epoch seconds; waits in the response are relative to it.
    """
    if is_own(request.sent.path):
        return _own_page(settings, request)
    routed = route(settings, request)
    steps = request_steps(settings, request, routed)
    target, reason = routed.route.target, routed.reason
    own_status = routed.refusal.status if routed.refusal else 426 if routed.downgrade else None
    sent = None if own_status else outgoing.to_server(settings, request, routed, target)
    fixes = [remedies.for_route(settings, request)]
    if reason is Reason.STATEFUL:
        fixes.append(remedies.WHOLE_CONVERSATION)
    verdict = None
    if response is not None:
        verdict = remedies.verdict(response, now=now)
        found = remedies.obstacles(settings, request, response, now=now)
        fixes.append(remedies.for_replay(settings, request, found))
        replayed = "nothing keeps the request from being replayed to LiteLLM"
        if found:
            replayed = f"not replayed: {_reasons(found)}"
        steps += [Step("response", _verdict(response, verdict)), Step("fallback", replayed)]
        if not found:
            refusal = access.check(settings, request.client)
            steps.append(access_step(request, refusal))
            if refusal is None:
                target, reason = Target.LITELLM, Reason.FALLBACK
                sent, fixes = outgoing.to_server(settings, request, routed, target), []
            else:
                reason = Reason.FALLBACK_FAILED
    elif routed.named is not None and target is Target.UPSTREAM:
        steps += _fallback_steps(settings, routed)
    return Explanation(
        steps=tuple(steps),
        target=target,
        reason=reason,
        model=routed.route.model,
        litellm_model=routed.route.litellm_model,
        sent=sent,
        own_status=own_status,
        verdict=verdict,
        fixes=tuple(fix for fix in fixes if fix),
    )


def _own_page(settings: Settings, request: Request) -> Explanation:
    sent = request.sent
    asked = AdminRequest(request.method, sent.path, sent.query, sent.header(b"accept"), request.client)
    page = respond(asked, settings, dict.fromkeys(PAGES, lambda _: AdminResponse(200, b"")))
    refusal = None if isinstance(page, AdminResponse) else page
    whose = f"this path is the proxy's own and never goes to a server; its pages are {', '.join(PAGES)}"
    steps = (
        _request_step(request),
        Step("own page", whose),
        access_step(request, refusal),
    )
    reason = Reason.REFUSED if refusal else Reason.OWN_PAGE
    return Explanation(steps, Target.NONE, reason, own_status=page.status)


def _verdict(response: UpstreamResponse, verdict: Verdict) -> str:
    words = f"{response.head.status} means {verdict.kind}; the rule that decides: {verdict.reason}"
    if verdict.retry_after is not None:
        words += f"; retry after {verdict.retry_after:g} s"
    if verdict.per_request:
        words += "; the account still serves other requests"
    return f'{words}; it says "{verdict.message}"' if verdict.message else words


def _fallback_steps(settings: Settings, routed: Routed) -> list[Step]:
    model = routed.route.model
    if model is None or routed.route.litellm_model is None:
        return []
    kinds = ", ".join(kind for kind in FALLBACK_KINDS if kind in settings.fallback.on)
    says = f"an upstream failure of these kinds is replayed to LiteLLM: {kinds}"
    if not routed.route.may_fall_back:
        says = f"none, an upstream failure reaches the client: {_reasons(remedies.outside(settings, model))}"
    return [Step("fallback", says)]


def _reasons(found: Sequence[Obstacle]) -> str:
    return "; ".join(obstacle.why for obstacle in found)
