"""
The time for which a host let no request start, by which `throttled` is measured.

Pure. The host passes the times in.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncbatch._policies._rate import Gcra


class BlockedTime:
    """
    A clock that runs only while a host, or the total rate, lets no request start.

    The time for which a request was held back is the difference of two readings.
    """

    __slots__ = ("_total", "held", "seconds", "settled_at")

    def __init__(self, total: Gcra | None) -> None:
        self._total = total
        # `settle` writes these three together. Seconds in which the host, but not the total rate,
        # let no request start. An attribute, since each request to a plain host reads it: such a
        # host has no total rate, so that its clock stands.
        self.seconds = 0.0
        # Seconds in which the total rate let no request start, in any state of the host.
        self.held = 0.0
        self.settled_at = -math.inf

    def settle(self, now: float, blocked_until: float) -> float:
        """
        Advance the clock to `now`, and return its reading.

        Args:
            now: The current time, after `settled_at`.
            blocked_until: Until when the host let no request start, since the last call.
        """
        since = self.settled_at
        is_blocked = blocked_until > since > -math.inf
        total = self._total
        if total is None:
            if is_blocked:
                self.seconds += blocked_until - since
        else:
            if is_blocked:
                held = total.closed_until(blocked_until) - self.held
                self.seconds += (blocked_until - since) - held
            self.held = total.closed_until(now)
        self.settled_at = now
        return self.seconds + self.held
