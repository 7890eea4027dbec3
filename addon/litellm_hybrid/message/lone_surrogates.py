r"""Half a character in JSON: a lone surrogate (`\ud83d`), where JavaScript cut a text off.

Clients send them and CLIProxyAPI serves them; msgspec and LiteLLM refuse a body that has one. Such a body is
read and edited with something else in their place, and what is not edited is written back as it came.
"""

import re
from secrets import token_hex

_MOST_ESCAPES = 1_000_000
"""More backslashes than this in a body with lone surrogates, and it is not read."""

MOST_LONE = 20_000
"""As many lone surrogates as this and a body is not read: a client leaves one where it cuts a text off."""

# Up to the next lone surrogate, over whatever is none: other escapes, `\\\\` above all, and pairs, which are
# characters. Replaced by a template, without a call for each: a megabyte has 170,000 of them.
_SURROGATE = rb"u[dD](?:[89a-fA-F][0-9a-fA-F]{2})"
_PAIR = rb"u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_LONE = re.compile(
    rb"((?:[^\\]++|\\(?!" + _SURROGATE + rb").|\\" + _PAIR + rb")*+)\\u([dD][0-9a-fA-F]{3})", re.DOTALL
)
_STOP = b"  \\ud800"
"""Put behind what is searched: without an end to find, each byte would be searched from anew."""
_MAYBE_LONE = re.compile(rb"\\u[dD][89a-fA-F]")


class TooManyError(ValueError):
    """The body has too many of them, or of other escapes beside one."""


def readable(data: bytes) -> bytes:
    r"""`data` with every lone surrogate (`\ud83d`) written as U+FFFD, which takes as many bytes.

    Raises:
        TooManyError: see the class.
    """
    return _with_lone(data, b"\\1\\\\ufffd")[: len(data)]


def masked(data: bytes) -> tuple[bytes, bytes]:
    """`data` with every lone surrogate written as a mark and its digits, and the mark (see `unmasked`).

    Raises:
        TooManyError: see the class.
    """
    mark = f"lone-surrogate-{token_hex(16)}-".encode()
    changed = _with_lone(data, b"\\1" + mark + b"\\2")
    return changed.removesuffix(b"  " + mark + b"d800"), mark


def _with_lone(data: bytes, template: bytes) -> bytes:
    """`data` and `_STOP` with every lone surrogate's escape replaced; a pair of them is a character."""
    if not _MAYBE_LONE.search(data):
        return data
    if len(data) > _MOST_ESCAPES and data.count(b"\\") > _MOST_ESCAPES:
        raise TooManyError("a body with characters cut in two has too many escapes")
    changed, many = _LONE.subn(template, data + _STOP, MOST_LONE + 1)
    if many > MOST_LONE:
        raise TooManyError("the body has too many characters cut in two")
    return changed


def unmasked(data: bytes, mark: bytes) -> bytes:
    """The reverse of `masked`."""
    return re.sub(re.escape(mark) + rb"([0-9a-fA-F]{4})", rb"\\u\1", data)
