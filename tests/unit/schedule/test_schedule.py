from __future__ import annotations

import random
import weakref
from collections.abc import Iterable
from typing import Any

import pytest

from asyncbatch._policies._rate import Rate
from asyncbatch._schedule import FINISH, Job, JobState, RetryAction, Schedule
from asyncbatch._schedule._hosts import Hosts
from asyncbatch._values._errors import FailureKind
from asyncbatch._values._outcome import Outcome
from asyncbatch._values._retry import Retry
from tests.simulation import (
    Call,
    Simulation,
    interleave,
    new_hosts,
    refused,
    succeeded,
    unconnected,
)

LOCAL = {"kind": FailureKind.timeout, "error": Exception("pool"), "local": True}


def new_schedule(**policies: Any) -> tuple[Hosts, Schedule]:
    hosts = new_hosts(**policies)
    return hosts, Schedule(hosts)


def add(schedule: Schedule, hosts: Hosts, names: Iterable[str], now: float = 0.0) -> list[Job]:
    """Add a job for each host that is named."""
    jobs = [Job(None, index, hosts.get(name)) for index, name in enumerate(names)]
    for job in jobs:
        schedule.add(job, now)
    return jobs


def open_wide(schedule: Schedule, hosts: Hosts) -> Job:
    """
    Let the host "a" answer once, and return another job for it, which is in flight.

    That opens it where there is never more than one request.
    """
    job, first = add(schedule, hosts, "aa")
    start_all(schedule)
    schedule.succeeded(first, 0.0, 0.0)
    assert job.host.steady
    return job


def start_all(schedule: Schedule, now: float = 0.0) -> list[Job]:
    jobs = []
    while (job := schedule.next(now)) is not None:
        jobs.append(job)
    return jobs


def names(jobs: Iterable[Job]) -> str:
    return "".join(str(job.host.key) for job in jobs)


# The order


def test_hosts_take_turns_and_a_host_is_first_in_first_out() -> None:
    """Round robin, so that no host with many requests keeps the others waiting."""
    hosts, schedule = new_schedule()
    add(schedule, hosts, "aaabbc")
    jobs = start_all(schedule)

    assert names(jobs) == "abcaba"
    assert [job.index for job in jobs if job.host.key == "a"] == [0, 1, 2]


def test_a_host_at_its_cap_blocks_no_other() -> None:
    """No head-of-line blocking."""
    hosts, schedule = new_schedule(per_host=2)
    add(schedule, hosts, "aaaaabb")

    assert names(start_all(schedule)) == "abab"


def test_a_paused_host_blocks_no_other() -> None:
    """The others do not even notice."""
    hosts, schedule = new_schedule()
    add(schedule, hosts, "aaab")
    schedule.done(start_all(schedule)[0], refused(retry_after=9.0), 1.0)
    add(schedule, hosts, "aab", 1.0)

    assert names(start_all(schedule, 1.0)) == "b"
    assert schedule.wake_at == 10.0


def test_a_host_with_a_rate_blocks_no_other() -> None:
    """Each host has a rate of its own."""
    hosts, schedule = new_schedule(rate=Rate(1))
    add(schedule, hosts, "aaabb")

    assert [names(start_all(schedule, now)) for now in (0.0, 0.5, 1.0, 2.0)] == [
        "ab",
        "",
        "ab",
        "a",
    ]


def test_the_rate_over_all_holds_every_host() -> None:
    """And gives them turns."""
    hosts, schedule = new_schedule(total_rate=Rate(1))
    add(schedule, hosts, "aabb")
    starts = []
    now: float | None = 0.0
    while now is not None:
        starts.append((now, names(start_all(schedule, now))))
        now = schedule.wake_at

    assert starts == [(0.0, "a"), (1.0, "b"), (2.0, "a"), (3.0, "b")]


def test_a_retry_goes_before_those_that_were_never_tried() -> None:
    """It has waited longest, and holds a place in the caller's window."""
    hosts, schedule = new_schedule(per_host=1)
    jobs = add(schedule, hosts, "aaa")
    schedule.done(start_all(schedule)[0], refused(500), 0.0)
    second = start_all(schedule)[0]
    schedule.done(second, succeeded(), 1.0)

    assert start_all(schedule, 1.0) == [jobs[0]]
    assert jobs[0].attempts == 2


def test_a_request_that_waits_for_its_retry_holds_no_slot() -> None:
    """The others go on meanwhile."""
    hosts, schedule = new_schedule(per_host=1)
    add(schedule, hosts, "aa")
    schedule.done(start_all(schedule)[0], refused(500), 0.0)

    assert (schedule.pending, schedule.in_flight) == (2, 0)
    assert len(start_all(schedule)) == 1


# What the dispatcher is told


def test_an_empty_schedule_has_nothing_to_wait_for() -> None:
    """Only `add` changes that."""
    _, schedule = new_schedule()

    assert schedule.next(0.0) is None
    assert schedule.wake_at is None
    assert not schedule.has_ready


