"""
All hosts of one fetcher, and the total rate.

Pure. The state of one host is in `Host`.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, Protocol

from asyncbatch._policies._rate import Gcra
from asyncbatch._schedule._host import Host
from asyncbatch._schedule._host_rules import HostListener, HostRules, Policies, RulesFor
from asyncbatch._schedule._timers import Timers
from asyncbatch._schedule._turns import TURN

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from asyncbatch._policies._rate import Rate
    from asyncbatch._values._retry_policy import RetryPolicy


MOST_WARM = 2_048
"""Most hosts that are kept without a need: as many as connections are kept. Making a host costs as
much as scheduling five requests to it."""


class RateWaiter(Protocol):
    """The interface of a batch to the total rate."""

    def is_startable(self) -> bool:
        """Whether there is a request that only the rate may hold back."""
        ...

    def look_again(self) -> None:
        """Notify the batch that it has the turn."""


class Hosts:
    """
    All hosts of one fetcher, and the total rate.

    Some hosts without requests are kept, since they are likely to get requests again. Beyond these,
    a host is dropped once its past does not matter any more, so that a million hosts, one after the
    other, run in constant memory.
    """

    def __init__(
        self,
        *,
        per_host: int | None,
        rate: Rate | None,
        total_rate: Rate | None,
        give_up_host_after: int | None,
        retry: RetryPolicy | None,
        random: Callable[[], float],
        concurrency: float = math.inf,
        rules_for: RulesFor | None = None,
        listener: HostListener | None = None,
        warm: int = MOST_WARM,
    ) -> None:
        self.retry = retry
        self.random = random
        self.total = None if total_rate is None else Gcra(total_rate)
        self.timers = Timers()
        self._policies = Policies(
            cap=math.inf if per_host is None else per_host,
            slots=concurrency,
            rate=rate,
            total=self.total,
            give_up_after=give_up_host_after,
            retry=retry,
            random=random,
            timers=self.timers,
            listener=listener or HostListener(),
        )
        self._rules_for = rules_for
        # Policies by their rules: hosts with the same rules share them.
        self._own_policies: dict[HostRules, Policies] = {}
        # The batch that is calling now, which need not be notified.
        self.caller: object | None = None
        self._table: dict[Hashable, Host] = {}
        # Most hosts that are kept without a need.
        self._warm = warm
        # The last time at which a host ran out of requests.
        self._rested_at = -math.inf
        # Hosts that had no requests when they were last looked at.
        self._lingering: deque[Host] = deque()
        # Batches that the total rate holds back, in the order of their turns.
        self._turns: dict[RateWaiter, None] = {}
        self._turn: RateWaiter | None = None
        self._turn_until = -math.inf

    def __len__(self) -> int:
        return len(self._table)

    def remembered(self) -> int:
        """Count the hosts that have requests, or whose past matters. O(n)."""
        now = self._rested_at
        hosts = self._table.values()
        return sum(bool(host.joined) or host.worth_keeping_until() > now for host in hosts)

    def busy_or_closed(self, now: float) -> list[Host]:
        """Return the hosts that have requests, are paused, or are given up."""
        return [
            host
            for host in self._table.values()
            if host.joined or host.is_down or host.is_paused(now)
        ]

    def reopen(self, is_meant: Callable[[Hashable], bool], now: float) -> bool:
        """Reopen the paused and given up hosts with these keys; return whether there were any."""
        # No batch makes this change, so each is notified of it, the last that was at work too.
        self.caller = None
        meant = [host for host in self.busy_or_closed(now) if is_meant(host.key)]
        return sum(host.reopen(now) for host in meant) > 0

    def get(self, key: Hashable) -> Host:
        """Return the host with this key; make it if there is none."""
        host = self._table.get(key)
        if host is None:
            host = self._table[key] = Host(key, self._policies_for(key))
        return host

    def _policies_for(self, key: Hashable) -> Policies:
        rules = None if self._rules_for is None else self._rules_for(key)
        if rules is None:
            return self._policies
        policies = self._own_policies.get(rules)
        if policies is None:
            policies = self._own_policies[rules] = self._policies.under(rules)
        return policies

    def adopt(self, host: Host) -> Host:
        """Return the host with the key of `host`; `host` itself if that was dropped meanwhile."""
        return self._table.setdefault(host.key, host)

    def rest(self, host: Host, now: float) -> None:
        """Record that a host has no requests, and drop hosts if there are too many."""
        self._rested_at = now
        if not host.is_lingering:
            host.is_lingering = True
            self._lingering.append(host)
        if len(self._table) <= self._warm:
            return
        # Two are looked at for each that joins: the line shrinks whenever half of it can go.
        for _ in range(min(2, len(self._lingering))):
            self._look_at_lingering(self._lingering.popleft(), now)

    def _look_at_lingering(self, host: Host, now: float) -> None:
        if host.joined:
            host.is_lingering = False
        elif host.worth_keeping_until() > now or len(self._table) <= self._warm:
            self._lingering.append(host)
        else:
            host.is_lingering = False
            self._drop(host)

    def _drop(self, host: Host) -> None:
        del self._table[host.key]
        self.timers.cancel(host)

    # The total rate

    def held_until(self, batch: RateWaiter, now: float) -> float | None:
        """Return until when the total rate holds this batch back; `None`: it may start."""
        total = self.total
        if total is None:
            return None
        if now < total.open_at:
            self._turns.setdefault(batch)
            return total.open_at
        while self._turns:
            first = next(iter(self._turns))
            if first is batch:
                return None
            if first.is_startable() and self._has_turn(first, now):
                self._turns.setdefault(batch)
                return self._turn_until
            self.leave_line(first)
        return None

    def _has_turn(self, first: RateWaiter, now: float) -> bool:
        if self._turn is not first:
            self._turn = first
            self._turn_until = now + TURN
            first.look_again()
        return now < self._turn_until

    def book_total(self, batch: RateWaiter, now: float) -> None:
        """Take a slot of the total rate."""
        if self.total is not None:
            self.total.book(now)
            self.leave_line(batch)

    def leave_line(self, batch: RateWaiter) -> None:
        """Remove this batch from those that wait for the total rate."""
        self._turns.pop(batch, None)
        if self._turn is batch:
            self._turn = None
