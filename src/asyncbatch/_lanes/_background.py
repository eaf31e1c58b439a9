"""
Decoding a body while it comes, without holding the event loop up for a large one.

How it is decoded is `_decoding`'s affair.
"""

from __future__ import annotations

import anyio.to_thread

from asyncbatch._decoding import INLINE_SIZE, OFFLOAD_THRESHOLD, BodyLimitExceeded, decoder_for


class BackgroundDecoder:
    """
    Decodes what is small on the spot, and goes over to a thread when a body turns out to be large.

    Then it begins anew there: a decoder that has run into a limit cannot go on.

    Args:
        coding: The value of Content-Encoding.
        limit: Bytes that the decoded body may have; None for any number.
    """

    def __init__(self, coding: str, limit: int | None) -> None:
        self._coding = coding
        self._limit = limit
        self._inline = INLINE_SIZE if limit is None else min(limit, INLINE_SIZE)
        self._decoder = decoder_for(coding, max_size=self._inline)
        # What has come so far, until it is known to be large.
        self._raw = bytearray()
        self._is_large = False

    async def feed(self, chunk: bytes) -> None:
        """
        Take the next encoded bytes.

        Raises:
            DecodingFailure: They do not decode, or to more than the limit.
        """
        if self._is_large:
            await anyio.to_thread.run_sync(self._decoder.feed, chunk)
            return
        self._raw += chunk
        if len(self._raw) <= OFFLOAD_THRESHOLD:
            try:
                self._decoder.feed(chunk)
                return
            except BodyLimitExceeded:
                if not self._may_be_larger():
                    raise
        await self._begin_anew()

    async def finish(self) -> bytes:
        """
        Return the decoded body, once the encoded one has ended.

        Raises:
            DecodingFailure: It ends too early.
        """
        try:
            return self._decoder.finish()
        except BodyLimitExceeded:
            if not self._may_be_larger():
                raise
        await self._begin_anew()
        return self._decoder.finish()

    def _may_be_larger(self) -> bool:
        """Whether only the limit for decoding on the spot was exceeded."""
        return not self._is_large and self._inline != self._limit

    async def _begin_anew(self) -> None:
        self._is_large = True
        raw, self._raw = bytes(self._raw), bytearray()
        self._decoder = decoder_for(self._coding, max_size=self._limit)
        await anyio.to_thread.run_sync(self._decoder.feed, raw)


class PlainBody:
    """Takes a body that has no coding, likewise."""

    def __init__(self, limit: int | None) -> None:
        self._decoder = decoder_for(None, max_size=limit)

    async def feed(self, chunk: bytes) -> None:
        """Take the next bytes."""
        self._decoder.feed(chunk)

    async def finish(self) -> bytes:
        """Return the body."""
        return self._decoder.finish()
