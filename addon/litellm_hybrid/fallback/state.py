"""What fallbacks remember from one request to the next: little, bounded, and never a credential.

All of it is of this process alone. Times are seconds on a clock that the caller passes in.
"""

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from litellm_hybrid.fallback.conversations import Conversations
from litellm_hybrid.fallback.cooldowns import Cooldowns
from litellm_hybrid.fallback.expiring import ExpiringDict, ExpiringSet
from litellm_hybrid.fallback.response_hold import JudgedResponse
from litellm_hybrid.llm.replay.foresight import Backend
from litellm_hybrid.llm.replay.remedies import Remedy
from litellm_hybrid.observability.history import FallbackHistory
from litellm_hybrid.quota.gauge import Gauge

HOUR = 3600.0

SUSPENDED_MAX = 12 * HOUR
"""How long, in seconds, CLIProxyAPI suspends an account for a failure at most, which it does after a 404."""

UNKNOWN_FOR = 60.0
"""How long, in seconds, a model that LiteLLM does not know is not tried again."""

_ENTRIES_MAX = 1000
_RESPONSES_MAX = 10_000


class Budget:
    """How many fallbacks there were in the last hour."""

    def __init__(self) -> None:
        self._spent: deque[float] = deque()
        self._logged: float | None = None

    def spend(self, most: int, now: float) -> bool:
        """Take one fallback from the budget; False if there are none left. `most` 0 means no limit."""
        if most == 0:
            return True
        while self._spent and self._spent[0] <= now - HOUR:
            self._spent.popleft()
        if len(self._spent) >= most:
            return False
        self._spent.append(now)
        return True

    def should_log_exhausted(self, now: float) -> bool:
        """True at most once an hour: log that the budget is exhausted."""
        if self._logged is not None and now < self._logged + HOUR:
            return False
        self._logged = now
        return True


@dataclass(slots=True)
class FallbackState:
    """Everything that outlives a request; made once for a process.

    Attributes:
        unknown_models: names that LiteLLM has said it does not know.
        litellm_cooldowns: LiteLLM's names of models that it has said it cannot serve for a moment.
        served_models: names in lower case, under which upstream has served a model.
        litellm_responses: client (see `client_hash`) and a hash of the id of each response that LiteLLM made.
        failures: model in lower case → upstream's last failure, status and words: what an account may be
            suspended for.
        remedies: (LiteLLM's name of a model, API) → the changes that its backend has needed there.
        gauge: how much of a quota is used, by what upstream says.
        may_lead_to: whether a model of LiteLLM's may lead to a port of this proxy's.
        backends: what is known of the backends behind a model, by LiteLLM's name for it.
        cost_refusal: says of LiteLLM's name of a model why a replay may not be paid for; "": it may.
        told: clients (see `client_hash`) that have been told that stored responses cannot fall back.
        held: the responses that are held right now.
        history: the last fallbacks, for people to look at.
        counts: how often something else happened, by its name.
    """

    budget: Budget = field(default_factory=Budget)
    unknown_models: ExpiringSet[str] = field(default_factory=lambda: ExpiringSet(_ENTRIES_MAX))
    litellm_cooldowns: ExpiringSet[str] = field(default_factory=lambda: ExpiringSet(_ENTRIES_MAX))
    served_models: ExpiringSet[str] = field(default_factory=lambda: ExpiringSet(_ENTRIES_MAX))
    litellm_responses: ExpiringSet[tuple[str, str]] = field(
        default_factory=lambda: ExpiringSet(_RESPONSES_MAX)
    )
    failures: ExpiringDict[str, str] = field(default_factory=lambda: ExpiringDict(_ENTRIES_MAX))
    cooldowns: Cooldowns = field(default_factory=Cooldowns)
    conversations: Conversations = field(default_factory=Conversations)
    remedies: ExpiringDict[tuple[str, str], tuple[Remedy, ...]] = field(
        default_factory=lambda: ExpiringDict(_ENTRIES_MAX)
    )
    gauge: Gauge = field(default_factory=Gauge)
    may_lead_to: Callable[[int], bool] = lambda _: True
    backends: Callable[[str], tuple[Backend, ...]] = lambda _: ()
    cost_refusal: Callable[[str], str] = lambda _: ""
    told: ExpiringSet[str] = field(default_factory=lambda: ExpiringSet(_ENTRIES_MAX))
    history: FallbackHistory = field(default_factory=FallbackHistory)
    held: set[JudgedResponse] = field(default_factory=set)
    counts: Counter[str] = field(default_factory=Counter)

    @property
    def held_bytes(self) -> int:
        """How many bytes of responses are held."""
        return sum(len(held.body) for held in self.held)
