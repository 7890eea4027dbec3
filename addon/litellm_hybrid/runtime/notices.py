"""Tells webhooks and commands what somebody may want to know at once, and never holds a request up for it."""

import asyncio
import json
import logging
import os
import subprocess
import urllib.request
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from time import monotonic, time

from litellm_hybrid.config.settings import Notifier, Settings, SettingsStore
from litellm_hybrid.diagnostics import remedies
from litellm_hybrid.flow.exchange import Exchange
from litellm_hybrid.observability import log
from litellm_hybrid.observability.history import LONGEST, FallingBackModels
from litellm_hybrid.observability.status import timestamp
from litellm_hybrid.proxy import trust
from litellm_hybrid.routing.rules import IN_UPSTREAMS_PLACE, Reason, Target, name_for_litellm

_EVERY = 60.0
"""Seconds that pass at least between two notices of one kind."""

_PATIENCE = 5.0
"""Seconds that a webhook or a command has; the process cannot end before."""


class Event(StrEnum):
    """What is told."""

    FALLBACK_BEGUN = "fallback-begun"
    FALLBACK_ENDED = "fallback-ended"
    FALLBACK_EXCEPTED = "fallback-excepted"
    BUDGET_REACHED = "budget-reached"
    LOGIN_GONE = "login-gone"
    LITELLM_DOWN = "litellm-down"
    LITELLM_BACK = "litellm-back"


_OPPOSITES = {
    Event.FALLBACK_BEGUN: Event.FALLBACK_ENDED,
    Event.FALLBACK_ENDED: Event.FALLBACK_BEGUN,
    Event.LITELLM_DOWN: Event.LITELLM_BACK,
    Event.LITELLM_BACK: Event.LITELLM_DOWN,
}
_OVER = {
    Event.FALLBACK_BEGUN: "begun and ended",
    Event.FALLBACK_ENDED: "ended and begun again",
    Event.LITELLM_DOWN: "down and back",
    Event.LITELLM_BACK: "back and down again",
}


@dataclass(slots=True)
class _Told:
    """What was told last of one kind of event, and what is to be told once its minute is over.

    Attributes:
        at: when, on the monotonic clock.
        models: of which models.
        held: model → what has happened to it since, and when; `over`: what has ended again meanwhile.
        suppressed: how many notices that would have been.
    """

    at: float = -_EVERY
    models: frozenset[str] = frozenset()
    held: dict[str, tuple[str, float]] = field(default_factory=dict)
    over: dict[str, float] = field(default_factory=dict)
    suppressed: int = 0
    timer: asyncio.TimerHandle | None = None


