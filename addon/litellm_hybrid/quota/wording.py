"""What a refusal says in words that no list of phrases can foresee.

Providers put the same few statements into ever new sentences, codes and languages, so these are read as two
things: a *subject* (quota, credits, usage limit …; account, key …) and what became of it (reached,
insufficient, suspended …), in either order, within one sentence. How much counts depends on where it
stands: a refusal of access (403) is about the account anyway, a server's error only where it names what an
account has, and words under a status that blames the request (400) only where they name no part of a
request, and only outside of what they quote.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Literal

# ruff: noqa: RUF001 (other alphabets)

type Reading = Literal[
    "code",
    "account",
    "any",
    "spent",
    "barred",
    "signed out",
    "overloaded",
    "policy",
    "policy code",
    "request",
]
"""How a text is read. That something is used up: in a code, in a server's error ("account"), in a
refusal of access ("any"), under a status that blames the request ("spent")."""

_WINDOW = (
    r"(?:\d+[- ]?)?(?:hour|day|week|month|minute|second|session)s?|hourly|daily|weekly|monthly|annual|rolling"
)
_LIMITED = (
    rf"(?:usage|rate|spend(?:ing)?|cost|budget|account|organi[sz]ation|team|user|member(?:ship)?|plan|tier"
    rf"|key|billing|credits?|premium|requests?|tokens?|concurren\w+|inference|throughput|{_WINDOW})"
)
_LIMIT = r"(?:limit(?:s|ed|ing)?|caps?|allocations?|allotment|ceiling)"

# What only an account has.
_OWNED = (
    r"quotas?|credits?|balances?|allowances?|allotments?|funds|wallets?|prepaid|overages?"
    r"|(?:account|monthly|weekly|daily|organi[sz]ation|team|user|project|key|max|spend(?:ing)?) budgets?"
    r"|free (?:tier|usage|allocation|plan|trial|quota)|trial"
    r"|(?:usage|spend(?:ing)?|billing|weekly|daily|monthly|hourly|session|plan|account|credit|cost)s? "
    r"(?:[\w()-]{1,20} ){0,2}?(?:limits?|caps?|ceiling|allocation|maximum)|extra usage"
    rf"|{_LIMIT} (?:for|on|of) (?:the |this |your )?(?:spend(?:ing)?|usage|costs?|credits?)"
)
_ACCOUNT = (
    rf"{_OWNED}|budgets?|subscriptions?"
    rf"|{_LIMITED}[\s()-]{{1,3}}(?:[\w()-]+\s){{0,2}}{_LIMIT}"
    rf"|{_LIMIT} (?:for|on|of) (?:the |this |your )?(?:account|organi[sz]ation|team|plan|key|subscription)"
    r"|resource pack(?:age)?s?|resource|rate[- ]?limit\w*|[rt]p[mdh]|usage|spend(?:ing)?|capacity on this "
    r"model"
)
_EXHAUSTED = (
    r"reach(?:ed|es)|exceed(?:s|ed|ing)?|exhaust(?:ed|ion|s)?|deplet(?:ed|ion)|consumed|used up|used all"
    r"|all used|(?:in|not )sufficient|inadequate"
    r"|not enough|(?:doesn't|don't|not) have (?:enough|any|sufficient)"
    r"|no longer ha(?:s|ve)|out of|overdue|over (?:the|your|its)|too (?:many|much|low|frequent\w*)|r[au]n "
    r"(?:out|dry)|no (?:more|remaining)|hit|negative|spent|lapsed|none left"
    r"|(?:is|are|was) (?:all )?(?:empty|over|gone|(?:at )?zero|at an end|finished)|(?<!not )met"
    r"|nothing (?:is |was )?left|maxed"
    r"|surpassed|not included|(?:rate[- ]?)?limited|throttled|arrears|past due|unpaid|all spent"
)
_NONE = r"(?:no|zero|without(?: any)?|(?<![\d.,])0) (?:[\w-]+ ){0,2}?"

# What is used up by working, where that is said in so many words.
_WORKED = r"messages?|requests?|calls?|tokens?|prompts?|generations?|units|points|minutes|hours|neurons|usage"
_GONE = (
    r"used up|used all|all used|r[au]n out|out of|all gone|none left|no more|depleted|consumed|exhausted"
    r"|(?:are|is|were|was|been) (?:all )?(?:used|spent|gone|taken)|(?:left|remaining) (?:until|this|today)"
)
_CODED = (
    r"quotas?|credits?|balance|allowance|funds|usage|spend(?:ing)?|cost|billing|budget|resource|payment"
    r"|rate|weekly|monthly|daily|hourly|free tier|request limit|consumption"
)
_CODED_EXHAUSTED = (
    r"reached|exceeded?|exhausted|depleted|insufficient|not enough|too low|over|hit|limit(?:ed)?"
    r"|required|throttled|failed|empty|capped|free tier only|hard limit|violation"
)


def _pair(one: str, other: str, between: str = r"\b(?:[^.!?;\n]|[.](?=\w)){0,120}?\b") -> str:
    """Both in one sentence, in either order; what is between them is short, so the search stays linear."""
    return rf"(?:{one}){between}(?:{other})|(?:{other}){between}(?:{one})"


def _words(one: str, other: str) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{_pair(one, other)})\b")


def _stems(one: str, other: str) -> str:
    return _pair(one, other, r"[^.!?;。！？；\n]{0,30}?")


# What refusals say in the languages of relays and their users, in stems, because endings vary.
# zh | ja | ko | ru | es, pt, it | fr | de | nl | pl | tr | vi
_OWNED_ABROAD = (
    r"余额|额度|配额|限额|资源包|免费|用量|点数|积分|残高|残額|クレジット|クォータ|잔액|크레딧|할당량|사용량"
    r"|баланс|квот|кредит|средств|saldo|cr[eéè]dit|cuota|cota\b|quota|solde|guthaben|kontingent|tegoed|bakiye"
    r"|kota\b|kontyngent|hạn mức|số dư"
)
_LIMITED_ABROAD = (
    r"套餐|次数|频率|速率|并发|流量|上限|限制|请求|调用|利用|使用|リクエスト|回数|制限|한도|요청|лимит|запрос"
    r"|l[ií]mite?|limita|solicitud|peticion|requisi[cç]|richiest|requ[eê]te|anfrage|limiet|verzoek|zapyta"
    r"|istek|limit|yêu cầu|lượt"
)
_GONE_ABROAD = (
    r"不足|不够|用[完尽光]|耗尽|超[出过限额]|达到|已达|达上限|过[高快多]|过于频繁|已用尽|无可用|不足|足りません"
    r"|使い切|超え|超過|達し|多すぎ|초과|도달|부족|소진|너무 많"
    r"|исчерпан|превы[шс]|достигнут|недостаточн|законч"
    r"|слишком много|insuficiente|insufficient|insuffisant|agotad|esgotad|esaurit|alcanzad|atingid|raggiunt"
    r"|superad|superat|excedid|excedeu|demasiad|muitas|troppe|d[eé]pass[eé]|atteint|[eé]puis[eé]|trop de"
    r"|aufgebraucht|ersch[oö]pft|[uü]berschritten|erreicht|zu viele|opgebruikt|overschreden|bereikt|te veel"
    r"|wyczerpa|przekroczon|osiągni|zbyt wiele|yetersiz|doldu|aşıldı|tükendi|hết|vượt|quá nhiều"
)
_USED_UP_ABROAD = re.compile(
    rf"欠费|余额不足|(?:扣费|扣除)额度失败|{_stems(f'{_OWNED_ABROAD}|{_LIMITED_ABROAD}', _GONE_ABROAD)}"
)
_SPENT_ABROAD = re.compile(rf"欠费|余额不足|请.{{0,4}}(?:充值|续费)|{_stems(_OWNED_ABROAD, _GONE_ABROAD)}")

_BARRED_ABROAD = re.compile(
    _stems(
        r"账[号户]|帐[号户]|组织|令牌|密钥|订阅|套餐|アカウント|계정|аккаунт|уч[её]тн|подписк|cuenta|conta\b|compte"
        r"|suscripci|assinatura|abonnement|konto|account|hesa[bp]|abonament|tài khoản",
        r"封[禁停]|禁用|停用|冻结|限制|未完成|无权|暂停|注销|已?到期|已?过期|停止|無効|凍結|制限|정지|차단|비활성|만료"
        r"|заблокирован|приостановлен|отключ|ист[её]к|suspendid|suspenso|suspendu|bloquead|bloqu[eé]|gesperrt"
        r"|deaktiviert|d[eé]sactiv|desactivad|desativad|vencid|expir|abgelaufen|geblokkeerd|verlopen|opgeschort"
        r"|sospes|zablokowan|zawieszon|wygas|askıya|engellen|bị khóa",
    )
)
_SIGNED_OUT_ABROAD = re.compile(
    _stems(
        r"令牌|密钥|凭证|api ?キー|トークン|api ?키|토큰|ключ|токен|schl[uü]ssel|token|clave|chave|cl[eé]\b"
        r"|chiave|sleutel|klucz|anahtar|khóa api",
        r"无效|过期|错误|失效|非法|無効|期限切れ|正しく|유효하지|만료|недейств|неверн|ист[её]к|ung[uü]ltig|abgelaufen"
        r"|inv[aá]lid[aoe]s?\b|expirad|expiré|non valid|scadut|ongeldig|verlopen|nieprawid|geçersiz"
        r"|không hợp lệ",
    )
    + r"|(?:认证|鉴权|身份验证)失败|未授权|重新登录|未登录"
)
_OVERLOADED_ABROAD = re.compile(
    r"访问量过大|负载.{0,6}(?:饱和|[太过很较]?[高重大])|繁忙|过载|拥挤|拥堵|人数(?:较|过|太)多|混雑|混み合|集中して|過負荷"
    r"|과부하|혼잡|перегруж|высокая нагрузка|sobrecarg|saturad|surcharg|[uü]berlast|ausgelastet|sovraccaric"
    r"|overbelast|przeci[aą][zż]|aşırı yük|quá tải"
)
_REQUEST_ABROAD = (
    r"参数|字段|(?<!请求)(?<!调用)数量"
    r"|トークン数|コンテキスト|토큰 수|컨텍스트|контекст|contexto|contexte|kontext"
    r"|图[片像]|文件|消息|工具|函数|上下文|长度|格式|输入|输出|提示词|字符|请求体|角色|模型名|パラメータ|画像"
    r"|ファイル|メッセージ|入力|文字|形式|範囲|파라미터|매개변수|이미지|파일|메시지|입력|길이|형식|값[이은을]|параметр"
    r"|\bпол[яеюй]\b|файл|изображени|сообщени|длин[аыу]|par[aáàâ]m[eèé]t|\bcampo|imagen|imagem|archivo|arquivo"
    r"|mensaj|mensag|\bchamp\b|fichier|\bfeld|\bbild|\bdatei|nachricht|zeichen|parameter"
    r"|ツール|nombre de messages|immagin|outil|herramient|werkzeug"
)

_SAYS_IT = re.compile(
    r"(?<![\d.,])0 (?:credits?|requests?|tokens?|messages?) (?:left|remaining)"
    r"|(?:credits?|trial) (?:has |have )?expired|out of tokens|too many (?:concurrent |parallel )?"
    r"(?:requests|sessions|connections|calls)|throttl(?:ed|ing)"
    r"|(?:budget|quota|allowance|allotment|credit|usage)s? (?:all |fully )?used\b"
    r"|rate[- ]?limited|due to rate[- ]?limit"
    r"|limited to [\d,]+ (?:\w+ ){0,3}(?:calls|requests|tokens)|.payment required|rate limit you"
    rf"|\b{_NONE}(?:{_WORKED}|credits?|quota|balance|funds|budget)(?: [\w ]{{1,40}}?)? (?:left|remaining|to "
    r"spend)\b|^(?:\w+ )?limit exceeded\W*$"
    r"|^(?:qp[sm]|[rt]pm|rate) limit\b|\bfaster than\b"
    r"|\bat (?:its|your|the|their) (?:\w+ ){0,2}(?:limit|cap)\b"
)
_PAY = re.compile(
    r"\btop(?:ping)? up\b|\badd (?:more )?(?:credits?|funds|money)\b|\brecharge\b|\bpayment method\b"
    r"|\b(?:card|payment) (?:\w+ ){0,3}(?:declined|failed|charged)\b|\byour (?:plan"
    r"|billing) and (?:plan|billing)"
)
_HAS_NONE = re.compile(rf"\b{_NONE}(?:{_OWNED}|budgets?)\b(?! (?:is|was|were|are) )")
_SAYS_IT_ALONE = re.compile(
    r"\b(?:arrear\w*|account overdue|overdue\w*|throttling\w*|rate ?limit\w*|service overdue|unpaid"
    r"|quota violation|spike arrest\w*)\b"
)

_BARRED = _words(
    r"account|organi[sz]ation|workspace|team|subscription|membership|api key|credentials?|licen[cs]e|seat",
    r"(?:been |is |was |are |currently )?(?:disabled|suspended|deactivated|banned|restricted|locked|blocked"
    r"|frozen|closed|inactive|not active|archived|terminated|paused|expired|lapsed|discontinued|unpaid"
    r"|not eligible|on hold|disallowed|under review|cancell?ed|(?:switched|turned) off)|only authorized",
)
_SIGNED_OUT = re.compile(
    r"\b(?:signed|logged) out\b"
    r"|\bsession (?!id\b)(?:\w+ ){0,3}(?:ended|expired|over|invalid|closed|not recogni[sz]ed)"
    r"|(?:^|api |access )key (?:has |was |is )?(?:expired|revoked|disabled|deleted)\b"
    r"|\b(?:sign|log) ?in (?:again|once more|to continue)\b|re-?authenticate"
)
_OVERLOADED = re.compile(
    r"\bmore (?:work|requests|traffic|load|demand) than\b|\btoo much (?:traffic|load|demand)\b|\bflooded\b"
    r"|\b(?:heavy|high|excessive|elevated) (?:demand|traffic|load|strain|usage)\b|\bcongest(?:ed|ion)\b"
    r"|\bunable to process your request\.?$|\b(?:is|are) full(?: at|[,.]|$)"
    r"|\bno (?:replicas?|workers?|instances?|servers?|gpus?|nodes?) (?:are |is )?(?:ready|available"
    r"|free|left)\b"
    r"|\bkeep(?:ing)? up with\b|\btoo many (?:pending|queued|waiting|people|users|jobs)\b|\bdraining\b"
    r"|\bwarming up\b"
)
_POLICY = re.compile(
    r"\b(?:judged|deemed|considered|found) (?:to be )?(?:harmful|unsafe|offensive|inappropriate|sensitive)\b"
    r"|\b(?:moderation|guardrails?|guard model|content[- ](?:filter\w*|moderation|safety)|jailbreak"
    r"|prompt injection|safety (?:filter|classifier|check|system)\w*|unsafe content|content not allowed"
    r"|model (?:refused|declined))\b"
    r"|\b(?:inputs?|prompts?|contents?|texts?|outputs?|messages?|images?) (?:\w+ ){0,3}(?:flagged|withheld)\b"
    r"|\b(?:sexual|violence|self-harm|hateful|profanity|nsfw|copyright)\b|内容审核|内容安全"
)
_POLICY_CODE = re.compile(
    r"\b(?:content (?:filter\w*|polic\w+|blocked|violation|safety)|moderation\w*|guardrail\w*|flagged"
    r"|safety|sensitive\w*|data inspection|cyber policy"
    r"|(?:input|text|prompt|output) \w* ?(?:blocked|sensitive)\w*)\b"
)

# What a request has: its members by their path or their name, and what it is made of.
_REQUEST = re.compile(
    r"\b[a-z]\w*(?:\.\d+\b|\[\d+\])|\b(?:max|min|top|tool|prompt|response|stream)_\w"
    r"|\b(?:tools?|functions?|schema|param(?:eter)?s?|propert(?:y|ies)|fields?|arguments?|images?|videos?"
    r"|audio|pdfs?|documents?|files?|attachments?|pages?|characters?|strings?|arrays?|items?|metadata"
    r"|headers?"
    r"|roles?|prefill|stop sequences?|json|payload|batch|mcp|connector|thinking|reasoning|temperature|context"
    r"|prompt|turns?|values?|format|mime|url|tags?|depth|descriptions?|choices?|completions?"
    r"|dimensions?|pixels"
    r"|bytes|[km]b|vector store|stop sequences|features?|beta|search|execution|computer use|caching|citations"
    r"|ranges?|fetch\w*|download\w*|message \d+|input \d+)\b|\bsupported for this\b"
    # How validators speak of what is wrong with it.
    r"|\b(?:extra inputs?|inputs? (?:should|is|are)|should (?:be|have|match|contain)|must (?:be"
    r"|have|match|contain|not)|expected|at (?:least|most)|(?:greater|less|larger|smaller|longer) than"
    r"|does not match|malformed|unexpected|supported (?:values|formats)"
    r"|(?:invalid|unsupported|unknown|missing|required|unexpected) (?:value|parameter|field|argument|type"
    r"|request|')|cannot unmarshal|failed to (?:parse|deserialize))"
    rf"|^\s*<|{_REQUEST_ABROAD}"
)
_SNAKE = re.compile(r"(?<![\w/.-])[a-z]+(?:_[a-z]+)+\b")
_NO_MEMBER = re.compile(r"\b(?:trace|request|error|status|upstream|api|reason|account|org|denied)\b")
_LONGEST = 300
"""Characters of a refusal that is about the account; one that describes a request is longer."""
_QUOTED = re.compile(r"`[^`]*`|\"[^\"]*\"|“[^”]*”|«[^»]*»|(?<![\w])'[^']*'(?!\w)")
_NO_WORD = re.compile(r"[^A-Za-z0-9]+")
_LONGEST_CODE = 100
"""Characters of a code whose words are remembered; there are some dozens of codes."""
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


_READINGS: Mapping[Reading, tuple[re.Pattern[str], ...]] = {
    "code": (_words(_CODED, _CODED_EXHAUSTED), _SAYS_IT_ALONE),
    "account": (
        *(_words(_ACCOUNT, _EXHAUSTED), _SAYS_IT, _words(_WORKED, _GONE)),
        *(_HAS_NONE, _PAY, _USED_UP_ABROAD),
    ),
    "any": (
        _words(
            rf"{_ACCOUNT}|limits?|requests?|tokens?|sessions?|messages?|calls|plan|package|capacity",
            _EXHAUSTED,
        ),
        *(_SAYS_IT, _PAY, _USED_UP_ABROAD),
    ),
    "spent": (
        _words(
            rf"{_OWNED}|subscriptions?|payments?|invoices?|usage",
            rf"{_EXHAUSTED}|(?:is|are|was|has) (?:closed|failed|stopped|expired|ended)|not paid"
            r"|not (?:cover|suffice)",
        ),
        *(_HAS_NONE, _PAY, _SPENT_ABROAD),
    ),
    "barred": (_BARRED, _BARRED_ABROAD),
    "signed out": (_SIGNED_OUT, _SIGNED_OUT_ABROAD),
    "overloaded": (_OVERLOADED, _OVERLOADED_ABROAD),
    "policy": (_POLICY,),
    "policy code": (_POLICY_CODE,),
    "request": (_REQUEST,),
}
_BLAMELESS = frozenset({"spent", "barred"})
"""Readings in which a text must name no part of a request, and says it outside of quotes."""


def says(text: str, reading: Reading) -> bool:
    """Whether a sentence (lower case, single spaces), or a code's `code_words`, says what is asked."""
    return bool(find(text, reading))


