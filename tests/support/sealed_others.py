"""The same as sealed.py for chat completions and generateContent, which are answered whole."""

from support.sealed import Json, Provider
from support.servers import Reply


class Chat(Provider):
    """Chat completions in front of Claude: its thinking is beside the assistant's words, signed."""

    def refusal(self, body: Json) -> str | None:
        for number, message in enumerate(body["messages"]):
            blocks = message.get("thinking_blocks", [])
            if not all(self.opens(block["signature"]) for block in blocks):
                return f"messages.{number}.content.0: Invalid `signature` in `thinking` block"
        calls = [call["id"] for message in body["messages"] for call in message.get("tool_calls", [])]
        results = [message["tool_call_id"] for message in body["messages"] if message["role"] == "tool"]
        return (
            None if calls == results else "an assistant message with 'tool_calls' must be followed by tools"
        )

    def beside(self) -> Json:
        """What stands beside the assistant's words."""
        thinking = {"type": "thinking", "thinking": f"{self.name} thinks", "signature": self.seal()}
        return {"thinking_blocks": [thinking]}

    async def answer(self, reply: Reply) -> None:
        message: Json = {"role": "assistant", "content": self.words(), **self.beside()}
        if self.calls:
            function = {"name": "shell", "arguments": '{"command": "ls"}'}
            call = {"id": f"call_{self.name}{self.turn}", "type": "function", "function": function}
            message["tool_calls"] = [call]
        await reply.json(200, {"object": "chat.completion", "choices": [{"index": 0, "message": message}]})


class Gemini(Provider):
    """Gemini 3, which wants a signature on each function call, or the placeholder that Google documents."""

    def refusal(self, body: Json) -> str | None:
        for content in body["contents"]:
            for part in content["parts"]:
                seal = part.get("thoughtSignature")
                if "functionCall" in part and seal is None:
                    return "Function call is missing a thought_signature in functionCall parts."
                if seal not in (None, "skip_thought_signature_validator") and not self.opens(seal):
                    return "Corrupted thought signature."
        return None

    def error(self, words: str) -> Json:
        return {"error": {"code": 400, "message": words, "status": "INVALID_ARGUMENT"}}

    def sealed(self, part: Json) -> Json:
        """A part with its signature."""
        return {**part, "thoughtSignature": self.seal()}

    async def answer(self, reply: Reply) -> None:
        parts: list[Json] = [self.sealed({"text": self.words()})]
        if self.calls:
            call = {"id": f"call-{self.name}{self.turn}", "name": "shell", "args": {"command": "ls"}}
            parts.append(self.sealed({"functionCall": call}))
        await reply.json(200, {"candidates": [{"index": 0, "content": {"role": "model", "parts": parts}}]})
