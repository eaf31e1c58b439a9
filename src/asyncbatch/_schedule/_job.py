"""
`Job`: one request in a schedule, with the count of its tries and of its waiting times.

The schedule decides what happens to it next.
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
    """The state of a job."""

    WAITING = "waiting"
    """It is in the queue of its host."""
    RESTING = "resting"
    """It waits for its next try, outside of any queue, and holds nothing."""
    START = "start"
    """The caller must start it, and call `done` or `release` later. It holds a slot of its host."""
    RECEIVED = "received"
    """Its body has been received and goes to the disk. The caller must call `saved` or `done`. It
    holds no slot of its host."""
    HOST_DOWN = "host_down"
    """It was not started, because its host is down. The schedule has dropped it."""
    EXPIRED = "expired"
    """Its deadline passed while it waited to be tried again. The schedule has dropped it."""
    PAUSED = "paused"
    """It was not started, because its host is paused beyond its deadline. The schedule has dropped
    it."""
    LATE = "late"
    """It was not started, because its host is paused beyond the end of its batch. The schedule has
    dropped it."""
    OVER = "over"
    """Finished, released or withdrawn."""


class Place(Enum):
    """Where the queue of a host is: in no line, in the ready ring, or parked at its host."""

    NOWHERE = 0
    READY = 1
    PARKED = 2


class JobOwner(Protocol):
    """The interface of a host's queue to its jobs."""

    host: Host
    """The host."""
    jobs: int
    """Number of unfinished jobs of this host, in any state."""
    place: Place
    """Where the queue is."""

    def take_back(self, job: Job, when: float) -> None:
        """Queue a job again whose rest is over."""
        ...

    def expire(self, job: Job) -> None:
        """Mark a job as expired, to be handed out."""
        ...

    def forget(self, job: Job) -> None:
        """Cancel the timer of a job."""
        ...


# Looked up once for each request: a global is cheaper than a member of an enum.
_WAITING = JobState.WAITING
_START = JobState.START


class Job:
    """
    One request on its way through the schedule.

    The caller reads `state`, `attempts`, `queued`, `throttled` and `first_started_at`, and may set
    `allowed`, `retry`, `deadline`, `download`, `history`, `resent` and `weight`. Only the schedule
    uses the rest.
    """

    __slots__ = (
        "allowed",
        "attempts",
        "clock",
        "deadline",
        "download",
        "first_started_at",
        "history",
        "host",
        "index",
        "local_failures",
        "method",
        "queue",
        "queued",
        "request",
        "resent",
        "retry",
        "since",
        "state",
        "throttled",
        "timer",
        "weight",
    )

    # Set by `Schedule.add`: its queue; when it began to wait, and the reading of its host's clock
    # of blocked time then. `Resting.end_rest` and `JobQueue.take_back` set these two again.
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
        # Its own policy; `None`: it is not tried again, and pauses no host.
        self.retry: RetryPolicy | Unset | None = UNSET
        # Number of tries started, without those that failed on our side.
        self.attempts = 0
        self.first_started_at: float | None = None
        # The time after which it is not tried again.
        self.deadline: float | None = None
        # Where its body goes, if not into memory; written by the caller.
        self.download: Any = None
        # The earlier tries; written by the caller.
        self.history: list[Any] | None = None
        self.local_failures = 0
        # Number of redirects and challenges that earlier tries followed; written by the caller.
        self.resent = 0
        # Bytes that its batch counts for it; written by the caller.
        self.weight = 0
        # Seconds of waiting so far: for a free permit, and for a limit or a back-off.
        self.queued = 0.0
        self.throttled = 0.0
        # The end of its rest, or its deadline while it waits in a queue; written by Timers.
        self.timer: float | None = None

    def start(self, host: Host, clock: float, now: float) -> None:
        """Count a start and the wait for it; `clock` is the reading of blocked time."""
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
            # The timer at its deadline is only for jobs that wait.
            self.queue.forget(self)

    def discount_try(self) -> None:
        """Count the last try as one that failed on our side."""
        self.local_failures += 1
        self.attempts -= 1

    def stop_waiting(self, now: float) -> None:
        """Count the wait for a start that does not come."""
        waited = now - self.since
        throttled = min(self.host.settle(now) - self.clock, waited)
        self.throttled += throttled
        self.queued += waited - throttled

    def on_time(self, when: float) -> None:
        """Return to the queue after the rest, or expire."""
        if self.state is JobState.RESTING:
            self.queue.take_back(self, when)
        else:
            self.queue.expire(self)
