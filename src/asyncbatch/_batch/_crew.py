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
from asyncbatch._clock import Clock
from asyncbatch._output import Output
from asyncbatch._schedule import Fate, Job, Schedule

Work: TypeAlias = Callable[[Job], Awaitable[None]]


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
        self._deadline = equipment.deadline
        self._permits = equipment.permits
        self._trial = equipment.trial
        self._schedule = schedule
        self._intake = intake
        self._is_fed = intake.is_fed
        self._ledger = ledger
        self._output = output
        self._clock = clock
        self._slice = Slice()
        # Set by whoever changes something that the dispatcher waits for.
        self._changed = anyio.Event()
        # When it wakes up by itself, while it sleeps.
        self._sleeps_until = math.inf
        self._workers = 0
        self._last_at_work: Job | None = None
        # The last look for a job ended only because the slice of time did.
        self._cut_short = False

    def notify(self) -> None:
        """Say that something has changed: a request may start now that might not before."""
        self._changed.set()

    async def dispatch(self, spawn: Callable[[Work, Job], None]) -> None:
        """Start workers, by `spawn`, for as long as there is anything to be done."""
        while not self._intake.is_finished:
            await self._start_workers(spawn)
            await self._wait()

    async def work_alone(self) -> None:
        """Do all the work in the calling task."""
        while not self._intake.is_finished:
            async with self._permits:
                while (job := self._next_job()) is not None:
                    await self._try(job)
            await self._wait()

    async def _start_workers(self, spawn: Callable[[Work, Job], None]) -> None:
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

    async def _start_worker(self, spawn: Callable[[Work, Job], None]) -> bool:
        """Start a worker if there is work for one; say whether there was."""
        if self._workers >= self._concurrency:
            return False
        await self._permits.acquire()
        job = None
        try:
            job = self._next_job()  # reads the input, which may raise
        finally:
            if job is None:
                self._permits.release()
        if job is None:
            return False
        self._workers += 1
        spawn(self._work, job)
        return True

    async def _wait(self) -> None:
        """Wait until something changes, or the schedule has something for us by itself."""
        if self._cut_short:
            self._cut_short = False
            await self._slice.end()
            return
        if self._intake.is_finished:
            return
        self._changed = anyio.Event()
        wake_at = self._wake_at()
        if wake_at == math.inf or self._workers >= self._concurrency:
            await self._changed.wait()
            return
        self._sleeps_until = wake_at
        with anyio.move_on_after(max(0.0, wake_at - self._clock())):
            await self._changed.wait()
        self._sleeps_until = math.inf

    def _wake_at(self) -> float:
        wake_at = self._schedule.wake_at
        return math.inf if wake_at is None else wake_at

    # Working

    async def _work(self, first: Job) -> None:
        """Go from one request to the next, starting with `first`; a permit is held already."""
        job: Job | None = first
        held = True
        try:
            while job is not None:
                await self._try(job)
                if self._permits.contended:
                    self._permits.release()
                    held = False
                    await self._permits.acquire()
                    held = True
                # Nobody else has worked meanwhile, so that it may have gone on without a wait.
                elif self._last_at_work is job and self._slice.is_over:
                    await self._slice.end()
                job = self._next_job()
                if self._workers < self._concurrency and self._needs_dispatcher():
                    self._changed.set()
        finally:
            if held:
                self._permits.release()
            self._workers -= 1
            self._changed.set()

    def _needs_dispatcher(self) -> bool:
        return self._schedule.has_ready or self._wake_at() < self._sleeps_until

    async def _try(self, job: Job) -> None:
        self._last_at_work = job
        try:
            outcome = await self._trial.run(
                job.request, deadline_at=job.deadline, clock=self._clock
            )
        except BaseException:
            self._ledger.interrupt(job, self._clock())
            raise
        self._ledger.settle(job, outcome, self._clock())
        if self._is_fed:
            self._intake.notify()

    def _next_job(self) -> Job | None:
        """Return a request to be started now, reading only as much input as it takes to find it."""
        schedule = self._schedule
        begun = now = self._clock()
        while self._output.may_start(schedule.in_flight):
            job = schedule.next(now)
            if job is None:
                if not self._intake.read(now):
                    return None
            elif job.fate is Fate.START:
                if job.deadline is None and self._deadline is not None:
                    job.deadline = now + self._deadline
                if self._is_fed:
                    self._intake.notify()
                return job
            else:
                self._ledger.settle_unsent(job, now)
                self._intake.notify()
            now = self._clock()
            if now > begun + SLICE:
                self._cut_short = True
                return None
        return None
