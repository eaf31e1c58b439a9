"""
A body of known length, received where it stays.

A large body is otherwise copied twice: out of the receive buffer, and when its pieces are joined.
"""

from __future__ import annotations

import io

TAIL = 4 * 1024
"""Bytes at the end that are received elsewhere and copied. So bytes behind the body are seen, and
nobody holds on to the memory when it becomes the body: uvloop does while it tells of a read."""


WINDOW = 128 * 1024
"""Bytes that are received at once: of a hundred bodies that come together each gets its turn."""


class PlacedBody:
    """
    A body on its way into memory of its size; the same to use as a `GrowingBody`.

    `BytesIO` over fresh zero bytes is what makes `bytes` that are written once: CPython lets its
    buffer be filled and hands it out without a copy. The memory is the system's until bytes come,
    except where the process had it before.

    Args:
        length: of the whole.

    Raises:
        MemoryError: there is no room.

    Attributes:
        size: how many bytes have come.
    """

    __slots__ = ("_file", "_view", "size")

    def __init__(self, length: int) -> None:
        self._file = io.BytesIO(bytes(length))
        self._view = self._file.getbuffer()
        self.size = 0

    @property
    def window(self) -> memoryview | None:
        """Where to receive what comes next; None near the end."""
        end = len(self._view) - TAIL
        return self._view[self.size : min(end, self.size + WINDOW)] if self.size < end else None

    def add(self, content: bytes | memoryview) -> None:
        """Take the next piece, which may have been received into `window`."""
        start = self.size
        self.size += len(content)
        if type(content) is memoryview and content.obj is self._view.obj:
            return
        self._view[start : self.size] = content

    def take(self) -> bytes:
        """Hand the whole body over."""
        self._view.release()
        return self._file.getvalue()

    take_whole = take
