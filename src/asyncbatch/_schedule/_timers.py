"""
One heap for everything that happens by itself when its time has come.

Pure: the caller says what time it is. Nothing is known here of hosts and requests.
"""

from __future__ import annotations

import heapq
import math
from typing import Protocol

# Cancelled entries stay in the heap until they come up. When they are more than half of it (and
# worth the work) the heap is built anew: O(1) per entry, spread over all.
_WORTH_CLEANING = 64


class Timed(Protocol):
    """Something with one timer."""

    timer: float | None
    """When its timer goes off; written by `Timers` alone."""

    def on_time(self, when: float) -> None:
        """Do what was to be done at `when`."""


class Timers:
    """Call `on_time` of many objects, each at its time and in the order of time."""

    __slots__ = ("_heap", "_serial", "_stale", "next_at")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Timed]] = []
        # Keeps entries of one time in the order in which they were set, and comparable.
        self._serial = 0
        # Entries whose timer has been cancelled or moved.
        self._stale = 0
        # The time of the first entry. An attribute, as every request compares it with the clock.
        self.next_at = math.inf

    def __len__(self) -> int:
        return len(self._heap)

    def set(self, target: Timed, when: float) -> None:
        """Make `target`'s timer go off at `when`, and at no other time."""
        if target.timer is not None:
            self._stale += 1
        target.timer = when
        self._serial += 1
        heapq.heappush(self._heap, (when, self._serial, target))
        self._tidy()

    def cancel(self, target: Timed) -> None:
        """Make `target`'s timer not go off; no harm if it has none."""
        if target.timer is None:
            return
        target.timer = None
        self._stale += 1
        self._tidy()

    def run(self, now: float) -> None:
        """Let every timer go off whose time has come, each with its own time, in order."""
        heap = self._heap
        while heap and heap[0][0] <= now:
            when, _, target = heapq.heappop(heap)
            if target.timer != when:
                self._stale -= 1
                continue
            target.timer = None
            target.on_time(when)
        self._tidy()

    def _tidy(self) -> None:
        """Drop cancelled entries from the top, and all of them when they are the greater part."""
        heap = self._heap
        if self._stale > _WORTH_CLEANING and self._stale * 2 > len(heap):
            heap[:] = [entry for entry in heap if entry[2].timer == entry[0]]
            heapq.heapify(heap)
            self._stale = 0
        while heap and heap[0][2].timer != heap[0][0]:
            heapq.heappop(heap)
            self._stale -= 1
        self.next_at = heap[0][0] if heap else math.inf
