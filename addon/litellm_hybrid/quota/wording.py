"""What a refusal says in words that no list of phrases can foresee.

Providers put the same few statements into ever new sentences and codes, so these are read as two
things: a *resource* (quota, credits, usage limit …) and its *exhaustion* (reached, exceeded,
insufficient …), in either order, within one sentence. How much counts as a resource depends on
where it stands: a refusal of access (403) is about the account anyway, a server's error only where
it names what an account has.
"""

import re
from typing import Literal

type Belief = Literal["code", "money", "account", "any"]
"""What counts as a resource: in a code, under a request fault, in a server's error, in a refusal."""

_WINDOW = (
    r"(?:\d+[- ]?)?(?:hour|day|week|month|minute|second|session)s?|hourly|daily|weekly|monthly|annual|rolling"
)
_LIMITED = (
    rf"(?:usage|rate|spend(?:ing)?|cost|budget|account|organi[sz]ation|team|user|member(?:ship)?|plan|tier"
    rf"|key"
    rf"|billing|credits?|premium|requests?|tokens?|concurren\w+|inference|throughput|{_WINDOW})"
)
_LIMIT = r"(?:limit(?:s|ed|ing)?|caps?|allocations?|allotment|ceiling)"
_ACCOUNT = (
    r"quotas?|budgets?|credits?|balances?|allowances?|funds|subscriptions?|free (?:tier|usage|allocation"
    r"|plan)"
    rf"|{_LIMITED}[\s()-]{{1,3}}(?:[\w()-]+\s){{0,2}}{_LIMIT}"
    rf"|{_LIMIT} (?:for|on|of) (?:the |this |your )?(?:account|organi[sz]ation|team|plan|key|subscription)"
    r"|resource pack(?:age)?s?|resource|rate[- ]?limit\w*|[rt]p[mdh]|usage|spend(?:ing)?|capacity on this "
    r"model"
)
_EXHAUSTED = (
    r"reach(?:ed|es)|exceed(?:s|ed|ing)?|exhaust(?:ed|ion|s)?|deplet(?:ed|ion)|consumed|used up|used all"
    r"|all used"
    r"|insufficient|inadequate|not enough|(?:doesn't|don't|not) have (?:enough|any|sufficient)|no longer "
    r"ha(?:s|ve)"
    r"|out of|overdue|over (?:the|your|its)|too (?:many|much|low|frequent\w*)|r[au]n out|no (?:more"
    r"|remaining)"
    r"|hit|negative|spent|lapsed|none left|is empty|maxed|surpassed"
    r"|not included|(?:rate[- ]?)?limited|throttled|arrears|r[au]n dry|nothing (?:is |was )?left|all spent"
    r"|(?:is|are) (?:all )?gone"
)
# What an account is paid with, and that it is gone. Under a request fault only this is believed, and not
# where a part of the request is named; what stands in quotes, or behind a field's name, is the request's.
_MONEY = (
    r"credits?|balances?|funds|wallet|quotas?|free tier|(?:free )?trial|subscription|payments?|invoices?|bill"
    r"|usage|spend(?:ing)?[- ](?:limits?|caps?)|allowances?"
)
_GONE = (
    rf"{_EXHAUSTED}|(?:is|are|was|has) (?:all )?(?:zero|over|at an end|spent|closed|failed|stopped|expired"
    r"|ended)|no|none|nothing|unpaid|not paid|not (?:cover|suffice)|run dry"
)
_OF_THE_REQUEST = re.compile(
    r"\b(?:arguments?|parameters?|fields?|propert(?:y|ies)|schema|functions?|tools?|json|formats?|headers?|types?"
    r"|values?|files?|images?|videos?|audio|documents?|pdf|pages?|prompts?|contents?|inputs?|outputs?|texts?"
    r"|batch|cache\w*|reasoning|sequences?|characters?|bytes|messages?\W|max_\w+|max tokens)"
)
_PAID_MOST = 300
"""Characters of a refusal that is about money; one that describes a request is longer."""

_CODED = (
    r"quotas?|credits?|balance|allowance|funds|usage|spend(?:ing)?|cost|billing|budget|resource|payment"
    r"|rate|weekly|monthly|daily|hourly|free tier"
)
_CODED_EXHAUSTED = (
    r"reached|exceeded?|exhausted|depleted|insufficient|not enough|too low|over|hit|limit(?:ed)?"
    r"|required|throttled|failed|empty|capped|free tier only|hard limit"
)


def _pair(resource: str, exhausted: str) -> re.Pattern[str]:
    # Both in one sentence; what is between them is short, so the search stays linear.
    gap = r"\b(?:[^.!?;\n]|[.](?=\w)){0,120}?\b"
    return re.compile(rf"\b(?:(?:{resource}){gap}(?:{exhausted})|(?:{exhausted}){gap}(?:{resource}))\b")


