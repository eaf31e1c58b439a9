"""
What must hold whatever happens: two batches on the same hosts, driven at random.

The model keeps its own books, by the plainest means there are (it walks over everything at every
step), and compares.
"""

from __future__ import annotations

import math
from typing import Any

import attrs
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from asyncbatch._policies._rate import Rate
from asyncbatch._policies._retry_budget import RetryBudget
from asyncbatch._schedule import Job, JobState, RetryAction, Schedule
from asyncbatch._schedule._host import Host
from asyncbatch._values._outcome import Outcome
from asyncbatch._values._retry import Retry
from tests.simulation import new_hosts, refused, silent, succeeded, unconnected

HOSTS = ("a", "b", "c")
GIVE_UP_AFTER = 3
FIRST = 3
CLOSE = 1e-6


@attrs.define(eq=False)
class Watched:
    """A job, and what the model knows of it."""

    job: Job
    batch: Batch
    added_at: float
    state: str = "queued"
    due: float = 0.0
    waited: float = 0.0
    throttled: float = 0.0
    started_at: float = 0.0


@attrs.define(eq=False)
class Batch:
    """A schedule with a dispatcher that sleeps when it is told that there is nothing to do."""

    schedule: Schedule
    is_awake: bool = True
    wake_at: float | None = None
    is_closed: bool = False

    def wake(self) -> None:
        self.is_awake = True


@attrs.define
class HostModel:
    """What the model knows of one host."""

    starts: list[float] = attrs.field(factory=list)
    first_tries: list[float] = attrs.field(factory=list)
    retries: list[float] = attrs.field(factory=list)
    in_flight: int = 0
    pause_until: float = -math.inf
    pause_began: float = -math.inf
    pause_before: float = -math.inf
    pause_level: int = 0
    # Since it began to open, at its first request or after a pause: when that was, what has been
    # let in and is in flight, and for how many there is room because others were answered.
    opening_since: float = math.inf
    let_in: set[Watched] = attrs.field(factory=set)
    room: int = FIRST
    # Its attempts in a row without an answer: when each began and ended.
    row: list[tuple[float, float]] = attrs.field(factory=list)
    # Retries of that row that the budget has paid.
    paid: list[float] = attrs.field(factory=list)
    host: Host | None = None

    def see(self, host: Host) -> None:
        """Forget what was, as the library may once a host has been idle for long."""
        if host is self.host:
            return
        self.host = host
        self.pause_level = 0
        self.pause_began = self.pause_before = -math.inf
        self.row = []
        self.paid = []
        self.reopen(FIRST, math.inf)

    def reopen(self, room: int, since: float) -> None:
        """Let in so many from now on; what is in flight does not count."""
        self.room = room
        self.opening_since = since
        self.let_in.clear()

    def check_room(self, now: float) -> None:
        """A host that opens lets in one more for each answer, and, once it answers, with time."""
        seconds = math.floor(max(0.0, now - self.opening_since + CLOSE))
        assert len(self.let_in) <= self.room * 2.0 ** min(seconds, 60), "let in too many"

    def check_down(self, now: float, give_up_after: int) -> None:
        """It is given up for a row of attempts that has lasted."""
        assert len(self.row) >= give_up_after, "given up too soon"
        assert self.row[-1][1] - min(began for began, _ in self.row) >= 3.0 - CLOSE


limits = st.fixed_dictionaries(
    {
        "per_host": st.sampled_from([None, 1, 2]),
        "rate": st.sampled_from([None, Rate(2), Rate(5, burst=3)]),
        "total_rate": st.sampled_from([None, Rate(3), Rate(8, burst=4)]),
        "give_up_host_after": st.sampled_from([None, GIVE_UP_AFTER]),
        "retry": st.sampled_from(
            [None, Retry(budget=None, attempts=4), Retry(budget=0.5), Retry(attempts=6)]
        ),
    }
)


