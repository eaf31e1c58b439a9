"""
`TLSRecords`: whether received bytes end inside a TLS record, which OpenSSL does not tell.

Pure: it counts bytes, and keeps none but a part of a header.
"""

from __future__ import annotations

RECORD_HEADER = 5
"""Bytes: type, version, and the length of what follows (RFC 8446 §5.1)."""


class TLSRecords:
    """
    Follows the records in the bytes from one peer.

    Attributes:
        missing: Least number of bytes that the last record still lacks.
    """

    __slots__ = ("_part_of_header", "missing")

    def __init__(self) -> None:
        self.missing = 0
        self._part_of_header = b""

    def follow(self, content: bytes | memoryview) -> None:
        """Note how much is missing after some more bytes."""
        start = self.missing
        if self._part_of_header:
            content = self._part_of_header + content
            self._part_of_header = b""
            start = 0
        size = len(content)
        while start + RECORD_HEADER <= size:
            start += RECORD_HEADER + (content[start + 3] << 8 | content[start + 4])
        if start < size:
            self._part_of_header = bytes(content[start:])
            start += RECORD_HEADER
        self.missing = start - size
