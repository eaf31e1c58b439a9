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

    One at first, and one more for each that has ended since the pause began without being refused.
    So the number doubles with each round, and begins at what the server takes, where it has refused
    only a part of what it was asked at once. It doubles, too, when the last one has been in flight
    for so long that it will hardly be refused.
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

    def ended(self, request: object) -> None:
        """Take note that a request has ended, however, whether it was let in by this or not."""
        self._in_flight.discard(request)

    def widen(self) -> None:
        """Make room for one more: a request has not been refused."""
        self._width += 1

    def on_time(self, when: float) -> None:
        """Double the room, if it is time for that."""
        if self.is_used_up and when >= self.widens_at:
            self._width *= 2
