"""The real SDK clients, each asked one question; used by the tests and the demo.

An `ask_…` function asks through an SDK's own methods and returns an `Answer` with
what only the wire shows: the status, the headers, and when each piece arrived.
The SDKs are imported where they are used: all of them take seconds.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import httpx

CLIENT_KEY = "sk-key-of-the-client"
"""The client's own key: upstream's business, and never LiteLLM's."""

type OnPiece = Callable[[str], None]

QUESTION = "Say who you are."


@dataclass(slots=True)
class Answer:
    """What came back.

    Attributes:
        status: an error status is no exception here.
        pieces: the pieces of text as they arrived; one if the answer was not streamed.
        at: `time.monotonic()` when each piece arrived.
        body: of an error, as it came.
        on_piece: called with each piece as it arrives.
    """

    status: int = 0
    headers: httpx.Headers = field(default_factory=httpx.Headers)
    pieces: list[str] = field(default_factory=list)
    at: list[float] = field(default_factory=list)
    body: str = ""
    on_piece: OnPiece | None = None

    @property
    def text(self) -> str:
        """The whole text."""
        return "".join(self.pieces)

    @property
    def route(self) -> str:
        """The header that says where the request went, without LiteLLM's name for the model."""
        return str(self.headers.get("x-hybrid-route", "")).partition("; model=")[0]

    def add(self, piece: str | None) -> None:
        """Note a piece of text that has just arrived."""
        if piece:
            self.pieces.append(piece)
            self.at.append(time.monotonic())
            if self.on_piece:
                self.on_piece(piece)

    def note(self, response: Any) -> None:
        """Note status and headers, and the body of an error; a response of httpx or of its successor."""
        self.status = response.status_code
        self.headers = httpx.Headers(response.headers.multi_items())
        if response.is_error:
            self.body = response.read().decode()


class Ask(Protocol):
    """`url` is the proxy's, without a path."""

    def __call__(
        self,
        url: str,
        model: str,
        *,
        stream: bool = False,
        key: str = CLIENT_KEY,
        on_piece: OnPiece | None = None,
    ) -> Answer: ...


@contextmanager
def _asking[Http: AbstractContextManager[Any]](
    make: Callable[..., Http], status_error: type[Exception], on_piece: OnPiece | None = None
) -> Iterator[tuple[Answer, Http]]:
    """An empty answer, and an HTTP client of the SDK's own kind that fills in its status and headers."""
    answer = Answer(on_piece=on_piece)
    hooks = {"response": [answer.note]}
    with make(event_hooks=hooks, timeout=60, trust_env=False) as http:
        try:
            yield answer, http
        except status_error:
            if not answer.body:
                raise  # an error inside a stream, not an error status


def ask_chat(
    url: str, model: str, *, stream: bool = False, key: str = CLIENT_KEY, on_piece: OnPiece | None = None
) -> Answer:
    """The openai SDK's `chat.completions.create`."""
    import openai

    with _asking(openai.DefaultHttpxClient, openai.APIStatusError, on_piece) as (answer, http):
        client = openai.OpenAI(base_url=f"{url}/v1", api_key=key, http_client=http, max_retries=0)
        messages: list[openai.types.chat.ChatCompletionMessageParam] = [{"role": "user", "content": QUESTION}]
        if stream:
            for event in client.chat.completions.create(model=model, messages=messages, stream=True):
                answer.add("".join(choice.delta.content or "" for choice in event.choices))
        else:
            done = client.chat.completions.create(model=model, messages=messages)
            answer.add(done.choices[0].message.content)
    return answer


def ask_responses(
    url: str, model: str, *, stream: bool = False, key: str = CLIENT_KEY, on_piece: OnPiece | None = None
) -> Answer:
    """The openai SDK's `responses.create`."""
    import openai

    with _asking(openai.DefaultHttpxClient, openai.APIStatusError, on_piece) as (answer, http):
        client = openai.OpenAI(base_url=f"{url}/v1", api_key=key, http_client=http, max_retries=0)
        if stream:
            for event in client.responses.create(model=model, input=QUESTION, stream=True):
                answer.add(event.delta if event.type == "response.output_text.delta" else None)
        else:
            answer.add(client.responses.create(model=model, input=QUESTION).output_text)
    return answer


def ask_messages(
    url: str, model: str, *, stream: bool = False, key: str = CLIENT_KEY, on_piece: OnPiece | None = None
) -> Answer:
    """The anthropic SDK's `messages.create`, or its `messages.stream`."""
    import anthropic

    with _asking(anthropic.DefaultHttpxClient, anthropic.APIStatusError, on_piece) as (answer, http):
        client = anthropic.Anthropic(base_url=url, api_key=key, http_client=http, max_retries=0)
        messages: list[anthropic.types.MessageParam] = [{"role": "user", "content": QUESTION}]
        if stream:
            with client.messages.stream(model=model, messages=messages, max_tokens=64) as events:
                for text in events.text_stream:
                    answer.add(text)
        else:
            done = client.messages.create(model=model, messages=messages, max_tokens=64)
            answer.add("".join(block.text for block in done.content if block.type == "text"))
    return answer


def ask_count_tokens(url: str, model: str, *, key: str = CLIENT_KEY) -> Answer:
    """The anthropic SDK's `messages.count_tokens`; the text is the number."""
    import anthropic

    with _asking(anthropic.DefaultHttpxClient, anthropic.APIStatusError) as (answer, http):
        client = anthropic.Anthropic(base_url=url, api_key=key, http_client=http, max_retries=0)
        messages: list[anthropic.types.MessageParam] = [{"role": "user", "content": QUESTION}]
        answer.add(str(client.messages.count_tokens(model=model, messages=messages).input_tokens))
    return answer


def ask_gemini(
    url: str,
    model: str,
    *,
    stream: bool = False,
    key: str = CLIENT_KEY,
    on_piece: OnPiece | None = None,
    version: str = "v1beta",
) -> Answer:
    """The google-genai SDK's `generate_content`; `version` is the first part of its path."""
    from google import genai
    from google.genai import errors, types

    with _asking(httpx.Client, errors.APIError, on_piece) as (answer, http):
        options = types.HttpOptions(base_url=url, api_version=version, httpx_client=http)
        client = genai.Client(api_key=key, http_options=options, vertexai=False)
        if stream:
            for chunk in client.models.generate_content_stream(model=model, contents=QUESTION):
                answer.add(chunk.text)
        else:
            answer.add(client.models.generate_content(model=model, contents=QUESTION).text)
    return answer


def ask_gemini_v1(
    url: str, model: str, *, stream: bool = False, key: str = CLIENT_KEY, on_piece: OnPiece | None = None
) -> Answer:
    """The same at `/v1/models/M:verb`, google-genai 3's path."""
    return ask_gemini(url, model, stream=stream, key=key, on_piece=on_piece, version="v1")
