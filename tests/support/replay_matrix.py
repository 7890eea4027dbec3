"""Every agent's request against every strict backend, through the product and a real LiteLLM.

What is counted is seen from outside: a relay between the product and LiteLLM counts the attempts, and
the backend keeps what it accepted, so that a request that arrives with another meaning is not taken for
answered. As a program it measures everything, also where LiteLLM's `/model/info` may not be read, and writes replays.json:

    python tests/support/replay_matrix.py
"""

import json
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import httpx

if __name__ == "__main__":  # as a program: `support` is beside this file's folder
    sys.path.insert(0, str(Path(__file__).parents[1]))

from support.agent_requests import AGENT_REQUESTS, AgentRequest
from support.processes import Process, hybrid_config, litellm, mitmdump
from support.sealed import USAGE_LIMIT
from support.servers import Reply, Server, in_thread
from support.strict_backends import DEPLOYMENTS, TEXT, Deployment, StrictBackends
from support.wire import Request

type Json = dict[str, Any]

FILE = Path(__file__).parents[1] / "litellm" / "replays.json"
"""What the last run measured; docs/replays.md is made of it."""

_AT_ONCE = 4
_DROPS = b',"drop_params":true}'
_HOP_BY_HOP = frozenset({"host", "connection", "content-length", "transfer-encoding"})


@dataclass(frozen=True, slots=True)
class Sent:
    """An attempt of the product: what LiteLLM was asked, and what it said."""

    body: bytes
    status: int
    response: bytes


@dataclass(frozen=True, slots=True)
class Row:
    """What became of one request at one backend.

    Attributes:
        attempts: how often LiteLLM was asked.
        result: answered, refused, or changed: answered with another meaning, or sent in other bytes for no reason.
        again: how often LiteLLM was asked when the session asked once more; 0 if it did not.
        said: the last refusal, or what was missing; "" if it was answered.
        remedies: what the product has changed of it at the last attempt.
        untold: the result where LiteLLM does not tell who serves the model; "" if that was not measured.
    """

    agent: str
    turn: str
    backend: str
    attempts: int
    result: str
    again: int = 0
    said: str = ""
    remedies: str = ""
    untold: str = ""


class Relay(Server):
    """Stands between the product and LiteLLM, passes everything on, and keeps it by the request's id.

    Where it does not tell, it refuses all that LiteLLM tells of its models.
    """

    def __init__(self, litellm: str, *, tells: bool = True) -> None:
        super().__init__(self._pass_on)
        self.sent: dict[str, list[Sent]] = {}
        self._litellm = litellm
        self._tells = tells

    async def _pass_on(self, request: Request, reply: Reply) -> None:
        if request.path.endswith("/info") and not self._tells:
            await reply.json(403, {"error": "not for this key"})
            return
        names = [(name.decode(), value.decode()) for name, value in request.headers]
        headers = [(name, value) for name, value in names if name.lower() not in _HOP_BY_HOP]
        async with httpx.AsyncClient(timeout=60, trust_env=False) as http:
            got = await http.request(
                request.method, self._litellm + request.target, headers=headers, content=request.body
            )
        if request.method == "POST":
            sent = Sent(request.body, got.status_code, got.content)
            self.sent.setdefault(request.header("x-request-id") or "", []).append(sent)
        passed = {
            name: value
            for name, value in got.headers.items()
            if name == "content-type" or name.startswith("x-litellm-")
        }
        await reply.send(got.status_code, got.content, passed)


@dataclass(frozen=True, slots=True)
class Rig:
    """Everything that runs."""

    backends: StrictBackends
    relay: Relay
    proxy: Process
    litellm: Process


async def _out_of_quota(_: Request, reply: Reply) -> None:
    await reply.json(429, USAGE_LIMIT)


_AGENTS = list(dict.fromkeys(request.agent for request in AGENT_REQUESTS))


def _slug(agent: str) -> str:
    return f"{_AGENTS.index(agent):02}"


def _name(deployment: Deployment, agent: str) -> str:
    """LiteLLM's name for a model: one for each agent, so that nothing is remembered from another's."""
    return f"{deployment.name}.{_slug(agent)}"


