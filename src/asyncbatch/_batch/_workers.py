"""
`Workers`: what the workers of one batch share, and the search for the next request to start.

The `Dispatcher` starts a `Worker` when there is work for it; it ends when there is none. All of
this is atomic between two awaits, so there are no locks.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Protocol, TypeAlias

import anyio

from asyncbatch._batch._input import END
from asyncbatch._batch._ledger import Ledger
from asyncbatch._batch._output import Output
from asyncbatch._batch._permits import BatchPermits
from asyncbatch._batch._reader import Reader
from asyncbatch._batch._shared import Shared
from asyncbatch._batch._time_slice import SLICE, TimeSlice
from asyncbatch._lanes import Encoded, FileRelay, NewFileRelay, Plain, Relays
from asyncbatch._runtime._event_loop import Clock, running_loop
from asyncbatch._runtime._stalls import TimeLimit
from asyncbatch._schedule import Job, JobState, Schedule
from asyncbatch._values._request import UNSET, Unset, method_of
from asyncbatch._values._retry_policy import IDEMPOTENT
from asyncbatch._values._telemetry import BatchListener
from asyncbatch._values._timeouts import CLOSE_SECONDS

_START = JobState.START

PENDING = 256
"""Files of a batch that are brought to the disk at which its workers receive no more. The threads
make two groups of 64 of them at a time, and two wait."""

PENDING_BYTES = 16 * 1024 * 1024
"""Bytes of these files, likewise."""

Announce: TypeAlias = Callable[[Job], Awaitable[None]]
"""Is waited for before a request is sent, so that it can be written down."""


class Member(Protocol):
    """
    What is called on a worker that has been started.

    Attributes:
        has_task: Whether it has a task of its own, which ends with it.
    """

    has_task: bool

    async def work(self) -> None:
        """Try one request after another until there is none; then release the permit."""

    def abandon(self) -> None:
        """Give up the request in flight, at the end of the batch."""

    def take_out(self, seconds: float, before: float) -> None:
        """Take the time of a blocked loop out of the request that is being tried."""


class PendingMember(Member, Protocol):
    """
    What is called on a body that is brought to the disk.

    Attributes:
        size: Its bytes.
    """

    @property
    def size(self) -> int: ...


class PendingFiles:
    """The bodies of a batch that have been received, and are brought to the disk."""

    def __init__(self) -> None:
        self._files: set[PendingMember] = set()
        self._nbytes = 0
        self.has_room = True
        """Whether further bodies may be received."""
        self.is_waited_for = False
        """Whether requests wait until there is room."""

    def __iter__(self) -> Iterator[PendingMember]:
        return iter(list(self._files))

    def add(self, file: PendingMember) -> None:
        """Add a file."""
        self._files.add(file)
        self._nbytes += file.size
        if len(self._files) >= PENDING or self._nbytes >= PENDING_BYTES:
            self.has_room = False

    def remove(self, file: PendingMember) -> bool:
        """Remove a file; return whether requests wait for the room that there is now."""
        self._files.discard(file)
        self._nbytes -= file.size
        self.has_room = len(self._files) < PENDING and self._nbytes < PENDING_BYTES
        if not (self.is_waited_for and self.has_room):
            return False
        self.is_waited_for = False
        return True


class Workers:
    """The workers of one batch, and what they share with their dispatcher."""

    def __init__(
        self,
        shared: Shared,
        schedule: Schedule,
        reader: Reader,
        ledger: Ledger,
        output: Output,
        clock: Clock,
        announce: Announce | None = None,
    ) -> None:
        self.announce = announce
        """Waited for before a request is sent that is not idempotent; a relay sends none then."""
        self.concurrency = shared.concurrency
        self.slots = shared.slots
        self.permits = shared.permits
        self.stalls = shared.stalls
        """Is told of the time that the caller's input takes."""
        self.attempter = shared.attempter
        # A relay has the same limits for all its requests, and builds no response for `check`.
        self.may_relay = (
            shared.check is None and shared.attempter.proxies is None and ledger.files.to is None
        )
        self.relays: Relays | None = None
        if self.may_relay:
            self.relays = self.attempter.lane.relays(self.attempter.limits)
        self.file_relays: NewFileRelay | None = None
        """Makes what sends the URLs whose bodies go to files; `None`: a task sends each."""
        if (
            shared.check is None
            and shared.attempter.proxies is None
            and ledger.files.to is not None
        ):
            self.file_relays = shared.attempter.file_relays()
        self.loop = None if self.file_relays is None else running_loop()
        """The event loop that is told of files on the disk; only with `file_relays`."""
        self.resting_relays: list[FileRelay] = []
        """Those of workers that have ended, for others."""
        # Kept, since each reading of a method makes an object.
        self.encode = self.attempter.lane.encode
        """Encodes a request for the lane."""
        self.limits = self.attempter.limits
        """The limits of most requests."""
        self.has_deadline = shared.deadline is not None
        self.schedule = schedule
        self.reader = reader
        self._is_fed = reader.is_fed
        self.ledger = ledger
        self.output = output
        self.clock = clock
        self.slice = TimeSlice()
        self.listener: BatchListener | None = None
        """Is told of each request that is sent."""
        self.on_error: Callable[[BaseException], object]
        """Ends the batch with an error of a callback, for which no task waits. Set by the batch."""
        self.limit: TimeLimit | None = None
        """The time limit of the whole batch."""
        self.members: set[Member] = set()
        """Workers that have been started and have not ended."""
        self.pending_files = PendingFiles()
        """Bodies that have been received, and are brought to the disk."""
        self.last_at_work: Job | None = None
        """The request that was begun last."""
        self.is_cut_short = False
        """Whether the last search for a job stopped at the end of the time slice."""
        # State of the dispatcher:
        self.changed = anyio.Event()
        """Set to wake the dispatcher for a look for work. Made for each sleep."""
        self.is_asleep = False
        """Whether the dispatcher sleeps."""
        self.sleeps_until = math.inf
        """When the dispatcher wakes up by itself, while it sleeps."""
        self.taskless: list[Member] = []
        """Workers without a task that need one: a callback cannot start it."""
        self.is_over = False
        """Whether the batch has ended, perhaps early: nothing is started any more."""
        self.cut_files: list[Callable[[], Awaitable[None]]] = []
        """Wait for the files that threads were writing when the batch was ended."""
        self.batch_permits = BatchPermits(shared.permits, self.members, self.wake_dispatcher)
        """The permits of the workers that the dispatcher starts."""

    def take_out(self, seconds: float, before: float) -> None:
        """Take `seconds` of a blocked loop out of the times that began before `before`."""
        for worker in (*self.members, *self.pending_files):
            worker.take_out(seconds, before)
        self.schedule.take_out(seconds, before)

    def abandon(self) -> None:
        """Give up all that has no task, at the end of the batch."""
        with contextlib.ExitStack() as steps:  # each of them, whatever others raise
            for relay in self.resting_relays:
                steps.callback(relay.close)
            for worker in [*self.members, *self.pending_files]:
                if not worker.has_task:
                    steps.callback(worker.abandon)
        self.resting_relays.clear()

    async def wait_for_cut_files(self) -> None:
        """Wait until no thread gives a file of this batch its name any more, but not for long."""
        with anyio.move_on_after(CLOSE_SECONDS, shield=True):
            for wait in self.cut_files:
                await wait()

    def has_had_its_slice(self, job: Job) -> bool:
        """Whether to let others run: the slice is over, and no other worker has run since `job`."""
        return self.last_at_work is job and self.slice.is_over

    @property
    def wake_at(self) -> float:
        """When the next timer of the schedule is due."""
        wake_at = self.schedule.wake_at
        return math.inf if wake_at is None else wake_at

    def call_dispatcher(self) -> None:
        """Wake the dispatcher if there is work for another worker, or an earlier timer."""
        if len(self.members) < self.concurrency and self._needs_dispatcher():
            self.wake_dispatcher()

    def wake_dispatcher(self) -> None:
        """Have the dispatcher look for work, if it sleeps."""
        if self.is_asleep:
            self.is_asleep = False
            self.changed.set()

    def _needs_dispatcher(self) -> bool:
        return (
            self.schedule.has_ready
            or self.wake_at < self.sleeps_until
            or self.reader.has_room_again()
        )

    def tell_feeder(self) -> None:
        """Notify the task that reads an async input that there may be room."""
        if self._is_fed:
            self.reader.notify()

    def encode_url(self, item: Any) -> Encoded | None:
        """Return a URL as the engine sends it; `None` if it is none, or the client must send it."""
        if type(item) is not str or not self.may_relay:
            return None
        return self.encode(item, self.limits)

    def encode_for_file(self, url: str) -> Plain | None:
        """Return a URL whose body goes to a file; `None` if a relay cannot send it."""
        return self.attempter.lane.encode_for_file(url, url, self.limits)

    def need_task(self, worker: Member) -> None:
        """Have the dispatcher start a task for a worker. Callbacks call it; they can start none."""
        self.taskless.append(worker)
        self.wake_dispatcher()

    def must_announce(self, item: object) -> bool:
        """Whether `announce` must be waited for before a request is sent."""
        return self.announce is not None and method_of(item) not in IDEMPOTENT

    def worker_ended(self, worker: Member) -> None:
        """Remove a worker that ends, and wake the dispatcher unless it would find nothing to do."""
        self.members.discard(worker)
        if self.is_asleep and (
            not self.ledger.unfinished
            or self.schedule.pending
            or self.reader.source.is_at_hand
            or self.batch_permits.is_in_line
        ):
            self.wake_dispatcher()

    def file_ended(self, file: PendingMember) -> None:
        """Remove a file whose request has its result, and wake what may start work then."""
        if self.pending_files.remove(file) or not self.ledger.unfinished:
            self.wake_dispatcher()
        else:
            self.call_dispatcher()
        if self._is_fed:
            # The file has counted as in flight, which keeps the feeder from reading further.
            self.reader.notify()

    @property
    def may_find_job(self) -> bool:
        """Whether `next_job` may return a request, as far as can be told without looking."""
        return self.schedule.pending > 0 or self.reader.source.is_at_hand

    def next_for_relay(self, now: float) -> tuple[Job | None, Encoded | Unset | None]:
        """
        Return what `next_job` does, with the encoded request if it was encoded to find its host.

        A URL of a list for a host that accepts it at once takes a third of the calls.
        """
        schedule, ledger, source = self.schedule, self.ledger, self.reader.source
        take, output, unfinished = source.take, self.output, ledger.unfinished
        if (
            take is None
            or schedule.pending
            or not source.is_at_hand
            or not (self.may_relay or self.file_relays is not None)
            or self.listener is not None
            or unfinished >= ledger.window.size
            or self.reader.was_full
            or (output.is_bounded and not output.may_go_on(unfinished, schedule.in_flight))
        ):
            return self.next_job(now), UNSET
        numbered = take()
        if numbered is END:
            self.reader.read_timed()  # which notes the end
            return None, UNSET
        index, item = numbered
        if type(item) is str:
            if self.may_relay:
                encode = self.encode
                encoded = encode(item, self.limits)
            else:
                encoded = self.encode_for_file(item)
            if type(encoded) is tuple:
                job = ledger.start(item, index, now, encoded[2].key)
                return (self.next_job(now), UNSET) if job is None else (job, encoded)
        ledger.enter(item, index, now)
        return self.next_job(now), UNSET

    def next_job(self, begun: float) -> Job | None:
        """
        Return a request to start now, reading only as much input as needed to find one.

        Args:
            begun: The current time.
        """
        if self.is_over:
            return None
        schedule, output = self.schedule, self.output
        if not schedule.pending and not self.reader.source.is_at_hand:
            if self._is_fed:
                self.reader.notify()
            return None
        now = begun
        while not output.is_bounded or output.may_start(schedule.in_flight):
            job = schedule.next(now) if schedule.pending else None
            if job is None:
                if not self.reader.read(now):
                    # A slot is free: the feeder may read further ahead now.
                    self.tell_feeder()
                    return None
            elif job.state is _START:
                if job.deadline is None and job.allowed is not None:
                    job.deadline = now + job.allowed
                if self._is_fed:
                    self.reader.notify()
                return job
            else:
                self.ledger.settle_unsent(job, now)
                self.reader.notify()
            now = self.clock()
            if now > begun + SLICE:
                self.is_cut_short = True
                return None
        return None


def take_out_of(job: Job | None, seconds: float, before: float) -> None:
    """Take `seconds` of a blocked loop out of the times of a request that began before `before`."""
    if job is None or job.first_started_at is None or job.first_started_at > before:
        return
    job.first_started_at += seconds
    if job.deadline is not None:
        job.deadline += seconds
