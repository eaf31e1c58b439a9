"""
How one host opens after a pause: little by little, so that it is not refused again at once.

Pure, like the rest. When a pause begins and ends is not decided here.
"""

from __future__ import annotations

import math

PATIENCE = 1.0
"""Seconds: a request that has not been refused by then is not going to be, as a rule. Refusing is
quick, and a server whose answers take long must not be opened as slowly as it answers."""


class Opening:
    """
    How many requests may be in flight of those that were started after a pause.

    One at first. Each that ends without being refused makes room for two, so that the number
    doubles with each round; and it doubles, too, when the last one has been in flight for so long
    that it will hardly be refused. What was started before the pause does not count.
    """

    __slots__ = ("_in_flight", "_width", "widens_at")

    def __init__(self) -> None:
        self._width = 1
        # Written by `started` and `ended`, as is the time at which the width doubles if it is used
        # up until then.
        self._in_flight: set[object] = set()
        self.widens_at = math.inf

    @property
    def room(self) -> int:
        """How many more may be started now."""
        return self._width - len(self._in_flight)

    @property
    def is_used_up(self) -> bool:
        """Is there no room?"""
        return self.room <= 0

    def is_over(self, cap: float, *, nobody_waits: bool) -> bool:
        """Has it become pointless: as wide as the host's cap, or wider than is asked for?"""
        return self._width > 1 and (self._width >= cap or (nobody_waits and not self.is_used_up))

    def started(self, request: object, now: float) -> None:
        """Take note that a request has been let in."""
        self._in_flight.add(request)
        self.widens_at = now + PATIENCE

    def ended(self, request: object) -> bool:
        """Take note that a request has ended, however; return whether it was let in by this."""
        if request not in self._in_flight:
            return False
        self._in_flight.remove(request)
        return True

    def widen(self) -> None:
        """Make room for one more: a request that was let in has not been refused."""
        self._width += 1

    def on_time(self, when: float) -> None:
        """Double the room, if it is time for that."""
        if self.is_used_up and when >= self.widens_at:
            self._width *= 2
