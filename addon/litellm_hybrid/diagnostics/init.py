"""A first configuration: LiteLLM's name for each of upstream's models, and the file that says so."""

import difflib
import json
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

from litellm_hybrid.config.settings import Address, bare
from litellm_hybrid.diagnostics.check_models import KnownModels, as_yaml
from litellm_hybrid.llm.usage import PriceList

LITELLM_KEY, CLIENT_KEY = "LITELLM_API_KEY", "HYBRID_CLIENT_KEY"
"""Variables of the environment that the file names, unless another is wanted for LiteLLM's key."""

_WORDS = re.compile(r"[a-z]+")
_NOT_MODELS = frozenset({"latest", "preview", "exp", "v"})

_OTHER_USES = re.compile(
    r"(?<![a-z])(image|imagen|veo|sora|audio|tts|embedding|live|realtime|transcribe|search|review|computer|oss)(?![a-z])"
)
"""In names of models that no agent's session asks for."""

_SMALL = re.compile(r"(?<![a-z])(mini|nano|lite|haiku|spark)(?![a-z])")

_PROVIDERS = (
    ("claude", "anthropic", "ANTHROPIC_API_KEY"),
    ("gpt", "openai", "OPENAI_API_KEY"),
    ("o1", "openai", "OPENAI_API_KEY"),
    ("o3", "openai", "OPENAI_API_KEY"),
    ("o4", "openai", "OPENAI_API_KEY"),
    ("codex", "openai", "OPENAI_API_KEY"),
    ("gemini", "gemini", "GEMINI_API_KEY"),
    ("grok", "xai", "XAI_API_KEY"),
    ("kimi", "moonshot", "MOONSHOT_API_KEY"),
    ("qwen", "dashscope", "DASHSCOPE_API_KEY"),
    ("deepseek", "deepseek", "DEEPSEEK_API_KEY"),
    ("glm", "zai", "ZAI_API_KEY"),
)
"""How a model's name begins, LiteLLM's prefix for its maker, and the variable with LiteLLM's key for it.

https://docs.litellm.ai/docs/providers
"""


class Match(StrEnum):
    """How a name of LiteLLM's was found."""

    SAME = "same name"
    SPELLING = "same model, spelt differently"
    FAMILY = "another model of the family, not taken"
    CHOSEN = "chosen by you"
    NONE = "LiteLLM has none"
    LEFT_OUT = "left out by you"


class Proposal(NamedTuple):
    """What a model of upstream's becomes at LiteLLM; without a `target` it does not fall back."""

    name: str
    target: str
    match: Match


def propose(upstream_models: Iterable[str], litellm_models: Iterable[str]) -> list[Proposal]:
    """Propose for each model of upstream's a name of those that LiteLLM lists, wildcard routes too."""
    known = KnownModels(litellm_models)
    found = []
    for name in dict.fromkeys(map(bare, upstream_models)):
        if name in known:
            found.append(Proposal(name, name, Match.SAME))
        elif meant := known.meant(name):
            same = _words(meant) == _words(name) and _version(meant) == _version(name)
            found.append(Proposal(name, meant, Match.SPELLING if same else Match.FAMILY))
        elif relative := _relative(name, known.names):
            found.append(Proposal(name, relative, Match.FAMILY))
        else:
            found.append(Proposal(name, "", Match.NONE))
    return found


def _relative(name: str, known: Sequence[str]) -> str:
    """Return the model of the same family (`gpt-5-mini`, `gpt-5.1-mini`) whose name is most alike, or ""."""
    family = [other for other in known if _words(other) == _words(name)]
    return max(family, key=lambda other: difflib.SequenceMatcher(None, name, other).ratio(), default="")


def _words(name: str) -> frozenset[str]:
    return frozenset(_WORDS.findall(name.lower().rpartition("/")[2])) - _NOT_MODELS


def _version(name: str) -> list[str]:
    """Return the numbers in a name that are no date."""
    return [number for number in re.findall(r"\d+", name.rpartition("/")[2]) if len(number) < 4]


class SetUp(NamedTuple):
    """What the file has to say.

    Attributes:
        litellm_key: the variable that LiteLLM's key stands in; "": LiteLLM takes no keys.
        client_key: the variable that the client key stands in; "": CLIProxyAPI takes no keys, or they are
            in the same file.
        falls_back: whether fallback is on.
    """

    upstream: Address
    litellm: Address
    litellm_key: str
    client_key: str
    models: Sequence[Proposal]
    falls_back: bool = True


