"""An explanation as lines for a terminal and as JSON."""

import dataclasses

from litellm_hybrid.diagnostics.explain.explain import Explanation
from litellm_hybrid.diagnostics.explain.outgoing import Sent
from litellm_hybrid.routing.rules import Target
from litellm_hybrid.terminal import Line, Tone

_NAMES = {Target.LITELLM: "LiteLLM", Target.UPSTREAM: "upstream", Target.NONE: "nobody"}


def lines(explanation: Explanation) -> list[Line]:
    """For people: the steps, the outcome, what would be sent, how to change it."""
    return [
        *(Line(step.name, step.says) for step in explanation.steps),
        Line("", ""),
        _outcome(explanation),
        *(Line("or" if other else "fix", fix, Tone.NOTICE) for other, fix in enumerate(explanation.fixes)),
        *(_sent(explanation.sent) if explanation.sent else ()),
    ]


def as_json(explanation: Explanation) -> dict[str, object]:
    """For programs: the same, as a JSON object."""
    return dataclasses.asdict(explanation)


def _outcome(explanation: Explanation) -> Line:
    reason = f"reason={explanation.reason}"
    if explanation.own_status is not None:
        tone = Tone.BAD if explanation.own_status >= 400 else Tone.GOOD
        return Line("answer", f"{explanation.own_status} by litellm-hybrid itself; {reason}", tone)
    tone = Tone.GOOD if explanation.target is Target.LITELLM else Tone.NOTICE
    return Line("goes to", f"{_NAMES[explanation.target]}; {reason}", tone)


def _sent(sent: Sent) -> list[Line]:
    return [
        Line("", ""),
        Line("sent to", sent.url),
        Line("", f"{sent.method} {sent.target}"),
        *(Line("", f"{name}: {value}", Tone.QUIET) for name, value in sent.headers),
        Line("body", sent.body),
    ]