def find(text: str, reading: Reading) -> str:
    """Return the words of a text by which it says what is asked; "" if it does not."""
    if reading in _BLAMELESS:
        if len(text) > _LONGEST or names_request(text) or _names_member(text):
            return ""
        text = _QUOTED.sub(" ", text)
    for pattern in _READINGS[reading]:
        if found := pattern.search(text):
            return found[0]
    return ""


def names_request(text: str) -> bool:
    """Whether a sentence names a part of a request."""
    return bool(_REQUEST.search(text))


def _names_member(text: str) -> bool:
    members = (code_words(word) for word in _SNAKE.findall(text))
    return any(not _NO_MEMBER.search(word) and not says(word, "code") for word in members)


def alternatives(text: str) -> str:
    r"""One pattern: each line of a text is an alternative; what ends in `\` goes on in the next line."""
    lines = re.sub(r"\\\n\s*", "", text).split("\n")
    return f"(?:{'|'.join(filter(None, map(str.lstrip, lines)))})"


def code_words(code: str) -> str:
    """The words of a code: "Throttling.RateQuota" and "insufficient_user_quota" become sentences."""
    return _remembered_words(code) if len(code) <= _LONGEST_CODE else _code_words(code)


def _code_words(code: str) -> str:
    return " ".join(_NO_WORD.split(_CAMEL.sub(" ", code))).strip().lower()


_remembered_words = lru_cache(256)(_code_words)
