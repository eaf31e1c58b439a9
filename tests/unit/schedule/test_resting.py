"""Requests that wait for a moment: for their next try, or no longer than to their deadline."""

from __future__ import annotations

from typing import Any

import pytest

from asyncbatch._schedule import Job, JobState
from asyncbatch._schedule._held_back import HeldBack
from asyncbatch._schedule._resting import Resting
from asyncbatch._schedule._timers import Timers
from tests.simulation import new_hosts


class Owner:
    """The queue of the jobs: it ends the rest of those that come back."""

    def __init__(self, resting: Resting) -> None:
        self._resting = resting
        self.back: list[float] = []

    def take_back(self, job: Job, when: float) -> None:
        self._resting.end_rest(job, when)
        self.back.append(when)

    def expire(self, job: Job) -> None:
        self._resting.expire(job)


def one(deadline: float | None = None) -> tuple[Resting, Timers, Any]:
    """Return a job, and what it rests in."""
    timers = Timers()
    resting = Resting(timers, HeldBack())
    job: Any = Job(None, 0, new_hosts().get("h"))
    job.deadline, job.queue = deadline, Owner(resting)
    return resting, timers, job


def test_a_rest_ends_in_its_time_and_counts_as_throttled() -> None:
    """Also if the caller looks late."""
    resting, timers, job = one()
    resting.put_off(job, 2.0, 1.0)
    assert job.state is JobState.RESTING
    assert timers.next_at == 3.0

    timers.run(9.0)

    assert job.queue.back == [3.0]
    assert (job.state, job.since, job.throttled) == (JobState.WAITING, 3.0, 2.0)
    assert resting.end_all(9.0) == []


def test_a_job_whose_rest_is_over_expires_at_its_deadline() -> None:
    """It is handed out as expired, unless it has been started before."""
    resting, timers, job = one(deadline=5.0)
    resting.put_off(job, 2.0, 0.0)
    timers.run(2.0)
    assert timers.next_at == 5.0

    timers.run(5.0)

    assert job.state is JobState.EXPIRED
    assert list(resting.expired) == [job]


def test_a_job_that_is_forgotten_does_not_expire() -> None:
    """It has been started, or is over."""
    resting, timers, job = one(deadline=5.0)
    resting.put_off(job, 2.0, 0.0)
    timers.run(2.0)
    resting.forget(job)
    timers.run(9.0)

    assert not resting.expired


@pytest.mark.parametrize(
    ("deadline", "allowed", "ends_at", "state"),
    [
        (None, None, 99.0, None),
        (6.0, None, 99.0, JobState.PAUSED),
        (7.0, None, 99.0, None),
        (None, 5.0, 99.0, JobState.PAUSED),
        (None, 6.0, 99.0, None),
        (9.0, 1.0, 99.0, None),
        (9.0, None, 7.0, JobState.LATE),
        (1.0, None, 7.0, JobState.LATE),
    ],
)
def test_a_job_cannot_wait_for_a_pause_beyond_its_time(
    deadline: float | None, allowed: float | None, ends_at: float, state: JobState | None
) -> None:
    """Nor beyond that of its batch. A job that was never started has all of its time from now."""
    resting, _, job = one(deadline=deadline)
    job.allowed, resting.ends_at = allowed, ends_at

    assert resting.outlasted_by(7.0, job, 1.0) is state


def test_a_job_that_is_dismissed_is_handed_out() -> None:
    """Its timer does not go off any more."""
    resting, timers, job = one()
    resting.put_off(job, 2.0, 0.0)
    resting.dismiss(job, JobState.LATE)
    timers.run(9.0)

    assert job.state is JobState.LATE
    assert list(resting.expired) == [job]
    assert job.queue.back == []


def test_at_the_end_all_rests_are_accounted_for() -> None:
    """Up to then, and once."""
    resting, _, job = one()
    resting.put_off(job, 9.0, 1.0)

    assert resting.end_all(4.0) == [job]
    assert job.throttled == 3.0
    assert resting.end_all(5.0) == []
