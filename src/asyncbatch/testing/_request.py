"""
Reader of the loopback server: splits the bytes of a connection into requests.

Sans-IO. The server decides which requests are kept.

The grammar is separate from the client's, which could share its mistakes. It is strict where a
request could be read in two ways. It requires no field, not even `Host`, so that a test can send
any request. h11 is not used: it refuses a request without `Host`, and reads the next request only
after it was given the response as its own events, while this server sends what the script says.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Generator

import attrs
import httpx

MAX_REQUEST = 16 * 1024 * 1024
"""Most bytes of a request, head and body; a larger one is refused."""


@attrs.frozen(kw_only=True)
class RecordedRequest:
    """A request that the server has read to its end."""

    method: str
    target: str
    """The request target as sent, usually path and query."""
    raw_headers: tuple[tuple[bytes, bytes], ...]
    """The header fields as sent, in order."""
    body: bytes
    http_version: str
    """`"1.1"` or `"1.0"`."""
    keep_alive: bool
    """Whether the client accepts another response on this connection."""
    host: int = 1
    """The number of the host that the client connected to: 3 for 127.0.0.3."""
    connection: int = 0
    """The number of the connection, counted over the whole server from 1."""
    time: float = 0.0
    """When the request had arrived, in seconds on the event loop's clock."""

    @property
    def path(self) -> str:
        """Return the target without its query."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        """Return the part of the target after the first `?`."""
        return self.target.partition("?")[2]

    @property
    def headers(self) -> httpx.Headers:
        """Return the header fields, case-insensitive."""
        return httpx.Headers(self.raw_headers)


class BadRequestError(Exception):
    """The client sent a malformed request, or one that is too large."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


# RFC 9112 §3 (request-line) and RFC 9110 §5.6.2 and §5.5 (fields).
_FIELD = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++:[\t\x20-\x7e\x80-\xff]*+\r\n"
_REQUEST_LINE = rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]++) ([\x21-\x7e\x80-\xff]++) HTTP/(1\.[01])\r\n"
_HEAD = re.compile(_REQUEST_LINE + rb"((?:" + _FIELD + rb")*+)")
_FIELDS = re.compile(rb"(?:" + _FIELD + rb")*+")
_SPLIT = re.compile(rb"([^:\r]++):[\t ]*+([^\r]*+)\r\n")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,16})[\t ]*+(?:;[\t\x20-\x7e\x80-\xff]*+)?")
_LENGTH = re.compile(rb"[0-9]{1,18}")
# Bytes that no line may contain: bytes of another protocol are refused before a line ends.
_IMPOSSIBLE = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|(?<!\r)\n|\r(?!\n|\Z)|\n[ \t]")

Fields = tuple[tuple[bytes, bytes], ...]


