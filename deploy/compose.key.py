# ruff: noqa: INP001 (a program, not a package's module)
"""Makes the key that litellm-hybrid asks LiteLLM with: for models alone, not LiteLLM's administration.

compose.yaml runs it at each start, with the Python of LiteLLM's image; a key that is there stays as it is.
"""

import json
import os
import sys
import urllib.error
import urllib.parse
import urllib.request


def ask(path: str, body: dict[str, object] | None = None) -> None:
    """Ask LiteLLM with its master key."""
    request = urllib.request.Request(  # noqa: S310 (what compose.yaml says)
        os.environ["LITELLM_URL"] + path,
        None if body is None else json.dumps(body).encode(),
        {"Authorization": f"Bearer {os.environ['LITELLM_MASTER_KEY']}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30):  # noqa: S310
        pass


def main() -> int:
    """Make it; 1 if LiteLLM did not."""
    key = os.environ["LITELLM_API_KEY"]
    try:
        try:
            ask(f"/key/info?key={urllib.parse.quote(key)}")
        except urllib.error.HTTPError:
            ask(
                "/key/generate",
                {"key": key, "key_type": "llm_api", "models": os.environ["LITELLM_MODELS"].split()},
            )
    except OSError as e:
        print(f"LiteLLM did not make the key: {e}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
