"""
Timers of hosts and requests, in one heap.

Pure: the caller passes the time in.
"""

from __future__ import annotations

import heapq
import math
from typing import Protocol

# Cancelled entries stay in the heap until they reach its top. When they are more than half of it
# (and more than this number), the heap is rebuilt: amortised O(1) per entry.
_WORTH_CLEANING = 64


class Timed(Protocol):
    """An object with one timer."""

    timer: float | None
    """When its timer fires; written by `Timers` alone."""

    def on_time(self, when: float) -> None:
        """Handle the timer, which was set to `when`."""


class Timers:
    """Calls `on_time` of many objects, in the order of their times."""

    __slots__ = ("_heap", "_serial", "_stale", "next_at")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Timed]] = []
        # Keeps entries with the same time in the order in which they were set, and comparable.
        self._serial = 0
        # Number of entries whose timer was cancelled or moved.
        self._stale = 0
        # The time of the first entry. An attribute, as every request compares it with the clock.
        self.next_at = math.inf

    def __len__(self) -> int:
        return len(self._heap)

    def set(self, target: Timed, when: float) -> None:
        """Set the timer of `target` to `when`; an earlier setting is dropped."""
        if target.timer is not None:
            self._stale += 1
        target.timer = when
        self._serial += 1
        heapq.heappush(self._heap, (when, self._serial, target))
        self._tidy()

    def cancel(self, target: Timed) -> None:
        """Cancel the timer of `target`, if it is set."""
        if target.timer is None:
            return
        target.timer = None
        self._stale += 1
        self._tidy()

    def run(self, now: float) -> None:
        """Fire all timers up to `now`, in order, each with its own time."""
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
        """Drop cancelled entries from the top, or all of them if they are the greater part."""
        heap = self._heap
        if self._stale > _WORTH_CLEANING and self._stale * 2 > len(heap):
            heap[:] = [entry for entry in heap if entry[2].timer == entry[0]]
            heapq.heapify(heap)
            self._stale = 0
        while heap and heap[0][2].timer != heap[0][0]:
            heapq.heappop(heap)
            self._stale -= 1
        self.next_at = heap[0][0] if heap else math.inf
