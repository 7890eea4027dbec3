"""A request to one of the four APIs as a conversation that people can read."""

from litellm_hybrid.llm.transcript import apis as view_apis
from litellm_hybrid.llm.transcript import render as view_layout
from litellm_hybrid.llm.transcript.json_values import decode, members
from litellm_hybrid.routing.paths import model_path


def show(path: str, body: bytes) -> str | None:
    """The conversation as text; None if this is no such request.

    Args:
        path: the request's, with or without its query.
        body: without its content coding.
    """
    api = view_apis.of_path(path)
    if api is None:
        return None
    try:
        asked = api.conversation(members(decode(body)))
        if asked is None:
            return None
        # Gemini's paths say what the bodies of the others do.
        bare = path.partition("?")[0]
        named = model_path(bare)
        model = asked.model or (named.model if named else "")
        streams = "streamGenerateContent" in bare if asked.streams is None else asked.streams
        return view_layout.conversation(api.name, asked, model=model, streams=streams)
    except RecursionError:
        return None