@contextmanager
def running(
    folder: Path,
    deployments: Sequence[Deployment] = DEPLOYMENTS,
    *,
    told: bool = True,
    settings: Mapping[str, object] | None = None,
    **fallback: Any,
) -> Iterator[Rig]:
    """The backends, a LiteLLM, the relay, an upstream without quota, the product.

    `settings`: LiteLLM's own, of which there are none otherwise, not even `drop_params`.
    """
    for name in ("litellm", "proxy"):
        (folder / name).mkdir()
    with in_thread(StrictBackends()) as backends, in_thread(Server(_out_of_quota)) as upstream:
        models = {
            _name(deployment, agent): deployment.litellm_params(backends.url, _slug(agent))
            for deployment in deployments
            for agent in _AGENTS
        }
        with (
            litellm(backends.url, folder / "litellm", models=models, settings=settings) as real,
            in_thread(Relay(real.url, tells=told)) as relay,
        ):
            replays = {"enabled": True, "cooldown-max": "0s", **fallback}
            config = hybrid_config(relay.url, models=[], fallback=replays)
            with mitmdump(config, upstream.url, folder / "proxy") as proxy:
                rig = Rig(backends, relay, proxy, real)
                if told:
                    _wait_until_told(rig, deployments[0])
                yield rig


def _wait_until_told(rig: Rig, deployment: Deployment) -> None:
    """Ask until the product knows LiteLLM's models, which it asks for at the start."""
    image = next(request for request in AGENT_REQUESTS if "image" in request.agent)
    path, body = image.for_model(_name(deployment, image.agent))
    until = time.monotonic() + 60
    while time.monotonic() < until:
        got = httpx.post(rig.proxy.url + path, content=body, headers=image.headers, timeout=60)
        if "attachment" not in got.headers.get("x-hybrid-route", ""):
            return
        time.sleep(0.1)
    raise TimeoutError(got.headers)


def measure(
    rig: Rig,
    requests: Sequence[AgentRequest] = AGENT_REQUESTS,
    deployments: Sequence[Deployment] = DEPLOYMENTS,
) -> list[Row]:
    """Ask everything everywhere; an agent's turns one after the other, several pairs at once."""
    agents = dict.fromkeys(request.agent for request in requests)
    pairs = [
        ([request for request in requests if request.agent == agent], deployment)
        for agent in agents
        for deployment in deployments
    ]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        rows = pool.map(lambda pair: _session(rig, *pair), pairs)
    return [row for session in rows for row in session]


def _session(rig: Rig, turns: Sequence[AgentRequest], deployment: Deployment) -> list[Row]:
    rows: list[Row] = []
    with httpx.Client(timeout=90, trust_env=False) as http:
        for turn in turns:
            # LiteLLM leaves a backend alone for some seconds after a 404; no user's turns follow so fast.
            if rows and (cooling := re.search(r"Try again in (\d+) seconds", rows[-1].said)):
                time.sleep(int(cooling[1]) + 1)
            rows.append(_ask(rig, http, turn, deployment))
    return rows


def _ask(rig: Rig, http: httpx.Client, request: AgentRequest, deployment: Deployment) -> Row:
    model = _name(deployment, request.agent)
    got, sent = _send(rig, http, request, model)
    lost = said = ""
    again = 0
    _, asked = request.for_model(model, _session_of(model))
    remedies = "; ".join(changes(json.loads(asked), json.loads(sent[-1].body))) if sent else ""
    if answered := got.status_code == 200 and TEXT in got.text:
        lost = _lost(rig, request, deployment)
        if not remedies and sent[-1].body.replace(_DROPS, b"}") != asked:
            lost = "bytes of the body"
        if len(sent) > 1:
            again = len(_send(rig, http, request, model, "-again")[1])
    else:
        said = words(sent[-1]) if sent else f"{got.status_code} {got.headers.get('x-hybrid-route')}"
    result = "changed" if lost else "answered" if answered else "refused"
    return Row(request.agent, request.turn, deployment.name, len(sent), result, again, lost or said, remedies)


def _session_of(model: str) -> str:
    return f"session-{model}"


