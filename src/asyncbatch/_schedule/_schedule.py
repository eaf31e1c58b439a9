"""
Which request goes next, and when: the queues of one batch over the hosts that all batches share.

Pure: no `async`, no clock, no sockets, no randomness of its own; the caller says what time it is.
Time must not go backwards between two calls, not even between those of two batches on one `Hosts`.

The hot path is `add`, `next` and `done` for a host with no limits and no trouble (`Host.plain`): it
is written out in these three, and whatever else there is lives in methods that they call.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, Any

from asyncbatch._outcome import Outcome
from asyncbatch._schedule._decision import FINISH, Action, Decision, decide
from asyncbatch._schedule._job import Fate, Job, JobQueue, Place

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from asyncbatch._hosts import Host, Hosts

# Looked up for each request: a global is cheaper than a member of an enum.
_WAITING = Fate.WAITING
_START = Fate.START
_OVER = Fate.OVER
_NOWHERE = Place.NOWHERE
_READY = Place.READY
_PARKED = Place.PARKED


def _ignore() -> None:
    """Stand in for a batch that has no dispatcher."""


class Schedule:
    """
    Hand out the requests of one batch: round robin over the hosts that may start, first in first
    out within a host.

    Each step is O(1), or O(log n) where a timer is set. What crosses batches costs as much as there
    are batches that wait for one and the same host.
    """

    def __init__(self, hosts: Hosts) -> None:
        self._hosts = hosts
        self._timers = hosts.timers
        self._queues: dict[Host, JobQueue] = {}
        # Queues whose host may start one, or has not been looked at since it might not.
        self.ring: deque[JobQueue] = deque()
        self._resting: set[Job] = set()
        self._expired: deque[Job] = deque()
        # Until when the rate over all holds everything back that is in the ring.
        self._held_until: float | None = None
        self._is_closed = False
        self.pending = 0
        """Jobs taken and not in flight: in a queue, or waiting for their next try."""
        self.in_flight = 0
        """Jobs started, and neither done nor released."""
        self.on_ready: Callable[[], None] = _ignore
        """Called when another batch's doing lets this one start something, or makes `wake_at`
        earlier. It must only wake the dispatcher, and not call the schedule."""

    def add(self, job: Job, now: float) -> None:
        """Take a job that is to be started for the first time."""
        queue = self._queues.get(job.host)
        if queue is None:
            queue = self._join(job)
        host = queue.host
        job.queue = queue
        job.since = now
        job.clock = host.blocked if host.plain else self._read_clock(host, now)
        queue.fifo.append(job)
        queue.jobs += 1
        self.pending += 1
        if queue.place is _NOWHERE:
            queue.place = _READY
            self.ring.append(queue)

    def next(self, now: float) -> Job | None:
        """
        Return the next job, with its `fate` saying what is to be done with it.

        Returns:
            `None` when nothing may start now: see `wake_at`.
        """
        if self._timers.next_at <= now:
            self._run_timers(now)
        if self._expired:
            return self._next_expired(now)
        self._held_until = None
        ring = self.ring
        while ring:
            queue = ring.popleft()
            host = queue.host
            if not host.plain:
                limited_job = self._next_limited(queue, now)
                if limited_job is not None or self._held_until is not None:
                    return limited_job
                continue
            fifo = queue.fifo
            if not fifo:
                queue.place = _NOWHERE
                continue
            job = fifo.popleft()
            if fifo:
                ring.append(queue)
            else:
                queue.place = _NOWHERE
            if job.fate is not _WAITING:
                continue
            host.in_flight += 1
            blocked = host.blocked
            self._start(job, host, blocked, now)
            return job
        return None

    def replace(self, job: Job, request: Any, index: int, key: Hashable, now: float) -> bool:
        """
        Let a request take the place of one that has succeeded, if both are for one host.

        What `succeeded`, `add` and `next` come to for a host with no limits and no trouble when
        nobody waits: nothing but the request changes, and its try is counted.

        Returns:
            `False`, and nothing has changed, where it is not like that.
        """
        assert job.fate is _START, f"{job.fate} job is not in flight"
        queue = job.queue
        host = queue.host
        if (
            key != host.key
            or not host.plain
            or queue.place is not _NOWHERE
            or self._timers.next_at <= now
            or self._is_closed
        ):
            return False
        # Written out: as a method of the job it would cost a call more.
        job.request = request
        job.index = index
        job.attempts = 1
        job.first_started_at = now
        job.history = None
        job.local_failures = 0
        job.queued = job.throttled = 0.0
        budget = host.budget
        if budget is not None:
            if now >= budget.ends_at:
                budget.turn(now)
            budget.tries += 1
        return True

    def take_expired(self, now: float) -> Job | None:
        """Return a job whose deadline has passed while it waited, for `next` may not be asked."""
        self._run_timers(now)
        return self._next_expired(now) if self._expired else None

    def done(self, job: Job, outcome: Outcome, now: float) -> Decision:
        """Take note of how an attempt ended, and say what becomes of the request."""
        assert job.fate is _START, f"{job.fate} job is not in flight"
        queue = job.queue
        host = queue.host
        if not host.plain or outcome.kind is not None:
            return self._done_limited(job, outcome, now)
        host.in_flight -= 1
        self.in_flight -= 1
        job.fate = _OVER
        queue.jobs -= 1
        if not queue.jobs:
            self._leave(queue, now)
        return FINISH

    def succeeded(self, job: Job, status_code: int, started_at: float, now: float) -> None:
        """Take note of a success: `done` without an `Outcome` where nobody would look at it."""
        assert job.fate is _START, f"{job.fate} job is not in flight"
        queue = job.queue
        host = queue.host
        if not host.plain:
            outcome = Outcome(status_code=status_code, started_at=started_at)
            self._done_limited(job, outcome, now)
            return
        host.in_flight -= 1
        self.in_flight -= 1
        job.fate = _OVER
        queue.jobs -= 1
        if not queue.jobs:
            self._leave(queue, now)

    def overhear(self, key: Hashable, job: Job, outcome: Outcome, now: float) -> None:
        """
        Let the host to which a redirect led learn from its own answer.

        The first host learns from it too (`done`): what it is asked would be led there again.
        """
        if key == job.host.key:
            return
        self._run_timers(now)
        host = self._hosts.get(key)
        host.settle(now)
        host.learn(outcome, now, was_probe=False)
        host.pass_on(now)
        host.update_plain(now)
        if not host.queues:
            self._hosts.rest(host, now)

    def release(self, job: Job, now: float) -> None:
        """Give the slot of a job back whose attempt was cancelled. The schedule lets go of it."""
        assert job.fate is _START, f"{job.fate} job is not in flight"
        self._free(job, now)
        self._finish(job, now)
        job.host.pass_on(now)

    def close(self, now: float) -> list[Job]:
        """
        Withdraw all jobs that are not in flight and return them.

        Those in flight are still to be reported; none of them is tried again.
        """
        self._run_timers(now)
        self._is_closed = True
        jobs = [*self._expired]
        for queue in self._queues.values():
            jobs.extend(job for job in queue.fifo if job.fate is _WAITING)
            queue.fifo.clear()
        for job in jobs:
            self._account(job, now)
        for job in self._resting:
            job.throttled += now - job.since
        jobs.extend(self._resting)
        self._resting.clear()
        self._expired.clear()
        self.ring.clear()
        self._held_until = None
        self.pending = 0
        self._hosts.leave_line(self)
        for queue in self._queues.values():
            queue.place = _NOWHERE
            queue.host.withdraw(queue, now)
        for job in jobs:
            self._timers.cancel(job)
            self._finish(job, now)
        return jobs

    @property
    def wake_at(self) -> float | None:
        """
        After `next` has returned `None`: the earliest time at which it may return a job.

        `None`: only `add`, `done` and `release` can change that, here or in another batch.
        """
        if not self.pending:
            return None
        held = math.inf if self._held_until is None else self._held_until
        when = min(self._timers.next_at, held)
        return None if when == math.inf else when

    @property
    def next_alarm(self) -> float:
        """When `take_expired` is to be asked again: no deadline passes before, if nothing rests."""
        return self._timers.next_at if self.pending else math.inf

    @property
    def has_ready(self) -> bool:
        """Is it worth calling `next`, as far as can be told without the time?"""
        return bool(self._expired) or (bool(self.ring) and self._held_until is None)

    # Called by hosts and timers

    def is_startable(self) -> bool:
        """Is there a request that perhaps only the rate over all holds back?"""
        return bool(self.ring)

    def look_again(self) -> None:
        """Tell the dispatcher that something has changed, unless it is the one who changes it."""
        if self._hosts.caller is not self:
            self._held_until = None
            self.on_ready()

    def wake_up(self, job: Job, when: float) -> None:
        """Put a job back into its host's queue, at the front."""
        self._resting.discard(job)
        job.throttled += when - job.since
        job.fate = _WAITING
        job.since = when
        queue = job.queue
        host = queue.host
        job.clock = host.clock(when)
        queue.fifo.appendleft(job)
        if when < host.opens_at:
            host.arm(host.opens_at)
        if job.deadline is not None:
            self._timers.set(job, job.deadline)
        if queue.place is _NOWHERE:
            queue.make_ready()

    def expire(self, job: Job) -> None:
        """Let a job be returned by `next` as expired; it stays in its queue until seen there."""
        job.fate = Fate.EXPIRED
        self._expired.append(job)
        self.look_again()

    # Off the hot path

    def _join(self, job: Job) -> JobQueue:
        host = job.host
        if not host.queues:
            host = job.host = self._hosts.adopt(host)
        queue = self._queues.get(host)
        if queue is None:
            queue = self._queues[host] = JobQueue(host, self)
            host.queues += 1
        return queue

    def _leave(self, queue: JobQueue, now: float) -> None:
        host = queue.host
        del self._queues[host]
        host.queues -= 1
        if not host.plain:
            host.withdraw(queue, now)
        if not host.queues:
            self._hosts.rest(host, now)

    def _read_clock(self, host: Host, now: float) -> float:
        self._run_timers(now)
        if now < host.opens_at:
            host.arm(host.opens_at)
        return host.clock(now)

    def _run_timers(self, now: float) -> None:
        self._hosts.caller = self
        if self._timers.next_at <= now:
            self._timers.run(now)

    def _next_limited(self, queue: JobQueue, now: float) -> Job | None:
        host = queue.host
        self._hosts.caller = self
        if not queue.has_job():
            queue.place = _NOWHERE
            host.end_turn(queue, now)
            return None
        if host.fails_fast(now):
            return self._fail_fast(queue, now)
        if not host.admits_from(queue, now):
            queue.place = _PARKED
            host.park(queue, now)
            return None
        self._held_until = self._hosts.held_until(self, now)
        if self._held_until is not None:
            self.ring.appendleft(queue)
            return None
        return self._start_limited(queue, now)

    def _start_limited(self, queue: JobQueue, now: float) -> Job:
        host = queue.host
        job = queue.fifo.popleft()
        clock = host.clock(now)
        host.book(now, job)
        self._hosts.book_total(self, now)
        self._start(job, host, clock, now)
        if not queue.fifo:
            queue.place = _NOWHERE
        elif host.admits(now):
            self.ring.append(queue)
        else:
            queue.place = _PARKED
            host.park(queue, now)
        if host.queues > 1 and now < host.opens_at:
            host.arm(host.opens_at)
        host.end_turn(queue, now)
        return job

    def _start(self, job: Job, host: Host, clock: float, now: float) -> None:
        """Count a start and what was waited for it; `clock` is that of blocked time."""
        self.pending -= 1
        self.in_flight += 1
        job.fate = _START
        throttled = clock - job.clock
        if throttled:
            throttled = min(throttled, now - job.since)
            job.throttled += throttled
        job.queued += now - job.since - throttled
        job.attempts += 1
        if job.first_started_at is None:
            job.first_started_at = now
            budget = host.budget
            if budget is not None:
                if now >= budget.ends_at:
                    budget.turn(now)
                budget.tries += 1
        else:
            # The alarm at its deadline is for those that wait.
            self._timers.cancel(job)

    def _fail_fast(self, queue: JobQueue, now: float) -> Job:
        job = queue.fifo.popleft()
        self._account(job, now)
        job.fate = Fate.HOST_DOWN
        self.pending -= 1
        self._timers.cancel(job)
        # At the front: what needs no slot need not wait for those that do.
        self.ring.appendleft(queue)
        self._let_go(queue, now)
        return job

    def _next_expired(self, now: float) -> Job:
        self._hosts.caller = self
        job = self._expired.popleft()
        self._account(job, now)
        self.pending -= 1
        self._let_go(job.queue, now)
        return job

    def _account(self, job: Job, now: float) -> None:
        """Add the time since the job began to wait to what it has waited."""
        waited = now - job.since
        throttled = min(job.host.clock(now) - job.clock, waited)
        job.throttled += throttled
        job.queued += waited - throttled

    def _finish(self, job: Job, now: float) -> None:
        job.fate = _OVER
        self._let_go(job.queue, now)

    def _let_go(self, queue: JobQueue, now: float) -> None:
        queue.jobs -= 1
        if not queue.jobs:
            self._leave(queue, now)

    def _free(self, job: Job, now: float) -> None:
        self._run_timers(now)
        job.host.free(now, job)
        self.in_flight -= 1

    def _done_limited(self, job: Job, outcome: Outcome, now: float) -> Decision:
        host = job.host
        was_probe = host.probe is job
        self._free(job, now)
        pause = None if outcome.local else host.learn(outcome, now, was_probe=was_probe)
        decision = FINISH
        if outcome.kind is not None and not self._is_closed:
            decision = decide(
                job,
                outcome,
                retry=self._hosts.retry,
                random=self._hosts.random,
                pause=pause,
                now=now,
            )
        if decision.action is Action.RETRY:
            if outcome.local:
                job.local_failures += 1
                job.attempts -= 1
            self._rest(job, decision.delay, now)
        else:
            self._finish(job, now)
        host.pass_on(now)
        host.update_plain(now)
        return decision

    def _rest(self, job: Job, delay: float, now: float) -> None:
        job.fate = Fate.RESTING
        job.since = now
        self.pending += 1
        self._resting.add(job)
        self._timers.set(job, now + delay)