def test_at_the_cap_only_an_end_helps() -> None:
    """There is no time to wait for."""
    hosts, schedule = new_schedule(per_host=1)
    add(schedule, hosts, "aa")
    job = start_all(schedule)[0]
    assert (schedule.wake_at, schedule.has_ready) == (None, False)

    schedule.release(job, 1.0)
    assert schedule.has_ready


def test_the_next_retry_is_something_to_wake_up_for() -> None:
    """The decision says how long it rests."""
    hosts, schedule = new_schedule()
    add(schedule, hosts, "a")
    decision = schedule.done(start_all(schedule)[0], refused(500), 3.0)
    assert schedule.next(3.0) is None

    assert schedule.wake_at == 3.0 + decision.delay
    assert not schedule.has_ready


def test_while_the_rate_over_all_holds_nothing_is_ready() -> None:
    """A dispatcher that asks `has_ready` does not go round in circles."""
    hosts, schedule = new_schedule(total_rate=Rate(1))
    add(schedule, hosts, "aa")
    assert schedule.has_ready
    start_all(schedule)

    assert not schedule.has_ready
    assert schedule.wake_at == 1.0


# Decisions


def decisions(outcome: dict[str, Any], n: int, *, deadline: float | None = None) -> list[Any]:
    """Let one request end in the same way again and again."""
    hosts, schedule = new_schedule(retry=Retry(backoff_max=1.0))
    [job] = add(schedule, hosts, "a")
    taken = []
    now = 0.0
    for _ in range(n):
        assert schedule.next(now) is job
        job.deadline = deadline
        decision = schedule.done(job, Outcome(**outcome, started_at=now), now)
        taken.append((decision.action, decision.delay))
        if decision.action is not RetryAction.RETRY:
            break
        now += decision.delay
    return taken


def test_a_request_is_tried_as_often_as_the_policy_says() -> None:
    """`attempts` counts the first try too."""
    kind = FailureKind.protocol

    assert decisions({"kind": kind}, 9) == [
        (RetryAction.RETRY, 0.5),
        (RetryAction.RETRY, 1.0),
        (RetryAction.FINISH, 0.0),
    ]


def test_success_is_the_end() -> None:
    """Of a request that was never tried before, and of one that was."""
    assert decisions({"status_code": 200}, 1) == [(RetryAction.FINISH, 0.0)]


def test_a_failure_of_our_own_side_is_no_try() -> None:
    """It is repeated after a short growing wait, ten times at most."""
    taken = decisions(LOCAL, 99)
    delays = [delay for action, delay in taken if action is RetryAction.RETRY]

    assert len(delays) == 10
    assert delays == sorted(delays)
    assert sum(delays) < 10
    assert taken[-1] == (RetryAction.FINISH, 0.0)


def test_a_failure_of_our_own_side_says_nothing_about_the_host() -> None:
    """Not even ten in a row."""
    hosts, schedule = new_schedule(give_up_host_after=1)
    [job] = add(schedule, hosts, "a")
    schedule.next(0.0)
    schedule.done(job, Outcome(**LOCAL, connect_failed=True), 0.0)
    add(schedule, hosts, "b" + "a")

    assert [job.state for job in start_all(schedule)] == [JobState.START] * 2
    assert job.attempts == 0


def test_no_retry_begins_after_the_deadline() -> None:
    """It ends at once, with its last real error; also where our own side failed."""
    kind = {"kind": FailureKind.protocol}

    assert len(decisions(kind, 9, deadline=0.5)) == 1
    assert len(decisions(kind, 9, deadline=0.51)) == 2
    assert len(decisions(LOCAL, 9, deadline=0.01)) == 1
    assert len(decisions(LOCAL, 9, deadline=0.03)) == 2


def test_a_retry_is_not_begun_where_the_pause_of_the_host_outlasts_the_deadline() -> None:
    """The request's own wait is short enough, but the host's is not."""
    hosts, schedule = new_schedule()
    first, second = add(schedule, hosts, "aa")
    start_all(schedule)
    second.deadline = 5.0
    schedule.done(first, refused(retry_after=20.0), 0.0)

    assert schedule.done(second, refused(500), 0.0) is FINISH


def test_a_request_expires_while_it_waits_to_be_tried_again() -> None:
    """At its deadline, not when its host would have had a slot for it."""
    hosts, schedule = new_schedule(per_host=1)
    first, _second = add(schedule, hosts, "aa")
    schedule.next(0.0)
    first.deadline = 5.0
    schedule.done(first, refused(500), 0.0)
    blocker = schedule.next(0.0)
    assert schedule.next(1.0) is None
    assert schedule.wake_at == 5.0

    expired = schedule.next(5.0)
    assert expired is first
    assert first.state is JobState.EXPIRED
    assert first.queued + first.throttled == 5.0
    assert schedule.next(5.0) is None
    assert blocker is not None
    schedule.release(blocker, 6.0)
    assert (schedule.pending, schedule.in_flight, hosts.remembered()) == (0, 0, 1)


