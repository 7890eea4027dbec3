"""Every setting there is: the one table behind the parser, the `check` command, the example and the docs."""

import difflib
from collections.abc import Callable
from dataclasses import dataclass

from litellm_hybrid.config import converters as values
from litellm_hybrid.config.yaml_nodes import Value

NAMESPACE = "extensions.litellm."
"""What stands before a namespaced key: `extensions: {litellm: {…}}` in the file."""

FLAT_PREFIX = "litellm-"
"""How the fork's flat keys at the top level of the file begin."""

NOT_SET = "not set"


@dataclass(frozen=True, slots=True)
class Key:
    """One setting.

    Attributes:
        name: its namespaced name below `extensions.litellm`, dotted: `fallback.hold-max`.
        flat: its flat name at the top level of the file, if it has one.
        field: the attribute of `Settings` that holds it, dotted: `fallback.hold_max`.
        convert: makes its value from what is in the file; raises BadValueError.
        kind: what to write: its type and unit.
        default: what holds without it, as `check` shows it.
        meaning: what it is for, in a sentence or two.
        secret: its value is shown nowhere.
    """

    name: str
    flat: str | None
    field: str
    convert: Callable[[Value], object]
    kind: str
    default: str
    meaning: str
    secret: bool = False


# fmt: off
# A table: the names and the field; the converter, the kind and the default; the meaning.
KEYS: tuple[Key, ...] = (
    Key("enabled", "litellm-hybrid-mode", "enabled",
        values.flag, "true or false", "false",
        "Send the listed models to LiteLLM; needs base-url."),
    Key("base-url", "litellm-base-url", "base_url",
        values.url, "http(s) URL", NOT_SET,
        "Where LiteLLM is. A path prefix is kept; a `/v1` at its end is dropped with a warning."),
    Key("api-key", "litellm-api-key", "api_key",
        values.secret_or_none, "key, or none", NOT_SET,
        "LiteLLM's key: it replaces the client's credentials towards LiteLLM. "
        "`none` is for a LiteLLM that takes no keys.", secret=True),
    Key("models", "litellm-models", "models",
        values.names, "list of model names or globs", "[]",
        "What goes to LiteLLM: exact names or globs (`gpt-5*`), whatever their case."),
    Key("model-mappings", "litellm-model-mappings", "mappings",
        values.name_map, "mapping of names or globs to names", "{}",
        "The requested name or glob, and the name LiteLLM knows it by. A mapping alone does not route."),
    Key("passthrough-mode", "litellm-passthrough-mode", "passthrough",
        values.flag, "true or false", "false",
        "Send every POST that names a model to LiteLLM, listed or not; needs enabled."),
    Key("fallback.enabled", "litellm-fallback-enabled", "fallback.enabled",
        values.flag, "true or false", "false",
        "Replay upstream's quota failures to LiteLLM, which spends its money; "
        "needs base-url and api-key, but not enabled."),
    Key("fallback.on", None, "fallback.on",
        values.kinds, "list of kinds of failure",
        "[quota, overload, no-credential, login, account, no-answer]",
        "Which failures fall back; there are also unknown-model, context-length, server-error and "
        "unreachable."),
    Key("fallback.models", None, "fallback.models",
        values.names, "list of model names or globs", "[*]",
        "Which requested models may fall back."),
    Key("fallback.except", None, "fallback.excluded",
        values.names, "list of model names or globs", "[]",
        "Which requested models may not, although fallback.models has them."),
    Key("fallback.hold-max", None, "fallback.hold_max",
        values.limit, "duration", "45s",
        "How long an answer is held back that has only sent blank lines so far."),
    Key("fallback.opening-max", None, "fallback.opening_max",
        values.limit, "duration", "20s",
        "How long a stream's opening is held: the events before its first content."),
    Key("fallback.first-byte", None, "fallback.first_byte",
        values.duration, "duration, 0s is off", "0s",
        "An upstream that has not begun its response after this long loses the request to LiteLLM."),
    Key("fallback.cooldown-max", None, "fallback.cooldown_max",
        values.duration_or_auto, "duration or auto, 0s is off", "auto",
        "After a quota failure go to LiteLLM at once for as long as that failure says, at most this. "
        "`auto`: only where upstream took over 2 s to say so, for a minute at first."),
    Key("fallback.max-per-hour", None, "fallback.max_per_hour",
        values.at_least(0), "number of replays, 0 is no limit", "0",
        "A brake on spending: after so many replays in an hour upstream's failures reach the client."),
    Key("fallback.history", None, "fallback.history",
        values.one_of("auto", "keep", "reduce"), "auto, keep or reduce", "auto",
        "What a replay does with parts of a history that are sealed for upstream's account: `keep` sends "
        "them, `reduce` leaves them out, `auto` decides by API and model; a refusal is retried reduced."),
    Key("fallback.sticky", None, "fallback.sticky",
        values.duration, "duration, 0s is off", "0s",
        "After a fallback the same conversation stays on LiteLLM with that model for this long."),
    Key("timeouts.connect", None, "timeouts.connect",
        values.limit, "duration", "10s",
        "How long connecting to a server may take; each attempt has its own timeouts."),
    Key("timeouts.first-byte", None, "timeouts.first_byte",
        values.limit, "duration", "10m",
        "How long a server may take until its answer begins."),
    Key("timeouts.idle", None, "timeouts.idle",
        values.limit, "duration", "5m",
        "How long an answer that has begun may pause."),
    Key("client-api-keys", None, "client_keys",
        values.secrets, "list of keys", "CLIProxyAPI's api-keys",
        "Which clients may spend LiteLLM's key; given, it replaces CLIProxyAPI's `api-keys` for this.",
        secret=True),
    Key("trusted-proxies", None, "trusted_proxies",
        values.networks, "list of addresses or networks", "[]",
        "Proxies in front of this one whose X-Forwarded-For is believed."),
    Key("websocket", None, "websocket",
        values.one_of("downgrade", "pass"), "downgrade or pass", "downgrade",
        "`downgrade` answers 426 to Codex's websockets while anything may go to LiteLLM, "
        "so that it uses HTTP; `pass` leaves them to upstream."),
    Key("strip-provider-prefix", None, "strip_provider_prefix",
        values.flag, "true or false", "false",
        "Strip `/api/provider/…` from requests to upstream too: CLIProxyAPI 7.2 dropped those routes."),
    Key("upstream-url", None, "upstream",
        values.server, "http(s) URL without a path", "http://127.0.0.1:8317",
        "Where CLIProxyAPI is, for `litellm-hybrid serve`; "
        "in CLIProxyAPI's own config.yaml its host, port and tls say it."),
    Key("listen", None, "listen",
        values.listen, "host:port", "127.0.0.1:8318",
        "Where `litellm-hybrid serve` listens; without a host it is 127.0.0.1."),
    Key("workers", None, "workers",
        values.at_least(1), "number of processes", "1",
        "How many processes `litellm-hybrid serve` runs."),
    Key("listen-without-keys", None, "listen_without_keys",
        values.flag, "true or false", "false",
        "Listen on addresses of other machines although there are no client keys: whoever reaches "
        "the proxy may then spend LiteLLM's key."),
    Key("max-in-flight", None, "max_in_flight",
        values.at_least(0), "number of requests, 0 is no limit", "0",
        "How many requests may run at once; the others are answered with 503 and Retry-After."),
    Key("grace-period", None, "grace_period",
        values.duration, "duration", "30s",
        "How long running requests may take to finish after SIGTERM or Ctrl-C; "
        "a second signal ends at once."),
    Key("log-format", None, "log_format",
        values.one_of("text", "json"), "text or json", "text",
        "How log lines are written."),
)
# fmt: on

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
