"""The account of one request: its tries, and where its waiting went."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncbatch._schedule import Job, JobState
from tests.simulation import new_hosts


class Queue:
    """Writes down what its job asks it for."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, float | None]] = []

    def take_back(self, job: Job, when: float) -> None:
        self.calls.append(("take_back", when))

    def expire(self, job: Job) -> None:
        self.calls.append(("expire", None))

    def forget(self, job: Job) -> None:
        self.calls.append(("forget", None))


def waiting_job(since: float = 0.0, clock: float = 0.0) -> Any:
    """Return a job that waits, and whose host has been blocked for `clock` seconds by then."""
    job = Job(None, 0, new_hosts().get("h"))
    job.queue = Queue()  # type: ignore[assignment]
    job.since, job.clock = since, clock
    return job


@given(st.floats(0, 100), st.floats(0, 100), st.floats(0, 200), st.floats(0, 100))
def test_all_of_the_waiting_is_accounted_for_once(
    since: float, waited: float, clock: float, blocked: float
) -> None:
    """Either as queued or as throttled, and neither is ever below zero."""
    job = waiting_job(since, clock)
    job.start(job.host, clock + blocked, since + waited)

    assert job.queued + job.throttled == pytest.approx(waited, abs=1e-6)
    assert job.queued >= 0
    assert 0 <= job.throttled <= waited + 1e-6


def test_a_start_is_a_try() -> None:
    """The first one has its moment kept, and counts for the budget of the host."""
    job = waiting_job()
    job.start(job.host, 0.0, 2.0)
    job.state, job.since = JobState.WAITING, 5.0
    job.start(job.host, 0.0, 6.0)

    assert job.state is JobState.START
    assert (job.attempts, job.first_started_at) == (2, 2.0)
    assert job.host.budget.tries == 1
    assert job.queued == 2.0 + 1.0


def test_a_second_start_ends_the_alarm_at_the_deadline() -> None:
    """The deadline is for those that wait; a first try has no alarm yet."""
    job = waiting_job()
    job.start(job.host, 0.0, 1.0)
    assert job.queue.calls == []
    job.start(job.host, 0.0, 2.0)

    assert job.queue.calls == [("forget", None)]


def test_a_try_that_failed_on_our_own_side_is_taken_back() -> None:
    """And counted for itself."""
    job = waiting_job()
    job.start(job.host, 0.0, 1.0)
    job.discount_try()

    assert (job.attempts, job.local_failures) == (0, 1)


def test_waiting_for_a_start_that_does_not_come_is_accounted_for_too() -> None:
    """As queued, where the host was not in the way."""
    job = waiting_job(since=1.0)
    job.stop_waiting(4.0)

    assert (job.queued, job.throttled, job.attempts) == (3.0, 0.0, 0)


@pytest.mark.parametrize(
    ("state", "call"),
    [(JobState.RESTING, ("take_back", 7.0)), (JobState.WAITING, ("expire", None))],
)
def test_the_timer_of_a_job_ends_its_rest_or_the_job(
    state: JobState, call: tuple[str, float | None]
) -> None:
    """There is one timer: what it means is told by where the job stands."""
    job = waiting_job()
    job.state = state
    job.on_time(7.0)

    assert job.queue.calls == [call]
