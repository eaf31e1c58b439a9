"""
The fast ways through a schedule against the plain ones: whatever happens, both leave the same.

Two schedules are driven side by side, and all that they are made of is compared at every step.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from asyncbatch import Rate
from asyncbatch._schedule import Job, JobState, RetryAction, Schedule
from asyncbatch._values._outcome import Outcome
from asyncbatch._values._retry import Retry
from tests.properties.pictures import picture
from tests.simulation import new_hosts, refused, silent, succeeded, unconnected

HOSTS = ("a", "b")

# What `replace` leaves as it was, where the plain way writes it anew: when the request began to
# wait, which nobody asks of one that is under way; that its host and its queue have had nothing to
# do for a moment; and which batch has called last, which is asked only during the call.
LEFT_BY_REPLACE = (
    *("since", "clock", "_rested_at", "is_lingering", "_lingering", "_spare", "joined"),
    "caller",
)
OUTCOMES = st.sampled_from(["ok"] * 6 + ["500", "asked", "refused", "silent", "down"])
FOLLOW = st.tuples(st.just("follow"), st.integers(0, 9), st.sampled_from((*HOSTS, "a", "a")))
STEPS = st.lists(
    st.one_of(
        *(FOLLOW, FOLLOW, FOLLOW),
        st.tuples(st.just("add"), st.sampled_from(HOSTS), st.integers(1, 3)),
        st.tuples(st.just("next"), st.integers(1, 6), st.just(0)),
        st.tuples(st.just("succeed"), st.integers(0, 9), st.sampled_from(HOSTS)),
        st.tuples(st.just("end"), st.integers(0, 9), OUTCOMES),
        st.tuples(st.just("wait"), st.sampled_from([0.0, 0.2, 1.0, 40.0]), st.just(0)),
        st.tuples(st.just("release"), st.integers(0, 9), st.just(0)),
    ),
    min_size=8,
    max_size=25,
)
# By which hosts get open and stay so, as they mostly are.
BEGINNING = [("add", "a", 4), ("next", 4, 0), ("succeed", 0, "a"), ("next", 4, 0)]
# After which one request is under way, and the next takes its place twice.
ALONE = [
    *[("succeed", 0, "a"), ("next", 2, 0)] * 4,
    ("wait", 1.0, 0),
    *[("add", "a", 1), ("next", 2, 0), ("follow", 0, "a"), ("follow", 0, "a"), ("succeed", 0, "a")],
]
SETTINGS = settings(max_examples=25, deadline=None)


class Side:
    """Two batches on hosts of their own, and what is in flight of each."""

    def __init__(self, **policies: Any) -> None:
        self.hosts = new_hosts(concurrency=3, retry=Retry(attempts=2, budget=0.5), **policies)
        self.schedules = [Schedule(self.hosts), Schedule(self.hosts)]
        self.now = 100.0
        self.count = 0
        self.flying: list[tuple[int, Job, float]] = []
        self.told: list[Any] = []

    def add(self, host: str, times: int) -> None:
        for _ in range(times):
            self.count += 1
            job = Job(self.count, self.count, self.hosts.get(host))
            self.schedules[self.count % 2].add(job, self.now)

    def next(self, times: int, _: int) -> None:
        for turn in range(times):
            self._take(turn % 2)

    def _take(self, which: int) -> Job | None:
        job = self.schedules[which].next(self.now)
        if job is None:
            self.told.append(self.schedules[which].wake_at)
        else:
            self.told.append((job.index, job.state, job.queued, job.throttled))
            if job.state is JobState.START:
                self.flying.append((which, job, self.now))
        return job

    def end(self, pick: int, kind: str) -> None:
        if not self.flying:
            return
        which, job, begun = self.flying.pop(pick % len(self.flying))
        decision = self.schedules[which].done(job, outcome_of(kind, begun), self.now)
        self.told.append((decision.action, decision.delay))
        assert job.state in (JobState.OVER, JobState.RESTING)
        assert (job.state is JobState.RESTING) is (decision.action is RetryAction.RETRY)

    def release(self, pick: int, _: int) -> None:
        if self.flying:
            which, job, _began = self.flying.pop(pick % len(self.flying))
            self.schedules[which].release(job, self.now)

    def wait(self, seconds: float, _: int) -> None:
        self.now += seconds
        for schedule in self.schedules:  # wakes up, and so does whose rest is over
            assert schedule.take_expired(self.now) is None

    def succeed(self, pick: int, _: str) -> None:
        """Let one succeed, in the plain way."""
        if self.flying:
            which, job, begun = self.flying.pop(pick % len(self.flying))
            self.schedules[which].done(job, succeeded(begun), self.now)

    def follow(self, pick: int, host: str) -> None:
        """Let one succeed where nobody waits, and another one come at once."""
        if self.flying:
            place = pick % len(self.flying)
            which, job, begun = self.flying[place]
            if not self.schedules[which].pending:
                self.count += 1
                # As of one that has been tried before: none of it is the next one's.
                job.history, job.local_failures, job.attempts = ["a try"], 1, 2
                job.queued += 0.5
                job.throttled += 0.25
                self._follow(place, which, job, begun, host)

    def _follow(self, place: int, which: int, job: Job, begun: float, host: str) -> None:
        del self.flying[place]
        self.schedules[which].done(job, succeeded(begun), self.now)
        self.schedules[which].add(Job(self.count, self.count, self.hosts.get(host)), self.now)
        self._take(which)
        if self.flying and self.flying[-1][1].index == self.count:
            self.flying.insert(place, self.flying.pop())


class FastSide(Side):
    """The same by the fast ways."""

    replaced = 0

    def succeed(self, pick: int, _: str) -> None:
        if self.flying:
            which, job, begun = self.flying.pop(pick % len(self.flying))
            self.schedules[which].succeeded(job, begun, self.now)

    def _follow(self, place: int, which: int, job: Job, begun: float, host: str) -> None:
        if not self.schedules[which].replace(job, self.count, self.count, host, self.now):
            super()._follow(place, which, job, begun, host)
            return
        self.told.append((job.index, job.state, job.queued, job.throttled))
        self.flying[place] = (which, job, self.now)
        FastSide.replaced += 1


def outcome_of(kind: str, begun: float) -> Outcome:
    match kind:
        case "ok":
            return succeeded(begun)
        case "asked":
            return refused(429, started_at=begun, retry_after=0.3)
        case "silent":
            return silent(started_at=begun)
        case "down":
            return unconnected(started_at=begun)
        case _:
            return refused(500 if kind == "500" else 503, started_at=begun)


def drive(one: Side, other: Side, steps: list[tuple[Any, ...]], without: tuple[str, ...]) -> None:
    for number, (name, *arguments) in enumerate(BEGINNING + steps):
        for side in (one, other):
            getattr(side, name)(*arguments)

        assert one.told == other.told, name
        if number % 4 == 0 or number == len(BEGINNING + steps) - 1:  # each takes 0.5 ms
            pictures = [
                picture(side.flying, side.schedules, side.hosts, without=without)
                for side in (one, other)
            ]
            assert pictures[0] == pictures[1], name


def test_a_success_without_an_outcome_leaves_what_one_with_it_does() -> None:
    """`succeeded` against `done`, at hosts with limits and trouble and without, in every field."""

    @SETTINGS
    @given(steps=STEPS, per_host=st.sampled_from([None, 2]))
    def check(steps: list[tuple[Any, ...]], per_host: int | None) -> None:
        follow = [step for step in steps if step[0] != "follow"]
        drive(Side(per_host=per_host), FastSide(per_host=per_host), follow, ())

    check()


@pytest.mark.parametrize(
    "limits",
    [
        {},
        {"per_host": 3},
        {"per_host": 2},
        {"rate": Rate(5, burst=9)},
        {"rate": Rate(5, burst=30), "per_host": 2},
    ],
    ids=str,
)
def test_a_request_in_the_place_of_another_leaves_what_a_new_one_does(
    limits: dict[str, Any],
) -> None:
    """`replace` against `done`, `add` and `next`, in every field that anybody asks for."""

    @SETTINGS
    @given(steps=STEPS)
    @example(steps=ALONE)
    def check(steps: list[tuple[Any, ...]]) -> None:
        drive(Side(**limits), FastSide(**limits), steps, LEFT_BY_REPLACE)

    FastSide.replaced = 0
    check()

    assert FastSide.replaced > 0


def test_a_host_without_a_cap_is_one_whose_cap_is_never_reached() -> None:
    """What `add`, `next` and `done` write out for plain hosts, against the way for all others."""

    @SETTINGS
    @given(steps=STEPS)
    def check(steps: list[tuple[Any, ...]]) -> None:
        sides = Side(), Side(per_host=1_000_000)
        for name, *arguments in BEGINNING + steps:
            for side in sides:
                getattr(side, name)(*arguments)

            assert outside(sides[0]) == outside(sides[1]), name

    check()


def outside(side: Side) -> list[Any]:
    """Return what can be seen of a side from outside."""
    hosts = [
        (host.in_flight, host.paused_until, host.has_answered, picture(host.budget))
        for host in map(side.hosts.get, HOSTS)
    ]
    counts = [(each.pending, each.in_flight, each.hosts) for each in side.schedules]
    return [side.told, hosts, counts, picture(side.flying, without=("host", "queue", "clock"))]
