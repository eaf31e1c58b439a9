"""
One batch: its task group, its workers, its input and its output.

A worker is a task that holds a permit and goes from one request to the next; it is started when
there is work for it and ends when there is none. The dispatcher starts workers and sleeps until
something changes. What goes next and what becomes of it is the schedule's to say, how a request is
sent the lane's. Between two awaits all of this is atomic; there are no locks.
"""

from __future__ import annotations

from typing import Any

import anyio
import anyio.lowlevel
import attrs
from anyio.abc import TaskGroup

from asyncbatch._attempt import Trial
from asyncbatch._clock import running_clock
from asyncbatch._ending import (
    attempt_of,
    host_down,
    method_of,
    not_started,
    refused,
    rejected,
    result_of,
    too_late,
)
from asyncbatch._errors import FetcherClosed
from asyncbatch._hosts import Hosts
from asyncbatch._input import END, Input
from asyncbatch._origin import origin_of
from asyncbatch._outcome import Outcome
from asyncbatch._output import Delivered, Output
from asyncbatch._progress import INTERVAL, Progress, Reporter, open_reporter
from asyncbatch._request import is_repeatable
from asyncbatch._result import Result
from asyncbatch._retry import Retry
from asyncbatch._schedule import FINISH, Action, Fate, Job, Schedule
from asyncbatch._slots import Permits
from asyncbatch._tally import Tally

SLICE = 0.005
"""Seconds for which the batch reads input or settles requests before it lets others run."""


@attrs.frozen
class Equipment:
    """What all batches of a fetcher share."""

    trial: Trial
    hosts: Hosts
    permits: Permits
    concurrency: int
    window: int
    """How many requests of a batch may have been read and not ended."""
    retry: Retry | None
    deadline: float | None
    progress: Any