def test_the_deadline_does_not_end_a_request_that_has_begun_again() -> None:
    """That is the attempt's own affair."""
    hosts, schedule = new_schedule()
    [job] = add(schedule, hosts, "a")
    schedule.next(0.0)
    job.deadline = 5.0
    schedule.done(job, refused(500), 0.0)
    assert schedule.next(1.0) is job

    assert schedule.next(9.0) is None
    assert schedule.done(job, succeeded(), 9.0) is FINISH


def test_a_deadline_before_the_first_start_does_not_count() -> None:
    """It is set when the request is admitted, and our own queue is not its fault."""
    hosts, schedule = new_schedule(per_host=1)
    first, second = add(schedule, hosts, "aa")
    schedule.next(0.0)
    schedule.done(first, succeeded(), 1000.0)

    assert schedule.next(1000.0) is second
    assert second.state is JobState.START
    assert second.first_started_at == 1000.0


def test_retries_of_a_host_stay_within_its_budget() -> None:
    """1,000 requests that all fail bring 200 retries and the reserve of 100."""
    hosts, schedule = new_schedule(retry=Retry(attempts=2), concurrency=1)
    open_wide(schedule, hosts)
    add(schedule, hosts, "a" * 1000)
    taken = [schedule.done(job, refused(500), 0.5).action for job in start_all(schedule)]

    assert taken.count(RetryAction.RETRY) == 300
    assert taken.count(RetryAction.OUT_OF_BUDGET) == 700


def test_a_retry_at_the_time_the_server_named_needs_no_budget() -> None:
    """An API that refuses with `Retry-After` is obeyed for as many requests as it refuses."""
    hosts, schedule = new_schedule(retry=Retry(attempts=2), concurrency=1)
    open_wide(schedule, hosts)
    add(schedule, hosts, "a" * 1000)
    taken = [
        schedule.done(job, refused(429, retry_after=1.0), 0.5).action for job in start_all(schedule)
    ]

    assert taken.count(RetryAction.RETRY) == 1000


def state_of(job: Job) -> dict[str, Any]:
    """Return all that a job and its host are told and count."""
    of_job = {name: getattr(job, name, None) for name in Job.__slots__}
    host, queue = of_job.pop("host"), of_job.pop("queue")
    budget = None if host.budget is None else host.budget.tries
    of_host = [host.key, host.in_flight, host.width, host.plain, host.steady, budget]
    of_queue = None if queue is None else (queue.jobs, queue.place, len(queue.fifo))
    return {**of_job, "of host": of_host, "of queue": of_queue}


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize(
    "policies",
    [
        {},
        {"per_host": 3},
        {"retry": Retry(attempts=2)},
        {"rate": Rate(9)},
        {"total_rate": Rate(9)},
        {"concurrency": 4},
    ],
    ids=["unlimited", "cap", "retry", "rate", "rate over all", "few slots"],
)
def test_a_job_started_at_once_is_as_one_that_is_added_and_then_taken(
    policies: dict[str, Any], seed: int
) -> None:
    """Over hosts in any state, both leave the same jobs, hosts and counts behind."""
    draw = random.Random(seed)
    hosts, others = new_hosts(**policies), new_hosts(**policies)
    schedule, other = Schedule(hosts), Schedule(others)
    in_flight: list[tuple[Job, Job]] = []
    started, now = 0, 0.0
    for index in range(80):
        now += draw.choice([0.0, 0.0, 0.001, 0.3])
        for _ in range(draw.choice([0, 0, 1, 3])):
            if in_flight:
                pair = in_flight.pop(draw.randrange(len(in_flight)))
                outcome = draw.choice([succeeded] * 30 + [lambda: refused(503), unconnected])
                schedule.done(pair[0], outcome(), now)
                other.done(pair[1], outcome(), now)
        key = draw.choice("aaab")
        job, twin = (Job(index, index, each.get(key)) for each in (hosts, others))
        job.queued = twin.queued = 0.25
        taken: Job | None = job
        if schedule.start(job, now):
            started += 1
        else:
            schedule.add(job, now)
            taken = schedule.next(now)
        other.add(twin, now)
        while True:
            same = other.next(now)
            assert (taken is None) == (same is None)
            if taken is None or same is None:
                break
            assert state_of(taken) == state_of(same)
            if taken.state is JobState.START:
                in_flight.append((taken, same))
            taken = schedule.next(now)
        assert (schedule.pending, schedule.in_flight) == (other.pending, other.in_flight)
        assert (schedule.wake_at, schedule.has_ready) == (other.wake_at, other.has_ready)
        assert state_of(job) == state_of(twin)

    has_limits = any("rate" in name or "per_host" in name for name in policies)
    assert bool(started) is not has_limits  # there is no such start at a host with limits


