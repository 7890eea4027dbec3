r"""The table that says what a failure means: the first rule that holds decides.

First what CLIProxyAPI says of itself, then what providers say of the request, then what they say
of the account: known sentences, known codes, and words read as in wording.py. What is left is
decided by the status alone. Generic codes mislead (every text 403 becomes `insufficient_quota`, an
overload a `400 INVALID_ARGUMENT`), so they count as no more than a status. A request fault (400,
404, 413, 422 …) stays one unless a whole sentence can be about nothing but the account.

A new sentence is a line of its own in the `phrase` or `says` of a rule: a regular expression, in lower
case; `\` at its end goes on in the next line, `[ ]` is a space at its end, `<…>` see `_SHORT`.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import get_args

from litellm_hybrid.quota import wording
from litellm_hybrid.quota.error_shapes import ErrorPayload, Shape
from litellm_hybrid.quota.wording import Reading, alternatives, code_words

FAULT_STATUSES = frozenset({400, 404, 405, 406, 409, 410, 411, 413, 414, 415, 416, 417, 422, 424, 428, 431})
"""Statuses that blame the request. Their messages quote it."""

BUSY_STATUSES = frozenset({402, 403, 429, 503, 529})
"""Statuses that blame the account, or the provider's servers."""

_FAULTS = frozenset({"none", "context-length"})

_SHAPES_OF_PROVIDERS = frozenset(get_args(Shape)) - {"", "bare"}
"""CLIProxyAPI's own refusals are bare strings."""

UNKNOWN_PROVIDER = "phrase 'unknown provider'"
"""The rule of CLIProxyAPI's words for a model that no account of its serves."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A classification rule: predicates over an error payload. What is empty is not asked.

    Attributes:
        name: what the log and `explain` call it.
        kind: one of `settings.FALLBACK_KINDS`, or "none": never a reason to fall back.
        source: where it was learnt, in a word: a provider, CLIProxyAPI, a relay.
        phrase: matches at the beginning of `ErrorPayload.phrase`.
        says: matches anywhere in it.
        words: the phrase says this, as `wording.says` reads it.
        coded: one of the codes does.
        names: one of them is among the error's types, codes and statuses.
        without: none of these is.
        statuses: what the error means in HTTP's terms is one of them (0: it states none).
        unless: meanings in which the rule does not hold.
        shapes: the error is written in one of them.
        message: the provider's words are exactly one of these.
        per_request: the account still serves other requests: no cooldown.
    """

    name: str
    kind: str
    source: str
    phrase: re.Pattern[str] | None = None
    says: re.Pattern[str] | None = None
    words: Reading | None = None
    coded: Reading | None = None
    names: frozenset[str] = frozenset()
    without: frozenset[str] = frozenset()
    statuses: Collection[int] = ()
    unless: Collection[int] = ()
    shapes: Collection[str] = ()
    message: Collection[str] = ()
    per_request: bool = False

    def reason(self, error: ErrorPayload) -> str | None:
        """Why the rule holds, in a few words that name it, or None where it does not."""
        # A request fault counts wherever it is named, the wrapper included.
        stated = error.names | error.wrapper_names if self.kind in _FAULTS else error.names
        named = self.names & stated
        holds = (
            (not self.names or named)
            and self.without.isdisjoint(stated)
            and (not self.statuses or error.status in self.statuses)
            and error.status not in self.unless
            and (not self.shapes or error.shape in self.shapes)
            and (not self.message or error.message in self.message)
            and (self.phrase is None or self.phrase.match(error.phrase))
            and (self.says is None or self.says.search(error.phrase))
            and (self.words is None or wording.says(error.phrase, self.words))
        )
        if not holds:
            return None
        if reading := self.coded:
            telling = next((code for code in error.codes if wording.says(code_words(code), reading)), None)
            return f"{self.name} {telling.lower()}" if telling else None
        return f"{self.name} {min(named)}" if named else self.name

    def matched(self, phrase: str) -> str:
        """Return the words of a phrase by which the rule holds; "" where a code or a status decides."""
        pattern = self.phrase or self.says
        if pattern is None:
            return wording.find(phrase, self.words) if self.words is not None else ""
        found = pattern.search(phrase)
        return found[0] if found else ""


