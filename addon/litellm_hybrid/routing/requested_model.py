"""Which model does a request name? JSON body first, then form field, then path.

The rules are those of CLIProxyAPI's handlers: the member `model` of a JSON
body whatever its Content-Type says, the field `model` of a form, the path for
Gemini, Vertex and Azure shapes. A `model` that is not a non-blank string counts
as absent. Go's decoder also took other spellings of the key (`Model`); this
one does not.
"""

from dataclasses import dataclass, field

from litellm_hybrid.message import forms
from litellm_hybrid.message import json_members as json_body
from litellm_hybrid.message.decoders import TooLongError, UndecodableError, decode
from litellm_hybrid.message.json_members import Members
from litellm_hybrid.routing import paths


@dataclass(frozen=True, slots=True)
class Named:
    """What a request says about its model.

    Attributes:
        model: the name as the client spelt it; None: it names none.
        where: "json", "form", "path" or "".
        content: the body without its content coding; None: it could not be read.
        members: of a body in JSON: it is read only once.
        problem: why the body could not be read, for people; "" if it could.
        too_long: the body was not read because it is too long.
        agent: an `agent` stands in the JSON body.
        stateful: the request continues a response that one server has stored (`previous_response_id`).
    """

    model: str | None = None
    where: str = ""
    content: bytes | None = b""
    members: Members | None = field(default=None, repr=False, compare=False)
    problem: str = ""
    too_long: bool = False
    agent: bool = False
    stateful: bool = False


def read(path: str, content_type: str, content_encoding: str, body: bytes) -> Named:
    """What a request with this path (no query) and this raw body says about its model."""
    try:
        content = decode(body, content_encoding)
        members = _members(content, content_type)
        found, where = (json_body.strings(members), "json") if members else _in_form(content, content_type)
    except (UndecodableError, json_body.NotJSONError, ValueError) as e:
        return Named(content=None, problem=str(e), too_long=isinstance(e, TooLongError))
    model = found.get("model")
    if model is None and (in_path := paths.model_path(path)) is not None:
        model, where = in_path.model, "path"
    return Named(
        model=model,
        where=where if model else "",
        content=content,
        members=members,
        agent="agent" in found,
        stateful="previous_response_id" in found,
    )


def _members(content: bytes, content_type: str) -> Members | None:
    """Those of a body in JSON, "whatever the content type says"; None: it is blank, or a form."""
    if not content or content.isspace():
        return None
    try:
        return json_body.read(content)
    except json_body.NotJSONError:
        if forms.is_form(content_type):
            return None
        raise


def _in_form(content: bytes, content_type: str) -> tuple[dict[str, str], str]:
    if not forms.is_form(content_type) or not content or content.isspace():
        return {}, ""
    found = forms.find_field(content, content_type, "model")
    return ({"model": found.value} if found else {}), "form"
