"""A batch that tests of hosts drive by hand."""

from __future__ import annotations

from typing import Any

from asyncbatch._schedule import Job, JobState, RetryDecision, Schedule
from asyncbatch._schedule._hosts import Hosts
from asyncbatch._values._outcome import Outcome
from tests.simulation import new_hosts


class Batch:
    """A schedule whose jobs are named, and a clock."""

    def __init__(self, hosts: Hosts | None = None, **policies: Any) -> None:
        self.hosts = new_hosts(**policies) if hosts is None else hosts
        self.schedule = Schedule(self.hosts)

    def add(
        self,
        n: int = 1,
        *,
        host: str = "h",
        now: float = 0.0,
        method: str = "GET",
        allowed: float | None = None,
    ) -> list[Job]:
        jobs = [Job(None, index, self.hosts.get(host), method) for index in range(n)]
        for job in jobs:
            job.allowed = allowed
            self.schedule.add(job, now)
        return jobs

    def start(self, now: float) -> Job:
        job = self.schedule.next(now)
        assert job is not None, "nothing may start"
        assert job.state is JobState.START
        return job

    def fates(self, now: float) -> list[JobState]:
        """Take everything that comes, and say what is to be done with it."""
        fates = []
        while (job := self.schedule.next(now)) is not None:
            fates.append(job.state)
        return fates

    def attempt(
        self, now: float, outcome: Outcome, *, host: str = "h", target: str | None = None
    ) -> RetryDecision:
        """Add a request, start it at once and end it at once, maybe redirected to `target`."""
        self.add(host=host, now=now)
        outcome.started_at = now
        job = self.start(now)
        if target is not None:
            self.schedule.overhear(target, job, outcome, now)
        return self.schedule.done(job, outcome, now)

    def opens_at(self, *, host: str = "h", now: float = 0.0) -> float:
        """Return when a new request to `host` may start."""
        probe = Schedule(self.hosts)
        probe.add(Job(None, 0, self.hosts.get(host)), now)
        while (job := probe.next(now)) is None:
            wake_at = probe.wake_at
            assert wake_at is not None
            now = wake_at
        probe.release(job, now)
        return now
