"""The servers and the proxy of the end-to-end tests."""

from e2e.conftest import clock, confdir, litellm, start, upstream

__all__ = ["clock", "confdir", "litellm", "start", "upstream"]
