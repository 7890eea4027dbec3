"""The tables of the documents that come from the code.

`python -m docs.tables` writes them anew (with `tests` and `addon` on PYTHONPATH).
"""

import re

from litellm_hybrid.diagnostics.explain.reasons import FALLBACK_FAILURES, REASONS
from litellm_hybrid.routing.rules import Target
from support.processes import ROOT

DOCUMENT = ROOT / "docs" / "troubleshooting.md"
_WHO = {Target.LITELLM: "LiteLLM", Target.UPSTREAM: "upstream", Target.NONE: "the proxy itself"}
_TABLE = re.compile(
    r"(?P<begin><!-- (?P<name>[a-z ]+): from the catalogue of reasons, checked by tests/docs -->\n).*?(?=<!-- end -->)",
    re.DOTALL,
)


def reasons() -> str:
    """A row for each reason of the route header."""
    rows = [
        f"| `{reason}` | {_WHO[said.target]} | {said.means} | {said.fix} |"
        for reason, said in REASONS.items()
    ]
    return "\n".join(["| reason | answered by | means | fix |", "|---|---|---|---|", *rows, ""])


def fallback_failures() -> str:
    """A row for each word behind `fallback-failed=`."""
    rows = [f"| `{why}` | {means} | {fix} |" for why, (means, fix) in FALLBACK_FAILURES.items()]
    return "\n".join(["| `fallback-failed=` | means | fix |", "|---|---|---|", *rows, ""])


_MAKERS = {"reasons": reasons, "fallback failures": fallback_failures}


def filled(text: str) -> str:
    """A document with its tables as they should be."""
    return _TABLE.sub(lambda found: found["begin"] + _MAKERS[found["name"]](), text)


if __name__ == "__main__":
    DOCUMENT.write_text(filled(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
