"""
The body of one response while it comes: how long it is, what of it is here, and where it lies.
"""

from __future__ import annotations

from ._body import GrowingBody, UnjoinedBody
from ._chunked import ChunkedProtocol
from ._errors import body_too_large
from ._head import CHUNKED, UNTIL_CLOSE
from ._preallocated import PlacedBody

# A coding may make a body longer than what it decodes to: by a hundredth and this at most.
_INFLATION = 1024

# How much of a body must be missing for its place to be worth preparing, and how much memory may
# be set aside because a server says so.
_SHORTEST_PLACED = 64 * 1024
_LONGEST_PLACED = 64 * 1024 * 1024


class BodyReader:
    """
    Reads a body that did not come whole with its head.

    Args:
        length: its bytes, or `CHUNKED` or `UNTIL_CLOSE`.
        max_body: what is asked of it, in bytes.
        longest: what to accept where the length is not known beforehand; a coding may take more
            than the body has.
        trailer_budget: bytes that are left for trailers.

    Attributes:
        is_until_close: whether the end of the connection is the end of the body.
    """

    __slots__ = ("_chunks", "_content", "_max_body", "_remaining", "is_until_close")

    def __init__(self, length: int, max_body: int, longest: int, trailer_budget: int) -> None:
        self.is_until_close = length == UNTIL_CLOSE
        self._max_body = max_body
        # Bytes still to come, or still to be accepted; of a chunked body its protocol knows.
        self._remaining = longest if self.is_until_close else length
        self._chunks: ChunkedProtocol | None = None
        if length == CHUNKED:
            self._chunks = ChunkedProtocol(max_body, longest, trailer_budget)
        # What has been decoded and not been taken.
        self._content: GrowingBody | PlacedBody = GrowingBody()

    def receive(self, data: bytes | memoryview) -> int:
        """
        Take what the connection delivered.

        Returns:
            How many bytes at the end of `data` lie behind the body, or something negative while it
            goes on.

        Raises:
            ProtocolError: the framing is malformed.
            ResponseTooLarge: a limit was passed.
        """
        content = self._content
        if self._chunks is not None:
            assert isinstance(content, GrowingBody)
            return self._chunks.receive(bytes(data), content)
        surplus = len(data) - self._remaining
        if self.is_until_close:
            if surplus > 0:
                raise body_too_large(self._max_body)
            self._remaining = -surplus
            content.add(data)
            return -1
        if surplus < 0:
            self._remaining = -surplus
            content.add(data)
        else:
            content.add(data[: self._remaining])
        return surplus

    @property
    def untaken(self) -> int:
        """How many bytes have been decoded and not been taken."""
        return self._content.size

    @property
    def trailers(self) -> tuple[tuple[bytes, bytes], ...]:
        """The trailer fields, once the body has ended."""
        return () if self._chunks is None else self._chunks.trailer_fields

    def take(self) -> bytes:
        """Hand over what has been decoded so far, and forget it."""
        return self._content.take()

    def take_whole(self) -> bytes | UnjoinedBody:
        """Hand over a body that has ended; a large one may still have to be joined."""
        return self._content.take_whole()

    def place(self) -> memoryview | None:
        """
        Prepare the place of the whole body, if its length is known and worth it.

        Returns:
            Where to receive next: `receive` then makes no copy of it. None: anywhere.
        """
        content = self._content
        if not isinstance(content, GrowingBody):
            return content.window
        if self._chunks is not None or self.is_until_close:
            return None
        if self._remaining < _SHORTEST_PLACED or content.size + self._remaining > _LONGEST_PLACED:
            return None
        try:
            placed = PlacedBody(content.size + self._remaining)
        except MemoryError:
            return None
        placed.add(content.take())
        self._content = placed
        return placed.window


def longest_transfer(limit: int) -> int:
    """Return how long a body that has a coding may be on the wire to decode to `limit` bytes."""
    return limit + limit // 100 + _INFLATION
