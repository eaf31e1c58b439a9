"""
What is known of one host: its load, its rate, its pauses and its health.

Pure: no clock and no randomness of its own. Which request goes next, and what becomes of a failed
one, is not decided here.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, Protocol

import attrs

from asyncbatch._errors import FailureKind
from asyncbatch._limits import Gcra
from asyncbatch._retry import RetryBudget

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from asyncbatch._limits import Rate
    from asyncbatch._outcome import Outcome
    from asyncbatch._retry import Retry
    from asyncbatch._timers import Timers

REFUSALS = frozenset({429, 503})
"""The statuses by which a server asks to be left alone (RFC 6585 §4, RFC 9110 §15.6.4)."""

DOWN_FOR = 30.0
"""Seconds for which a host that does not connect is left alone before it is probed."""

TURN = 0.05
"""Seconds for which a free slot is kept for the batch whose turn it is. A batch that can use it
takes it in the same turn of the event loop; one that cannot (no free permit, nobody reads its
results) must not keep the slot from the others."""

PAUSE_MAX_WITHOUT_RETRY = 60.0
"""Seconds: a longer `Retry-After` does not pause a host, where there is no `Retry` to say."""

# Verdicts of our own, made without a word from the server.
_OUR_OWN = frozenset(
    {
        FailureKind.blocked,
        FailureKind.host_down,
        FailureKind.invalid_request,
        FailureKind.not_started,
        FailureKind.retry_after,
    }
)


class HostQueue(Protocol):
    """The queue of one batch for one host, as the host sees it."""

    def make_ready(self) -> None:
        """Join the hosts that may start, and tell the batch."""

    def look_again(self) -> None:
        """Tell the batch that it may have to wake up earlier than it thought."""


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

    def asked_pause(self, retry_after: float | None) -> float | None:
        """Return for how long a `Retry-After` pauses a host; `None` if it does not."""
        if retry_after is None:
            return None
        longest = PAUSE_MAX_WITHOUT_RETRY if self.retry is None else self.retry.retry_after_max
        return retry_after if retry_after <= longest else None


class Host:
    """One origin: what is in flight to it, and when it may be sent more."""

    __slots__ = (
        "_blocked",
        "_cap",
        "_policies",
        "_rate",
        "_settled_at",
        "_settled_total",
        "budget",
        "down_until",
        "failures",
        "fresh_until",
        "in_flight",
        "is_lingering",
        "key",
        "opens_at",
        "pause_began",
        "pause_level",
        "pause_until",
        "plain",
        "probe",
        "queues",
        "timer",
        "turn",
        "turn_until",
        "waiting",
    )

    def __init__(self, key: Hashable, policies: Policies) -> None:
        self.key = key
        self._policies = policies
        self._cap = policies.cap
        self._rate = None if policies.rate is None else Gcra(policies.rate)
        self.budget = policies.new_budget()
        self.in_flight = 0
        # Batches with requests for this host that are not finished.
        self.queues = 0
        # Queues that may not start now, in the order in which they will get their turn.
        self.waiting: deque[HostQueue] | None = None
        # Whose turn it is, and until when; None when anybody may start.
        self.turn: HostQueue | None = None
        self.turn_until = -math.inf
        # Nothing limits this host and nothing is wrong with it. The hot path reads this one flag
        # and none of the rest; only `update_plain` writes it.
        self.plain = policies.is_unlimited
        # The later one of the rate's next slot and the end of the pause. It never moves back.
        self.opens_at = -math.inf
        self.pause_until = -math.inf
        self.pause_began = -math.inf
        # Pauses in a row without a success in between.
        self.pause_level = 0
        # Connections in a row that could not be made; those since the last one that could.
        self.failures = 0
        # None: up. Else requests fail at once until then, and then until a probe has succeeded.
        self.down_until: float | None = None
        # The request that is let through to a host that is down.
        self.probe: object | None = None
        # Until when failures and pauses are worth remembering: as long as a host stays down.
        self.fresh_until = -math.inf
        self.is_lingering = False
        # Written by Timers.
        self.timer: float | None = None
        # Seconds up to `_settled_at` in which this host, but not the rate over all, held it back.
        self._blocked = 0.0
        self._settled_at = -math.inf
        self._settled_total = 0.0

    # The clock of blocked time

    @property
    def blocked(self) -> float:
        """`clock()` of a plain host, whose clock stands."""
        return self._blocked

    def clock(self, now: float) -> float:
        """Return a clock that runs only while this host or the rate over all lets nothing start."""
        self.settle(now)
        return self._blocked + self._settled_total

    def settle(self, now: float) -> None:
        """
        Bring the clock up to `now`; to be called before anything that it depends on changes.

        While the host waits for a moment its timer is set to that moment, so that no start can have
        been booked at the rate over all between the end of the wait and this call.
        """
        since = self._settled_at
        if now <= since:
            return
        end = now if self.in_flight >= self._cap else min(now, self.opens_at)
        total = self._policies.total
        if total is None:
            if end > since > -math.inf:
                self._blocked += end - since
        else:
            if end > since > -math.inf:
                self._blocked += (end - since) - (total.closed_until(end) - self._settled_total)
            self._settled_total = total.closed_until(now)
        self._settled_at = now

    # Starting

    def admits(self, now: float) -> bool:
        """May a request start, whosoever it is?"""
        return now >= self.opens_at and self.in_flight < self._cap

    def admits_from(self, queue: HostQueue, now: float) -> bool:
        """May a request of this queue start?"""
        if self.turn is not None and self.turn is not queue:
            if now < self.turn_until:
                return False
            self.turn = None
        return self.admits(now)

    def fails_fast(self, now: float) -> bool:
        """Is the host down, and nobody wanted to probe it?"""
        return self.down_until is not None and (self.probe is not None or now < self.down_until)

    def book(self, now: float, request: object) -> None:
        """Take a slot for `request`, which this host admits."""
        self.settle(now)
        self.in_flight += 1
        if self.down_until is not None:
            self.probe = request
        if self._rate is not None:
            self._rate.book(now)
            self.opens_at = max(self.opens_at, self._rate.open_at)

    def free(self, now: float, request: object) -> None:
        """Give the slot of `request` back."""
        self.settle(now)
        self.in_flight -= 1
        if self.probe is request:
            self.probe = None

    # Waiting

    def park(self, queue: HostQueue, now: float) -> None:
        """Let a queue wait until it may start."""
        if self.waiting is None:
            self.waiting = deque()
        self.waiting.append(queue)
        if now < self.opens_at:
            self.arm(self.opens_at)
        elif self.in_flight < self._cap:
            self.arm(self.turn_until)

    def pass_on(self, now: float) -> None:
        """Give the turn to the first queue that waits, or see to it that this happens in time."""
        if not self.queues:
            return
        if now < self.opens_at:
            self.arm(self.opens_at)
            return
        if not self.waiting or self.in_flight >= self._cap:
            return
        if self.turn is None or now >= self.turn_until:
            self.turn = queue = self.waiting.popleft()
            self.turn_until = now + TURN
            queue.make_ready()
        if self.waiting:
            self.arm(self.turn_until)

    def end_turn(self, queue: HostQueue, now: float) -> None:
        """Pass the turn on, if it was this queue's."""
        if self.turn is queue:
            self.turn = None
            self.pass_on(now)

    def withdraw(self, queue: HostQueue, now: float) -> None:
        """Forget a queue that has nothing left to start."""
        if self.waiting and queue in self.waiting:
            self.waiting.remove(queue)
        if self.turn is queue:
            self.turn = None
        self.pass_on(now)

    def arm(self, when: float) -> None:
        """Set the timer to `when`, unless it goes off earlier."""
        if self.timer is not None and self.timer <= when:
            return
        self._policies.timers.set(self, when)
        # Whoever waits for the end of a request has not been waiting for a moment so far.
        for queue in self.waiting or ():
            queue.look_again()

    def on_time(self, when: float) -> None:
        """Let the next one start, if the time has come for that."""
        self.settle(when)
        self.pass_on(when)

    def _release_all(self) -> None:
        """Make every queue ready, because its requests need no slot to fail."""
        self.turn = None
        while self.waiting:
            self.waiting.popleft().make_ready()

    # Learning from outcomes

    def learn(self, outcome: Outcome, now: float, *, was_probe: bool) -> float | None:
        """
        Take note of how an attempt ended.

        Returns:
            The seconds for which the host is paused from now on because of this very outcome.
        """
        if outcome.connect_failed:
            self._count_failure(now, was_probe=was_probe)
            return None
        if outcome.kind in _OUR_OWN:
            return None
        self.failures = 0
        self.down_until = self.probe = None
        if outcome.status_code in REFUSALS:
            return self._refused(outcome, now)
        if outcome.status_code is not None and outcome.started_at > self.pause_began:
            self.pause_level = 0
        return None

    def _count_failure(self, now: float, *, was_probe: bool) -> None:
        limit = self._policies.give_up_after
        if limit is None:
            return
        self.failures += 1
        self.fresh_until = now + DOWN_FOR
        if was_probe or (self.down_until is None and self.failures >= limit):
            self.down_until = now + DOWN_FOR
            self._release_all()

    def _refused(self, outcome: Outcome, now: float) -> float | None:
        # A server that is asked 100 things at once refuses 100 times. It is one refusal: only what
        # was sent after the last pause began says anything about that pause.
        asked = self._policies.asked_pause(outcome.retry_after)
        if outcome.started_at <= self.pause_began:
            if asked is not None:
                self._pause(now + asked, now)
            return None
        delay = asked
        if delay is None:
            if self._policies.retry is None:
                return None
            delay = self._policies.retry.backoff_delay(self.pause_level + 1, self._policies.random)
        self.pause_level += 1
        self.pause_began = now
        self._pause(now + delay, now)
        return delay

    def _pause(self, until: float, now: float) -> None:
        self.pause_until = max(self.pause_until, until)
        self.opens_at = max(self.opens_at, until)
        self.fresh_until = max(self.fresh_until, self.pause_until + DOWN_FOR)
        self.pass_on(now)

    def update_plain(self, now: float) -> None:
        """Go back to the hot path when nothing is wrong any more, or leave it."""
        self.plain = (
            self._policies.is_unlimited
            and not self.failures
            and not self.pause_level
            and not self.waiting
            and self.turn is None
            and self.down_until is None
            and now >= self.opens_at
        )

    def worth_keeping_until(self) -> float:
        """Return when a host with nothing to do may be forgotten without any harm."""
        until = max(self.opens_at, self.fresh_until)
        if self._rate is not None:
            until = max(until, self._rate.full_at)
        if self.budget is not None:
            # First tries are forgotten gladly: they only ever allow more retries.
            until = max(until, self.budget.spent_until())
        return until
