"""
A batch on a virtual clock: everything around the schedule, and none of the network.

Models what the batch does (a bounded window read ahead from the input, a bounded number of permits)
and what servers do (each attempt takes a time and ends in an outcome), and watches the limits.
"""

from __future__ import annotations

import heapq
import math
from collections import Counter, deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import Any

import attrs

from asyncbatch._batch._window import Window
from asyncbatch._schedule import Job, JobState, RetryAction, Schedule
from asyncbatch._schedule._hosts import Hosts
from asyncbatch._values._errors import FailureKind
from asyncbatch._values._outcome import Outcome
from asyncbatch._values._retry import Retry


@attrs.frozen
class Call:
    """One request of the input, and what the server will do with it."""

    host: Hashable
    seconds: float
    """How long an attempt takes."""


Server = Callable[[Job, float], tuple[float, Outcome]]
"""Takes a job and the time, returns how long the attempt takes and how it ends."""


def answer(job: Job, _now: float) -> tuple[float, Outcome]:
    """Answer 200 after the time that the call says."""
    return job.request.seconds, Outcome(status_code=200)


def succeeded(started_at: float = 0.0) -> Outcome:
    return Outcome(status_code=200, started_at=started_at)


def refused(
    status: int = 503, *, started_at: float = 0.0, retry_after: float | None = None
) -> Outcome:
    return Outcome(
        kind=FailureKind.status,
        status_code=status,
        error=Exception("refused"),
        retry_after=retry_after,
        started_at=started_at,
    )


def unconnected(*, started_at: float = 0.0, permanent: bool = False) -> Outcome:
    return Outcome(
        kind=FailureKind.connect,
        error=Exception("no connection"),
        connect_failed=True,
        permanent=permanent,
        started_at=started_at,
    )


def heard(*, started_at: float = 0.0, kind: str = "truncated") -> Outcome:
    """Return the outcome of an answer that broke off."""
    return Outcome(
        kind=FailureKind(kind), error=Exception("broken off"), heard=True, started_at=started_at
    )


def silent(*, started_at: float = 0.0, kind: str = "timeout") -> Outcome:
    """Return the outcome of a connection on which nothing came back."""
    return Outcome(
        kind=FailureKind(kind), error=Exception("silence"), heard=False, started_at=started_at
    )


def new_hosts(**policies: Any) -> Hosts:
    """Make `Hosts` without limits, but for those that are given."""
    defaults: dict[str, Any] = {
        "per_host": None,
        "rate": None,
        "total_rate": None,
        "give_up_host_after": 10,
        "retry": Retry(),
        "random": lambda: 1.0,
    }
    return Hosts(**{**defaults, **policies})


class Simulation:
    """Run one batch over `calls` to its end, on a virtual clock."""

    def __init__(
        self,
        calls: Iterable[Call],
        *,
        concurrency: int,
        server: Server = answer,
        hosts: Hosts | None = None,
        per_second: float | None = None,
    ) -> None:
        self.hosts = new_hosts(concurrency=concurrency) if hosts is None else hosts
        self.schedule = Schedule(self.hosts)
        self.concurrency = concurrency
        self.window = Window(max(1000, 10 * concurrency))
        self.now = 0.0
        self.finished: Counter[str] = Counter()
        self.first: dict[str, float] = {}
        self.last_ok = 0.0
        self.attempts = 0
        self.queued = 0.0
        self.throttled = 0.0
        self.most_in_flight = 0
        self.most_on_host: Counter[Hashable] = Counter()
        self.most_hosts = 0
        self.most_taken = 0
        self._server = server
        self._calls: Iterator[tuple[int, Call]] = enumerate(calls)
        # How fast they come; None: they are all at hand.
        self._per_second = per_second
        self._count = 0
        self._is_exhausted = False
        self._taken = 0
        self._flights: list[tuple[float, int, Job, Outcome]] = []
        self._on_host: Counter[Hashable] = Counter()

    def run(self) -> Simulation:
        """Run to the end; `now` is then the makespan."""
        while True:
            self._read()
            self._start_all()
            if not self._flights and not self.schedule.pending and self._is_exhausted:
                return self
            self._advance()

    def _read(self) -> None:
        while self._taken < self.window.size and self._reads_at() <= self.now:
            self._read_one()

    def _read_one(self) -> bool:
        entry = next(self._calls, None)
        if entry is None:
            self._is_exhausted = True
            return False
        index, call = entry
        self.schedule.add(Job(call, index, self.hosts.get(call.host)), self.now)
        self._taken += 1
        self._count += 1
        self.most_taken = max(self.most_taken, self._taken)
        return True

    def _reads_at(self) -> float:
        """Return when the next call comes."""
        if self._is_exhausted:
            return math.inf
        return -math.inf if self._per_second is None else self._count / self._per_second

    def _read_on(self) -> bool:
        """Read one more, as a batch does where a slot is free and nothing may start."""
        if self._reads_at() > self.now or self.schedule.is_held:
            return False
        return self.window.widens(self._taken, self.schedule.hosts) and self._read_one()

    def _start_all(self) -> None:
        while self.schedule.in_flight < self.concurrency:
            job = self.schedule.next(self.now)
            if job is None:
                if self._read_on():
                    continue
                break
            if job.state is JobState.START:
                self._start(job)
            else:
                self._finish(job, job.state.value)
                self._read()
        self.most_in_flight = max(self.most_in_flight, self.schedule.in_flight)
        self.most_hosts = max(self.most_hosts, len(self.hosts))

    def _start(self, job: Job) -> None:
        seconds, outcome = self._server(job, self.now)
        outcome.started_at = self.now
        self.attempts += 1
        heapq.heappush(self._flights, (self.now + seconds, self.attempts, job, outcome))
        host = job.host.key
        self._on_host[host] += 1
        if self._on_host[host] > self.most_on_host[host]:
            self.most_on_host[host] = self._on_host[host]

    def _advance(self) -> None:
        """Go on to the next thing that happens: the end of an attempt, or a time to wake up."""
        has_permit = self.schedule.in_flight < self.concurrency
        wake_at = self.schedule.wake_at if has_permit else None
        ends_at = self._flights[0][0] if self._flights else math.inf
        reads_at = self._reads_at() if self._taken < self.window.size else math.inf
        if reads_at < min(ends_at, math.inf if wake_at is None else wake_at):
            self.now = max(self.now, reads_at)
            return
        assert wake_at is not None or self._flights, "nothing will ever happen"
        if wake_at is not None and wake_at < ends_at:
            assert wake_at > self.now, "woken up for nothing"
            self.now = wake_at
            return
        self.now, _, job, outcome = heapq.heappop(self._flights)
        self._on_host[job.host.key] -= 1
        decision = self.schedule.done(job, outcome, self.now)
        if decision.action is not RetryAction.RETRY:
            self._finish(job, outcome.kind.value if outcome.kind is not None else "ok")

    def _finish(self, job: Job, how: str) -> None:
        self._taken -= 1
        self.finished[how] += 1
        self.first.setdefault(how, self.now)
        if how == "ok":
            self.last_ok = self.now
        self.queued += job.queued
        self.throttled += job.throttled


def interleave(batches: Iterable[Iterable[Call]]) -> Iterator[Call]:
    """Take one call of each in turn."""
    lines = deque(map(iter, batches))
    while lines:
        line = lines.popleft()
        for call in line:
            yield call
            lines.append(line)
            break
