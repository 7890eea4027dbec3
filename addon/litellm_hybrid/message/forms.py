"""Read and change one field of a form body, `multipart/form-data` or urlencoded.

Audio and image requests carry their model this way, beside files of many
megabytes: the field is found by its offsets and the rest is never copied
but once.
"""

from dataclasses import dataclass
from email.message import Message
from email.parser import BytesHeaderParser
from urllib.parse import quote_plus, unquote_plus

_MAX_PARTS = 1000
"""More parts, or fields, than this and the rest is not searched."""

_MAX_HEAD = 1024
"""A Content-Type or a part's head longer than this, in bytes, is not parsed: the parser is quadratic."""

_header_parser = BytesHeaderParser()


@dataclass(frozen=True, slots=True)
class Field:
    """A form field: its value, and the offsets of its encoded value in the body."""

    value: str
    start: int
    end: int
    urlencoded: bool

    def replace(self, body: bytes, value: str) -> bytes:
        """`body` with this field's value replaced and everything else as it was."""
        encoded = (quote_plus(value) if self.urlencoded else value).encode()
        return body[: self.start] + encoded + body[self.end :]


def is_form(content_type: str) -> bool:
    """Whether a Content-Type value says that the body is a form."""
    kind = content_type.partition(";")[0].strip().lower()
    return kind in {"multipart/form-data", "application/x-www-form-urlencoded"}


def find_field(body: bytes, content_type: str, name: str) -> Field | None:
    """The last non-blank text field of that name, or None.

    Raises:
        ValueError: a multipart body without a usable boundary, or one that never closes.
    """
    if len(content_type) > _MAX_HEAD:
        raise ValueError("the Content-Type is too long")
    header = Message()
    header["content-type"] = content_type
    if header.get_content_type() == "application/x-www-form-urlencoded":
        return _find_urlencoded(body, name)
    try:
        boundary = header.get_boundary()
    except TypeError as e:
        raise ValueError("the Content-Type's parameters are malformed") from e
    if not boundary:
        raise ValueError("a multipart body without a boundary")
    return _find_multipart(body, boundary.encode("utf-8", "surrogateescape"), name)


def _find_urlencoded(body: bytes, name: str) -> Field | None:
    found, start = None, 0
    for pair in body.split(b"&", _MAX_PARTS)[:_MAX_PARTS]:
        key, equals, value = pair.partition(b"=")
        end = start + len(pair)
        if equals and _unquote(key) == name and _unquote(value).strip():
            found = Field(_unquote(value), end - len(value), end, urlencoded=True)
        start = end + 1
    return found


def _unquote(text: bytes) -> str:
    return unquote_plus(text.decode("utf-8", "replace"))


def _find_multipart(body: bytes, boundary: bytes, name: str) -> Field | None:
    # RFC 2046, 5.1.1: a delimiter stands at the start of a line.
    delimiter = b"--" + boundary
    at = 0 if body.startswith(delimiter) else body.find(b"\r\n" + delimiter) + 2
    if at == 1:
        raise ValueError("the multipart boundary is not in the body")
    found = None
    for _ in range(_MAX_PARTS):
        start = at + len(delimiter)
        if body.startswith(b"--", start):
            return found
        end = body.find(b"\r\n" + delimiter, start)
        if end == -1:
            raise ValueError("the multipart body has no end")
        head_end = body.find(b"\r\n\r\n", start, end)
        if head_end != -1 and _field_name(body[start:head_end].lstrip()) == name:
            value = body[head_end + 4 : end].decode("utf-8", "replace")
            found = Field(value, head_end + 4, end, urlencoded=False) if value.strip() else found
        at = end + 2
    return found


def _field_name(head: bytes) -> str | None:
    if len(head) > _MAX_HEAD:
        return None
    part = _header_parser.parsebytes(head)
    try:
        if part.get_param("filename", header="content-disposition") is not None:
            return None
        name = part.get_param("name", header="content-disposition")
    except TypeError:  # Python's, of parameters whose parts are numbered (RFC 2231) and are not, `a*; a*0`
        return None
    return name if isinstance(name, str) else None
