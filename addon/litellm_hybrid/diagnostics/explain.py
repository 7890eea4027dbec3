"""Where a request goes, step by step, what a server gets, what upstream's response means. Nothing is sent.

Every credential in what would be sent is `***`.
"""

import difflib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial

from litellm_hybrid.config.settings import FALLBACK_KINDS, Settings, bare
from litellm_hybrid.diagnostics import remedies
from litellm_hybrid.diagnostics.reasons import REASONS
from litellm_hybrid.diagnostics.remedies import Obstacle, UpstreamResponse
from litellm_hybrid.fallback.response_hold import is_excepted
from litellm_hybrid.llm.replay import body as replay_body
from litellm_hybrid.message import credentials, forwarded, ids
from litellm_hybrid.message.credentials import redact_as_text, redact_target
from litellm_hybrid.observability.admin_endpoints import PAGES, AdminRequest, AdminResponse, is_own, respond
from litellm_hybrid.quota.classifier import Verdict
from litellm_hybrid.routing import access, rewrite
from litellm_hybrid.routing.access import AccessDenied
from litellm_hybrid.routing.requested_model import Named
from litellm_hybrid.routing.rules import Reason, Request, Routed, Target, name_for_litellm, route
from litellm_hybrid.terminal import OutputLine, Style

_GENERATED_ID = "req-..."
"""Stands for the request id that a real request would be given."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A request as a server gets it, with its credentials masked.

    Attributes:
        server: "litellm" or "upstream".
        body: a summary of it.
        stripped: the target at an upstream without `/api/provider/` routes, where `auto` decides; or "".
    """

    server: str
    url: str
    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: str
    stripped: str = ""

    def lines(self) -> list[OutputLine]:
        """Format it for people."""
        return [
            OutputLine("", ""),
            OutputLine("sent to", self.url),
            OutputLine("", f"{self.method} {self.target}"),
            *([OutputLine("", f"{self.stripped} if upstream answers 404 there")] if self.stripped else []),
            *(OutputLine("", f"{name}: {value}", Style.QUIET) for name, value in self.headers),
            OutputLine("body", self.body),
        ]


def _to_server(
    settings: Settings, request: Request, routed: Routed, target: Target, *, replayed: bool = False
) -> Sent:
    """Make the request as a server gets it; `replayed`: it goes to LiteLLM in upstream's place."""
    if target is not Target.LITELLM:
        return _to_upstream(settings, request)
    named, model = routed.named, routed.route.litellm_model
    assert named is not None
    assert model is not None
    sent = replace(request.sent, headers=forwarded.put(request.sent.headers, request.client.ip))
    outgoing = rewrite.for_litellm(settings, sent, named, model, _request_id(request))
    note = [] if outgoing.body != request.sent.body else ["as the client sends it"]
    if coding := request.sent.header(b"content-encoding"):
        note.append(f"decoded from {coding}")
    if named.where in ("json", "form") and named.model != model:
        note.append(f'names "{model}" for "{named.model}", all else as it was')
    if replayed and (api := replay_body.api_of(sent.path)) is not None:
        fit = partial(replay_body.prepare, api=api, drop_params=settings.fallback.drop_params)
        replay = rewrite.for_litellm(settings, sent, named, model, _request_id(request), fit=fit)
        if replay.body != outgoing.body:
            outgoing = replay
            note = ["in the form of a replay, see docs/fallback.md"]
    return Sent(
        server="litellm",
        url=str(replace(outgoing.address, path="")),
        method=request.method,
        target=redact_target(outgoing.target),
        headers=redact_as_text(outgoing.headers),
        body=_summary(len(outgoing.body), ", ".join(note)),
    )


def _to_upstream(settings: Settings, request: Request) -> Sent:
    """The client's own, but for Host, X-Request-ID and a stripped prefix."""
    sent = request.sent
    host = str(settings.upstream).partition("://")[2].encode()
    headers = [
        (name, host if name.lower() == b"host" else value)
        for name, value in forwarded.put(sent.headers, request.client.ip)
        if name.lower() != b"x-request-id"
    ]
    headers.append((b"X-Request-ID", _request_id(request).encode()))
    target = _shown_target(request)
    stripped, strip = rewrite.without_provider_prefix(target), settings.strip_provider_prefix
    return Sent(
        server="upstream",
        url=str(settings.upstream),
        method=request.method,
        target=stripped if strip is True else target,
        headers=redact_as_text(headers),
        body=_summary(len(sent.body), "as the client sends it"),
        stripped=stripped if strip == "auto" and stripped != target else "",
    )


