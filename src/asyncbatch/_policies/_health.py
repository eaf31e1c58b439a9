"""
Whether one host answers at all: its outages, and when it is given up.

Pure, like the rest. Says what a failure means; what becomes of those that wait is decided
elsewhere.
"""

from __future__ import annotations

import math
from enum import Enum

from asyncbatch._policies._slow_start import FIRST

DOWN_FOR = 30.0
"""Seconds for which a host that was given up is left alone before it is probed."""

GIVE_UP_TIME = 3.0
"""Seconds that a row of attempts without an answer must have lasted before the host is given up:
most restarts take less, and a burst of refused connects takes a millisecond."""

ROUND_MAX = 1.0
"""Seconds that a pause between two rounds takes at most, so that the last round before a host is
given up begins a second after `GIVE_UP_TIME` at the latest."""

SIGNS = 10
"""Attempts without an answer, one after the other, that are an outage whatever else is in flight.
With fewer in flight, as many as those are enough, but never one alone."""


class Finding(Enum):
    """What an attempt without a byte of an answer means for its host."""

    NOTHING = "nothing"
    OUTAGE = "outage"
    """A round of attempts has failed: the host is to be left alone for a moment."""
    DOWN = "down"
    """The host is given up."""


class Health:
    """What the attempts without a byte of an answer, one after the other, say of one host."""

    __slots__ = (
        "_down_until",
        "_give_up_after",
        "_probe",
        "_round_ended",
        "began",
        "matters_until",
        "rounds",
        "row",
        "unrefunded",
    )

    def __init__(self, give_up_after: int | None) -> None:
        self._give_up_after = give_up_after
        # Attempts in a row that ended without a byte of an answer, and when the row began. Counted
        # by `failed`, ended by `answered`, as the next four; nobody else writes them.
        self.row = 0
        self.began = math.inf
        # Rounds of the row that are over: none, as long as it may be chance.
        self.rounds = 0
        # When the last one was: attempts begun before belong to it.
        self._round_ended = -math.inf
        # Retries of this row that the budget has paid; written by the host.
        self.unrefunded = 0
        # None: up. Else requests fail at once until then, and then until a probe has succeeded.
        self._down_until: float | None = None
        # Until when all of this is worth remembering: as long as a host stays down.
        self.matters_until = -math.inf
        # The request that is let through to a host that is down, from `started` to `ended`.
        self._probe: object | None = None

    @property
    def is_good(self) -> bool:
        """Has nothing failed since the last answer?"""
        return not self.row and self._down_until is None

    @property
    def is_down(self) -> bool:
        """Is the host left alone, but for probes?"""
        return self._down_until is not None

    def fails_fast(self, now: float) -> bool:
        """Is the host down, and nobody wanted to probe it?"""
        return self._down_until is not None and (self._probe is not None or now < self._down_until)

    @property
    def room(self) -> int:
        """How many attempts at once it takes to find out whether the host is to be given up."""
        after = self._give_up_after
        return FIRST if after is None else min(FIRST, max(1, after - self.row))

    def has_lasted(self, now: float) -> bool:
        """Has the row lasted for too long to be a short outage?"""
        return now - self.began >= GIVE_UP_TIME

    def is_out(self, now: float) -> bool:
        """Is there an outage that may yet be a short one?"""
        return self.rounds > 0 and not self.has_lasted(now)

    def started(self, request: object) -> bool:
        """Take note that a request has been let through; return whether it is a probe."""
        if self._down_until is None:
            return False
        self._probe = request
        return True

    def ended(self, request: object) -> bool:
        """Take note that a request has ended, however; return whether it was the probe."""
        if self._probe is not request:
            return False
        self._probe = None
        return True

    def answered(self) -> None:
        """Take note of an answer."""
        self.row = self.rounds = self.unrefunded = 0
        self._down_until = self._probe = None

    def failed(
        self,
        since: float,
        started_at: float,
        now: float,
        *,
        others: int,
        was_probe: bool,
        may_pause: bool,
    ) -> Finding:
        """
        Take note of an attempt that ended without a byte of an answer, and say what that means.

        Args:
            since: From when on the host may have been silent, as far as this attempt tells.
            started_at: When the attempt began.
            now: When it ended.
            others: How many requests are in flight to the host beside it.
            was_probe: Whether it was the probe of a host that is down.
            may_pause: Whether the host may be paused for it.
        """
        if not self.row:
            self.began = since
        self.row += 1
        self.matters_until = now + DOWN_FOR
        if was_probe or (self._down_until is None and self._is_too_much(now)):
            self._down_until = now + DOWN_FOR
            return Finding.DOWN
        if not may_pause or self._down_until is not None or self.has_lasted(now):
            return Finding.NOTHING
        if started_at <= self._round_ended or not self._is_a_round(others):
            return Finding.NOTHING
        self.rounds += 1
        self._round_ended = now
        return Finding.OUTAGE

    def _is_too_much(self, now: float) -> bool:
        after = self._give_up_after
        return after is not None and self.row >= after and self.has_lasted(now)

    def _is_a_round(self, others: int) -> bool:
        return bool(self.rounds) or self.row >= min(SIGNS, max(2, others + 1))