def test_no_job_is_started_at_once_where_one_waits() -> None:
    """And then nothing has changed."""
    hosts, schedule = new_schedule(concurrency=1)
    open_wide(schedule, hosts)
    first, second = add(schedule, hosts, "ab")
    job = Job(None, 7, hosts.get("a"))

    assert not schedule.start(job, 1.0)
    assert (job.state, job.attempts, schedule.pending) == (JobState.WAITING, 0, 2)
    assert start_all(schedule) == [first, second]
    assert schedule.start(job, 1.0)
    assert job.state is JobState.START


@pytest.mark.parametrize("policies", [{}, {"concurrency": 1}, {"per_host": 1}, {"rate": Rate(9)}])
def test_a_received_body_holds_no_slot_of_its_host(policies: dict[str, Any]) -> None:
    """Until it is saved, its job is in flight all the same, and its batch has the host."""
    hosts, schedule = new_schedule(**policies)
    add(schedule, hosts, "aa")
    job = schedule.next(0.0)
    assert job is not None

    schedule.body_received(job, 0.0, 1.0)

    assert (job.state, job.host.in_flight, schedule.in_flight) == (JobState.RECEIVED, 0, 1)
    following = schedule.next(1.0)
    assert following is not None
    assert (job.host.in_flight, schedule.in_flight) == (1, 2)

    schedule.succeeded(following, 1.0, 2.0)
    assert schedule.hosts == 1
    schedule.saved(job, 3.0)
    assert (job.state, job.host.in_flight, schedule.in_flight) == (JobState.OVER, 0, 0)
    assert schedule.hosts == 0


def test_a_host_is_opened_by_the_bodies_that_have_been_received() -> None:
    """As by other successes: one more request for each, whether it is saved or not."""
    hosts, schedule = new_schedule()
    add(schedule, hosts, "a" * 40)
    other_hosts, other = new_schedule()
    add(other, other_hosts, "a" * 40)

    started, same = start_all(schedule), start_all(other)
    for job, twin in zip(started[:4], same, strict=False):
        schedule.body_received(job, 0.0, 1.0)
        other.succeeded(twin, 0.0, 1.0)

    assert len(started) == len(same) == 10
    assert len(start_all(schedule, 1.0)) == len(start_all(other, 1.0)) == 8


@pytest.mark.parametrize("policies", [{}, {"per_host": 40}], ids=str)
def test_a_host_learns_once_from_a_body_that_has_been_received(policies: dict[str, Any]) -> None:
    """However it comes to its file: in the callback of a thread, or by a task, which may fail."""
    started = []
    for end in ("saved", "done", "disk"):
        hosts, schedule = new_schedule(retry=Retry(attempts=9), **policies)
        add(schedule, hosts, "a" * 40)
        jobs = start_all(schedule)
        for job in jobs[:4]:
            schedule.body_received(job, 0.0, 1.0)
        for job in jobs[:4]:
            if end == "saved":
                schedule.saved(job, 2.0)
            else:
                kind = FailureKind.disk if end == "disk" else None
                outcome = Outcome(kind=kind, status_code=200, permanent=kind is not None)
                assert schedule.done(job, outcome, 2.0) is FINISH
        started.append((jobs[0].host.in_flight, len(start_all(schedule, 2.0))))

    assert started[0][1] > 0
    assert started == [started[0]] * 3


@pytest.mark.parametrize("policies", [{}, {"per_host": 1}], ids=str)
def test_a_request_whose_body_has_been_received_may_be_tried_again(
    policies: dict[str, Any],
) -> None:
    """It has held no slot of its host meanwhile, and waits for one then."""
    hosts, schedule = new_schedule(retry=Retry(attempts=2), **policies)
    add(schedule, hosts, "a")
    job = schedule.next(0.0)
    assert job is not None

    schedule.body_received(job, 0.0, 1.0)
    decision = schedule.done(job, unconnected(), 3.0)

    assert decision.action is RetryAction.RETRY
    assert (job.host.in_flight, schedule.in_flight, schedule.pending) == (0, 0, 1)
    assert schedule.next(60.0) is job
    assert (job.host.in_flight, schedule.in_flight, job.attempts) == (1, 1, 2)


def test_a_request_takes_the_place_of_one_that_has_succeeded() -> None:
    """It is as if the one had ended and the other been added and started, its try counted."""
    hosts, schedule = new_schedule(retry=Retry(attempts=2), concurrency=1)
    job = open_wide(schedule, hosts)
    job.queued, job.history = 3.0, [object()]

    assert schedule.replace(job, "next", 7, "a", 0.5)
    assert (job.request, job.index, job.attempts, job.first_started_at) == ("next", 7, 1, 0.5)
    assert (job.queued, job.throttled, job.history) == (0.0, 0.0, None)
    assert (schedule.in_flight, schedule.pending, job.host.in_flight) == (1, 0, 1)
    assert job.host.budget is not None
    assert job.host.budget.tries == 3

    schedule.succeeded(job, 0.5, 3.0)
    assert schedule.in_flight == 0
    assert not hosts.remembered()