def _send(
    rig: Rig, http: httpx.Client, request: AgentRequest, model: str, suffix: str = ""
) -> tuple[httpx.Response, list[Sent]]:
    request_id = f"{request.turn}-{model}{suffix}"
    path, body = request.for_model(model, _session_of(model))
    headers = {**request.headers, "content-type": "application/json", "x-request-id": request_id}
    got = http.post(rig.proxy.url + path, content=body, headers=headers)
    return got, rig.relay.sent.get(request_id, [])


def words(sent: Sent) -> str:
    """What LiteLLM said, as short as it can be told."""
    text = sent.response.decode("utf-8", "replace")
    found = re.search(r'"(?:message|error|detail)":\s*"((?:[^"\\]|\\.)*)"', text)
    return f"{sent.status} {found[1] if found else text}"[:400]


def changes(asked: Json, sent: Json) -> Iterator[str]:
    """What the product has changed of a request, option by option; of the conversation only that it has."""
    for name in sorted(asked.keys() | sent.keys()):
        was, now = asked.get(name), sent.get(name)
        if was == now or name in ("drop_params", "model"):
            continue
        if name in _CONVERSATION:
            yield f"{name}: reduced"
        elif name in _NESTED and isinstance(was, dict) and isinstance(now, dict):
            yield from (f"{name}.{change}" for change in changes(was, now))
        elif now is None:
            yield f"without {name}"
        else:
            yield f"{name}: {json.dumps(now)}" if isinstance(now, int | str) else f"{name}: changed"


_CONVERSATION = frozenset({"messages", "input", "contents", "system", "instructions", "systemInstruction"})
_NESTED = frozenset({"metadata", "generationConfig", "thinkingConfig", "output_config", "text", "reasoning"})


def _lost(rig: Rig, request: AgentRequest, deployment: Deployment) -> str:
    """What of the request's meaning has not arrived in the last request that the backend accepted."""
    accepted = [
        judged.body
        for judged in rig.backends.judged
        if (judged.deployment, judged.asked_by) == (deployment.name, _slug(request.agent))
        and judged.refusal is None
    ]
    arrived = accepted[-1]
    text = json.dumps(arrived)
    session = _session_of(_name(deployment, request.agent))
    missing = [what for what in request.to_arrive(session) if what not in text]
    if request.forces and not _is_forced(request.forces, arrived):
        missing.append(f"the forced {request.forces}")
    return ", ".join(missing)


def _is_forced(tool: str, arrived: Json) -> bool:
    """Whether a backend has to use a tool: it is named, or any has to be used and there is no other."""
    config = arrived.get("toolConfig") or arrived.get("tool_config") or {}
    calling = (
        config.get("toolChoice")
        or config.get("functionCallingConfig")
        or config.get("function_calling_config")
    )
    choice = json.dumps(arrived.get("tool_choice") or calling)
    tools = [
        named
        for described in arrived.get("tools") or config.get("tools") or ()
        for named in _names(described)
    ]
    forces_any = re.search('"(any|required)"', choice, re.IGNORECASE)
    return f'"{tool}"' in choice or (tools == [tool] and forces_any is not None)


def _names(described: Json) -> Iterator[str]:
    """The names of a tool, in each API's form."""
    declared = described.get("functionDeclarations") or described.get("function_declarations")
    for one in declared or [described.get("function") or described.get("toolSpec") or described]:
        yield one.get("name")


def write(rows: Sequence[Row]) -> None:
    """Keep what was measured."""
    lines = ",\n".join(json.dumps(asdict(row)) for row in rows)
    FILE.write_text(f"[\n{lines}\n]\n", "utf-8")


def read() -> list[Row]:
    """What was measured last."""
    return [Row(**row) for row in json.loads(FILE.read_text("utf-8"))]


def main() -> None:
    """Measure, and keep it."""
    measured = []
    for told in (True, False):
        with tempfile.TemporaryDirectory() as folder, running(Path(folder), told=told) as rig:
            rows = measure(rig)
        print(f"{Counter(row.result for row in rows)}, attempts {Counter(row.attempts for row in rows)}")  # noqa: T201
        measured.append(rows)
    write([replace(row, untold=other.result) for row, other in zip(*measured, strict=True)])


if __name__ == "__main__":
    main()
