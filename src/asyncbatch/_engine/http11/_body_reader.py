"""
The body of one response while it is received: its length, its bytes so far, and their memory.
"""

from __future__ import annotations

from ._body import GrowingBody, LentBody, PlacedBody, UnjoinedBody
from ._chunked import ChunkedProtocol
from ._errors import body_too_large
from ._head import CHUNKED, UNTIL_CLOSE

# A coding may make a body longer than its decoded form, by at most a hundredth and this.
_INFLATION = 1024

# Least missing bytes of a body whose memory is allocated at once, and most bytes that are allocated
# on the word of a server.
_SHORTEST_PLACED = 64 * 1024
_LONGEST_PLACED = 64 * 1024 * 1024

# Least bytes still to come for which the two blocks of a lent body are worth their memory.
_SHORTEST_LENT = 512 * 1024


class BodyReader:
    """
    Reads a body that did not arrive completely with its head.

    Args:
        length: the length in bytes, or `CHUNKED` or `UNTIL_CLOSE`.
        max_body: the limit of the body in bytes, for messages.
        longest: most bytes to accept if the length is not known beforehand; a coded body may be
            longer than its decoded form.
        trailer_budget: bytes that are left for trailers.

    Attributes:
        is_until_close: whether the end of the connection is the end of the body.
    """

    __slots__ = ("_chunks", "_content", "_max_body", "_remaining", "is_until_close")

    def __init__(self, length: int, max_body: int, longest: int, trailer_budget: int) -> None:
        self.is_until_close = length == UNTIL_CLOSE
        self._max_body = max_body
        # Bytes still to come, or still to be accepted; not used for a chunked body.
        self._remaining = longest if self.is_until_close else length
        self._chunks: ChunkedProtocol | None = None
        if length == CHUNKED:
            self._chunks = ChunkedProtocol(max_body, longest, trailer_budget)
        # The decoded bytes that have not been taken.
        self._content: GrowingBody | PlacedBody | LentBody = GrowingBody()

    def receive(self, data: bytes | memoryview) -> int:
        """
        Read received bytes.

        Returns:
            The number of bytes at the end of `data` after the body; negative while the body is
            incomplete.

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
        """Number of decoded bytes that have not been taken."""
        return self._content.size

    @property
    def announced(self) -> int:
        """Number of bytes still to come of a body of known length; 0 for any other."""
        return 0 if self.is_until_close or self._chunks is not None else self._remaining

    def skip(self, size: int) -> None:
        """Note that bytes of a body of known length have been received elsewhere."""
        self._remaining -= size

    @property
    def trailers(self) -> tuple[tuple[bytes, bytes], ...]:
        """The trailer fields, once the body has ended."""
        return () if self._chunks is None else self._chunks.trailer_fields

    def take_body(self) -> bytes | memoryview:
        """Return the bytes decoded so far; those of a lent body are valid until the next call."""
        return self._content.take()

    def take_whole(self) -> bytes | UnjoinedBody:
        """Return a complete body; a large one may still have to be joined."""
        return self._content.take_whole()

    def place(self) -> memoryview | None:
        """
        Allocate the memory of the whole body, if its length is known and large enough.

        Returns:
            The memory to receive into next, which `receive` does not copy; `None`: any memory.
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

    def lend(self) -> memoryview | None:
        """
        Lend the pieces of a body that is taken while it arrives, if it is long enough.

        Call it after `take`, and after each `receive` that has not completed the body.

        Returns:
            The memory to receive into next, which `receive` does not copy; `None`: any memory.
        """
        content = self._content
        if isinstance(content, LentBody):
            return content.window
        if self._chunks is not None or self._remaining < _SHORTEST_LENT or content.size:
            return None
        try:
            lent = self._content = LentBody()
        except MemoryError:
            return None
        return lent.window


def longest_transfer(limit: int) -> int:
    """Return the most bytes on the wire of a coded body that decodes to `limit` bytes."""
    return limit + limit // 100 + _INFLATION