@pytest.mark.parametrize(
    ("policies", "key", "disturb"),
    [
        ({}, "b", lambda schedule, hosts: None),
        ({"rate": Rate(9)}, "a", lambda schedule, hosts: None),
        ({"total_rate": Rate(9)}, "a", lambda schedule, hosts: None),
        ({}, "a", lambda schedule, hosts: add(schedule, hosts, "a", 1.0)),
        ({}, "a", lambda schedule, hosts: schedule.close(1.0)),
    ],
    ids=["another host", "rate", "rate over all", "somebody waits", "closed"],
)
def test_no_request_takes_a_place_that_is_not_free_for_it(
    policies: dict[str, Any], key: str, disturb: Any
) -> None:
    """And then nothing has changed."""
    hosts, schedule = new_schedule(**policies, concurrency=1)
    job, first = add(schedule, hosts, "aa")
    for now in (0.0, 1.0):
        start_all(schedule, now)
    schedule.succeeded(first, 0.0, 1.0)
    disturb(schedule, hosts)

    assert not schedule.replace(job, "next", 7, key, 2.0)
    assert (job.request, job.index, job.state) == (None, 0, JobState.START)
    assert schedule.in_flight == 1


@pytest.mark.parametrize("policies", [{"per_host": 2}, {"per_host": 1}, {"rate": Rate(1, burst=9)}])
def test_a_request_takes_a_place_at_a_host_with_limits(policies: dict[str, Any]) -> None:
    """As long as its rate allows it; the time at which the host was full is counted."""
    hosts, schedule = new_schedule(**policies, concurrency=1)
    [first] = add(schedule, hosts, "a")
    start_all(schedule)
    schedule.succeeded(first, 0.0, 0.0)
    [job] = add(schedule, hosts, "a")
    start_all(schedule)
    replaced = [schedule.replace(job, "next", 7, "a", 1 / 1024 * step) for step in range(1, 10)]

    assert replaced == [True] * 9 if "rate" not in policies else [True] * 7 + [False] * 2
    assert job.host.in_flight == schedule.in_flight == 1
    assert job.host.blocked.seconds == (9 / 1024 if policies.get("per_host") == 1 else 0.0)


def test_no_request_takes_a_place_for_which_another_batch_waits() -> None:
    """A slot of a full host goes to the batches in turn."""
    hosts, schedule = new_schedule(per_host=1, concurrency=2)
    [first] = add(schedule, hosts, "a")
    start_all(schedule)
    schedule.succeeded(first, 0.0, 0.0)
    [job] = add(schedule, hosts, "a")
    start_all(schedule)
    other = Schedule(hosts)
    [waiting] = add(other, hosts, "a")
    assert other.next(0.5) is None

    assert not schedule.replace(job, "next", 7, "a", 1.0)
    schedule.succeeded(job, 0.0, 1.0)
    assert other.next(1.0) is waiting


def test_no_request_takes_the_place_at_a_host_in_trouble() -> None:
    """A pause that has begun meanwhile holds it like any other."""
    hosts, schedule = new_schedule(retry=Retry(), concurrency=1)
    other = open_wide(schedule, hosts)
    [one] = add(schedule, hosts, "a")
    start_all(schedule)
    schedule.done(one, refused(retry_after=9.0), 1.0)

    assert not schedule.replace(other, "next", 7, "a", 2.0)


def test_no_request_takes_the_place_at_a_host_that_is_not_open_yet() -> None:
    """Each of its answers is to be counted."""
    hosts, schedule = new_schedule(concurrency=100)
    (job,) = add(schedule, hosts, "a")
    start_all(schedule)

    assert not schedule.replace(job, "next", 7, "a", 2.0)


def test_a_job_is_reported_once() -> None:
    """A slot given back twice would let one more through."""
    hosts, schedule = new_schedule()
    [job] = add(schedule, hosts, "a")
    schedule.next(0.0)
    schedule.release(job, 0.0)

    with pytest.raises(AssertionError, match="not in flight"):
        schedule.done(job, succeeded(), 0.0)
    with pytest.raises(AssertionError, match="not in flight"):
        schedule.release(job, 0.0)


# Closing


@pytest.mark.parametrize("now", [0.25, 0.75, 4.0])
def test_close_withdraws_what_is_not_in_flight(now: float) -> None:
    """Queued, resting and expired; each once, with what it has waited."""
    hosts, schedule = new_schedule(per_host=1)
    resting, expiring, flying, queued = add(schedule, hosts, "aaaa")
    for job in (resting, expiring):
        assert schedule.next(0.0) is job
        job.deadline = 3.0 if job is expiring else None
        schedule.done(job, refused(500), 0.0)
    assert schedule.next(0.0) is flying
    withdrawn = schedule.close(now)

    assert len(withdrawn) == 3
    assert set(withdrawn) == {resting, expiring, queued}
    assert [job.queued + job.throttled for job in withdrawn] == [now] * 3
    assert (schedule.pending, schedule.in_flight) == (0, 1)
    assert schedule.close(now) == []


