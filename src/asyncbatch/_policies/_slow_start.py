"""
Slow start of one host, at its first requests and after a pause.

Pure. `Host` decides when it begins.
"""

from __future__ import annotations

import math

FIRST = 10
"""Most requests in flight to a host that has not answered. It is enough for a healthy host to be
open after four rounds, and few enough that a host which accepts connections and never answers does
not hold all slots."""

WIDENING_SECONDS = 1.0
"""Seconds after which the width doubles without an answer, if that is allowed: the slow start of a
server with slow answers must not take as long as its answers."""


class SlowStart:
    """
    The number of requests that may be in flight at a host during slow start.

    The width grows by one for each answer, so that it doubles with each round. It also doubles when
    it has been used up for a second: up to `FIRST` in any case, beyond if the host has answered.
    Requests that were in flight before slow start do not count.

    Args:
        width: The width at the beginning.
        before: Number of requests in flight from before, which do not count.
        has_answered: Whether the host has answered already.
    """

    __slots__ = ("_before", "_let_in", "has_answered", "widens_at", "width")

    def __init__(self, width: float, *, before: int = 0, has_answered: bool = False) -> None:
        self.width = width
        self.has_answered = has_answered
        # Number of requests from before, and the requests started since, which are kept apart only
        # while there are any from before. Written by `started` and `ended`.
        self._before = before
        self._let_in: set[object] = set()
        # When the width doubles, if it stays used up until then.
        self.widens_at = math.inf

    @property
    def limit(self) -> float:
        """Most requests in flight, those from before included."""
        return self._before + self.width

    def started(self, request: object, now: float) -> None:
        """Record the start of a request."""
        if self._before:
            self._let_in.add(request)
        self.begin_waiting(now)

    def ended(self, request: object) -> None:
        """Record the end of a request, with any outcome."""
        if not self._before:
            return
        if request in self._let_in:
            self._let_in.remove(request)
            return
        self._before -= 1
        if not self._before:
            self._let_in.clear()

    def answered(self, now: float) -> None:
        """Widen by one for an answer, and to at least `FIRST` for the first answer."""
        self.width += 1
        if not self.has_answered:
            self.has_answered = True
            self.width = max(self.width, FIRST)
            self.begin_waiting(now)

    def on_time(self, when: float, in_flight: int) -> None:
        """Double the width, if it has been used up for long enough."""
        if when < self.widens_at or in_flight < self.limit:
            return
        self.width *= 2
        if not self.has_answered:
            self.width = min(self.width, FIRST)
        self.begin_waiting(when)

    def final_width(self, full: float, in_flight: int, *, is_waited_for: bool) -> float | None:
        """
        Return the width of the host once slow start is over; `None` if it is not.

        It is over if the host has answered often enough, or if it has room that no request needs.

        Args:
            full: Most requests that can be in flight; with this width the host is open.
            in_flight: Number of requests in flight.
            is_waited_for: Whether a request waits for a slot.
        """
        if not self.has_answered:
            return None
        if self.width >= full:
            return math.inf
        has_spare = not self._before and not is_waited_for and 1 < self.width > in_flight
        return self.width if has_spare else None

    def begin_waiting(self, now: float) -> None:
        """Double the width in a second, if it is used up until then and may be doubled."""
        may_widen = self.has_answered or self.width < FIRST
        self.widens_at = now + WIDENING_SECONDS if may_widen else math.inf
