"""The rules for what is not the account's fault: CLIProxyAPI's own words, and a provider's about the request.

They come first in the table of rules.py, but for what blames the request by its status alone:
accounts are refused under such a status, too, so those come after the sentences that say so.
"""

from litellm_hybrid.quota.rule import BUSY_STATUSES, FAULT_STATUSES, Rule, names, phrases

_MODEL = r"[`'\"]?[\w./:@()\[\]-]{1,200}[`'\"]?"

UNKNOWN_PROVIDER = "phrase 'unknown provider'"
"""The rule of CLIProxyAPI's words for a model that no account of its serves."""

OWN: tuple[Rule, ...] = (
    # Replaying these would go around CLIProxyAPI's access control.
    Rule(
        "phrase 'client key'",
        "none",
        "CLIProxyAPI",
        message=frozenset({"Invalid API key", "Missing API key", "Authentication service error"}),
        shapes=names("bare object"),
    ),
    Rule(
        "client key code",
        "none",
        "CLIProxyAPI",
        names=names("authentication_service_error invalid_realtime_client_secret"),
    ),
    Rule(
        "phrase 'own refusal'",
        "none",
        "CLIProxyAPI",
        phrase=phrases(
            "unsafe_example_api_key",
            "ip banned",
            "remote management",
            "(?:missing|invalid) management",
            "access denied: management",
        ),
        shapes=frozenset({"bare"}),
    ),
    Rule(
        "phrase 'not supported here'",
        "none",
        "CLIProxyAPI",
        phrase=phrases(
            r"/\S{1,80} not supported$",
            r"model \S{1,200} is only supported on /",
            "(?:executor_not_found|provider_not_found|not_supported): ",
        ),
    ),
    Rule(
        "phrase 'nothing came'",
        "no-answer",
        "CLIProxyAPI",
        phrase=phrases(
            "empty_stream: ",
            r"(?:\w{1,20} )?stream error: stream (?:disconnected|id \d)",
            "(?:upstream )?stream closed before ",
            "unexpected eof$",
            "(?:[a-z]{1,20} executor: )?upstream returned empty stream response",
        ),
    ),
    Rule(
        "phrase 'no auth available'",
        "no-credential",
        "CLIProxyAPI",
        phrase=phrases("auth_(?:unavailable|not_found): ", "no auth available"),
        unless=FAULT_STATUSES,
    ),
    Rule(
        "credential code",
        "no-credential",
        "CLIProxyAPI",
        names=names("auth_unavailable auth_not_found"),
        unless=frozenset({401}),
    ),
    Rule(UNKNOWN_PROVIDER, "unknown-model", "CLIProxyAPI", phrase=phrases("unknown provider for model")),
    Rule(
        "phrase 'cooling down'",
        "quota",
        "CLIProxyAPI",
        phrase=phrases("all credentials for model .{1,200}? are cooling down", "auth in short cooldown, "),
    ),
    Rule(
        "phrase 'account profile'",
        "account",
        "CLIProxyAPI",
        phrase=phrases("populate claude oauth account profile"),
    ),
    Rule(
        "phrase 'token refresh'",
        "login",
        "CLIProxyAPI",
        phrase=phrases(
            r"(?:\w{1,20}:? )?token refresh (?:failed|request failed)",
            "(?:missing|no) (?:access|refresh)[ _]token",
            "invalid_grant",
            "invalid_client",
            r'oauth2: (?:"invalid_(?:grant|client)"|cannot fetch token)',
        ),
    ),
    Rule("phrase 'home'", "server-error", "CLIProxyAPI", phrase=phrases("home_unavailable: ")),
    Rule(
        "empty 503",
        "server-error",
        "CLIProxyAPI",
        message=frozenset({""}),
        shapes=frozenset({""}),
        statuses=frozenset({503}),
    ),
    # What is said of a prompt may sound like a bar of the account.
    Rule("policy code", "none", "any", coded="policy code"),
)