class Notices:
    """Finds out by the requests that end what there is to tell, and which models are `falling_back`."""

    def __init__(
        self,
        settings: SettingsStore,
        falling_back: FallingBackModels,
        lacks: Callable[[str], bool] = lambda _: False,
    ) -> None:
        """Make it; `lacks`: whether LiteLLM is known to have no model of a name of its own."""
        self._settings, self._lacks = settings, lacks
        self._falling_back = falling_back
        self._told: dict[Event, _Told] = {}
        self._litellm_is_down = False
        self._failing: set[Notifier] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._turns: dict[Notifier, asyncio.Lock] = {}

    def exchange_ended(self, exchange: Exchange, *, served: bool, litellm_is_down: bool) -> None:
        """Look at a request that has ended; `served`: its client has all of a response that is no failure."""
        outcome, model = exchange.outcome, (exchange.model_name or "")[:LONGEST]
        begun = ended = False
        if served and outcome.target is Target.UPSTREAM:
            ended = self._falling_back.served(model)
        elif served and outcome.target is Target.LITELLM and outcome.reason in IN_UPSTREAMS_PLACE:
            begun = self._falling_back.fell_back(model, _why(exchange), time())
        if self._settings.is_empty or not self._settings.current.notify:
            return
        if exchange.fallback is not None and exchange.fallback.kind == "login":
            self._tell(Event.LOGIN_GONE, model, "the account's login is gone, sign in again")
        if outcome.reason is Reason.EXCEPTED:
            advice = self._advice(self._settings.current, model)
            phrase = f"quota out, NOT served by LiteLLM ({advice})"
            self._tell(Event.FALLBACK_EXCEPTED, model, phrase)
        if outcome.fallback_failed == "budget":
            self._tell(Event.BUDGET_REACHED, model, f"no fallback any more: {exchange.unpaid}")
        if begun:
            self._tell(
                Event.FALLBACK_BEGUN, model, f"served by LiteLLM in upstream's place ({_why(exchange)})"
            )
        elif ended:
            self._tell(Event.FALLBACK_ENDED, model, "served by upstream again")
        if litellm_is_down != self._litellm_is_down:
            self._litellm_changed(exchange, is_down=litellm_is_down)

    def _litellm_changed(self, exchange: Exchange, *, is_down: bool) -> None:
        """LiteLLM is down at once; it is back once it has answered, not once its failure is long ago."""
        answered = any(each.target is Target.LITELLM and each.status for each in exchange.attempts)
        if is_down or answered:
            self._litellm_is_down = is_down
            event = Event.LITELLM_DOWN if is_down else Event.LITELLM_BACK
            self._tell(event, "", "cannot be reached" if is_down else "answers again")

    def _advice(self, settings: Settings, model: str) -> str:
        """Say what lets a model fall back that a setting keeps at upstream, and LiteLLM serve it."""
        name = name_for_litellm(settings, model, None)
        missing = f"LiteLLM has no {name}: add it to its model_list, or map the model; then "
        fixes = [obstacle.fix for obstacle in remedies.outside(settings, model)]
        fix = "; ".join(fixes) or "such failures are not in `fallback.on`"
        return f"{missing if self._lacks(name) else ''}{fix}"

    def _tell(self, event: Event, model: str, phrase: str) -> None:
        """Tell it now, or with what else comes within a minute of the last notice of its kind."""
        told, now = self._told.setdefault(event, _Told()), monotonic()
        opposite = self._told.get(_OPPOSITES[event]) if event in _OPPOSITES else None
        if opposite is not None and model in opposite.held:  # nobody has heard that it had begun
            del opposite.held[model]
            opposite.over[model] = time()
            opposite.suppressed += 1
            return
        if (wait := told.at + _EVERY - now) <= 0:
            self._send(event, told, model, phrase)
            return
        told.suppressed += 1
        if event not in _OPPOSITES and model in told.models:
            return
        told.over.pop(model, None)
        told.held[model] = phrase, time()
        if told.timer is None:
            told.timer = asyncio.get_running_loop().call_later(wait, self._send, event, told)

    def _send(self, event: Event, told: "_Told", model: str = "", phrase: str = "") -> None:
        """Send a notice, with what was held back before it; without a phrase, that alone."""
        if told.timer is not None:
            told.timer.cancel()
        held, over = [*told.held], [*told.over]
        message = f"{model or 'LiteLLM'}: {phrase}"
        if not phrase:
            message = f"also: {_names(held)}: {told.held[held[0]][0]}" if held else ""
        elif held:
            message += f"; also: {_names(held)}"
        if over:
            message += f"{'; ' if message else ''}meanwhile {_OVER[event]}: {_names(over)}"
        models = [model, *held] if phrase else held or over
        happened = [*([time()] if phrase else []), *(at for _, at in told.held.values()), *told.over.values()]
        untold, self._told[event] = told.suppressed, _Told(monotonic(), frozenset(models))
        if not message or self._settings.is_empty:
            return
        said: dict[str, object] = {
            "event": event.value,
            "at": timestamp(happened[0]),
            "model": ", ".join(models),
            "message": message,
            "text": f"litellm-hybrid: {message}",
            "suppressed": untold,
        }
        for number, notifier in enumerate(self._settings.current.notify, start=1):
            task = asyncio.get_running_loop().create_task(self._run(number, notifier, said))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _run(self, number: int, notifier: Notifier, said: dict[str, object]) -> None:
        """Tell one of `notify`, after what it is being told already."""
        try:
            async with self._turns.setdefault(notifier, asyncio.Lock()):
                settings = self._settings.current
                if notifier.url is not None:
                    await asyncio.to_thread(_post, notifier.url.value, said, settings.tls_ca)
                else:
                    keys = (settings.api_key, *settings.client_keys, *settings.upstream_keys)
                    hidden = frozenset(key.value for key in keys if key is not None)
                    await asyncio.to_thread(_execute, notifier.command, said, hidden)
        except Exception as e:  # noqa: BLE001 (whatever somebody's hook does)
            if notifier not in self._failing:
                self._failing.add(notifier)
                # Not the exception's words: they may repeat the URL.
                why = f"litellm: entry {number} of `notify` fails ({type(e).__name__})"
                log.emit(logging.WARNING, why, event="notify-failed")
        else:
            self._failing.discard(notifier)


def _names(models: Iterable[str]) -> str:
    return ", ".join(model or "LiteLLM" for model in models)


def _why(exchange: Exchange) -> str:
    """Say why LiteLLM has served a request in upstream's place: the kind of failure, else the reason."""
    return exchange.fallback.kind if exchange.fallback is not None else exchange.outcome.reason.value


def _post(url: str, said: dict[str, object], tls_ca: Path | None) -> None:
    headers = {"Content-Type": "application/json", "User-Agent": "litellm-hybrid"}
    request = urllib.request.Request(url, json.dumps(said).encode(), headers, method="POST")  # noqa: S310 (http only)
    with urllib.request.urlopen(request, timeout=_PATIENCE, context=trust.client_context(tls_ca)):  # noqa: S310
        pass


def _execute(command: tuple[str, ...], said: dict[str, object], hidden: frozenset[str]) -> None:
    """Run a command, with what is said in its environment and without the variables that hold our keys."""
    variables = {name: value for name, value in os.environ.items() if value not in hidden}
    variables |= {f"HYBRID_{name.upper()}": str(value) for name, value in said.items()}
    subprocess.run(  # noqa: S603  the configuration's own command
        command,
        env=variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=_PATIENCE,
        check=True,
    )
