"""
How long one host has let nothing start: what `throttled` is measured by.

Pure, like the rest. When the host lets something start, the host says.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncbatch._policies._rate import Gcra


class BlockedTime:
    """
    A clock that runs only while a host, or the rate over all, lets nothing start.

    The time for which a request has been held back is the difference of two readings.
    """

    __slots__ = ("_held", "_settled_at", "_total", "seconds")

    def __init__(self, total: Gcra | None) -> None:
        self._total = total
        # Three that `settle` alone writes, and together. Seconds in which the host, but not the
        # rate over all, let nothing start. An attribute, since each request to a plain host reads
        # it: to such a host there is no rate over all, and the clock stands.
        self.seconds = 0.0
        # Seconds in which the rate over all let nothing start, whatever the host did.
        self._held = 0.0
        self._settled_at = -math.inf

    def settle(self, now: float, blocked_until: float) -> float:
        """
        Bring the clock up to `now`, and return what it shows.

        Args:
            now: The time.
            blocked_until: Until when, since it was settled last, the host let nothing start.
        """
        since = self._settled_at
        if now <= since:
            return self.seconds + self._held
        is_blocked = blocked_until > since > -math.inf
        total = self._total
        if total is None:
            if is_blocked:
                self.seconds += blocked_until - since
        else:
            if is_blocked:
                held = total.closed_until(blocked_until) - self._held
                self.seconds += (blocked_until - since) - held
            self._held = total.closed_until(now)
        self._settled_at = now
        return self.seconds + self._held
