"""The steps of a decision about a request, and about upstream's answer to it, as data. Nothing is sent."""

from dataclasses import dataclass

from litellm_hybrid.config.settings import FALLBACK_KINDS, Settings
from litellm_hybrid.diagnostics.explain import outgoing as explain_sent
from litellm_hybrid.diagnostics.explain import remedies as explain_fix
from litellm_hybrid.diagnostics.explain import upstream_answer as explain_answer
from litellm_hybrid.diagnostics.explain.outgoing import Sent
from litellm_hybrid.diagnostics.explain.steps import Step, access_step, request_steps, request_words
from litellm_hybrid.diagnostics.explain.upstream_answer import Answer, Obstacle
from litellm_hybrid.observability import admin_endpoints as pages
from litellm_hybrid.observability.admin_endpoints import Asked, Page
from litellm_hybrid.quota.classifier import Verdict
from litellm_hybrid.routing import access
from litellm_hybrid.routing.router import Request, Routed, route
from litellm_hybrid.routing.rules import Reason, Target


@dataclass(frozen=True, slots=True)
class Explanation:
    """A whole decision.

    Attributes:
        steps: in order.
        target: as in the route header.
        reason: as in the route header.
        model: as the client spells it; None: unknown, or not looked for.
        sends: LiteLLM's name for it, where it may go there.
        sent: what the last server asked gets; None: the proxy answers by itself.
        own_status: the status of the proxy's own answer, None if it gives none.
        verdict: what upstream's answer means, if one was given.
        fixes: the ways to get it to LiteLLM, each complete by itself; empty if it goes there.
    """

    steps: tuple[Step, ...]
    target: Target
    reason: Reason
    model: str | None
    sends: str | None
    sent: Sent | None
    own_status: int | None
    verdict: Verdict | None
    fixes: tuple[str, ...]


def explain(
    settings: Settings, request: Request, answer: Answer | None = None, *, now: float = 0.0
) -> Explanation:
    """Explain where a request goes, and with `answer` whether upstream's answer would be replayed.

    Args:
        settings: those in force.
        request: the client's.
        answer: upstream's, complete.
        now: epoch seconds; waits in the answer are relative to it.
    """
    if pages.is_own(request.sent.path):
        return _own_page(settings, request)
    routed = route(settings, request)
    steps = request_steps(settings, request, routed)
    target, reason = routed.route.target, routed.reason
    sent, own_status = _sent(settings, request, routed)
    fixes = [explain_fix.for_route(settings, request)]
    if reason is Reason.STATEFUL:
        fixes.append(explain_fix.WHOLE_CONVERSATION)
    verdict = None
    if answer is None and routed.named is not None and target is Target.UPSTREAM:
        steps += _fallback_steps(settings, routed)
    if answer is not None:
        verdict = explain_answer.verdict(answer, now=now)
        found = explain_answer.obstacles(settings, request, answer, now=now)
        fixes.append(explain_answer.fix(settings, request, found))
        steps += [Step("answer", _verdict_words(answer, verdict)), Step("fallback", _replay_words(found))]
        if not found:
            refusal = access.check(settings, request.client)
            steps.append(access_step(request, refusal))
            if refusal is None:
                target, reason = Target.LITELLM, Reason.FALLBACK
                sent, fixes = _to_litellm(settings, request, routed), []
            else:
                reason = Reason.FALLBACK_FAILED
    return Explanation(
        steps=tuple(steps),
        target=target,
        reason=reason,
        model=routed.route.model,
        sends=routed.route.sends,
        sent=sent,
        own_status=own_status,
        verdict=verdict,
        fixes=tuple(fix for fix in fixes if fix),
    )


def _own_page(settings: Settings, request: Request) -> Explanation:
    sent = request.sent
    asked = Asked(request.method, sent.path, sent.query, sent.header(b"accept"), request.client)
    page = pages.answer(asked, settings, dict.fromkeys(pages.PAGES, lambda _: Page(200, b"")))
    refusal = None if isinstance(page, Page) else page
    whose = f"this path is the proxy's own and never goes to a server; its pages are {', '.join(pages.PAGES)}"
    steps = (
        Step("request", request_words(request)),
        Step("own page", whose),
        access_step(request, refusal),
    )
    return Explanation(
        steps=steps,
        target=Target.NONE,
        reason=Reason.REFUSED if refusal else Reason.OWN_PAGE,
        model=None,
        sends=None,
        sent=None,
        own_status=page.status,
        verdict=None,
        fixes=(),
    )


def _sent(settings: Settings, request: Request, routed: Routed) -> tuple[Sent | None, int | None]:
    if routed.refusal is not None:
        return None, routed.refusal.status
    if routed.downgrade:
        return None, 426
    if routed.route.target is Target.LITELLM:
        return _to_litellm(settings, request, routed), None
    return explain_sent.to_upstream(settings, request), None


def _to_litellm(settings: Settings, request: Request, routed: Routed) -> Sent:
    assert routed.named is not None
    assert routed.route.sends is not None
    return explain_sent.to_litellm(settings, request, routed.named, routed.route.sends)


def _verdict_words(answer: Answer, verdict: Verdict) -> str:
    words = f"{answer.head.status} means {verdict.kind}; the rule that decides: {verdict.reason}"
    if verdict.retry_after is not None:
        words += f"; retry after {verdict.retry_after:g} s"
    if verdict.per_request:
        words += "; the account still serves other requests"
    return f'{words}; it says "{verdict.message}"' if verdict.message else words


def _fallback_steps(settings: Settings, routed: Routed) -> list[Step]:
    model = routed.route.model
    if model is None or routed.route.sends is None:
        return []
    if not routed.route.may_fall_back:
        reasons = "; ".join(obstacle.why for obstacle in explain_answer.outside(settings, model))
        return [Step("fallback", f"none, an upstream failure reaches the client: {reasons}")]
    kinds = ", ".join(kind for kind in FALLBACK_KINDS if kind in settings.fallback.on)
    return [Step("fallback", f"an upstream failure of these kinds is replayed to LiteLLM: {kinds}")]


def _replay_words(found: tuple[Obstacle, ...]) -> str:
    if not found:
        return "nothing keeps the request from being replayed to LiteLLM"
    return f"not replayed: {'; '.join(obstacle.why for obstacle in found)}"
