"""
The pauses of one host, after refusals by status 429 or 503.

Pure: the caller passes the time and the random numbers in.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncbatch._values._outcome import Outcome
    from asyncbatch._values._retry_policy import RetryPolicy

REFUSALS = frozenset({429, 503})
"""The statuses by which a server asks for fewer requests (RFC 6585 §4, RFC 9110 §15.6.4)."""

REMEMBERED_FOR = 30.0
"""Seconds for which a pause, after its end, counts in a row of pauses."""


class Pauses:
    """The pauses of one host."""

    __slots__ = ("_before", "_began", "_random", "_row", "until")

    def __init__(self, random: Callable[[], float]) -> None:
        self._random = random
        # When the last pause ends. `refused` writes this and the next three.
        self.until = -math.inf
        # When the last pause began: answers to requests sent before say nothing about it.
        self._began = -math.inf
        # When the pause before it began.
        self._before = -math.inf
        # Number of pauses in a row; `answered` ends the row.
        self._row = 0

    @property
    def is_over(self) -> bool:
        """Whether a request sent since the last pause began was answered without a refusal."""
        return not self._row

    @property
    def matters_until(self) -> float:
        """Until when this state matters."""
        return self.until + REMEMBERED_FOR

    def answered(self, started_at: float) -> None:
        """Record an answer that is not a refusal, to a request sent at `started_at`."""
        if started_at > self._began:
            self._row = 0
        elif started_at > self._before:
            # There was an answer between the last two pauses, which came late.
            self._row = min(self._row, 1)

    def end_pause(self, now: float) -> None:
        """End the last pause."""
        self.until = min(self.until, now)

    def refused(self, outcome: Outcome, now: float, retry: RetryPolicy) -> float | None:
        """
        Record a refusal of a request with this policy.

        Returns:
            The seconds for which this outcome pauses the host, from now on.
        """
        asked = outcome.retry_after
        if not asked or asked > retry.retry_after_max:
            asked = None
        # A server that gets 100 requests at the same time refuses 100 times, but it is one refusal:
        # only requests sent after the last pause began say anything about that pause.
        if outcome.started_at <= self._began:
            if asked is not None:
                self.until = max(self.until, now + asked)
            return None
        self._row += 1
        delay = retry.backoff_delay(self._row, self._random) if asked is None else asked
        self._before, self._began = self._began, now
        self.until = max(self.until, now + delay)
        return delay
