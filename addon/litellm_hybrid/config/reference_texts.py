"""What the reference says about a setting beyond config_keys.py: values, an example, and what goes wrong.

scripts/reference makes docs/configuration.md of both tables. The words of errors
and warnings stand in neither: they are those that the parser really says.
"""

from dataclasses import dataclass

_FLAG = "`true` or `false`"
_NAMES = "exact names and [globs](#values)"
_DURATION = "[a duration](#values), 0 or more"
_LONGER = "[a duration](#values), more than 0"
_KEYS = "each a text of visible ASCII characters without spaces"


@dataclass(frozen=True, slots=True)
class Help:
    """About one setting.

    Attributes:
        allowed: which values it takes, units included.
        example: a value as it is written in the file; it is valid.
        more: what a user should know beyond the key's `meaning`.
        wrong: values that it does not take, as they are written in the file.
        odd: whole sections below `extensions.litellm` that get an error or a warning because of it.
        at_start: it is only read when `litellm-hybrid serve` starts.
    """

    allowed: str
    example: str
    more: str = ""
    wrong: tuple[str, ...] = ()
    odd: tuple[str, ...] = ()
    at_start: bool = False


GROUPS: dict[str, tuple[str, ...]] = {
    "Where LiteLLM is": ("base-url", "api-key"),
    "What goes to LiteLLM at once": ("enabled", "models", "model-mappings", "passthrough-mode"),
    "What goes to LiteLLM when upstream fails": (
        "fallback.enabled",
        "fallback.on",
        "fallback.models",
        "fallback.except",
        "fallback.hold-max",
        "fallback.opening-max",
        "fallback.first-byte",
        "fallback.cooldown-max",
        "fallback.max-per-hour",
        "fallback.history",
        "fallback.sticky",
    ),
    "How long to wait": ("timeouts.connect", "timeouts.first-byte", "timeouts.idle"),
    "Who may spend LiteLLM's key": ("client-api-keys", "trusted-proxies", "listen-without-keys"),
    "How requests are taken": ("websocket", "strip-provider-prefix", "max-in-flight", "grace-period"),
    "What is logged": ("log-format",),
    "For litellm-hybrid serve alone": ("upstream-url", "listen", "workers"),
}
"""The chapters of the reference, and the settings in each."""

