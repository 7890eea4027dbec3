"""Where the settings in force are, for everybody who needs them."""

from collections.abc import Callable
from pathlib import Path

from litellm_hybrid.config.settings import Settings

type SettingsListener = Callable[[Settings], None]


class NoSettingsError(RuntimeError):
    """There is no valid configuration."""


class SettingsStore:
    """Holds one frozen `Settings`, and swaps the reference at a reload.

    Attributes:
        path: the file that they are from; None: there has been none.
        broken: the file has an error now, and `current` are the last good ones.
    """

    path: Path | None
    broken: bool

    def __init__(self, settings: Settings | None = None) -> None:
        self._settings = settings
        self._listeners: list[SettingsListener] = []
        self.path = None
        self.broken = False

    @property
    def is_empty(self) -> bool:
        """Whether there are no settings, because the file had an error at the start."""
        return self._settings is None

    @property
    def current(self) -> Settings:
        """Return those in force.

        Raises:
            NoSettingsError: there are none.
        """
        if self._settings is None:
            raise NoSettingsError("there is no valid configuration")
        return self._settings

    def subscribe(self, listener: SettingsListener) -> None:
        """Have a listener called with each new Settings, once they are in force."""
        self._listeners.append(listener)

    def publish(self, settings: Settings) -> list[Exception]:
        """Put settings in force and tell all listeners; return what some of them raised."""
        self._settings, self.broken = settings, False
        raised: list[Exception] = []
        for listener in self._listeners:
            try:
                listener(settings)
            except Exception as e:  # noqa: BLE001 (one must not keep the others from new settings)
                raised.append(e)
        return raised

    def clear(self) -> None:
        """Have no settings: nothing is forwarded."""
        self._settings, self.path, self.broken = None, None, False
