"""The table that says what a failure means. The first rule that holds decides.

First what CLIProxyAPI says of itself, then what providers say of the request, then what they say
of the account: known sentences, known codes, and words read as in wording.py. What is left is
decided by the status alone. Generic codes mislead (every text 403 becomes `insufficient_quota`, an
overload a `400 INVALID_ARGUMENT`), so they count as no more than a status. A request fault (400,
404, 413, 422 …) stays one unless a whole sentence can be about nothing but the account.

`source` says where a rule was learnt: a provider, CLIProxyAPI, or a relay.
"""

import re

from litellm_hybrid.quota.request_rules import OWN, REQUEST_BLAMED, REQUEST_FAULTS, UNKNOWN_MODEL
from litellm_hybrid.quota.rule import END, FAULT_STATUSES, Rule, names, phrases

_SERVER_STATUSES = frozenset({408, 500, 502, 504, *range(520, 529)})
_YOURS = (
    r"(?:you've|you have|your (?:[\w@.<>()-]{1,60} ){0,3}?(?:has|have)"
    r"|this (?:organization|account|team|workspace) has)"
)

_ACCOUNT_LIMIT = (
    r"(?:usage|rate|spend(?:ing)?|weekly|daily|monthly|hourly|session|plan|billing|account|credit|cost"
    r"|budget)s? "
    r"(?:[\w()-]{1,20} ){0,2}?(?:limits?|cap)"
)

ACCOUNT_NAMED: tuple[Rule, ...] = (
    Rule(
        "quota code",
        "quota",
        "any",
        names=names("model_cooldown 1113 1302 1303 1304 1308 1310"),
        unless=frozenset({401}),
    ),
    Rule("quota code", "quota", "any", coded="code", unless=frozenset({401})),
    Rule(
        "phrase 'account barred'",
        "account",
        "any",
        phrase=phrases(
            "oauth authentication is currently not allowed for this organization",
            r"(?:(?:this|your|the) )?(?:organization|account|workspace|team|project|subscription|api key)"
            r"(?: \S{1,60})? (?:has been|is|was) (?:currently )?(?:disabled|suspended|deactivated|banned"
            r"|restricted"
            r"|locked|blocked|not active|inactive|terminated|closed|deleted|cancell?ed|frozen|on hold)",
            "we're unable to verify your membership|missing scopes?: ",
            "user location is not supported",
            "country, region, or territory not supported",
            r"you (?:have insufficient permissions|are not (?:allowed|authorized|permitted) to)",
            r"(?:your |the |this )?(?:account|organization|project|team|workspace|api key|plan)\b[^.:]{0,40}?"
            r" (?:does not have|do not have|has no|is not allowed|is not authorized|lacks) (?:access"
            r"|permission|to )",
            "invalid project resource name projects/",
            r"(?:.{0,60}\b)?(?:missing|no|invalid|empty) project[ _]?id",
            r"project[ _]?id (?:is |was )?(?:missing|required|not found|empty|unavailable)",
            r"(?:.{0,60}\b)?(?:billing (?:is|has been|must be)|verify your account)",
            r".{1,60} is not (?:available|supported) in your (?:country|region|location)",
            ".{1,60} model requires a newer version of ",
            r"(?:your|this) (?:\w{1,20} ){1,3}version \S{0,20} ?is (?:too old|outdated|no longer supported)",
            r"this version of [\w ]{1,40} is no longer supported",
            r"your (?:api )?access (?:has been|is|was) (?:paused|suspended|revoked|disabled|denied|blocked)",
            r"[\w ]{1,40} (?:is|has) not (?:been )?enabled for (?:your|this) (?:\w{1,20} )?"
            r"(?:workspace|organization|account|plan|project)",
            "your organization must be verified to ",
            r"(?:the |your )?billing account (?:\w+ ){0,5}not in good standing",
        ),
    ),
    Rule(
        "detail with a code", "account", "Codex", shapes=frozenset({"coded detail"}), statuses=frozenset({0})
    ),
)

