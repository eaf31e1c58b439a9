"""
`Deadlines`: one timer for the time limits of all exchanges.

A timer for each exchange costs 1.4 µs, and nearly none of them ever fires. Here an exchange
compares one number, and a limit is late by `SWEEP_INTERVAL` at most.

While exchanges are in flight, the timer fires several times a second. If it fires much too late,
the loop was blocked. Then no limit is enforced before the bytes that have arrived are read.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

from asyncbatch._engine._event_loop import EventLoop, Timer
from asyncbatch._engine._exchange import NEVER
from asyncbatch._runtime._event_loop import is_virtual
from asyncbatch._runtime._stalls import GRACE, LATE

SWEEP_INTERVAL = 0.02
"""Least seconds between two sweeps."""

BEAT = 0.1
"""Seconds between two checks whether the loop was blocked. They cost 50 µs of each second."""


class Deadlines:
    """
    Calls a function when the earliest of many deadlines has passed.

    Args:
        loop: Runs the timer.
        look: Receives the time, handles every deadline up to it, and returns the next one.
        is_busy: Tells whether anything is in flight whose limits must not count a blocked loop.
        on_stall: Called when the loop was blocked, with the least seconds, the latest time at which
            that began, and the further seconds by which limits are extended.

    Attributes:
        next_at: `by` need not be called for deadlines after it. Infinite while nothing is in
            flight, so that the first exchange calls `by`.
        late_at: If the timer has not fired by this time, the loop was blocked.
    """

    __slots__ = (
        "_beat_at",
        "_due",
        "_handle",
        "_is_busy",
        "_look",
        "_look_at",
        "_loop",
        "_on_stall",
        "late_at",
        "next_at",
    )

    def __init__(
        self,
        loop: EventLoop,
        look: Callable[[float], float],
        *,
        is_busy: Callable[[], bool],
        on_stall: Callable[[float, float, float], object],
    ) -> None:
        self._loop = loop
        self._look = look
        self._is_busy = is_busy
        self._on_stall = on_stall
        self._handle: Timer | None = None
        # When the timer fires, and when the loop was last seen to run.
        self._due = NEVER
        self._beat_at = -NEVER
        # When to call `look` next.
        self._look_at = NEVER
        self.next_at = NEVER
        self.late_at = NEVER

    def by(self, deadline: float) -> None:
        """Make sure that `look` is called soon after `deadline`."""
        if deadline < self.next_at:
            self._look_at = min(self._look_at, deadline)
            self._arm(monotonic())

    def stop(self) -> None:
        """Stop the timer for good."""
        if self._handle is not None:
            self._handle.cancel()
        self.next_at = -NEVER
        self.late_at = NEVER

    def excuse(self, seconds: float) -> None:
        """Exclude the time of a blocked loop that was already measured elsewhere."""
        self._due += seconds
        self._beat_at += seconds
        self.late_at += seconds

    def stood_still(self) -> None:
        """Handle a late timer: extend the limits, and report that the loop was blocked."""
        now = monotonic()
        known, missed = now - self._due, now - self._beat_at
        since = self._due
        # Read the bytes that have arrived before any limit is enforced.
        self._look_at = max(self._look_at + missed, now) + GRACE
        self._arm(now)
        self._on_stall(known, since, missed - known + GRACE)

    def _arm(self, now: float) -> None:
        # A loop with virtual time is never blocked.
        beats = not is_virtual(self._loop) and self._is_busy()
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        self.next_at = self._look_at if beats else NEVER
        when = max(now, min(self._look_at, now + BEAT) if beats else self._look_at)
        self._due = when
        self._beat_at = now
        self.late_at = when + LATE if beats else NEVER
        if when < NEVER:
            self._handle = self._loop.call_later(when - now, self._run)

    def _run(self) -> None:
        now = monotonic()
        if now >= self.late_at:
            self.stood_still()
            return
        if now >= self._look_at:
            self._look_at = self.next_at = NEVER
            following = self._look(now)
            if self.next_at == -NEVER:  # stopped by `look`
                return
            self._look_at = max(min(self._look_at, following), now + SWEEP_INTERVAL)
        self._arm(now)
