"""
Requests that wait for a timer: the end of a back-off, or their deadline.

Pure.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING

from asyncbatch._schedule._job import JobState

if TYPE_CHECKING:
    from asyncbatch._schedule._held_back import HeldBack
    from asyncbatch._schedule._job import Job
    from asyncbatch._schedule._timers import Timers


class Resting:
    """The requests of a batch that wait for a timer."""

    __slots__ = ("_held_back", "_resting", "_timers", "ends_at", "expired")

    def __init__(self, timers: Timers, held_back: HeldBack) -> None:
        self._timers = timers
        self._held_back = held_back
        # When the batch ends; written by the schedule.
        self.ends_at = math.inf
        # Jobs that wait for their next try, from `put_off` to `end_rest`.
        self._resting: set[Job] = set()
        # Jobs that must not be started any more (`expire`, `dismiss`); the schedule hands them out.
        self.expired: deque[Job] = deque()

    def put_off(self, job: Job, delay: float, now: float) -> None:
        """Make a job wait for its next try."""
        job.state = JobState.RESTING
        job.since = now
        self._resting.add(job)
        self._timers.set(job, now + delay)

    def end_rest(self, job: Job, when: float) -> None:
        """End the rest of a job, which then waits for its start, until its deadline at most."""
        self._resting.discard(job)
        job.throttled += when - job.since
        self._held_back.add_wait("backoff", when - job.since)
        job.state = JobState.WAITING
        job.since = when
        if job.deadline is not None:
            self._timers.set(job, job.deadline)

    def expire(self, job: Job) -> None:
        """Mark a job whose deadline has passed; it stays in its queue until that is looked at."""
        job.state = JobState.EXPIRED
        self.expired.append(job)

    def outlasted_by(self, pause_ends: float, job: Job, now: float) -> JobState | None:
        """Return the state of a job that cannot wait for the end of a pause; `None` if it can."""
        if pause_ends >= self.ends_at:
            return JobState.LATE
        deadline = job.deadline
        if deadline is None and job.allowed is not None:
            # The deadline begins with the first start, but a pause longer than all of it is useless
            # to wait for.
            deadline = now + job.allowed
        return JobState.PAUSED if deadline is not None and pause_ends > deadline else None

    def dismiss(self, job: Job, state: JobState) -> None:
        """Set the state of a job that must not be started any more, and hand it out."""
        self._timers.cancel(job)
        job.state = state
        self.expired.append(job)

    def forget(self, job: Job) -> None:
        """Cancel the timer of a job."""
        self._timers.cancel(job)

    def end_all(self, now: float) -> list[Job]:
        """End all rests, and return their jobs."""
        jobs = list(self._resting)
        self._resting.clear()
        for job in jobs:
            job.throttled += now - job.since
            self._held_back.add_wait("backoff", now - job.since)
        return jobs
