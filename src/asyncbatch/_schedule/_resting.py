"""
The requests of a batch that wait for a moment: for their next try, or in fear of their deadline.

Pure, like the rest.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING

from asyncbatch._schedule._job import JobState

if TYPE_CHECKING:
    from asyncbatch._schedule._job import Job
    from asyncbatch._schedule._timers import Timers


class Resting:
    """The requests of a batch that wait for a moment."""

    __slots__ = ("_resting", "_timers", "ends_at", "expired")

    def __init__(self, timers: Timers) -> None:
        self._timers = timers
        # When the batch ends; written by the schedule.
        self.ends_at = math.inf
        # From `begin` to `end`: waiting for their next try.
        self._resting: set[Job] = set()
        # What is not to be started any more (`expire`, `dismiss`) and nobody has been told of;
        # taken by the schedule.
        self.expired: deque[Job] = deque()

    def begin(self, job: Job, delay: float, now: float) -> None:
        """Let a job wait for its next try."""
        job.state = JobState.RESTING
        job.since = now
        self._resting.add(job)
        self._timers.set(job, now + delay)

    def end(self, job: Job, when: float) -> None:
        """Let a job whose rest is over wait for its start, and no longer than to its deadline."""
        self._resting.discard(job)
        job.throttled += when - job.since
        job.state = JobState.WAITING
        job.since = when
        if job.deadline is not None:
            self._timers.set(job, job.deadline)

    def expire(self, job: Job) -> None:
        """Take note that the deadline of a job has passed; it stays in its queue until seen."""
        job.state = JobState.EXPIRED
        self.expired.append(job)

    def outlasted_by(self, pause_ends: float, job: Job, now: float) -> JobState | None:
        """Say what is to be done with a job that cannot wait for the end of a pause."""
        if pause_ends >= self.ends_at:
            return JobState.LATE
        deadline = job.deadline
        if deadline is None and job.allowed is not None:
            # It begins with its first start; but what is held back for longer has no use for it.
            deadline = now + job.allowed
        return JobState.PAUSED if deadline is not None and pause_ends > deadline else None

    def dismiss(self, job: Job, state: JobState) -> None:
        """Let a job be handed out as one that is not to be started any more."""
        self._timers.cancel(job)
        job.state = state
        self.expired.append(job)

    def forget(self, job: Job) -> None:
        """Let nothing happen to a job by itself any more."""
        self._timers.cancel(job)

    def end_all(self, now: float) -> list[Job]:
        """Return all that rest; they do so no more."""
        jobs = list(self._resting)
        self._resting.clear()
        for job in jobs:
            job.throttled += now - job.since
        return jobs
