"""
The informational (1xx) responses in front of the one that is waited for (RFC 9110 §15.2).
"""

from __future__ import annotations

from ._errors import ProtocolError, ResponseTooLarge
from ._head import MAX_HEAD_BYTES, ResponseHead, head_too_large

MAX_INFORMATIONAL = 20
"""Informational (1xx) responses in front of one response."""


class InformationalCounter:
    """
    Counts them: they mean nothing to us, and may not go on for ever.

    Attributes:
        left: bytes that the heads to come may have.
    """

    __slots__ = ("_count", "left")

    def __init__(self) -> None:
        self._count = 0
        self.left = MAX_HEAD_BYTES

    def add(self, head: ResponseHead) -> None:
        """
        Pass over one more.

        Raises:
            ProtocolError: it is none to pass over.
            ResponseTooLarge: there are too many, or they are too long.
        """
        if head.status == 101:
            raise ProtocolError("the server switches protocols, and nobody asked it to")
        self._count += 1
        if self._count > MAX_INFORMATIONAL:
            raise ResponseTooLarge(
                f"more than {MAX_INFORMATIONAL} informational responses", limit=MAX_INFORMATIONAL
            )
        self.left -= len(head.block)
        if self.left < 0:
            raise head_too_large()