def test_after_close_nothing_is_tried_again() -> None:
    """What is in flight still ends, and then the hosts are free of the batch."""
    hosts, schedule = new_schedule(per_host=1)
    job, _ = add(schedule, hosts, "aa")
    schedule.next(0.0)
    schedule.close(1.0)

    assert schedule.done(job, refused(500), 2.0) is FINISH
    assert schedule.next(2.0) is None
    assert schedule.wake_at is None


def test_a_closed_schedule_keeps_no_reference_to_its_batch() -> None:
    """A cycle would keep the results of a batch until the next garbage collection."""

    def wake() -> None: ...

    alive = weakref.ref(wake)
    _, schedule = new_schedule()
    schedule.on_ready = wake
    del wake
    schedule.close(1.0)

    assert alive() is None
    schedule.on_ready()


# Several batches on the same hosts


def crowd(hosts: Hosts, n: int) -> list[Schedule]:
    """Make batches that wait for a host with one slot: the first is next, and then last in line."""
    batches = [Schedule(hosts) for _ in range(n)]
    add(batches[0], hosts, "a")
    [blocker] = start_all(batches[0])
    for batch in batches:
        add(batch, hosts, "aaaa")
    # They queue up in this order, and the first gets the slot.
    for batch in batches:
        assert batch.next(0.0) is None
    batches[0].done(blocker, succeeded(), 0.0)
    return batches


def test_batches_share_a_hosts_slots_and_take_turns() -> None:
    """Though the one that ends a request asks first, it is the other one's turn."""
    hosts = new_hosts(per_host=1)
    one, other = crowd(hosts, 2)
    woken: list[str] = []
    one.on_ready = lambda: woken.append("one")
    other.on_ready = lambda: woken.append("other")
    job = one.next(0.0)
    assert job is not None
    one.done(job, succeeded(), 1.0)

    assert woken == ["other"]
    assert one.next(1.0) is None
    job = other.next(1.0)
    assert job is not None
    other.done(job, succeeded(), 2.0)
    assert woken == ["other", "one"]
    assert other.next(2.0) is None
    assert one.next(2.0) is not None


def test_a_batch_that_does_not_take_its_turn_keeps_nobody_waiting() -> None:
    """Its consumer may be waiting for the very batch that waits for the slot."""
    hosts = new_hosts(per_host=1)
    one, _other = crowd(hosts, 2)
    job = one.next(0.0)
    assert job is not None
    one.done(job, succeeded(), 1.0)
    assert one.next(1.0) is None
    wake_at = one.wake_at

    assert wake_at is not None
    assert wake_at < 1.1
    assert one.next(wake_at) is not None


def test_a_closed_batch_passes_its_turn_on() -> None:
    """At once."""
    hosts = new_hosts(per_host=1)
    one, other, third = crowd(hosts, 3)
    woken: list[str] = []
    third.on_ready = lambda: woken.append("third")
    job = one.next(0.0)
    assert job is not None
    one.done(job, succeeded(), 1.0)
    woken.clear()
    other.close(1.0)

    assert woken == ["third"]
    assert third.next(1.0) is not None


def test_a_batch_that_waits_for_a_slot_learns_of_a_pause() -> None:
    """It slept until some request ended, and must now wake up at the end of the pause itself."""
    hosts = new_hosts(per_host=1)
    one, other = Schedule(hosts), Schedule(hosts)
    woken: list[str] = []
    other.on_ready = lambda: woken.append("other")
    add(one, hosts, "a")
    add(other, hosts, "a")
    job = one.next(0.0)
    assert other.next(0.0) is None
    assert other.wake_at is None
    assert job is not None
    one.done(job, refused(429, retry_after=5.0), 1.0)
    one.close(1.0)

    assert woken
    assert other.next(1.0) is None
    assert other.wake_at == 6.0
    assert other.next(6.0) is not None


def test_batches_share_the_rate_over_all_fairly() -> None:
    """Both wake up at the same moment; the one that is asked first must not always win."""
    hosts = new_hosts(total_rate=Rate(1))
    one, other = Schedule(hosts), Schedule(hosts)
    add(one, hosts, "a" * 20)
    add(other, hosts, "b" * 20)
    starts = ""
    for tick in range(200):
        for schedule in (one, other):
            starts += names(start_all(schedule, tick / 20))

    # The first was asked twice before the second was heard of.
    assert starts == "a" + "ab" * 4 + "a"


def test_a_batch_that_does_not_take_its_turn_at_the_rate_over_all_loses_it() -> None:
    """After the blink of an eye."""
    hosts = new_hosts(total_rate=Rate(1))
    one, other = Schedule(hosts), Schedule(hosts)
    woken: list[str] = []
    one.on_ready = lambda: woken.append("one")
    add(one, hosts, "aa")
    add(other, hosts, "b")
    assert names(start_all(one)) == "a"
    assert start_all(other, 1.0) == []
    wake_at = other.wake_at

    assert woken == ["one"]
    assert wake_at is not None
    assert 1.0 < wake_at < 1.1
    assert names(start_all(other, wake_at)) == "b"


