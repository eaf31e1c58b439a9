"""
One response, from its first byte to its last (RFC 9112): bytes in, head and body out.

Sans-IO: no socket, no clock. Whether the connection may serve another request is decided here
and nowhere else, as far as bytes can tell; the default is that it may not.
"""

from __future__ import annotations

import enum
from typing import TypeAlias

from ._body import GrowingBody
from ._chunked import ChunkedProtocol
from ._errors import ProtocolError, ResponseTooLarge, TruncatedResponse
from ._head import (
    CHUNKED,
    FAULTY,
    MAX_HEAD_BYTES,
    UNTIL_CLOSE,
    ResponseHead,
    check_partial_head,
    head_too_large,
    parse_head,
)
from ._placed import PlacedBody

MAX_INFORMATIONAL = 20
"""Informational (1xx) responses in front of one response."""

NO_LIMIT = 1 << 62
"""A body limit that no body reaches."""

# A coding may make a body longer than what it decodes to: by a hundredth and this at most.
_INFLATION = 1024


# A head is kept for comparison with the next, once per connection: that must stay small.
_LONGEST_KEPT_HEAD = 4 * 1024

KnownHead: TypeAlias = tuple[ResponseHead | None, bytes]

# From here on, a piece is worth the care not to copy it twice.
_SHORT = 8 * 1024

# How much of a body must be missing for its place to be worth preparing, and how much memory may
# be set aside because a server says so.
_SHORTEST_PLACED = 64 * 1024
_LONGEST_PLACED = 64 * 1024 * 1024


class ResponseState(enum.IntEnum):
    """How far the response has come."""

    HEAD = 0
    BODY = 1
    DONE = 2


_HEAD = ResponseState.HEAD
_BODY = ResponseState.BODY
_DONE = ResponseState.DONE


