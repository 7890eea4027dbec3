"""Each name of mitmproxy that is overridden or used here is missed, if it goes."""

from typing import Any

import pytest
from mitmproxy import http
from mitmproxy.proxy.layers.http import HttpLayer, HttpStream

from litellm_hybrid.proxy import compat
from litellm_hybrid.proxy.compat import IncompatibleMitmproxyError
from litellm_hybrid.proxy.connection import HybridConnectionHandler
from litellm_hybrid.proxy.http1 import HybridHttp1Client, HybridHttp1Server
from litellm_hybrid.proxy.layer import HybridLayer
from litellm_hybrid.proxy.stream import HybridStream
from litellm_hybrid.proxy.stream_base import BaseStream
from litellm_hybrid.server.standalone import HybridNextLayer, HybridReverseProxy, LeanAddonManager

OURS = [
    *(BaseStream, HybridStream, HybridLayer, HybridHttp1Server, HybridHttp1Client),
    *(HybridConnectionHandler, HybridNextLayer, HybridReverseProxy, LeanAddonManager),
]
USED = [(cls, name) for cls, names in compat.USED for name in names]


def test_the_installed_mitmproxy_fits() -> None:
    compat.check()


@pytest.mark.parametrize(("cls", "name"), [entry[:2] for entry in compat.OVERRIDDEN])
def test_a_method_with_other_arguments_is_named(
    cls: type, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cls, name, lambda: None)

    with pytest.raises(IncompatibleMitmproxyError, match=rf"{cls.__name__}\.{name}\b"):
        compat.check()


@pytest.mark.parametrize(("cls", "name"), USED)
def test_an_attribute_that_is_gone_is_named(cls: type, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for base in cls.__mro__[:-1]:
        _remove(base, name, monkeypatch)

    with pytest.raises(IncompatibleMitmproxyError, match=rf"{cls.__name__}\.{name}\b"):
        compat.check()


def _remove(cls: type, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if name in vars(cls):
        monkeypatch.delattr(cls, name)
    annotations = cls.__dict__.get("__annotations__", {})  # noqa: RUF063 (no copy of it)
    if name in annotations:
        monkeypatch.delitem(annotations, name)
    constructor: Any = cls.__dict__.get("__init__")
    if name in getattr(getattr(constructor, "__code__", None), "co_names", ()):
        code = constructor.__code__
        names = tuple("gone" if used == name else used for used in code.co_names)
        monkeypatch.setattr(constructor, "__code__", code.replace(co_names=names))


def test_the_check_of_messages_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where assertions are off there is none to be skipped."""
    monkeypatch.delattr(http.MessageData, "__post_init__")

    with pytest.raises(IncompatibleMitmproxyError, match=r"MessageData\.__post_init__"):
        compat.check()


def test_what_is_missing_and_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(HttpStream, "send_response")
    monkeypatch.setattr(HttpLayer, "make_stream", lambda self, stream_id, more: None)  # noqa: ARG005

    with pytest.raises(IncompatibleMitmproxyError) as e:
        compat.check()

    assert "does not have HttpStream.send_response, HttpLayer.make_stream as litellm-hybrid" in str(e.value)
    assert 'pip install "mitmproxy>=12.2,<13"' in str(e.value)


@pytest.mark.parametrize("ours", OURS)
def test_all_that_is_overridden_is_checked(ours: type) -> None:
    """A method that replaces one of mitmproxy's must be in the list."""
    theirs = [base for base in ours.__mro__[1:] if base.__module__.startswith("mitmproxy.")]
    replaced = {
        name
        for name, found in vars(ours).items()
        if callable(found) and not name.startswith("__") and any(hasattr(base, name) for base in theirs)
    }

    assert replaced <= {name for cls, name, _ in compat.OVERRIDDEN if issubclass(theirs[0], cls)}
