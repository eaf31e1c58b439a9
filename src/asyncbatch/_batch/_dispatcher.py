"""
The dispatcher of a batch: starts workers when there is work for them, and else sleeps.

What a worker does is in `_worker.py`.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import anyio
import anyio.lowlevel

from asyncbatch._batch._file_worker import FileWorker
from asyncbatch._batch._worker import WatchedWorker, Worker
from asyncbatch._batch._workers import Member, Workers
from asyncbatch._lanes import Encoded
from asyncbatch._schedule import Job
from asyncbatch._values._request import UNSET, Unset

BURST = 64
"""Most workers that are started in one turn of the event loop, which takes 1 ms."""

Work: TypeAlias = Callable[[], Awaitable[None]]


class Dispatcher:
    """Starts the workers of one batch, and sleeps until something changes."""

    def __init__(self, workers: Workers) -> None:
        self._workers = workers
        self._permits = workers.permits
        self._schedule = workers.schedule
        self._reader = workers.reader
        self._ledger = workers.ledger
        self._output = workers.output
        self._clock = workers.clock
        # Set when a request begins to wait for its next try, and when there is room for results.
        self._retried = anyio.Event()
        # Starts a part of the batch in a task of its own; None if one worker works alone.
        self._spawn: Callable[[Work], None] | None = None
        self._is_watching = False
        self._ledger.on_retry = self._note_retry
        # The worker of `relay_alone` and `work_alone`, and whether it holds a permit between them.
        self._only: Worker | None = None
        self._holds_permit = False

    def notify(self) -> None:
        """Report a change that may let a request start."""
        self._workers.wake_dispatcher()
        self._retried.set()

    async def dispatch(self, spawn: Callable[[Work], None]) -> None:
        """Start workers with `spawn` until every request has its result."""
        self._spawn = spawn
        is_working = True
        try:
            while is_working:
                await self._start_workers()
                is_working = await self._wait()
        finally:
            # A worker whose task waits shielded learns here that the batch was ended.
            self._workers.is_over = True
            self._workers.batch_permits.give_up_waiting()
            self._workers.abandon()
            if self._workers.cut_files:
                await self._workers.wait_for_cut_files()

    async def watch_deadlines(self) -> None:
        """
        End requests whose deadline passes while they wait for their next try.

        Workers and dispatcher do so too when they look for work. But they may all be busy, or wait
        for slots that another batch holds.
        """
        while True:
            now = self._clock()
            alarm = self._end_expired(now)
            self._retried = anyio.Event()
            with anyio.CancelScope(deadline=alarm - now + anyio.current_time()):
                await self._retried.wait()

    def _end_expired(self, now: float) -> float:
        """End requests whose deadline has passed, and return when to look again."""
        while self._output.may_start(self._schedule.in_flight):
            job = self._schedule.take_expired(now)
            if job is None:
                return self._schedule.next_alarm
            self._ledger.settle_unsent(job, now)
            self.notify()
            self._reader.notify()
        return math.inf  # `notify` wakes the caller when there is room for results

    def _note_retry(self, job: Job) -> None:
        """Make sure that the deadline of a request which waits for its next try is watched."""
        if job.deadline is None:
            return
        self._retried.set()
        if not self._is_watching and self._spawn is not None:
            self._is_watching = True
            self._spawn(self.watch_deadlines)

    async def relay_alone(self, encoded: Encoded) -> None:
        """
        Try the only request by relay in the calling task, if it can start at once.

        This is `work_alone` for the common case, without a cancel scope and with half of the calls.
        What is left afterwards is for `work_alone`.
        """
        if not self._permits.try_acquire():
            return
        worker = self._only = self._only or self._lone_worker()
        self._workers.members.add(worker)
        is_left = False
        try:
            is_left = await worker.relay_alone(encoded)
        finally:
            self._workers.members.discard(worker)
            self._holds_permit = is_left
            if not is_left:
                self._permits.release()
                self._workers.last_at_work = None

    def _lone_worker(self) -> Worker:
        workers = self._workers
        return Worker(workers) if workers.listener is None else WatchedWorker(workers)

    def abandon_alone(self, error: BaseException) -> None:
        """End `relay_alone` with an error if it waits."""
        if self._only is not None:
            self._only.give_up(error)

    async def work_alone(self) -> None:
        """Do all the work in the calling task."""
        is_working = True
        while is_working:
            # Looking at deadlines may make requests ready, which only this task can start.
            holds_permit, self._holds_permit = self._holds_permit, False
            if not holds_permit and not await self._acquire_in_time():
                is_working = not self._reader.is_finished
                continue
            worker = self._only = self._only or self._lone_worker()
            self._workers.members.add(worker)
            try:
                await worker.work_alone()
            finally:
                self._workers.members.discard(worker)
                self._permits.release()
            is_working = await self._wait()
        self._workers.last_at_work = None

    async def _acquire_in_time(self) -> bool:
        """Take a permit, unless a deadline passes before; return whether it was taken."""
        now = self._clock()
        alarm = self._schedule.next_alarm
        if alarm < math.inf:
            alarm = self._end_expired(now)
        if alarm == math.inf:
            await self._permits.acquire()
            return True
        with anyio.move_on_after(alarm - now):
            await self._permits.acquire()
            return True
        return False

    async def _start_workers(self) -> None:
        """
        Start as many workers as there is work and permits for.

        Many in each turn of the event loop: a turn costs as much as starting several. But of those
        with a task first one, then two, then four: the first one may do all of it without waiting.
        """
        most_tasks = 1
        while True:
            if self._workers.taskless:
                self._start_tasks()
            tasks = 0
            for _ in range(BURST):
                worker = self._start_worker()
                if worker is None:
                    return
                tasks += worker.has_task
                if tasks == most_tasks:
                    break
            most_tasks *= 2
            await anyio.lowlevel.checkpoint()

    def _start_worker(self) -> Worker | FileWorker | None:
        """Start a worker and return it, if there are work and a permit for one."""
        workers = self._workers
        job: Job | None = None
        encoded: Encoded | Unset | None = UNSET
        if not workers.pending_files.has_room:
            workers.pending_files.is_waited_for = True
        elif len(workers.members) < workers.concurrency:
            if not workers.batch_permits.take_permit():
                if not workers.may_find_job:
                    workers.batch_permits.give_up_waiting()
                return None
            clock = self._clock
            try:
                # Reads the input, which may raise.
                job, encoded = workers.next_for_relay(clock())
            finally:
                if job is None:
                    self._permits.release()
        if job is None:
            workers.batch_permits.give_up_waiting()
            return None
        worker: Worker | FileWorker
        if workers.listener is not None:
            # A listener is told by workers of its own kind.
            worker = WatchedWorker(workers, job, encoded)
        elif workers.file_relays is not None:
            worker = FileWorker(workers, job, encoded)
        else:
            worker = Worker(workers, job, encoded)
        workers.members.add(worker)
        if not worker.begin_by_relay():
            worker.made_at = self._clock()
            self._start_task(worker)
        return worker

    def _start_tasks(self) -> None:
        """Start the tasks of those workers that have come to need one."""
        taskless, self._workers.taskless = self._workers.taskless, []
        for worker in taskless:
            self._start_task(worker)

    def _start_task(self, worker: Member) -> None:
        assert self._spawn is not None
        worker.has_task = True
        self._spawn(worker.work)

    async def _wait(self) -> bool:
        """
        Wait until something changes, or until the next timer of the schedule.

        Returns:
            Whether there is anything left to do.
        """
        if self._workers.is_cut_short:
            self._workers.is_cut_short = False
            await self._workers.slice.let_others_run()
            return not self._reader.is_finished
        if self._reader.is_finished:
            return False
        if self._workers.taskless:
            return True
        self._workers.changed = anyio.Event()
        self._workers.is_asleep = True
        wake_at = self._workers.wake_at
        is_full = (
            len(self._workers.members) >= self._workers.concurrency
            or not self._workers.pending_files.has_room
        )
        # Timers do not matter while all workers are busy, while a permit is waited for, or while
        # there is no room for results.
        if (
            is_full
            or self._workers.batch_permits.is_in_line
            or wake_at == math.inf
            or not self._output.may_start(self._schedule.in_flight)
        ):
            await self._workers.changed.wait()
            return not self._reader.is_finished
        self._workers.sleeps_until = wake_at
        with anyio.move_on_after(max(0.0, wake_at - self._clock())):
            await self._workers.changed.wait()
        self._workers.sleeps_until = math.inf
        return not self._reader.is_finished
