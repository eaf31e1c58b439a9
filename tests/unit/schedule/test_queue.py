"""The requests of one batch for one host, where the host has limits or trouble."""

from __future__ import annotations

from typing import Any

from asyncbatch._policies._rate import Rate
from asyncbatch._schedule import Job, JobState
from asyncbatch._schedule._held_back import HeldBack
from asyncbatch._schedule._host import Host
from asyncbatch._schedule._job import Place
from asyncbatch._schedule._queue import JobQueue
from asyncbatch._schedule._ready_ring import ReadyRing
from asyncbatch._schedule._resting import Resting
from asyncbatch._values._retry import Retry
from tests.simulation import new_hosts, refused, unconnected


class One:
    """The queue of one host, some jobs in it, and the ring that it stands in."""

    def __init__(self, jobs: int = 2, **policies: Any) -> None:
        self.hosts = new_hosts(**policies)
        self.host: Host = self.hosts.get("h")
        self.ring: ReadyRing[JobQueue] = ReadyRing(self.hosts)
        self.woken = 0
        self.ring.on_ready = self._wake
        self.rests = Resting(self.hosts.timers, HeldBack())
        self.queue = JobQueue(self.host, self.ring, self.rests, HeldBack())
        self.host.joined.append(self.queue)
        self.jobs = [self.add() for _ in range(jobs)]
        self.queue.make_ready()
        self.woken = 0

    def add(self) -> Job:
        job = Job(None, len(self.queue.fifo), self.host)
        job.queue, job.since, job.clock = self.queue, 0.0, self.host.settle(0.0)
        self.queue.fifo.append(job)
        return job

    def take(self, now: float = 0.0) -> Job | None:
        """Take the next job, as the schedule does: out of the ring first."""
        return self.ring.queues.popleft().take_job(now)

    def _wake(self) -> None:
        self.woken += 1


def test_jobs_start_first_in_first_out() -> None:
    """The queue stays in the ring until it is empty."""
    one = One()

    assert one.take() is one.jobs[0]
    assert list(one.ring.queues) == [one.queue]
    assert one.take() is one.jobs[1]
    assert one.queue.place is Place.NOWHERE
    assert not one.ring.queues
    assert one.host.in_flight == 2


def test_a_queue_waits_with_its_host_where_that_is_full() -> None:
    """It is back in the ring when a request there has ended."""
    one = One(per_host=1)
    first = one.take()
    assert one.queue.place is Place.PARKED
    assert not one.ring.queues

    one.host.release(1.0, first)
    one.host.recover(1.0)

    assert one.queue.place is Place.READY
    assert one.take(1.0) is one.jobs[1]


def test_a_queue_that_is_looked_at_too_early_waits_with_its_host() -> None:
    """For the next slot of the rate, at which the timer wakes it."""
    one = One(rate=Rate(2.0))
    one.take()
    one.hosts.timers.run(0.49)
    assert not one.ring.queues
    one.hosts.timers.run(0.5)

    assert one.take(0.5) is one.jobs[1]


def test_where_the_rate_over_all_holds_the_batch_the_queue_stays_in_front() -> None:
    """And the ring says until when."""
    one = One(total_rate=Rate(2.0))
    one.take()

    assert one.take(0.1) is None
    assert one.ring.held_until == 0.5
    assert list(one.ring.queues) == [one.queue]


def test_what_has_expired_is_passed_over() -> None:
    """An empty queue leaves the ring."""
    one = One()
    one.queue.expire(one.jobs[0])

    assert one.take() is one.jobs[1]
    assert list(one.rests.expired) == [one.jobs[0]]
    one = One(jobs=1)
    one.queue.expire(one.jobs[0])
    assert one.take() is None
    assert one.queue.place is Place.NOWHERE


def test_all_fail_at_once_where_the_host_is_down() -> None:
    """They hold no slot of it, and go before what has to wait for one."""
    one = One(give_up_host_after=1)
    one.host.overhear(unconnected(), 3.0, Retry())
    other = JobQueue(one.hosts.get("other"), one.ring, one.rests, HeldBack())
    other.make_ready()

    taken = [one.take(3.0), one.take(3.0)]

    assert taken == one.jobs
    assert {job.state for job in one.jobs} == {JobState.HOST_DOWN}
    assert one.host.in_flight == 0
    assert one.jobs[0].queued == 3.0


def test_a_job_comes_back_in_front_of_all() -> None:
    """It has waited for longest; and the batch is told."""
    one = One(jobs=1)
    job = one.take()
    assert job is not None
    waiting = one.add()
    one.host.release(0.0, job)
    one.rests.put_off(job, 1.0, 0.0)
    one.hosts.caller = None

    one.hosts.timers.run(1.0)

    assert list(one.queue.fifo) == [job, waiting]
    assert list(one.ring.queues) == [one.queue]
    assert one.woken == 1


def test_a_job_comes_back_behind_all_while_its_host_opens() -> None:
    """One and the same would be the first after each pause, and use up its tries."""
    one = One(jobs=1)
    job = one.take()
    assert job is not None
    waiting = one.add()
    one.host.end_attempt(job, refused(retry_after=0.5), 0.0, Retry())
    one.rests.put_off(job, 1.0, 0.0)
    one.hosts.timers.run(1.0)

    assert list(one.queue.fifo) == [waiting, job]


def test_a_pause_ends_what_cannot_wait_for_it() -> None:
    """Once for each pause, however often the queue is looked at."""
    one = One(jobs=3)
    one.jobs[1].deadline = 5.0
    one.host.overhear(refused(retry_after=9.0), 0.0, Retry())
    assert one.take() is None
    one.queue.host_paused(0.0)

    assert [job.state for job in one.jobs] == [
        JobState.WAITING,
        JobState.PAUSED,
        JobState.WAITING,
    ]
    assert list(one.rests.expired) == [one.jobs[1]]


def test_a_job_that_comes_back_to_a_pause_may_not_wait_for_its_end() -> None:
    """It is handed out instead, and takes no place in the queue."""
    one = One(jobs=1)
    job = one.take()
    assert job is not None
    job.deadline = 5.0
    one.host.release(0.0, job)
    one.host.overhear(refused(retry_after=9.0), 0.0, Retry())
    one.rests.put_off(job, 1.0, 0.0)
    one.hosts.timers.run(1.0)

    assert job.state is JobState.PAUSED
    assert not one.queue.fifo
    assert not one.queue.dismisses(one.add(), 1.0)


def test_what_is_withdrawn_is_all_that_waits() -> None:
    """What has expired is handed out in another way."""
    one = One(jobs=3)
    one.queue.expire(one.jobs[0])

    assert one.queue.take_all(1.0) == one.jobs[1:]
    assert one.queue.place is Place.NOWHERE
    assert not one.queue.fifo
