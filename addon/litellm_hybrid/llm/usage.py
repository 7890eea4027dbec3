"""How many tokens a response says it took, read from its beginning and its end, and what they cost.

Every API names them in objects of their own, in the last event of a stream or near the end of a body; the
messages API names the input in a stream's first event:

    messages          "usage": {"input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens",
                      "output_tokens", "cache_creation": {"ephemeral_1h_input_tokens"}}; what was read from
                      or written to the cache is not in `input_tokens`
    chat completions  "usage": {"prompt_tokens", "completion_tokens", "prompt_tokens_details":
                      {"cached_tokens"}}
    responses         "usage": {"input_tokens", "output_tokens", "input_tokens_details": {"cached_tokens"}}
    Gemini            "usageMetadata": {"promptTokenCount", "candidatesTokenCount", "thoughtsTokenCount",
                      "cachedContentTokenCount"}
"""

import re
from collections.abc import Mapping
from json import JSONDecoder
from typing import NamedTuple, TypeGuard

from litellm_hybrid.message.json import members, objects

# A quote of such an object in a model's text has a backslash before the quotation mark.
_OBJECT = re.compile(r'(?<!\\)"usage(?:Metadata)?"\s*:\s*(?=\{)')
_decoder = JSONDecoder(strict=False)

_MOST_TOKENS = 10**12
"""No response takes as many: a larger number comes from a text that only looks like a count."""

_MOST_UNREAD = 20
"""After so many objects that cannot be read there is none: each takes a reading of all that is left."""

_KINDS = {
    "input_tokens": "input",
    "prompt_tokens": "input",
    "promptTokenCount": "input",
    "output_tokens": "output",
    "completion_tokens": "output",
    "candidatesTokenCount": "output",
    "thoughtsTokenCount": "thoughts",
    "cache_read_input_tokens": "cached",
    "cached_tokens": "cached",
    "cachedContentTokenCount": "cached",
    "cache_creation_input_tokens": "cache_written",
}
_ONE_HOUR = "ephemeral_1h_input_tokens"
_CACHED = ("cache_read_input_tokens", "cached_tokens", "cachedContentTokenCount")
_BESIDE = frozenset({"cache_read_input_tokens", "cache_creation_input_tokens"})
_DETAILS = ("input_tokens_details", "prompt_tokens_details")


class Usage(NamedTuple):
    """Tokens.

    Attributes:
        input: all of the request's, those from the cache and those written to it included.
        output: of the response, its reasoning included.
        cached: those of the input that were read from the provider's cache.
        cache_written: those of the input that were written to it, where the API tells.
        written_1h: those of them that stay there for an hour, and not for five minutes.
    """

    input: int
    output: int
    cached: int = 0
    cache_written: int = 0
    written_1h: int = 0


def read(beginning: bytes, end: bytes) -> Usage | None:
    """What a response's first and last kilobytes (decoded; they may overlap) say; None: nothing."""
    seen: dict[str, int] = {}
    for body in (end,) if end.startswith(beginning) else (beginning, end):
        at = body.find(b'"usage')
        if at < 0:
            continue
        for found in _objects(body[max(0, at - 1) :].decode(errors="replace")):
            # A stream counts up: what comes last holds.
            seen.update(_numbers(found))
    if "input" not in seen and "output" not in seen:
        return None
    cached, written = seen.get("cached", 0), seen.get("cache_written", 0)
    # Only the messages API counts the cache beside the input.
    beside = cached + written if "beside" in seen else 0
    output = seen.get("output", 0) + seen.get("thoughts", 0)
    return Usage(
        seen.get("input", 0) + beside, output, cached, written, min(seen.get("written_1h", 0), written)
    )


def _objects(text: str) -> list[Mapping[str, object]]:
    objects: list[Mapping[str, object]] = []
    at = unread = 0
    while unread < _MOST_UNREAD and (found := _OBJECT.search(text, at)):
        try:
            value, at = _decoder.raw_decode(text, found.end())
        except (ValueError, RecursionError):  # cut off, or a number longer than Python reads
            at, unread = found.end(), unread + 1
            continue
        objects.append(value)
    return objects


