"""Which model does a request name? A path with a `:verb` first, then JSON body, form field, any other path.

The rules are those of CLIProxyAPI's handlers: the path's model for Gemini and
Vertex shapes, whatever the body says; the member `model` of a JSON body,
whatever its Content-Type says; the field `model` of a form; the path for other
shapes. A `model` that is not a non-blank string counts as absent. Go's decoder
also took other spellings of the key (`Model`); this one does not.
"""

import re
from dataclasses import dataclass, field
from functools import cached_property

from litellm_hybrid.message import forms, json
from litellm_hybrid.message.decoders import MAX_DECODED, TooLongError, UndecodableError, decode
from litellm_hybrid.message.json import Members, NotJSONError
from litellm_hybrid.routing import paths
from litellm_hybrid.routing.paths import Api, identify_api
from litellm_hybrid.routing.stored_state import continues_stored, refers_to_stored

_DECIDING = ("model", "agent")
"""The members that decide where a request goes."""

_CONTINUES = "previous_response_id"

_SEARCHED_MAX = 256 * 1024
"""The longest body, in bytes, whose turns are searched before a failure asks for it."""

# How CLIProxyAPI since 7.2 lists other providers' models to Anthropic clients, and reads them on their paths.
_DISGUISED = re.compile(
    r"claude-fable-5-dd-(?P<reversed>[^\[(]+)(?P<suffix>(?:\[1m\])?\s*(?:\([^()]*\))?)", re.IGNORECASE
)


@dataclass(frozen=True)
class Named:
    """What a request says about its model.

    Attributes:
        model: the name as the client spelt it, a disguised one as it was before; None: it names none.
        where: "json", "form", "path" or "".
        content: the body without its content coding, and in strict JSON where it was not (see
            `Members.irregular`); None: it could not be read.
        members: of a body in JSON: it is read only once.
        problem: why the body could not be read, for people; "" if it could.
        too_long: the body was not read because it is too long.
        agent: an `agent` stands in the JSON body.
        continues: the id of the stored response that it continues, or "".
    """

    model: str | None = None
    where: str = ""
    content: bytes | None = b""
    members: Members | None = field(default=None, repr=False, compare=False)
    problem: str = ""
    too_long: bool = False
    agent: bool = False
    continues: str = ""

    @cached_property
    def stateful(self) -> bool:
        """Whether the request relies on what one server has stored (`previous_response_id`, files …).

        All of its turns are searched for that.
        """
        members = self.members
        return members is not None and (
            continues_stored(members) or refers_to_stored(self.content or b"", members)
        )

    @property
    def seen_stateful(self) -> bool:
        """As `stateful`, as far as it can be seen at once: a long body's turns are not searched."""
        if len(self.content or b"") > _SEARCHED_MAX:
            return self.members is not None and continues_stored(self.members)
        return self.stateful


def read(
    path: str, content_type: str, content_encoding: str, body: bytes, *, limit: int = MAX_DECODED
) -> Named:
    """What a request with this path (no query) and this raw body says about its model.

    `limit`: the longest body, in bytes and decoded, that is read.
    """
    try:
        content = _decoded(body, content_encoding, limit)
        members = _members(content, content_type)
        found, where = (members.strings(*_DECIDING), "json") if members else _in_form(content, content_type)
    except ValueError as e:
        return Named(content=None, problem=str(e), too_long=isinstance(e, TooLongError))
    in_path = paths.model_path(path)
    model = found.get("model")
    if model is not None and identify_api(path) is Api.MESSAGES:
        model = undisguised(model)
    if in_path is not None and (model is None or in_path.verb):
        model, where = in_path.model, "path"
    return Named(
        model=model,
        where=where if model else "",
        content=members.joined() if members and members.irregular else content,
        members=members,
        agent="agent" in found,
        continues=members.strings(_CONTINUES).get(_CONTINUES, "") if members else "",
    )


def undisguised(model: str) -> str:
    """Return the name behind a disguised one, any other as it is: `claude-fable-5-dd-5.5-tpg` is gpt-5.5."""
    found = _DISGUISED.fullmatch(model.strip())
    return found["reversed"][::-1] + found["suffix"] if found else model


def is_disguised(model: str) -> bool:
    """Whether a name is another's, reversed."""
    return _DISGUISED.fullmatch(model.strip()) is not None


def disguised(model: str) -> str:
    """Return the name under which Claude Code's picker shows a model: it takes only what begins so."""
    plain = model.startswith("claude-") or any(mark in model for mark in "[(")
    return model if plain else f"claude-fable-5-dd-{model[::-1]}"


def _decoded(body: bytes, content_encoding: str, limit: int) -> bytes:
    """The body without its content coding; as it is where that is plainly wrong, as CLIProxyAPI reads it."""
    try:
        return decode(body, content_encoding, limit=limit)
    except TooLongError:
        raise
    except UndecodableError:
        if body.lstrip().startswith(b"{"):
            return body
        raise


def _members(content: bytes, content_type: str) -> Members | None:
    """Those of a body in JSON, "whatever the content type says"; None: it is blank, or a form."""
    if not content or content.isspace():
        return None
    try:
        return json.read(content)
    except NotJSONError:
        if forms.is_form(content_type):
            return None
        raise


def _in_form(content: bytes, content_type: str) -> tuple[dict[str, str], str]:
    if not forms.is_form(content_type) or not content or content.isspace():
        return {}, ""
    found = forms.find_field(content, content_type, "model")
    return ({"model": found.value} if found else {}), "form"
