"""
HTTP/1.1 on one side, HTTP/2 on the other: what a gateway makes of requests and responses.

No I/O, and strict: what has no counterpart in HTTP/2 is `Untranslatable`, and is not played there.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable
from typing import TypeAlias, TypeVar

import attrs

Fields: TypeAlias = list[tuple[bytes, bytes]]
T = TypeVar("T")
Reading: TypeAlias = Generator[None, None, T]
"""Stops where bytes are missing."""

_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([1-9][0-9]{2})(?: [^\x00-\x08\x0a-\x1f\x7f]{0,200})?")
# A value may have what no value may have (RFC 9110 §5.5), but not what would not arrive as it is.
_FIELD = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([^\r\n]*)")
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})((?:[ \t]*;[^\x00-\x08\x0a-\x1f\x7f]*)?)[ \t]*")
_LENGTH = re.compile(rb"[0-9]{1,18}")
_LONGEST_CHUNK = 1 << 31
_MOST_EXTENSIONS = 4096
_TRAILING = b" \t"

# About one connection only (RFC 9113 §8.2.2).
_OF_CONNECTION = {
    b"connection",
    b"keep-alive",
    b"proxy-connection",
    b"transfer-encoding",
    b"upgrade",
}

SWITCHING = 101


class Untranslatable(Exception):
    """These bytes say something that HTTP/2 has no words for."""


class EndedEarly(Exception):
    """The connection ended inside a response, or before it."""


@attrs.frozen
class Head:
    """The head of a response, final or not; the trailers, without a status."""

    fields: Fields
    is_end: bool = False


@attrs.frozen
class Content:
    """Bytes of the body."""

    content: bytes


@attrs.frozen
class End:
    """The end of the response, where neither a head nor trailers are."""


Event: TypeAlias = Head | Content | End


class ResponseTranslator:
    """
    Reads the response to one request.

    Args:
        method: The method of the request.

    Attributes:
        is_whole: Whether the response has ended.
    """

    def __init__(self, method: bytes) -> None:
        self._method = method
        self._buffer = b""
        self._left: int | None = None
        self._events: list[Event] = []
        # Whether lines have come of a head, or of trailers, that has not ended.
        self._has_lines = False
        self.is_whole = False
        self._reading = self._read()
        next(self._reading)

    @property
    def is_inside_a_line(self) -> bool:
        """Whether a part of a head, of a line, or of trailers has come."""
        return bool(self._buffer or self._has_lines)

    def receive(self, content: bytes) -> list[Event]:
        """
        Return what the bytes say.

        Raises:
            Untranslatable: HTTP/2 cannot say it.
        """
        self._buffer += content
        next(self._reading, None)
        if self.is_whole and self._buffer:
            raise Untranslatable("bytes behind the response")
        events, self._events = self._events, []
        return events

    def end(self) -> list[Event]:
        """
        Return what the end of the connection says.

        Raises:
            EndedEarly: It is not the end of the response.
        """
        if self.is_whole:
            return []
        if self._left is not None:
            raise EndedEarly
        self.is_whole = True
        return [End()]

    def _read(self) -> Reading[None]:
        self._left = 0
        yield
        while True:
            status, fields = yield from self._head()
            if status == SWITCHING:
                raise Untranslatable("a switch of protocols")
            has_body = status not in (204, 304) and self._method != b"HEAD"
            named = _named(fields)
            self._events.append(Head(_as_http2(status, fields), status >= 200 and not has_body))
            if status >= 200:
                break
        if not has_body:
            self.is_whole = True
        elif b"transfer-encoding" in named:
            yield from self._chunks(named)
        elif b"content-length" in named:
            yield from self._counted(named[b"content-length"])
        else:
            self._left = None
            yield from self._rest()

    def _head(self) -> Reading[tuple[int, Fields]]:
        lines = yield from self._lines()
        if not lines:
            raise Untranslatable("an empty line before the status line")
        first, *lines = lines
        status = _STATUS_LINE.fullmatch(first)
        if status is None:
            raise Untranslatable("a status line")
        return int(status[1]), _fields_of(lines)

    def _lines(self) -> Reading[list[bytes]]:
        lines: list[bytes] = []
        while line := (yield from self._line()):
            lines.append(line)
            self._has_lines = True
        self._has_lines = False
        return lines

    def _line(self) -> Reading[bytes]:
        while b"\r\n" not in self._buffer:
            yield
        line, _, self._buffer = self._buffer.partition(b"\r\n")
        return line

    def _chunks(self, named: dict[bytes, bytes]) -> Reading[None]:
        if named[b"transfer-encoding"].lower() != b"chunked" or b"content-length" in named:
            raise Untranslatable("a transfer coding")
        extensions = 0
        while True:
            size = _SIZE.fullmatch((yield from self._line()))
            if size is None:
                raise Untranslatable("the size of a chunk")
            extensions += len(size[2])
            if extensions > _MOST_EXTENSIONS:
                raise Untranslatable("a limit of chunk extensions")
            length = int(size[1], 16)
            if not length:
                break
            if length > _LONGEST_CHUNK:
                raise Untranslatable("the size of a chunk")
            yield from self._take(length)
            if (yield from self._line()):
                raise Untranslatable("the end of a chunk")
        fields = _lowered(_fields_of((yield from self._lines())))
        self._events.append(Head(fields, is_end=True) if fields else End())
        self.is_whole = True

    def _counted(self, length: bytes) -> Reading[None]:
        if _LENGTH.fullmatch(length) is None:
            raise Untranslatable("a length")
        yield from self._take(int(length))
        self._events.append(End())
        self.is_whole = True

    def _take(self, size: int) -> Reading[None]:
        while size:
            if not self._buffer:
                yield
            piece, self._buffer = self._buffer[:size], self._buffer[size:]
            size -= len(piece)
            if piece:
                self._events.append(Content(piece))

    def _rest(self) -> Reading[None]:
        while True:
            if self._buffer:
                self._events.append(Content(self._buffer))
                self._buffer = b""
            yield


def request_head(fields: Fields, *, has_body: bool) -> bytes:
    """Return the head of a request as HTTP/1.1 has it; a body without a length is chunked."""
    pseudo = {name: value for name, value in fields if name.startswith(b":")}
    lines = [(b"host", pseudo[b":authority"])]
    crumbs: list[bytes] = []
    for name, value in fields:
        if name == b"cookie":
            crumbs.append(value)
            if len(crumbs) == 1:
                lines.append((name, value))
        elif not name.startswith(b":"):
            lines.append((name, value))
    lines = [(n, b"; ".join(crumbs) if n == b"cookie" else v) for n, v in lines]
    if has_body and all(name != b"content-length" for name, _ in lines):
        lines.append((b"transfer-encoding", b"chunked"))
    start = b"%b %b HTTP/1.1\r\n" % (pseudo[b":method"], pseudo[b":path"])
    return start + b"".join(b"%b: %b\r\n" % line for line in lines) + b"\r\n"


def _fields_of(lines: Iterable[bytes]) -> Fields:
    fields: Fields = []
    for line in lines:
        match = _FIELD.fullmatch(line)
        if match is None:
            raise Untranslatable("a field line")
        fields.append((match[1], match[2].rstrip(_TRAILING)))
    return fields


def _named(fields: Fields) -> dict[bytes, bytes]:
    named: dict[bytes, bytes] = {}
    for name, value in fields:
        key = name.lower()
        if key in (b"content-length", b"transfer-encoding") and key in named:
            raise Untranslatable("several lengths")
        named[key] = value
    return named


def _as_http2(status: int, fields: Fields) -> Fields:
    return [(b":status", b"%d" % status), *_lowered(fields)]


def _lowered(fields: Fields) -> Fields:
    lowered = [(name.lower(), value) for name, value in fields]
    return [field for field in lowered if field[0] not in _OF_CONNECTION]
