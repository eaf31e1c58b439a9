"""
Put a body that has arrived together: join its pieces, and decode it.

Both happen in the event loop if that is quick, and otherwise in a thread. `_decoding` does the
decoding.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Any

import anyio.lowlevel

from asyncbatch._decoding import (
    BodyLimitExceeded,
    decode,
    decoder_for,
    gunzip_at_once,
    may_be_large,
)
from asyncbatch._engine.http11 import UnjoinedBody
from asyncbatch._lanes.response._turn import AT_ONCE, CallSoon, LoopTurn, turn_here
from asyncbatch._runtime._threads import NoThreads, Threads

AT_ONCE_RAW = 64 * 1024
AT_ONCE_DECODED = 256 * 1024
"""Most bytes of a body that is decoded in the event loop, in about half a millisecond."""

# More threads are not faster: they wait for each other, and each holds a decoder and its output.
_threads = Threads("asyncbatch-decoding", 2)

# Of their own, so that joining does not wait for bodies that are decoded.
_joining_threads = Threads("asyncbatch-joining", 2)

# If there is no thread: encoded bytes to decode between two looks at the clock, and the seconds
# after which other tasks get a turn.
_STEP = 1024
_STEP_SECONDS = 0.002


class WholeBodyDecoder:
    """
    Decodes bodies within one limit.

    Args:
        limit: Most bytes of a decoded body; None for no limit.
    """

    def __init__(self, limit: int | None) -> None:
        self._limit = limit
        self._at_once = AT_ONCE_DECODED if limit is None else min(limit, AT_ONCE_DECODED)
        # The turn and `call_soon` of the running event loop; set by `bind`.
        self._turn: LoopTurn | None = None
        self._call_soon: CallSoon = None  # type: ignore[assignment]
        self.has_begun = False
        """Whether `bind` has been called."""

    def bind(self) -> None:
        """Bind the decoder to the running event loop."""
        self._turn, self._call_soon = turn_here()
        self.has_begun = True

    def put_off(self, function: Callable[[Any], object], argument: Any) -> None:
        """Call a function in a later turn of the event loop, in which a body may be decoded."""
        assert self._turn is not None
        self._turn.put_off(function, argument, self._call_soon)

    def must_wait(self, raw: bytes, coding: str) -> bool:
        """Whether a short body waits for a later turn, as others have used up this one."""
        turn = self._turn
        if turn is None or turn.left > 0:
            return False
        return len(raw) <= AT_ONCE_RAW and not may_be_large(coding, raw, self._at_once)

    def decode_nowait(self, raw: bytes, coding: str) -> bytes | None:
        """
        Return a decoded body; `None` if decoding may take long or fails.

        Also `None` if other bodies have used up this turn of the event loop.
        """
        turn = self._turn
        if turn is None or turn.left <= 0 or len(raw) > AT_ONCE_RAW:
            return None
        try:
            if coding == "gzip":
                # As `_decode_here` would, with a third of the calls, for the most common coding.
                content = gunzip_at_once(raw, self._at_once)
                if content is not None:
                    turn.spend(len(content), self._call_soon)
                    return content
            if may_be_large(coding, raw, self._at_once):
                return None
            return self._decode_here(raw, coding, turn)
        except Exception:
            return None

    async def decode(self, raw: bytes, coding: str) -> bytes:
        """
        Return a decoded body; use a thread if decoding may take long.

        A cancellation does not wait for the thread, which stops at the next piece.

        Raises:
            DecodingFailure: If it does not decode, or to more than the limit.
            MemoryError: If there is no memory for it.
        """
        if not raw:
            return raw
        if len(raw) <= AT_ONCE_RAW and not may_be_large(coding, raw, self._at_once):
            if self._turn is None:
                self.bind()
            assert self._turn is not None
            while self._turn.left <= 0:
                await anyio.lowlevel.checkpoint()
            try:
                return self._decode_here(raw, coding, self._turn)
            except BodyLimitExceeded:
                if self._at_once == self._limit:
                    raise
        job = _Job(raw, coding, self._limit)
        try:
            return await _threads.call(job.run)
        except NoThreads:
            return await job.run_here()
        finally:
            job.stop_decoding()

    def _decode_here(self, raw: bytes, coding: str, turn: LoopTurn) -> bytes:
        spent = AT_ONCE  # a failure costs the whole turn
        try:
            content = decode(coding, raw, max_size=self._at_once)
            spent = len(content)
            return content
        finally:
            turn.spend(spent, self._call_soon)


async def join(body: UnjoinedBody) -> bytes:
    """
    Return a large body as one piece, joined in a thread.

    32 MiB take 8 to 20 ms, and several bodies may end in one turn of the event loop. CPython
    releases the GIL while it joins 1 MiB or more of nothing but `bytes`. A cancellation does not
    wait for the thread.

    Raises:
        MemoryError: If there is no memory for it.
    """
    try:
        return await _joining_threads.call(body.__bytes__)
    except NoThreads:
        return bytes(body)


class _GivenUp(Exception):
    """The body is not wanted any more."""


class _Job:
    """One body to decode, in a thread or in steps."""

    def __init__(self, raw: bytes, coding: str, limit: int | None) -> None:
        self._raw = raw
        self._coding = coding
        self._limit = limit
        self._is_given_up = False

    def stop_decoding(self) -> None:
        """Make the thread stop at the next piece."""
        self._is_given_up = True

    def run(self) -> bytes:
        """Decode all of it; called in a thread."""
        return decode(self._coding, self._raw, max_size=self._limit, on_piece=self._check)

    async def run_here(self) -> bytes:
        """Decode all of it in the event loop, if there is no thread for it."""
        decoder = decoder_for(self._coding, max_size=self._limit)
        begun = perf_counter()
        for start in range(0, len(self._raw), _STEP):
            decoder.feed(self._raw[start : start + _STEP])
            if perf_counter() - begun > _STEP_SECONDS:
                await anyio.lowlevel.checkpoint()
                begun = perf_counter()
        return decoder.finish()

    def _check(self) -> None:
        if self._is_given_up:
            raise _GivenUp
