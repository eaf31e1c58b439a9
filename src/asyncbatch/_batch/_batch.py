"""
One batch: its task group, its time limit and its end.

The schedule picks the next request, the lane sends it, the ledger records its result; the workers
drive them.
"""

from __future__ import annotations

import functools
import heapq
import math
from collections.abc import Callable, Collection, Coroutine
from time import time as wall_time
from typing import Any

import anyio
from anyio.abc import TaskGroup

from asyncbatch._batch._dispatcher import Dispatcher, Work
from asyncbatch._batch._input import END, Input, Settled
from asyncbatch._batch._ledger import Ledger, ProgressCount
from asyncbatch._batch._output import Delivered, Output
from asyncbatch._batch._reader import Reader
from asyncbatch._batch._shared import Shared
from asyncbatch._batch._time_slice import TimeSlice
from asyncbatch._batch._workers import Announce, Workers
from asyncbatch._files import Files
from asyncbatch._lanes import key_of
from asyncbatch._progress import HOSTS_SHOWN, INTERVAL, Progress, Reporter, open_reporter
from asyncbatch._results._limits import Limits
from asyncbatch._runtime._event_loop import running_clock
from asyncbatch._runtime._stalls import GRACE, LEAST, TimeLimit
from asyncbatch._schedule import Schedule
from asyncbatch._schedule._host import Host
from asyncbatch._values._errors import FetcherClosed
from asyncbatch._values._host_key import name_of

_CLOSED = "the fetcher was closed while the batch was running"