class RequestReader:
    """Turns the bytes that arrive on one connection into requests."""

    def __init__(self) -> None:
        self.requests: deque[RecordedRequest] = deque()
        """Requests that wait for their answer; the connection takes them from the left."""
        self.wants_continue = False
        """Whether the client waits for a 100 before it sends the body. The reader sets and unsets
        it; the connection unsets it after sending the 100."""
        # Bytes that have arrived and are not read yet.
        self._buffer = bytearray()
        # Bytes of the current request that have been read.
        self._size = 0
        # Stops at each `yield` for more bytes. It ends with a BadRequestError only.
        self._reading = self._read()
        next(self._reading)

    def feed(self, content: bytes) -> None:
        """Read bytes. Those after the last request of a connection are ignored.

        Raises:
            BadRequestError: If they are not HTTP, or the request is larger than `MAX_REQUEST`.
        """
        self._buffer += content
        next(self._reading)

    def _read(self) -> Generator[None]:
        while (yield from self._read_request()):
            pass
        while True:
            self._buffer.clear()
            yield

    def _read_request(self) -> Generator[None, None, bool]:
        """Read one request, and return whether another may follow."""
        self._size = 0
        yield from self._skip_empty_lines()
        block = yield from self._line(b"\r\n\r\n")
        head = _HEAD.fullmatch(block + b"\r\n")
        if head is None:
            raise _malformed("request head", block)
        method, target, version, lines = head.groups()
        fields = _split(lines)
        named = _by_name(fields)
        self.wants_continue = named.get(b"expect", b"").lower() == b"100-continue"
        body, trailers = yield from self._read_body(named, method)
        self.wants_continue = False
        request = RecordedRequest(
            method=method.decode(),
            target=target.decode("latin-1"),
            raw_headers=fields + trailers,
            body=body,
            http_version=version.decode(),
            keep_alive=_keeps_connection(named, method, version),
        )
        self.requests.append(request)
        return request.keep_alive

    def _skip_empty_lines(self) -> Generator[None]:
        # Some clients send a line end after a body (RFC 9112 §2.2).
        while not self._buffer or self._buffer.startswith(b"\r"):
            if self._buffer.startswith(b"\r\n"):
                self._take_bytes(2)
            elif len(self._buffer) > 1:
                raise _malformed("request", self._buffer)
            else:
                yield from self._more()

    def _read_body(
        self, named: dict[bytes, bytes], method: bytes
    ) -> Generator[None, None, tuple[bytes, Fields]]:
        """Read the body as RFC 9112 §6.3 frames it, and the trailers."""
        length = named.get(b"content-length")
        coding = named.get(b"transfer-encoding")
        if method == b"CONNECT" or length is coding is None:
            return b"", ()
        if length is None and coding is not None and coding.lower() == b"chunked":
            return (yield from self._read_chunks())
        if length is None or coding is not None or _LENGTH.fullmatch(length) is None:
            raise BadRequestError(400, "malformed framing of the body")
        return (yield from self._exactly(int(length))), ()

    def _read_chunks(self) -> Generator[None, None, tuple[bytes, Fields]]:
        chunks: list[bytes] = []
        while True:
            line = yield from self._line(b"\r\n")
            match = _CHUNK.fullmatch(line)
            if match is None:
                raise _malformed("chunk size", line)
            size = int(match[1], 16)
            if not size:
                break
            chunks.append((yield from self._exactly(size)))
            if (end := (yield from self._exactly(2))) != b"\r\n":
                raise _malformed("end of a chunk", end)
        trailers = b""
        while line := (yield from self._line(b"\r\n")):
            trailers += line + b"\r\n"
        if _FIELDS.fullmatch(trailers) is None:
            raise _malformed("trailer", trailers)
        return b"".join(chunks), _split(trailers)

    def _line(self, end: bytes) -> Generator[None, None, bytes]:
        """Read up to `end`, and return the part before it."""
        seen = 0
        while (length := self._buffer.find(end, max(0, seen - len(end) + 1))) < 0:
            # Two bytes back, so that a line end in two pieces is seen whole.
            if _IMPOSSIBLE.search(self._buffer, max(0, seen - 2)) is not None:
                raise _malformed("request", self._buffer)
            seen = len(self._buffer)
            yield from self._more()
        line = self._take_bytes(length)
        self._take_bytes(len(end))
        return line

    def _exactly(self, length: int) -> Generator[None, None, bytes]:
        while len(self._buffer) < length:
            yield from self._more()
        return self._take_bytes(length)

    def _more(self) -> Generator[None]:
        """Wait for more bytes of the current request."""
        if self._size + len(self._buffer) > MAX_REQUEST:
            raise BadRequestError(413, f"request above {MAX_REQUEST} bytes")
        yield

    def _take_bytes(self, length: int) -> bytes:
        taken = bytes(self._buffer[:length])
        del self._buffer[:length]
        self._size += length
        return taken


def _malformed(what: str, content: bytes | bytearray) -> BadRequestError:
    return BadRequestError(400, f"malformed {what}: {bytes(content[:40])!r}")


def _split(lines: bytes) -> Fields:
    return tuple((name, value.rstrip(b"\t ")) for name, value in _SPLIT.findall(lines))


def _by_name(fields: Fields) -> dict[bytes, bytes]:
    """Return the values by name, in lower case; values of one name are joined by commas."""
    named: dict[bytes, bytes] = {}
    for name, value in fields:
        key = name.lower()
        named[key] = named[key] + b"," + value if key in named else value
    return named


def _keeps_connection(named: dict[bytes, bytes], method: bytes, version: bytes) -> bool:
    """Whether another request may follow (RFC 9112 §9.3)."""
    # CONNECT and Upgrade are answered like any other request, in HTTP/1.1.
    if method == b"CONNECT":
        return False
    if b"connection" not in named:
        return version == b"1.1"
    options = {option.strip(b"\t ") for option in named[b"connection"].lower().split(b",")}
    if b"close" in options or (b"upgrade" in options and b"upgrade" in named):
        return False
    return version == b"1.1" or b"keep-alive" in options
