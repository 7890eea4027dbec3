"""docs/clients.md says what the code does: how names are read, and what is added to lists of models."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from docs.blocks import rows
from litellm_hybrid.config.settings import Address, Patterns, Settings
from litellm_hybrid.routing import requested_model, rewrite, rules
from litellm_hybrid.routing.rewrite import Incoming
from litellm_hybrid.runtime.model_lists import ModelList, is_list

PAGE = (Path(__file__).parents[2] / "docs" / "clients.md").read_text("utf-8")
SETTINGS = Settings(enabled=True, base_url=Address("http", "127.0.0.1", 4000), models=Patterns(["*"]))


@pytest.mark.parametrize(
    ("path", "given", "model", "members"),
    rows(PAGE, "asked at", "the client's name", "is", "LiteLLM's body gets"),
)
def test_how_a_name_is_read(path: str, given: str, model: str, members: str) -> None:
    asked, name = path.strip("`"), given.strip("`")
    request: dict[str, Any] = {"messages": []} if name == "none" else {"model": name, "messages": []}
    body = json.dumps(request).encode()
    named = requested_model.read(asked, "application/json", "", body)
    assert named.model is not None
    litellm_model = rules.name_for_litellm(SETTINGS, named.model, "*")
    assert litellm_model == model.strip("`")
    sent = rewrite.for_litellm(SETTINGS, Incoming(asked, "", (), body), named, litellm_model, "id")
    expected = request | json.loads(members.strip("`")) | ({"model": litellm_model} if name != "none" else {})
    assert json.loads(sent.body) == expected


@pytest.mark.parametrize(
    ("path", "by", "upstreams", "added"),
    rows(PAGE, "list", "asked by", "where upstream lists", "there is also"),
)
def test_what_is_added_to_a_list(path: str, by: str, upstreams: str, added: str) -> None:
    asked = re.findall(r"`([^`?]+)", path)[0]
    assert by
    assert is_list("GET", asked)
    found = ModelList.read(upstreams.strip("`").encode())
    assert found is not None
    merged = found.with_models(["gpt-4.1"])
    if added == "nothing":
        assert merged is None
        return
    assert merged is not None
    lists = [json.loads(text) for text in (upstreams.strip("`"), merged)]
    key = "data" if "data" in lists[0] else "models"
    assert lists[1][key] == [*lists[0][key], json.loads(added.strip("`"))]
