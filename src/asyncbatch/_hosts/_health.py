"""
Whether one host can be connected to.

Pure, like the rest. Says who is let through; what becomes of the others is decided elsewhere.
"""

from __future__ import annotations

import math

DOWN_FOR = 30.0
"""Seconds for which a host that does not connect is left alone before it is probed."""


class Health:
    """Whether one host can be connected to, by those that have tried."""

    __slots__ = ("_down_until", "_failures", "_give_up_after", "_probe", "matters_until")

    def __init__(self, give_up_after: int | None) -> None:
        self._give_up_after = give_up_after
        # Connections in a row that could not be made. Counted by `failed`, ended by `connected`,
        # as the next two.
        self._failures = 0
        # None: up. Else requests fail at once until then, and then until a probe has succeeded.
        self._down_until: float | None = None
        # Until when all of this is worth remembering: as long as a host stays down.
        self.matters_until = -math.inf
        # The request that is let through to a host that is down, from `started` to `ended`.
        self._probe: object | None = None

    @property
    def is_good(self) -> bool:
        """Has nothing failed since the last connection?"""
        return not self._failures and self._down_until is None

    @property
    def is_down(self) -> bool:
        """Is the host left alone, but for probes?"""
        return self._down_until is not None

    def fails_fast(self, now: float) -> bool:
        """Is the host down, and nobody wanted to probe it?"""
        return self._down_until is not None and (self._probe is not None or now < self._down_until)

    def started(self, request: object) -> None:
        """Take note that a request has been let through."""
        if self._down_until is not None:
            self._probe = request

    def ended(self, request: object) -> bool:
        """Take note that a request has ended, however; return whether it was the probe."""
        if self._probe is not request:
            return False
        self._probe = None
        return True

    def connected(self) -> None:
        """Take note of a connection."""
        self._failures = 0
        self._down_until = self._probe = None

    def failed(self, now: float, *, was_probe: bool) -> bool:
        """Take note of a connection that could not be made; return whether the host goes down."""
        if self._give_up_after is None:
            return False
        self._failures += 1
        self.matters_until = now + DOWN_FOR
        goes_down = was_probe or (
            self._down_until is None and self._failures >= self._give_up_after
        )
        if goes_down:
            self._down_until = now + DOWN_FOR
        return goes_down
