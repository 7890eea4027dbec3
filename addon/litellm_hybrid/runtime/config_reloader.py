"""The configuration file: read at start, watched while running, taken over whole."""

import asyncio
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from time import time

from litellm_hybrid.config.file_watcher import Watcher
from litellm_hybrid.config.parser import ConfigError, Parsed
from litellm_hybrid.config.schema import diff
from litellm_hybrid.config.settings import Settings, SettingsStore
from litellm_hybrid.diagnostics.check import Listener, start_problems
from litellm_hybrid.observability import log
from litellm_hybrid.observability.history import ReloadHistory
from litellm_hybrid.observability.log import AppLog
from litellm_hybrid.proxy import trust

LOOK_EVERY = 0.5
"""Seconds between two looks at the file; a change is taken at the second that finds it unchanged."""


class ConfigReloader:
    """Reads the file into the store, and again whenever it changes."""

    def __init__(
        self,
        path: Path,
        listeners: Sequence[Listener],
        settings: SettingsStore,
        reloads: ReloadHistory,
        app_log: AppLog,
    ) -> None:
        """Read the file.

        Args:
            path: the file.
            listeners: every address we listen on.
            settings: gets what the file says.
            reloads: where it is written down what becomes of the file.
            app_log: what the file's log-format is for, before anything is logged about the file.

        Raises:
            ConfigError: the file, or what it says together with the addresses, is wrong.
        """
        self._watcher = Watcher(path, os.environ)
        self._path = path
        self._listeners = tuple(listeners)
        self._settings = settings
        self._reloads = reloads
        parsed = self._watcher.load()
        app_log.use_format(parsed.settings.log_format)
        self._check(parsed.settings)
        self._reloads.since = time()
        settings.path = path
        self._announce(parsed)
        self._publish(parsed.settings)

    async def watch(self) -> None:
        """Look at the file until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY)
            found = await asyncio.to_thread(self._watcher.look)
            if isinstance(found, Parsed):
                self._apply(found)
            elif found is not None:
                self._reject(found)

    def _apply(self, parsed: Parsed) -> None:
        try:
            self._check(parsed.settings)
        except ConfigError as e:
            self._reject(ConfigError([*e.problems, "the last good settings stay in force"]))
            return
        changes = diff(self._settings.current, parsed.settings)
        for warning in parsed.warnings:
            log.emit(logging.WARNING, f"litellm config: {warning}", event="config-warning")
        for change in changes:
            log.emit(logging.INFO, f"litellm config: {change}", event="config-changed")
        if not changes:
            log.emit(logging.INFO, "litellm config: read again, nothing has changed", event="config-changed")
        self._reloads.applied(changes, time())
        self._publish(parsed.settings)

    def _publish(self, settings: Settings) -> None:
        for error in self._settings.publish(settings):
            message = f"litellm config: part of the change has failed: {type(error).__name__}: {error}"
            log.emit(logging.ERROR, message, exc_info=error, event="error")

    def _reject(self, error: ConfigError) -> None:
        self._settings.broken = True
        self._reloads.rejected(error.problems, time())
        for problem in error.problems:
            log.emit(logging.ERROR, f"litellm config: {problem}", event="config-broken")

    def _announce(self, parsed: Parsed) -> None:
        for warning in parsed.warnings:
            log.emit(logging.WARNING, f"litellm config: {warning}", event="config-warning")
        settings = parsed.settings
        if settings.listen_without_keys:
            log.emit(
                logging.WARNING,
                "litellm config: listen-without-keys is on: "
                "WHOEVER REACHES THIS PROXY MAY SPEND THE LITELLM KEY",
                event="config-warning",
            )
        if settings.active:
            log.emit(logging.INFO, f"LiteLLM routing enabled for: {settings.base_url}", event="config-loaded")

    def _check(self, settings: Settings) -> None:
        """What the file says must fit where we listen and what is behind us.

        Raises:
            ConfigError: with what to do.
        """
        problems = start_problems(str(self._path), settings, self._listeners)
        if unusable := trust.problem(settings.tls_ca):
            problems.append(f"{self._path}: {unusable}")
        if problems:
            raise ConfigError(tuple(problems))


def config_path(option: str) -> Path:
    """Where the configuration file is.

    Args:
        option: mitmproxy's option `litellm_config`, "" if it is not set.

    Raises:
        ConfigError: it is not set, and there is no config.yaml in the current folder.
    """
    if option:
        return Path(option).expanduser()
    default = Path("config.yaml")
    if not default.exists():
        raise ConfigError(
            ("no config.yaml in this folder: say where it is with --set litellm_config=/path/to/config.yaml",)
        )
    return default
