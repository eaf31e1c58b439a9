"""
The queues of one batch, one for each host with unfinished requests.

Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncbatch._schedule._job import Place
from asyncbatch._schedule._queue import JobQueue

if TYPE_CHECKING:
    from asyncbatch._schedule._host import Host
    from asyncbatch._schedule._hosts import Hosts
    from asyncbatch._schedule._job import Job, JobOwner
    from asyncbatch._schedule._ready_ring import ReadyRing
    from asyncbatch._schedule._resting import Resting


MOST_SPARE = 256
"""Most unused queues that are kept."""


class Queues:
    """The queues of one batch, one for each host with unfinished requests."""

    __slots__ = ("_hosts", "_ready_ring", "_resting", "_spare", "by_host")

    def __init__(self, hosts: Hosts, ring: ReadyRing[JobQueue], rests: Resting) -> None:
        self._hosts = hosts
        self._ready_ring = ring
        self._resting = rests
        # Written by `join` and `leave`, together with `Host.queues`.
        self.by_host: dict[Host, JobQueue] = {}
        # Queues to be used again for other hosts: making one costs more than using it.
        self._spare: list[JobQueue] = []

    def join(self, job: Job) -> JobQueue:
        """Return the queue of a job, and make sure that `Hosts` has its host."""
        host = job.host
        if not host.queues:
            host = job.host = self._hosts.adopt(host)
        queue = self.by_host.get(host)
        if queue is None:
            if self._spare:
                queue = self._spare.pop()
                queue.host = host
            else:
                queue = JobQueue(host, self._ready_ring, self._resting)
            self.by_host[host] = queue
            host.queues += 1
        return queue

    def let_go(self, queue: JobOwner, now: float) -> None:
        """Count a job of this queue as finished."""
        queue.jobs -= 1
        if not queue.jobs:
            self.leave(queue.host, now)

    def leave(self, host: Host, now: float) -> None:
        """Remove the queue of a host without unfinished jobs; keep it as a spare if it can be."""
        queue = self.by_host.pop(host)
        host.queues -= 1
        if not host.plain:
            host.withdraw(queue, now)
        # A queue in the ring, or with expired jobs, is still referenced and cannot be used again.
        if queue.place is Place.NOWHERE and not queue.fifo and len(self._spare) < MOST_SPARE:
            self._spare.append(queue)
        if not host.queues:
            self._hosts.rest(host, now)
