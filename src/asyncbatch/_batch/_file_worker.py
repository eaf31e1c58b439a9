"""
`FileWorker`: holds a permit of a batch whose bodies go to files, and tries one request after
another.

A URL whose body is small is sent, written and recorded in callbacks: that of its response, and one
that the threads of the disk call for many files at once. A task does all that is left.
"""

from __future__ import annotations

from asyncbatch._batch._make_result import saved_of
from asyncbatch._batch._workers import Workers, take_out_of
from asyncbatch._lanes import FileRelay, NewFileRelay
from asyncbatch._runtime._stalls import LATE
from asyncbatch._schedule import Job, JobState
from asyncbatch._values._retry_policy import IDEMPOTENT
from asyncbatch._values._sink import Saved

_START = JobState.START
_NEVER = float("inf")


class FileWorker:
    """
    Holds a permit and tries one request after another.

    Args:
        workers: Those of the batch.
        relays: Makes its relay.
        job: The first request; the schedule has started it.

    Attributes:
        has_task: Whether it has a task now, which ends with it or with the work that takes one.
        made_at: Since when it waits for its task; set by who starts the task.
    """

    __slots__ = ("_error", "_is_begun", "_job", "_relay", "_workers", "has_task", "made_at")

    def __init__(self, workers: Workers, relays: NewFileRelay, job: Job) -> None:
        self._workers = workers
        # The request that is being tried, or tried next.
        self._job: Job | None = job
        # None at the end: the relay refers to this, and both would wait for the garbage collector.
        self._relay: FileRelay | None = relays(self._write, self._need_task)
        # Whether the relay has begun the request, so that a task concludes it.
        self._is_begun = False
        # The error of code that a callback has called; the task raises it.
        self._error: BaseException | None = None
        self.has_task = False
        self.made_at = 0.0

    def begin_by_relay(self) -> bool:
        """Begin the request without a task, if it can go so; say whether it was begun."""
        job, relay, attempter = self._job, self._relay, self._workers.attempter
        assert job is not None
        assert relay is not None
        download = job.download
        if type(job.request) is not str or download is None or job.host.limits is not None:
            return False
        encoded = attempter.lane.encode_for_file(job.request, job.request, attempter.limits)
        if encoded is None or not download.begin_nowait():
            return False
        if not relay.begin(encoded, _NEVER if job.deadline is None else job.deadline):
            return False
        self._workers.last_at_work = job
        self._is_begun = True
        return True

    def abandon(self) -> None:
        """Give up the request in flight, at the end of the batch."""
        assert self._relay is not None
        self._relay.abandon()
        if self._is_begun and self._job is not None and self._job.download is not None:
            wait = self._job.download.abandon()
            if wait is not None:
                self._workers.cut_files.append(wait)
        self._interrupt()
        self._end()

    def take_out(self, seconds: float, before: float) -> None:
        """Take the time of a blocked loop out of the request that is being tried."""
        take_out_of(self._job, seconds, before)

    async def work(self) -> None:
        """Try requests until one can go without a task, or none is left, and release the permit."""
        workers = self._workers
        permits = workers.permits
        held = True
        late = 0.0 if self._is_begun else workers.clock() - self.made_at
        if late >= LATE:
            # The loop was blocked before this task began: the request must not pay for it.
            self.take_out(late, self.made_at)
        try:
            if self._error is not None:
                self._interrupt()
                raise self._error
            while (job := self._job) is not None:
                await self._try(job)
                if permits.waiting and workers.batch_permits.must_give_way():
                    permits.release()
                    held = False
                    await permits.acquire()
                    held = True
                elif workers.has_had_its_slice(job):
                    await workers.slice.let_others_run()
                self._job = job = workers.next_job(workers.clock())
                workers.call_dispatcher()
                if job is not None and self.begin_by_relay():
                    self.has_task = False
                    return
        finally:
            self._error = None
            if self.has_task:
                self._end(held=held)

    async def _try(self, job: Job) -> None:
        """Try a request once, or conclude the try that the relay has begun."""
        workers = self._workers
        is_begun, self._is_begun = self._is_begun, False
        try:
            if is_begun:
                assert self._relay is not None
                assert job.download is not None
                outcome = await workers.attempter.conclude_file(
                    self._relay, job.download, job.deadline, job.allowed
                )
            else:
                workers.last_at_work = job
                if workers.announce is not None and job.method not in IDEMPOTENT:
                    await workers.announce(job)
                outcome = await workers.attempter.run(
                    job.request,
                    deadline_at=job.deadline,
                    clock=workers.clock,
                    allowed=job.allowed,
                    limits=job.host.limits,
                    download=job.download,
                )
        except BaseException:
            self._interrupt()
            raise
        self._job = None
        workers.ledger.settle(job, outcome, workers.clock())
        workers.tell_feeder()

    def _write(self, content: bytes) -> None:
        """Hand a body that the relay has received to the threads of the disk."""
        assert self._job is not None
        assert self._job.download is not None
        try:
            self._job.download.write_whole(content, self._written)
        except BaseException as error:
            self._error = error
            self._need_task()

    def _written(self) -> None:
        """Record the result of a file that is on the disk, and begin the next request."""
        job = self._job
        assert job is not None
        assert job.download is not None
        saved = job.download.take_saved()
        if saved is None:
            self._need_task()
            return
        try:
            self._succeed(job, saved)
            self._go_on()
        except BaseException as error:
            self._error = error
            self._need_task()

    def _succeed(self, job: Job, saved: Saved) -> None:
        workers, relay = self._workers, self._relay
        assert relay is not None
        response_builder, course = relay.end()
        self._is_begun = False
        ledger = workers.ledger
        if job.weight:
            ledger.let_go(job)
        now = workers.clock()
        result = saved_of(job, response_builder, course, saved, now, ledger.epoch)
        ledger.publish(result)
        self._job = None
        ledger.succeeded(job, course[0], workers.clock())

    def _go_on(self) -> None:
        workers = self._workers
        if workers.permits.waiting and workers.batch_permits.must_give_way():
            workers.tell_feeder()
        else:
            self._job = workers.next_job(workers.clock())
            workers.call_dispatcher()
        if self._job is None:
            self._end()
        elif not self.begin_by_relay():
            self._need_task()

    def _need_task(self) -> None:
        self.made_at = self._workers.clock()
        self._workers.need_task(self)

    def _interrupt(self) -> None:
        job, self._job = self._job, None
        if job is not None and job.state is _START:
            self._workers.ledger.interrupt(job, self._workers.clock())

    def _end(self, *, held: bool = True) -> None:
        if held:
            self._workers.permits.release()
        self._workers.leave(self)
        relay, self._relay = self._relay, None
        if relay is not None:
            relay.close()
