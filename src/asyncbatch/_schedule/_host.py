"""
One host: its requests in flight, and when the next one may start.

Pure: no clock and no randomness of its own. The schedule picks the next request, and decides on
retries.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from asyncbatch._policies._health import Finding, Health
from asyncbatch._policies._pauses import REFUSALS, Pauses
from asyncbatch._policies._rate import Gcra
from asyncbatch._policies._slow_start import FIRST, SlowStart
from asyncbatch._schedule._blocked_time import BlockedTime
from asyncbatch._schedule._turns import Turns

if TYPE_CHECKING:
    from collections.abc import Hashable

    from asyncbatch._schedule._host_rules import Policies
    from asyncbatch._schedule._turns import HostQueue
    from asyncbatch._values._outcome import Outcome
    from asyncbatch._values._retry_policy import RetryPolicy


class Host:
    """One origin: its requests in flight, and when the next one may start."""

    __slots__ = (
        "_health",
        "_limit",
        "_pauses",
        "_policies",
        "_rate",
        "_turns",
        "blocked",
        "budget",
        "has_answered",
        "in_flight",
        "is_lingering",
        "is_told_paused",
        "joined",
        "key",
        "limits",
        "opens_at",
        "paused_until",
        "plain",
        "slow_start",
        "steady",
        "timer",
        "width",
    )

    def __init__(self, key: Hashable, policies: Policies) -> None:
        self.key = key
        self._policies = policies
        # Limits of each attempt; None for those of the fetcher.
        self.limits = policies.limits
        # Most requests in flight: the cap, or less while the host opens. Written by `_set_limit`.
        self._limit = policies.cap if policies.is_unlimited else min(policies.cap, FIRST)
        self._rate = None if policies.rate is None else Gcra(policies.rate)
        # Made at the first attempt without an answer (`_fall_silent`) and the first refusal
        # (`_refuse`): most hosts never see one.
        self._health: Health | None = None
        self._pauses: Pauses | None = None
        # Requests in flight at which slow start begins (`hold`): one more for each answer, and
        # infinite once it is the most that can be in flight.
        self.width: float = FIRST
        # Made when the width is reached, which most hosts never do, and at the beginning of a pause
        # (`_pause`); None again when the host is open (`recover`).
        self.slow_start: SlowStart | None = None
        # Whether it has ever answered.
        self.has_answered = False
        self._turns = Turns()
        self.blocked = BlockedTime(policies.total)
        # The schedule counts first tries; `RetryDecider` pays for retries.
        self.budget = policies.new_budget()
        # Written by `book` and `release`; for a plain host by the schedule.
        self.in_flight = 0
        # The queues of the batches with unfinished requests for this host; written by the schedule.
        self.joined: list[HostQueue] = []
        # Only the width limits this host, and no failure is remembered. The hot path reads this
        # flag and little else; written by `recover` and `hold`.
        self.plain = policies.is_unlimited
        # In good order with an infinite width and without a total rate, so that a request may take
        # the place of one that has succeeded (`pass_slot_on`). If it is plain, nothing need be
        # counted at all. Written by `recover`, `hold`, `park` and `succeeded`.
        self.steady = False
        # The end of the last pause; it never moves back. Written by `_pause`.
        self.paused_until = -math.inf
        # Whether the listener has been told of a pause, and not of its end. Written by `_pause` and
        # `settle`.
        self.is_told_paused = False
        # The later of `paused_until` and the next slot of the rate. It never moves back. Written by
        # `book` and `_pause`.
        self.opens_at = -math.inf
        # Whether the host had no requests when Hosts last looked at it; written by Hosts.
        self.is_lingering = False
        # Written by Timers.
        self.timer: float | None = None

    # Starting

    def admits(self, now: float) -> bool:
        """Whether a request of any queue may start."""
        return now >= self.opens_at and self.in_flight < self._limit

    def admits_from(self, queue: HostQueue, now: float) -> bool:
        """Whether a request of this queue may start."""
        return self._turns.allows(queue, now) and self.admits(now)

    @property
    def is_down(self) -> bool:
        """Whether the host is given up."""
        return self._health is not None and self._health.is_down

    def is_paused(self, now: float) -> bool:
        """Whether a pause is under way."""
        return now < self.paused_until

    def fails_fast(self, now: float) -> bool:
        """Whether requests fail at once: the host is down, and needs no probe now."""
        return self._health is not None and self._health.fails_fast(now)

    def is_out(self, now: float) -> bool:
        """Whether there is an outage, with pauses between its rounds."""
        return self._health is not None and self._health.is_out(now)

    def hold(self, now: float) -> None:
        """Begin slow start, as the requests in flight have reached the width."""
        if self.slow_start is None:
            self.settle(now)
            self.slow_start = SlowStart(self.width, has_answered=self.has_answered)
            self.slow_start.begin_waiting(now)
            self.plain = self.steady = False
            self._set_limit()

    def book(self, now: float, request: object) -> float:
        """Take a slot for `request`, which this host admits; return the clock as `settle` does."""
        clock = self.settle(now)
        self.in_flight += 1
        if self._health is not None and self._health.started(request):
            self._policies.listener.probed(self.key)
        if self.slow_start is not None:
            self.slow_start.started(request, now)
        if self._rate is not None:
            self._rate.book(now)
            self.opens_at = max(self.opens_at, self._rate.open_at)
        return clock

    def pass_slot_on(self, now: float) -> bool:
        """
        Pass a slot of this host, which is steady, from a request that has succeeded to the next.

        It does the same as `end_attempt`, `recover` and `book`, if no request waits.

        Returns:
            Whether it could. If not, nothing has changed.
        """
        rate = self._rate
        if now < self.opens_at:
            return False
        self.settle(now)
        if rate is not None:
            rate.book(now)
            self.opens_at = max(self.opens_at, rate.open_at)
            if len(self.joined) > 1:
                self.watch_opening(now)
        return True

    def settle(self, now: float) -> float:
        """
        Advance the clock of blocked time to `now`, and return it.

        Call it before anything that the clock depends on changes. While the host is closed, its
        timer is set to the time at which it opens, so that no start can have been booked at the
        total rate between that time and this call.
        """
        if self.is_told_paused and now >= self.paused_until:
            self.is_told_paused = False
            if not self.is_down:
                self._policies.listener.resumed(self.key)
        blocked = self.blocked
        since = blocked.settled_at
        if now <= since:  # mostly: settled by the step before, at the same time
            return blocked.seconds + blocked.held
        closed = now < self.opens_at or self.in_flight >= self._limit
        own, total = blocked.seconds, blocked.held
        clock = blocked.settle(now, now if closed else self.opens_at)
        if clock > own + total:
            for queue in self.joined:
                if queue.fifo:
                    self._tell_held(since, now, blocked.seconds - own, blocked.held - total)
                    break
        return clock

    def _tell_held(self, since: float, now: float, own: float, total: float) -> None:
        """
        Tell the queues why their requests could not start.

        Args:
            since: The last time that the clock was settled.
            now: The current time.
            own: Seconds since then in which this host let no request start.
            total: Seconds since then in which the total rate let no request start.
        """
        if now < self.opens_at or self.in_flight < self._limit:
            # Of a time in which the host was also full, since it opens later than it has room.
            paused = min(own, max(0.0, min(now, self.paused_until) - since))
            waits = [("pause", paused), ("rate", own - paused)]
        else:
            waits = [("per_host" if self._limit >= self._policies.cap else "slow_start", own)]
        if total > 0.0:
            waits.append(("total_rate", total))
        for queue in self.joined:
            for reason, seconds in waits:
                queue.held_back(reason, seconds)

    # Ending

    def release(self, now: float, request: object) -> bool:
        """Release the slot of `request`; return whether it was the probe of a host that is down."""
        self.settle(now)
        self.in_flight -= 1
        if self.slow_start is not None:
            self.slow_start.ended(request)
            self._set_limit()
        return self._health is not None and self._health.ended(request)

    def succeeded(self) -> None:
        """Record a success at a plain host that is not steady."""
        self.has_answered = True
        self.width += 1
        if self.width >= self._policies.full:
            self.width = math.inf
            self.steady = True

    def end_attempt(
        self, request: object, outcome: Outcome, now: float, retry: RetryPolicy | None
    ) -> float | None:
        """
        Release the slot of `request`, and learn from its outcome.

        Args:
            request: The request.
            outcome: The outcome of its attempt.
            now: The current time.
            retry: Its policy; `None` if its refusal pauses no host.

        Returns:
            The seconds for which this outcome pauses the host, from now on.
        """
        was_probe = self.release(now, request)
        if outcome.local:
            return None
        return self._learn(outcome, now, retry, was_probe=was_probe)

    def end_well(self, request: object, started_at: float, now: float) -> None:
        """Do what `end_attempt` does with a success that was begun at `started_at`."""
        self.release(now, request)
        self._hear()
        self._widen(started_at, now)

    def overhear(self, outcome: Outcome, now: float, retry: RetryPolicy | None) -> None:
        """Learn from the outcome of a request that was redirected here from another host."""
        self.settle(now)
        self._learn(outcome, now, retry, was_probe=False)
        self.recover(now)

    def _learn(
        self, outcome: Outcome, now: float, retry: RetryPolicy | None, *, was_probe: bool
    ) -> float | None:
        if outcome.of_proxy:
            return None
        if outcome.is_silent:
            self._fall_silent(outcome, now, retry, was_probe=was_probe)
            return None
        if not outcome.is_answer:
            return None
        self._hear()
        if outcome.status_code in REFUSALS:
            return self._refuse(outcome, now, retry)
        self._widen(None if outcome.status_code is None else outcome.started_at, now)
        return None

    def _hear(self) -> None:
        """Learn from an answer with any status."""
        self.has_answered = True
        if self._health is not None:
            self._recuperate(self._health)

    def _recuperate(self, health: Health) -> None:
        """Forget the attempts without an answer: the host has answered, or is to be tried again."""
        if health.is_down:
            self._policies.listener.is_back(self.key)
        health.answered()
        if self.budget is not None:
            self.budget.keep()

    def _widen(self, started_at: float | None, now: float) -> None:
        """Learn from an answer that is not a refusal; `started_at` is `None` without a status."""
        if self.slow_start is not None:
            self.slow_start.answered(now)
        else:
            self.width += 1
        self._set_limit()
        if self._pauses is not None and started_at is not None:
            self._pauses.answered(started_at)

    def _fall_silent(
        self, outcome: Outcome, now: float, retry: RetryPolicy | None, *, was_probe: bool
    ) -> None:
        if self._health is None:
            self._health = Health(self._policies.give_up_after)
        health = self._health
        finding = health.failed(
            outcome,
            now,
            retry,
            others=self.in_flight,
            was_probe=was_probe,
            has_answered=self.has_answered,
        )
        if finding is Finding.DOWN:
            self._policies.listener.given_up(self.key, health.row, now - health.began)
            # Failing at once needs no slot.
            self._turns.make_all_ready()
        elif finding is Finding.OUTAGE:
            assert retry is not None
            if self.budget is not None:
                self.budget.refund(now)
            self._end_round(health, retry, now, lasted=now - outcome.started_at)
        elif finding is Finding.DOUBT:
            self._narrow(health.room, now)

    def _narrow(self, width: int, now: float) -> None:
        """Limit a host without an answer to the requests that it takes to give it up."""
        if self.slow_start is None:
            if self.has_answered:
                return
            self.hold(now)
        assert self.slow_start is not None
        if not self.slow_start.has_answered:
            self.slow_start.width = width
            self._set_limit()

    def _end_round(self, health: Health, retry: RetryPolicy, now: float, *, lasted: float) -> None:
        """Pause the host, and let a single request try it afterwards."""
        pause = health.pause_after_round(retry, self._policies.random, lasted=lasted)
        self._begin_slowly(FIRST if pause is None else 1, has_answered=False)
        if pause is not None:
            self._pause(now + pause, now, is_asked=False)

    def _refuse(self, outcome: Outcome, now: float, retry: RetryPolicy | None) -> float | None:
        if retry is None or not retry.pause_hosts:
            return None
        if self._pauses is None:
            self._pauses = Pauses(self._policies.random)
        pause = self._pauses.refused(outcome, now, retry)
        if pause is not None:
            self._begin_slowly(1, has_answered=True)
        self._pause(self._pauses.until, now, is_asked=True)
        return pause

    def _begin_slowly(self, width: int, *, has_answered: bool) -> None:
        self.slow_start = SlowStart(width, before=self.in_flight, has_answered=has_answered)
        self.width = FIRST
        self._set_limit()

    def _pause(self, until: float, now: float, *, is_asked: bool) -> None:
        if until > self.paused_until:
            self.paused_until = until
            if not self.is_told_paused:
                self.is_told_paused = True
                self._policies.listener.paused(self.key, until - now, is_asked=is_asked)
            for queue in self._turns.waiting():
                queue.host_paused(now)
        self.opens_at = max(self.opens_at, self.paused_until)
        self.pass_on(now)

    def reopen(self, now: float) -> bool:
        """End a pause, or use the host again after it was given up; return whether it was so."""
        if not self.is_down and not self.is_paused(now):
            return False
        self.settle(now)
        if self._health is not None:
            self._recuperate(self._health)
        if self._pauses is not None:
            self._pauses.end_pause(now)
        for queue in self.joined:
            queue.forget_pause()
        # These may move back, since the clock of blocked time is settled at `now`.
        self.paused_until = min(self.paused_until, now)
        self.opens_at = now if self._rate is None else max(now, self._rate.open_at)
        self._begin_slowly(FIRST, has_answered=False)
        self.settle(now)
        self.recover(now)
        return True

    # Waiting

    def park(self, queue: HostQueue, now: float) -> None:
        """Make a queue wait until a request of it may start."""
        self.steady = False
        self._turns.join(queue)
        if not self.watch_opening(now) and self.in_flight < self._limit:
            self._arm(self._turns.turn_until)

    def watch_opening(self, now: float) -> bool:
        """Set the timer to the time at which the host opens; return whether it is closed."""
        if now < self.opens_at:
            self._arm(self.opens_at)
            return True
        if self.slow_start is not None and self.in_flight >= self.slow_start.limit:
            if self.slow_start.widens_at < math.inf:
                self._arm(self.slow_start.widens_at)
            return True
        return False

    def pass_on(self, now: float) -> None:
        """Give the turn to the first queue that waits, or set the timer for it."""
        line = self._turns
        if not self.joined or self.watch_opening(now):
            return
        if line.is_empty or self.in_flight >= self._limit:
            return
        line.give_turn(now)
        if not line.is_empty:
            self._arm(line.turn_until)

    def end_turn(self, queue: HostQueue, now: float) -> None:
        """Pass the turn on, if this queue had it."""
        if self._turns.end_turn(queue):
            self.pass_on(now)

    def withdraw(self, queue: HostQueue, now: float) -> None:
        """Remove a queue that has nothing left to start."""
        self._turns.leave(queue)
        self.pass_on(now)

    def on_time(self, when: float) -> None:
        """Let the next request start, at the time of the timer."""
        self.settle(when)
        if self.slow_start is not None:
            self.slow_start.on_time(when, self.in_flight)
            self._set_limit()
        self.pass_on(when)

    def _arm(self, when: float) -> None:
        """Set the timer to `when`, unless it is set to an earlier time."""
        if self.timer is not None and self.timer <= when:
            return
        self._policies.timers.set(self, when)
        # The dispatchers of the waiting batches sleep until a request ends, and must now wake up at
        # this time.
        for queue in self._turns.waiting():
            queue.look_again()

    # Recovering

    def recover(self, now: float) -> None:
        """Let the next request start, and set `plain` and `steady` by the state of the host."""
        line = self._turns
        if self.width < math.inf:
            self._open_further(now)
            self._set_limit()
        self.pass_on(now)
        policies = self._policies
        is_good = (
            (self._health is None or self._health.is_good)
            and (self._pauses is None or self._pauses.is_over)
            and self.slow_start is None
            and line.is_idle
            and now >= self.opens_at
        )
        plain = is_good and policies.is_unlimited
        if plain is not self.plain:
            self.plain = plain
            self._set_limit()
        self.steady = is_good and self.width == math.inf and policies.total is None

    def _open_further(self, now: float) -> None:
        """End slow start, if it is over."""
        slow_start, full = self.slow_start, self._policies.full
        if slow_start is None:
            if self.width >= full:
                self.width = math.inf
        elif now >= self.opens_at:
            is_waited_for = not self._turns.is_idle
            width = slow_start.final_width(full, self.in_flight, is_waited_for=is_waited_for)
            if width is not None:
                self.width, self.slow_start = width, None

    def _set_limit(self) -> None:
        """Set how many requests may be in flight. Call it when that changes."""
        cap = self._policies.cap
        if self.slow_start is not None:
            self._limit = min(cap, self.slow_start.limit)
        else:
            self._limit = cap if self.plain else min(cap, self.width)

    def worth_keeping_until(self) -> float:
        """Return the time after which an unused host may be forgotten."""
        until = self.opens_at
        if self._health is not None:
            until = max(until, self._health.matters_until)
        if self._pauses is not None:
            until = max(until, self._pauses.matters_until)
        if self._rate is not None:
            until = max(until, self._rate.full_at)
        if self.budget is not None:
            # First tries may be forgotten: they only allow more retries.
            until = max(until, self.budget.spent_until())
        return until
