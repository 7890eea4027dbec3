"""The table that says what a failure means. The first rule that holds decides.

Request faults come first, then what CLIProxyAPI and the providers write in
words (quota_phrases.py), then types, codes and statuses: generic codes mislead
(every text 403 becomes `insufficient_quota`, an overload a `400
INVALID_ARGUMENT`), words do not. What no rule names is nobody's reason to fall
back.
"""

from litellm_hybrid.quota.phrases import PHRASES, REQUEST_FAULT_PHRASES
from litellm_hybrid.quota.rule import Rule, phrases, words

_ERROR_OBJECT = frozenset({"object", "claude"})

REQUEST_FAULT_CODES: tuple[Rule, ...] = (
    Rule(
        "request code",
        "none",
        names=words(
            "array_above_max_length content_filter content_policy_violation context_length_exceeded"
            " context_too_large cyber_policy invalid_encrypted_content invalid_function_parameters"
            " invalid_image_format invalid_prompt invalid_type invalid_value message_too_big"
            " missing_required_parameter moderation_blocked previous_response_not_found request_too_large"
            " string_above_max_length thinking_signature_invalid unknown_parameter unsupported_parameter"
            " unsupported_value"
        ),
    ),
    # CLIProxyAPI's refusal of its own realtime clients.
    Rule(
        "client key code",
        "none",
        names=words("authentication_service_error invalid_realtime_client_secret"),
    ),
)

CODES: tuple[Rule, ...] = (
    Rule(
        "overload code",
        "overload",
        names=words(
            "engine_overloaded_error overloaded_error server_is_overloaded service_unavailable_error"
            " slow_down unavailable"
        ),
    ),
    Rule(
        "quota code",
        "quota",
        names=words(
            "billing_error billing_hard_limit_reached exceeded_current_quota_error free-usage-exhausted"
            " insufficient_balance model_cooldown quota_exceeded rate_limit_error rate_limit_exceeded"
            " rate_limit_reached_error resource_exhausted spending-limit usage_limit_exceeded"
            " usage_limit_reached"
        ),
    ),
    # CLIProxyAPI gives the next two codes to every 403 and 404 whose text is no JSON, with a generic type
    # or, in a stream, flat: there the code says nothing.
    Rule(
        "quota code",
        "quota",
        names=frozenset({"insufficient_quota"}),
        without=words("permission_error invalid_request_error"),
        shapes=_ERROR_OBJECT,
    ),
    Rule(
        "unknown model code",
        "unknown-model",
        names=frozenset({"model_not_found"}),
        without=frozenset({"invalid_request_error"}),
        shapes=_ERROR_OBJECT,
    ),
    Rule(
        "unknown model code",
        "unknown-model",
        phrase=phrases(r"model: \S{1,200}$"),
        names=frozenset({"not_found_error"}),
    ),
    # In a 401 it is what CLIProxyAPI rewrites Codex's code to.
    Rule(
        "credential code",
        "no-credential",
        names=words("auth_unavailable auth_not_found"),
        unless=frozenset({401}),
    ),
    Rule(
        "account code",
        "account",
        names=words("account_deactivated unsupported_country_region_territory"),
        unless=frozenset({401}),
    ),
    Rule("account code", "account", names=frozenset({"permission_denied"}), statuses=frozenset({403})),
    # Claude's shape alone: a plugin that refuses a request writes OpenAI's.
    Rule(
        "account code",
        "account",
        names=frozenset({"permission_error"}),
        statuses=frozenset({0, 403}),
        shapes=frozenset({"claude"}),
    ),
    Rule(
        "login code",
        "login",
        names=words("authentication_error bad-credentials invalid_api_key unauthenticated"),
        unless=frozenset({400}),
    ),
    Rule(
        "server code",
        "server-error",
        names=words("api_error internal internal_server_error request_timeout server_error timeout_error"),
        statuses=frozenset({0}),
    ),
)

STATUSES: tuple[Rule, ...] = (
    Rule("status 529", "overload", statuses=frozenset({529})),
    Rule("status 402 or 429", "quota", statuses=frozenset({402, 429})),
    # A provider's: CLIProxyAPI's own is a bare string.
    Rule(
        "status 401",
        "login",
        statuses=frozenset({401}),
        shapes=frozenset({"object", "claude", "coded", "flat"}),
    ),
    Rule(
        "status 408 or 5xx", "server-error", statuses=frozenset({408, 500, 502, 503, 504, *range(520, 528)})
    ),
)

RULES: tuple[Rule, ...] = (*REQUEST_FAULT_CODES, *REQUEST_FAULT_PHRASES, *PHRASES, *CODES, *STATUSES)
