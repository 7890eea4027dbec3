"""What is at `base-url`: LiteLLM or not, ready or not, and whether it takes the key."""

from collections.abc import Mapping

from litellm_hybrid.config.settings import Address, Settings
from litellm_hybrid.diagnostics.doctor import server_errors as doctor_server
from litellm_hybrid.diagnostics.doctor.probes import (
    LIVELINESS,
    ConnectFailure,
    ProbeResponse,
    ProbeResult,
    Program,
    identify,
)
from litellm_hybrid.diagnostics.doctor.report import Finding, Severity
from litellm_hybrid.diagnostics.doctor.server_errors import Server

_CHECK = "litellm"
_KEY_CHECK = "api-key"
_REFUSED = frozenset({400, 401, 403})
"""A wrong key is 401; without a database, where keys would be looked up, 400."""


def judge(settings: Settings, seen: Mapping[str, ProbeResult]) -> list[Finding]:
    """Everything about LiteLLM but its models; `base-url` may be missing."""
    if settings.base_url is None:
        return [
            Finding(
                _CHECK,
                Severity.NOTE,
                "base-url is not set: every request goes upstream",
                "without LiteLLM's address nothing can be routed or replayed there",
                "`base-url: http://127.0.0.1:4000` and `api-key`",
            )
        ]
    server = doctor_server.litellm(settings.base_url)
    alive = seen["litellm-alive"]
    if isinstance(alive, ConnectFailure):
        return [doctor_server.unreached(server, alive)]
    who = identify(alive, seen["litellm-root"]) or Program.UNKNOWN
    if (path := _path(server, alive, seen)) is not None:
        return [path]
    if (other := doctor_server.somebody_else(server, who, alive, LIVELINESS)) is not None:
        return [other]
    if who is not Program.LITELLM and alive.status != 503:
        return [
            Finding(
                _CHECK,
                Severity.WARNING,
                f"what answers at {server.address} does not say that it is LiteLLM",
                f"another program, or a proxy that hides it (status {alive.status} from /health/liveliness)",
                f"compare with LiteLLM's own address: `base-url: {server.example}`",
            ),
            *_key(settings, seen),
        ]
    return [_ready(server, seen), *_key(settings, seen)]


def _path(server: Server, alive: ProbeResponse, seen: Mapping[str, ProbeResult]) -> Finding | None:
    bare = seen.get("litellm-bare")
    if alive.status == 200 and identify(alive) is Program.LITELLM:
        return None
    if bare is None or identify(bare) is not Program.LITELLM:
        return None
    address = server.address
    right = Address(address.scheme, address.host, address.port)
    return server.error(
        f"LiteLLM is at {right}, not at {address}",
        f"the path `{address.path}` is put before every request's own, and LiteLLM has nothing there",
        f"`base-url: {right}`",
    )


def _ready(server: Server, seen: Mapping[str, ProbeResult]) -> Finding:
    ready = seen["litellm-ready"]
    if isinstance(ready, ProbeResponse) and ready.status == 200:
        version = version_of(seen)
        named = f"LiteLLM ({version})" if version else "LiteLLM"
        return Finding(_CHECK, Severity.OK, f"{named} is ready at {server.address}")
    state = f"status {ready.status}" if isinstance(ready, ProbeResponse) else "no answer"
    return server.error(
        f"LiteLLM at {server.address} is alive, but not ready ({state} from /health/readiness)",
        "it is starting or ending, or its database cannot be reached",
        "see LiteLLM's log, and wait until "
        f"`curl --fail {server.address}/health/readiness` succeeds; check its `database_url`",
    )


def version_of(seen: Mapping[str, ProbeResult]) -> str:
    """LiteLLM's version, or ""; older ones say it without a key."""
    for name in ("litellm-details", "litellm-ready"):
        answer = seen.get(name)
        value = answer.json if isinstance(answer, ProbeResponse) else None
        if isinstance(value, dict) and isinstance(version := value.get("litellm_version"), str):
            return version
    return ""


def _key(settings: Settings, seen: Mapping[str, ProbeResult]) -> list[Finding]:
    opened, keyed = seen["litellm-open"], seen.get("litellm-models")
    is_open = isinstance(opened, ProbeResponse) and opened.model_ids is not None
    if settings.no_auth:
        if is_open:
            return [Finding(_KEY_CHECK, Severity.OK, "LiteLLM takes no keys, and `api-key: none` says so")]
        return _needed(opened)
    if settings.api_key is None:
        return [
            Finding(
                _KEY_CHECK,
                Severity.NOTE,
                "api-key is not set: each client's own credential goes to LiteLLM",
                "LiteLLM has to know every client's key; a fallback is not possible",
                "`api-key: ${LITELLM_API_KEY}`, or `api-key: none` for a LiteLLM without keys",
            )
        ]
    if isinstance(keyed, ProbeResponse) and keyed.model_ids is not None:
        if is_open:
            return [
                Finding(
                    _KEY_CHECK,
                    Severity.NOTE,
                    "LiteLLM takes requests without a key, although api-key is set",
                    "it has no `master_key`: whoever reaches it may use it",
                    "set `master_key` in LiteLLM's `general_settings`, or write `api-key: none`",
                )
            ]
        return [Finding(_KEY_CHECK, Severity.OK, "LiteLLM accepts the key")]
    return _refused(keyed)


def _refused(keyed: ProbeResult | None) -> list[Finding]:
    if isinstance(keyed, ProbeResponse) and keyed.status in _REFUSED:
        return [
            Finding(
                _KEY_CHECK,
                Severity.ERROR,
                f"LiteLLM does not accept the key: {keyed.status} {keyed.error}".rstrip(),
                "`api-key` is neither LiteLLM's master key nor a virtual key in its database, or is spent",
                "`api-key: ${LITELLM_API_KEY}`, with the `master_key` of LiteLLM's `general_settings` in it",
            )
        ]
    return _unclear(keyed)


def _needed(opened: ProbeResult) -> list[Finding]:
    if isinstance(opened, ProbeResponse) and opened.status in _REFUSED:
        return [
            Finding(
                _KEY_CHECK,
                Severity.ERROR,
                f"LiteLLM wants a key ({opened.status}), and `api-key: none` says that it takes none",
                "it has a `master_key`",
                "`api-key: ${LITELLM_API_KEY}`, with LiteLLM's `master_key` in it",
            )
        ]
    return _unclear(opened)


def _unclear(seen: ProbeResult | None) -> list[Finding]:
    state = f"status {seen.status}" if isinstance(seen, ProbeResponse) else "no answer"
    return [
        Finding(
            _KEY_CHECK,
            Severity.WARNING,
            f"LiteLLM does not list its models: {state} from /v1/models",
            "so neither the key nor the models could be checked",
            "see LiteLLM's log",
        )
    ]


def models(seen: Mapping[str, ProbeResult]) -> tuple[str, ...] | None:
    """The models and wildcard routes that LiteLLM lists; None: it does not."""
    for name in ("litellm-models", "litellm-open"):
        answer = seen.get(name)
        if isinstance(answer, ProbeResponse) and (ids := answer.model_ids) is not None:
            return ids
    return None
