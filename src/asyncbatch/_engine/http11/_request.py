"""
Encoder of request heads: method, target and fields to bytes.

No part from outside may end a line, a field or the head: each part is matched against its grammar
(RFC 9110 §5.6.2, §5.5; RFC 9112 §3), rather than searched for forbidden characters.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from asyncbatch._values._fields import TCHAR_BYTES, TOKEN_BYTES, VALUE_BYTES

from ._errors import InvalidRequest

IDEMPOTENT_METHODS = frozenset({b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE", b"TRACE"})
"""Methods with the same effect if sent twice (RFC 9110 §9.2.2)."""

_TARGET = re.compile(rb"[\x21-\x7e]++")
_DIGITS = re.compile(rb"[0-9]{1,18}")
_REQUEST_LINE = re.compile(TCHAR_BYTES + rb"++ [\x21-\x7e]++ HTTP/1\.1\r\n")

_MEANINGFUL = frozenset({"host", "content-length", "transfer-encoding", "connection", "upgrade"})
# The names that have passed the check, as they were spelt, since requests have the same few: in
# lower case if they say something about the body, the host or the connection, otherwise "".
_MAX_NAMES, _MAX_NAME = 1_000, 64
_checked_names: dict[bytes, str] = {}


class RequestFields:
    """
    Header fields that passed every check, encoded once for many requests.

    Attributes:
        block: the field lines and the empty line.
        length: the declared length of the body, or None.
        is_chunked: whether the body is framed by chunks.
        closes: whether the request asks for the connection to be closed.
        upgrades: whether the request asks for another protocol.
    """

    __slots__ = ("block", "closes", "is_chunked", "length", "upgrades")

    def __init__(self) -> None:
        self.block = b"\r\n"
        self.length: int | None = None
        self.is_chunked = False
        self.closes = False
        self.upgrades = False

    def without_host(self) -> RequestFields:
        """Return the same fields without the `Host` that they begin with."""
        return self._with(self.block.partition(b"\r\n")[2])

    def with_host(self, host: bytes) -> RequestFields:
        """
        Return the same fields, which have no `Host`, after a `Host` field.

        Raises:
            InvalidRequest: the host contains a control character.
        """
        if VALUE_BYTES.fullmatch(host) is None:
            raise InvalidRequest("the value of the field 'host' holds a control character")
        return self._with(b"Host: %b\r\n%b" % (host, self.block))

    def _with(self, block: bytes) -> RequestFields:
        other = RequestFields()
        other.block = block
        other.length = self.length
        other.is_chunked = self.is_chunked
        other.closes = self.closes
        other.upgrades = self.upgrades
        return other


def encode_request_line(method: bytes, target: bytes) -> bytes:
    """
    Encode the request line.

    Raises:
        InvalidRequest: the method is not a token, or the target is not visible ASCII.
    """
    line = b"%b %b HTTP/1.1\r\n" % (method, target)
    # Neither a token nor a target can contain a space, so the whole line is unambiguous.
    if _REQUEST_LINE.fullmatch(line) is None:
        if TOKEN_BYTES.fullmatch(method) is None:
            raise InvalidRequest(f"not a method: {method[:80]!r}")
        raise InvalidRequest(f"not a request target: {target[:80]!r}")
    return line


def encode_fields(fields: Iterable[tuple[bytes, bytes]]) -> RequestFields:
    """
    Check and encode header fields.

    Raises:
        InvalidRequest: a name is not a token, a value contains a control character other than a
            tab, or the fields contradict one another about the body or the host.
    """
    encoded = RequestFields()
    fields = list(fields)
    lines = [b"%b: %b\r\n" % field for field in fields]
    host: bytes | None = None
    for name, value in fields:
        meaning = _checked_names.get(name)
        if meaning is None:
            meaning = _checked(name)
        if not meaning:
            continue
        if meaning != "host":
            _note_meaning(encoded, meaning, value)
        elif host is None:
            host = b"%b: %b\r\n" % (name, value)
        else:
            raise InvalidRequest("more than one Host field")
    # All values in one look.
    if VALUE_BYTES.fullmatch(b"".join([value for _, value in fields])) is None:
        name = next(name for name, value in fields if VALUE_BYTES.fullmatch(value) is None)
        # The value may be a credential, so it is not shown.
        shown = name.decode("ascii").lower()
        raise InvalidRequest(f"the value of the field {shown!r} holds a control character")
    if encoded.is_chunked and encoded.length is not None:
        raise InvalidRequest("both Transfer-Encoding and Content-Length")
    if host is not None and lines[0] != host:
        # Before the others, in any order of the caller's (RFC 9110 §7.2).
        lines.remove(host)
        lines.insert(0, host)
    lines.append(b"\r\n")
    encoded.block = b"".join(lines)
    return encoded


def _checked(name: bytes) -> str:
    """Check a name, and return it in lower case if it has a meaning here; otherwise ""."""
    if TOKEN_BYTES.fullmatch(name) is None:
        raise InvalidRequest(f"not a field name: {name[:80]!r}")
    lower = name.decode("ascii").lower()
    meaning = lower if lower in _MEANINGFUL else ""
    if len(_checked_names) < _MAX_NAMES and len(name) <= _MAX_NAME:
        _checked_names[name] = meaning
    return meaning


def _note_meaning(encoded: RequestFields, name: str, value: bytes) -> None:
    if name == "content-length":
        if encoded.length is not None or _DIGITS.fullmatch(value.strip(b" \t")) is None:
            raise InvalidRequest("a Content-Length that is repeated or not a number")
        encoded.length = int(value)
    elif name == "transfer-encoding":
        if encoded.is_chunked or value.strip(b" \t").lower() != b"chunked":
            raise InvalidRequest("a Transfer-Encoding other than one 'chunked'")
        encoded.is_chunked = True
    elif name == "connection":
        options = [option.strip(b" \t") for option in value.lower().split(b",")]
        encoded.closes = encoded.closes or b"close" in options
    else:
        encoded.upgrades = True


def encode_chunk(content: bytes) -> bytes:
    """Frame one piece of a chunked body; an empty piece, which would end it, gives no bytes."""
    return b"%x\r\n%b\r\n" % (len(content), content) if content else b""


LAST_CHUNK = b"0\r\n\r\n"
"""The end of a chunked body without trailers."""
