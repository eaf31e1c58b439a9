"""
The memory of a body: `GrowingBody`, `PlacedBody` for one of known length, or `LentBody`.

A growing body keeps large pieces as they are and joins them once. A single bytearray moves as it
grows and is copied at the end. Pieces took 8.3 ms of CPU per 10 MB instead of 13.2, reading
included, with eight connections, and 6.0 ms instead of 6.8 with one.

A body of known length is received into its final memory. Otherwise, a large one is copied twice:
out of the receive buffer, and when its pieces are joined.

A lent body is for a reader that writes each piece, for example to a file, before it asks for the
next one. The pieces are not copied at all.
"""

from __future__ import annotations

import io

_LARGE = 16 * 1024
"""Least bytes of a piece that is kept as it is. As an object, a small piece takes more memory than
its bytes, and a peer could send a body of small pieces only."""

_LONGEST_TAIL = 256 * 1024
"""Most bytes of small pieces that are joined in a buffer; a longer one would move as it grows."""

UNJOINED = 1024 * 1024
"""Least bytes of a body that is handed over in pieces, to be joined in a thread: 32 MiB take 8 to
20 ms. From this size on, CPython joins without the GIL, if all pieces are `bytes`."""

TAIL = 4 * 1024
"""Bytes at the end that are received elsewhere and copied. Bytes after the body are seen so, and
the memory has no other user when it becomes the body: uvloop holds it while it reports a read."""

BLOCK = 320 * 1024
"""Bytes of each of the two blocks of a lent body. With blocks of 128 KiB, 1 GiB to a file took a
third more CPU than with any from 256 to 512 KiB."""

_ROOM = 128 * 1024
"""Least bytes at the end of a block for which it is received into further, once a piece is taken;
a short end would be received by itself."""

_LEAST = 16 * 1024
"""Least bytes at the end of a block that are received into while none of it is taken."""


class UnjoinedBody:
    """A large body in pieces; `bytes()` joins them."""

    __slots__ = ("_pieces", "_size")

    def __init__(self, pieces: list[bytes], size: int) -> None:
        self._pieces = pieces
        self._size = size

    def __len__(self) -> int:
        return self._size

    def __bytes__(self) -> bytes:
        return b"".join(self._pieces)


class GrowingBody:
    """
    The decoded bytes of a body that have not been taken.

    Attributes:
        size: the number of bytes.
    """

    __slots__ = ("_pieces", "_tail", "size")

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        # Small pieces that follow the others.
        self._tail = bytearray()
        self.size = 0

    def add(self, content: bytes | memoryview) -> None:
        """Append a piece."""
        size = len(content)
        self.size += size
        if size < _LARGE:
            self._tail += content
            if len(self._tail) >= _LONGEST_TAIL:
                self._keep_tail()
            return
        self._keep_tail()
        self._pieces.append(bytes(content))

    def take(self) -> bytes:
        """Return all bytes, and keep none."""
        # Joining a single piece of bytes makes no copy.
        return b"".join(self._take_pieces())

    def take_whole(self) -> bytes | UnjoinedBody:
        """Return all bytes, those of a large body in pieces, and keep none."""
        size = self.size
        return self.take() if size < UNJOINED else UnjoinedBody(self._take_pieces(), size)

    def _take_pieces(self) -> list[bytes]:
        self._keep_tail()
        pieces, self._pieces = self._pieces, []
        self.size = 0
        return pieces

    def _keep_tail(self) -> None:
        if self._tail:
            self._pieces.append(bytes(self._tail))
            self._tail.clear()


class PlacedBody:
    """
    A body received into memory of its size, with the interface of `GrowingBody`.

    `BytesIO` over new zero bytes makes `bytes` that are written only once: CPython lets its buffer
    be filled, and returns it without a copy. The system provides the memory only when bytes arrive,
    unless the process had it before.

    Args:
        length: the length of the body.

    Raises:
        MemoryError: there is not enough memory.

    Attributes:
        size: the number of bytes received.
    """

    __slots__ = ("_file", "_view", "size")

    def __init__(self, length: int) -> None:
        self._file = io.BytesIO(bytes(length))
        self._view = self._file.getbuffer()
        self.size = 0

    @property
    def window(self) -> memoryview | None:
        """The memory to receive into next; None near the end."""
        end = len(self._view) - TAIL
        return self._view[self.size : end] if self.size < end else None

    def add(self, content: bytes | memoryview) -> None:
        """Add the next piece, which may have been received into `window`."""
        start = self.size
        self.size += len(content)
        if type(content) is memoryview and content.obj is self._view.obj:
            return
        self._view[start : self.size] = content

    def take(self) -> bytes:
        """Return the whole body."""
        self._view.release()
        return self._file.getvalue()

    take_whole = take


class LentBody:
    """
    A body that is taken while it arrives, with the interface of `GrowingBody`.

    It is received into two blocks of memory in turn. A piece that was taken is in one of them: it
    is valid until `take` is called again.

    Attributes:
        size: the number of bytes that have not been taken.
    """

    __slots__ = ("_block", "_end", "_other", "_start")

    def __init__(self) -> None:
        self._block = memoryview(bytearray(BLOCK))
        # Made when it is needed: a body that arrives slowly is received into one block.
        self._other: memoryview | None = None
        # Where the bytes that have not been taken begin and end.
        self._start = self._end = 0

    @property
    def size(self) -> int:
        """The number of bytes that have not been taken."""
        return self._end - self._start

    @property
    def window(self) -> memoryview | None:
        """The memory to receive into next; None if there is none before the next `take`."""
        return self._block[self._end :] if len(self._block) - self._end >= _LEAST else None

    def add(self, content: bytes | memoryview) -> None:
        """Add the next piece, which may have been received into `window`."""
        block, start, end = self._block, self._start, self._end
        size = len(content)
        if not (type(content) is memoryview and content.obj is block.obj):
            if len(block) - end < size:
                # The part of the block that was taken stays where it is.
                self._block = memoryview(bytearray(max(BLOCK, end - start + size)))
                self._block[: end - start] = block[start:end]
                self._start, end = 0, end - start
            self._block[end : end + size] = content
        self._end = end + size

    def take(self) -> memoryview | bytes:
        """Return all bytes, which stay where they are until the next call."""
        block, start, end = self._block, self._start, self._end
        if start == end:
            self._start = self._end = 0
            return b""
        if len(block) - end >= _ROOM:
            self._start = end
        else:
            self._block = self._other or memoryview(bytearray(BLOCK))
            self._other = block
            self._start = self._end = 0
        return block[start:end]

    def take_whole(self) -> bytes:
        """Return all bytes, and keep none."""
        return bytes(self.take())
