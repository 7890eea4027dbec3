"""The part of the table that goes by the message: what is written in words outweighs any code.

Each phrase is anchored at the message's beginning and is never a bare word.
Those that somebody's text might begin with do not count under a 400, 404 or
422, whose messages quote the request. All are in lower case, spaces single.
"""

from litellm_hybrid.quota.rule import Rule, phrases

_QUOTES_THE_REQUEST = frozenset({400, 404, 422})
_END = r"(?:[.!,;:]|$)"
_YOU_HAVE = "(?:you've|you have)"

REQUEST_FAULT_PHRASES: tuple[Rule, ...] = (
    Rule(
        "phrase 'prompt too long'",
        "none",
        phrases(
            "prompt is too long",
            "input is too long",
            "your input exceeds the context",
            "this model's maximum context",
        ),
    ),
    Rule(
        "phrase 'not supported here'",
        "none",
        phrases(r"/\S{1,80} not supported$", r"model \S{1,200} is only supported on /"),
    ),
    Rule(
        "phrase 'not registered'",
        "none",
        phrases("(?:executor_not_found|provider_not_found|not_supported): "),
    ),
    # CLIProxyAPI's refusal of its own client: replaying would go around its access control.
    Rule(
        "phrase 'client key'",
        "none",
        phrases(r"(?:(?:invalid|missing) api key|authentication service error)\W{0,3}$"),
    ),
)

PHRASES: tuple[Rule, ...] = (
    # One request's entitlement: the account serves others.
    Rule(
        "phrase 'needs extra usage'",
        "quota",
        phrases(
            "extra usage is required for ",
            "usage credits are required for ",
            "fast mode requires (?:usage credits|extra usage)",
            "fast request rejected",
        ),
        per_request=True,
    ),
    Rule(
        "phrase 'over the limit per minute'",
        "quota",
        phrases(r"request too large for .{1,200}? on (?:(?:input |output )?tokens|requests) per "),
        per_request=True,
    ),
    # The account has nothing left: so peculiar that they count even under a 400, as which they come.
    Rule("phrase 'cooling down'", "quota", phrases("all credentials for model .{1,200}? are cooling down")),
    Rule("phrase 'credit balance'", "quota", phrases("your credit balance is too low")),
    Rule(
        "phrase 'out of extra usage'",
        "quota",
        phrases("(?:you're|you are) out of extra usage", "third-party apps now draw from your extra usage"),
    ),
    Rule(
        "phrase 'specified usage limits'",
        "quota",
        phrases("you have reached your specified .{0,40}usage limits"),
    ),
    Rule(
        "phrase 'quota exceeded'",
        "quota",
        phrases(
            "you exceeded your current quota",
            "(?:(?:free allocated|daily|monthly) )?quota (?:has been )?(?:exceeded|exhausted)"
            f"(?: for |{_END})",
            rf"resource (?:has been )?exhausted(?: \(|{_END})",
        ),
        unless=_QUOTES_THE_REQUEST,
    ),
    Rule(
        "phrase 'usage limit'",
        "quota",
        phrases(
            f"(?:the )?usage limit (?:has been )?reached{_END}",
            f"{_YOU_HAVE} (?:hit|reached|exceeded) your (?:[a-z0-9-]{{1,20}} ){{0,3}}"
            "(?:usage|rate|spend|spending) limit",
            f"{_YOU_HAVE} used all (?:of )?(?:the|your) included (?:free )?usage",
            f"{_YOU_HAVE} exhausted your (?:capacity|quota|credits)",
            f"{_YOU_HAVE} run out of credits",
            "(?:this|your) (?:organization|account|team|workspace) has (?:exceeded|reached) its usage limit",
            r"(?:[\w.-]{1,30} ){0,4}(?:balance|credits) (?:(?:is|are|has been|have been) )?"
            r"(?:exhausted|depleted)",
        ),
        unless=_QUOTES_THE_REQUEST,
    ),
    Rule(
        "phrase 'rate limit'",
        "quota",
        phrases(
            "this request would exceed your (?:account|organization)'s rate limit",
            f"(?:model )?rate limit (?:reached|exceeded)(?: for |{_END})",
            "number of (?:requests|request tokens|tokens) has exceeded your ",
            f"too many requests{_END}",
            "auth in short cooldown, ",
        ),
        unless=_QUOTES_THE_REQUEST,
    ),
    # Claude's whole message; it reaches Gemini's clients as a 400.
    Rule("phrase 'overloaded'", "overload", phrases(r"overloaded\W{0,3}$")),
    Rule(
        "phrase 'servers overloaded'",
        "overload",
        phrases(
            "(?:(?:the|our) )?(?:upstream |inference )?(?:model|engine|servers?|service|system|upstream)"
            " (?:(?:is|are) )?(?:(?:currently|temporarily) )?overloaded",
            "no capacity available for ",
            "(?:the )?selected model is at capacity",
            "(?:this model is|we are|we're) currently experiencing high demand",
        ),
        unless=_QUOTES_THE_REQUEST,
    ),
    Rule(
        "phrase 'no auth available'",
        "no-credential",
        phrases("auth_(?:unavailable|not_found): ", "no auth available"),
        unless=_QUOTES_THE_REQUEST,
    ),
    Rule(
        "phrase 'unknown model'",
        "unknown-model",
        phrases(
            "unknown provider for model",
            r"(?:the )?(?:requested )?model [`'\"]?[\w./:@()\[\]-]{1,200}[`'\"]? "
            r"(?:does not exist|(?:is |was )?not found)",
            r"models/\S{1,200} is not found for api version",
            r"publisher model \S{1,200} was not found",
            r"the '\S{1,200}' model is not supported when using codex",
        ),
    ),
    Rule(
        "phrase 'account disabled'",
        "account",
        phrases(
            "this service has been disabled in this account",
            "oauth authentication is currently not allowed for this organization",
            "(?:this|your) (?:organization|account|workspace|team) (?:has been|is|was) "
            "(?:disabled|suspended|deactivated|banned)",
            "user location is not supported",
        ),
        statuses=frozenset({0, 400, 403}),
    ),
    # Cloudflare's challenge, to which CLIProxyAPI gives the code `insufficient_quota`.
    Rule("phrase 'web page'", "server-error", phrases("<(?:!doctype )?html"), statuses=frozenset({0, 403})),
    Rule(
        "phrase 'internal error'",
        "server-error",
        phrases(
            "(?:an )?internal (?:server )?error", "stream error: ", "(?:empty_stream|home_unavailable): "
        ),
        unless=_QUOTES_THE_REQUEST,
    ),
)
