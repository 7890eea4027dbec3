"""Requests as coding agents and SDKs make them, written for the tests: every member that they were seen to send.

What is said in them is ours; names, shapes and options are those of Claude Code 2.1, Codex 0.171,
Gemini CLI 0.61, opencode 1.18 and the SDKs, 2026-11. A second turn has a history that another
account has made: sealed thinking, encrypted reasoning, tool calls and their results.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from support.strict_rules import FOREIGN

type Json = dict[str, Any]

SEAL = FOREIGN + "eHh4" * 50
SESSION = "5e5510-session"
ASK, RESULT = f"marker-question of {SESSION}", "marker-result"
SYSTEM = "You are a coding agent. Work in small steps and keep to the conventions of the project."
USER_ID = json.dumps({"device_id": "d" * 64, "account_uuid": "", "session_id": SESSION + "0" * 22})
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
SCHEMA: Json = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "properties": {
        "command": {"type": "string", "description": "What to run."},
        "timeout": {"type": "number", "minimum": 0},
    },
    "required": ["command"],
    "additionalProperties": False,
}
PLAIN_SCHEMA: Json = {name: value for name, value in SCHEMA.items() if name != "$schema"}
STRICT_SCHEMA: Json = {
    "type": "object",
    "properties": {"marker_verdict": {"type": "string"}},
    "required": ["marker_verdict"],
    "additionalProperties": False,
}
GRAMMAR = 'start: "*** Begin Patch" LF hunk+ "*** End Patch" LF?\nhunk: /.+/ LF\n%import common.LF'
TURNS = ("first", "second")


@dataclass(frozen=True, slots=True)
class AgentRequest:
    """One request.

    Attributes:
        agent: whose.
        turn: first or second.
        path: with `{model}` where the model stands in it.
        body: without the model, which is its first member where the path does not have it.
        headers: those that the agent is known by, and those that its API asks for.
        arrives: what has to be in what the backend gets.
        forces: the tool that has to be forced there, "" for none.
    """

    agent: str
    turn: str
    path: str
    body: Json
    headers: Mapping[str, str]
    arrives: tuple[str, ...]
    forces: str = ""

    def to_arrive(self, session: str) -> tuple[str, ...]:
        """What has to be in what the backend gets of a session that is named so."""
        return tuple(what.replace(SESSION, session) for what in self.arrives)

    @property
    def name(self) -> str:
        """Of both."""
        return f"{self.agent}, {self.turn}"

    def for_model(self, model: str, session: str = SESSION) -> tuple[str, bytes]:
        """Its path and body for a model, in a session that is named so."""
        named = {} if "{model}" in self.path else {"model": model}
        body = json.dumps(named | self.body).replace(SESSION, session)
        return self.path.replace("{model}", model), body.encode()


# Messages --------------------------------------------------------------------------------------------

_BETAS = (
    "claude-code-20250219,interleaved-thinking-2025-05-14,context-management-2025-06-27,"
    "prompt-caching-scope-2026-01-05,effort-2025-11-24"
)
_CLAUDE_CODE = {
    "user-agent": "claude-cli/2.1.332 (external, cli)",
    "anthropic-version": "2023-06-01",
    "anthropic-beta": _BETAS,
    "x-app": "cli",
}
_CACHED = {"cache_control": {"type": "ephemeral"}}


def _claude_history(turn: str) -> list[Json]:
    asked = {"role": "user", "content": [{"type": "text", "text": ASK, **_CACHED}]}
    if turn == "first":
        return [asked]
    call = {"type": "tool_use", "id": "toolu_01A", "name": "Bash", "input": {"command": "ls"}}
    thought = {"type": "thinking", "thinking": "I should look first.", "signature": SEAL}
    result = {
        "type": "tool_result",
        "tool_use_id": "toolu_01A",
        "content": RESULT,
        "is_error": False,
        **_CACHED,
    }
    said = {"type": "text", "text": "I look at the files."}
    return [
        asked,
        {"role": "assistant", "content": [thought, said, call]},
        {"role": "user", "content": [result]},
    ]


def _claude_code(turn: str, **options: Any) -> Json:
    tools = [
        {"name": name, "description": f"The tool {name}.", "input_schema": SCHEMA}
        for name in ("Bash", "Edit")
    ]
    return {
        "messages": _claude_history(turn),
        "system": [{"type": "text", "text": SYSTEM, **_CACHED}],
        "tools": tools,
        "metadata": {"user_id": USER_ID},
        "max_tokens": 64_000,
        **options,
        "stream": True,
    }


_CLEAR = {"context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]}}


def _adaptive(turn: str) -> Json:
    """For the newest models: adaptive thinking, an effort, and a reminder as a message of the system's."""
    body = _claude_code(turn, thinking={"type": "adaptive"}, output_config={"effort": "max"}, **_CLEAR)
    body["messages"].append({"role": "system", "content": "The date is today's."})
    return body


