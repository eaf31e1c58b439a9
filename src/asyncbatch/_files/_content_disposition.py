"""
Parser of `Content-Disposition`, by which a server names a file (RFC 6266, RFC 8187).

Valid fields are read by the grammar, and the invalid ones that servers send as browsers read them.
The name is returned as the server wrote it; `_names` makes it safe.
"""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

# Words without a value are passed over, the type among them, and strings in quotes.
_JUNK = re.compile(rb'(?:[ \t;,=]|"(?:\\.|[^"\\])*+"?)*+', re.DOTALL)
# The parameter's name, with the blanks around "=" that RFC 2616 allowed.
_NAME = re.compile(rb"([^=;, \t\"]+)[ \t]*(=?)[ \t]*")
# A value ends with a semicolon, or where a second field was joined to the first (RFC 9110 §5.3).
_END = rb"(?=;|,[ \t]*+(?:attachment|inline|filename\*?)[ \t]*(?:[;=]|\Z)|\Z)"
# A quote ends the value only at its end: `"a "b" c"` is sent without escapes.
_QUOTED = re.compile(rb'"((?:\\.|[^\\])*?)"[ \t]*+' + _END, re.DOTALL | re.IGNORECASE)
_QUOTED_THEN_JUNK = re.compile(rb'"((?:\\.|[^"\\])*+)"[^;]*', re.DOTALL)
_BARE = re.compile(rb'"?([^;]*?)' + _END, re.IGNORECASE)
_ESCAPE = re.compile(rb"\\(.)", re.DOTALL)
# `C:\dir\x`, sent by old servers without escapes: its backslashes are separators.
_WINDOWS_PATH = re.compile(rb"[A-Za-z]:\\[^\\\"]")

_EXTENDED = re.compile(rb"(?i:(utf-8)|iso-8859-1)'[^']*'(.*)", re.DOTALL)
_BROKEN_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")


def filename_of(value: bytes) -> str | None:
    """
    Return the file name in a `Content-Disposition`, as the server wrote it.

    `filename*` counts before `filename`, if it can be read (RFC 6266 §4.3). Of equal parameters the
    first counts. Percent-escapes in `filename` and encoded words (RFC 2047) are part of the name.

    Args:
        value: The field's value, as received.

    Returns:
        The name, which may hold anything; `None` if there is none, or an empty one.
    """
    found = dict(reversed(_parameters(value)))
    return _extended(found.get(b"filename*", b"")) or _text(found.get(b"filename", b"")) or None


def _parameters(value: bytes) -> list[tuple[bytes, bytes]]:
    """Return the parameters in their order; the type, and words without a value, are left out."""
    parameters = []
    position = 0
    while name := _NAME.match(value, _after_junk(value, position)):
        position = name.end()
        if name[2]:
            text, position = _parameter_value(value, position)
            parameters.append((name[1].lower(), text))
    return parameters


def _after_junk(value: bytes, position: int) -> int:
    junk = _JUNK.match(value, position)
    assert junk is not None
    return junk.end()


def _parameter_value(value: bytes, position: int) -> tuple[bytes, int]:
    """Return the value that begins at `position`, and where it ends."""
    quoted = _QUOTED.match(value, position) or _QUOTED_THEN_JUNK.match(value, position)
    if quoted is None:
        bare = _BARE.match(value, position)
        assert bare is not None
        return bare[1].strip(b" \t"), bare.end()
    text = quoted[1]
    if _WINDOWS_PATH.match(text) is None:
        text = _ESCAPE.sub(rb"\1", text)
    return text, quoted.end()


def _extended(value: bytes) -> str | None:
    """Decode a value of RFC 8187; `None` if its charset or its escapes are none that count."""
    found = _EXTENDED.fullmatch(value)
    if found is None or _BROKEN_ESCAPE.search(value):
        return None
    decoded = unquote_to_bytes(found[2])
    if found[1] is None:
        return decoded.decode("iso-8859-1")
    try:
        return decoded.decode()
    except UnicodeDecodeError:
        return None


def _text(value: bytes) -> str:
    """Decode a plain value: RFC 9110 §5.5 says ISO-8859-1, and servers send UTF-8."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("iso-8859-1")