_READ = {
    "code": _pair(_CODED, _CODED_EXHAUSTED),
    "money": re.compile(r"[^'\"`{\[:]*?" + _pair(_MONEY, _GONE).pattern),
    "account": _pair(_ACCOUNT, _EXHAUSTED),
    "any": _pair(
        rf"{_ACCOUNT}|limits?|requests?|tokens?|sessions?|messages?|calls|plan|package|capacity", _EXHAUSTED
    ),
}
_SAYS_IT = re.compile(
    r"(?<![\d.,])0 (?:credits?|requests?|tokens?|messages?) (?:left|remaining)"
    r"|(?:credits?|trial) (?:has |have )?expired|out of tokens|too many (?:concurrent |parallel "
    r")?(?:requests|sessions|connections)|throttl(?:ed|ing)"
    r"|rate[- ]?limited|due to rate[- ]?limit|limited to [\d,]+ (?:\w+ ){0,3}(?:calls|requests|tokens)"
    r"|no (?:credits?|quota|balance|funds|requests|tokens) (?:left|remaining)"
    r"|nothing (?:is )?left (?:of|on|in) (?:your|the|this)"
    r"|\bat (?:its|your|the|their) (?:\w+ ){0,2}(?:limit|cap)\b"
)
_SAYS_IT_ALONE = re.compile(
    r"\b(?:arrear\w*|account overdue|overdue\w*|throttling\w*|rate ?limit\w*|service overdue)\b"
)

# The commonest languages of relays and their users; these say nothing else.
_FOREIGN_MONEY = re.compile(
    r"[^'\"`{\[:]*?(?:欠费|余额.{0,4}(?:不足|不够|[为是] ?0)|请.{0,4}(?:充值|续费)|(?:套餐|资源包|订阅).{0,8}"
    r"(?:到期|过期|耗尽|用[完尽])"
    r"|残高.{0,4}不足|잔액.{0,6}부족|недостаточно (?:средств|кредитов)|saldo .{0,30}insuficiente"
    r"|(?:solde|cr[eé]dits?) .{0,30}(?:insuffisant|[eé]puis[eé])"
    r"|guthaben .{0,30}(?:aufgebraucht|ersch[oö]pft))"
)
_FOREIGN = re.compile(
    r"欠费|余额不足|(?:扣费|扣除)额度失败|(?:额度|余额|配额|限额|用量|套餐|次数|频率|速率|并发|流量|上限|限制|资源包).{0,12}"
    r"(?:不足|不够|用[完尽光]|耗尽|超[出过限]|达到|已达|过[高快]|上限)"
    r"|(?:超[出过]|达到|已达|耗尽|无可用).{0,16}(?:额度|余额|配额|限额|用量|套餐|次数|频率|速率|并发|上限|限制|资源包)"
    r"|(?:利用|使用|リクエスト).{0,8}(?:上限|制限).{0,8}(?:達し|超え)|残高.{0,4}不足"
    r"|(?:한도|할당량|잔액|크레딧).{0,10}(?:초과|도달|부족|소진)"
    r"|недостаточно (?:средств|кредитов)|(?:лимит|квота|баланс)\w* .{0,30}(?:исчерпан|превышен|достигнут)"
    r"|(?:saldo|cr[eé]ditos?|cuota|cota|l[ií]mite) .{0,30}(?:insuficiente|agotad|esgotad|alcanzad|superad"
    r"|excedid)"
    r"|(?:quota|limite|solde|cr[eé]dits?) .{0,30}(?:d[eé]pass[eé]|atteinte?|insuffisant|[eé]puis[eé])"
    r"|(?:guthaben|kontingent|limit) .{0,30}(?:aufgebraucht|ersch[oö]pft|[uü]berschritten|erreicht)"
)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def used_up(text: str, belief: Belief) -> bool:
    """Whether a sentence, or a code as `code_words` makes it, says that something is used up.

    Args:
        text: in lower case, spaces single.
        belief: what counts as a resource there.
    """
    if belief == "money":
        if len(text) > _PAID_MOST or _OF_THE_REQUEST.search(text):
            return False
        return bool(_READ[belief].match(text) or _FOREIGN_MONEY.match(text))
    if _READ[belief].search(text):
        return True
    if belief == "code":
        return bool(_SAYS_IT_ALONE.search(text))
    return bool(_SAYS_IT.search(text) or _FOREIGN.search(text))


def code_words(code: str) -> str:
    """The words of a code: "Throttling.RateQuota" and "insufficient_user_quota" become sentences."""
    return " ".join(re.split(r"[^A-Za-z0-9]+", _CAMEL.sub(" ", code))).strip().lower()
