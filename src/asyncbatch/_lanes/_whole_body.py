"""
Decoding a body that has come as a whole: at once where that is quick, otherwise in a thread.

How it is decoded is `_decoding`'s affair.
"""

from __future__ import annotations

import anyio.to_thread

from asyncbatch._decoding import (
    INLINE_SIZE,
    OFFLOAD_THRESHOLD,
    BodyLimitExceeded,
    decode,
)

_AT_ONCE_RAW = 16 * 1024
_AT_ONCE = 128 * 1024
"""Bytes to decode inside a callback that others wait behind, which takes a fraction of a ms."""


class WholeBodyDecoder:
    """
    Decodes bodies within one limit.

    Args:
        limit: Bytes that a decoded body may have; None for any number.
    """

    def __init__(self, limit: int | None) -> None:
        self._limit = limit
        self._inline = INLINE_SIZE if limit is None else min(limit, INLINE_SIZE)
        self._at_once = _AT_ONCE if limit is None else min(limit, _AT_ONCE)

    def decode_nowait(self, raw: bytes, coding: str) -> bytes | None:
        """Return a decoded body, unless that may take long or there is something wrong with it."""
        if len(raw) > _AT_ONCE_RAW:
            return None
        try:
            return decode(coding, raw, max_size=self._at_once)
        except Exception:
            return None

    async def decode(self, raw: bytes, coding: str) -> bytes:
        """
        Return a decoded body; a large one is decoded in a thread.

        Raises:
            DecodingFailure: It does not decode, or to more than the limit.
            MemoryError: There is no room for it.
        """
        if not raw:
            return raw
        if len(raw) <= OFFLOAD_THRESHOLD:
            try:
                return decode(coding, raw, max_size=self._inline)
            except BodyLimitExceeded:
                if self._inline == self._limit:
                    raise
        return await anyio.to_thread.run_sync(lambda: decode(coding, raw, max_size=self._limit))