def config_text(wanted: SetUp) -> str:
    """Return the configuration file, in YAML with comments."""
    mapped = [each for each in wanted.models if each.target and each.target != each.name]
    without = [each.name for each in wanted.models if not each.target]
    key = f"${{{wanted.litellm_key}}}" if wanted.litellm_key else "none"
    lines = [
        "# litellm-hybrid, as `litellm-hybrid init` wrote it. A change takes effect within 2 seconds.",
        "# All keys and their defaults: `litellm-hybrid init --example`, and docs/configuration.md.",
        "",
        "extensions:",
        "  litellm:",
        "    # CLIProxyAPI, for `litellm-hybrid serve`.",
        f"    upstream-url: {as_yaml(str(wanted.upstream))}",
        "",
        "    # LiteLLM, and its key: it replaces the client's own towards LiteLLM.",
        f"    base-url: {as_yaml(str(wanted.litellm))}",
        f"    api-key: {as_yaml(key)}",
        "",
        "    # Models that always go to LiteLLM: names or globs (`openrouter/*`); then `enabled: true`.",
        "    enabled: false",
        "    models: []",
        "",
        "    # The name that a client asks for → the name that LiteLLM knows.",
        f"    model-mappings:{'' if mapped else ' {}'}",
        *(f"      {as_yaml(each.name)}: {as_yaml(each.target)}" for each in mapped),
        "",
        "    fallback:",
        "      # What an exhausted account cannot serve goes to LiteLLM. It spends LiteLLM's money.",
        f"      enabled: {str(wanted.falls_back).lower()}",
    ]
    if without:
        lines += [
            "      # LiteLLM has no model for these, or they were left out.",
            f"      except: {_list(without)}",
        ]
    if wanted.client_key:
        lines += [
            "",
            "    # Who may spend LiteLLM's key: clients with this key of CLIProxyAPI's `api-keys`.",
            f"    client-api-keys: {_list([f'${{{wanted.client_key}}}'])}",
        ]
    lines += [
        "",
        "    # Who is told when falling back begins and ends: URLs that get JSON, and commands.",
        "    # notify: [https://example.com/hook, sh -c 'notify-send LLM \"$HYBRID_MESSAGE\"']",
    ]
    return "\n".join(lines) + "\n"


def env_text(values: Mapping[str, str]) -> str:
    """Return a file of variables that a shell reads with `. FILE`, and systemd as an EnvironmentFile."""
    return "".join(f"{name}={shlex.quote(value)}\n" for name, value in values.items())


def left_out(models: Iterable[Proposal]) -> list[Proposal]:
    """Leave out what is another model than the one that was asked for: that is for somebody to agree to."""
    return [Proposal(each.name, "", Match.NONE) if each.match is Match.FAMILY else each for each in models]


def model_list(models: Iterable[Proposal]) -> tuple[list[str], str]:
    """Return the models of upstream's that LiteLLM lacks, and its `model_list` for them.

    Only those of known makers, for conversations.
    """
    names, entries = [], []
    for each in models:
        base = each.name.rpartition("/")[2].lower()
        makers = [found for found in _PROVIDERS if base.startswith(found[0])]
        if each.match is not Match.NONE or not makers or _OTHER_USES.search(base):
            continue
        _, maker, key = makers[0]
        params = f"{{model: {as_yaml(f'{maker}/{base}')}, api_key: os.environ/{key}}}"
        names.append(each.name)
        entries.append(f"  - model_name: {as_yaml(each.name)}\n    litellm_params: {params}\n")
    return names, "model_list:\n" + "".join(entries)


def spending(models: Iterable[Proposal], prices: PriceList) -> str:
    """Say in a line that fallback costs money, and what of LiteLLM's it costs as far as LiteLLM says it."""
    known = {each.target: price for each in models if each.target and (price := prices.find(each.target))}
    ranked = sorted(known, key=lambda name: known[name].output)
    each = [
        f"${known[name].input * 1e6:.4g} in, ${known[name].output * 1e6:.4g} out ({name})"
        for name in dict.fromkeys((*ranked[:1], *ranked[-1:]))
    ]
    said = f"a million tokens cost {' to '.join(each)}" if each else "LiteLLM says no price"
    pays = "What the subscription cannot serve falls back to LiteLLM, whose key pays"
    return f"{pays}; {said}. `fallback.max-cost-per-day` can limit it."


def client_lines(address: str, models: Sequence[Proposal], *, has_keys: bool) -> list[tuple[str, str]]:
    """Return what to type for each client: (its name, shell commands; "" where no model is one of its own).

    `has_keys`: whether CLIProxyAPI takes keys; without any text does.
    """
    key = f'"${CLIENT_KEY}"' if has_keys else "any"
    options = {
        "options": {"baseURL": f"{address}/v1", "apiKey": f"{{env:{CLIENT_KEY}}}" if has_keys else "any"}
    }
    providers = json.dumps({"provider": {"openai": options, "anthropic": options}})
    codex = f"codex exec --skip-git-repo-check -c 'openai_base_url=\"{address}/v1\"'"
    lines = [
        ("Claude Code", "claude", f"ANTHROPIC_BASE_URL={address} ANTHROPIC_AUTH_TOKEN={key} claude --model "),
        ("Codex", "gpt", f"CODEX_API_KEY={key} {codex} 'Say hello' -m "),
        ("Gemini CLI", "gemini", f"GOOGLE_GEMINI_BASE_URL={address} GEMINI_API_KEY={key} gemini -m "),
    ]
    found = []
    for name, family, command in lines:
        best = max((each for each in models if each.name.startswith(family)), key=_fitness, default=None)
        note = "" if best is None or best.target else ", a model that does not fall back"
        if family == "gemini":
            note += ", with `selectedType` as in docs/clients.md, or `Use Gemini API Key` chosen once"
        line = f"{command}{shlex.quote(best.name)}" if best else ""
        found.append((name + note if best else f"{name}: CLIProxyAPI lists no {family} model", line))
    return [*found, ("opencode", f"OPENCODE_CONFIG_CONTENT='{providers}' opencode")]


def _fitness(model: Proposal) -> tuple[object, ...]:
    """How well a model is to be tried with: it falls back to itself; for agents; the newest."""
    name = model.name.lower()
    numbers = tuple(map(int, _version(name)))
    return (
        not _OTHER_USES.search(name),
        bool(model.target),
        not _SMALL.search(name),
        numbers,
        name,
    )


def _list(names: Sequence[str]) -> str:
    return f"[{', '.join(map(as_yaml, names))}]"