def test_a_batch_that_cannot_start_anything_gives_its_place_in_line_away() -> None:
    """It waits for its host now, and not for the rate over all."""
    hosts = new_hosts(total_rate=Rate(1))
    one, other = Schedule(hosts), Schedule(hosts)
    add(other, hosts, "ab")
    job = other.next(0.0)
    assert job is not None
    add(one, hosts, "a")
    assert one.next(0.1) is other.next(0.1) is None
    other.done(job, refused(retry_after=9.0), 0.5)
    assert one.next(0.5) is None

    assert names(start_all(other, 1.0)) == "b"


def test_requests_that_fail_at_once_do_not_wait_for_the_rate_over_all() -> None:
    """All of them, before the next that needs a slot."""
    hosts, schedule = new_schedule(total_rate=Rate(1), give_up_host_after=1, retry=None)
    add(schedule, hosts, "aaaabb")
    [job] = start_all(schedule)
    assert start_all(schedule, 0.5) == []
    schedule.done(job, unconnected(), 3.0)

    fates = [job.state for job in start_all(schedule, 3.0)]
    assert fates == [JobState.START] + [JobState.HOST_DOWN] * 3


def test_a_turn_that_expires_with_its_request_wakes_the_next_batch() -> None:
    """Also when that batch was the last to call."""
    hosts = new_hosts(per_host=1)
    one, other = Schedule(hosts), Schedule(hosts)
    [expiring] = add(one, hosts, "a")
    one.next(0.0)
    expiring.deadline = 5.0
    one.done(expiring, refused(500), 0.0)
    [blocker] = add(other, hosts, "a")
    assert other.next(0.0) is blocker
    assert one.next(1.0) is None
    add(other, hosts, "a", 1.0)
    assert other.next(1.0) is None
    other.done(blocker, succeeded(), 4.98)
    woken: list[str] = []
    other.on_ready = lambda: woken.append("other")
    assert other.next(5.0) is None
    assert one.next(5.01) is expiring

    assert woken == ["other"]
    assert other.next(5.01) is not None


def test_what_one_batch_learns_of_a_host_holds_for_the_other() -> None:
    """Pauses, failures and rates are the host's."""
    hosts = new_hosts(give_up_host_after=1, retry=None)
    one, other = Schedule(hosts), Schedule(hosts)
    add(other, hosts, "a")
    add(one, hosts, "a")
    job = one.next(0.0)
    assert job is not None
    one.done(job, unconnected(), 3.0)

    assert [job.state for job in start_all(other, 3.0)] == [JobState.HOST_DOWN]


def test_the_turn_of_a_batch_whose_requests_have_failed_fast_is_passed_over() -> None:
    """Although another batch has found meanwhile that the host answers again."""
    hosts = new_hosts(give_up_host_after=1, retry=None)
    one, other = Schedule(hosts), Schedule(hosts)
    first, second = add(one, hosts, "aa")
    assert one.next(0.0) is first
    one.done(first, unconnected(), 3.0)
    assert one.next(3.0) is second
    assert second.state is JobState.HOST_DOWN
    host = hosts.get("a")
    now = 3.0
    for _ in range(20):
        now += 60.0
        host.reopen(now)
        for job in [*add(other, hosts, "a" * 20, now)] and start_all(other, now):
            other.done(job, succeeded(), now)

    assert host.plain
    assert one.next(now) is None
    assert add(one, hosts, "a", now) == start_all(one, now)


# Waiting is accounted for


def test_waiting_for_a_permit_is_queued() -> None:
    """Nothing but our own concurrency held it back."""
    hosts, schedule = new_schedule()
    _, second = add(schedule, hosts, "aa")
    schedule.next(0.0)
    schedule.next(3.0)

    assert (second.queued, second.throttled) == (3.0, 0.0)


def test_waiting_for_the_host_is_throttled() -> None:
    """A slot was free all the time, or might have been."""
    hosts, schedule = new_schedule(per_host=1)
    first, second = add(schedule, hosts, "aa")
    schedule.next(0.0)
    schedule.done(first, succeeded(), 2.0)
    schedule.next(5.0)

    assert (second.queued, second.throttled) == (3.0, 2.0)


def test_the_back_off_is_throttled() -> None:
    """And what comes after it is queued."""
    hosts, schedule = new_schedule()
    [job] = add(schedule, hosts, "a")
    schedule.next(0.0)
    schedule.done(job, refused(500), 1.0)
    schedule.next(4.0)

    assert (job.queued, job.throttled) == (2.5, 0.5)


def test_host_and_rate_over_all_count_once_where_they_overlap() -> None:
    """Waiting for both at a time is still waiting once."""
    hosts, schedule = new_schedule(per_host=1, total_rate=Rate(0.25))
    first, second = add(schedule, hosts, "aa")
    schedule.next(0.0)
    schedule.done(first, succeeded(), 3.0)
    schedule.next(5.0)

    assert (second.queued, second.throttled) == (1.0, 4.0)