ENTITLEMENTS: tuple[Rule, ...] = (
    # One request's entitlement: the account serves others.
    Rule(
        "phrase 'needs extra usage'",
        "quota",
        "Anthropic",
        phrase=phrases(
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
        "OpenAI",
        phrase=phrases(r"request too large for .{1,200}? on (?:(?:input |output )?tokens|requests) per "),
        per_request=True,
    ),
    Rule(
        "phrase 'fewer max_tokens'",
        "quota",
        "OpenRouter",
        phrase=phrases("this request requires more credits, or fewer max_tokens"),
        per_request=True,
    ),
)

# The account has nothing left, or is barred: so peculiar that it counts even under a 400, as which it comes.
DRESSED: tuple[Rule, ...] = (
    Rule(
        "phrase 'third-party apps'",
        "quota",
        "Anthropic",
        phrase=phrases("third-party apps now draw from your extra usage"),
    ),
    Rule(
        "phrase 'your limit'",
        "quota",
        "any",
        phrase=phrases(
            rf"{_YOURS} (?:just |already |now )?(?:hit|reached|exceeded|exhausted|used up|used all(?: of)?"
            rf"|r[au]n out of|consumed|depleted)"
            rf" (?:all )?(?:of )?(?:your|its|the|all)? ?(?:[\w()-]{{1,20}} ){{0,4}}?(?:{_ACCOUNT_LIMIT}"
            rf"|quota|credits?|balance|allowance|included|capacity)\b",
            "access denied, please make sure your account is in good standing",
            "resource_exhausted: ",
            r"you(?:'ve| have) used (?:up )?(?:all )?(?:of )?your free \w",
            r"(?:(?:input|output) )?tokens per (?:minute|hour|day|month) (?:are |is )?(?:exhausted|exceeded"
            r"|used up)",
            r"too many (?:tokens|requests|calls)(?: per \w{1,10})?, please (?:wait|slow)",
        ),
    ),
    # Google says so of a project; of the state of a file, too.
    Rule(
        "account code",
        "account",
        "Google",
        names=names("failed_precondition"),
        phrase=re.compile(
            r"(?!.*\b(?:files?|cache[ds]?\w*|state|active|images?|videos?|audio|contents?|tools?)\b)"
        ),
    ),
    # Another status than the one they stand for: then they are the provider's word.
    Rule(
        "quota code",
        "quota",
        "any",
        names=names("billing_error rate_limit_error rate_limit_exceeded resource_exhausted"),
        statuses=FAULT_STATUSES,
    ),
    Rule(
        "phrase 'overloaded'",
        "overload",
        "Anthropic",
        phrase=phrases(
            r"overloaded\W{0,3}$", r"slow down\b", r"(?:\w+ ){0,3}capacity (?:is |was )?exceeded\b"
        ),
    ),
    Rule(
        "overload code",
        "overload",
        "OpenAI",
        names=names(
            "engine_overloaded_error overloaded_error server_is_overloaded service_unavailable_error "
            "slow_down"
            " unavailable serveroverloaded model_capacity_exhausted server_overloaded capacity_exceeded "
            "1305 1312"
        ),
    ),
    Rule(
        "words 'no account'",
        "no-credential",
        "relays",
        says=phrases(
            "(?:all|every|each) (?:\\w+ )?(?:keys?|accounts?|credentials?|channels?) .{0,40}?"
            "(?:cool(?:ing)?[- ]?down|exhausted|unavailable|disabled)",
            "no (?:available |active |usable |healthy )?(?:accounts?|channels?|credentials?|api keys?"
            "|keys?|providers?)\\b(?: (?:are |is )?(?:available|left))?",
            "无可用(?:渠道|账[号户])",
        ),
        unless=frozenset({401, 402, 403, 426, 429, *FAULT_STATUSES}),
    ),
    Rule(
        "phrase 'provider key'",
        "login",
        "any",
        phrase=phrases(
            "(?:the |your )?api[ _-]?key (?:not valid|expired|not found|is invalid|is expired|has expired"
            "|has been revoked|revoked|invalid)",
            "incorrect api key provided",
            rf"(?:the |your |oauth |provided )*(?:authentication |access |refresh )?token (?:has been |has "
            rf"|is "
            rf"|was )?(?:expired|revoked|invalidated|invalid)(?: or \w+)?{END}",
            r"invalid (?:(?:api|access|bearer|auth) )?token(?: provided| \(request id|[.!]?$)",
            r"[^'\"`]{0,60}\b(?:sign|log) ?in again",
        ),
    ),
    Rule(
        "login code",
        "login",
        "Google",
        names=names("api_key_invalid api_key_expired invalid_grant access_token_expired"),
    ),
)

# The same in words that nobody has listed, where they name nothing that is part of a request.
NOTHING_LEFT: tuple[Rule, ...] = (
    Rule(
        "words 'nothing left'",
        "quota",
        "any",
        words="spent",
        without=names("invalidparameter invalid_parameter"),
        statuses=FAULT_STATUSES | {412},
    ),
    Rule("words 'account barred'", "account", "any", words="barred", statuses=FAULT_STATUSES),
    Rule("account code", "account", "any", coded="barred", statuses=FAULT_STATUSES),
)

ACCOUNT: tuple[Rule, ...] = (
    Rule(
        "words 'overloaded'",
        "overload",
        "any",
        says=phrases(
            "overload",
            "at (?:full |maximum )?capacity",
            "(?:no|insufficient|not enough|lack of|out of) (?:\\w+ ){0,2}capacity",
            "saturated|all slots",
            "busy|currently loading",
            "unable to handle (?:additional|more|your)",
            "(?:service|model|server|engine)s? (?:is |are )?(?:temporarily |currently )?unavailable",
            "no healthy upstream|upstream connect error or disconnect/reset before headers",
        ),
        unless=frozenset({401, 402, 403, 426}),
    ),
    Rule("words 'overloaded'", "overload", "any", words="overloaded", unless=frozenset({401, 402, 403, 426})),
    Rule("words 'used up'", "quota", "any", words="any", statuses=frozenset({402, 403, 429})),
    Rule("words 'used up'", "quota", "any", words="account", unless=frozenset({401, 426})),
    Rule(
        "account code",
        "account",
        "Codex",
        names=names(
            "deactivated_workspace account_deactivated unsupported_country_region_territory "
            "usage_not_included 1309"
        ),
        unless=frozenset({401}),
    ),
    Rule(
        "words 'plan is over'",
        "account",
        "any",
        says=phrases(
            "(?:plan|package|subscription|membership|licen[sc]e)s? (?:\\w+ ){0,2}(?:expired|lapsed|ended"
            "|inactive|cancell?ed|discontinued)",
            "(?:membership|subscription) (?:benefits|is active)|an active subscription",
            "已到期|已过期",
        ),
        statuses=frozenset({0, 402, 403, 429, 500}),
    ),
    # Of a `detail` body streamed Responses get no more than this; Codex's 402 is a closed workspace.
    Rule(
        "phrase 'payment required'",
        "account",
        "Codex",
        phrase=phrases("payment required$"),
        shapes=frozenset({"object"}),
    ),
    Rule(
        "phrase 'generic provider error'",
        "overload",
        "OpenRouter",
        phrase=phrases(r"(?:error from provider: )?provider returned error\W*$"),
        without=names("400 500 502 504"),
        statuses=frozenset({0, 500, 502, 504}),
    ),
    # Of Claude's error events CLIProxyAPI leaves Gemini's clients nothing but the words.
    Rule(
        "words 'no access'",
        "account",
        "Anthropic",
        says=phrases(
            r"(?:does not|doesn't|do not|don't|not) (?:have|meet) (?:sufficient |the |any )?"
            r"(?:access|permission|scope|\S{1,60} role)",
            "not (?:part of|included in|available (?:on|in|for)) (?:your|this) (?:\\w+ ){0,2}(?:plan|tier)",
            "(?:unusual|suspicious) activity",
            "(?:plan|subscription|tier|seat)s? (?:does not|doesn't|do not|don't) (?:include|cover)",
            r"(?:region|country|location)\b.{0,20} not (?:served|supported|offered)|not offered where",
            "(?:switched|turned) off for your|user banned",
            "(?:bind|verify|link) your (?:\\w+ ){0,3}account",
            r"\b(?:account|organization|workspace|team|project|plan|key|token|oauth|user|you"
            r"|this)\b[\w: /]{0,60}"
            " not (?:allowed|permitted|authorized)",
            r"\b(?:account|organization|workspace|team|project|plan|key|token|you) (?:may|can) ?not "
            r"(?:use|access)",
            "not whitelisted",
            "(?:account|access|project|organization|token|key)[\\w ]{0,40} (?:denied|suspended|disabled"
            "|revoked|restricted|paused|disallowed|turned off)",
            "(?:identity|account) verification|forbidden by|requires approval",
        ),
        statuses=frozenset({0, 502}),
    ),
    Rule(
        "words 'not signed in'",
        "login",
        "any",
        phrase=phrases(
            r"(?:your |the |oauth |no |missing )*(?:\w+ )?(?:token|credentials?|session|signature"
            r"|authenti\w+|api[ -]?key"
            r"|bearer|login)(?: header)? (?:(?:has|have|was|were|is|are) )?(?:been |currently )?(?:expired"
            r"|invalid\w*|revoked"
            r"|missing|required|failed|fails|not found|not valid|not supported|reused|found)",
            r"(?:invalid|incorrect|missing|no valid|no) (?:\w+ )?(?:authentication|authorization"
            r"|credentials?|x-api-key"
            r"|api[ -]?key|access token|bearer token)(?:[ .!]|$)",
            "authentication (?:failed|fails|error|token)",
            "unauthori[sz]ed|user not found|the security token",
        ),
        statuses=frozenset({0, 500, 502, 504}),
    ),
    Rule("words 'not signed in'", "login", "any", words="signed out", statuses=frozenset({0, 500, 502, 504})),
    Rule("words 'account barred'", "account", "any", words="barred", statuses=frozenset({0, 500, 502, 504})),
    Rule("login code", "login", "xAI", names=names("bad-credentials")),
    Rule("login code", "login", "MiniMax", names=frozenset({"base_resp 1004", "base_resp 2049"})),
    Rule(
        "quota code",
        "quota",
        "MiniMax",
        names=frozenset(
            {
                "base_resp 1002",
                "base_resp 1008",
                "base_resp 1039",
                "base_resp 1041",
                "base_resp 2045",
                "base_resp 2056",
            }
        ),
    ),
    Rule(
        "server code",
        "server-error",
        "MiniMax",
        names=frozenset(
            {"base_resp 1000", "base_resp 1001", "base_resp 1013", "base_resp 1024", "base_resp 1033"}
        ),
    ),
)

STATUSES: tuple[Rule, ...] = (
    # A provider's: CLIProxyAPI's own is a bare string.
    Rule(
        "status 401",
        "login",
        "HTTP",
        statuses=frozenset({401}),
        shapes=names("object plugin claude coded flat detail message other") | {"coded detail"},
    ),
    Rule("status 402 or 429", "quota", "HTTP", statuses=frozenset({402, 429})),
    Rule("status 403 or 426", "account", "HTTP", statuses=frozenset({403, 426})),
    Rule("status 503 or 529", "overload", "HTTP", statuses=frozenset({503, 529})),
    Rule("status 408 or 5xx", "server-error", "HTTP", statuses=_SERVER_STATUSES),
)

RULES: tuple[Rule, ...] = (
    *OWN,
    *ACCOUNT_NAMED,
    *REQUEST_FAULTS,
    *ENTITLEMENTS,
    *DRESSED,
    *UNKNOWN_MODEL,
    *NOTHING_LEFT,
    *REQUEST_BLAMED,
    *ACCOUNT,
    *STATUSES,
)
