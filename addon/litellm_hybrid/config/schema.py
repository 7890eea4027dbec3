"""Every setting there is: the one table behind the parser, `check`, the example and the reference.

And settings as text, key by key, as people write them and with every secret masked.
"""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from operator import attrgetter

from litellm_hybrid.config import converters as takes
from litellm_hybrid.config.converters import Converter, format_duration
from litellm_hybrid.config.settings import FALLBACK_KINDS, Patterns, Settings, host_port

NAMESPACE = "extensions.litellm."
"""What stands before a namespaced key: `extensions: {litellm: {…}}` in the file."""

FLAT_PREFIX = "litellm-"
"""How the fork's flat keys at the top level of the file begin."""


@dataclass(frozen=True, slots=True)
class Key:
    """One setting; its default is that of the attribute of `Settings`.

    Attributes:
        name: its namespaced name below `extensions.litellm`, dotted: `fallback.hold-max`.
        convert: makes its value from what is in the file; raises BadValueError.
        example: a value as it is written in the file.
        meaning: what it is for, and what a user should know; its first sentence stands alone in lists.
        flat: its flat name at the top level of the file, if it has one.
        attribute: what holds it in `Settings`, dotted, where that is not its name with underscores.
        default: what the reference says in place of the value of `Settings()`.
        secret: its value is shown nowhere.
        at_start: it is only read when `litellm-hybrid serve` starts.
    """

    name: str
    convert: Converter[object]
    example: str
    meaning: str
    flat: str | None = None
    attribute: str = ""
    default: str = ""
    secret: bool = False
    at_start: bool = False

    @property
    def field(self) -> str:
        """The attribute of `Settings` that holds it, dotted: `fallback.hold_max`."""
        return self.attribute or self.name.replace("-", "_")


