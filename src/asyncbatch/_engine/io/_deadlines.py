"""
Limits of time, kept by one look at everything now and then.

A timer for each exchange costs 1.4 µs, and nearly none of them ever fires. Here an exchange
compares one number, and a limit is late by `SWEEP_INTERVAL` at most.

While something is under way the timer goes off several times a second. One that is late by much
says that the loop stood still: then no limit may be enforced before what has come is read.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

from asyncbatch._engine._event_loop import EventLoop, Timer
from asyncbatch._engine._exchange import NEVER
from asyncbatch._runtime._event_loop import is_virtual
from asyncbatch._runtime._stalls import GRACE, LATE

SWEEP_INTERVAL = 0.02
"""Seconds between two sweeps at least."""

BEAT = 0.1
"""Seconds between two looks whether the loop stood still; 50 µs of each second."""


class Deadlines:
    """
    Calls a function when the earliest of many deadlines has passed.

    Args:
        loop: keeps the one timer.
        look: is given the time, deals with every deadline up to it, and returns the next one.
        is_busy: says whether anything is under way that must not pay for a loop that stands still.
        on_stall: is told that the loop stood still: for how long at least, since when at the
            latest, and how much more the limits get.

    Attributes:
        next_at: deadlines behind it need no call; infinite while nothing is under way, so that the
            first exchange tells that something is.
        late_at: when the timer is so late that the loop has stood still.
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
        # When the timer goes off, and when it was seen last that the loop is alive.
        self._due = NEVER
        self._beat_at = -NEVER
        # When there is something to look at.
        self._look_at = NEVER
        self.next_at = NEVER
        self.late_at = NEVER

    def by(self, deadline: float) -> None:
        """See that a look is taken soon after `deadline`."""
        if deadline < self.next_at:
            self._look_at = min(self._look_at, deadline)
            self._arm(monotonic())

    def stop(self) -> None:
        """Look no more."""
        if self._handle is not None:
            self._handle.cancel()
        self.next_at = -NEVER
        self.late_at = NEVER

    def excuse(self, seconds: float) -> None:
        """Take a time in which the loop stood still as known."""
        self._due += seconds
        self._beat_at += seconds
        self.late_at += seconds

    def stood_still(self) -> None:
        """Say what it means that the timer is late."""
        now = monotonic()
        known, missed = now - self._due, now - self._beat_at
        since = self._due
        # What has come is read first, whatever the limits say.
        self._look_at = max(self._look_at + missed, now) + GRACE
        self._arm(now)
        self._on_stall(known, since, missed - known + GRACE)

    def _arm(self, now: float) -> None:
        # Where somebody has made the time of the loop virtual, nothing holds it up.
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
            if self.next_at == -NEVER:  # stopped meanwhile
                return
            self._look_at = max(min(self._look_at, following), now + SWEEP_INTERVAL)
        self._arm(now)
