"""
The workers of a batch, and the dispatcher that starts them.

A worker is a task that holds a permit and goes from one request to the next; it is started when
there is work for it and ends when there is none. The dispatcher starts workers and sleeps until
something changes. Between two awaits all of this is atomic; there are no locks.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import anyio
import anyio.lowlevel

from asyncbatch._batch._equipment import Equipment
from asyncbatch._batch._intake import Intake
from asyncbatch._batch._ledger import Ledger
from asyncbatch._batch._slice import SLICE, Slice
from asyncbatch._batch._worker import Worker
from asyncbatch._clock import Clock
from asyncbatch._input import END
from asyncbatch._lanes import Blueprint, OnAnswer, Relay
from asyncbatch._output import Output
from asyncbatch._schedule import Fate, Job, Schedule
from asyncbatch._timing import Course

_START = Fate.START

Work: TypeAlias = Callable[[], Awaitable[None]]


class Crew:
    """Those who work on one batch."""

    def __init__(
        self,
        equipment: Equipment,
        schedule: Schedule,
        intake: Intake,
        ledger: Ledger,
        output: Output,
        clock: Clock,
    ) -> None:
        self._concurrency = equipment.concurrency
        self._slots = equipment.slots
        self._deadline = equipment.deadline
        self._has_check = equipment.check is not None
        self.permits = equipment.permits
        self.trial = equipment.trial
        self._schedule = schedule
        self._intake = intake
        self._source = intake.source
        self._is_fed = intake.is_fed
        self.ledger = ledger
        self._output = output
        self.clock = clock
        self.slice = Slice()
        # Set by whoever changes something that the dispatcher waits for.
        self._changed = anyio.Event()
        # Set when something is left to be tried again, and when there is room for results.
        self._retried = anyio.Event()
        # Starts a part of the batch in a task of its own; without one, all is done in one task.
        self._spawn: Callable[[Work], None] | None = None
        self._is_watching = False
        ledger.on_retry = self._note_retry
        # When it wakes up by itself, while it sleeps.
        self._sleeps_until = math.inf
        self._workers: set[Worker] = set()
        self.last_at_work: Job | None = None
        # The last look for a job ended only because the slice of time did.
        self._cut_short = False

    def notify(self) -> None:
        """Say that something has changed: a request may start now that might not before."""
        self._changed.set()
        self._retried.set()

    def take_out(self, seconds: float, before: float) -> None:
        """Take `seconds` in which the loop stood still out of what runs since before `before`."""
        for worker in self._workers:
            worker.take_out(seconds, before)
        self._schedule.take_out(seconds, before)

    async def dispatch(self, spawn: Callable[[Work], None]) -> None:
        """Start workers, by `spawn`, for as long as there is anything to be done."""
        self._spawn = spawn
        while not self._intake.is_finished:
            await self._start_workers(spawn)
            await self._wait()

    async def watch_deadlines(self) -> None:
        """
        End those on time whose deadline passes while they wait for their next try.

        Workers and dispatcher do so when they look for work; but they may all be busy, or wait for
        slots that another batch has.
        """
        while True:
            now = self.clock()
            alarm = self._end_expired(now)
            self._retried = anyio.Event()
            with anyio.CancelScope(deadline=alarm - now + anyio.current_time()):
                await self._retried.wait()

    def _end_expired(self, now: float) -> float:
        """End those whose deadline has passed, and return when to look again."""
        while self._output.may_start(self._schedule.in_flight):
            job = self._schedule.take_expired(now)
            if job is None:
                return self._schedule.next_alarm
            self.ledger.settle_unsent(job, now)
            self.notify()
            self._intake.notify()
        return math.inf  # when there is room for results

    def _note_retry(self, job: Job) -> None:
        """See that the deadline of a request which waits for its next try is watched."""
        if job.deadline is None:
            return
        self._retried.set()
        if not self._is_watching and self._spawn is not None:
            self._is_watching = True
            self._spawn(self.watch_deadlines)

    async def work_alone(self) -> None:
        """Do all the work in the calling task."""
        while not self._intake.is_finished:
            # To look at deadlines lets rests end, and what is ready then is nobody else's to start.
            if not await self._acquire_in_time():
                continue
            worker = Worker(self)
            self._workers.add(worker)
            try:
                await worker.work_alone()
            finally:
                self._workers.discard(worker)
                self.permits.release()
            await self._wait()

    async def _acquire_in_time(self) -> bool:
        """Take a permit, unless a deadline passes before; say whether it was taken."""
        now = self.clock()
        alarm = self._end_expired(now)
        if alarm == math.inf:
            await self.permits.acquire()
            return True
        with anyio.move_on_after(alarm - now):
            await self.permits.acquire()
            return True
        return False

    async def _start_workers(self, spawn: Callable[[Work], None]) -> None:
        """
        Start as many workers as there is work for.

        First one, then two, then four: the first may well do all the work there is, without ever
        waiting for anything.
        """
        burst = 1
        while True:
            for _ in range(burst):
                if not await self._start_worker(spawn):
                    return
            burst *= 2
            await anyio.lowlevel.checkpoint()

    async def _start_worker(self, spawn: Callable[[Work], None]) -> bool:
        """Start a worker if there is work for one; say whether there was."""
        if len(self._workers) >= self._concurrency:
            return False
        await self.permits.acquire()
        job = None
        try:
            job = self.next_job(self.clock())  # reads the input, which may raise
        finally:
            if job is None:
                self.permits.release()
        if job is None:
            return False
        worker = Worker(self, job)
        self._workers.add(worker)
        spawn(worker.work)
        return True

    async def _wait(self) -> None:
        """Wait until something changes, or the schedule has something for us by itself."""
        if self._cut_short:
            self._cut_short = False
            await self.slice.end()
            return
        if self._intake.is_finished:
            return
        self._changed = anyio.Event()
        wake_at = self._wake_at()
        is_full = len(self._workers) >= self._concurrency
        # Where there is no room for results, nobody asks the schedule when its time has come.
        if is_full or wake_at == math.inf or not self._output.may_start(self._schedule.in_flight):
            await self._changed.wait()
            return
        self._sleeps_until = wake_at
        with anyio.move_on_after(max(0.0, wake_at - self.clock())):
            await self._changed.wait()
        self._sleeps_until = math.inf

    def _wake_at(self) -> float:
        wake_at = self._schedule.wake_at
        return math.inf if wake_at is None else wake_at

    # What workers call.

    def has_had_its_slice(self, job: Job) -> bool:
        """Whether it is time to let others run: nobody else has worked since `job` was begun."""
        return self.last_at_work is job and self.slice.is_over

    def call_dispatcher(self) -> None:
        """Wake the dispatcher if there is work for another worker, or it must wake up earlier."""
        if len(self._workers) < self._concurrency and self._needs_dispatcher():
            self._changed.set()

    def _needs_dispatcher(self) -> bool:
        return (
            self._schedule.has_ready
            or self._wake_at() < self._sleeps_until
            or self._intake.has_room_again()
        )

    def tell_feeder(self) -> None:
        """Tell whoever reads an input that has to be waited for that there may be room."""
        if self._is_fed:
            self._intake.notify()

    def leave(self, worker: Worker) -> None:
        """Take note that a worker ends."""
        self._workers.discard(worker)
        self._changed.set()

    def replace(self, done: Job, relay: Relay, now: float) -> bool:
        """
        Put the next request of the input in the place of one that has succeeded, if it can go.

        The way most requests go: nobody waits, the next is for the same host, and nothing is wrong
        with that. Then no queue changes, and no count; where this says no, `next_job` knows more.
        """
        schedule, source, ledger, output = self._schedule, self._source, self.ledger, self._output
        if schedule.pending or not source.is_at_hand:
            return False
        if output.is_bounded and not output.may_go_on(ledger.unfinished, schedule.in_flight - 1):
            return False
        if source.is_callers_code:
            item = self._intake.take()
            now = self.clock()
        else:
            item = source.read()
        if item is END:
            return False
        key = relay.look_at(item)
        if key is not None and schedule.replace(done, item, ledger.count, key, now):
            ledger.count += 1
            ledger.unfinished += 1
            before = ledger.full_before
            if before is not None:
                # `Ledger.queued_before`, without the calls.
                slots = self._slots
                since = slots.full_since
                done.queued = slots.full_seconds - before + (now - since if since else 0.0)
            return True
        ledger.enter(item, now, key)
        return False

    def close(self, job: Job, blueprint: Blueprint, course: Course, now: float) -> None:
        """Tell the schedule of a delivered success, whose place no other request has taken."""
        self._schedule.succeeded(job, blueprint.status_code, course[0], now)

    def relay(self, on_answer: OnAnswer) -> Relay | None:
        """Return a relay for a worker, if there is one for this batch."""
        # A relay knows one limit for all its requests, and builds no response to be looked at.
        if self._deadline is not None or self._has_check:
            return None
        return self.trial.relay(on_answer)

    def next_job(self, begun: float) -> Job | None:
        """
        Return a request to be started now, reading only as much input as it takes to find it.

        Args:
            begun: The time.
        """
        schedule = self._schedule
        now = begun
        while self._output.may_start(schedule.in_flight):
            job = schedule.next(now)
            if job is None:
                if not self._intake.read(now):
                    # A slot is free: who reads ahead may go further now.
                    self.tell_feeder()
                    return None
            elif job.fate is _START:
                if job.deadline is None and job.allowed is not None:
                    job.deadline = now + job.allowed
                if self._is_fed:
                    self._intake.notify()
                return job
            else:
                self.ledger.settle_unsent(job, now)
                self._intake.notify()
            now = self.clock()
            if now > begun + SLICE:
                self._cut_short = True
                return None
        return None