# fmt: off
CHAPTERS: dict[str, tuple[Key, ...]] = {
    "Where LiteLLM is": (
        Key("base-url", takes.url, "http://127.0.0.1:4000",
            "Where LiteLLM is. A path prefix is kept, and requests keep their own path behind it: "
            "`https://example.com/llm` gets `/llm/v1/messages`. A `/v1` at the end is dropped with a "
            "warning.",
            flat="litellm-base-url"),
        Key("api-key", takes.secret_or_none, "${LITELLM_API_KEY}",
            "LiteLLM's key: it replaces the client's credentials towards LiteLLM. `none` is for a "
            "LiteLLM that takes no keys. Without this setting a routed request keeps the client's own "
            "key, and LiteLLM checks that one; fallback needs it. It is shown nowhere: not in the log, "
            "not by `check`, not in mitmweb.",
            flat="litellm-api-key", secret=True),
        Key("tls-ca", takes.file, "/etc/ssl/company-ca.pem",
            "A PEM file of certificate authorities that are trusted beside the usual ones, about LiteLLM and "
            "upstream. The usual ones are those of `SSL_CERT_FILE` where that is set, else mitmproxy's."),
    ),
    "What goes to LiteLLM at once": (
        Key("enabled", takes.flag, "true",
            "Send the listed models to LiteLLM; needs base-url.",
            flat="litellm-hybrid-mode"),
        Key("models", takes.names, '[gpt-4.1, openrouter/*, "claude-sonnet-4-5[1m]"]',
            "What goes to LiteLLM: exact names or globs (`gpt-5*`), whatever their case. LiteLLM's names "
            "are case-sensitive: an exact entry is sent as it is spelt here, whatever the client wrote; "
            "for a glob the client's spelling goes along, without its suffix.",
            flat="litellm-models"),
        Key("model-mappings", takes.name_map,
            '{gpt-5: openai/gpt-5, "claude-sonnet-4-5*": anthropic/claude-sonnet-4-5}',
            "The requested name or glob, and the name LiteLLM knows it by. A mapping alone does not "
            "route; it holds for routed requests and for fallbacks. An exact name outweighs a glob, a "
            "glob with more literal text one with less.",
            flat="litellm-model-mappings", attribute="mappings"),
        Key("passthrough-mode", takes.flag, "true",
            "Send every POST that names a model to LiteLLM, listed or not; needs enabled.",
            flat="litellm-passthrough-mode", attribute="passthrough"),
    ),
    "What goes to LiteLLM when upstream fails": (
        Key("fallback.enabled", takes.flag, "true",
            "Replay upstream's quota failures to LiteLLM, which spends its money; needs base-url and "
            "api-key, but not enabled. Which failures those are, and which never: "
            "[fallback.md](fallback.md).",
            flat="litellm-fallback-enabled"),
        Key("fallback.on", takes.kinds, "[quota, overload, no-credential, login, unreachable]",
            "Which failures fall back. The list replaces the default: name the six of the default too, "
            "if you want them. With `[]` nothing falls back. What each kind means: "
            "[fallback.md](fallback.md)."),
        Key("fallback.to-upstream", takes.flag, "true",
            "A request for a listed model that LiteLLM cannot serve goes to upstream. It goes there under "
            "the client's spelling, before the client has seen a byte. Upstream's response is then final. "
            "It works without fallback.enabled."),
        Key("fallback.models", takes.names, '["claude-*", gpt-5]',
            "Which requested models may fall back."),
        Key("fallback.except", takes.names, '["*-haiku-*"]',
            "Which requested models may not, although fallback.models has them.",
            attribute="fallback.excluded"),
        Key("fallback.hold-max", takes.limit, "1m",
            "How long a response is held back that has only sent blank lines so far. CLIProxyAPI may "
            "write them to keep a client waiting, and the error after them. An error status and a JSON "
            "response are held no longer than this either."),
        Key("fallback.opening-max", takes.limit, "30s",
            "How long a stream's opening is held: the events before its first content. A stream may open "
            "with events that carry no text, call or media, and fail after them. Until its first content "
            "it can still be replaced."),
        Key("fallback.first-byte", takes.duration, "2m",
            "An upstream that has not begun its response after this long loses the request to LiteLLM. "
            "0s is off. What upstream was asked is dropped; its account may have spent the tokens all "
            "the same."),
        Key("fallback.cooldown-max", takes.duration_or_auto, "30m",
            "After a quota failure go to LiteLLM at once for as long as that failure says, at most this. "
            "0s is off. `auto`: only where upstream took over 2 s to say so, for a minute at first. "
            "CLIProxyAPI mostly says within milliseconds that an account is in its own cooldown, and a "
            "cooldown that is no longer true spends money. When one ends, a single request asks "
            "upstream."),
        Key("fallback.max-per-hour", takes.at_least(0), "20",
            "A brake on spending: after so many replays in an hour upstream's failures reach the client. "
            "0 is no limit. Processes that share their `state` count together; an ERROR says once an hour "
            "that it has been reached."),
        Key("fallback.budget-strict", takes.flag, "true",
            "Replay nothing that a budget limits while the store of `state` is gone or takes over 50 ms to "
            "answer. Otherwise a process then goes by what it knows, and several may spend more than the "
            "budget together: exactly so much, and never more, it is only with `true`."),
        Key("fallback.max-cost-per-day", takes.dollars, "2.50",
            "The US dollars that a day's (UTC) replays may cost; beyond it upstream's failures reach the "
            "client. 0 is no limit. Costs count once a response has ended, so what runs at that moment may "
            "exceed it. Processes that share their `state` count together; a restart forgets them unless "
            "`state` has a file or a server. With it a model without a price in LiteLLM's `/model/info` is "
            "not replayed."),
        Key("fallback.history", takes.one_of("auto", "keep", "reduce"), "reduce",
            "What a replay does with parts of a history that are sealed for upstream's account. `keep` "
            "sends them, `reduce` leaves them out, `auto` decides by API and model; a refusal is retried "
            "reduced. More: [history.md](history.md)."),
        Key("fallback.drop-params", takes.flag, "false",
            "LiteLLM is asked to leave out of a replay what its backend does not know: it was made for "
            'another provider. The body then says `"drop_params": true`. Not where the request forces a tool '
            "or demands JSON, which would be left out in silence. Routed requests never say it."),
        Key("fallback.sticky", takes.duration, "1h",
            "After a fallback the same conversation stays on LiteLLM with that model for this long, so "
            "that its prompt cache and history stay on one side. 0s is off. The conversation is known by "
            "its session header, else by the client's key and its first messages."),
        Key("fallback.spill-at", takes.share, "0.95",
            "Once upstream says that this share of a quota is used, new conversations go to LiteLLM before "
            "anything fails. Those that run stay upstream, and what has gone to LiteLLM stays there for an "
            "hour after its last turn. It counts by the model, and only while no response of the last five "
            "minutes said less: there may be other accounts. 0 is off. CLIProxyAPI tells it with "
            "`passthrough-headers: true`."),
    ),
    "How long to wait": (
        Key("timeouts.connect", takes.limit, "5s",
            "How long connecting to a server may take; each attempt has its own timeouts."),
        Key("timeouts.first-byte", takes.limit, "15m",
            "How long a server may take until its response begins."),
        Key("timeouts.idle", takes.limit, "2m",
            "How long a response that has begun may pause. It also limits a client that stops sending its "
            "request."),
        Key("timeouts.upload", takes.limit, "15m",
            "How long a client may take to send a whole request, from its head on; then it gets 408."),
    ),
    "Who may spend LiteLLM's key": (
        Key("client-api-keys", takes.secrets, '["${HYBRID_CLIENT_KEY}"]',
            "Which clients may spend LiteLLM's key; given, it replaces CLIProxyAPI's `api-keys` for "
            "this. Without any, only programs on this machine may. A key counts in any place where "
            "CLIProxyAPI reads it: `Authorization`, `X-Api-Key`, `X-Goog-Api-Key`, `?key=`, "
            "`?auth_token=`.",
            attribute="client_keys", default="CLIProxyAPI's api-keys", secret=True),
        Key("local-without-key", takes.flag, "true",
            "With client keys configured, let this machine's programs spend LiteLLM's key without one. Web "
            "pages still need one."),
        Key("trusted-proxies", takes.networks, "[127.0.0.1, 10.0.0.0/8]",
            "Proxies in front of this one whose X-Forwarded-For is believed. A request that shows it "
            "came through another proxy never counts as this machine's own."),
        Key("listen-without-keys", takes.flag, "true",
            "Listen on addresses of other machines although there are no client keys: whoever reaches "
            "the proxy may then spend LiteLLM's key. Better: set client-api-keys. A start with it says "
            "so, loudly."),
        Key("upstream-paths", takes.paths, '["/v1/ws", "/api/internal/*"]',
            "Paths beyond the model APIs that clients on other machines may reach at upstream. Its gates "
            "take this proxy for a program on its own machine, so everything but the model APIs, `/`, "
            "`/healthz` and the sign-in callbacks is closed to others here. A `*` at the end stands for "
            "anything."),
    ),
    "How requests are taken": (
        Key("websocket", takes.one_of("downgrade", "pass"), "pass",
            "What becomes of Codex's websockets. `downgrade` answers 426 while anything may go to "
            "LiteLLM, so that it uses HTTP. `pass` leaves them to upstream: nothing on them is routed or "
            "replayed. When its quota runs out there, Codex connects anew five times and then uses HTTP, "
            "where it is replayed; back on a websocket, upstream refuses what LiteLLM has sealed in the "
            "history."),
        Key("strip-provider-prefix", takes.flag_or_auto, "false",
            "Strip `/api/provider/…` from requests to upstream too: CLIProxyAPI 7.2 dropped those "
            "routes. `auto` asks upstream for its models there, without a key, when the first such request "
            "comes: where that is 404, the prefix is stripped. On the way to LiteLLM it is stripped anyway."),
        Key("models-list", takes.one_of("merge", "pass"), "pass",
            "Whether upstream's `GET /v1/models` and `/v1beta/models` also list what is routed (`merge`): "
            "exact entries, names that are mapped, and for globs what LiteLLM lists. `pass` leaves them as "
            "they are."),
        Key("max-in-flight", takes.at_least(0), "500",
            "How many requests may run at once in each process; the others are answered with 503 and "
            "Retry-After. 0 is no limit."),
        Key("grace-period", takes.duration, "2m",
            "How long running requests may take to finish after SIGTERM or Ctrl-C; a second Ctrl-C ends "
            "at once."),
    ),
    "What is remembered, logged and told": (
        Key("state", takes.state, "sqlite:/var/lib/litellm-hybrid/state.db",
            "Where it is kept what processes remember between requests: budgets, cooldowns, which "
            "conversations LiteLLM has served, and what was refused of them. `memory` is each process's own. "
            "`sqlite:PATH` is a file for the processes of one machine, which survives restarts; `redis://…` "
            "(`rediss://…` with TLS) a Redis 7 or Valkey server for many machines, and needs "
            "`litellm-hybrid[redis]`. Stored are keyed hashes, models' names, times and sums, but no "
            "credential and no text. More: [operations.md](operations.md#several-processes).",
            default="memory; with several workers a file of their own", at_start=True),
        Key("log-format", takes.one_of("text", "json"), "json",
            "How log lines are written."),
        Key("notify", takes.notifiers,
            '[https://example.com/hook, sh -c \'notify-send LLM "$HYBRID_MESSAGE"\']',
            "Who is told when a model begins to fall back and when upstream serves it again, of a budget "
            "that is used up, a login that is gone, a failure that a setting keeps from LiteLLM, and of "
            "LiteLLM when it cannot be reached and when it is back. URLs get JSON by POST; a command has the "
            "same in its environment (`HYBRID_EVENT`, `HYBRID_MESSAGE` …), and is run without a shell: "
            "[operations.md](operations.md#notices). At most one a minute for each kind of event and "
            "process, with what was held back; never in a request's way.", secret=True),
    ),
    "For litellm-hybrid serve alone": (
        Key("upstream-url", takes.server, "http://127.0.0.1:8316",
            "Where CLIProxyAPI is; in CLIProxyAPI's own config.yaml its host, port and tls say it. "
            "`--upstream` outweighs it. `mitmdump` and `mitmweb` have their `--mode "
            "reverse:URL@HOST:PORT`.",
            attribute="upstream", at_start=True),
        Key("listen", takes.listen, "127.0.0.1:8317",
            "Where `litellm-hybrid serve` listens; without a host it is 127.0.0.1, an IPv6 address "
            "stands in brackets. `--listen` outweighs it.",
            at_start=True),
        Key("workers", takes.at_least(1), "2",
            "How many processes `litellm-hybrid serve` runs. They share the port and, unless `state` says "
            "otherwise, what they remember. `--workers` outweighs it.",
            at_start=True),
    ),
}
# fmt: on
"""The settings by the chapters of the reference."""

