"""
One request on its way through a schedule, and the account of its tries and its waiting.

What happens to it next is decided elsewhere.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol

from asyncbatch._values._request import UNSET

if TYPE_CHECKING:
    from asyncbatch._schedule._host import Host
    from asyncbatch._values._request import Unset
    from asyncbatch._values._retry_policy import RetryPolicy


class JobState(Enum):
    """Where a job stands, or what is to be done with it."""

    WAITING = "waiting"
    """In the queue of its host."""
    RESTING = "resting"
    """Waiting for its next try; it is in no queue and holds nothing."""
    START = "start"
    """Start it, and say `done` or `release` after. It holds a slot of its host."""
    HOST_DOWN = "host_down"
    """It was not started, because its host is down. The schedule has let go of it."""
    EXPIRED = "expired"
    """Its deadline passed while it waited to be tried again. The schedule has let go of it."""
    PAUSED = "paused"
    """It was not started, because its host is paused beyond its deadline. The schedule has let go
    of it."""
    LATE = "late"
    """It was not started, because its host is paused beyond the end of its batch. The schedule has
    let go of it."""
    OVER = "over"
    """Finished, released or withdrawn."""


class Place(Enum):
    """Where the queue of a host stands."""

    NOWHERE = 0
    READY = 1
    PARKED = 2


class JobOwner(Protocol):
    """Where a job belongs: the queue of its host, as far as it is about one job."""

    host: Host
    """The host."""
    jobs: int
    """The jobs of this host that the batch has not finished, wherever they are."""
    place: Place
    """Where the queue itself stands."""

    def take_back(self, job: Job, when: float) -> None:
        """Let a job whose rest is over wait for its next start."""
        ...

    def expire(self, job: Job) -> None:
        """Let a job whose deadline has passed be handed out as expired."""
        ...

    def forget(self, job: Job) -> None:
        """Let nothing happen to a job by itself any more."""
        ...


# Looked up once for each request: a global is cheaper than a member of an enum.
_WAITING = JobState.WAITING
_START = JobState.START


class Job:
    """
    One request on its way through the schedule.

    The caller reads `state`, `attempts`, `queued`, `throttled` and `first_started_at`, and may set
    `allowed`, `retry`, `deadline`, `history` and `weight`; the rest is the schedule's own.
    """

    __slots__ = (
        "allowed",
        "attempts",
        "clock",
        "deadline",
        "first_started_at",
        "history",
        "host",
        "index",
        "local_failures",
        "method",
        "queue",
        "queued",
        "request",
        "retry",
        "since",
        "state",
        "throttled",
        "timer",
        "weight",
    )

    # Set by `Schedule.add`: where it belongs; when it began to wait, and what its host's clock of
    # blocked time showed then, also set by whoever lets it wait again.
    queue: JobOwner
    since: float
    clock: float

    def __init__(self, request: Any, index: int, host: Host, method: str = "GET") -> None:
        self.request = request
        self.index = index
        self.host = host
        self.method = method
        self.state = _WAITING
        # Seconds from its first start to its deadline; `None` for none.
        self.allowed: float | None = None
        # Its own policy; `None`: it is not tried again, and pauses nobody.
        self.retry: RetryPolicy | Unset | None = UNSET
        # Tries that have been started, those that failed on our own side excepted.
        self.attempts = 0
        self.first_started_at: float | None = None
        # The moment after which it is not tried again.
        self.deadline: float | None = None
        # The earlier tries: the caller's.
        self.history: list[Any] | None = None
        self.local_failures = 0
        # Bytes that its batch counts for it; the caller's.
        self.weight = 0
        # Seconds of waiting so far: for a free permit, and because of a limit or a back-off.
        self.queued = 0.0
        self.throttled = 0.0
        # The end of its rest, or its deadline while it waits in a queue; written by Timers.
        self.timer: float | None = None

    def start(self, host: Host, clock: float, now: float) -> None:
        """Count a start and what was waited for it; `clock` is that of blocked time."""
        self.state = _START
        throttled = clock - self.clock
        if throttled:
            throttled = min(throttled, now - self.since)
            self.throttled += throttled
        self.queued += now - self.since - throttled
        self.attempts += 1
        if self.first_started_at is None:
            self.first_started_at = now
            budget = host.budget
            if budget is not None:
                if now >= budget.ends_at:
                    budget.turn(now)
                budget.tries += 1
        else:
            # The alarm at its deadline is for those that wait.
            self.queue.forget(self)

    def discount_try(self) -> None:
        """Count the last try as one that failed on our own side."""
        self.local_failures += 1
        self.attempts -= 1

    def stop_waiting(self, now: float) -> None:
        """Count what was waited for a start that does not come."""
        waited = now - self.since
        throttled = min(self.host.settle(now) - self.clock, waited)
        self.throttled += throttled
        self.queued += waited - throttled

    def on_time(self, when: float) -> None:
        """Go back into the queue after the rest, or expire."""
        if self.state is JobState.RESTING:
            self.queue.take_back(self, when)
        else:
            self.queue.expire(self)