_SHORT = {
    "<MODEL>": r"[`'\"]?[\w./:@()\[\]-]{1,200}[`'\"]?",
    "<YOURS>": r"(?:you've|you have|your (?:[\w@.<>()-]{1,60} ){0,3}?(?:has|have)"
    r"|this (?:organization|account|team|workspace) has)",
    "<LIMIT>": r"(?:usage|rate|spend(?:ing)?|weekly|daily|monthly|hourly|session|plan|billing|account|credit"
    r"|cost|budget)s? (?:[\w()-]{1,20} ){0,2}?(?:limits?|cap)",
    "<END>": r"(?:[.!,;:)]|$)",
}
"""What stands for longer patterns in the table."""


def phrases(text: str) -> re.Pattern[str]:
    """A pattern of the alternatives in a text, one a line, for `Rule.phrase` and `Rule.says`."""
    for short, long in _SHORT.items():
        text = text.replace(short, long)
    return re.compile(alternatives(text))


def names(text: str) -> frozenset[str]:
    """The words of a text, for `Rule.names`."""
    return frozenset(text.split())


def _base_resp(codes: str) -> frozenset[str]:
    return frozenset(f"base_resp {code}" for code in codes.split())


# fmt: off
STATUSES: tuple[Rule, ...] = (
    Rule("status 401", "login", "HTTP", shapes=_SHAPES_OF_PROVIDERS, statuses=(401,)),
    Rule("status 402 or 429", "quota", "HTTP", statuses=(402, 429)),
    Rule("status 403 or 426", "account", "HTTP", statuses=(403, 426)),
    Rule("status 503 or 529", "overload", "HTTP", statuses=(503, 529)),
    Rule("status 408 or 5xx", "server-error", "HTTP", statuses=(408, 500, 502, 504, *range(520, 529))),
)

