"""What each reason of the route header means, and how to change where such requests go.

One closed table for people who have only the header or a log line: `litellm-hybrid explain --reason`
prints it (see explain_reason.py), and docs/troubleshooting.md has it. For a given request `explain` says
more.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from litellm_hybrid.routing.rules import Reason, Target


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a reason means.

    Attributes:
        target: who answered; NONE: the proxy itself, whatever stands before the reason in the header.
        means: why the request went there.
        fix: how to get such requests to the other server, or served at all.
        look: the one command that shows more; capitals stand for what the reader puts in.
    """

    target: Target
    means: str
    fix: str
    look: str


_BY_MODEL = "litellm-hybrid explain MODEL"
_BY_REQUEST = "litellm-hybrid explain PATH -d BODY"
_STATUS = "curl http://127.0.0.1:8318/_hybrid/status"
_CHECK = "litellm-hybrid check"

MEANINGS: Mapping[Reason, Meaning] = MappingProxyType(
    {
        Reason.MODEL: Meaning(
            Target.LITELLM,
            "an entry of `models` matches the model that the request names",
            "to keep it at upstream, take that entry out of `models`, or name the wanted models instead of a "
            "glob that is too wide",
            _BY_MODEL,
        ),
        Reason.PASSTHROUGH: Meaning(
            Target.LITELLM,
            "`passthrough-mode` sends every POST that names a model to LiteLLM",
            "to keep it at upstream, set `passthrough-mode: false` and list in `models` what goes to LiteLLM",
            _BY_MODEL,
        ),
        Reason.FALLBACK: Meaning(
            Target.LITELLM,
            "upstream's answer (`upstream-status=` is its status) meant that the account cannot serve it",
            "to let such failures reach the client, add the model to `fallback.except`, take the kind out of "
            "`fallback.on`, or set `fallback.enabled: false`",
            "litellm-hybrid explain MODEL --answer-status 429 --answer-body FILE",
        ),
        Reason.UNREACHABLE: Meaning(
            Target.LITELLM,
            "upstream could not be reached, and `fallback.on` has `unreachable`",
            "start CLIProxyAPI, or correct the address in `--mode` or `upstream-url`; to let the client see "
            "the 502, take `unreachable` out of `fallback.on`",
            "curl http://127.0.0.1:8317/",
        ),
        Reason.COOLDOWN: Meaning(
            Target.LITELLM,
            "an earlier answer of upstream's said how long the account is exhausted, and `cooldown-max` "
            "trusts that; a request now and then still asks upstream",
            "to ask upstream each time, set `fallback.cooldown-max: 0s`, or a shorter time",
            _STATUS,
        ),
        Reason.STICKY: Meaning(
            Target.LITELLM,
            "the same conversation fell back a moment ago, and `sticky` keeps it at LiteLLM",
            "to ask upstream at every turn, set `fallback.sticky: 0s`, or a shorter time; a new conversation "
            "asks upstream",
            _STATUS,
        ),
        Reason.DISABLED: Meaning(
            Target.UPSTREAM,
            "routing is off: `enabled` is not true in the configuration that is in force, whatever `models` "
            "says",
            "set `enabled: true`, list the model in `models`, and see that the proxy was started with that "
            "file",
            _CHECK,
        ),
        Reason.NO_BASE_URL: Meaning(
            Target.UPSTREAM,
            "`enabled` is true, but no `base-url` says where LiteLLM is",
            "set `base-url` to LiteLLM's address, for example http://127.0.0.1:4000",
            _CHECK,
        ),
        Reason.NOT_LISTED: Meaning(
            Target.UPSTREAM,
            "no entry of `models` matches the model that the request names; a mapping alone does not route, "
            "and upstream's answer was no failure that falls back",
            "add the name, as the client sends it, to `models`; or set `passthrough-mode: true`",
            _BY_MODEL,
        ),
        Reason.NOT_POST: Meaning(
            Target.UPSTREAM,
            "only a POST is routed; a list of models (`GET /v1/models`) is upstream's",
            "nothing to do for a GET; a request for a model has to be a POST",
            "litellm-hybrid explain GET PATH",
        ),
        Reason.NO_MODEL: Meaning(
            Target.UPSTREAM,
            "neither the body nor the path names a model, or `model` is no text that is not empty",
            "have the client name the model: as the text member `model` of a JSON body, as a form field, or "
            "in the path",
            _BY_REQUEST,
        ),
        Reason.UNREADABLE_BODY: Meaning(
            Target.UPSTREAM,
            "the body is not what its headers say (JSON, a form, gzip, zstd …), so its model is unknown",
            "have the client send a body that can be read: its Content-Type and Content-Encoding have to be "
            "true",
            "litellm-hybrid explain PATH -H 'Content-Encoding: CODING' --body FILE",
        ),
        Reason.NEVER_REROUTE: Meaning(
            Target.UPSTREAM,
            "only upstream can serve it: its management, sign-in, Code Assist, videos, live and realtime "
            "sessions, an `agent`, or a request that comes back to this proxy",
            "nothing, for such a path; if LiteLLM sends requests back here, give it another api_base; Gemini "
            "CLI with an API key uses paths that are routed",
            "litellm-hybrid explain PATH",
        ),
        Reason.WEBSOCKET: Meaning(
            Target.UPSTREAM,
            "it asked for a websocket, which cannot be routed by request",
            "set `websocket: downgrade` (the default), and switch routing or fallback on: then Codex gets "
            "426 and uses HTTP",
            "litellm-hybrid explain GET /v1/responses -H 'Upgrade: websocket'",
        ),
        Reason.STATEFUL: Meaning(
            Target.UPSTREAM,
            "it has `previous_response_id`: it continues a response that only upstream has stored, so it "
            "never falls back",
            "have the client send the whole conversation (`store: false`), or list the model in `models`, so "
            "that LiteLLM serves it from its first turn on",
            "litellm-hybrid explain /v1/responses -d BODY",
        ),
        Reason.FALLBACK_FAILED: Meaning(
            Target.UPSTREAM,
            "upstream failed, and LiteLLM could not help; the answer is upstream's own, and "
            "`fallback-failed=` says why",
            "see what `fallback-failed=` says: `litellm-hybrid explain --reason` takes the whole header",
            _STATUS,
        ),
        Reason.OWN_PAGE: Meaning(
            Target.NONE,
            "the proxy answered with one of its own pages, under /_hybrid/",
            "nothing to do: such paths never go to a server",
            _STATUS,
        ),
        Reason.REFUSED: Meaning(
            Target.NONE,
            "the proxy refused it: 401 or 403, the client may not spend LiteLLM's key or see that page; 413, "
            "the body is too long; 503, `max-in-flight` requests are running",
            "for 401 and 403, set `client-api-keys` and have the client send one of them, or come from this "
            "machine with a loopback Host and without Origin; the answer's JSON says which it was",
            "litellm-hybrid explain MODEL --client-ip ADDRESS -H 'Host: NAME'",
        ),
        Reason.ERROR: Meaning(
            Target.NONE,
            "a server gave no answer, or broke off; or the proxy itself failed, where no server stands "
            "before the reason",
            "start the server that stands before the reason, or correct its address (`base-url`; `--mode` or "
            "`upstream-url`); for the proxy's own failure see its log",
            "litellm-hybrid doctor",
        ),
    }
)
