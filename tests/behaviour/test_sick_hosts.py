"""Whole batches at hosts in trouble, simulated, by the default options."""

from __future__ import annotations

import random

import pytest

from asyncbatch._schedule import Job
from asyncbatch._values._outcome import Outcome
from tests.simulation import (
    Call,
    Server,
    Simulation,
    answer,
    interleave,
    new_hosts,
    refused,
    silent,
    unconnected,
)

GOOD = [Call("good", 0.05)] * 300
SILENT = [Call("silent", 30.0)] * 300


def simulate(
    calls: list[Call],
    server: Server,
    *,
    seed: int = 1,
    per_host: int | None = None,
    per_second: float | None = None,
) -> Simulation:
    """Run `calls` with the defaults of a fetcher; the jitter is drawn as `seed` has it."""
    hosts = new_hosts(per_host=per_host, concurrency=100, random=random.Random(seed).random)
    simulation = Simulation(
        calls, concurrency=100, hosts=hosts, server=server, per_second=per_second
    )
    return simulation.run()


def silence(job: Job, now: float) -> tuple[float, Outcome]:
    """Take connections and never answer, at the host that is called so."""
    return (30.0, silent()) if job.request.host == "silent" else answer(job, now)


def away(since: float, seconds: float, *, takes: float = 0.02) -> Server:
    """Be away for a while: what is in flight then is reset, and what comes is refused."""

    def server(job: Job, now: float) -> tuple[float, Outcome]:
        if since <= now < since + seconds:
            return 0.0005, unconnected()
        if now < since <= now + takes:
            return since - now, silent(kind="protocol")
        return takes, Outcome(status_code=200)

    return server


@pytest.mark.parametrize("per_host", [None, 10])
def test_a_host_that_never_answers_holds_up_no_other(per_host: int | None) -> None:
    """300 of 600 URLs are its: the others end as without it, and all of them within 100 s."""
    alone = simulate(GOOD, answer, per_host=per_host)
    mixed = simulate(list(interleave([SILENT, GOOD])), silence, per_host=per_host)

    assert mixed.finished["ok"] == 300
    assert mixed.last_ok <= alone.last_ok + 1.0
    assert mixed.now <= 100.0
    assert mixed.most_on_host["silent"] == 10


@pytest.mark.parametrize("seed", range(8))
def test_a_server_that_is_away_for_a_moment_costs_no_request(seed: int) -> None:
    """8,000 at 2,000 a second, and 0.3 s of resets and refusals."""
    calls = [Call("host", 0.02)] * 8000
    simulation = simulate(calls, away(1.0, 0.3), seed=seed, per_second=2000)

    assert simulation.finished == {"ok": 8000}
    assert simulation.attempts <= 8000 + 100


@pytest.mark.parametrize("seconds", [0.1, 1.0, 2.0, 2.9])
@pytest.mark.parametrize("since", [0.0, 0.2])
def test_a_restart_of_less_than_three_seconds_costs_no_request(
    since: float, seconds: float
) -> None:
    """Each round of an outage takes the try of one request, and of another one each time."""
    for seed in range(3):
        simulation = simulate([Call("host", 0.02)] * 2000, away(since, seconds), seed=seed)

        assert simulation.finished == {"ok": 2000}


@pytest.mark.parametrize("count", [1, 3, 30])
def test_a_moment_of_absence_costs_no_request_of_a_small_batch(count: int) -> None:
    """The waits of a request that was not answered are long enough for it, whatever the dice."""
    for seed in range(30):
        simulation = simulate([Call("host", 0.02)] * count, away(0.01, 0.3), seed=seed)

        assert simulation.finished == {"ok": count}


@pytest.mark.parametrize("seed", range(2))
def test_a_dead_host_is_given_up_within_five_seconds_and_no_other_notices(seed: int) -> None:
    """It is one of 50, and refuses to connect."""

    def server(job: Job, now: float) -> tuple[float, Outcome]:
        return (0.001, unconnected()) if job.request.host == 0 else answer(job, now)

    calls = [Call(n % 50, 0.05) for n in range(8_000)]
    alive = [call for call in calls if call.host]
    simulation = simulate(calls, server, seed=seed)

    assert simulation.first["host_down"] <= 5.0
    assert simulation.finished["ok"] == len(alive)
    assert simulation.last_ok <= simulate(alive, answer, seed=seed).last_ok + 1.0


def test_opening_slowly_costs_a_healthy_host_next_to_nothing() -> None:
    """10,000 requests of 50 ms, of which 100 are in flight at a time: three rounds of 100."""
    simulation = simulate([Call("host", 0.05)] * 10_000, answer)

    assert simulation.now == pytest.approx(10_000 / 100 * 0.05 * 1.03)
    assert simulation.attempts == 10_000


@pytest.mark.parametrize(
    ("capacity", "lost", "refusals"), [(5, 10, 250), (10, 2, 130), (50, 0, 60)]
)
def test_a_server_that_takes_only_some_at_once_refuses_few(
    capacity: int, lost: int, refusals: int
) -> None:
    """It answers what is too much with 429 and `Retry-After: 1`; 1,000 requests, 100 at once."""
    ends: list[float] = []

    def server(_job: Job, now: float) -> tuple[float, Outcome]:
        ends[:] = [end for end in ends if end > now]
        if len(ends) >= capacity:
            return 0.001, refused(429, retry_after=1.0)
        ends.append(now + 0.1)
        return 0.1, Outcome(status_code=200)

    simulation = simulate([Call("host", 0.1)] * 1000, server)

    assert simulation.finished["ok"] >= 1000 - lost
    assert simulation.attempts <= 1000 + refusals


@pytest.mark.parametrize("retry_after", [0.0, None])
@pytest.mark.parametrize("status", [429, 503])
def test_a_server_that_refuses_for_a_moment_costs_no_request(
    status: int, retry_after: float | None
) -> None:
    """`Retry-After: 0` is waited for like none: three tries at once would end in that moment."""

    def server(job: Job, now: float) -> tuple[float, Outcome]:
        if now < 0.3:
            return 0.002, refused(status, started_at=now, retry_after=retry_after)
        return 0.02, Outcome(status_code=200)

    simulation = simulate([Call("host", 0.02)] * 600, server)

    assert simulation.finished == {"ok": 600}
