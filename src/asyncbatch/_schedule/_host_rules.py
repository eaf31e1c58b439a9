"""What holds for every host of a fetcher."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol, TypeAlias

import attrs

from asyncbatch._policies._retry_budget import RetryBudget

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from asyncbatch._policies._rate import Gcra, Rate
    from asyncbatch._schedule._timers import Timers
    from asyncbatch._values._retry_policy import RetryPolicy
    from asyncbatch._values._timeouts import TimeLimits


@attrs.frozen(eq=False)
class HostRules:
    """What holds for single hosts, where it is other than for all; `None`: it is not."""

    per_host: int | None = None
    rate: Rate | None = None
    limits: TimeLimits | None = None
    """Of each attempt; for whoever sends it."""


RulesFor: TypeAlias = "Callable[[Hashable], HostRules | None]"
"""Says what holds for a single host, by its key."""


class HostListener(Protocol):
    """Is told what happens to single hosts, each thing once."""

    def paused(self, host: Hashable, seconds: float, *, is_asked: bool) -> None:
        """A pause has begun; `is_asked`: because the host said so, not for want of an answer."""

    def resumed(self, host: Hashable) -> None:
        """A pause is over."""

    def given_up(self, host: Hashable, failures: int, seconds: float) -> None:
        """A host is left alone, after so many attempts without an answer over so many seconds."""

    def probed(self, host: Hashable) -> None:
        """A host that was given up is being asked again."""

    def is_back(self, host: Hashable) -> None:
        """A host that was given up has answered, or was opened again."""


@attrs.define(eq=False)
class Policies:
    """What holds for every host of a fetcher, or for some."""

    cap: float
    """Requests in flight to one host at most; infinite for no bound."""
    rate: Rate | None
    """Starts on one host."""
    total: Gcra | None
    """Starts on all hosts together."""
    slots: float
    """Requests in flight to all hosts together at most."""
    give_up_after: int | None
    """Attempts without an answer in a row until a host counts as down; `None`: never."""
    retry: RetryPolicy | None
    random: Callable[[], float]
    timers: Timers
    listener: HostListener | None = None
    limits: TimeLimits | None = None
    """Of each attempt, where they are others than those for all."""

    def under(self, rules: HostRules) -> Policies:
        """Return the same, but for what `rules` say."""
        return attrs.evolve(
            self,
            cap=self.cap if rules.per_host is None else rules.per_host,
            rate=self.rate if rules.rate is None else rules.rate,
            limits=rules.limits,
        )

    @property
    def is_unlimited(self) -> bool:
        """May any number of requests start at any time, as long as nothing goes wrong?"""
        return self.cap == math.inf and self.rate is None and self.total is None

    @property
    def full(self) -> float:
        """How many there are in flight to one host at most: one that is so wide is open."""
        return min(self.cap, self.slots)

    def new_budget(self) -> RetryBudget | None:
        """Make the retry budget of one host."""
        if self.retry is None or self.retry.budget is None:
            return None
        return RetryBudget(self.retry.budget)

    def pause_after(self, retry: RetryPolicy, retry_after: float | None, pauses: int) -> float:
        """
        Return for how long a refusal pauses a host.

        Args:
            retry: The policy for the request that was refused.
            retry_after: What the server asks for.
            pauses: How many there have been in a row.
        """
        asked = self.asked_pause(retry, retry_after)
        return retry.backoff_delay(pauses + 1, self.random) if asked is None else asked

    def asked_pause(self, retry: RetryPolicy, retry_after: float | None) -> float | None:
        """Return for how long a `Retry-After` pauses a host; `None`, as for 0, if it does not."""
        if not retry_after or retry_after > retry.retry_after_max:
            return None
        return retry_after
