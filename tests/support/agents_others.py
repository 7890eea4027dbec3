"""The same as agents.py for chat completions and generateContent, whose answers come whole."""

import json

from support.agents import Agent, Json, Words


class Chatter(Agent):
    """A client of chat completions that sends back whatever came with the assistant's message."""

    path = "/v1/chat/completions"

    def body(self) -> Json:
        return {"model": self.model, "messages": self.history}

    def hear(self, answer: bytes) -> None:
        message = json.loads(answer)["choices"][0]["message"]
        self.history.append(message)
        if "tool_calls" not in message:
            self._asks()
            return
        result = {"tool_call_id": message["tool_calls"][0]["id"], "content": self._next()}
        self.history.append({"role": "tool", **result})

    def words(self, body: Json) -> Words:
        found: Words = []
        for message in body["messages"]:
            found.append((message["role"], message.get("tool_call_id", ""), message["content"]))
            found += [("call", json.dumps(call)) for call in message.get("tool_calls", [])]
        return found

    def _asks(self) -> None:
        self.history.append({"role": "user", "content": self._next()})


class GeminiCli(Agent):
    """A client of generateContent."""

    def __init__(self, model: str, session: str = "") -> None:
        self.path = f"/v1beta/models/{model}:generateContent"
        super().__init__(model, session)

    def body(self) -> Json:
        return {"contents": self.history}

    def hear(self, answer: bytes) -> None:
        content = json.loads(answer)["candidates"][0]["content"]
        self.history.append(content)
        call = content["parts"][-1].get("functionCall")
        if call is None:
            self._asks()
            return
        response = {"id": call["id"], "name": call["name"], "response": {"output": self._next()}}
        self.history.append({"role": "user", "parts": [{"functionResponse": response}]})

    def words(self, body: Json) -> Words:
        seals = ("thought", "thoughtSignature")
        return [
            (content["role"], json.dumps({key: part[key] for key in part if key not in seals}))
            for content in body["contents"]
            for part in content["parts"]
        ]

    def _asks(self) -> None:
        self.history.append({"role": "user", "parts": [{"text": self._next()}]})
