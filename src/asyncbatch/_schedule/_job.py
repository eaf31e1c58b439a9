"""
One request on its way through a schedule, and the queue of one host that it stands in.

Where things stand, and no more: what happens to them is decided elsewhere.
"""

from __future__ import annotations

from collections import deque
from enum import Enum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asyncbatch._hosts import Host
    from asyncbatch._schedule._schedule import Schedule


class Fate(Enum):
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
    OVER = "over"
    """Finished, released or withdrawn."""


# Looked up once for each request: a global is cheaper than a member of an enum.
_WAITING = Fate.WAITING


class Job:
    """
    One request on its way through the schedule.

    The caller reads `fate`, `attempts`, `queued`, `throttled` and `first_started_at`, and may set
    `deadline` and `history`; the rest is the schedule's own.
    """

    __slots__ = (
        "attempts",
        "clock",
        "deadline",
        "fate",
        "first_started_at",
        "history",
        "host",
        "index",
        "local_failures",
        "method",
        "queue",
        "queued",
        "request",
        "since",
        "throttled",
        "timer",
    )

    # Set by `Schedule.add`.
    queue: JobQueue
    since: float
    clock: float

    def __init__(self, request: Any, index: int, host: Host, method: str = "GET") -> None:
        self.request = request
        self.index = index
        self.host = host
        self.method = method
        self.fate = _WAITING
        # Tries that have been started, those that failed on our own side excepted.
        self.attempts = 0
        self.first_started_at: float | None = None
        # The moment after which it is not tried again.
        self.deadline: float | None = None
        # The earlier tries: the caller's.
        self.history: list[Any] | None = None
        self.local_failures = 0
        # Seconds of waiting so far: for a free permit, and because of a limit or a back-off.
        self.queued = 0.0
        self.throttled = 0.0
        # The end of its rest, or its deadline while it waits in a queue; written by Timers.
        self.timer: float | None = None

    def on_time(self, when: float) -> None:
        """Go back into the queue after the rest, or expire."""
        if self.fate is Fate.RESTING:
            self.queue.schedule.wake_up(self, when)
        else:
            self.queue.schedule.expire(self)


class Place(Enum):
    """Where the queue of a host stands."""

    NOWHERE = 0
    READY = 1
    PARKED = 2


class JobQueue:
    """The requests of one batch for one host."""

    __slots__ = ("fifo", "host", "jobs", "place", "schedule")

    def __init__(self, host: Host, schedule: Schedule) -> None:
        self.host = host
        self.schedule = schedule
        # May hold jobs that have expired meanwhile.
        self.fifo: deque[Job] = deque()
        # Jobs of this host that the batch has not finished, wherever they are.
        self.jobs = 0
        # Where the queue itself stands: in the batch's ring, with the host, or nowhere if empty.
        self.place = Place.NOWHERE

    def make_ready(self) -> None:
        """Join the hosts that may start, and tell the batch."""
        self.place = Place.READY
        self.schedule.ring.append(self)
        self.schedule.look_again()

    def look_again(self) -> None:
        """Tell the batch that it may have to wake up earlier than it thought."""
        self.schedule.look_again()

    def has_job(self) -> bool:
        """Is there a job that has not expired?"""
        fifo = self.fifo
        while fifo and fifo[0].fate is not Fate.WAITING:
            fifo.popleft()
        return bool(fifo)
