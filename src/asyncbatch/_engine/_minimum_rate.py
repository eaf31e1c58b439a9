"""
Whether a peer keeps the least rate that is asked of it.

Pure: the caller counts the bytes and says what time it is.
"""

from __future__ import annotations

import math
from collections import deque

WINDOW = 10
"""Whole seconds that a rate is averaged over: as long as a transfer may stand still."""


class Pace:
    """
    Counts the bytes of one transfer, and says when it will have been too slow.

    It is judged at whole seconds of the clock, so that one look serves all transfers of a moment,
    and for the first time when the window has passed since its first whole second. What comes
    before that second counts as coming in it.

    Args:
        rate: bytes per second that it must reach on average over the window.
        now: when it began.
    """

    __slots__ = ("_least", "_marked_at", "_received", "_totals")

    def __init__(self, rate: float, now: float) -> None:
        self._least = rate * WINDOW
        self._received = 0
        # How much had come at each of the last whole seconds, and when the last of them was.
        self._totals = deque([0], maxlen=WINDOW)
        self._marked_at = math.floor(now) + 1

    def take_out(self, seconds: float) -> None:
        """Let whole seconds pass in which nothing is expected."""
        self._marked_at += math.ceil(seconds)

    def add(self, count: int, now: float) -> None:
        """Count bytes that have come."""
        if now >= self._marked_at + 1:
            passed = math.floor(now) - self._marked_at
            self._totals.extend([self._received] * min(passed, WINDOW))
            self._marked_at += passed
        self._received += count

    @property
    def too_slow_at(self) -> float:
        """When it will have been too slow if nothing more comes."""
        enough = self._received - self._least
        totals = self._totals
        judged_at = self._marked_at + 1 + WINDOW
        if totals[-1] <= enough:
            return judged_at
        # Once in the past it has too little behind it, and so at each later second.
        return judged_at - sum(1 for total in totals if total > enough)
