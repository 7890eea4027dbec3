"""Tells webhooks and commands what somebody may want to know at once, and never holds a request up for it."""

import asyncio
import json
import logging
import os
import subprocess
import urllib.request
from enum import StrEnum
from pathlib import Path
from time import monotonic, time

from litellm_hybrid.config.settings import Notifier, SettingsStore
from litellm_hybrid.flow.exchange import Exchange
from litellm_hybrid.observability import log
from litellm_hybrid.observability.history import LONGEST, FallingBackModels
from litellm_hybrid.observability.status import timestamp
from litellm_hybrid.proxy import trust
from litellm_hybrid.routing.rules import IN_UPSTREAMS_PLACE, Reason, Target

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


class Notices:
    """Finds out by the requests that end what there is to tell.

    Args:
        settings: those in force; `notify` says who is told.
        falling_back: the models that fall back now, which is found out here.
    """

    def __init__(self, settings: SettingsStore, falling_back: FallingBackModels) -> None:
        self._settings = settings
        self._falling_back = falling_back
        self._told: dict[Event, float] = {}
        self._untold: dict[Event, int] = {}
        self._litellm_is_down = False
        self._failing: set[Notifier] = set()
        self._tasks: set[asyncio.Task[None]] = set()

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
            self._tell(Event.LOGIN_GONE, model, f"{model}: the account's login is gone, sign in again")
        if outcome.reason is Reason.EXCEPTED:
            message = f"{model}: quota out, NOT served by LiteLLM: take it out of `fallback.except`"
            self._tell(Event.FALLBACK_EXCEPTED, model, message)
        if outcome.fallback_failed == "budget":
            message = f"{model}: no fallback any more, by `fallback.max-per-hour` or `max-cost-per-day`"
            self._tell(Event.BUDGET_REACHED, model, message)
        if begun:
            message = f"{model}: LiteLLM serves it in upstream's place ({_why(exchange)})"
            self._tell(Event.FALLBACK_BEGUN, model, message)
        elif ended:
            self._tell(Event.FALLBACK_ENDED, model, f"{model}: upstream serves it again")
        if litellm_is_down != self._litellm_is_down:
            self._litellm_changed(exchange, is_down=litellm_is_down)

    def _litellm_changed(self, exchange: Exchange, *, is_down: bool) -> None:
        """LiteLLM is down at once; it is back once it has answered, not once its failure is long ago."""
        answered = any(each.target is Target.LITELLM and each.status for each in exchange.attempts)
        if is_down or answered:
            self._litellm_is_down = is_down
            event = Event.LITELLM_DOWN if is_down else Event.LITELLM_BACK
            self._tell(event, "", f"LiteLLM {'cannot be reached' if is_down else 'answers again'}")

    def _tell(self, event: Event, model: str, message: str) -> None:
        now = monotonic()
        if now - self._told.get(event, -_EVERY) < _EVERY:
            self._untold[event] = self._untold.get(event, 0) + 1
            return
        self._told[event] = now
        said: dict[str, object] = {
            "event": event.value,
            "at": timestamp(time()),
            "model": model,
            "message": message,
            "text": f"litellm-hybrid: {message}",
            "suppressed": self._untold.pop(event, 0),
        }
        for number, notifier in enumerate(self._settings.current.notify, start=1):
            task = asyncio.get_running_loop().create_task(self._run(number, notifier, said))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _run(self, number: int, notifier: Notifier, said: dict[str, object]) -> None:
        try:
            if notifier.url is not None:
                await asyncio.to_thread(_post, notifier.url.value, said, self._settings.current.tls_ca)
            else:
                settings = self._settings.current
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
