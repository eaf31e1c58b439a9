"""
A body that grows while it comes.

Large pieces are kept as they are and joined once. Against one bytearray, which moves as it grows
and is copied in the end, that took 8.3 instead of 13.2 ms of CPU for each 10 MB, reading included,
with eight connections, and 6.0 instead of 6.8 with one.
"""

from __future__ import annotations

_LARGE = 16 * 1024
"""From here on a piece is kept as it is. A small one costs more memory as an object than as bytes,
and whoever sends could make a body of nothing else."""


class GrowingBody:
    """
    What has been decoded of a body and not been taken.

    Attributes:
        size: its bytes.
    """

    __slots__ = ("_pieces", "_tail", "size")

    def __init__(self) -> None:
        self._pieces: list[bytes | bytearray] = []
        # Small pieces that follow the others.
        self._tail = bytearray()
        self.size = 0

    def add(self, content: bytes | memoryview) -> None:
        """Append a piece."""
        size = len(content)
        self.size += size
        if size < _LARGE:
            self._tail += content
            return
        if self._tail:
            self._pieces.append(self._tail)
            self._tail = bytearray()
        self._pieces.append(bytes(content))

    def take(self) -> bytes:
        """Hand everything over, and forget it."""
        pieces = self._pieces
        if self._tail:
            pieces.append(self._tail)
            self._tail = bytearray()
        self._pieces = []
        self.size = 0
        # Of one piece of bytes, joining makes no copy.
        return b"".join(pieces)
