"""
Header fields between HTTP/1.1, which the rest of the engine knows, and HTTP/2.

A request has been checked and encoded as HTTP/1.1; here it becomes the fields of HTTP/2. The fields
of a response become a `ResponseHead` with a block of lines, which is checked as one that came as
such: what HTTP/2 carries in binary must not end a line.
"""

from __future__ import annotations

import http
import re
from typing import TypeAlias

from asyncbatch._engine.http11 import (
    MAX_FIELDS,
    MAX_HEAD_BYTES,
    MAX_TRAILER_BYTES,
    InvalidRequest,
    ProtocolError,
    ResponseHead,
    ResponseTooLarge,
    are_field_lines,
    head_too_large,
)

Fields: TypeAlias = tuple[tuple[bytes, bytes], ...]

_MOST_KNOWN = 64
_LONGEST_KNOWN = 8 * 1024

# About one connection only (RFC 9113 §8.2.2), and `Host`, which becomes `:authority`.
_DROPPED = {
    b"connection",
    b"host",
    b"keep-alive",
    b"proxy-connection",
    b"transfer-encoding",
    b"upgrade",
}
_END = b"\r\n\r\n"
_LAST_CHUNK = b"0\r\n\r\n"
_STATUS = re.compile(rb"[2-9][0-9]{2}")
_LENGTH = re.compile(rb"[0-9]{1,18}")
_PHRASES = {status.value: status.phrase.encode("ascii") for status in http.HTTPStatus}


class _Rest:
    """
    What many requests have in common: all of their head after the target.

    Attributes:
        origin: The pseudo-header fields about it.
        fields: Those that are none.
        is_chunked: Whether the body is framed by chunks.
    """

    __slots__ = ("fields", "is_chunked", "origin")

    def __init__(self, lines: list[bytes], scheme: bytes) -> None:
        authority = b""
        self.is_chunked = False
        fields: list[tuple[bytes, bytes]] = []
        for line in lines:
            name, _, value = line.partition(b":")
            name, value = name.lower(), value.strip(b" \t")
            if name == b"host":
                authority = value
            elif name == b"transfer-encoding":
                self.is_chunked = True
            elif name == b"te" and value.lower() != b"trailers":
                raise InvalidRequest("HTTP/2 allows no value of the field 'te' but 'trailers'")
            if name not in _DROPPED:
                fields.append((name, value))
        self.origin: Fields = ((b":scheme", scheme), (b":authority", authority))
        self.fields: Fields = tuple(fields)


class RequestTranslator:
    """
    Translates the requests of one connection.

    Most of them differ only in their targets; what they have in common is translated once.
    """

    __slots__ = ("_rests", "_scheme")

    def __init__(self, *, is_tls: bool) -> None:
        self._scheme = b"https" if is_tls else b"http"
        self._rests: dict[bytes, _Rest] = {}

    def translate(self, payload: bytes) -> tuple[list[tuple[bytes, bytes]], bytes, bool]:
        """
        Translate a request that was encoded by `http11`.

        Args:
            payload: Its head, with or without its body.

        Returns:
            The fields, the body that was in `payload`, and whether a body is framed by chunks.

        Raises:
            InvalidRequest: HTTP/2 does not allow a field.
        """
        method, target, after = payload.split(b" ", 2)
        end = after.index(_END) + len(_END)
        text, body = (after, b"") if end == len(after) else (after[:end], after[end:])
        rest = self._rests.get(text) or self._read(text)
        if rest.is_chunked and body:
            body = unchunked(body)
        fields = [(b":method", method), *rest.origin, (b":path", target), *rest.fields]
        return fields, body, rest.is_chunked

    def _read(self, text: bytes) -> _Rest:
        rest = _Rest(text.removesuffix(_END).split(b"\r\n")[1:], self._scheme)
        if len(text) <= _LONGEST_KNOWN:
            if len(self._rests) >= _MOST_KNOWN:
                self._rests.clear()
            self._rests[text] = rest
        return rest


class HeadReader:
    """
    Makes the heads of one connection's responses.

    Most heads of one second are equal, and such heads are one object.
    """

    __slots__ = ("_fields", "_head")

    def __init__(self) -> None:
        self._head: ResponseHead | None = None
        self._fields: Fields = ()

    def read(self, fields: Fields) -> ResponseHead:
        """
        Return the head of a response.

        Raises:
            ProtocolError: The fields are not those of a final response.
            ResponseTooLarge: They are too long or too many.
        """
        if self._head is not None and fields == self._fields:
            return self._head
        head = _head_of(fields)
        if len(head.block) <= _LONGEST_KNOWN:
            self._head, self._fields = head, fields
        return head


def unchunked(body: bytes) -> bytes:
    """Return the content of a whole body that `http11` has framed by chunks."""
    pieces: list[bytes] = []
    start = 0
    while body[start:] != _LAST_CHUNK:
        end = body.index(b"\r\n", start)
        size = int(body[start:end], 16)
        pieces.append(body[end + 2 : end + 2 + size])
        start = end + 2 + size + 2
    return b"".join(pieces)


def head_size(fields: Fields, before: int = 0) -> int:
    """
    Return the size of the heads of one response so far, as they would be on lines.

    Args:
        fields: Those of the next head.
        before: The size of the heads before it.

    Raises:
        ResponseTooLarge: There are too many fields, or the heads are too long.
    """
    if len(fields) - 1 > MAX_FIELDS:
        raise ResponseTooLarge(f"more than {MAX_FIELDS} header fields", limit=MAX_FIELDS)
    size = before + _size_of(fields)
    if size > MAX_HEAD_BYTES:
        raise head_too_large()
    return size


def trailers_of(fields: Fields) -> Fields:
    """
    Check trailers.

    Raises:
        ProtocolError: They are not valid fields.
        ResponseTooLarge: They are too long or too many.
    """
    if len(fields) > MAX_FIELDS:
        raise ResponseTooLarge(f"more than {MAX_FIELDS} trailer fields", limit=MAX_FIELDS)
    if _size_of(fields) > MAX_TRAILER_BYTES:
        raise head_too_large()
    _lines_of(fields)
    return tuple((name, value) for name, value in fields)


def _size_of(fields: Fields) -> int:
    return sum(len(name) + len(value) + 4 for name, value in fields)


def _head_of(fields: Fields) -> ResponseHead:
    head_size(fields)
    name, status = fields[0] if fields else (b"", b"")
    if name != b":status" or _STATUS.fullmatch(status) is None:
        raise ProtocolError(f"not a final status: {status[:80]!r}")
    lines = _lines_of(fields[1:])
    number = int(status)
    reason = _PHRASES.get(number, b"")
    # In the form of HTTP/1.1, since the rest of the package reads fields from it.
    line = b"HTTP/2 %b %b\r\n" % (status, reason)
    head = ResponseHead(line + lines, b"HTTP/2", number, reason, len(line))
    head.is_persistent = True
    for field, value in fields[1:]:
        if field == b"content-length" and _LENGTH.fullmatch(value):
            head.length = int(value)
        elif field == b"content-encoding":
            head.is_coded = True
    if number in (204, 304):
        head.length = 0
    return head


def _lines_of(fields: Fields) -> bytes:
    lines = b"".join([b"%b: %b\r\n" % field for field in fields])
    # A value with a line end would be two lines, each of them well-formed.
    if lines.count(b"\n") != len(fields) or not are_field_lines(lines):
        raise ProtocolError("malformed header fields")
    return lines