def _manual(turn: str) -> Json:
    return _claude_code(turn, thinking={"type": "enabled", "budget_tokens": 31_999}, **_CLEAR)


def _title(_: str) -> Json:
    form = {"type": "json_schema", "schema": STRICT_SCHEMA}
    body = _claude_code("first", temperature=1, output_config={"format": form})
    return {**body, "tools": [], "max_tokens": 32_000}


def _opencode_messages(turn: str) -> Json:
    body = _claude_code(
        turn, thinking={"type": "enabled", "budget_tokens": 16_000}, tool_choice={"type": "auto"}
    )
    del body["metadata"]
    return body | {"max_tokens": 32_000}


def _forced_messages(_: str) -> Json:
    return {
        "max_tokens": 4_096,
        "temperature": 0.2,
        "top_p": 0.9,
        "messages": [{"role": "user", "content": ASK}],
        "tools": [{"name": name, "input_schema": PLAIN_SCHEMA} for name in ("Bash", "Edit")],
        "tool_choice": {"type": "tool", "name": "Edit"},
    }


# Responses -------------------------------------------------------------------------------------------

_CODEX = {
    "user-agent": "codex_cli_rs/0.171.0 (Debian 13.0.0; x86_64) xterm",
    "originator": "codex_cli_rs",
    "accept": "text/event-stream",
}


def _function(name: str, schema: Json = PLAIN_SCHEMA) -> Json:
    return {
        "type": "function",
        "name": name,
        "description": f"{name}.",
        "strict": False,
        "parameters": schema,
    }


def _said(role: str, text: str) -> Json:
    kind = "output_text" if role == "assistant" else "input_text"
    return {"type": "message", "role": role, "content": [{"type": kind, "text": text}]}


def _responses_history(turn: str, shell: str) -> list[Json]:
    if turn == "first":
        return [_said("user", ASK)]
    return [
        _said("user", ASK),
        {
            "type": "reasoning",
            "summary": [{"type": "summary_text", "text": "Look."}],
            "encrypted_content": SEAL,
        },
        _said("assistant", "I look at the files."),
        {"type": "function_call", "name": shell, "arguments": '{"command":"ls"}', "call_id": "call_a"},
        {"type": "function_call_output", "call_id": "call_a", "output": RESULT},
    ]


def _codex(turn: str) -> Json:
    patch: Json = {
        "type": "custom",
        "name": "apply_patch",
        "description": "Edits files.",
        "format": {"type": "grammar", "syntax": "lark", "definition": GRAMMAR},
    }
    history = _responses_history(turn, "exec_command")
    if turn == "second":
        history += [
            {
                "type": "custom_tool_call",
                "call_id": "call_b",
                "name": "apply_patch",
                "input": "*** Begin Patch",
            },
            {"type": "custom_tool_call_output", "call_id": "call_b", "output": "marker-patched"},
        ]
    return {
        "instructions": SYSTEM,
        "input": [_said("developer", "The sandbox is read-only."), *history],
        "tools": [
            _function("exec_command"),
            _function("update_plan"),
            patch,
            {"type": "web_search", "external_web_access": False},
        ],
        "tool_choice": "auto",
        "parallel_tool_calls": True,
        "reasoning": {"effort": "medium", "summary": "auto"},
        "store": False,
        "stream": True,
        "include": ["reasoning.encrypted_content"],
        "prompt_cache_key": SESSION,
        "text": {"verbosity": "medium"},
    }


