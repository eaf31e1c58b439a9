"""
`StreamLimit`: how many streams a connection opens at a time.

Pure: it is told what the server allows, refuses and serves. The connection opens the streams.
"""

from __future__ import annotations


class StreamLimit:
    """
    The number of streams that the server allows, or fewer after it has refused some.

    Args:
        allowed: How many streams may be open before the server says how many.

    Attributes:
        current: How many to open at a time.
        is_leaving: Whether no more are opened, however few are open.
    """

    __slots__ = ("_allowed", "current", "is_leaving")

    def __init__(self, allowed: int) -> None:
        self._allowed = self.current = allowed
        self.is_leaving = False

    def allow(self, allowed: int) -> None:
        """Note how many the server allows; what it has refused before counts no more."""
        self._allowed = self.current = allowed

    def refused(self, remaining: int) -> None:
        """Note that the server has refused streams, and how many it has kept."""
        # It takes fewer than it says: no more than it has, until it serves some of them.
        self.current = max(1, remaining)

    def served(self) -> None:
        """Note that the server has answered on a stream: one more may be open than before."""
        if self.current < self._allowed:
            self.current += 1

    def has_room(self, count: int) -> bool:
        """Whether another stream may be opened beside `count` open ones."""
        return count < self.current and not self.is_leaving
