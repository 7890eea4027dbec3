"""The transport: mitmproxy's HTTP layers, extended. The only package that knows its private ones."""