# Whole batches, simulated


def bound(calls: list[Call], concurrency: int, per_host: int | None = None) -> float:
    """Return what no order can beat: all work over all permits, or the slowest host alone."""
    work: dict[Any, float] = {}
    for call in calls:
        work[call.host] = work.get(call.host, 0.0) + call.seconds
    slowest = max(work.values()) / per_host if per_host else 0.0
    return max(sum(work.values()) / concurrency, slowest)


def uneven(n_hosts: int, n_each: int, *, fastest: float = 0.01) -> list[list[Call]]:
    """Make hosts of which the slowest takes a hundred times as long as the fastest."""
    dice = random.Random(1)
    seconds = [fastest * 100 ** dice.random() for _ in range(n_hosts)]
    return [[Call(host, seconds[host])] * n_each for host in range(n_hosts)]


def flat(batches: Iterable[Iterable[Call]]) -> list[Call]:
    return [call for batch in batches for call in batch]


@pytest.mark.once
@pytest.mark.parametrize(
    ("batches", "is_sorted", "per_host"),
    [
        pytest.param(uneven(100, 600), False, None, id="mixed"),
        pytest.param(uneven(100, 400), False, 10, id="mixed-capped"),
        pytest.param(uneven(100, 400), True, None, id="sorted"),
        pytest.param(uneven(5000, 20), True, 2, id="sorted-capped"),
        pytest.param(uneven(15_000, 2), True, 1, id="sorted-many-hosts"),
    ],
)
def test_the_makespan_is_near_what_no_order_can_beat(
    batches: list[list[Call]], is_sorted: bool, per_host: int | None
) -> None:
    """Within 5 % over hosts of very different speed, also when the input is sorted by host."""
    calls = flat(batches) if is_sorted else list(interleave(batches))
    hosts = new_hosts(per_host=per_host)
    simulation = Simulation(calls, concurrency=100, hosts=hosts).run()

    assert simulation.finished == {"ok": len(calls)}
    assert simulation.now <= 1.05 * bound(calls, 100, per_host)
    assert simulation.most_in_flight == 100
    assert max(simulation.most_on_host.values()) <= (per_host or 100)


@pytest.mark.once
@pytest.mark.parametrize("n_each", [30, 100, 500])
def test_a_window_that_few_hosts_fill_takes_in_more(n_each: int) -> None:
    """
    Sorted by host, a window of 1,000 is full of few hosts, and grows until the slots are busy.

    About two hosts' worth of the window lies between a host's first request and its last. So with
    `n` requests per host, 2 * 1000 / n hosts would be within reach without that, each with
    `per_host` slots; that keeps 100 permits busy up to n = 20 * per_host.
    """
    calls = flat([Call(host, 0.05)] * n_each for host in range(50_000 // n_each))
    simulation = Simulation(calls, concurrency=100, hosts=new_hosts(per_host=2)).run()

    assert simulation.now <= 1.05 * bound(calls, 100, 2)


@pytest.mark.once
def test_one_slow_host_does_not_slow_the_others_down() -> None:
    """The batch takes as long as that host alone."""
    slow = [Call("slow", 1.0)] * 200
    fast = [Call(f"fast-{n % 50}", 0.01) for n in range(100_000)]
    calls = [*slow, *fast]
    simulation = Simulation(calls, concurrency=50, hosts=new_hosts(per_host=4)).run()

    assert simulation.now <= 1.05 * bound(calls, 50, 4)


def test_a_rate_is_used_up_to_the_last_slot() -> None:
    """The makespan is that of the rate, to the second."""
    calls = [Call(n % 10, 0.2) for n in range(10_000)]
    simulation = Simulation(calls, concurrency=100, hosts=new_hosts(rate=Rate(20))).run()

    assert simulation.now == pytest.approx(999 / 20 + 0.2)


@pytest.mark.once
def test_a_storm_of_failures_ends_and_loses_nothing() -> None:
    """Hosts that refuse, break, and do not connect at all, at once."""
    dice = random.Random(2)

    def server(job: Job, _now: float) -> tuple[float, Outcome]:
        host = job.request.host
        if host % 10 == 0:
            return 0.1, unconnected()
        if host % 10 == 1 and dice.random() < 0.2:
            return 0.01, refused(429, retry_after=dice.choice([None, 0.5, 100.0]))
        if dice.random() < 0.05:
            return 0.05, Outcome(kind=FailureKind.protocol, error=Exception())
        return job.request.seconds, Outcome(status_code=200)

    calls = [Call(n % 100, 0.05) for n in range(100_000)]
    hosts = new_hosts(per_host=5, random=dice.random)
    simulation = Simulation(calls, concurrency=100, hosts=hosts, server=server).run()

    assert sum(simulation.finished.values()) == len(calls)
    assert simulation.finished["host_down"] > 5000
    assert simulation.finished["ok"] > 80_000
    assert simulation.attempts < 1.2 * len(calls)
    assert simulation.schedule.in_flight == simulation.schedule.pending == 0