class Batch:
    """
    One run over one input. Use it once.

    Args:
        shared: The state of the fetcher.
        source: The input.
        output: Where the results go.
        batch_timeout: Seconds for all of it.
        announce: Waited for before a request that is not idempotent is sent.
    """

    def __init__(
        self,
        shared: Shared,
        source: Input,
        output: Output,
        *,
        batch_timeout: float | None = None,
        files: Files | None = None,
        announce: Announce | None = None,
    ) -> None:
        self._shared = shared
        self._source = source
        self._is_fed = source.is_async
        self._output = output
        self._batch_timeout = batch_timeout
        self.clock = running_clock()
        """The clock that all times of the batch are on."""
        self._begun = self.clock()
        self._schedule = Schedule(shared.hosts)
        self._schedule.on_ready = self.notify
        self._progress_count = ProgressCount(source.size) if shared.progress else None
        self._full_before = shared.slots.full_at(self._begun)
        self._ledger = Ledger(
            shared,
            self._schedule,
            output,
            self._progress_count,
            self.clock,
            is_at_hand=bool(source.size) and not source.is_async,
            files=files or Files(None),
        )
        if batch_timeout is not None:
            self._schedule.end_at(self._begun + batch_timeout)
            self._ledger.batch_timeout = batch_timeout
        self._reader = Reader(source, self._ledger, self._schedule, output, shared, self.clock)
        self._workers = Workers(
            shared, self._schedule, self._reader, self._ledger, output, self.clock, announce
        )
        self._listener = None if shared.telemetry is None else shared.telemetry.listener(self.clock)
        self._workers.listener = self._listener
        self._workers.on_error = self._end_because_of
        self._dispatcher = Dispatcher(self._workers)
        self._scope = anyio.CancelScope()
        self._abandoned = False
        # An error that ends the batch: a KeyboardInterrupt or the like, not a failed request.
        self._fatal: BaseException | None = None
        # Number of tasks that run parts of the batch.
        self._parts = 0
        # The parts whose tasks have not taken their first step.
        self._unstarted: dict[Work, Coroutine[Any, Any, None]] = {}
        # None until `wait_ended` is called.
        self._ended: anyio.Event | None = None
        self._is_running = True
        # Set on every change that may end the batch.
        self._changed = anyio.Event()

    def limits(self) -> Limits:
        """Return what the limits of its fetcher have done to the batch."""
        slots, held_back = self._shared.slots, self._schedule.held_back
        return Limits(
            slots=slots.total,
            slots_full=slots.full_at(self.clock()) - self._full_before,
            waits=dict(held_back.waits),
            hosts={
                name_of(origin): dict(seconds)  # type: ignore[arg-type]  # a HostKey
                for origin, seconds in held_back.by_host.items()
            },
        )

    @property
    def waiting(self) -> int:
        """Number of requests that have been read and are not in flight."""
        return self._schedule.pending

    def unfinished_by_host(self) -> dict[Host, int]:
        """Return the number of unfinished requests of each host."""
        return self._schedule.unfinished_by_host()

    @property
    def input_error(self) -> Exception | None:
        """The error that the input raised."""
        return self._source.error

    def notify(self) -> None:
        """Report a change that may let a request start."""
        self._changed.set()
        self._dispatcher.notify()
        self._reader.notify()

    def end_at_once(self) -> None:
        """End the batch at once, because its fetcher closes."""
        self._abandoned = True
        self._scope.cancel()
        self._dispatcher.abandon_alone(FetcherClosed(_CLOSED))

    async def close_input(self) -> None:
        """Close the input of a batch that perhaps never ran."""
        if self._is_running:
            self._is_running = False
            await self._source.aclose()

    async def wait_ended(self) -> None:
        """Wait until the batch has released everything that it shares with others."""
        if not self._is_running:
            return
        if self._ended is None:
            self._ended = anyio.Event()
        await self._ended.wait()

    # Running

    async def run(self) -> None:
        """
        Run the batch to its end, or to its time limit. Every request read then has a result.

        Raises:
            FetcherClosed: If the fetcher was closed.
            BaseException: As raised by the input or while sending, if it is not an `Exception`.
        """
        reporter: Reporter | None = None
        try:
            reporter = open_reporter(self._shared.progress, total=self._source.size)
            if self._listener is not None:
                self._listener.capture_context()
            self._shared.attempter.lane.begin_batch(self.clock)
            self._shared.stalls.join(self._workers.take_out)
            with self._scope:
                with TimeLimit(self._batch_timeout, grace=GRACE) as limit:
                    self._workers.limit = limit
                    async with anyio.create_task_group() as tasks:
                        await self._supervise(tasks, reporter)
                if limit.has_passed:
                    await self._end_unfinished()
        finally:
            try:
                self._shared.stalls.leave(self._workers.take_out)
                self._schedule.close(self.clock())
                if reporter is not None:
                    reporter.close(self._progress())
                # asyncio may cancel a task before its first step, when it ends with `asyncio.run`.
                for coroutine in self._unstarted.values():
                    coroutine.close()
            finally:  # also of a batch that an error has kept from beginning: it may have a journal
                try:
                    await self._source.aclose()
                finally:
                    self._mark_ended()
        self._check_whole()

    async def run_and_deliver(self, output: Delivered) -> None:
        """Run the batch, and close `output` with its error, if it has one."""
        error: BaseException | None
        try:
            await self.run()
            error = self.input_error
        except BaseException as raised:
            if _is_own_cancellation(raised):
                raise
            error = raised
        output.close(error)

    async def run_one(self, item: object) -> bool:
        """
        Run a batch of one request, without its input, with the calling task as the worker.

        Returns:
            Whether the batch has no state left, so that it may be run again with another request.

        Raises:
            FetcherClosed: If the fetcher was closed.
        """
        self._is_running = True
        if self._listener is not None:
            self._listener.capture_context()
        self._shared.attempter.lane.begin_batch(self.clock)
        # The batch may be an old one: meanwhile the machine may have slept, or its clock been set.
        now = self.clock()
        self._ledger.epoch = wall_time() - now
        encoded = self._workers.encode_url(item)
        self._ledger.enter(item, 0, now, None if encoded is None else key_of(encoded))
        self._shared.stalls.join(self._workers.take_out)
        try:
            if self._batch_timeout is None and encoded is not None:
                await self._dispatcher.relay_alone(encoded)
            if self._ledger.unfinished:
                await self._work_alone()
        except MemoryError as error:
            self._end_because_of(error)
            raise
        finally:
            is_left_clean = not self._ledger.unfinished and self._batch_timeout is None
            if not is_left_clean:
                self._schedule.close(self.clock())
            self._shared.stalls.leave(self._workers.take_out)
            self._mark_ended()
        if not is_left_clean:
            self._check_whole()
        return is_left_clean

    async def _work_alone(self) -> None:
        self._scope = anyio.CancelScope()
        if self._abandoned:
            self._scope.cancel()
        with self._scope:
            if self._batch_timeout is None:
                await self._dispatcher.work_alone()
                return
            with TimeLimit(self._batch_timeout, grace=GRACE) as limit:
                self._workers.limit = limit
                await self._dispatcher.work_alone()
            if limit.has_passed:
                await self._end_unfinished()

    def _mark_ended(self) -> None:
        self._is_running = False
        if self._ended is not None:
            self._ended.set()

    def _check_whole(self) -> None:
        if self._fatal is not None:
            fatal, self._fatal = self._fatal, None
            raise fatal
        if self._abandoned and not self._reader.is_finished:
            raise FetcherClosed(_CLOSED)

    async def _supervise(self, tasks: TaskGroup, reporter: Reporter | None) -> None:
        start = functools.partial(self._start, tasks)
        try:
            if reporter is not None:
                start(functools.partial(self._report, reporter))
            if self._is_fed:
                start(self._reader.feed)
            if (pump := self._source.pump) is not None:
                start(pump)
            await self._dispatcher.dispatch(start)
        except anyio.get_cancelled_exc_class():
            raise
        except BaseException as error:
            self._end_because_of(error)
        if self._parts:  # a scope describes the task that cancels it, which takes 50 µs
            tasks.cancel_scope.cancel()

    def _start(self, tasks: TaskGroup, function: Work) -> None:
        """Run a part of the batch in a task of its own."""
        self._parts += 1
        coroutine = self._unstarted[function] = self._guard(function)
        tasks.start_soon(lambda: coroutine)

    async def _guard(self, function: Work) -> None:
        """
        Run a part of the batch, and end the batch with its error.

        A task group would wrap the error in an exception group. It would ignore a cancellation that
        is not its own, as of an input that waits for a cancelled task.
        """
        try:
            del self._unstarted[function]
            await function()
        except BaseException as error:
            if _is_own_cancellation(error):
                raise
            self._end_because_of(error)
        finally:
            self._parts -= 1

    def _end_because_of(self, error: BaseException) -> None:
        """
        End the batch with an error of its tasks and callbacks.

        A lack of memory may have left hosts and slots half changed, for which the other batches of
        the fetcher would wait: it ends them, too. Any other error may be of an object of the
        caller's.
        """
        self.end_with(error)
        if isinstance(error, MemoryError):
            self._shared.end_all(error)

    def end_with(self, error: BaseException) -> None:
        """End the batch at once, and raise `error` from it."""
        self._fatal = self._fatal or error
        self._scope.cancel()
        self._dispatcher.abandon_alone(error)

    # Ending

    async def _end_unfinished(self) -> None:
        """Give a result to every request that has none at the end of the time limit."""
        assert self._batch_timeout is not None
        now = self.clock()
        turn = TimeSlice()
        for job in self._ledger.withdraw_unfinished(now):
            await self._wait_for(turn, self._output.may_start)
            self._ledger.time_out(job, self._batch_timeout, now)
        if not self._source.can_be_finished:
            return
        while (numbered := self._source.read()) is not END:
            index, item = numbered
            await self._wait_for(turn, self._output.may_start)
            await self._wait_for(turn, self._output.may_take)
            if isinstance(item, Settled):
                self._ledger.pass_on(item.result)
                continue
            self._ledger.reject_unread(item, index, self._batch_timeout)

    async def _wait_for(self, turn: TimeSlice, has_room: Callable[[int], bool]) -> None:
        """Wait until there is room for one more result."""
        if turn.is_over:
            await turn.let_others_run()
        while not has_room(0):
            self._changed = anyio.Event()
            await self._changed.wait()

    # Showing

    async def _report(self, reporter: Reporter) -> None:
        while True:
            begun = self.clock()
            reporter.update(self._progress())
            took = self.clock() - begun
            if took >= LEAST:
                self._shared.stalls.take_out(took, begun)
            await anyio.sleep(INTERVAL)

    def _progress(self) -> Progress:
        assert self._progress_count is not None
        elapsed = self.clock() - self._begun
        return self._progress_count.progress(
            in_flight=self._schedule.in_flight,
            elapsed=elapsed,
            hosts=self._last_hosts(),
            files=self._ledger.files.under_way(),
        )

    def _last_hosts(self) -> tuple[str, ...]:
        """Return the hosts with most unfinished requests, once the whole input is read."""
        if not self._source.exhausted:
            return ()
        unfinished = self._schedule.unfinished_by_host()
        most = heapq.nlargest(HOSTS_SHOWN, unfinished, key=unfinished.__getitem__)
        names = [name_of(host.key) for host in most]  # type: ignore[arg-type]  # a HostKey
        return tuple(dict.fromkeys(names))


def end_with(batches: Collection[Batch], error: BaseException) -> bool:
    """End batches at once, and raise `error` from each; return whether there are any."""
    for batch in list(batches):
        batch.end_with(error)
    return bool(batches)


def _is_own_cancellation(error: BaseException) -> bool:
    """
    Whether `error` is a cancellation of the running task.

    An asyncio.CancelledError may also come from a cancelled task of the caller, for which the input
    or a transport of the caller waited.
    """
    cancelled = anyio.get_cancelled_exc_class()
    if isinstance(error, BaseExceptionGroup):
        # trio's nurseries wrap it, as in `trio.open_tcp_stream`.
        if error.split(cancelled)[1] is not None:
            return False
    elif not isinstance(error, cancelled):
        return False
    return anyio.current_effective_deadline() == -math.inf