def _numbers(usage: Mapping[str, object]) -> dict[str, int]:
    numbers = {
        _KINDS[name]: value
        for name, value in usage.items()
        if name in _KINDS and type(value) is int and 0 <= value < _MOST_TOKENS
    }
    if isinstance(by_time := usage.get("cache_creation"), dict) and _is_count(
        value := by_time.get(_ONE_HOUR)
    ):
        numbers["written_1h"] = value
    for details in map(usage.get, _DETAILS):
        if isinstance(details, dict):
            for name in _CACHED:
                if "cached" not in numbers and _is_count(value := details.get(name)):
                    numbers["cached"] = value
            break
    if "prompt_tokens" not in usage and not _BESIDE.isdisjoint(usage):
        numbers["beside"] = 1
    return numbers


def _is_count(value: object) -> TypeGuard[int]:
    return type(value) is int and 0 <= value < _MOST_TOKENS


class Price(NamedTuple):
    """US dollars per token, as LiteLLM reckons (its `generic_cost_per_token`).

    Attributes:
        above: (tokens, price): what each token costs where the input has more than so many; the fewest first.
    """

    input: float
    output: float
    cached: float
    cache_written: float
    written_1h: float
    above: tuple[tuple[int, "Price"], ...] = ()

    def of(self, usage: Usage) -> float:
        """Return what a response cost."""
        price = self
        for tokens, dearer in self.above:
            if usage.input > tokens:
                price = dearer
        plain = max(0, usage.input - usage.cached - usage.cache_written)
        return (
            plain * price.input
            + usage.cached * price.cached
            + (usage.cache_written - usage.written_1h) * price.cache_written
            + usage.written_1h * price.written_1h
            + usage.output * price.output
        )


class PriceList:
    """LiteLLM's own prices (its `GET /model/info`), by a deployment's id and by the model's name."""

    def __init__(self, info: object = None) -> None:
        """Read `{"data": [{"model_name": …, "model_info": {"id": …, "input_cost_per_token": …}}]}`."""
        self._by_id: dict[str, Price] = {}
        by_name: dict[str, set[Price | None]] = {}
        for entry in objects(members(info).get("data")):
            details = members(entry.get("model_info"))
            price = _price(details)
            by_name.setdefault(str(entry.get("model_name")), set()).add(price)
            if price is not None:
                self._by_id[str(details.get("id"))] = price
        self._priced = frozenset(name for name, prices in by_name.items() if None not in prices)
        # Of deployments that cost different amounts only the id tells which it was.
        self._by_name = {name: prices.pop() for name, prices in by_name.items() if len(prices) == 1}

    def __contains__(self, model: str) -> bool:
        """Whether each deployment of a model, by LiteLLM's name for it, has a price."""
        return model in self._priced

    def find(self, model: str, deployment: str = "") -> Price | None:
        """A model's price, if it said by LiteLLM's id of the deployment; None: nothing is guessed."""
        return self._by_id.get(deployment) or self._by_name.get(model)


_ABOVE = re.compile(r"(?:in|out)put_cost_per_token_above_(\d{1,9})(k?)_tokens")


_PARTS = (
    *("input_cost_per_token", "output_cost_per_token", "cache_read_input_token_cost"),
    *("cache_creation_input_token_cost", "cache_creation_input_token_cost_above_1hr"),
)
"""LiteLLM's names for the members of `Price`, in their order."""


def _price(details: Mapping[str, object]) -> Price | None:
    plain, output, *others = _parts(details)
    if plain is None or output is None or not (plain or output):
        return None  # LiteLLM says 0 of a model that it has no price for
    cached, written, longer = (plain if part is None else part for part in others)
    price = dearer = Price(plain, output, cached, written, written if others[2] is None else longer)
    found = {found[0].partition("_above_")[2]: found for found in map(_ABOVE.fullmatch, details) if found}
    tiers = sorted(
        (int(match[1]) * (1000 if match[2] else 1), f"_above_{name}") for name, match in found.items()
    )
    above: list[tuple[int, Price]] = []
    for tokens, suffix in tiers:  # what is not said of so long an input costs as before
        pairs = zip(_parts(details, suffix), dearer, strict=False)
        dearer = Price._make([*(before if part is None else part for part, before in pairs), ()])
        above.append((tokens, dearer))
    return price._replace(above=tuple(above))


def _parts(details: Mapping[str, object], suffix: str = "") -> list[float | None]:
    values = (details.get(name + suffix) for name in _PARTS)
    return [float(value) if isinstance(value, int | float) and value >= 0 else None for value in values]
