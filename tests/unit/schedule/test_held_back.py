"""Why requests were held back: the sums, and what the hosts say to them."""

from __future__ import annotations

from typing import Any

import pytest

from asyncbatch._policies._rate import Rate
from asyncbatch._schedule import Job, JobState, Schedule
from asyncbatch._schedule._held_back import MOST_HOSTS, HeldBack
from asyncbatch._values._outcome import Outcome
from asyncbatch._values._retry import Retry
from tests.simulation import new_hosts, refused, succeeded


def run(*, jobs: int = 3, seconds: float = 1.0, **policies: Any) -> HeldBack:
    """Send requests to one host, each of which takes a second, and return what held them back."""
    hosts = new_hosts(**policies)
    schedule = Schedule(hosts)
    for index in range(jobs):
        schedule.add(Job(index, index, hosts.get("h")), 0.0)
    now, flying = 0.0, list[tuple[float, Job]]()
    while schedule.pending or flying:
        while (job := schedule.next(now)) is not None:
            assert job.state is JobState.START
            flying.append((now + seconds, job))
        ends = [end for end, _ in flying]
        now = min([*ends, *([] if schedule.wake_at is None else [schedule.wake_at])])
        for end, job in [each for each in flying if each[0] <= now]:
            flying.remove((end, job))
            schedule.done(job, succeeded(end - seconds), now)
    return schedule.held_back


def test_a_cap_is_named() -> None:
    """One at a time: the second waits for one answer, the third for two."""
    held_back = run(per_host=1)

    assert held_back.waits == {"per_host": pytest.approx(3.0)}
    assert held_back.by_host == {"h": {"per_host": pytest.approx(2.0)}}


def test_a_rate_is_named() -> None:
    """One every two seconds."""
    held_back = run(rate=Rate(0.5))

    assert held_back.waits == {"rate": pytest.approx(6.0)}
    assert held_back.by_host == {"h": {"rate": pytest.approx(4.0)}}


def test_a_rate_that_opens_after_the_cap_counts_alone() -> None:
    """The cap holds for a second of each two: without it, nothing would start any earlier."""
    held_back = run(rate=Rate(0.5), per_host=1)

    assert held_back.waits == {"rate": pytest.approx(6.0)}


def test_a_cap_that_holds_longer_than_the_rate_counts_alone() -> None:
    """Likewise."""
    held_back = run(rate=Rate(2), per_host=1)

    assert held_back.waits == {"per_host": pytest.approx(3.0)}


def test_a_total_rate_is_named() -> None:
    """It comes before what is the host's own."""
    assert run(total_rate=Rate(0.5)).waits == {"total_rate": pytest.approx(6.0)}


def test_the_slow_start_of_a_host_is_named() -> None:
    """Ten at a time before the first answer: two more wait for it."""
    held_back = run(jobs=12)

    assert held_back.waits == {"slow_start": pytest.approx(2.0)}


def test_a_pause_and_a_back_off_are_told_apart() -> None:
    """The request that was refused waits for its next try, the other one for its host."""
    hosts = new_hosts(retry=Retry(attempts=2))
    schedule = Schedule(hosts)
    first, second = (Job(index, index, hosts.get("h")) for index in range(2))
    schedule.add(first, 0.0)
    assert schedule.next(0.0) is first
    schedule.done(first, refused(429, started_at=0.0, retry_after=2.0), 1.0)
    schedule.add(second, 1.0)
    while (now := schedule.wake_at) is not None and schedule.pending:
        if (job := schedule.next(now)) is not None:
            schedule.done(job, Outcome(status_code=200, started_at=now), now)

    assert schedule.held_back.waits.keys() == {"pause", "backoff"}
    assert schedule.held_back.waits["backoff"] >= 2.0
    assert schedule.held_back.by_host["h"]["pause"] >= 2.0


def test_a_host_without_limits_holds_nothing_back() -> None:
    """Nothing is counted on the way that most requests take."""
    held_back = run(jobs=5)

    assert (held_back.waits, held_back.by_host) == ({}, {})


def test_the_hosts_are_bounded_and_the_longest_are_kept() -> None:
    """The sums are whole."""
    held_back = HeldBack()

    for number in range(5 * MOST_HOSTS):
        held_back.add(number, "rate", 100.0 if number == 7 else 1.0, 2)

    assert len(held_back.by_host) <= 2 * MOST_HOSTS
    assert held_back.by_host[7] == {"rate": 100.0}
    assert held_back.waits == {"rate": 2 * (5 * MOST_HOSTS + 99)}
