"""All hosts of a fetcher: which are remembered, and for how long."""

from __future__ import annotations

from typing import Any

import pytest

from asyncbatch._policies._rate import Rate
from asyncbatch._schedule import Job, JobState
from asyncbatch._values._outcome import Outcome
from asyncbatch._values._retry import Retry
from tests.simulation import refused, succeeded, unconnected
from tests.unit.schedule.one_batch import Batch

WARM = 40
"""Hosts that stay known although nothing is asked of them."""


@pytest.mark.parametrize(
    ("policies", "outcome", "kept_until"),
    [
        ({}, succeeded(), 0.0),
        ({"rate": Rate(0.5)}, succeeded(), 2.0),
        ({"rate": Rate(0.5, burst=2)}, succeeded(), 2.0),
        ({"retry": None}, unconnected(), 30.0),
        ({"retry": Retry(attempts=1)}, refused(retry_after=5.0), 35.0),
        ({"retry": None, "give_up_host_after": 1}, unconnected(), 30.0),
        ({"retry": Retry(attempts=1)}, refused(), 30.5),
    ],
    ids=["nothing", "rate", "burst", "failure", "pause", "down", "back-off"],
)
def test_a_host_is_remembered_as_long_as_its_past_matters(
    policies: dict[str, Any], outcome: Outcome, kept_until: float
) -> None:
    """And no longer."""
    batch = Batch(warm=0, **policies)
    batch.attempt(0.0, outcome)
    assert len(batch.hosts) == (kept_until > 0)
    if not kept_until:
        return

    outcome = succeeded()
    batch.attempt(kept_until - 0.01, outcome, host="other")
    assert batch.hosts.get("h") is batch.hosts.get("h")
    before = batch.hosts.get("h")
    batch.attempt(kept_until + 0.01, outcome, host="another")
    batch.attempt(kept_until + 0.02, outcome, host="yet another")
    assert batch.hosts.get("h") is not before


def test_retries_are_remembered_as_long_as_the_budget_counts_them() -> None:
    """Otherwise a host could be dropped to get a new budget."""
    batch = Batch(warm=0)
    batch.attempt(0.0, refused(500))
    batch.schedule.close(0.0)
    host = batch.hosts.get("h")
    batch.attempt(8.0, succeeded(), host="other")
    assert batch.hosts.get("h") is host

    for now in (20.0, 21.0):
        batch.attempt(now, succeeded(), host="other")
    assert batch.hosts.get("h") is not host


@pytest.mark.parametrize(
    "policies", [{}, {"rate": Rate(2)}, {"per_host": 1, "total_rate": Rate(9e9)}]
)
def test_a_hundred_thousand_hosts_take_no_memory(policies: dict[str, Any]) -> None:
    """One after the other at 1,000 a second: no more are known than may be, or a rate concerns."""
    batch = Batch(warm=WARM, **policies)
    most = 0
    for n in range(30_000):
        batch.attempt(n / 1000, succeeded(), host=f"host-{n}")
        most = max(most, len(batch.hosts))

    assert most <= WARM + 1 if "rate" not in policies else most < 1100


def test_a_million_dead_hosts_are_forgotten_too() -> None:
    """A host that failed once keeps its place for half a minute."""
    batch = Batch(retry=None)
    most = 0
    for n in range(20_000):
        batch.attempt(n / 100, unconnected(), host=f"host-{n}")
        most = max(most, len(batch.hosts))

    assert most < 2 * 3000 + 10


def test_a_host_that_is_asked_again_is_the_one_that_was() -> None:
    """As long as there are not too many: to make one costs more than to use it."""
    batch = Batch(warm=WARM)
    hosts = [batch.hosts.get(n) for n in range(WARM)]
    for turn in range(3):
        for n in range(WARM):
            batch.attempt(turn + n / 100, succeeded(), host=n)  # type: ignore[arg-type]

    assert [batch.hosts.get(n) for n in range(WARM)] == hosts
    assert len(batch.hosts) == WARM
    assert batch.hosts.remembered() == 0


def test_a_host_that_had_requests_again_is_dropped_later() -> None:
    """It is no longer in the line of those that may be dropped, and joins it again."""
    batch = Batch(warm=1)
    batch.attempt(0.0, succeeded(), host="a")
    batch.add(host="a", now=1.0)
    job = batch.start(1.0)
    batch.attempt(1.0, succeeded(), host="b")
    batch.schedule.done(job, succeeded(), 2.0)
    batch.attempt(3.0, succeeded(), host="c")

    assert batch.hosts.get("a") is not job.host


def test_the_queues_of_a_batch_serve_one_host_after_the_other() -> None:
    """Whether the host has limits or not, and however its requests end."""
    for policies in ({}, {"per_host": 1}, {"rate": Rate(1000)}):
        batch = Batch(warm=WARM, **policies)  # type: ignore[arg-type]
        queues = set()
        for n in range(200):
            batch.add(host=f"host-{n % 50}", now=float(n))
            job = batch.start(float(n))
            queues.add(job.queue)
            if n % 7 == 0:
                batch.schedule.release(job, n + 0.5)
            else:
                batch.schedule.done(job, succeeded(), n + 0.5)

        assert len(queues) == 1
        assert batch.schedule.close(300.0) == []


def test_a_host_dropped_between_look_up_and_add_is_replaced() -> None:
    """Two objects for one host would let twice as much through."""
    batch = Batch(per_host=1, warm=0)
    stale = batch.hosts.get("h")
    batch.attempt(0.0, succeeded())
    fresh = batch.hosts.get("h")
    assert fresh is not stale
    batch.add()
    batch.schedule.add(Job(None, 1, stale), 0.0)

    assert batch.fates(0.0) == [JobState.START]


def test_all_hosts_that_are_meant_are_reopened() -> None:
    """Whichever comes first, and no other; a host that is open is none of them."""
    batch = Batch(retry=Retry(attempts=1))
    for host in ("a", "b", "other"):
        batch.attempt(0.0, refused(retry_after=30.0), host=host)
    batch.attempt(0.0, succeeded(), host="open")

    assert batch.hosts.reopen(lambda key: key != "other", 1.0)
    assert not batch.hosts.reopen(lambda key: key != "other", 1.0)

    assert [batch.opens_at(host=host, now=1.0) for host in ("a", "b", "other")] == [1.0, 1.0, 30.0]
