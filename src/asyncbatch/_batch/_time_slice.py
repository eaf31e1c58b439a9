"""
A slice of time: for how long a batch may keep the event loop to itself.

Input that can be read without waiting and transports that answer without waiting (mocks, caches)
never give others their turn by themselves.
"""

from __future__ import annotations

import math
import time

import anyio.lowlevel

SLICE = 0.005
"""Seconds."""


class TimeSlice:
    """
    The time that the tasks of one batch share before they let others run.

    Real time, also where a test has made the batch's own clock virtual: that stands still while
    nobody waits.
    """

    def __init__(self) -> None:
        self._end = -math.inf

    @property
    def is_over(self) -> bool:
        """Whether it is time to let others run."""
        return time.perf_counter() >= self._end

    def begin(self) -> None:
        """Begin a slice, after having waited."""
        self._end = time.perf_counter() + SLICE

    async def end(self) -> None:
        """Let all others run once, and begin the next slice if none of them has."""
        ended = self._end
        await anyio.lowlevel.checkpoint()
        # Were it begun by each that comes back, a hundred workers would get a slice each in turn,
        # and the event loop would stand still for the sum of them.
        if self._end == ended:
            self.begin()