KEYS: tuple[Key, ...] = tuple(chain.from_iterable(CHAPTERS.values()))
BY_NAME = {key.name: key for key in KEYS}
BY_FLAT = {key.flat: key for key in KEYS if key.flat}
SECTIONS = frozenset(key.name.partition(".")[0] for key in KEYS if "." in key.name)
"""The namespaced names that hold other keys: `fallback`, `timeouts`."""


def suggest_flat(name: str) -> str:
    """What to write instead of the unknown top-level key `litellm-…`."""
    plain = _normal(name)
    namespaced = {
        FLAT_PREFIX + known.replace(".", "-"): known
        for known in (*BY_NAME, *SECTIONS)
        if known not in BY_NAME or not BY_NAME[known].flat
    }
    if found := _closest(plain, [*BY_FLAT, *namespaced]):
        if found in BY_FLAT:
            return f"did you mean `{found}`?"
        other = "this setting has" if found == plain else "did you mean a setting with"
        return f"{other} no flat form: use `{NAMESPACE}{namespaced[found]}`"
    return f"the flat keys are {', '.join(BY_FLAT)}"


def suggest_namespaced(name: str) -> str:
    """What to write instead of the unknown key `extensions.litellm.<name>`; `name` is dotted."""
    spellings = {known: known for known in (*BY_NAME, *SECTIONS)}
    for key in KEYS:
        for spelling in (key.name.replace(".", "-"), key.name.rpartition(".")[2], key.flat):
            spellings.setdefault((spelling or key.name).removeprefix(FLAT_PREFIX), key.name)
    # The whole name first, then its last part: the key may stand in the wrong section.
    plain = [_normal(part).removeprefix(FLAT_PREFIX) for part in (name, name.rpartition(".")[2])]
    exact = next((part for part in plain if part in spellings), None)
    if found := exact or next(filter(None, (_closest(part, list(spellings)) for part in plain)), None):
        return f"did you mean `{spellings[found]}`?"
    return f"the keys are {', '.join(BY_NAME)}"


