"""
A worker: a task that holds a permit and goes from one request to the next.

Where the lane allows it the worker sleeps, and a relay does its work in the callbacks that receive
the responses; it wakes up for whatever takes more than that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asyncbatch._lanes import Blueprint, Relay
from asyncbatch._schedule import Fate, Job
from asyncbatch._timing import Course

if TYPE_CHECKING:
    from asyncbatch._batch._crew import Crew

_START = Fate.START


class Worker:
    """Works for one crew, with a permit in hand."""

    __slots__ = ("_crew", "_job", "_relay")

    def __init__(self, crew: Crew, job: Job | None = None) -> None:
        self._crew = crew
        # The one that is being tried, or is to be tried next; the schedule has started it.
        self._job = job
        self._relay: Relay | None = crew.relay(self._take_and_go_on)

    async def work(self) -> None:
        """Go from one request to the next until there is none; the permit is given back then."""
        crew = self._crew
        permits = crew.permits
        held = True
        try:
            while (job := self._job) is not None:
                await self._try(job)
                if self._job is not None:
                    continue
                if permits.waiting:
                    permits.release()
                    held = False
                    await permits.acquire()
                    held = True
                elif crew.has_had_its_slice(job):
                    await crew.slice.end()
                self._job = crew.next_job(crew.clock())
                crew.call_dispatcher()
        finally:
            if held:
                permits.release()
            crew.leave(self)

    async def work_alone(self) -> None:
        """Do all that can be done now."""
        crew = self._crew
        while (job := self._job or crew.next_job(crew.clock())) is not None:
            self._job = job
            await self._try(job)

    def take_out(self, seconds: float, before: float) -> None:
        """Take time in which the loop stood still out of what is being tried."""
        job = self._job
        if job is None or job.first_started_at is None or job.first_started_at > before:
            return
        job.first_started_at += seconds
        if job.deadline is not None:
            job.deadline += seconds

    async def _try(self, job: Job) -> None:
        """Try a request once, and by relay those behind it; one of these may be left untried."""
        crew = self._crew
        crew.last_at_work = job
        try:
            relay = self._relay
            if relay is None or job.host.limits is not None or not relay.begin(job.request):
                outcome = await crew.trial.run(
                    job.request,
                    deadline_at=job.deadline,
                    clock=crew.clock,
                    allowed=job.allowed,
                    limits=job.host.limits,
                )
            else:
                await relay.wait()
                if not relay.has_exchange:
                    return
                outcome = await crew.trial.conclude(relay)
        except BaseException:
            self._interrupt()
            raise
        ended, self._job = self._job, None
        assert ended is not None
        crew.ledger.settle(ended, outcome, crew.clock())
        crew.tell_feeder()

    def _interrupt(self) -> None:
        job, self._job = self._job, None
        # An error may have hit a relay between two requests.
        if job is not None and job.fate is _START:
            self._crew.ledger.interrupt(job, self._crew.clock())

    def _take_and_go_on(
        self, blueprint: Blueprint, content: bytes, course: Course, now: float
    ) -> Any:
        """Give a request its result, and return the next one, if there is one."""
        crew, relay = self._crew, self._relay
        job = self._job
        assert job is not None
        assert relay is not None
        crew.ledger.deliver(job, blueprint, content, course, now)
        if not crew.permits.waiting and crew.replace(job, relay, now):
            crew.last_at_work = job
            return job.request
        # Reading the input may have taken any time.
        now = crew.clock()
        crew.close(job, blueprint, course, now)
        self._job = None
        if crew.permits.waiting:
            crew.tell_feeder()
            return None
        self._job = job = crew.next_job(now)
        crew.call_dispatcher()
        # A relay has one set of limits.
        if job is None or job.host.limits is not None:
            return None
        crew.last_at_work = job
        return job.request
