"""
`SignsOfLife`: whether the server at the other end of a silent connection is still there.

Pure: it is told what is asked and heard, and when. The connection sends the `PING`.
"""

from __future__ import annotations

from asyncbatch._engine._exchange import NEVER

SILENCE = 1.0
"""Seconds without a byte after a request was sent: if one is given up then, the server is asked for
a sign of life, since the connection may be dead."""

DOUBT = 5.0
"""Seconds to wait for that sign."""


class SignsOfLife:
    """
    The last signs of life of the server of one connection.

    Attributes:
        asked_at: When the first request was written since bytes have last arrived; 0 if none was.
            `SessionWriter` sets it.
        doubted_at: When the server was asked for a sign of life; 0 if it was not, or has given one.
    """

    __slots__ = ("asked_at", "doubted_at")

    def __init__(self) -> None:
        self.asked_at = 0.0
        self.doubted_at = 0.0

    def heard(self) -> bool:
        """Note that bytes have arrived; return whether that ends a doubt."""
        self.asked_at = 0.0
        was_doubted, self.doubted_at = self.doubted_at > 0.0, 0.0
        return was_doubted

    def begin_doubt(self, now: float) -> bool:
        """Return whether the server must be asked for a sign, since a request was given up."""
        if not self.asked_at or now - self.asked_at < SILENCE or self.doubted_at:
            return False
        self.doubted_at = now
        return True

    def end_doubt(self) -> None:
        """Wait for no sign, since the connection takes no more requests."""
        self.doubted_at = 0.0

    def are_overdue(self, now: float) -> bool:
        """Whether the server has given no sign in time."""
        return self.doubted_at > 0.0 and now >= self.doubted_at + DOUBT

    @property
    def deadline(self) -> float:
        """When they are overdue."""
        return self.doubted_at + DOUBT if self.doubted_at else NEVER

    def take_out(self, seconds: float) -> None:
        """Take the time of a blocked loop out of the wait for a sign."""
        if self.doubted_at:
            self.doubted_at += seconds
