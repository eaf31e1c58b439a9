"""The rules and policies of hosts: those of all hosts of a fetcher, and those of single ones."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeAlias

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
    """The rules of single hosts. `None`: the rule for all hosts applies."""

    per_host: int | None = None
    rate: Rate | None = None
    limits: TimeLimits | None = None
    """Limits of each attempt; the batch passes them to the lane."""


RulesFor: TypeAlias = "Callable[[Hashable], HostRules | None]"
"""Returns the rules of a single host, by its key."""


class HostListener:
    """Receives the events of single hosts, each of them once; this one does nothing with them."""

    def paused(self, host: Hashable, seconds: float, *, is_asked: bool) -> None:
        """Handle the beginning of a pause; `is_asked`: the host refused, else it did not answer."""

    def resumed(self, host: Hashable) -> None:
        """Handle the end of a pause."""

    def given_up(self, host: Hashable, failures: int, seconds: float) -> None:
        """Handle a host that is given up, after `failures` unanswered attempts over `seconds`."""

    def probed(self, host: Hashable) -> None:
        """Handle the probe of a host that was given up."""

    def is_back(self, host: Hashable) -> None:
        """Handle the answer of a host that was given up, or its reopening."""


@attrs.define(eq=False)
class Policies:
    """The policies of all hosts of a fetcher, or of those with the same rules."""

    cap: float
    """Most requests in flight to one host; infinite for no limit."""
    rate: Rate | None
    """Rate of the starts at one host."""
    total: Gcra | None
    """Rate of the starts at all hosts together."""
    slots: float
    """Most requests in flight to all hosts together."""
    give_up_after: int | None
    """Unanswered attempts in a row after which a host counts as down; `None`: never."""
    retry: RetryPolicy | None
    random: Callable[[], float]
    timers: Timers
    listener: HostListener = attrs.field(factory=HostListener)
    limits: TimeLimits | None = None
    """Limits of each attempt; `None`: those of the fetcher."""

    def under(self, rules: HostRules) -> Policies:
        """Return these policies with the given rules."""
        return attrs.evolve(
            self,
            cap=self.cap if rules.per_host is None else rules.per_host,
            rate=self.rate if rules.rate is None else rules.rate,
            limits=rules.limits,
        )

    @property
    def is_unlimited(self) -> bool:
        """Whether any number of requests may start at any time, as long as none fails."""
        return self.cap == math.inf and self.rate is None and self.total is None

    @property
    def full(self) -> float:
        """Most requests that can be in flight to one host: a host with this width is open."""
        return min(self.cap, self.slots)

    def new_budget(self) -> RetryBudget | None:
        """Make the retry budget of one host."""
        if self.retry is None or self.retry.budget is None:
            return None
        return RetryBudget(self.retry.budget)
