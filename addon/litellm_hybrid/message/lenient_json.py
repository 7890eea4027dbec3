"""JSON that others wrote: whatever it holds, reading it raises nothing."""

import msgspec


def decode(text: str | bytes) -> object:
    """The JSON value, or None where the text is no JSON, nested too deeply, or `null`."""
    try:
        return msgspec.json.decode(text)
    except (ValueError, RecursionError):
        return None
