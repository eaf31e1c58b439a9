"""
`Schedule`: picks the next request of a batch, over the hosts that all batches of a fetcher share.

Pure: no `async`, no clock, no sockets, no randomness of its own; the caller passes the time in.
Time must not go backwards between two calls, not even between those of two batches on one `Hosts`.

The hot path is `add`, `next` and `done` for a host without limits or failures (`Host.plain`). It is
written out in these three, and again in those that join them (`start`, `replace`, `succeeded`,
`body_received`); everything else is in methods that they call.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from asyncbatch._schedule._decision import FINISH, RetryAction, RetryDecider, RetryDecision
from asyncbatch._schedule._held_back import HeldBack
from asyncbatch._schedule._job import Job, JobState, Place
from asyncbatch._schedule._queue import JobQueue, Queues
from asyncbatch._schedule._ready_ring import ReadyRing
from asyncbatch._schedule._resting import Resting
from asyncbatch._values._outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from asyncbatch._schedule._host import Host
    from asyncbatch._schedule._hosts import Hosts
    from asyncbatch._values._retry_policy import RetryPolicy

# Looked up for each request: a global is cheaper than a member of an enum.
_WAITING = JobState.WAITING
_START = JobState.START
_RECEIVED = JobState.RECEIVED
_OVER = JobState.OVER
_NOWHERE = Place.NOWHERE
_READY = Place.READY


class Schedule:
    """
    Hands out the requests of one batch: round robin over the hosts, first in, first out within one.

    Each step is O(1), or O(log n) if it sets a timer. Steps that concern several batches are linear
    in the number of batches that wait for the same host.
    """

    def __init__(self, hosts: Hosts) -> None:
        self._hosts = hosts
        self._timers = hosts.timers
        self._retry_decider = RetryDecider(hosts)
        self.held_back = HeldBack()
        """Why its requests waited although a slot was free, and for how long."""
        self._resting = Resting(hosts.timers, self.held_back)
        self._ready_ring: ReadyRing[JobQueue] = ReadyRing(hosts)
        self._queues = Queues(hosts, self._ready_ring, self._resting, self.held_back)
        # Parts of these three that every request uses.
        self._expired = self._resting.expired
        self._ready = self._ready_ring.queues
        self._by_host = self._queues.by_host
        self._remove_queue = self._queues.remove_queue
        # Set by `close`.
        self._is_closed = False
        # Only this class writes the two counts.
        self.pending = 0
        """Number of jobs that are in a queue or wait for their next try."""
        self.in_flight = 0
        """Number of jobs started, and neither done nor released nor saved."""

    @property
    def on_ready(self) -> Callable[[], None]:
        """
        Called when another batch makes a change that lets this one start a request, or wake up
        earlier.

        It must only wake the dispatcher, and not call the schedule.
        """
        return self._ready_ring.on_ready

    @on_ready.setter
    def on_ready(self, function: Callable[[], None]) -> None:
        self._ready_ring.on_ready = function

    def end_at(self, when: float) -> None:
        """Set when the batch ends. Jobs held back beyond it are handed out as `LATE` at once."""
        self._resting.ends_at = self._retry_decider.ends_at = when

    def add(self, job: Job, now: float) -> None:
        """Add a job that has not been started yet."""
        queue = self._by_host.get(job.host)
        if queue is None:
            queue = self._queues.join(job)
        host = queue.host
        job.queue = queue
        job.since = now
        queue.jobs += 1
        self.pending += 1
        if host.plain:
            job.clock = host.blocked.seconds
        else:
            job.clock = self._read_blocked(host, now)
            if queue.dismisses(job, now):
                return
        queue.fifo.append(job)
        if queue.place is _NOWHERE:
            queue.place = _READY
            self._ready.append(queue)

    def next(self, now: float) -> Job | None:
        """
        Return the next job; its `state` says what the caller must do.

        Returns:
            `None` if no job may start now; see `wake_at`.
        """
        if self._timers.next_at <= now:
            self._run_timers(now)
        if self._expired:
            return self._next_expired(now)
        ready = self._ready
        while ready:
            queue = ready.popleft()
            host = queue.host
            if not host.plain:
                limited_job = queue.take_job(now)
                if limited_job is not None:
                    return self._hand_out(limited_job, now)
                if self._ready_ring.held_until is not None:
                    break
                continue
            fifo = queue.fifo
            if not fifo:
                queue.place = _NOWHERE
                continue
            if host.in_flight >= host.width:
                host.hold(now)
                ready.appendleft(queue)
                continue
            job = fifo.popleft()
            if fifo:
                ready.append(queue)
            else:
                queue.place = _NOWHERE
            if job.state is not _WAITING:
                continue
            host.in_flight += 1
            self.pending -= 1
            self.in_flight += 1
            job.start(host, host.blocked.seconds, now)
            return job
        # Looking at a queue may have dismissed a job.
        return self._next_expired(now) if self._expired else None

    def start(self, job: Job, now: float) -> bool:
        """
        Start a new job at once: `add` and `next` in one, for a plain host, and if no job waits.

        Returns:
            Whether it was started. If not, nothing has changed.
        """
        queue = self._by_host.get(job.host)
        if queue is None or self.pending or self._expired or self._is_closed:
            return False
        host = queue.host
        if (
            not host.plain
            or host.in_flight >= host.width
            or queue.place is not _NOWHERE
            or self._timers.next_at <= now
        ):
            return False
        queue.jobs += 1
        host.in_flight += 1
        self.in_flight += 1
        job.queue = queue
        job.since = job.first_started_at = now
        job.clock = host.blocked.seconds
        # As `Job.start`, without the call and without the waiting.
        job.state = _START
        job.attempts = 1
        budget = host.budget
        if budget is not None:
            if now >= budget.ends_at:
                budget.turn(now)
            budget.tries += 1
        return True

    def replace(self, job: Job, request: Any, index: int, key: Hashable, now: float) -> bool:
        """
        Replace a job that has succeeded by a request for the same host.

        It does the same as `succeeded`, `add` and `next` for a steady host without waiting jobs:
        only the request changes, and its try is counted.

        Returns:
            Whether it was replaced. If not, nothing has changed.
        """
        assert job.state is _START, f"{job.state} job is not in flight"
        queue = job.queue
        host = queue.host
        if (
            not host.steady
            or (key is not host.key and key != host.key)  # mostly the same object
            or queue.place is not _NOWHERE
            or self._timers.next_at <= now
            or self._is_closed
            or not (host.plain or host.pass_slot_on(now))
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

    def take_out(self, seconds: float, before: float) -> None:
        """Take the time of a blocked loop out of the waiting for a slot."""
        for queue in self._by_host.values():
            if not queue.host.plain:
                continue  # it waits for a time, which passes while the loop is blocked
            for job in queue.fifo:
                if job.since <= before:
                    job.since += seconds

    def policy_for(self, job: Job) -> RetryPolicy | None:
        """Return the policy of a request; `None`: it is tried once."""
        return self._retry_decider.policy_for(job)

    def take_expired(self, now: float) -> Job | None:
        """Return a job whose deadline passed while it waited, when `next` cannot be called."""
        self._run_timers(now)
        return self._next_expired(now) if self._expired else None

    def done(self, job: Job, outcome: Outcome, now: float) -> RetryDecision:
        """Record the outcome of an attempt, and decide whether the request is tried again."""
        if job.state is not _START:
            return self._done_received(job, outcome, now)
        queue = job.queue
        host = queue.host
        if not host.plain or outcome.kind is not None:
            return self._done_limited(job, outcome, now)
        if not host.steady:
            host.succeeded()
        host.in_flight -= 1
        self.in_flight -= 1
        job.state = _OVER
        queue.jobs -= 1
        if not queue.jobs:
            self._remove_queue(host, now)
        return FINISH

    def succeeded(self, job: Job, started_at: float, now: float) -> None:
        """Record a success that was begun at `started_at`: `done` without an `Outcome`."""
        assert job.state is _START, f"{job.state} job is not in flight"
        queue = job.queue
        host = queue.host
        if not host.plain:
            self._run_timers(now)
            self.in_flight -= 1
            host.end_well(job, started_at, now)
            self._finish_job(job, now)
            host.recover(now)
            return
        if not host.steady:
            host.succeeded()
        host.in_flight -= 1
        self.in_flight -= 1
        job.state = _OVER
        queue.jobs -= 1
        if not queue.jobs:
            self._remove_queue(host, now)

    def body_received(self, job: Job, started_at: float, now: float) -> None:
        """
        Release the slot that a success which was begun at `started_at` has at its host.

        The job stays in flight until its body is on the disk: `saved` or `done` must follow.
        """
        assert job.state is _START, f"{job.state} job is not in flight"
        job.state = _RECEIVED
        host = job.host
        if not host.plain:
            self._run_timers(now)
            host.end_well(job, started_at, now)
            host.recover(now)
            return
        if not host.steady:
            host.succeeded()
        host.in_flight -= 1

    def saved(self, job: Job, now: float) -> None:
        """End a job whose body has been received."""
        assert job.state is _RECEIVED, f"{job.state} job is not received"
        self.in_flight -= 1
        job.state = _OVER
        queue = job.queue
        queue.jobs -= 1
        if not queue.jobs:
            self._remove_queue(queue.host, now)

    def overhear(self, key: Hashable, job: Job, outcome: Outcome, now: float) -> None:
        """
        Let the host of a redirect's target learn from its answer, or from its silence.

        The first host learns from it too (`done`): its next requests would be redirected there too.
        """
        if key == job.host.key:
            return
        self._run_timers(now)
        host = self._hosts.get(key)
        host.overhear(outcome, now, self._retry_decider.policy_for(job))
        if not host.joined:
            self._hosts.rest(host, now)

    def release(self, job: Job, now: float) -> None:
        """Release the slot of a job whose attempt was cancelled. The schedule drops the job."""
        assert job.state is _START, f"{job.state} job is not in flight"
        self._run_timers(now)
        self.in_flight -= 1
        job.host.release(now, job)
        self._finish_job(job, now)
        job.host.pass_on(now)

    def unfinished_by_host(self) -> dict[Host, int]:
        """Return the number of unfinished requests of each host."""
        return {host: queue.jobs for host, queue in self._by_host.items()}

    def close(self, now: float) -> list[Job]:
        """
        Withdraw all jobs that are not in flight and return them.

        The caller must still report those in flight; none of them is tried again.
        """
        self._run_timers(now)
        self._is_closed = True
        jobs = [*self._expired]
        self._expired.clear()
        for queue in self._by_host.values():
            jobs += queue.take_all(now)
        for job in jobs:
            job.stop_waiting(now)
        jobs += self._resting.end_all(now)
        self._ready_ring.clear()
        self.pending = 0
        for queue in self._by_host.values():
            queue.host.withdraw(queue, now)
        for job in jobs:
            self._resting.forget(job)
            self._finish_job(job, now)
        return jobs

    @property
    def wake_at(self) -> float | None:
        """
        The earliest time at which `next`, after it has returned `None`, may return a job.

        `None`: only `add`, `done` or `release`, here or in another batch, can make one startable.
        """
        if not self.pending:
            return None
        held = self._ready_ring.held_until
        when = self._timers.next_at if held is None else min(self._timers.next_at, held)
        return None if when == math.inf else when

    @property
    def next_alarm(self) -> float:
        """When to call `take_expired` again: no deadline passes before, if no job rests."""
        if self._expired:  # another batch has run the timers, which it shares
            return -math.inf
        return self._timers.next_at if self.pending else math.inf

    @property
    def hosts(self) -> int:
        """Number of hosts with unfinished jobs."""
        return len(self._by_host)

    @property
    def is_held(self) -> bool:
        """Whether `next` has returned `None` because of the total rate."""
        return self._ready_ring.held_until is not None

    @property
    def has_ready(self) -> bool:
        """Whether `next` may return a job, as far as can be told without the time."""
        return bool(self._expired) or (bool(self._ready) and self._ready_ring.held_until is None)

    # Off the hot path

    def _read_blocked(self, host: Host, now: float) -> float:
        self._run_timers(now)
        host.watch_opening(now)
        return host.settle(now)

    def _run_timers(self, now: float) -> None:
        self._ready_ring.enter()
        if self._timers.next_at <= now:
            self._timers.run(now)

    def _hand_out(self, job: Job, now: float) -> Job:
        """Count a job taken out of its queue, and drop it unless it has been started."""
        self.pending -= 1
        if job.state is _START:
            self.in_flight += 1
        else:
            self._queues.let_go(job.queue, now)
        return job

    def _next_expired(self, now: float) -> Job:
        self._ready_ring.enter()
        job = self._expired.popleft()
        job.stop_waiting(now)
        return self._hand_out(job, now)

    def _finish_job(self, job: Job, now: float) -> None:
        job.state = _OVER
        self._queues.let_go(job.queue, now)

    def _done_limited(self, job: Job, outcome: Outcome, now: float) -> RetryDecision:
        host = job.host
        self._run_timers(now)
        self.in_flight -= 1
        pause = host.end_attempt(job, outcome, now, self._retry_decider.policy_for(job))
        decision = self._decide(job, outcome, pause, now)
        host.recover(now)
        return decision

    def _done_received(self, job: Job, outcome: Outcome, now: float) -> RetryDecision:
        """Do what `done` does, for a job whose host has learned from its answer already."""
        assert job.state is _RECEIVED, f"{job.state} job is not in flight"
        self._run_timers(now)
        self.in_flight -= 1
        return self._decide(job, outcome, None, now)

    def _decide(self, job: Job, outcome: Outcome, pause: float | None, now: float) -> RetryDecision:
        decision = FINISH
        if outcome.kind is not None and not self._is_closed:
            decision = self._retry_decider.decide(job, outcome, pause, now)
        if decision.action is RetryAction.RETRY:
            self.pending += 1
            self._resting.put_off(job, decision.delay, now)
        else:
            self._finish_job(job, now)
        return decision
