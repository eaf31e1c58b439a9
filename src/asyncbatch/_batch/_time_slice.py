"""
A slice of time: how long a batch may run without giving way to other tasks.

An input that can be read without waiting, and transports that answer without waiting (mocks,
caches), never yield to the event loop by themselves.
"""

from __future__ import annotations

import math
import time

import anyio.lowlevel

SLICE = 0.005
"""Length of a slice in seconds."""


class TimeSlice:
    """
    The time that the tasks of one batch share before they let others run.

    It is real time, even if a test has made the clock of the batch virtual: virtual time stands
    still while no task waits.
    """

    def __init__(self) -> None:
        self._end = -math.inf

    @property
    def is_over(self) -> bool:
        """Whether it is time to let others run."""
        return time.perf_counter() >= self._end

    def restart(self) -> None:
        """Begin a slice, after a wait."""
        self._end = time.perf_counter() + SLICE

    async def let_others_run(self) -> None:
        """Let all others run once, and begin the next slice if none of them has."""
        ended = self._end
        await anyio.lowlevel.checkpoint()
        # If each task began a new slice here, a hundred workers would take a slice each in turn,
        # and block the event loop for the sum of them.
        if self._end == ended:
            self.restart()
