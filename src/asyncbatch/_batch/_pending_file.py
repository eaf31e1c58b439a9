"""
`PendingFile`: a body that threads of the disk bring to its file, until its request has a result.

Its request holds no permit any more: the worker that has received the body goes on with the next
one, so that neither the network waits for the disk, nor the disk for the network.
"""

from __future__ import annotations

from functools import partial

from asyncbatch._batch._make_result import saved_of
from asyncbatch._batch._workers import Workers, take_out_of
from asyncbatch._lanes import FileRelay, Received
from asyncbatch._schedule import Job


class PendingFile:
    """
    A body that is brought to the disk.

    Args:
        workers: Those of the batch.
        job: The request.
        received: The response.
        relay: What has received it.

    Attributes:
        has_task: Whether it has a task, which takes another way to the file.
    """

    __slots__ = ("_job", "_received", "_relay", "_workers", "has_task")

    def __init__(self, workers: Workers, job: Job, received: Received, relay: FileRelay) -> None:
        self._workers = workers
        self._job = job
        self._received = received
        self._relay = relay
        self.has_task = False

    @property
    def size(self) -> int:
        """The bytes of the body."""
        return len(self._received.content)

    def begin_writing(self) -> None:
        """Release the slot at the host, and hand the body to the threads of the disk."""
        workers, job, received = self._workers, self._job, self._received
        workers.pending_files.add(self)
        workers.schedule.body_received(job, received.begun_at, workers.clock())
        job.download.write_whole(received.content, workers.loop, self._ended)

    def _ended(self) -> None:
        """Record the result of a file that is on the disk."""
        try:
            self._record_result()
        except BaseException as error:  # no memory, for one: the batch must end, not wait for it
            self._workers.on_error(error)

    def _record_result(self) -> None:
        workers, job, received = self._workers, self._job, self._received
        saved = job.download.take_saved()
        if saved is None:
            workers.need_task(self)
            return
        ledger, now = workers.ledger, workers.clock()
        if job.weight:
            ledger.let_go(job)
        ledger.publish(
            saved_of(job, received.response_builder, received.course, saved, now, ledger.epoch)
        )
        ledger.saved(job, now)
        workers.file_ended(self)

    async def work(self) -> None:
        """Take another way to the file, with a permit, as any request that has a task."""
        workers, job, received = self._workers, self._job, self._received
        is_held = False
        try:
            await workers.permits.acquire()
            is_held = True
            outcome = await workers.attempter.conclude_file(
                job.download,
                partial(self._relay.conclude_received, received),
                received.begun_at,
                job.deadline,
                job.allowed,
            )
        except BaseException:
            workers.ledger.interrupt_file(job, workers.clock())
            raise
        else:
            workers.ledger.settle(job, outcome, workers.clock())
            workers.tell_feeder()
        finally:
            if is_held:
                workers.permits.release()
            workers.file_ended(self)

    def abandon(self) -> None:
        """Give the file up, at the end of the batch."""
        workers, job = self._workers, self._job
        wait = job.download.abandon()
        if wait is not None:  # otherwise the file has its name, and there is no result of it
            workers.cut_files.append(wait)
        workers.ledger.interrupt_file(job, workers.clock())
        workers.file_ended(self)

    def take_out(self, seconds: float, before: float) -> None:
        """Take the time of a blocked loop out of the request."""
        take_out_of(self._job, seconds, before)
