"""What refusals say in the languages of relays and their users: subjects and what became of them.

Every pair is read as in wording.py, in either order and close together. Stems, because endings vary.
"""

import re

# ruff: noqa: RUF001 (other alphabets)


def _pair(one: str, other: str) -> str:
    gap = r"[^.!?;。！？；\n]{0,30}?"
    return rf"(?:{one}){gap}(?:{other})|(?:{other}){gap}(?:{one})"


# zh | ja | ko | ru | es, pt, it | fr | de | nl | pl | tr | vi
_OWNED = (
    r"余额|额度|配额|限额|资源包|免费|用量|点数|积分|残高|残額|クレジット|クォータ|잔액|크레딧|할당량|사용량"
    r"|баланс|квот|кредит|средств|saldo|cr[eéè]dit|cuota|cota\b|quota|solde|guthaben|kontingent|tegoed|bakiye"
    r"|kota\b|kontyngent|hạn mức|số dư"
)
_LIMITED = (
    r"套餐|次数|频率|速率|并发|流量|上限|限制|请求|调用|利用|使用|リクエスト|回数|制限|한도|요청|лимит|запрос"
    r"|l[ií]mite?|limita|solicitud|peticion|requisi[cç]|richiest|requ[eê]te|anfrage|limiet|verzoek|zapyta"
    r"|istek|limit|yêu cầu|lượt"
)
_GONE = (
    r"不足|不够|用[完尽光]|耗尽|超[出过限额]|达到|已达|达上限|过[高快多]|过于频繁|已用尽|无可用|不足|足りません"
    r"|使い切|超え|超過|達し|多すぎ|초과|도달|부족|소진|너무 많"
    r"|исчерпан|превы[шс]|достигнут|недостаточн|законч"
    r"|слишком много|insuficiente|insufficient|insuffisant|agotad|esgotad|esaurit|alcanzad|atingid|raggiunt"
    r"|superad|superat|excedid|excedeu|demasiad|muitas|troppe|d[eé]pass[eé]|atteint|[eé]puis[eé]|trop de"
    r"|aufgebraucht|ersch[oö]pft|[uü]berschritten|erreicht|zu viele|opgebruikt|overschreden|bereikt|te veel"
    r"|wyczerpa|przekroczon|osiągni|zbyt wiele|yetersiz|doldu|aşıldı|tükendi|hết|vượt|quá nhiều"
)
USED_UP = re.compile(rf"欠费|余额不足|(?:扣费|扣除)额度失败|{_pair(f'{_OWNED}|{_LIMITED}', _GONE)}")
SPENT = re.compile(rf"欠费|余额不足|请.{{0,4}}(?:充值|续费)|{_pair(_OWNED, _GONE)}")

BARRED = re.compile(
    _pair(
        r"账[号户]|帐[号户]|组织|令牌|密钥|订阅|套餐|アカウント|계정|аккаунт|уч[её]тн|подписк|cuenta|conta\b|compte"
        r"|suscripci|assinatura|abonnement|konto|account|hesa[bp]|abonament|tài khoản",
        r"封[禁停]|禁用|停用|冻结|限制|未完成|无权|暂停|注销|已?到期|已?过期|停止|無効|凍結|制限|정지|차단|비활성|만료"
        r"|заблокирован|приостановлен|отключ|ист[её]к|suspendid|suspenso|suspendu|bloquead|bloqu[eé]|gesperrt"
        r"|deaktiviert|d[eé]sactiv|desactivad|desativad|vencid|expir|abgelaufen|geblokkeerd|verlopen|opgeschort"
        r"|sospes|zablokowan|zawieszon|wygas|askıya|engellen|bị khóa",
    )
)
SIGNED_OUT = re.compile(
    _pair(
        r"令牌|密钥|凭证|api ?キー|トークン|api ?키|토큰|ключ|токен|schl[uü]ssel|token|clave|chave|cl[eé]\b"
        r"|chiave|sleutel|klucz|anahtar|khóa api",
        r"无效|过期|错误|失效|非法|無効|期限切れ|正しく|유효하지|만료|недейств|неверн|ист[её]к|ung[uü]ltig|abgelaufen"
        r"|inv[aá]lid[aoe]s?\b|expirad|expiré|non valid|scadut|ongeldig|verlopen|nieprawid|geçersiz"
        r"|không hợp lệ",
    )
    + r"|(?:认证|鉴权|身份验证)失败|未授权|重新登录|未登录"
)
OVERLOADED = re.compile(
    r"访问量过大|负载.{0,6}(?:饱和|[太过很较]?[高重大])|繁忙|过载|拥挤|拥堵|人数(?:较|过|太)多|混雑|混み合|集中して|過負荷"
    r"|과부하|혼잡|перегруж|высокая нагрузка|sobrecarg|saturad|surcharg|[uü]berlast|ausgelastet|sovraccaric"
    r"|overbelast|przeci[aą][zż]|aşırı yük|quá tải"
)
REQUEST = (
    r"参数|字段|(?<!请求)(?<!调用)数量"
    r"|トークン数|コンテキスト|토큰 수|컨텍스트|контекст|contexto|contexte|kontext"
    r"|图[片像]|文件|消息|工具|函数|上下文|长度|格式|输入|输出|提示词|字符|请求体|角色|模型名|パラメータ|画像"
    r"|ファイル|メッセージ|入力|文字|形式|範囲|파라미터|매개변수|이미지|파일|메시지|입력|길이|형식|값[이은을]|параметр"
    r"|\bпол[яеюй]\b|файл|изображени|сообщени|длин[аыу]|par[aáàâ]m[eèé]t|\bcampo|imagen|imagem|archivo|arquivo"
    r"|mensaj|mensag|\bchamp\b|fichier|\bfeld|\bbild|\bdatei|nachricht|zeichen|parameter"
    r"|ツール|nombre de messages|immagin|outil|herramient|werkzeug"
)
"""Parts of a request."""