HELP: dict[str, Help] = {
    "base-url": Help(
        "`http://` or `https://`, host, port if it is not 80 or 443, and a path prefix if LiteLLM has one; "
        "no user name, query or fragment",
        "http://127.0.0.1:4000",
        "Requests keep their own path, which begins with `/v1` mostly: `https://example.com/llm` gets "
        "`/llm/v1/messages`.",
        wrong=("127.0.0.1:4000", "http://me:secret@127.0.0.1:4000"),
        odd=("base-url: http://127.0.0.1:4000/v1", "base-url: http://127.0.0.1:8318\nlisten: 127.0.0.1:8318"),
    ),
    "api-key": Help(
        "a text of visible ASCII characters without spaces, or the word `none`",
        "${LITELLM_API_KEY}",
        "Without it a routed request keeps the client's own key, and LiteLLM checks that one; fallback needs "
        "it. It is shown nowhere: not in the log, not by `check`, not in mitmweb.",
        wrong=('"two words"', "true", "${NOT_SET}"),
    ),
    "enabled": Help(_FLAG, "true", wrong=("perhaps",), odd=("enabled: true",)),
    "models": Help(
        _NAMES,
        '[gpt-4.1, openrouter/*, "claude-sonnet-4-5[1m]"]',
        "LiteLLM's names are case-sensitive: an exact entry is sent as it is spelt here, whatever the client "
        "wrote; for a glob the client's spelling goes along, without its suffix.",
        wrong=("gpt-4.1", "[true]"),
        odd=("enabled: true\nbase-url: http://127.0.0.1:4000",),
    ),
    "model-mappings": Help(
        "each key an exact name or [a glob](#values), each value the one name that LiteLLM knows",
        '{gpt-5: openai/gpt-5, "claude-sonnet-4-5*": anthropic/claude-sonnet-4-5}',
        "It holds for routed requests and for fallbacks. An exact name outweighs a glob, a glob with more "
        "literal text one with less.",
        wrong=("[gpt-5]", "{gpt-5: openai/*}"),
    ),
    "passthrough-mode": Help(_FLAG, "true", wrong=("all",), odd=("passthrough-mode: true",)),
    "fallback.enabled": Help(
        _FLAG,
        "true",
        "Which failures those are, and which never: [fallback.md](fallback.md).",
        wrong=("429",),
        odd=("fallback:\n  enabled: true", "base-url: http://127.0.0.1:4000"),
    ),
    "fallback.on": Help(
        "`quota`, `overload`, `no-credential`, `login`, `account`, `no-answer`, `unknown-model`, "
        "`context-length`, `server-error`, `unreachable`",
        "[quota, overload, no-credential, login, unreachable]",
        "The list replaces the default: name the six of the default too, if you want them. With `[]` "
        "nothing falls back. What each kind means: [fallback.md](fallback.md).",
        wrong=("quota", "[qouta]"),
    ),
    "fallback.models": Help(_NAMES, '["claude-*", gpt-5]', wrong=("claude-*",)),
    "fallback.except": Help(_NAMES, '["*-haiku-*"]', wrong=("{claude: haiku}",)),
    "fallback.hold-max": Help(
        _LONGER,
        "1m",
        "CLIProxyAPI may write blank lines to keep a client waiting, and the error after them. An error "
        "status and a JSON answer are held no longer than this either.",
        wrong=("0s", "soon"),
    ),
    "fallback.opening-max": Help(
        _LONGER,
        "30s",
        "A stream may open with events that carry no text, call or media, and fail after them. Until its "
        "first content it can still be replaced.",
        wrong=("0s",),
    ),
    "fallback.first-byte": Help(
        _DURATION,
        "2m",
        "What upstream was asked is dropped; its account may have spent the tokens all the same.",
        wrong=("never",),
    ),
    "fallback.cooldown-max": Help(
        f"{_DURATION}, or the word `auto`",
        "30m",
        "CLIProxyAPI mostly says within milliseconds that an account is in its own cooldown, and a cooldown "
        "that is no longer true spends money. When one ends, a single request asks upstream.",
        wrong=("-1s", "[auto]"),
    ),
    "fallback.max-per-hour": Help(
        "a whole number, 0 or more; 0 is no limit",
        "200",
        "Counted over the last 60 minutes, in each process of its own. Beyond it the header says "
        "`fallback-failed=budget`, and the log has one ERROR an hour.",
        wrong=("many",),
    ),
    "fallback.history": Help(
        "`auto`, `keep` or `reduce`", "reduce", "What is left out: [history.md](history.md).", wrong=("drop",)
    ),
    "fallback.sticky": Help(
        _DURATION,
        "20m",
        "So that prompt cache and history stay on one side. The conversation is known by its session header, "
        "else by the client's key and its first messages.",
        wrong=("yes",),
    ),
    "timeouts.connect": Help(_LONGER, "5s", wrong=("0",)),
    "timeouts.first-byte": Help(_LONGER, "15m", wrong=("forever",)),
    "timeouts.idle": Help(
        _LONGER, "2m", "It also limits a client that stops sending its request.", wrong=("[]",)
    ),
    "client-api-keys": Help(
        _KEYS,
        '["${HYBRID_CLIENT_KEY}"]',
        "Without any, only programs on this machine may. A key counts in any place where CLIProxyAPI reads "
        "it: `Authorization`, `X-Api-Key`, `X-Goog-Api-Key`, `?key=`, `?auth_token=`.",
        wrong=("sk-1", '["two words"]'),
    ),
    "trusted-proxies": Help(
        "IP addresses, and networks such as `10.0.0.0/8`",
        "[127.0.0.1, 10.0.0.0/8]",
        "A request that shows it came through another proxy never counts as this machine's own.",
        wrong=("[haproxy.example]",),
    ),
    "listen-without-keys": Help(
        _FLAG, "true", "Better: set client-api-keys. A start with it says so, loudly.", wrong=("sure",)
    ),
    "websocket": Help("`downgrade` or `pass`", "pass", wrong=("deny",)),
    "strip-provider-prefix": Help(
        _FLAG, "true", "On the way to LiteLLM it is stripped anyway.", wrong=("v7",)
    ),
    "max-in-flight": Help(
        "a whole number, 0 or more; 0 is no limit", "500", "In each process.", wrong=("-1",)
    ),
    "grace-period": Help(_DURATION, "2m", wrong=("a while",)),
    "log-format": Help("`text` or `json`", "json", wrong=("xml",)),
    "upstream-url": Help(
        "`http://` or `https://`, host and port, no path",
        "http://127.0.0.1:8316",
        "`--upstream` outweighs it. `mitmdump` and `mitmweb` have their `--mode reverse:URL@HOST:PORT`.",
        wrong=("http://127.0.0.1:8317/v1",),
        odd=("upstream-url: http://127.0.0.1:4000\nbase-url: http://localhost:4000",),
        at_start=True,
    ),
    "listen": Help(
        "`host:port`, `[address]:port` for IPv6, or the port alone",
        "127.0.0.1:8317",
        "`--listen` outweighs it.",
        wrong=("127.0.0.1", "::1:8318"),
        odd=("listen: 127.0.0.1:8317\nupstream-url: http://127.0.0.1:8317",),
        at_start=True,
    ),
    "workers": Help(
        "a whole number, 1 or more",
        "2",
        "They share the port; what one remembers the others do not know. `--workers` outweighs it.",
        wrong=("0",),
        at_start=True,
    ),
}
"""By namespaced name."""