REQUEST_FAULTS: tuple[Rule, ...] = (
    Rule(
        "context code",
        "context-length",
        "OpenAI",
        names=names(
            "context_length_exceeded context_too_large context_window_exceeded 1261 "
            "model_context_window_exceeded"
        ),
        unless=frozenset({413}),
    ),
    Rule(
        "phrase 'too long'",
        "context-length",
        "any",
        says=phrases(
            "prompt is too long",
            "input is too long",
            "(?:exceeds?|exceeded|larger than) (?:the |its )?(?:model's |available |maximum )?context",
            "maximum (?:context|prompt) length",
            "context (?:window|length|limit)[\\w ]{0,20} exceed",
            "exceeds? (?:the )?(?:max(?:imum)? (?:length|number of tokens|input)|context limit)",
            "exceeded model token limit",
            "range of input length should be",
            "reduce the length of the (?:messages|prompt|input)",
        ),
        unless=BUSY_STATUSES,
    ),
    Rule(
        "request code",
        "none",
        "OpenAI",
        names=names(
            "array_above_max_length content_policy_violation invalid_encrypted_content "
            "invalid_function_parameters invalid_image_format invalid_prompt invalid_type "
            "invalid_value message_too_big missing_required_parameter previous_response_not_found "
            "prohibited_content request_too_large string_above_max_length thinking_signature_invalid "
            "unknown_parameter unsupported_parameter unsupported_value"
        ),
    ),
    Rule(
        "request code",
        "none",
        "MiniMax",
        names=frozenset({"base_resp 1026", "base_resp 1027", "base_resp 1042", "base_resp 2013"}),
    ),
    Rule("words 'policy'", "none", "any", words="policy"),
    Rule(
        "phrase 'policy'",
        "none",
        "any",
        says=phrases(
            r"(?:your|the|this) (?:input|prompt|content|messages?|output|image|text|query|conversation)s?"
            r" (?:\w+ ){0,4}(?:flagged|violat|blocked|rejected|sensitive|inappropriate|refused|unsafe)",
            r"(?:your|the|this) request (?:\w+ ){0,2}(?:violat|flagged|contain|considered)",
            "(?:blocked|filtered) (?:by|due to|because of) (?:\\w+ ){0,2}(?:content|harmful|safety|policy)",
            r"content (?:violates|policy|management policy|exists risk)",
            r"(?:usage|content|safety) (?:guidelines|policy|policies|system)",
            "safety_check_type|safety reasons|responsible ai|limited access to this content",
            "(?:contains?|contain) (?:\\w+ ){0,3}(?:sensitive|inappropriate|prohibited|harmful)",
            "unsafe or sensitive|high risk|敏感|不安全|违规内容|违禁",
        ),
    ),
)

UNKNOWN_MODEL: tuple[Rule, ...] = (
    Rule(
        "phrase 'unknown model'",
        "unknown-model",
        "any",
        phrase=phrases(
            rf"(?:the )?(?:requested )?model (?:or endpoint )?{_MODEL} (?:does not exist|(?:is |was )?not "
            rf"found|is not supported)",
            r"models/\S{1,200} is not found for api version",
            r"publisher model \S{1,200} was not found",
            rf"the {_MODEL} model is not supported when using codex",
            r"(?:no such|unknown|invalid) model\b",
            rf"{_MODEL} is not a valid model",
            "模型不存在",
        ),
        unless=frozenset({401, *BUSY_STATUSES}),
    ),
    Rule(
        "phrase 'unknown model'",
        "unknown-model",
        "Anthropic",
        phrase=phrases(r"model: \S{1,200}$"),
        statuses=frozenset({404}),
    ),
    Rule(
        "unknown model code",
        "unknown-model",
        "any",
        names=names("model_not_found modelnotfound invalidendpointormodel 1211 model_not_supported"),
        unless=frozenset({401, *BUSY_STATUSES}),
    ),
)

REQUEST_BLAMED: tuple[Rule, ...] = (
    Rule("words 'a part of the request'", "none", "any", words="request", statuses=frozenset({0})),
    # As which CLIProxyAPI tells a failure in a stream to who asked for a whole answer.
    Rule(
        "words 'a part of the request'",
        "server-error",
        "CLIProxyAPI",
        words="request",
        statuses=frozenset({502}),
    ),
    Rule("status of a request fault", "none", "HTTP", statuses=FAULT_STATUSES),
    Rule("phrase 'plugin'", "none", "CLIProxyAPI", shapes=frozenset({"plugin"})),
)