def suggest_top_level(name: str) -> str | None:
    """The key that a foreign top-level key would be if it were spelt as ours are, or None."""
    plain = _normal(name)
    if plain in BY_FLAT:
        return plain
    return NAMESPACE.rstrip(".") if plain == "litellm" else None


def _normal(name: str) -> str:
    return name.strip().lower().replace("_", "-")


def _closest(name: str, known: list[str]) -> str | None:
    return next(iter(difflib.get_close_matches(name, known, 1)), None)


NOT_SET = "not set"


def effective_settings(settings: Settings) -> tuple[tuple[str, str], ...]:
    """(namespaced key, its value as text) for every setting; secrets are `***`."""
    return tuple((key.name, _text(_value(key, settings))) for key in KEYS)


def diff(old: Settings, new: Settings) -> tuple[str, ...]:
    """A line for each setting that differs: `models: [a] → [a, b]`, `api-key: *** → *** (changed)`."""
    return tuple(
        f"{key.name}: {_text(before)} → {_text(after)}{' (changed)' * (_text(before) == _text(after))}"
        for key in KEYS
        if (before := _value(key, old)) != (after := _value(key, new))
    )


def _value(key: Key, settings: Settings) -> object:
    match key.name:
        case "api-key" if settings.no_auth:
            return "none"
        case "model-mappings":
            return {entry: settings.mappings[entry.lower()] for entry in settings.mapping_patterns.entries}
        case "listen":
            return host_port(*settings.listen)
        case _:
            return attrgetter(key.field)(settings)


def _text(value: object) -> str:  # noqa: PLR0911  a table of types
    match value:
        case None:
            return NOT_SET
        case bool():
            return str(value).lower()
        case float():  # every setting that is one is a duration
            return format_duration(value)
        case Patterns():
            return _list(value.entries)
        case frozenset():
            return _list(tuple(kind for kind in FALLBACK_KINDS if kind in value))
        case tuple():
            return _list(value)
        case Mapping():
            return "{" + ", ".join(f"{name}: {target}" for name, target in value.items()) + "}"
        case _:
            return str(value)


def _list(values: tuple[object, ...]) -> str:
    return "[" + ", ".join(str(value) for value in values) + "]"


DEFAULTS = dict(effective_settings(Settings()))
"""Namespaced key → its default as text."""