class ResponseProtocol:
    """
    Reads the responses of one connection, one after the other.

    Call `begin` for each request, then `receive` with what arrives until it returns True, or
    `receive_eof` when the connection ends. After an exception the object is of no more use.

    Attributes:
        state: how far the response has come.
        head: the final response's head, once `state` is past `HEAD`.
        body: once the response is complete, what has not been taken of its body.
        trailers: the trailer fields of a chunked body, once it has ended.
        is_reusable: whether another request may follow on the connection; true only once the
            response is complete, the peer keeps the connection and nothing lay behind it.
    """

    __slots__ = (
        "_chunks",
        "_growing",
        "_head_used",
        "_informational",
        "_is_head_request",
        "_last_head",
        "_last_start",
        "_max_body",
        "_partial",
        "_received",
        "_remaining",
        "body",
        "head",
        "is_reusable",
        "state",
        "trailers",
    )

    def __init__(self) -> None:
        # The head before this one, and the bytes that would repeat it.
        self._last_head: ResponseHead | None = None
        self._last_start = b""
        self._partial = bytearray()
        self._remaining = 0
        # What has been decoded and not been taken of a body that comes in pieces; None unless one
        # is under way.
        self._growing: GrowingBody | PlacedBody | None = None
        self.begin()

    def begin(self, is_head_request: bool = False, max_body: int = NO_LIMIT) -> None:
        """
        Expect the response to the request that is sent now.

        Args:
            is_head_request: whether the method is HEAD, whose responses have no body.
            max_body: the longest body to accept, in bytes; one that has a `Content-Encoding` may be
                transferred a little longer, and is for its decoder to judge.
        """
        self._is_head_request = is_head_request
        self._max_body = max_body
        self._head_used = 0
        self._informational = 0
        self._chunks: ChunkedProtocol | None = None
        self.state = _HEAD
        self.head: ResponseHead | None = None
        self.body = b""
        self.trailers: tuple[tuple[bytes, bytes], ...] = ()
        self.is_reusable = False

    def receive(self, data: bytes | memoryview) -> bool:
        """
        Take what the connection delivered and say whether the response is complete.

        Raises:
            ProtocolError: the bytes are not a valid response.
            ResponseTooLarge: a limit was passed.
        """
        if self.state is _BODY:
            return self._receive_body(data)
        if self._partial:
            return self._receive_more_head(data)
        if len(data) > _SHORT:
            return self._receive_long(data)
        if type(data) is not bytes:
            data = bytes(data)
        # Servers repeat themselves: within one second most heads of a connection differ in
        # nothing. A comparison costs 0.05 µs, a parse 2.6.
        head = self._last_head
        if head is None or not data.startswith(self._last_start):
            return self._receive_head(data)
        self.head = head
        start = len(self._last_start)
        # `_begin_body` for the way most responses go, without the calls: whole, nothing behind.
        if len(data) - start == head.length <= self._max_body and not self._is_head_request:
            self.body = data[start:]
            self.state = _DONE
            self.is_reusable = head.is_persistent
            return True
        return self._begin_body(head, data, start)

    def receive_eof(self, *, is_clean: bool = True) -> None:
        """
        Take the end of the connection.

        Args:
            is_clean: False for a reset, or a TLS connection cut without its closing alert,
                which never complete a body.

        Raises:
            TruncatedResponse: the response was not complete.
        """
        if self.state is _BODY and self._remaining == UNTIL_CLOSE and is_clean:
            self._complete()
            return
        if self.state is _BODY:
            raise TruncatedResponse("the connection ended inside the body", received=True)
        if self._partial or self._head_used:
            raise TruncatedResponse("the connection ended inside the head", received=True)
        raise TruncatedResponse("the connection ended without a response", received=False)

    @property
    def is_under_way(self) -> bool:
        """Whether the peer has begun something that it has not ended: a head, or a body."""
        return self.state is _BODY or bool(self._partial)

    @property
    def known_head(self) -> KnownHead:
        """
        The last head and the bytes that would repeat it.

        For the next connection to the same server, whose first head then need not be parsed.
        """
        return self._last_head, self._last_start

    @known_head.setter
    def known_head(self, known: KnownHead) -> None:
        self._last_head, self._last_start = known

    @property
    def untaken(self) -> int:
        """How many bytes of the body have been decoded and not been taken."""
        return len(self.body) if self._growing is None else self._growing.size

    def take_body(self) -> bytes:
        """Hand over what has been decoded so far, and forget it."""
        if self._growing is None:
            body, self.body = self.body, b""
            return body
        return self._growing.take()

    def place_body(self) -> memoryview | None:
        """
        Prepare the place of a body that is under way, for a caller who takes it as a whole.

        Returns:
            Where to receive next: `receive` then makes no copy of it. None: anywhere.
        """
        body = self._growing
        if isinstance(body, GrowingBody):
            body = self._placed(body)
        return None if body is None else body.window

    def _receive_long(self, data: bytes | memoryview) -> bool:
        """Begin with much at once, of which the body is copied only once."""
        start = len(self._last_start)
        head = self._last_head
        if head is None or bytes(data[:start]) != self._last_start:
            return self._receive_head(bytes(data))
        self.head = head
        return self._begin_body(head, data, start)

    def _receive_more_head(self, data: bytes | memoryview) -> bool:
        partial = self._partial
        seen = len(partial)
        partial += data
        if partial.find(b"\r\n\r\n", max(0, seen - 3)) < 0:
            check_partial_head(partial, seen)
            return False
        self._partial = bytearray()
        return self._receive_head(bytes(partial))

    def _receive_head(self, data: bytes) -> bool:
        start = 0
        while True:
            end = data.find(b"\r\n\r\n", start)
            if end < 0:
                return self._keep_partial(data[start:])
            block = data[start : end + 2]
            head = parse_head(block)
            start = end + 4
            if head.status >= 200:
                break
            self._pass_informational(head)
        if self._head_used and self._head_used + len(block) > MAX_HEAD_BYTES:
            raise head_too_large()
        self.head = head
        if len(block) <= _LONGEST_KEPT_HEAD:
            self._last_head = head
            self._last_start = block + b"\r\n"
        return self._begin_body(head, data, start)

    def _keep_partial(self, rest: bytes) -> bool:
        if rest:
            partial = self._partial
            partial += rest
            check_partial_head(partial, 0)
            if self._head_used + len(partial) > MAX_HEAD_BYTES:
                raise head_too_large()
        return False

    def _pass_informational(self, head: ResponseHead) -> None:
        if head.status == 101:
            raise ProtocolError("the server switches protocols, and nobody asked it to")
        self._informational += 1
        if self._informational > MAX_INFORMATIONAL:
            raise ResponseTooLarge(
                f"more than {MAX_INFORMATIONAL} informational responses", limit=MAX_INFORMATIONAL
            )
        self._head_used += len(head.block)
        if self._head_used > MAX_HEAD_BYTES:
            raise head_too_large()

    def _begin_body(self, head: ResponseHead, data: bytes | memoryview, start: int) -> bool:
        length = 0 if self._is_head_request else head.length
        if length >= 0:
            if length > self._max_body and length > self._limit_of(head):
                raise self._body_too_large()
            surplus = len(data) - start - length
            if surplus >= 0:
                self.body = bytes(data[start : start + length])
                self._finish(head, surplus)
                return True
        elif length == FAULTY:
            raise ProtocolError(head.fault)
        self.state = _BODY
        self._remaining = length
        self._received = 0
        self._growing = GrowingBody()
        if length == CHUNKED:
            budget = MAX_HEAD_BYTES - self._head_used - len(head.block)
            limit = self._limit_of(head)
            self._chunks = ChunkedProtocol(max_body=limit, trailer_budget=budget)
        return self._receive_body(data[start:]) if start < len(data) else False

    def _receive_body(self, data: bytes | memoryview) -> bool:
        body = self._growing
        assert body is not None
        if self._chunks is not None:
            assert isinstance(body, GrowingBody)
            surplus = self._chunks.receive(bytes(data), body)
            if surplus < 0:
                return False
            self.trailers = self._chunks.trailer_fields
            self._finish(self.head, surplus)
            return True
        if self._remaining == UNTIL_CLOSE:
            self._received += len(data)
            if self._received > self._max_body and self._received > self._limit_of(self.head):
                raise self._body_too_large()
            body.add(data)
            return False
        surplus = len(data) - self._remaining
        if surplus < 0:
            body.add(data)
            self._remaining = -surplus
            return False
        body.add(data[: self._remaining])
        self._finish(self.head, surplus)
        return True

    def _finish(self, head: ResponseHead | None, surplus: int) -> None:
        # Bytes behind a response are nobody's: they must not become the next response
        # (RFC 9112 §6.3), and they do not spoil the one that was complete.
        assert head is not None
        self._complete()
        self.is_reusable = surplus == 0 and head.is_persistent

    def _complete(self) -> None:
        if self._growing is not None:
            self.body = self._growing.take()
            self._growing = None
        self.state = _DONE

    def _placed(self, body: GrowingBody) -> PlacedBody | None:
        # Negative where the length is not known.
        if self._remaining < _SHORTEST_PLACED or body.size + self._remaining > _LONGEST_PLACED:
            return None
        try:
            placed = PlacedBody(body.size + self._remaining)
        except MemoryError:
            return None
        placed.add(body.take())
        self._growing = placed
        return placed

    def _limit_of(self, head: ResponseHead | None) -> int:
        limit = self._max_body
        if head is None or not head.is_coded:
            return limit
        return limit + limit // 100 + _INFLATION

    def _body_too_large(self) -> ResponseTooLarge:
        limit = self._max_body
        return ResponseTooLarge(f"the body is larger than {limit} bytes", limit=limit)
