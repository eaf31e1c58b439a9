"""
The pauses of one host: what a server that asks to be left alone brings about.

Pure, like the rest.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncbatch._schedule._host_rules import Policies
    from asyncbatch._values._outcome import Outcome
    from asyncbatch._values._retry_policy import RetryPolicy

REFUSALS = frozenset({429, 503})
"""The statuses by which a server asks to be left alone (RFC 6585 §4, RFC 9110 §15.6.4)."""

REMEMBERED_FOR = 30.0
"""Seconds after the end of a pause for which it counts in a row of pauses."""


class Pauses:
    """The pauses of one host."""

    __slots__ = ("_before", "_began", "_policies", "_row", "until")

    def __init__(self, policies: Policies) -> None:
        self._policies = policies
        # When the last one ends; it never moves back. Written by `refused`, as the next three.
        self.until = -math.inf
        # When the last one began: what was sent before says nothing about it.
        self._began = -math.inf
        # When the one before it began.
        self._before = -math.inf
        # Pauses in a row; `answered` ends it.
        self._row = 0

    @property
    def is_over(self) -> bool:
        """Has there been a success since the last pause began?"""
        return not self._row

    @property
    def matters_until(self) -> float:
        """Until when all of this is worth remembering."""
        return self.until + REMEMBERED_FOR

    def answered(self, started_at: float) -> None:
        """Take note of an answer that is no refusal, to what was sent at `started_at`."""
        if started_at > self._began:
            self._row = 0
        elif started_at > self._before:
            # There was a success between the last two, though it came late.
            self._row = min(self._row, 1)

    def end(self, now: float) -> None:
        """Take the last pause for over."""
        self.until = min(self.until, now)

    def refused(self, outcome: Outcome, now: float, retry: RetryPolicy) -> float | None:
        """
        Take note of a refusal, of a request that has this policy.

        Returns:
            The seconds for which the host is paused from now on because of this very outcome.
        """
        # A server that is asked 100 things at once refuses 100 times. It is one refusal: only what
        # was sent after the last pause began says anything about that pause.
        if outcome.started_at <= self._began:
            asked = self._policies.asked_pause(retry, outcome.retry_after)
            if asked is not None:
                self.until = max(self.until, now + asked)
            return None
        delay = self._policies.pause_after(retry, outcome.retry_after, self._row)
        self._row += 1
        self._before, self._began = self._began, now
        self.until = max(self.until, now + delay)
        return delay
