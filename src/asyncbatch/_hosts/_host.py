"""
One host: what is in flight to it, and when it may be sent more.

Pure: no clock and no randomness of its own. Which request goes next, and what becomes of a failed
one, is not decided here.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from asyncbatch._errors import FailureKind
from asyncbatch._hosts._blocked import BlockedTime
from asyncbatch._hosts._health import Health
from asyncbatch._hosts._line import Line
from asyncbatch._hosts._opening import Opening
from asyncbatch._hosts._pauses import REFUSALS, Pauses
from asyncbatch._limits import Gcra

if TYPE_CHECKING:
    from collections.abc import Hashable

    from asyncbatch._hosts._line import HostQueue
    from asyncbatch._hosts._policies import Policies
    from asyncbatch._outcome import Outcome
    from asyncbatch._retry import Retry

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


def _is_our_own(outcome: Outcome) -> bool:
    """Did the server have no part in it?"""
    if outcome.kind is FailureKind.callback:
        return outcome.status_code is None
    return outcome.kind in _OUR_OWN


class Host:
    """One origin: what is in flight to it, and when it may be sent more."""

    __slots__ = (
        "_health",
        "_limit",
        "_line",
        "_pauses",
        "_policies",
        "_rate",
        "blocked",
        "budget",
        "in_flight",
        "is_lingering",
        "key",
        "limits",
        "opening",
        "opens_at",
        "plain",
        "queues",
        "timer",
    )

    def __init__(self, key: Hashable, policies: Policies) -> None:
        self.key = key
        self._policies = policies
        # Of each attempt, where they are others than those for all.
        self.limits = policies.limits
        # How many may be in flight: the cap, or less while the host opens. Written by
        # `_limit_load`.
        self._limit = policies.cap
        self._rate = None if policies.rate is None else Gcra(policies.rate)
        # Made at the first failure (`_learn`) and the first refusal (`_learn_from_status`): most
        # hosts never see one.
        self._health: Health | None = None
        self._pauses: Pauses | None = None
        # From the beginning of a pause (`_learn_from_status`) until some time after it (`recover`).
        self.opening: Opening | None = None
        self._line = Line()
        self.blocked = BlockedTime(policies.total)
        # First tries are counted by the schedule, retries are paid where they are decided on.
        self.budget = policies.new_budget()
        # Written by `book` and `release`; for a plain host by the schedule.
        self.in_flight = 0
        # Batches with requests for this host that are not finished; written by the schedule.
        self.queues = 0
        # Nothing limits this host and nothing is wrong with it. The hot path reads this one flag
        # and none of the rest; only `recover` writes it.
        self.plain = policies.is_unlimited
        # The later one of the rate's next slot and the end of the pause. It never moves back.
        # Written by `book` and `_learn_from_status`.
        self.opens_at = -math.inf
        # Had nothing to do when it was last looked at; written by Hosts.
        self.is_lingering = False
        # Written by Timers.
        self.timer: float | None = None

    # Starting

    def admits(self, now: float) -> bool:
        """May a request start, whosoever it is?"""
        return now >= self.opens_at and self.in_flight < self._limit

    def admits_from(self, queue: HostQueue, now: float) -> bool:
        """May a request of this queue start?"""
        return self._line.allows(queue, now) and self.admits(now)

    @property
    def is_down(self) -> bool:
        """Can it not be connected to?"""
        return self._health is not None and self._health.is_down

    def fails_fast(self, now: float) -> bool:
        """Is the host down, and nobody wanted to probe it?"""
        return self._health is not None and self._health.fails_fast(now)

    def book(self, now: float, request: object) -> float:
        """Take a slot for `request`, which this host admits; return what `settle` does."""
        clock = self.settle(now)
        self.in_flight += 1
        if self._health is not None:
            self._health.started(request)
        if self.opening is not None:
            self.opening.started(request, now)
        if self._rate is not None:
            self._rate.book(now)
            self.opens_at = max(self.opens_at, self._rate.open_at)
        return clock

    def settle(self, now: float) -> float:
        """
        Return the clock of the time for which nothing could start, brought up to `now`.

        To be called before anything that it depends on changes. While the host waits for a moment
        its timer is set to that moment, so that no start can have been booked at the rate over all
        between the end of the wait and this call.
        """
        closed = now < self.opens_at or self.in_flight >= self._limit
        return self.blocked.settle(now, now if closed else self.opens_at)

    # Ending

    def release(self, now: float, request: object) -> None:
        """Give the slot of `request` back, of which there is nothing to be learned."""
        self.settle(now)
        self.in_flight -= 1
        if self._health is not None:
            self._health.ended(request)
        if self.opening is not None:
            self.opening.ended(request)
            self._limit_load()

    def end(
        self, request: object, outcome: Outcome, now: float, retry: Retry | None
    ) -> float | None:
        """
        Give the slot of `request` back, and learn from how its attempt ended.

        Args:
            request: It.
            outcome: How its attempt ended.
            now: The time.
            retry: The policy for it: `None` if its refusal is to pause nobody.

        Returns:
            The seconds for which the host is paused from now on because of this very outcome.
        """
        if outcome.local:
            self.release(now, request)
            return None
        self.settle(now)
        self.in_flight -= 1
        was_probe = self._health is not None and self._health.ended(request)
        if self.opening is not None:
            self.opening.ended(request)
            if outcome.status_code not in REFUSALS and not _is_our_own(outcome):
                self.opening.widen()
            self._limit_load()
        return self._learn(outcome, now, retry, was_probe=was_probe)

    def overhear(self, outcome: Outcome, now: float, retry: Retry | None) -> None:
        """Learn from an answer to a request that had been sent to another host."""
        self.settle(now)
        self._learn(outcome, now, retry, was_probe=False)
        self.recover(now)

    def _learn(
        self, outcome: Outcome, now: float, retry: Retry | None, *, was_probe: bool
    ) -> float | None:
        if outcome.connect_failed:
            if self._health is None:
                self._health = Health(self._policies.give_up_after)
            if self._health.failed(now, was_probe=was_probe):
                # They need no slot to fail.
                self._line.make_all_ready()
            return None
        if _is_our_own(outcome):
            return None
        if self._health is not None:
            self._health.connected()
        return self._learn_from_status(outcome, now, retry)

    def _learn_from_status(self, outcome: Outcome, now: float, retry: Retry | None) -> float | None:
        if outcome.status_code in REFUSALS:
            if retry is None:
                return None
            if self._pauses is None:
                self._pauses = Pauses(self._policies)
            pause = self._pauses.refused(outcome, now, retry)
            if pause is not None:
                self.opening = Opening()
                self._limit_load()
            self.opens_at = max(self.opens_at, self._pauses.until)
            self.pass_on(now)
            return pause
        if self._pauses is not None and outcome.status_code is not None:
            self._pauses.answered(outcome.started_at)
        return None

    # Waiting

    def park(self, queue: HostQueue, now: float) -> None:
        """Let a queue wait until it may start."""
        self._line.join(queue)
        if not self.watch(now) and self.in_flight < self._limit:
            self._arm(self._line.turn_until)

    def watch(self, now: float) -> bool:
        """Set the timer to when the host will open by itself; return whether it will."""
        if now < self.opens_at:
            self._arm(self.opens_at)
            return True
        if self.opening is not None and self.opening.is_used_up:
            self._arm(self.opening.widens_at)
            return True
        return False

    def pass_on(self, now: float) -> None:
        """Give the turn to the first queue that waits, or see to it that this happens in time."""
        line = self._line
        if not self.queues or self.watch(now):
            return
        if line.is_empty or self.in_flight >= self._limit:
            return
        line.give_turn(now)
        if not line.is_empty:
            self._arm(line.turn_until)

    def end_turn(self, queue: HostQueue, now: float) -> None:
        """Pass the turn on, if it was this queue's."""
        if self._line.end_turn(queue):
            self.pass_on(now)

    def withdraw(self, queue: HostQueue, now: float) -> None:
        """Forget a queue that has nothing left to start."""
        self._line.leave(queue)
        self.pass_on(now)

    def on_time(self, when: float) -> None:
        """Let the next one start, if the time has come for that."""
        self.settle(when)
        if self.opening is not None:
            self.opening.on_time(when)
            self._limit_load()
        self.pass_on(when)

    def _arm(self, when: float) -> None:
        """Set the timer to `when`, unless it goes off earlier."""
        if self.timer is not None and self.timer <= when:
            return
        self._policies.timers.set(self, when)
        # Whoever waits for the end of a request has not been waiting for a moment so far.
        for queue in self._line.waiting():
            queue.look_again()

    # Being fine again

    def recover(self, now: float) -> None:
        """Let the next one start where it may; go to the hot path if all is well, or leave it."""
        line = self._line
        if (
            self.opening is not None
            and now >= self.opens_at
            and self.opening.is_over(self._policies.cap, nobody_waits=line.is_idle)
        ):
            self.opening = None
            self._limit_load()
        self.pass_on(now)
        self.plain = (
            self._policies.is_unlimited
            and (self._health is None or self._health.is_good)
            and (self._pauses is None or self._pauses.is_over)
            and self.opening is None
            and line.is_idle
            and now >= self.opens_at
        )

    def _limit_load(self) -> None:
        """
        Say how many may be in flight; to be called when the opening after a pause changes.

        A start changes nothing: it takes of the room what it adds to the load.
        """
        self._limit = self._policies.cap
        if self.opening is not None:
            self._limit = min(self._limit, self.in_flight + self.opening.room)

    def worth_keeping_until(self) -> float:
        """Return when a host with nothing to do may be forgotten without any harm."""
        until = self.opens_at
        if self._health is not None:
            until = max(until, self._health.matters_until)
        if self._pauses is not None:
            until = max(until, self._pauses.matters_until)
        if self._rate is not None:
            until = max(until, self._rate.full_at)
        if self.budget is not None:
            # First tries are forgotten gladly: they only ever allow more retries.
            until = max(until, self.budget.spent_until())
        return until