class Batch:
    """One run over one input. Use it once."""

    def __init__(
        self,
        equipment: Equipment,
        source: Input,
        output: Output,
        *,
        batch_timeout: float | None = None,
    ) -> None:
        self._equipment = equipment
        self._lane = equipment.trial.lane
        self._permits = equipment.permits
        self._source = source
        # Whether a task of its own reads the input, because reading may wait.
        self._is_fed = source.is_async
        self._output = output
        self._batch_timeout = batch_timeout
        self._clock = running_clock()
        self._begun = self._clock()
        self._schedule = Schedule(equipment.hosts)
        self._schedule.on_ready = self.notify
        self._scope = anyio.CancelScope()
        self._abandoned = False
        # Set by whoever changes something that the dispatcher waits for, or the feeder.
        self._changed = anyio.Event()
        self._hungry = anyio.Event()
        self._workers = 0
        # The last look for a job ended only because its slice of time did.
        self._cut_short = False
        # Cancelled in the middle of an attempt.
        self._interrupted: list[Job] = []
        self._count = 0  # requests read; the next one's index
        self._unfinished = 0  # requests read that have no result yet
        self._tally = Tally(source.size) if equipment.progress else None

    @property
    def is_finished(self) -> bool:
        """Whether every request of the input has its result."""
        return self._source.exhausted and not self._unfinished

    @property
    def waiting(self) -> int:
        """How many requests have been read and are not in flight."""
        return self._schedule.pending

    @property
    def input_error(self) -> Exception | None:
        """What the input raised."""
        return self._source.error

    def notify(self) -> None:
        """Say that something has changed: a request may start now that might not before."""
        self._changed.set()
        self._hungry.set()

    def abandon(self) -> None:
        """End the batch at once, because its fetcher closes."""
        self._abandoned = True
        self._scope.cancel()

    # Running

    async def run(self) -> None:
        """
        Run the batch to its end, or to the end of its time; every request read has a result then.

        Raises:
            FetcherClosed: If the fetcher closed meanwhile.
        """
        reporter = open_reporter(self._equipment.progress, total=self._source.size)
        try:
            with self._scope, anyio.move_on_after(self._batch_timeout) as timer:
                async with anyio.create_task_group() as tasks:
                    await self._supervise(tasks, reporter)
            if timer.cancelled_caught:
                await self._end_unfinished()
        finally:
            self._schedule.close(self._clock())
            if reporter is not None:
                reporter.close(self._progress())
            await self._source.aclose()
        self._check_abandoned()

    async def run_and_deliver(self, output: Delivered) -> None:
        """Run the batch, and tell the consumer of `output` how it ended."""
        error: Exception | None = None
        try:
            await self.run()
            error = self.input_error
        except FetcherClosed as closed:
            error = closed
        output.close(error)

    async def run_alone(self) -> None:
        """Run a batch of one request in the calling task, which serves as its worker."""
        try:
            with self._scope:
                while not self.is_finished:
                    async with self._permits:
                        while (job := self._next_job()) is not None:
                            await self._try(job)
                    await self._wait()
        finally:
            self._schedule.close(self._clock())
        self._check_abandoned()

    async def _supervise(self, tasks: TaskGroup, reporter: Reporter | None) -> None:
        if reporter is not None:
            tasks.start_soon(self._report, reporter)
        if self._is_fed:
            tasks.start_soon(self._feed)
        while not self.is_finished:
            if not await self._start_worker(tasks):
                await self._wait()
        if reporter is not None:
            tasks.cancel_scope.cancel()

    async def _start_worker(self, tasks: TaskGroup) -> bool:
        """Start a worker if there is work for one; say whether there was."""
        if self._workers >= self._equipment.concurrency:
            return False
        await self._permits.acquire()
        job = self._next_job()
        if job is None:
            self._permits.release()
            return False
        self._workers += 1
        tasks.start_soon(self._work, job)
        return True

    async def _wait(self) -> None:
        """Wait until something changes, or the schedule has something for us by itself."""
        if self._cut_short:
            self._cut_short = False
            await anyio.lowlevel.checkpoint()
            return
        if self.is_finished:
            return
        self._changed = anyio.Event()
        wake_at = self._schedule.wake_at
        if wake_at is None or self._workers >= self._equipment.concurrency:
            await self._changed.wait()
            return
        with anyio.move_on_after(max(0.0, wake_at - self._clock())):
            await self._changed.wait()

    async def _work(self, job: Job | None) -> None:
        """Go from one request to the next, starting with `job`; a permit is held already."""
        held = True
        try:
            while job is not None:
                await self._try(job)
                if self._permits.contended:
                    self._permits.release()
                    held = False
                    await self._permits.acquire()
                    held = True
                job = self._next_job()
        finally:
            if held:
                self._permits.release()
            self._workers -= 1
            self.notify()

    async def _try(self, job: Job) -> None:
        try:
            outcome = await self._equipment.trial.run(
                job.request, deadline_at=job.deadline, clock=self._clock
            )
        except BaseException:
            self._schedule.release(job, self._clock())
            self._interrupted.append(job)
            raise
        self._settle(job, outcome)

    def _check_abandoned(self) -> None:
        if self._abandoned and not self.is_finished:
            raise FetcherClosed("the fetcher was closed while the batch was running")

    # Choosing what goes next

    def _next_job(self) -> Job | None:
        """Return a request to be started now, reading only as much input as it takes to find it."""
        now = self._clock()
        slice_end = now + SLICE
        while self._output.may_start(self._schedule.in_flight):
            job = self._schedule.next(now)
            if job is None:
                if not self._read():
                    return None
            elif job.fate is Fate.START:
                if job.deadline is None and self._equipment.deadline is not None:
                    job.deadline = now + self._equipment.deadline
                if self._is_fed:
                    self._hungry.set()
                return job
            else:
                self._settle_unsent(job, now)
            now = self._clock()
            if now > slice_end:
                self._cut_short = True
                return None
        return None

    def _read(self) -> bool:
        """Read one request from an input that can be read without waiting; say whether one came."""
        source = self._source
        if source.exhausted or self._is_fed or not self._may_read():
            return False
        item = source.read()
        if item is END:
            return False
        self._admit(item)
        return True

    def _may_read(self) -> bool:
        return self._unfinished < self._equipment.window and self._output.may_take(self._unfinished)

    async def _feed(self) -> None:
        """Read an input that has to be waited for, ahead of what can be started."""
        while True:
            while not self._wants_more():
                self._hungry = anyio.Event()
                await self._hungry.wait()
            item = await self._source.read_async()
            self.notify()
            if item is END:
                return
            self._admit(item)

    def _wants_more(self) -> bool:
        schedule = self._schedule
        enough = schedule.has_ready and schedule.pending >= self._equipment.concurrency
        return self._may_read() and not enough

    def _admit(self, item: Any) -> None:
        index = self._count
        self._count += 1
        self._unfinished += 1
        try:
            origin = origin_of(item, self._lane.locate)
        except Exception as error:
            self._finish(rejected(item, index, error, self._lane))
            return
        method = "GET" if isinstance(item, str) else method_of(item)
        job = Job(item, index, self._equipment.hosts.get(origin), method)
        self._schedule.add(job, self._clock())

    # Ending

    def _settle(self, job: Job, outcome: Outcome) -> None:
        """Try `job` again or give it its result, as the schedule decides."""
        now = self._clock()
        if outcome.kind is not None and not is_repeatable(job.request):
            outcome.permanent = True
        decision = self._schedule.done(job, outcome, now)
        if decision is not FINISH:
            if decision.action is Action.RETRY:
                self._note_retry(job, outcome, decision.delay)
                return
            assert self._equipment.retry is not None
            outcome = refused(outcome, self._equipment.retry.retry_after_max, self._lane.binding)
        self._finish(result_of(job, outcome, now, self._lane))
        if self._workers < self._equipment.concurrency and self._schedule.has_ready:
            self.notify()

    def _note_retry(self, job: Job, outcome: Outcome, delay: float) -> None:
        if outcome.local:
            return
        if self._tally is not None:
            self._tally.retries += 1
        if job.history is None:
            job.history = []
        job.history.append(attempt_of(job, outcome, delay))

    def _settle_unsent(self, job: Job, now: float) -> None:
        binding = self._lane.binding
        if job.fate is Fate.HOST_DOWN:
            outcome = host_down(job, binding)
        else:
            outcome = too_late("deadline", self._equipment.deadline or 0.0, binding)
        self._finish(result_of(job, outcome, now, self._lane))

    async def _end_unfinished(self) -> None:
        """Give a result to everything that the batch had no time for."""
        now = self._clock()
        seconds = self._batch_timeout or 0.0
        for job in (*self._interrupted, *self._schedule.close(now)):
            if job.attempts:
                outcome = too_late("batch_timeout", seconds, self._lane.binding)
                self._finish(result_of(job, outcome, now, self._lane))
            else:
                self._finish(not_started(job.request, job.index, seconds, self._lane))
        if self._source.size is not None:
            await self._reject_unread(seconds)

    async def _reject_unread(self, seconds: float) -> None:
        while (item := self._source.read()) is not END:
            while not (self._output.may_start(0) and self._output.may_take(0)):
                await self._wait()
            self._unfinished += 1
            self._finish(not_started(item, self._count, seconds, self._lane))
            self._count += 1
            if not self._count % 100:
                await anyio.lowlevel.checkpoint()

    def _finish(self, result: Result) -> None:
        self._unfinished -= 1
        if self._tally is not None:
            self._tally.add(result)
        self._output.put(result)
        if self._is_fed:
            self._hungry.set()

    # Showing

    async def _report(self, reporter: Reporter) -> None:
        while True:
            reporter.update(self._progress())
            await anyio.sleep(INTERVAL)

    def _progress(self) -> Progress:
        assert self._tally is not None
        elapsed = self._clock() - self._begun
        return self._tally.progress(in_flight=self._schedule.in_flight, elapsed=elapsed)
