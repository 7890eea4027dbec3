"""Which certificate authorities are trusted about servers: the usual ones, and those that `tls-ca` names."""

import os
import shutil
import ssl
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import certifi

if TYPE_CHECKING:  # a third of a second, which every command would wait for
    from mitmproxy.options import Options


def usual() -> str:
    """The file of the authorities that are trusted anyway: `SSL_CERT_FILE`, else those of certifi."""
    return os.environ.get("SSL_CERT_FILE") or certifi.where()


def client_context(tls_ca: Path | None) -> ssl.SSLContext:
    """A context for connections to servers.

    Raises:
        OSError: a file cannot be read, or has no certificate in it (ssl.SSLError).
    """
    context = ssl.create_default_context(cafile=usual())
    if tls_ca is not None:
        context.load_verify_locations(cafile=tls_ca)
    return context


def problem(tls_ca: Path | None) -> str:
    """What is wrong with the file of authorities; "": nothing."""
    try:
        client_context(tls_ca)
    except OSError as e:
        why = "no certificate in PEM form is in it" if isinstance(e, ssl.SSLError) else e.strerror or e
        return f"tls-ca: {tls_ca or usual()} cannot be used: {why}"
    return ""


def temporary_prefix() -> str:
    """How names of this process's temporary files and folders begin."""
    return f"litellm-hybrid-{os.getpid()}-"


def remove_leftovers() -> None:
    """Remove temporary files and folders of processes that were killed."""
    for path in Path(tempfile.gettempdir()).glob("litellm-hybrid-[0-9]*-*"):
        pid = path.name.split("-")[2]
        if not pid.isdecimal() or Path("/proc", pid).exists() or not Path("/proc/self").exists():
            continue
        with suppress(OSError):
            if path.lstat().st_uid != os.getuid():
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()


class TrustStore:
    """Makes mitmproxy trust the same authorities: it takes one file, so this writes one with all of them."""

    def __init__(self) -> None:
        self._before: str | None = None
        self._written: Path | None = None

    def apply(self, options: "Options", tls_ca: Path | None) -> None:
        """Set mitmproxy's option; what a user has set there stays trusted."""
        trusted = options.ssl_verify_upstream_trusted_ca
        if self._written is None or trusted != str(self._written):
            self._before = trusted
        base = self._before or os.environ.get("SSL_CERT_FILE")
        old, self._written = self._written, None
        if tls_ca is not None:
            text = Path(base or certifi.where()).read_bytes() + b"\n" + tls_ca.read_bytes()
            # Always a new name: mitmproxy keeps its contexts by the file's.
            descriptor, name = tempfile.mkstemp(prefix=temporary_prefix(), suffix=".pem")
            with os.fdopen(descriptor, "wb") as file:
                file.write(text)
            self._written = Path(name)
            base = name
        if base != trusted:
            options.update(ssl_verify_upstream_trusted_ca=base)
        if old is not None:
            old.unlink(missing_ok=True)

    def close(self) -> None:
        """Remove the file."""
        if self._written is not None:
            self._written.unlink(missing_ok=True)
