"""
Retry budget: limits the retries of one host, beyond the limits of the retry policy.

Pure: the caller passes the time in.
"""

from __future__ import annotations

import math


class RetryBudget:
    """
    The budget of retries to one host, a share of its first tries.

    A window of 10 seconds has at most `ratio` retries per first try, plus 10 for each second of the
    window: the figures of Finagle's RetryBudget, which reqwest uses too. The window moves in steps
    of a second, so that each step is O(1).
    """

    WINDOW = 10
    """Length of the window in seconds."""
    RESERVE = 10 * WINDOW
    """Retries in a window that are allowed without any first tries."""

    __slots__ = (
        "_next",
        "_ratio",
        "_refundable",
        "_retries",
        "_ring",
        "_sums",
        "ends_at",
        "tries",
    )

    def __init__(self, ratio: float) -> None:
        self._ratio = ratio
        # The current second. The schedule increments `tries` itself, after checking that the second
        # is not over: a call per request would cost more than the rest of the budget.
        self.tries = 0
        self.ends_at = -math.inf
        self._retries = 0
        # Retries that `refund` returns; `keep` and `refund` forget them.
        self._refundable = 0
        # (tries, retries) of each earlier second; None until there is something to keep.
        self._ring: list[tuple[int, int]] | None = None
        self._next = 0
        self._sums = (0, 0)

    def turn(self, now: float) -> None:
        """Close the seconds that are over. Call it when `now` has reached `ends_at`."""
        if self._ring is not None or self.tries or self._retries:
            steps = math.floor(now - self.ends_at) + 1
            for _ in range(min(steps, self.WINDOW)):
                self._close_second()
        self.ends_at = math.floor(now) + 1.0

    def spend(self, now: float, *, is_refundable: bool = False) -> bool:
        """Take one retry from the budget; return whether there was one left."""
        if now >= self.ends_at:
            self.turn(now)
        tries = self._sums[0] + self.tries
        retries = self._sums[1] + self._retries
        if retries + 1 > self._ratio * tries + self.RESERVE:
            return False
        self._retries += 1
        self._refundable += is_refundable
        return True

    def refund(self, now: float) -> None:
        """Return the refundable retries, which were taken within this window."""
        if not self._refundable:
            return
        if now >= self.ends_at:
            self.turn(now)
        # Negative if they were taken in an earlier second: only the sum counts.
        self._retries -= self._refundable
        self._refundable = 0

    def keep(self) -> None:
        """Make the retries that were taken so far not refundable any more."""
        self._refundable = 0

    def spent_until(self) -> float:
        """Return when the window will hold no retry; a time in the past if it holds none now."""
        if self._retries or self._sums[1]:
            return self.ends_at + self.WINDOW
        return -math.inf

    def _close_second(self) -> None:
        if self._ring is None:
            self._ring = [(0, 0)] * (self.WINDOW - 1)
        old_tries, old_retries = self._ring[self._next]
        self._ring[self._next] = (self.tries, self._retries)
        tries, retries = self._sums
        self._sums = (tries + self.tries - old_tries, retries + self._retries - old_retries)
        self._next = (self._next + 1) % len(self._ring)
        self.tries = self._retries = 0
