"""The file on disk: reads it at the start, then looks whether it has changed, for good or for bad.

CLIProxyAPI truncates and rewrites its config.yaml, editors replace it by
renaming, Kubernetes moves a symbolic link: a change is taken only when the file
has stood still over two looks, and only a whole and sound file replaces the
settings that are in force.
"""

import stat
from collections.abc import Mapping
from pathlib import Path

from litellm_hybrid.config.parser import ConfigError, Parsed, parse

type _Stamp = tuple[int, ...]
"""(size, mtime in ns, inode); () for a file that is not there."""


class Watcher:
    """One configuration file: `load` it once, then `look` every half second, from one thread at a time.

    A symbolic link is followed anew at every look; `${VAR}` in the file is looked up in `env`.
    """

    def __init__(self, path: Path, env: Mapping[str, str]) -> None:
        self._path = path
        self._env = env
        self._good: Parsed | None = None
        self._good_text: str | None = None
        self._complaint: str | None = None
        self._seen: _Stamp | None = None
        # What `load` read is not taken as seen: it may have met a file that was just being written.
        self._read_at: _Stamp | None = None

    def load(self) -> Parsed:
        """The settings to start with.

        Raises:
            ConfigError: the file is missing, unreadable or wrong.
        """
        text = self._read()
        self._good = parse(text, source=str(self._path), env=self._env)
        self._good_text = text
        return self._good

    @property
    def text(self) -> str:
        """The content of the last good file; "" before `load`."""
        return self._good_text or ""

    def look(self) -> Parsed | ConfigError | None:
        """What is new since the last look; None: nothing to do.

        Parsed: something new, to be taken now, or the last good file again after an error. ConfigError: the
        file is broken, gone or empty, or has lost all its litellm keys at once; the last good settings stay
        in force. It is returned once, not at every look.
        """
        stamp = self._stamp()
        stands_still = stamp == self._seen
        self._seen = stamp
        if not stands_still or stamp == self._read_at:
            return None
        try:
            text = self._read()
            if self._stamp() != stamp:
                return None
            self._read_at = stamp
            return self._take(text)
        except ConfigError as e:
            if str(e) == self._complaint:
                return None
            self._complaint = str(e)
            return ConfigError([*e.problems, f"{self._path}: the last good settings stay in force"])

    def _take(self, text: str) -> Parsed | None:
        if text == self._good_text:
            mended, self._complaint = self._complaint is not None, None
            return self._good if mended else None
        parsed = parse(text, source=str(self._path), env=self._env)
        if self._good and self._good.has_keys and not parsed.has_keys:
            state = "all litellm keys are gone from it" if text.strip() else "it is empty"
            raise ConfigError([f"{self._path}: {state}; set enabled to false to switch routing off"])
        self._good, self._good_text, self._complaint = parsed, text, None
        return parsed

    def _stamp(self) -> _Stamp:
        try:
            status = self._path.stat()
        except OSError:
            return ()
        return status.st_size, status.st_mtime_ns, status.st_ino

    def _read(self) -> str:
        try:
            # Opening a pipe would wait for a writer, and it could not be read again.
            if not stat.S_ISREG(self._path.stat().st_mode):
                raise ConfigError([f"{self._path}: not a regular file"])
            data = self._path.read_bytes()
        except OSError as e:
            raise ConfigError([f"{self._path}: cannot read the configuration: {e.strerror}"]) from e
        try:
            return data.decode()
        except UnicodeDecodeError as e:
            line = data.count(b"\n", 0, e.start) + 1
            raise ConfigError([f"{self._path}:{line}: not UTF-8 (byte 0x{data[e.start]:02x})"]) from e