def _opencode_responses(turn: str) -> Json:
    return {
        "input": [{"role": "developer", "content": SYSTEM}, *_responses_history(turn, "bash")],
        "max_output_tokens": 32_000,
        "text": {"verbosity": "low"},
        "store": False,
        "include": ["reasoning.encrypted_content"],
        "prompt_cache_key": SESSION,
        "reasoning": {"effort": "medium", "summary": "auto"},
        "tools": [_function("bash", SCHEMA), _function("edit", SCHEMA)],
        "tool_choice": "auto",
        "stream": True,
    }


def _structured_responses(_: str) -> Json:
    form = {"type": "json_schema", "name": "verdict", "strict": True, "schema": STRICT_SCHEMA}
    return {"input": ASK, "temperature": 0.2, "text": {"format": form}}


# chat completions ------------------------------------------------------------------------------------


def _chat_tool(name: str, schema: Json = PLAIN_SCHEMA) -> Json:
    return {"type": "function", "function": {"name": name, "description": f"{name}.", "parameters": schema}}


def _opencode_chat(turn: str) -> Json:
    messages: list[Json] = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": ASK}]
    if turn == "second":
        function = {"name": "bash", "arguments": '{"command":"ls"}'}
        call = {"id": "call_a", "type": "function", "function": function}
        messages += [
            {"role": "assistant", "content": "I look.", "reasoning_content": "Look.", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "call_a", "content": RESULT},
        ]
    return {
        "max_tokens": 32_000,
        "reasoning_effort": "medium",
        "messages": messages,
        "tools": [_chat_tool("bash", SCHEMA), _chat_tool("edit", SCHEMA)],
        "tool_choice": "auto",
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def _forced_chat(_: str) -> Json:
    return {
        "messages": [{"role": "user", "content": ASK}],
        "temperature": 0.2,
        "top_p": 0.9,
        "tools": [_chat_tool("bash"), _chat_tool("edit")],
        "tool_choice": {"type": "function", "function": {"name": "edit"}},
    }


def _image_chat(_: str) -> Json:
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
    return {
        "messages": [{"role": "user", "content": [{"type": "text", "text": ASK}, image]}],
        "max_tokens": 500,
    }


# generateContent -------------------------------------------------------------------------------------


def _gemini_cli(turn: str) -> Json:
    contents: list[Json] = [{"role": "user", "parts": [{"text": ASK}]}]
    if turn == "second":
        call = {"id": "shell-1", "name": "run_shell_command", "args": {"command": "ls"}}
        result = {"id": "shell-1", "name": "run_shell_command", "response": {"output": RESULT}}
        contents += [
            {"role": "model", "parts": [{"functionCall": call, "thoughtSignature": SEAL}]},
            {"role": "user", "parts": [{"functionResponse": result}]},
        ]
    declarations = [
        {"name": name, "description": f"{name}.", "parametersJsonSchema": PLAIN_SCHEMA}
        for name in ("run_shell_command", "replace")
    ]
    return {
        "contents": contents,
        "systemInstruction": {"role": "user", "parts": [{"text": SYSTEM}]},
        "tools": [{"functionDeclarations": declarations}],
        "generationConfig": {
            "temperature": 1,
            "topP": 0.95,
            "topK": 64,
            "thinkingConfig": {"includeThoughts": True, "thinkingBudget": 8192},
        },
    }


def _structured_gemini(_: str) -> Json:
    config = {"responseMimeType": "application/json", "responseJsonSchema": STRICT_SCHEMA, "temperature": 0.2}
    return {"contents": [{"role": "user", "parts": [{"text": ASK}]}], "generationConfig": config}


def _forced_gemini(_: str) -> Json:
    declared = [{"name": name, "parametersJsonSchema": PLAIN_SCHEMA} for name in ("bash", "edit")]
    return {
        "contents": [{"role": "user", "parts": [{"text": ASK}]}],
        "tools": [{"functionDeclarations": declared}],
        "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["edit"]}},
    }


_SDK = {"user-agent": "OpenAI/Python 3.54.0"}
_STREAMED, _WHOLE = (
    "/v1beta/models/{model}:streamGenerateContent?alt=sse",
    "/v1beta/models/{model}:generateContent",
)
_GEMINI_CLI = {"user-agent": "GeminiCLI/0.61.0/gemini-2.5-pro (linux; x64)"}
_ANTHROPIC = {"user-agent": "Anthropic/Python 1.17.0", "anthropic-version": "2023-06-01"}
_OPENCODE = {"user-agent": "opencode/1.18.33 ai-sdk/provider-utils/4.0"}

type _Form = tuple[str, str, Mapping[str, str], Callable[[str], Json], tuple[str, ...], str]

_SESSIONS: tuple[_Form, ...] = (
    ("Claude Code", "/v1/messages?beta=true", _CLAUDE_CODE, _adaptive, ("Bash", "Edit"), ""),
    ("Claude Code, manual thinking", "/v1/messages?beta=true", _CLAUDE_CODE, _manual, ("Bash", "Edit"), ""),
    ("Codex", "/v1/responses", _CODEX, _codex, ("exec_command", "update_plan"), ""),
    ("Gemini CLI", _STREAMED, _GEMINI_CLI, _gemini_cli, ("run_shell_command", "replace"), ""),
    ("opencode, chat", "/v1/chat/completions", _OPENCODE, _opencode_chat, ("bash", "edit"), ""),
    (
        "opencode, messages",
        "/v1/messages",
        {**_OPENCODE, **_ANTHROPIC},
        _opencode_messages,
        ("Bash", "Edit"),
        "",
    ),
    ("opencode, responses", "/v1/responses", _OPENCODE, _opencode_responses, ("bash", "edit"), ""),
)
_SINGLE: tuple[_Form, ...] = (
    ("Claude Code, a title", "/v1/messages?beta=true", _CLAUDE_CODE, _title, ("marker_verdict",), ""),
    ("SDK: chat, forced tool", "/v1/chat/completions", _SDK, _forced_chat, (), "edit"),
    ("SDK: chat, image", "/v1/chat/completions", _SDK, _image_chat, (PNG,), ""),
    ("SDK: messages, forced tool", "/v1/messages", _ANTHROPIC, _forced_messages, (), "Edit"),
    ("SDK: responses, structured", "/v1/responses", _SDK, _structured_responses, ("marker_verdict",), ""),
    ("SDK: Gemini, structured", _WHOLE, {"user-agent": "google-genai-sdk/2.8.0"}, _structured_gemini, ("marker_verdict",), ""),
    ("SDK: Gemini, forced tool", _WHOLE, {"user-agent": "google-genai-sdk/2.8.0"}, _forced_gemini, (), "edit"),
)  # fmt: skip


def _all() -> Iterator[AgentRequest]:
    for agent, path, headers, body, arrives, forces in (*_SESSIONS, *_SINGLE):
        for turn in TURNS if (agent, path, headers, body, arrives, forces) in _SESSIONS else TURNS[:1]:
            result = (RESULT,) if turn == "second" else ()
            yield AgentRequest(agent, turn, path, body(turn), headers, (ASK, *result, *arrives), forces)


AGENT_REQUESTS = tuple(_all())
"""First and second turns of sessions, then single requests: seven agents twice, and seven more."""
