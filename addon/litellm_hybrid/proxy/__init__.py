"""The transport: mitmproxy's HTTP layers, extended. The only package that knows its private ones."""

CONNECTION_LOGGER = "mitmproxy.proxy.server"
"""mitmproxy's logger of peers that connect and disconnect; its neighbours say where it listens."""
