"""What follows the options of those who see flows."""

from collections.abc import AsyncIterator

import pytest
from mitmproxy import addonmanager
from mitmproxy.test import taddons

from litellm_hybrid.mitmweb.flow_list import StreamedBodies


class Addon:
    """Follows the options as `Startup` does."""

    def __init__(self) -> None:
        self.bodies = StreamedBodies()
        self.seen = False

    def configure(self, updated: set[str]) -> None:
        self.bodies.configure(updated, seen=self.seen)


@pytest.fixture
async def tctx() -> AsyncIterator[taddons.context]:
    with taddons.context() as tctx:
        loader = addonmanager.Loader(tctx.master)
        loader.add_option("store_streamed_bodies", bool, False, "")
        loader.add_option("other", bool, False, "")
        yield tctx


def load(tctx: taddons.context, addon: Addon) -> bool:
    """Load it as mitmproxy loads a script: every option has changed."""
    tctx.master.addons.add(addon)
    addon.configure(tctx.options.keys())
    return bool(tctx.options.store_streamed_bodies)


@pytest.mark.parametrize("seen", [True, False])
def test_bodies_are_kept_where_flows_are_seen(seen: bool, tctx: taddons.context) -> None:
    addon = Addon()
    addon.seen = seen
    assert load(tctx, addon) is seen


@pytest.mark.parametrize("seen", [True, False])
@pytest.mark.parametrize("wish", [True, False])
def test_the_users_wish_stays(wish: bool, seen: bool, tctx: taddons.context) -> None:
    addon = Addon()
    addon.seen = seen
    tctx.options.update(store_streamed_bodies=wish)
    assert load(tctx, addon) is wish
    addon.seen = not seen
    addon.configure({"other"})
    assert tctx.options.store_streamed_bodies is wish


def test_it_follows_whether_flows_are_seen(tctx: taddons.context) -> None:
    """mitmproxy's `save_stream_file` can be set and unset while it runs."""
    addon = Addon()
    load(tctx, addon)
    for addon.seen in (True, False, True):
        tctx.options.update(other=addon.seen)
        assert tctx.options.store_streamed_bodies is addon.seen
    tctx.options.update(store_streamed_bodies=False)  # in mitmweb, say
    tctx.options.update(other=False)
    assert tctx.options.store_streamed_bodies is False


async def test_without_the_option_nothing_happens() -> None:
    with taddons.context():
        StreamedBodies().configure({"other"}, seen=True)