RULES: tuple[Rule, ...] = (
    # What CLIProxyAPI says of itself. Replaying the first three would go around its access control.
    Rule("phrase 'client key'", "none", "CLIProxyAPI", shapes=("bare", "object"),
         message=("Authentication service error", "Invalid API key", "Missing API key")),
    Rule("client key code", "none", "CLIProxyAPI",
         names=names("authentication_service_error invalid_realtime_client_secret")),
    Rule("phrase 'own refusal'", "none", "CLIProxyAPI", shapes=("bare",), phrase=phrases(r"""
         unsafe_example_api_key|ip banned|remote management
         (?:missing|invalid) management
         access denied: management""")),
    Rule("phrase 'not supported here'", "none", "CLIProxyAPI", phrase=phrases(r"""
         /\S{1,80} not supported$
         model \S{1,200} is only supported on /
         (?:executor_not_found|provider_not_found|not_supported):[ ]""")),
    Rule("phrase 'nothing came'", "no-answer", "CLIProxyAPI", phrase=phrases(r"""
         empty_stream:[ ]
         (?:\w{1,20} )?stream error: stream (?:disconnected|id \d)
         (?:upstream )?stream closed before[ ]
         unexpected eof$
         (?:[a-z]{1,20} executor: )?upstream returned empty stream response""")),
    Rule("phrase 'no auth available'", "no-credential", "CLIProxyAPI", unless=FAULT_STATUSES,
         phrase=phrases(r"""
         auth_(?:unavailable|not_found):[ ]
         no auth available""")),
    Rule("credential code", "no-credential", "CLIProxyAPI", names=names("auth_not_found auth_unavailable"),
         unless=(401,)),
    Rule(UNKNOWN_PROVIDER, "unknown-model", "CLIProxyAPI",
         phrase=phrases(r"unknown provider for model")),
    Rule("phrase 'cooling down'", "quota", "CLIProxyAPI", phrase=phrases(r"""
         all credentials for model .{1,200}? are cooling down
         auth in short cooldown,[ ]""")),
    Rule("phrase 'account profile'", "account", "CLIProxyAPI",
         phrase=phrases(r"populate claude oauth account profile")),
    Rule("phrase 'token refresh'", "login", "CLIProxyAPI", phrase=phrases(r"""
         (?:\w{1,20}:? )?token refresh (?:failed|request failed)
         (?:missing|no) (?:access|refresh)[ _]token
         invalid_grant|invalid_client
         oauth2: (?:"invalid_(?:grant|client)"|cannot fetch token)""")),
    Rule("phrase 'home'", "server-error", "CLIProxyAPI", phrase=phrases(r"home_unavailable: ")),
    Rule("empty 503", "server-error", "CLIProxyAPI", shapes=("",), statuses=(503,), message=("",)),
    # What is said of a prompt may sound like a bar of the account.
    Rule("policy code", "none", "any", coded="policy code"),
    # What a provider says of the account, in a code or a sentence of its own.
    Rule("quota code", "quota", "any", names=names("1113 1302 1303 1304 1308 1310 model_cooldown"),
         unless=(401,)),
    Rule("quota code", "quota", "any", coded="code", unless=(401,)),
    # What is said of what is asked for, in the words that are also said of an account.
    Rule("phrase 'policy'", "none", "xAI", phrase=phrases(r"""
         you (?:are not (?:allowed|authorized|permitted) to|may not) .{1,60}? (?:with|using|for|in|from) \
             (?:these|this|those|such|your) (?:system )?(?:instructions?|prompts?|contents?|inputs?|topics?)\b
         you (?:are not (?:allowed|authorized|permitted) to|may not) (?:generate|create|produce|write) \
             (?:this|that|such|content of)[ ]
         (?:this|these|your) (?:system )?(?:prompts?|instructions?|contents?|inputs?|topics?) (?:is|are) not \
             (?:allowed|permitted|accepted)""")),
    Rule("phrase 'account barred'", "account", "any", phrase=phrases(r"""
         oauth authentication is currently not allowed for this organization
         (?:(?:this|your|the) )?(?:organization|account|workspace|team|project|subscription\
             |api key)(?: \S{1,60})? (?:has been|is|was) (?:currently )?(?:disabled|suspended|deactivated\
             |banned|restricted|locked|blocked|not active|inactive|terminated|closed|deleted|cancell?ed\
             |frozen|on hold)
         we're unable to verify your membership
         missing scopes?:[ ]
         user location is not supported
         (?:the |your )?(?:user|account) does not have (?:the )?\S{1,60} (?:role|privileges?)\b
         resource not accessible by[ ]
         country, region, or territory not supported
         you (?:have insufficient permissions|are not (?:allowed|authorized|permitted) to)
         (?:your |the |this )?(?:account|organization|project|team|workspace|api key\
             |plan)\b[^.:]{0,40}? (?:does not have|do not have|has no|is not allowed|is not authorized\
             |lacks) (?:access|permission|to )
         invalid project resource name projects/
         (?:.{0,60}\b)?(?:missing|no|invalid|empty) project[ _]?id
         project[ _]?id (?:is |was )?(?:missing|required|not found|empty|unavailable)
         (?:.{0,60}\b)?(?:billing (?:is|has been|must be)|verify your account)
         .{1,60} is not (?:available|supported) in your (?:country|region|location)
         .{1,60} model requires a newer version of[ ]
         (?:your|this) (?:\w{1,20} ){1,3}version \S{0,20} ?is (?:too old|outdated|no longer supported)
         this version of [\w ]{1,40} is no longer supported
         your (?:api )?access (?:has been|is|was) (?:paused|suspended|revoked|disabled|denied|blocked)
         [\w ]{1,40} (?:is|has) not (?:been )?enabled for (?:your|this) (?:\w{1,20} )?(?:workspace\
             |organization|account|plan|project)
         your organization must be verified to[ ]
         (?:the |your )?billing account (?:\w+ ){0,5}not in good standing""")),
    Rule("detail with a code", "account", "Codex", shapes=("coded detail",), statuses=(0,)),
    # What it says of the request.
    Rule("context code", "context-length", "OpenAI",
         names=names("1261 context_length_exceeded context_too_large context_window_exceeded "
               "model_context_window_exceeded"), unless=(413,)),
    Rule("phrase 'too long'", "context-length", "any", unless=BUSY_STATUSES, says=phrases(r"""
         prompt is too long|input is too long
         (?:exceeds?|exceeded|larger than) (?:the |its )?(?:model's |available |maximum )?context
         maximum (?:context|prompt) length
         context (?:window|length|limit)[\w ]{0,20} exceed
         exceeds? (?:the )?(?:max(?:imum)? (?:length|number of tokens|input)|context limit)
         exceeded model token limit
         range of input length should be
         reduce the length of the (?:messages|prompt|input)""")),
    Rule("request code", "none", "OpenAI",
         names=names("array_above_max_length content_policy_violation invalid_encrypted_content "
               "invalid_function_parameters invalid_image_format invalid_prompt invalid_type "
               "invalid_value message_too_big missing_required_parameter previous_response_not_found "
               "prohibited_content request_too_large string_above_max_length thinking_signature_invalid "
               "unknown_parameter unsupported_parameter unsupported_value")),
    Rule("request code", "none", "MiniMax", names=_base_resp("1026 1027 1042 2013")),
    Rule("words 'policy'", "none", "any", words="policy"),
    Rule("phrase 'policy'", "none", "any", says=phrases(r"""
         (?:your|the|this) (?:input|prompt|content|messages?|output|image|text|query\
             |conversation)s? (?:\w+ ){0,4}(?:flagged|violat|blocked|rejected|sensitive|inappropriate\
             |refused|unsafe)
         (?:your|the|this) request (?:\w+ ){0,2}(?:violat|flagged|contain|considered)
         (?:blocked|filtered) (?:by|due to|because of) (?:\w+ ){0,2}(?:content|harmful|safety|policy)
         content (?:violates|policy|management policy|exists risk)
         (?:usage|content|safety) (?:guidelines|policy|policies|system)
         safety_check_type|safety reasons|responsible ai
         limited access to this content
         (?:contains?|contain) (?:\w+ ){0,3}(?:sensitive|inappropriate|prohibited|harmful)
         unsafe or sensitive|high risk|敏感|不安全|违规内容|违禁""")),
    # One request's entitlement: the account serves others.
    Rule("phrase 'needs extra usage'", "quota", "Anthropic", per_request=True, phrase=phrases(r"""
         extra usage is required for[ ]
         usage credits are required for[ ]
         fast mode requires (?:usage credits|extra usage)
         fast request rejected""")),
    Rule("phrase 'over the limit per minute'", "quota", "OpenAI", per_request=True,
         phrase=phrases(r"request too large for .{1,200}? on (?:(?:input |output )?tokens|requests) per ")),
    Rule("phrase 'fewer max_tokens'", "quota", "OpenRouter", per_request=True,
         phrase=phrases(r"this request requires more credits, or fewer max_tokens")),
    # The account has nothing left, or is barred: so peculiar that it counts even under a 400, as it comes.
    Rule("phrase 'third-party apps'", "quota", "Anthropic",
         phrase=phrases(r"third-party apps now draw from your extra usage")),
    Rule("phrase 'your limit'", "quota", "any", phrase=phrases(r"""
         <YOURS> (?:just |already |now )?(?:hit|reached|exceeded|exhausted|used up|used all(?: of)?\
             |r[au]n out of|consumed|depleted) (?:all )?(?:of )?(?:your|its|the|all)? ?\
             (?:[\w()-]{1,20} ){0,4}?(?:<LIMIT>|quota|credits?|balance|allowance|included|capacity)\b
         access denied, please make sure your account is in good standing
         resource_exhausted:[ ]
         you(?:'ve| have) used (?:up )?(?:all )?(?:of )?your free \w
         (?:(?:input|output) )?tokens per (?:minute|hour|day|month) (?:are |is )?(?:exhausted|exceeded\
             |used up)
         too many (?:tokens|requests|calls)(?: per \w{1,10})?, please (?:wait|slow)""")),
    # Google says so of a project; of the state of a file, too.
    Rule("account code", "account", "Google", names=names("failed_precondition"),
         phrase=phrases(r"""
         (?!.*\b(?:files?|cache[ds]?\w*|state|active|images?|videos?|audio|contents?|tools?)\b)""")),
    # Another status than the one they stand for: then they are the provider's word.
    Rule("quota code", "quota", "any",
         names=names("billing_error rate_limit_error rate_limit_exceeded resource_exhausted"),
         statuses=FAULT_STATUSES),
    Rule("phrase 'overloaded'", "overload", "Anthropic", phrase=phrases(r"""
         overloaded\W{0,3}$|slow down\b
         (?:\w+:? ){0,3}capacity (?:is |was |temporarily )?exceeded\b""")),
    Rule("overload code", "overload", "OpenAI",
         names=names("1305 1312 capacity_exceeded engine_overloaded_error model_capacity_exhausted "
               "overloaded_error server_is_overloaded server_overloaded serveroverloaded "
               "service_unavailable_error slow_down unavailable")),
    Rule("words 'no account'", "no-credential", "relays", unless=FAULT_STATUSES | {401, 402, 403, 426, 429},
         says=phrases(r"""
         (?:all|every|each) (?:\w+ )?(?:keys?|accounts?|credentials?\
             |channels?) .{0,40}?(?:cool(?:ing)?[- ]?down|exhausted|unavailable|disabled)
         no (?:available |active |usable |healthy )?(?:accounts?|channels?|credentials?|api keys?|keys?\
             |providers?)\b(?: (?:are |is )?(?:available|left))?
         无可用(?:渠道|账[号户])""")),
    Rule("phrase 'provider key'", "login", "any", phrase=phrases(r"""
         (?:the |your )?api[ _-]?key (?:not valid|expired|not found|is invalid|is expired|has expired\
             |has been revoked|revoked|invalid)
         incorrect api key provided
         (?:the |your |oauth |provided )*(?:authentication |access |refresh )?token (?:has been |has |is \
             |was )?(?:expired|revoked|invalidated|invalid)(?: or \w+)?<END>
         invalid (?:(?:api|access|bearer|auth) )?token(?: provided| \(request id|[.!]?$)
         [^'\"`]{0,60}\b(?:sign|log) ?in again""")),
    Rule("login code", "login", "Google",
         names=names("access_token_expired api_key_expired api_key_invalid invalid_grant")),
    # The model.
    Rule("phrase 'unknown model'", "unknown-model", "any", unless=BUSY_STATUSES | {401}, phrase=phrases(r"""
         (?:the )?(?:requested )?model (?:or endpoint )?<MODEL> (?:does not exist|(?:is |was )?not found\
             |is not supported)
         models/\S{1,200} is not found for api version
         publisher model \S{1,200} was not found
         the <MODEL> model is not supported when using codex
         (?:no such|unknown|invalid) model\b
         <MODEL> is not a valid model
         模型不存在""")),
    Rule("phrase 'unknown model'", "unknown-model", "Anthropic", statuses=(404,),
         phrase=phrases(r"model: \S{1,200}$")),
    Rule("unknown model code", "unknown-model", "any",
         names=names("1211 invalidendpointormodel model_not_found model_not_supported modelnotfound"),
         unless=BUSY_STATUSES | {401}),
    # Words under a status that blames the request, where they name nothing that is part of one.
    Rule("words 'nothing left'", "quota", "any", words="spent",
         without=names("invalid_parameter invalidparameter"), statuses=FAULT_STATUSES | {412}),
    Rule("words 'account barred'", "account", "any", words="barred", statuses=FAULT_STATUSES),
    Rule("account code", "account", "any", coded="barred", statuses=FAULT_STATUSES),
    # The request, by its status; as a 502 CLIProxyAPI tells a stream's failure to who asked for a whole.
    Rule("words 'a part of the request'", "none", "any", words="request", statuses=(0,)),
    Rule("words 'a part of the request'", "server-error", "CLIProxyAPI", words="request", statuses=(502,)),
    Rule("status of a request fault", "none", "HTTP", statuses=FAULT_STATUSES),
    Rule("phrase 'plugin'", "none", "CLIProxyAPI", shapes=("plugin",)),
    # The account or the servers, in words; of Claude's error events Gemini's clients get nothing but these.
    Rule("words 'overloaded'", "overload", "any", unless=(401, 402, 403, 426), says=phrases(r"""
         overload
         at (?:full |maximum )?capacity
         (?:no|insufficient|not enough|lack of|out of) (?:\w+ ){0,2}capacity
         saturated|all slots|busy|currently loading
         unable to handle (?:additional|more|your)
         (?:service|model|server|engine)s? (?:is |are )?(?:temporarily |currently )?unavailable
         no healthy upstream
         upstream connect error or disconnect/reset before headers""")),
    Rule("words 'overloaded'", "overload", "any", words="overloaded", unless=(401, 402, 403, 426)),
    Rule("words 'used up'", "quota", "any", words="any", statuses=(402, 403, 429)),
    Rule("words 'used up'", "quota", "any", words="account", unless=(401, 426)),
    Rule("account code", "account", "Codex",
         names=names("1309 account_deactivated deactivated_workspace unsupported_country_region_territory "
               "usage_not_included"), unless=(401,)),
    Rule("words 'plan is over'", "account", "any", statuses=(0, 402, 403, 429, 500), says=phrases(r"""
         (?:plan|package|subscription|membership|licen[sc]e)s? (?:\w+ ){0,2}(?:expired|lapsed|ended\
             |inactive|cancell?ed|discontinued)
         (?:membership|subscription) (?:benefits|is active)
         (?:an active|requires a) subscription|已到期|已过期""")),
    # Of a `detail` body streamed Responses get no more than this; Codex's 402 is a closed workspace.
    Rule("phrase 'payment required'", "account", "Codex", shapes=("object",),
         phrase=phrases(r"payment required$")),
    Rule("phrase 'generic provider error'", "overload", "OpenRouter", without=names("400 500 502 504"),
         statuses=(0, 500, 502, 504),
         phrase=phrases(r"(?:error from provider: )?provider returned error\W*$")),
    Rule("words 'no access'", "account", "Anthropic", statuses=(0, 502), says=phrases(r"""
         (?:does not|doesn't|do not|don't|not) (?:have|meet) (?:sufficient |the |any )?(?:access\
             |permission|scope|\S{1,60} role)
         not (?:part of|included in|available (?:on|in|for)) (?:your|this) (?:\w+ ){0,2}(?:plan|tier)
         (?:unusual|suspicious) activity
         (?:plan|subscription|tier|seat)s? (?:does not|doesn't|do not|don't) (?:include|cover)
         (?:region|country|location)\b.{0,20} not (?:served|supported|offered)
         not offered where
         (?:switched|turned) off for your
         user banned
         (?:bind|verify|link) your (?:\w+ ){0,3}account
         \b(?:account|organization|workspace|team|project|plan|key|token|oauth|user|you\
             |this)\b[\w: /]{0,60} not (?:allowed|permitted|authorized)
         \b(?:account|organization|workspace|team|project|plan|key|token|you) (?:may|can) ?not (?:use\
             |access)
         not whitelisted
         (?:account|access|project|organization|token|key)[\w ]{0,40} (?:denied|suspended|disabled|revoked\
             |restricted|paused|disallowed|turned off)
         (?:identity|account) verification
         forbidden by|requires approval""")),
    Rule("words 'not signed in'", "login", "any", statuses=(0, 500, 502, 504), phrase=phrases(r"""
         (?:your |the |oauth |no |missing )*(?:\w+ )?(?:token|credentials?|session|signature|authenti\w+\
             |api[ -]?key|bearer|login)(?: header)? (?:(?:has|have|was|were|is|are) )?(?:been \
             |currently )?(?:expired|invalid\w*|revoked|missing|required|failed|fails|not found|not valid\
             |not supported|reused|found)
         (?:invalid|incorrect|missing|no valid|no) (?:\w+ )?(?:authentication|authorization|credentials?\
             |x-api-key|api[ -]?key|access token|bearer token)(?:[ .!]|$)
         authentication (?:failed|fails|error|token)
         unauthori[sz]ed|user not found|the security token""")),
    Rule("words 'not signed in'", "login", "any", words="signed out", statuses=(0, 500, 502, 504)),
    Rule("words 'account barred'", "account", "any", words="barred", statuses=(0, 500, 502, 504)),
    Rule("login code", "login", "xAI", names=names("bad-credentials")),
    Rule("login code", "login", "MiniMax", names=_base_resp("1004 2049")),
    Rule("quota code", "quota", "MiniMax", names=_base_resp("1002 1008 1039 1041 2045 2056")),
    Rule("server code", "server-error", "MiniMax", names=_base_resp("1000 1001 1013 1024 1033")),
    *STATUSES,
)
# fmt: on
