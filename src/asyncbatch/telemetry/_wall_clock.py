"""The wall clock, by which spans tell when something happened."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

SYNCHRONISED = 10.0
"""Seconds after which the wall clock is read again: it may be set, and goes on during sleep."""

READINGS = 5
"""Most readings of the two clocks, until they are as close together as `CLOSE`, in seconds."""
CLOSE = 0.001


class WallClock:
    """
    Converts the times of a batch's clock to nanoseconds since 1970.

    Args:
        clock: The batch's clock.

    Attributes:
        zero: the nanoseconds since 1970 at which that clock shows 0.
        read_again_at: when `zero` has to be read again, by that clock.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.zero = 0
        self.read_again_at = math.inf

    def read(self) -> None:
        """Read both clocks."""
        before = now = self._clock()
        wall = time.time_ns()
        # The machine may have done something else between the two readings.
        for _ in range(READINGS):
            now = self._clock()
            if now - before < CLOSE:
                break
            before, wall = now, time.time_ns()
        self.zero = wall - int(before * 1e9)
        # A virtual clock keeps its distance from the wall.
        self.read_again_at = now + SYNCHRONISED if self._clock is time.monotonic else math.inf
