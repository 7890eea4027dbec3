"""The client's side of HTTP/1; more of it is shown on sockets, in tests/e2e/test_failures.py."""

import json

from mitmproxy import options
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.context import Context
from mitmproxy.test import tflow

from litellm_hybrid.addon import HybridAddon
from litellm_hybrid.proxy.deadlines import CheckSchedule
from litellm_hybrid.proxy.http1 import HybridHttp1Server


def test_what_cannot_be_parsed_is_refused_in_json() -> None:
    context = Context(tflow.tclient_conn(), options.Options())
    proxy = HybridAddon()._proxy
    server = HybridHttp1Server(context, proxy, CheckSchedule(proxy.clock))
    list(server.handle_event(events.Start()))

    sent = list(server.handle_event(events.DataReceived(context.client, b"GET / HTTP/9\r\n\r\n")))

    (data,) = [command.data for command in sent if isinstance(command, commands.SendData)]
    head, _, body = data.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\n")
    assert json.loads(body)["error"] == "bad_request"
    assert f"Content-Length: {len(body)}".encode() in head
    assert any(isinstance(command, commands.CloseConnection) for command in sent)
