"""
The requests of one batch for one host, and what they start by where the host has limits or trouble.

Pure, like the rest. For a host with neither, the schedule takes them out by itself.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING

from asyncbatch._schedule._job import JobState, Place

if TYPE_CHECKING:
    from asyncbatch._schedule._host import Host
    from asyncbatch._schedule._job import Job
    from asyncbatch._schedule._ready_ring import ReadyRing
    from asyncbatch._schedule._resting import Resting


class JobQueue:
    """The requests of one batch for one host."""

    __slots__ = ("_pause_seen", "_ready_ring", "_resting", "fifo", "host", "jobs", "place")

    def __init__(self, host: Host, ring: ReadyRing[JobQueue], rests: Resting) -> None:
        self.host = host
        self._ready_ring = ring
        self._resting = rests
        # Filled by the schedule and by `take_back`. May hold jobs that have expired meanwhile.
        self.fifo: deque[Job] = deque()
        # Jobs of this host that the batch has not finished, wherever they are; the schedule's.
        self.jobs = 0
        # Where the queue itself stands: in the batch's ring, with the host, or nowhere if empty.
        # Written with the ring; for a plain host by the schedule.
        self.place = Place.NOWHERE
        # The end of the pause by which all that waits has been looked at.
        self._pause_seen = -math.inf

    # Called by its host

    def make_ready(self) -> None:
        """Join the hosts that may start, and tell the batch."""
        self.place = Place.READY
        self._ready_ring.queues.append(self)
        self._ready_ring.look_again()

    def look_again(self) -> None:
        """Tell the batch that it may have to wake up earlier than it thought."""
        self._ready_ring.look_again()

    def host_paused(self, now: float) -> None:
        """Give up what waits and cannot wait for the end of the pause of the host."""
        until, rests = self.host.paused_until, self._resting
        if until <= max(now, self._pause_seen):
            return
        self._pause_seen = until
        for job in self.fifo:
            if job.state is JobState.WAITING:
                state = rests.outlasted_by(until, job, now)
                if state is not None:
                    rests.dismiss(job, state)
        if rests.expired:
            self._ready_ring.look_again()

    def dismisses(self, job: Job, now: float) -> bool:
        """Give a job up that cannot wait for the end of a pause; return whether it is so."""
        until = self.host.paused_until
        state = None if until <= now else self._resting.outlasted_by(until, job, now)
        if state is None:
            return False
        self._resting.dismiss(job, state)
        return True

    # Called by its jobs

    def take_back(self, job: Job, when: float) -> None:
        """
        Let a job whose rest is over wait in front of all others.

        While its host opens after a pause, behind them: or one and the same would be the first
        after each pause, and use up its tries.
        """
        self._resting.end(job, when)
        job.clock = self.host.settle(when)
        self.host.watch(when)
        if self.dismisses(job, when):
            self._ready_ring.look_again()
            return
        if self.host.slow_start is None:
            self.fifo.appendleft(job)
        else:
            self.fifo.append(job)
        if self.place is Place.NOWHERE:
            self.make_ready()

    def expire(self, job: Job) -> None:
        """Let a job whose deadline has passed be handed out as expired."""
        self._resting.expire(job)
        self._ready_ring.look_again()

    def forget(self, job: Job) -> None:
        """Let nothing happen to a job by itself any more."""
        self._resting.forget(job)

    # Called by the schedule

    def take(self, now: float) -> Job | None:
        """
        Take out the next job, as far as a host with limits or trouble admits it.

        The queue has just been taken from the ring, and goes back to where it belongs. If the rate
        over all holds the batch back, the ring says so.
        """
        host, ring = self.host, self._ready_ring
        ring.enter()
        ring.held_until = None
        if not self._has_job():
            self.place = Place.NOWHERE
            host.end_turn(self, now)
            return None
        if host.fails_fast(now):
            return self._fail_fast(now)
        if host.in_flight >= host.width:
            host.hold(now)
        if not host.admits_from(self, now):
            self.host_paused(now)
            self.place = Place.PARKED
            host.park(self, now)
            return None
        if ring.is_held(now):
            ring.queues.appendleft(self)
            return None
        return self._start(now)

    def withdraw(self) -> list[Job]:
        """Take out all that wait, whatever the host says."""
        jobs = [job for job in self.fifo if job.state is JobState.WAITING]
        self.fifo.clear()
        self.place = Place.NOWHERE
        return jobs

    def _has_job(self) -> bool:
        """Is there a job that has not expired?"""
        fifo = self.fifo
        while fifo and fifo[0].state is not JobState.WAITING:
            fifo.popleft()
        return bool(fifo)

    def _fail_fast(self, now: float) -> Job:
        job = self.fifo.popleft()
        job.stop_waiting(now)
        job.state = JobState.HOST_DOWN
        self._resting.forget(job)
        # At the front: what needs no slot need not wait for those that do.
        self._ready_ring.queues.appendleft(self)
        return job

    def _start(self, now: float) -> Job:
        host, ring = self.host, self._ready_ring
        job = self.fifo.popleft()
        clock = host.book(now, job)
        ring.book(now)
        job.start(host, clock, now)
        if not self.fifo:
            self.place = Place.NOWHERE
        elif host.admits(now) or host.fails_fast(now):
            ring.queues.append(self)
        else:
            self.place = Place.PARKED
            host.park(self, now)
        if host.queues > 1:
            host.watch(now)
        host.end_turn(self, now)
        return job
