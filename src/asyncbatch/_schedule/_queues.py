"""
At which hosts one batch has requests: its queues, and its part in keeping these hosts known.

Pure, like the rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncbatch._schedule._queue import JobQueue

if TYPE_CHECKING:
    from asyncbatch._hosts import Host, Hosts
    from asyncbatch._schedule._job import Job
    from asyncbatch._schedule._rests import Rests
    from asyncbatch._schedule._ring import Ring


class Queues:
    """The queues of one batch: one for each host that it has unfinished requests for."""

    __slots__ = ("_hosts", "_rests", "_ring", "by_host")

    def __init__(self, hosts: Hosts, ring: Ring, rests: Rests) -> None:
        self._hosts = hosts
        self._ring = ring
        self._rests = rests
        # Written by `join` and `leave`, with the count of queues that each host has.
        self.by_host: dict[Host, JobQueue] = {}

    def join(self, job: Job) -> JobQueue:
        """Return the queue that a job belongs to, of a host that is known from now on."""
        host = job.host
        if not host.queues:
            host = job.host = self._hosts.adopt(host)
        queue = self.by_host.get(host)
        if queue is None:
            queue = self.by_host[host] = JobQueue(host, self._ring, self._rests)
            host.queues += 1
        return queue

    def let_go(self, queue: JobQueue, now: float) -> None:
        """Count a job of this queue as finished."""
        queue.jobs -= 1
        if not queue.jobs:
            self.leave(queue, now)

    def leave(self, queue: JobQueue, now: float) -> None:
        """Drop a queue with no unfinished jobs, and its host if nobody needs it."""
        host = queue.host
        del self.by_host[host]
        host.queues -= 1
        if not host.plain:
            host.withdraw(queue, now)
        if not host.queues:
            self._hosts.rest(host, now)
