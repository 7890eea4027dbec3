"""LiteLLM's prices, asked of it when they are first needed, and what responses of its cost by them."""

import asyncio
from time import monotonic

from litellm_hybrid.config.store import SettingsStore
from litellm_hybrid.diagnostics.doctor import http_client
from litellm_hybrid.diagnostics.doctor.probes import Probe, ProbeResponse
from litellm_hybrid.llm.prices import PriceList
from litellm_hybrid.llm.usage import Usage
from litellm_hybrid.observability.spend import Spend, SpendKey

_DELAY = 1.0
"""Seconds after which LiteLLM is asked, so that it is asked once for all that ends meanwhile."""

_RENEW_AFTER = 3600.0
_RETRY_AFTER = 60.0
"""Seconds: for how long prices hold, and how soon LiteLLM is asked again for one that was not there."""

_PATIENCE = 3.0
"""Seconds that LiteLLM has for its prices; the process cannot end before."""

_MOST_PENDING = 1000


class Prices:
    """Prices responses; one without a known price waits until LiteLLM has been asked."""

    def __init__(self, settings: SettingsStore, spend: Spend) -> None:
        self._settings = settings
        self._spend = spend
        self._prices = PriceList()
        self._asked: float | None = None
        self._asking: asyncio.Task[None] | None = None
        self._pending: list[tuple[SpendKey, Usage, str, str]] = []

    def forget(self) -> None:
        """Forget all prices: LiteLLM may be another one from now on."""
        self._prices, self._asked = PriceList(), None

    def charge(self, key: SpendKey, usage: Usage, model: str, deployment: str) -> float | None:
        """Count what a response cost; return it, None if that is not known yet.

        Args:
            key: what it is added to.
            usage: its tokens.
            model: LiteLLM's name for the model.
            deployment: LiteLLM's id of what has answered, "" if it has not said.
        """
        price = self._prices.find(model, deployment)
        age = None if self._asked is None else monotonic() - self._asked
        if price is not None:
            cost = price.of(usage)
            self._spend.add_cost(key, cost)
            if age is not None and age > _RENEW_AFTER:
                self._ask()
            return cost
        if len(self._pending) >= _MOST_PENDING or (age is not None and age < _RETRY_AFTER):
            self._spend.add_cost(key, None)
        else:
            self._pending.append((key, usage, model, deployment))
            self._ask()
        return None

    def _ask(self) -> None:
        if self._asking is None or self._asking.done():
            self._asking = asyncio.get_running_loop().create_task(self._fetch())

    async def _fetch(self) -> None:
        await asyncio.sleep(_DELAY)
        settings = None if self._settings.is_empty else self._settings.current
        if settings is not None and settings.base_url is not None:
            key = settings.api_key.value if settings.api_key is not None and not settings.no_auth else ""
            headers = (("Authorization", f"Bearer {key}"),) if key else ()
            probe = Probe(settings.base_url, "/model/info", headers=headers, within=_PATIENCE)
            found = await asyncio.to_thread(http_client.send, probe)
            if isinstance(found, ProbeResponse) and found.status == 200:
                self._prices = PriceList(found.json)
        self._asked = monotonic()
        pending, self._pending = self._pending, []
        for spend_key, usage, model, deployment in pending:
            price = self._prices.find(model, deployment)
            self._spend.add_cost(spend_key, None if price is None else price.of(usage))
