"""
One response, from its first byte to its last (RFC 9112): bytes in, head and body out.

Sans-IO: no socket, no clock. Whether the connection may serve another request is decided here
and nowhere else, as far as bytes can tell; the default is that it may not.
"""

from __future__ import annotations

import enum
from typing import TypeAlias

from ._body import UnjoinedBody
from ._body_reader import BodyReader, longest_transfer
from ._errors import ProtocolError, TruncatedResponse, body_too_large
from ._head import (
    FAULTY,
    MAX_HEAD_BYTES,
    ResponseHead,
    check_partial_head,
    head_too_large,
    parse_head,
)
from ._informational import InformationalCounter

NO_LIMIT = 1 << 62
"""A body limit that no body reaches."""

# A head is kept for comparison with the next, once per connection: that must stay small.
_LONGEST_KEPT_HEAD = 4 * 1024

KnownHead: TypeAlias = tuple[ResponseHead | None, bytes]

# From here on, a piece is worth the care not to copy it twice.
_SHORT = 8 * 1024


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
        body: once the response is complete, what has not been taken of its body; a large one that
            came in chunks, or until the close, is still to be joined.
        trailers: the trailer fields of a chunked body, once it has ended.
        is_reusable: whether another request may follow on the connection; true only once the
            response is complete, the peer keeps the connection and nothing lay behind it.
    """

    __slots__ = (
        "_informational",
        "_is_head_request",
        "_last_head",
        "_last_start",
        "_max_body",
        "_partial",
        "_reader",
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
        # What has come of a head that is not complete.
        self._partial = bytearray()
        # What reads the body under way; None before it begins, once it is complete, and where it
        # came whole with its head.
        self._reader: BodyReader | None = None
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
        # None where nothing came in front of the response.
        self._informational: InformationalCounter | None = None
        self.state = _HEAD
        self.head: ResponseHead | None = None
        self.body: bytes | UnjoinedBody = b""
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
        reader = self._reader
        if reader is not None:
            if reader.is_until_close and is_clean:
                self.body = reader.take_whole()
                self._reader = None
                self.state = _DONE
                return
            raise TruncatedResponse("the connection ended inside the body", received=True)
        if self._partial or self._informational is not None:
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
        return len(self.body) if self._reader is None else self._reader.untaken

    def take_body(self) -> bytes:
        """Hand over what has been decoded so far, and forget it."""
        if self._reader is None:
            body, self.body = self.body, b""
            return bytes(body)
        return self._reader.take()

    def place_body(self) -> memoryview | None:
        """
        Prepare the place of a body that is under way, for a caller who takes it as a whole.

        Returns:
            Where to receive next: `receive` then makes no copy of it. None: anywhere.
        """
        return None if self._reader is None else self._reader.place()

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
            if self._informational is None:
                self._informational = InformationalCounter()
            self._informational.add(head)
        if self._informational is not None and len(block) > self._informational.left:
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
            if self._informational is not None and len(partial) > self._informational.left:
                raise head_too_large()
        return False

    def _begin_body(self, head: ResponseHead, data: bytes | memoryview, start: int) -> bool:
        length = 0 if self._is_head_request else head.length
        if length >= 0:
            if length > self._max_body and length > self._longest(head):
                raise body_too_large(self._max_body)
            surplus = len(data) - start - length
            if surplus >= 0:
                self.body = bytes(data[start : start + length])
                self._complete(head, surplus)
                return True
        elif length == FAULTY:
            raise ProtocolError(head.fault)
        left = MAX_HEAD_BYTES if self._informational is None else self._informational.left
        self._reader = BodyReader(
            length, self._max_body, self._longest(head), left - len(head.block)
        )
        self.state = _BODY
        return self._receive_body(data[start:]) if start < len(data) else False

    def _receive_body(self, data: bytes | memoryview) -> bool:
        reader = self._reader
        assert reader is not None
        surplus = reader.receive(data)
        if surplus < 0:
            return False
        assert self.head is not None
        self.body = reader.take_whole()
        self.trailers = reader.trailers
        self._reader = None
        self._complete(self.head, surplus)
        return True

    def _complete(self, head: ResponseHead, surplus: int) -> None:
        # Bytes behind a response are nobody's: they must not become the next response
        # (RFC 9112 §6.3), and they do not spoil the one that was complete.
        self.state = _DONE
        self.is_reusable = surplus == 0 and head.is_persistent

    def _longest(self, head: ResponseHead) -> int:
        return longest_transfer(self._max_body) if head.is_coded else self._max_body
