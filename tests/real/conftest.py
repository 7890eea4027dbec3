"""The servers and the proxy of the end-to-end tests."""

from e2e.conftest import confdir, litellm, start, upstream

__all__ = ["confdir", "litellm", "start", "upstream"]
