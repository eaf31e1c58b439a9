"""
Informational (1xx) responses, which precede the final one (RFC 9110 §15.2).
"""

from __future__ import annotations

from ._errors import ProtocolError, ResponseTooLarge
from ._head import MAX_HEAD_BYTES, ResponseHead, head_too_large

MAX_INFORMATIONAL = 20
"""Most informational (1xx) responses before one response."""


class InformationalCounter:
    """
    Counts the informational responses, which are ignored but bounded.

    Attributes:
        left: bytes that the next heads may have.
    """

    __slots__ = ("_count", "left")

    def __init__(self) -> None:
        self._count = 0
        self.left = MAX_HEAD_BYTES

    def add(self, head: ResponseHead) -> None:
        """
        Count one more.

        Raises:
            ProtocolError: it is a 101, for which no request asks.
            ResponseTooLarge: there are too many, or they are too long.
        """
        if head.status == 101:
            raise ProtocolError("the server switches protocols without being asked to")
        self._count += 1
        if self._count > MAX_INFORMATIONAL:
            raise ResponseTooLarge(
                f"more than {MAX_INFORMATIONAL} informational responses", limit=MAX_INFORMATIONAL
            )
        self.left -= len(head.block)
        if self.left < 0:
            raise head_too_large()