class Batches(RuleBasedStateMachine):
    """Two batches over one set of hosts."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        for module in ("_schedule._host", "_policies._slow_start", "_policies._health"):
            self.patch.setattr(f"asyncbatch.{module}.FIRST", FIRST)

    @initialize(policies=limits, ends=st.sampled_from([math.inf, math.inf, 104.0, 120.0]))
    def open(self, policies: dict[str, Any], ends: float) -> None:
        self.policies = policies
        self.retry: Retry | None = policies["retry"]
        self.now = 100.0
        self.hosts = new_hosts(**policies)
        self.batches = [Batch(Schedule(self.hosts)) for _ in range(2)]
        for batch in self.batches:
            batch.schedule.on_ready = batch.wake
        self.batches[0].schedule.ends_at = ends
        self.watched: dict[Job, Watched] = {}
        self.models = {host: HostModel() for host in HOSTS}
        self.total_starts: list[float] = []
        self.over: set[Job] = set()
        self.count = 0

    # What a batch does

    @rule(
        which=st.sampled_from([0, 1]),
        host=st.sampled_from(HOSTS),
        n=st.integers(1, 4),
        method=st.sampled_from(["GET", "POST"]),
        allowed=st.sampled_from([None, None, 0.4, 5.0]),
    )
    def add(self, which: int, host: str, n: int, method: str, allowed: float | None) -> None:
        batch = self.batches[which]
        if batch.is_closed:
            return
        for _ in range(n):
            self._add(batch, host, method, allowed)
        batch.wake()

    def _add(self, batch: Batch, host: str, method: str, allowed: float | None) -> Watched:
        job = Job(None, self.count, self.hosts.get(host), method)
        job.allowed = allowed
        self.count += 1
        watched = self.watched[job] = Watched(job, batch, self.now)
        batch.schedule.add(job, self.now)
        return watched

    @precondition(lambda self: self._in_flight())
    @rule(pick=st.integers(0, 1000), host=st.sampled_from(HOSTS))
    def replace(self, pick: int, host: str) -> None:
        """Let one succeed, and another one take its place, as a relay does where nobody waits."""
        in_flight = self._in_flight()
        watched = in_flight[pick % len(in_flight)]
        batch, job = watched.batch, watched.job
        if batch.schedule.pending or batch.is_closed:
            return
        begun, index = watched.started_at, self.count
        # None of these is the next one's; the batch sees to them.
        job.allowed = job.deadline = None
        if not batch.schedule.replace(job, None, index, host, self.now):
            self._finish_fast(watched, begun)
            self._add(batch, host, "GET", None)
            batch.wake()
            return
        self.count += 1
        model = self.models[job.host.key]
        self._note_end(model, succeeded(begun))
        self._land(watched)
        # To the model it is another request, though one and the same object stands for it.
        following = self.watched[job] = Watched(job, batch, self.now)
        following.state = "flying"
        following.started_at = self.now
        assert (job.queued, job.throttled, job.attempts, job.index) == (0.0, 0.0, 1, index)
        self._check_start(following)
        self._check_counts()

    @precondition(lambda self: self._in_flight())
    @rule(pick=st.integers(0, 1000))
    def succeed(self, pick: int) -> None:
        in_flight = self._in_flight()
        watched = in_flight[pick % len(in_flight)]
        self._finish_fast(watched, watched.started_at)

    def _finish_fast(self, watched: Watched, begun: float) -> None:
        """Let one succeed without an `Outcome`."""
        model = self.models[watched.job.host.key]
        model.see(watched.job.host)
        self._note_end(model, succeeded(begun))
        self._note_pause(model, succeeded(begun))
        watched.batch.schedule.succeeded(watched.job, begun, self.now)
        watched.batch.wake()
        self._land(watched)
        self._end(watched)

    @rule(which=st.sampled_from([0, 1]), permits=st.integers(1, 6), deadline=st.booleans())
    def dispatch(self, which: int, permits: int, deadline: bool) -> None:
        self._dispatch(self.batches[which], permits, 3.0 if deadline else None)

    @precondition(lambda self: self._in_flight())
    @rule(
        pick=st.integers(0, 1000),
        kind=st.sampled_from(
            ["ok", "ok", "refused", "asked", "too_long", "down", "silent", "reset", "local", "500"]
        ),
    )
    def finish(self, pick: int, kind: str) -> None:
        in_flight = self._in_flight()
        self._finish(in_flight[pick % len(in_flight)], kind)

    @precondition(lambda self: self._in_flight())
    @rule(pick=st.integers(0, 1000))
    def cancel(self, pick: int) -> None:
        in_flight = self._in_flight()
        watched = in_flight[pick % len(in_flight)]
        watched.batch.schedule.release(watched.job, self.now)
        watched.batch.wake()
        self._land(watched)
        self._end(watched)

    @rule(seconds=st.sampled_from([0.01, 0.05, 0.2, 0.5, 1.0, 5.0, 31.0]))
    def wait(self, seconds: float) -> None:
        self._pass_time(self.now + seconds)

    @rule()
    def wait_for_the_next_wake_up(self) -> None:
        times = [batch.wake_at for batch in self.batches if batch.wake_at is not None]
        if times and min(times) > self.now:
            self._pass_time(min(times))

    @rule(which=st.sampled_from([0, 1]))
    def close(self, which: int) -> None:
        self._close(self.batches[which])

    def teardown(self) -> None:
        try:
            if hasattr(self, "batches"):
                self._check_end()
        finally:
            self.patch.undo()

    def _check_end(self) -> None:
        self._drain()
        for watched in self.watched.values():
            assert watched.job in self.over, "a job has no end"
        for batch in self.batches:
            assert batch.schedule.pending == batch.schedule.in_flight == 0
            assert batch.schedule.next(self.now) is None
            assert batch.schedule.wake_at is None
            self._check_reasons(batch)

    def _check_reasons(self, batch: Batch) -> None:
        """Every second that a job of the batch was held back has one reason."""
        own = [watched.job for watched in self.watched.values() if watched.batch is batch]
        waits = batch.schedule.held_back.waits
        # A job that was dismissed may wait for its hand-out, which is not its host's doing.
        dismissed = {JobState.EXPIRED, JobState.PAUSED, JobState.LATE}
        if not any(job.state in dismissed for job in own):
            throttled = sum(job.throttled for job in own)
            assert sum(waits.values()) == pytest.approx(throttled, abs=CLOSE)
        assert all(seconds > 0 for reason, seconds in waits.items() if reason != "backoff")
        possible = {
            "per_host": self.policies["per_host"] is not None,
            "rate": self.policies["rate"] is not None,
            "total_rate": self.hosts.total is not None,
        }
        assert not [reason for reason in waits if not possible.get(reason, True)]

    # The model

    def _dispatch(self, batch: Batch, permits: int, deadline: float | None = None) -> int:
        handed_out = 0
        while batch.schedule.in_flight < permits:
            job = batch.schedule.next(self.now)
            if job is None:
                batch.is_awake = False
                batch.wake_at = batch.schedule.wake_at
                assert batch.wake_at is None or batch.wake_at > self.now
                break
            handed_out += 1
            self._take(self.watched[job], deadline)
        self._check_counts()
        return handed_out

    def _take(self, watched: Watched, deadline: float | None) -> None:
        job = watched.job
        assert watched.state in ("queued", "resting")
        assert watched.state == "queued" or self.now >= watched.due
        assert job.queued + job.throttled == pytest.approx(watched.waited, abs=CLOSE)
        assert job.throttled == pytest.approx(watched.throttled, abs=CLOSE)
        if job.state is not JobState.START:
            if job.state is JobState.EXPIRED:
                assert job.deadline is not None
                assert job.deadline <= self.now
            elif job.state is JobState.PAUSED:
                assert job.allowed is not None or job.deadline is not None
            elif job.state is JobState.LATE:
                assert watched.batch.schedule.ends_at < math.inf
            else:
                assert job.state is JobState.HOST_DOWN
                self.models[job.host.key].check_down(self.now, self.policies["give_up_host_after"])
            self._end(watched)
            return
        if job.deadline is None and deadline is not None and job.attempts == 1:
            job.deadline = self.now + deadline
        watched.state = "flying"
        watched.started_at = self.now
        self._check_start(watched)

    def _check_start(self, watched: Watched) -> None:
        model = self.models[watched.job.host.key]
        assert watched.job.deadline is None or self.now < watched.job.deadline
        assert self.now >= max(model.pause_until, watched.job.host.paused_until), (
            "started in a pause"
        )
        model.see(watched.job.host)
        model.let_in.add(watched)
        model.check_room(self.now)
        if watched.job.attempts == 1 and not watched.job.local_failures:
            model.first_tries.append(self.now)
        model.in_flight += 1
        assert model.in_flight <= (self.policies["per_host"] or math.inf)
        model.starts.append(self.now)
        self.total_starts.append(self.now)
        check_rate(model.starts, self.policies["rate"])
        check_rate(self.total_starts, self.policies["total_rate"])

    def _finish(self, watched: Watched, kind: str) -> None:
        job, host = watched.job, watched.job.host
        model = self.models[host.key]
        model.see(host)
        outcome = self._outcome(kind, watched.started_at)
        was_paused_until = host.paused_until
        self._note_end(model, outcome)
        self._note_pause(model, outcome)
        attempts = job.attempts
        decision = watched.batch.schedule.done(job, outcome, self.now)
        watched.batch.wake()
        self._land(watched)
        if outcome.is_silent and host.paused_until > was_paused_until:
            self._note_outage(model, host.paused_until)
        if decision.action is not RetryAction.RETRY:
            self._end(watched)
            return
        assert not watched.batch.is_closed
        watched.state = "resting"
        watched.due = self.now + decision.delay
        assert job.deadline is None or watched.due < job.deadline
        if outcome.local:
            return
        assert self.retry is not None
        assert attempts < self.retry.attempts
        assert job.method == "GET" or outcome.connect_failed
        # A retry at the time that the server named itself costs nothing, nor does an outage.
        if outcome.retry_after is None and not (outcome.is_silent and host.is_out(self.now)):
            self._check_budget(model)
            if outcome.is_silent:
                model.paid.append(self.now)

    def _note_outage(self, model: HostModel, paused_until: float) -> None:
        assert self.retry is not None
        assert self.retry.pause_hosts
        assert len(model.row) >= 2
        assert paused_until - self.now <= 1.0 + CLOSE
        model.pause_until = max(model.pause_until, paused_until)
        model.reopen(FIRST, paused_until)
        for moment in model.paid:
            model.retries.remove(moment)
        model.paid.clear()

    def _outcome(self, kind: str, started_at: float) -> Outcome:
        if kind == "ok":
            return succeeded(started_at)
        if kind == "down":
            return unconnected(started_at=started_at)
        if kind in ("silent", "reset"):
            return silent(started_at=started_at, kind="timeout" if kind == "silent" else "protocol")
        if kind == "local":
            error = Exception("no place in the pool")
            kind_of_failure = unconnected().kind
            return Outcome(kind=kind_of_failure, error=error, local=True, started_at=started_at)
        retry_after = {"asked": 1.5, "too_long": 3600.0}.get(kind)
        status = 500 if kind == "500" else 429
        return refused(status, started_at=started_at, retry_after=retry_after)

    def _note_end(self, model: HostModel, outcome: Outcome) -> None:
        if outcome.local:
            return
        if outcome.is_silent:
            model.row.append((outcome.started_at, self.now))
            return
        model.row.clear()
        model.paid.clear()
        model.opening_since = min(model.opening_since, self.now)
        if outcome.status_code != 429:
            model.room += 1

    def _note_pause(self, model: HostModel, outcome: Outcome) -> None:
        is_news = outcome.started_at > model.pause_began
        if outcome.status_code == 429:
            if self.retry is None:
                return  # nobody waits for anything
            asked = outcome.retry_after
            if asked is not None and asked > self.retry.retry_after_max:
                asked = None
            if asked is not None:
                model.pause_until = max(model.pause_until, self.now + asked)
            elif is_news:
                # With dice that always show 1, the draw is its upper bound.
                delay = min(8.0, 0.5 * 2**model.pause_level)
                model.pause_until = max(model.pause_until, self.now + delay)
            if is_news:
                model.pause_before, model.pause_began = model.pause_began, self.now
                model.pause_level += 1
                model.reopen(1, model.pause_until)
        elif outcome.status_code is not None and is_news:
            model.pause_level = 0
        elif outcome.status_code is not None and outcome.started_at > model.pause_before:
            model.pause_level = min(model.pause_level, 1)

    def _check_budget(self, model: HostModel) -> None:
        model.retries.append(self.now)
        if self.retry is None or self.retry.budget is None:
            return
        first_second = math.floor(self.now) - RetryBudget.WINDOW + 1
        tries = sum(moment >= first_second for moment in model.first_tries)
        retries = sum(moment >= first_second for moment in model.retries)
        assert retries <= self.retry.budget * tries + RetryBudget.RESERVE

    def _pass_time(self, until: float) -> None:
        for watched in self.watched.values():
            since = self.now
            if watched.state not in ("queued", "resting"):
                continue
            watched.waited += until - self.now
            if watched.state == "resting":
                end = min(until, max(since, watched.due))
                watched.throttled += end - since
                since = end
            watched.throttled += self._blocked(watched.job, since, until)
            if watched.state == "resting" and watched.due <= until:
                watched.state = "queued"
        self.now = until

    def _blocked(self, job: Job, since: float, until: float) -> float:
        model, host = self.models[job.host.key], job.host
        if model.in_flight >= (self.policies["per_host"] or math.inf):
            return until - since
        opens_at = host.opens_at
        if host.slow_start is not None and model.in_flight >= host.slow_start.limit:
            opens_at = max(opens_at, host.slow_start.widens_at)
        elif host.slow_start is None and not host.plain and model.in_flight >= host.width:
            return until - since
        if self.hosts.total is not None:
            opens_at = max(opens_at, self.hosts.total.open_at)
        return max(0.0, min(until, opens_at) - since)

    def _close(self, batch: Batch) -> None:
        for job in batch.schedule.close(self.now):
            watched = self.watched[job]
            assert watched.batch is batch
            assert job.queued + job.throttled == pytest.approx(watched.waited, abs=CLOSE)
            assert job.throttled == pytest.approx(watched.throttled, abs=CLOSE)
            self._end(watched)
        batch.is_closed = True
        batch.wake_at = None
        self._check_counts()

    def _drain(self) -> None:
        """Let everything succeed, and see that it ends, with dispatchers that sleep when told."""
        for _ in range(10_000):
            if len(self.over) == len(self.watched):
                return
            awake = [
                batch
                for batch in self.batches
                if batch.is_awake or (batch.wake_at is not None and batch.wake_at <= self.now)
            ]
            if sum(self._dispatch(batch, permits=5) for batch in awake):
                continue
            if in_flight := self._in_flight():
                self._finish(in_flight[0], "ok")
                continue
            times = [batch.wake_at for batch in self.batches if batch.wake_at is not None]
            assert times, "everybody sleeps, and nobody will be woken up"
            self._pass_time(max(self.now, min(times)))
        raise AssertionError("it goes round in circles")

    def _in_flight(self) -> list[Watched]:
        return [watched for watched in self.watched.values() if watched.state == "flying"]

    def _land(self, watched: Watched) -> None:
        model = self.models[watched.job.host.key]
        model.in_flight -= 1
        model.let_in.discard(watched)
        watched.state = "landed"

    def _end(self, watched: Watched) -> None:
        assert watched.job not in self.over, "a job has two ends"
        self.over.add(watched.job)
        watched.state = "over"

    def _check_counts(self) -> None:
        for batch in self.batches:
            mine = [watched for watched in self.watched.values() if watched.batch is batch]
            flying = sum(watched.state == "flying" for watched in mine)
            waiting = sum(watched.state in ("queued", "resting") for watched in mine)
            assert (batch.schedule.in_flight, batch.schedule.pending) == (flying, waiting)


def check_rate(starts: list[float], rate: Rate | None) -> None:
    """Any n starts span at least (n - burst) intervals."""
    if rate is None:
        return
    recent = starts[-30:]
    for n, moment in enumerate(reversed(recent), start=1):
        assert recent[-1] - moment >= (n - rate.burst) * rate.interval - CLOSE


class TightBudgetBatches(Batches):
    """The same with next to no reserve of retries, so that the budget comes to bear."""

    @initialize()
    def tighten(self) -> None:
        self.patch.setattr(RetryBudget, "RESERVE", 1)


SETTINGS = settings(
    max_examples=40,
    stateful_step_count=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
TestBatches = Batches.TestCase
TestBatches.settings = SETTINGS
TestTightBudgetBatches = TightBudgetBatches.TestCase
TestTightBudgetBatches.settings = SETTINGS
