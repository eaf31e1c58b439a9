"""
What the loopback server reads: the bytes of a connection, split into requests.

Sans-IO. Which requests are kept, and for how long, is the server's.
"""

from __future__ import annotations

from collections import deque

import attrs
import httptools
import httpx

MAX_REQUEST = 16 * 1024 * 1024
"""Bytes of a request, head and body, above which it is refused."""


@attrs.frozen(kw_only=True)
class RecordedRequest:
    """A request that the server has read to its end."""

    method: str
    target: str
    """The request target as sent: path and query, or whatever else stood there."""
    raw_headers: tuple[tuple[bytes, bytes], ...]
    """The header fields as sent, in order."""
    body: bytes
    http_version: str
    """`"1.1"` or `"1.0"`."""
    keep_alive: bool
    """Whether the client will take another response on this connection."""
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
        """Return what follows the first `?` of the target."""
        return self.target.partition("?")[2]

    @property
    def headers(self) -> httpx.Headers:
        """Return the header fields, to be looked up in any case."""
        return httpx.Headers(self.raw_headers)


class BadRequestError(Exception):
    """The client sent what is no request, or too much of one."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class RequestReader:
    """Turn the bytes that arrive on one connection into requests."""

    def __init__(self) -> None:
        self.requests: deque[RecordedRequest] = deque()
        """What has arrived and waits for its answer; whoever answers takes it from the left."""
        self.wants_continue = False
        """Whether the client waits for a 100 before it sends the body. The reader sets and unsets
        it; who sends the 100 unsets it as well."""
        self._parser = httptools.HttpRequestParser(self)
        self._size = 0
        self._restart()

    def feed(self, content: bytes) -> None:
        """Take bytes in.

        Raises:
            BadRequestError: They are not HTTP, or the request is larger than `MAX_REQUEST`.
        """
        self._size += len(content)
        try:
            self._parser.feed_data(content)
        except httptools.HttpParserUpgrade:
            # CONNECT and Upgrade are answered as any other request, in the old protocol.
            pass
        except httptools.HttpParserError as error:
            raise BadRequestError(400, str(error)) from error
        if self._size > MAX_REQUEST:
            raise BadRequestError(413, f"request above {MAX_REQUEST} bytes")

    # What follows is called by the parser, and named by it.

    def on_url(self, url: bytes) -> None:
        """Take a piece of the target."""
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header field, or a trailer."""
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Note what the parser can tell at this point alone."""
        self.wants_continue = any(
            name.lower() == b"expect" and value.lower() == b"100-continue"
            for name, value in self._headers
        )

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body."""
        self._body.append(body)

    def on_message_complete(self) -> None:
        """Add the request to those that wait for an answer."""
        parser = self._parser
        request = RecordedRequest(
            method=parser.get_method().decode("ascii"),
            target=self._target.decode("latin-1"),
            raw_headers=tuple(self._headers),
            body=b"".join(self._body),
            http_version=parser.get_http_version(),
            keep_alive=parser.should_keep_alive() and not parser.should_upgrade(),
        )
        self.requests.append(request)
        self._restart()

    def _restart(self) -> None:
        self._target = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._body: list[bytes] = []
        self._size = 0
        self.wants_continue = False
