"""What the documents' commands find around them: both servers' stand-ins, and an environment."""

import json
import os
import sys
from pathlib import Path

from support.models import ModelServer
from support.sealed import USAGE_LIMIT
from support.servers import Reply
from support.wire import Request

KEY = "sk-of-the-docs"
"""Stands for every key."""


UPSTREAM_PAGES: dict[str, object] = {
    "/": {"message": "CLI Proxy API Server", "endpoints": ["POST /v1/chat/completions"]}
}
LITELLM_PAGES: dict[str, object] = {
    "/health/readiness": {"status": "connected"},
    "/health/liveliness": "I'm alive!",
    "/model/info": {"data": []},
    "/utils/transform_request": {"raw_request_body": {}, "error": None},
}
"""What the servers say about themselves, by path."""


class Server(ModelServer):
    """A stand-in that also has the pages that people, and `doctor`, look at."""

    def __init__(self, name: str, pages: dict[str, object], *, models: tuple[str, ...]) -> None:
        super().__init__(name, models=models)
        self._pages = pages

    async def answer(self, request: Request, reply: Reply) -> None:
        """As a model server, and its pages."""
        if request.path in self._pages:
            await reply.json(200, self._pages[request.path])
            return
        await super().answer(request, reply)


def environment(folder: Path, upstream: int, proxy: int) -> dict[str, str]:
    """The environment of the commands, and what they find in the folder besides a configuration.

    Args:
        folder: theirs.
        upstream: the port of upstream.
        proxy: the port that the proxy is to listen on.
    """
    home = folder / "home"
    home.mkdir()
    # An answer of 400 or above is a failed command.
    (home / ".curlrc").write_text("fail-with-body\n", encoding="utf-8")
    # CLIProxyAPI's own file, where it is by default.
    (home / ".cli-proxy-api").mkdir()
    (home / ".cli-proxy-api" / "config.yaml").write_text(
        f"host: 127.0.0.1\nport: {upstream}\nmax-retry-interval: 0\npassthrough-headers: true\n",
        encoding="utf-8",
    )
    (folder / "answer.json").write_text(json.dumps(USAGE_LIMIT), encoding="utf-8")
    return {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
        "PYTHONWARNINGS": "ignore",
        "LITELLM_API_KEY": KEY,
        "KEY": "sk-any",
        "HYBRID_UPSTREAM": f"http://127.0.0.1:{upstream}",
        "HYBRID_LISTEN": f"127.0.0.1:{proxy}",
        **{name: os.environ[name] for name in ("UV_PYTHON",) if name in os.environ},
    }
