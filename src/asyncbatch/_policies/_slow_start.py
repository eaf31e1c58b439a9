"""
How one host opens: little by little, at its first requests as after a pause.

Pure, like the rest. When a pause begins and ends is not decided here.
"""

from __future__ import annotations

import math

FIRST = 10
"""Requests in flight at most to a host that has not answered: enough for a healthy one to be wide
open after four rounds, and few enough that one which takes connections and never answers does not
hold all slots."""

PATIENCE = 1.0
"""Seconds after which the number in flight doubles without an answer, where that is allowed: a
server whose answers take long must not be opened as slowly as it answers."""


class SlowStart:
    """
    How many requests may be in flight at a host that is not open yet.

    The width grows by one for each answer, so that it doubles with each round. It doubles by itself
    when it has been used up for a second: up to `FIRST` in any case, and beyond if the host has
    answered. Requests that were in flight before the opening began take none of it.

    Args:
        width: With how many it begins.
        before: How many are in flight from before, that take nothing of the width.
        has_answered: Whether the host has answered already.
    """

    __slots__ = ("_before", "_let_in", "has_answered", "widens_at", "width")

    def __init__(self, width: float, *, before: int = 0, has_answered: bool = False) -> None:
        self.width = width
        self.has_answered = has_answered
        # Both change only while there are requests from before: those let in since, to tell them
        # from the others. Written by `started` and `ended`.
        self._before = before
        self._let_in: set[object] = set()
        # When the width doubles, if it is used up until then.
        self.widens_at = math.inf

    @property
    def limit(self) -> float:
        """How many may be in flight in all."""
        return self._before + self.width

    @property
    def is_alone(self) -> bool:
        """Is nothing in flight from before?"""
        return not self._before

    def started(self, request: object, now: float) -> None:
        """Take note that a request has been let in."""
        if self._before:
            self._let_in.add(request)
        self._begin_waiting(now)

    def ended(self, request: object) -> None:
        """Take note that a request has ended, however."""
        if not self._before:
            return
        if request in self._let_in:
            self._let_in.remove(request)
            return
        self._before -= 1
        if not self._before:
            self._let_in.clear()

    def answered(self, now: float) -> None:
        """Make room for one more, and for `FIRST` of them at the first answer."""
        self.width += 1
        if not self.has_answered:
            self.has_answered = True
            self.width = max(self.width, FIRST)
            self._begin_waiting(now)

    def on_time(self, when: float, in_flight: int) -> None:
        """Double the width, if it is time for that."""
        if when < self.widens_at or in_flight < self.limit:
            return
        self.width *= 2
        if not self.has_answered:
            self.width = min(self.width, FIRST)
        self._begin_waiting(when)

    def _begin_waiting(self, now: float) -> None:
        may_widen = self.has_answered or self.width < FIRST
        self.widens_at = now + PATIENCE if may_widen else math.inf
