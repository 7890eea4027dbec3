"""A forward proxy that answers for the providers' own hosts, as `python -m real.forward PORT CONFDIR PROVIDERS`.

A lean mitmproxy: what is measured behind it is CLIProxyAPI, and a whole mitmdump took a third of all the time.
"""

import asyncio
import signal
import sys

from mitmproxy import master, options
from mitmproxy.addons import core, next_layer, proxyserver, tlsconfig
from mitmproxy.http import HTTPFlow

from litellm_hybrid.server.standalone import LeanAddonManager
from real.providers import HOSTS


class Hosts:
    """Sends each request to the scripted providers, by its host."""

    def __init__(self, port: int) -> None:
        self.port = port

    def request(self, flow: HTTPFlow) -> None:
        """Mitmproxy's hook: whom to ask."""
        asked = flow.request
        if asked.pretty_host != "127.0.0.1":
            asked.path = HOSTS.get(asked.pretty_host, f"/other/{asked.pretty_host}") + asked.path
            asked.scheme, asked.host, asked.port = "http", "127.0.0.1", self.port

    def responseheaders(self, flow: HTTPFlow) -> None:
        """Mitmproxy's hook: pass everything on as it comes."""
        if flow.response:
            flow.response.stream = True


async def serve(port: int, confdir: str, providers: int) -> None:
    """Run it until it is told to end."""
    opts = options.Options()
    lean = master.Master(opts)
    lean.addons = LeanAddonManager(lean)
    lean.addons.add(  # type: ignore[no-untyped-call]
        core.Core(),
        proxyserver.Proxyserver(),
        next_layer.NextLayer(),
        tlsconfig.TlsConfig(),
        Hosts(providers),
    )
    opts.update(confdir=confdir, listen_host="127.0.0.1", listen_port=port, connection_strategy="lazy")
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, lean.shutdown)
    await lean.run()


if __name__ == "__main__":
    _, listen, folder, scripted = sys.argv
    asyncio.run(serve(int(listen), folder, int(scripted)))
