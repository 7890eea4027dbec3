"""Which model does a request name? JSON body first, then form field, then path.

The rules are those of CLIProxyAPI's handlers: the member `model` of a JSON
body whatever its Content-Type says, the field `model` of a form, the path for
Gemini, Vertex and Azure shapes. A `model` that is not a non-blank string counts
as absent. Go's decoder also took other spellings of the key (`Model`); this
one does not.
"""

from dataclasses import dataclass

from litellm_hybrid import forms, json_body, paths
from litellm_hybrid.content_coding import TooLongError, UndecodableError, decode


@dataclass(frozen=True, slots=True)
class Named:
    """What a request says about its model.

    Attributes:
        model: the name as the client spelt it; None: it names none.
        where: "json", "form", "path" or "".
        content: the body without its content coding; None: it could not be read.
        problem: why the body could not be read, for people; "" if it could.
        too_long: the body was not read because it is too long.
        agent: an `agent` stands in the JSON body.
        stateful: the request continues a response that one server has stored (`previous_response_id`).
    """

    model: str | None = None
    where: str = ""
    content: bytes | None = b""
    problem: str = ""
    too_long: bool = False
    agent: bool = False
    stateful: bool = False


def read(path: str, content_type: str, content_encoding: str, body: bytes) -> Named:
    """What a request with this path (no query) and this raw body says about its model."""
    try:
        content = decode(body, content_encoding)
        members, where = _from_body(content, content_type)
    except (UndecodableError, json_body.NotJSONError, ValueError) as e:
        return Named(content=None, problem=str(e), too_long=isinstance(e, TooLongError))
    model = members.get("model")
    if model is None and (in_path := paths.model_path(path)) is not None:
        model, where = in_path.model, "path"
    return Named(
        model=model,
        where=where if model else "",
        content=content,
        agent="agent" in members,
        stateful="previous_response_id" in members,
    )


def _from_body(content: bytes, content_type: str) -> tuple[dict[str, str], str]:
    if not content.strip():
        return {}, ""
    if not forms.is_form(content_type):
        return json_body.read_strings(content), "json"
    try:  # "whatever the content type says": a JSON body under a form's type is still JSON
        return json_body.read_strings(content), "json"
    except json_body.NotJSONError:
        field = forms.find_field(content, content_type, "model")
        return ({"model": field.value} if field else {}), "form"
