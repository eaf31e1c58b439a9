"""
`ReceivedRate`: whether a peer sends at the least rate required.

Pure: the caller counts the bytes, and passes the time.
"""

from __future__ import annotations

import math
from collections import deque

WINDOW = 10
"""Whole seconds over which the rate is averaged; a transfer may pause for as long."""


class ReceivedRate:
    """
    Counts the bytes of one transfer, and tells when it will have been too slow.

    The rate is checked at whole seconds of the clock, so that one check serves all transfers, and
    first when the window has passed since the first whole second. Bytes before that second count as
    arriving in it.

    Args:
        rate: Least bytes per second, averaged over the window.
        now: When the transfer began.
    """

    __slots__ = ("_least", "_marked_at", "_received", "_totals")

    def __init__(self, rate: float, now: float) -> None:
        self._least = rate * WINDOW
        self._received = 0
        # The bytes received at each of the last whole seconds, and when the last of them was.
        self._totals = deque([0], maxlen=WINDOW)
        self._marked_at = math.floor(now) + 1

    def take_out(self, seconds: float) -> None:
        """Skip whole seconds in which no bytes are expected."""
        self._marked_at += math.ceil(seconds)

    def add(self, count: int, now: float) -> None:
        """Count received bytes."""
        if now >= self._marked_at + 1:
            passed = math.floor(now) - self._marked_at
            self._totals.extend([self._received] * min(passed, WINDOW))
            self._marked_at += passed
        self._received += count

    @property
    def too_slow_at(self) -> float:
        """When it will have been too slow, if nothing more arrives."""
        enough = self._received - self._least
        totals = self._totals
        judged_at = self._marked_at + 1 + WINDOW
        if totals[-1] <= enough:
            return judged_at
        # A second with too little after it is followed only by such seconds; each is one second
        # less.
        return judged_at - sum(1 for total in totals if total > enough)
