"""
The requests of one batch, in a queue for each host, and their starts at a host with limits or
failures.

Pure. At a plain host, the schedule takes the requests out itself.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING

from asyncbatch._schedule._job import JobState, Place

if TYPE_CHECKING:
    from asyncbatch._schedule._held_back import HeldBack
    from asyncbatch._schedule._host import Host
    from asyncbatch._schedule._hosts import Hosts
    from asyncbatch._schedule._job import Job, JobOwner
    from asyncbatch._schedule._ready_ring import ReadyRing
    from asyncbatch._schedule._resting import Resting

MOST_SPARE = 256
"""Most unused queues that are kept."""


class JobQueue:
    """The requests of one batch for one host."""

    __slots__ = (
        "_held_back",
        "_pause_seen",
        "_ready_ring",
        "_resting",
        "fifo",
        "host",
        "jobs",
        "place",
    )

    def __init__(
        self, host: Host, ring: ReadyRing[JobQueue], rests: Resting, held_back: HeldBack
    ) -> None:
        self.host = host
        self._ready_ring = ring
        self._resting = rests
        self._held_back = held_back
        # Filled by the schedule and by `take_back`. It may contain expired jobs.
        self.fifo: deque[Job] = deque()
        # Number of unfinished jobs of this host, in any state; written by the schedule.
        self.jobs = 0
        # Where the queue is: in the batch's ring, parked at the host, or nowhere if empty. Written
        # with the ring; for a plain host by the schedule.
        self.place = Place.NOWHERE
        # The end of the last pause for which all waiting jobs were checked. Pauses of a host never
        # end before earlier ones, unless it is reopened (`forget_pause`).
        self._pause_seen = -math.inf

    # Called by its host

    def make_ready(self) -> None:
        """Join the ready ring, and notify the batch."""
        self.place = Place.READY
        self._ready_ring.queues.append(self)
        self._ready_ring.look_again()

    def look_again(self) -> None:
        """Notify the batch that it may have to wake up earlier."""
        self._ready_ring.look_again()

    def held_back(self, reason: str, seconds: float) -> None:
        """Count the seconds in which the host let none of the waiting jobs start."""
        if seconds > 0.0 and self.fifo:
            self._held_back.add(self.host.key, reason, seconds, len(self.fifo))

    def host_paused(self, now: float) -> None:
        """Dismiss the waiting jobs that cannot wait for the end of the pause of the host."""
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

    def forget_pause(self) -> None:
        """Forget the last pause of the host, which may be followed by one that ends before."""
        self._pause_seen = -math.inf

    def dismisses(self, job: Job, now: float) -> bool:
        """Dismiss a job if it cannot wait for the end of a pause; return whether it was."""
        until = self.host.paused_until
        state = None if until <= now else self._resting.outlasted_by(until, job, now)
        if state is None:
            return False
        self._resting.dismiss(job, state)
        return True

    # Called by its jobs

    def take_back(self, job: Job, when: float) -> None:
        """
        Queue a job whose rest is over, before all others.

        During slow start after a pause, it goes after them: otherwise the same job would be the
        first after each pause, and use up its tries.
        """
        self._resting.end_rest(job, when)
        job.clock = self.host.settle(when)
        self.host.watch_opening(when)
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
        """Mark a job as expired, to be handed out."""
        self._resting.expire(job)
        self._ready_ring.look_again()

    def forget(self, job: Job) -> None:
        """Cancel the timer of a job."""
        self._resting.forget(job)

    # Called by the schedule

    def take_job(self, now: float) -> Job | None:
        """
        Take out the next job, if the host, with its limits or failures, admits one.

        The queue has just been taken from the ring; this puts it where it belongs. If the total
        rate holds the batch back, `held_until` of the ring is set.
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

    def take_all(self, now: float) -> list[Job]:
        """Take out all waiting jobs."""
        self.host.settle(now)
        jobs = [job for job in self.fifo if job.state is JobState.WAITING]
        self.fifo.clear()
        self.place = Place.NOWHERE
        return jobs

    def _has_job(self) -> bool:
        """Whether there is a job that has not expired."""
        fifo = self.fifo
        while fifo and fifo[0].state is not JobState.WAITING:
            fifo.popleft()
        return bool(fifo)

    def _fail_fast(self, now: float) -> Job:
        job = self.fifo[0]
        job.stop_waiting(now)
        self.fifo.popleft()
        job.state = JobState.HOST_DOWN
        self._resting.forget(job)
        # At the front: these jobs need no slot, so they need not wait for others.
        self._ready_ring.queues.appendleft(self)
        return job

    def _start(self, now: float) -> Job:
        host, ring = self.host, self._ready_ring
        job = self.fifo[0]
        clock = host.book(now, job)
        self.fifo.popleft()
        ring.book(now)
        job.start(host, clock, now)
        if not self.fifo:
            self.place = Place.NOWHERE
        elif host.admits(now) or host.fails_fast(now):
            ring.queues.append(self)
        else:
            self.place = Place.PARKED
            host.park(self, now)
        if len(host.joined) > 1:
            host.watch_opening(now)
        host.end_turn(self, now)
        return job


class Queues:
    """The queues of one batch, one for each host with unfinished requests."""

    __slots__ = ("_held_back", "_hosts", "_ready_ring", "_resting", "_spare", "by_host")

    def __init__(
        self, hosts: Hosts, ring: ReadyRing[JobQueue], rests: Resting, held_back: HeldBack
    ) -> None:
        self._hosts = hosts
        self._ready_ring = ring
        self._resting = rests
        self._held_back = held_back
        # Written by `join` and `remove_queue`, together with `Host.joined`.
        self.by_host: dict[Host, JobQueue] = {}
        # Queues to be used again for other hosts: making one costs more than using it.
        self._spare: list[JobQueue] = []

    def join(self, job: Job) -> JobQueue:
        """Return the queue of a job, and make sure that `Hosts` has its host."""
        host = job.host
        if not host.joined:
            host = job.host = self._hosts.adopt(host)
        queue = self.by_host.get(host)
        if queue is None:
            if self._spare:
                queue = self._spare.pop()
                queue.host = host
            else:
                queue = JobQueue(host, self._ready_ring, self._resting, self._held_back)
            self.by_host[host] = queue
            host.joined.append(queue)
        return queue

    def let_go(self, queue: JobOwner, now: float) -> None:
        """Count a job of this queue as finished."""
        queue.jobs -= 1
        if not queue.jobs:
            self.remove_queue(queue.host, now)

    def remove_queue(self, host: Host, now: float) -> None:
        """Remove the queue of a host without unfinished jobs; keep it as a spare if it can be."""
        queue = self.by_host.pop(host)
        host.joined.remove(queue)
        if not host.plain:
            host.withdraw(queue, now)
            queue.forget_pause()  # its next host may be paused for less
        # A queue in the ring, or with expired jobs, is still referenced and cannot be used again.
        if queue.place is Place.NOWHERE and not queue.fifo and len(self._spare) < MOST_SPARE:
            self._spare.append(queue)
        if not host.joined:
            self._hosts.rest(host, now)
