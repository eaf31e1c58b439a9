"""
A body of known length, received into its final memory.

Otherwise, a large body is copied twice: out of the receive buffer, and when its pieces are joined.
"""

from __future__ import annotations

import io

TAIL = 4 * 1024
"""Bytes at the end that are received elsewhere and copied. Bytes after the body are seen so, and
the memory has no other user when it becomes the body: uvloop holds it while it reports a read."""


WINDOW = 128 * 1024
"""Most bytes received at once, so that a hundred bodies that arrive together take turns."""


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
        return self._view[self.size : min(end, self.size + WINDOW)] if self.size < end else None

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
