"""What LiteLLM says of its models when that is first needed: prices, where they lead, who serves them."""

import asyncio
import math
from collections.abc import Callable
from contextlib import suppress
from time import monotonic, time
from typing import NamedTuple

from litellm_hybrid.config.converters import parse_url
from litellm_hybrid.config.settings import SettingsStore
from litellm_hybrid.diagnostics import probes
from litellm_hybrid.diagnostics.probes import Probe, ProbeResult, bearer, deployments, litellm_key
from litellm_hybrid.fallback.state import DayCosts
from litellm_hybrid.llm.replay.foresight import Backend, Backends
from litellm_hybrid.llm.usage import PriceList, Usage
from litellm_hybrid.observability.counters import Spend, SpendKey, day_of

_DELAY = 1.0
"""Seconds after which LiteLLM is asked, so that it is asked once for all that ends meanwhile."""

_RENEW_AFTER = 3600.0
_RETRY_AFTER = 60.0
_RETRY_UNANSWERED_AFTER = 2.0
"""Seconds: for how long prices hold, how soon LiteLLM is asked again for one that was not there, and how
soon where it has told nothing yet and a request depends on it."""

_PATIENCE = 3.0
"""Seconds that LiteLLM has to answer; the process cannot end before."""

_MOST_PENDING = 1000


async def ask_litellm(store: SettingsStore, path: str) -> ProbeResult | None:
    """Ask LiteLLM with our key, outside the loop; None: it did not answer with 200."""
    settings = None if store.is_empty else store.current
    if settings is None or settings.base_url is None:
        return None
    probe = Probe(settings.base_url, path, headers=bearer(litellm_key(settings)), within=_PATIENCE)
    found = await asyncio.to_thread(probes.send, probe, settings.tls_ca)
    return found if found.status == 200 else None


class _Pending(NamedTuple):
    """A response whose price is not known yet; see `Prices.charge`."""

    key: SpendKey
    usage: Usage
    model: str
    deployment: str
    tell: Callable[[float], None]


class Prices:
    """Prices responses; one without a known price waits until LiteLLM has been asked."""

    def __init__(self, settings: SettingsStore, spend: Spend, costs: DayCosts) -> None:
        self._settings = settings
        self._spend = spend
        self._costs = costs
        self._prices = PriceList()
        self._backends = Backends()
        self._ports: frozenset[int] | None = None
        self._asked: float | None = None
        self._generation = 0
        self._is_running = False
        self._asking: asyncio.Task[None] | None = None
        self._pending: list[_Pending] = []

    def forget(self) -> None:
        """Forget all prices: LiteLLM may be another one from now on."""
        self._prices, self._backends, self._ports, self._asked = PriceList(), Backends(), None, None
        self._generation += 1
        if self._is_running:
            self.running()

    def running(self) -> None:
        """Ask LiteLLM at once where there may be replays: who serves a model decides what it may be sent.

        Needs a running loop.
        """
        self._is_running = True
        if not self._settings.is_empty and self._settings.current.fallback.enabled:
            self._ask(delay=0)

    def refusal(self, name: str) -> str:
        """Say why a replay may not be paid for, by `fallback.max-cost-per-day`; "": it may.

        `name`: LiteLLM's for the model.
        """
        most = self._settings.current.fallback.max_cost_per_day
        if not most:
            return ""
        if self._costs.of(day_of(time()), monotonic()) >= most:
            return f"the ${most} of this day are spent (`fallback.max-cost-per-day`)"
        if name not in self._prices:
            self._refresh(_RETRY_UNANSWERED_AFTER, _RETRY_AFTER)
            return f"LiteLLM has no price for {name}, and `fallback.max-cost-per-day` is set"
        return ""

    def leads_to(self, port: int) -> bool | None:
        """Tell whether a model of LiteLLM's leads to a port of this machine; None until it is known."""
        self._refresh(_RETRY_UNANSWERED_AFTER)
        return None if self._ports is None else port in self._ports

    def backends(self, name: str) -> tuple[Backend, ...]:
        """Return what is known of the backends of a model, by LiteLLM's name for it; () until it is known."""
        self._refresh(_RETRY_UNANSWERED_AFTER)
        return self._backends[name]

    def lacks(self, name: str) -> bool:
        """Tell whether LiteLLM has said which models it has, and this name of its own is none of them."""
        return self._backends.lack(name)

    def expect(self) -> None:
        """A response has begun that will need a price: have it by its end."""
        self._refresh(_RETRY_AFTER)

    def _refresh(self, retry_after: float, renew_after: float = _RENEW_AFTER) -> None:
        most = retry_after if self._ports is None else renew_after
        if self._asked is None or monotonic() - self._asked > most:
            self._ask(delay=0)

    @property
    def _age(self) -> float:
        return math.inf if self._asked is None else monotonic() - self._asked

    def charge(
        self, key: SpendKey, usage: Usage, model: str, deployment: str, tell: Callable[[float], None]
    ) -> None:
        """Count what a response cost, at once or when LiteLLM has been asked; `tell` is called with the cost.

        `model` and `deployment` ("": it has not said) are LiteLLM's names for model and what has answered.
        """
        price = self._prices.find(model, deployment)
        if price is not None:
            self._charge(key, price.of(usage), tell)
            if self._age > _RENEW_AFTER:
                self._ask()
        elif len(self._pending) >= _MOST_PENDING or self._age < _RETRY_AFTER:
            self._spend.add_cost(key, None)
        else:
            self._pending.append(_Pending(key, usage, model, deployment, tell))
            self._ask()

    def _charge(self, key: SpendKey, cost: float, tell: Callable[[float], None]) -> None:
        self._spend.add_cost(key, cost)
        tell(cost)

    def _ask(self, delay: float = _DELAY) -> None:
        if self._asking is None or self._asking.done():
            self._asking = asyncio.get_running_loop().create_task(self._fetch(delay))

    async def _fetch(self, delay: float) -> None:
        await asyncio.sleep(delay)
        found, of = None, -1
        while of != self._generation:  # with new settings it may be another LiteLLM
            of = self._generation
            found = await ask_litellm(self._settings, "/model/info")
        if found is not None:
            self._prices, self._backends = PriceList(found.json), Backends(found.json)
            self._ports = _ports(found)
        self._asked = monotonic()
        pending, self._pending = self._pending, []
        for one in pending:
            price = self._prices.find(one.model, one.deployment)
            if price is None:
                self._spend.add_cost(one.key, None)
            else:
                self._charge(one.key, price.of(one.usage), one.tell)


def _ports(info: ProbeResult) -> frozenset[int] | None:
    """Return the ports of the servers behind LiteLLM's models; None: it does not tell of any model."""
    if not info.entries:
        return None
    ports = set()
    for _, params in deployments(info.entries):
        with suppress(ValueError):
            ports.add(parse_url(str(params.get("api_base"))).port)
    return frozenset(ports)
