"""What holds for every host of a fetcher."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import attrs

from asyncbatch._retry import RetryBudget

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncbatch._limits import Gcra, Rate
    from asyncbatch._retry import Retry
    from asyncbatch._timers import Timers

PAUSE_MAX_WITHOUT_RETRY = 60.0
"""Seconds: a longer `Retry-After` does not pause a host, where there is no `Retry` to say."""


@attrs.define(eq=False)
class Policies:
    """What holds for every host of a fetcher."""

    cap: float
    """Requests in flight to one host at most; infinite for no bound."""
    rate: Rate | None
    """Starts on one host."""
    total: Gcra | None
    """Starts on all hosts together."""
    give_up_after: int | None
    """Failed connections in a row until a host counts as down; `None`: never."""
    retry: Retry | None
    random: Callable[[], float]
    timers: Timers

    @property
    def is_unlimited(self) -> bool:
        """May any number of requests start at any time, as long as nothing goes wrong?"""
        return self.cap == math.inf and self.rate is None and self.total is None

    def new_budget(self) -> RetryBudget | None:
        """Make the retry budget of one host."""
        if self.retry is None or self.retry.budget is None:
            return None
        return RetryBudget(self.retry.budget)

    def pause_after(self, retry_after: float | None, pauses: int) -> float | None:
        """
        Return for how long a refusal pauses a host; `None` if it does not.

        Args:
            retry_after: What the server asks for.
            pauses: How many there have been in a row.
        """
        asked = self.asked_pause(retry_after)
        if asked is not None or self.retry is None:
            return asked
        return self.retry.backoff_delay(pauses + 1, self.random)

    def asked_pause(self, retry_after: float | None) -> float | None:
        """Return for how long a `Retry-After` pauses a host; `None` if it does not."""
        if retry_after is None:
            return None
        longest = PAUSE_MAX_WITHOUT_RETRY if self.retry is None else self.retry.retry_after_max
        return retry_after if retry_after <= longest else None