def _shown_target(request: Request) -> str:
    """Return path and query of the client's request, without credentials."""
    sent = request.sent
    return redact_target(f"{sent.path}?{sent.query}" if sent.query else sent.path)


def _request_id(request: Request) -> str:
    given = request.sent.header(b"x-request-id")
    return given if ids.is_valid(given) else _GENERATED_ID


def _summary(length: int, note: str) -> str:
    if not length:
        return "no body"
    return f"{length} bytes, {note}" if note else f"{length} bytes"


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
    return Step("request", f"{request.method} {_shown_target(request)}")


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
    if not settings.routing and not settings.models.entries:
        return "no model is routed at once: `enabled` is off"
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
    """A whole decision; target and reason as in the route header.

    Attributes:
        model: as the client spells it; None: unknown, or not looked for.
        litellm_model: LiteLLM's name for it, where it may go there.
        sent: what the last server asked gets; None: the proxy answers by itself, with `own_status`.
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
        value = asdict(self) | {"sends": self.litellm_model}
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
    """Explain where a request goes, and with upstream's complete `response` whether it would be replayed.

    `now`: epoch seconds; waits in the response are relative to it.
    """
    if is_own(request.sent.path):
        return _own_page(settings, request)
    routed = route(settings, request)
    if routed.route.may_fall_back and routed.named is not None and routed.named.stateful:  # a long body
        stateful = replace(routed.route, reason=Reason.STATEFUL, may_fall_back=False)
        routed = replace(routed, route=stateful)
    steps = request_steps(settings, request, routed)
    target, reason = routed.route.target, routed.reason
    own_status = routed.refusal.status if routed.refusal else 426 if routed.downgrade else None
    sent = None if own_status else _to_server(settings, request, routed, target)
    fixes = _fixes_of_route(settings, request, routed, answered=response is not None)
    verdict = None
    if response is not None:
        verdict = remedies.verdict(response, now=now)
        found = remedies.obstacles(settings, request, response, now=now)
        fixes.append(remedies.for_replay(settings, request, found))
        replayed = "nothing keeps the request from being replayed to LiteLLM"
        if found:
            replayed = f"not replayed: {_reasons(found)}"
            if _is_excepted(settings, routed, response, verdict):
                reason = Reason.EXCEPTED
        steps += [Step("response", _verdict(response, verdict)), Step("fallback", replayed)]
        if not found:
            refusal = access.check(settings, request.client)
            steps.append(access_step(request, refusal))
            if refusal is None:
                target, reason = Target.LITELLM, Reason.FALLBACK
                sent, fixes = _to_server(settings, request, routed, target, replayed=True), []
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


def _fixes_of_route(settings: Settings, request: Request, routed: Routed, *, answered: bool) -> list[str]:
    """Return what gets a request to LiteLLM; `answered`: what upstream's response lacks is said apart."""
    model, reason = routed.route.model, routed.reason
    if settings.fallback.enabled and not settings.routing and reason is Reason.NOT_LISTED and model:
        # Only failures are to go to LiteLLM here: routing is no fix.
        found = () if answered else remedies.outside(settings, model)
        return ["; ".join(obstacle.fix for obstacle in found)]
    fixes = [remedies.for_route(settings, request)]
    return [*fixes, remedies.WHOLE_CONVERSATION] if reason is Reason.STATEFUL else fixes


def _is_excepted(settings: Settings, routed: Routed, response: UpstreamResponse, verdict: Verdict) -> bool:
    model, by_no_rule = routed.route.model, routed.reason in (Reason.NOT_LISTED, Reason.DISABLED)
    status = response.head.status
    return by_no_rule and bool(model) and is_excepted(settings.fallback, model or "", status, verdict.kind)


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
    words = f"{response.head.status} means {verdict.kind}; the rule that decides: {verdict.rule}"
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
