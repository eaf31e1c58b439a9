"""
`FileWorker`: holds a permit of a batch whose bodies go to files, and tries one request after
another.

A URL whose body is small takes no task: the callback that receives the body hands it to a
`PendingFile` and sends the next request. A task does all that is left.
"""

from __future__ import annotations

import contextlib

from asyncbatch._batch._pending_file import PendingFile
from asyncbatch._batch._workers import Workers, take_out_of
from asyncbatch._lanes import Encoded, FileRelay, Plain, Received
from asyncbatch._runtime._stalls import LATE
from asyncbatch._schedule import Job
from asyncbatch._values._request import UNSET, Unset
from asyncbatch._values._retry_policy import IDEMPOTENT

_NEVER = float("inf")


class FileWorker:
    """
    Holds a permit and tries one request after another.

    Args:
        workers: Those of the batch, which have file relays.
        job: The first request; the schedule has started it.
        encoded: How it is sent, if that is known.

    Attributes:
        has_task: Whether it has a task now, which ends with it or with the work that takes one.
        made_at: Since when it waits for its task; set by who starts the task.
    """

    __slots__ = (
        "_encoded",
        "_is_begun",
        "_job",
        "_relay",
        "_workers",
        "has_task",
        "made_at",
    )

    def __init__(self, workers: Workers, job: Job, encoded: Encoded | Unset | None = UNSET) -> None:
        self._workers = workers
        # The request that is being tried, or tried next, and how it is sent, if that is known.
        self._job: Job | None = job
        self._encoded = encoded
        # None at the end: the relay refers to this, and both would wait for the garbage collector.
        self._relay: FileRelay | None
        if workers.resting_relays:
            self._relay = workers.resting_relays.pop()
            self._relay.owner = self
        else:
            assert workers.file_relays is not None
            self._relay = workers.file_relays(self)
        # Whether the relay has begun the request, so that a task concludes it.
        self._is_begun = False
        self.has_task = False
        self.made_at = 0.0

    def begin_by_relay(self) -> bool:
        """Begin the request without a task, if it can go so; say whether it was begun."""
        encoded = self._prepared()
        assert self._relay is not None
        self._is_begun = encoded is not None and self._relay.begin(encoded)
        return self._is_begun

    def _prepared(self) -> Plain | None:
        """Prepare the request to be sent by the relay; `None` if it takes a task."""
        job, relay, workers = self._job, self._relay, self._workers
        encoded, self._encoded = self._encoded, UNSET
        assert job is not None
        assert relay is not None
        url, download = job.request, job.download
        if type(url) is not str or download is None or job.host.limits is not None:
            return None
        if encoded is UNSET:
            encoded = workers.encode_for_file(url)
        if not isinstance(encoded, tuple) or not download.begin_try_nowait():
            return None
        relay.deadline_at = _NEVER if job.deadline is None else job.deadline
        workers.last_at_work = job
        return encoded

    def abandon(self) -> None:
        """Give up the request in flight, at the end of the batch."""
        relay = self._relay
        if relay is None:  # an error has interrupted its end
            return
        with contextlib.ExitStack() as steps:  # whatever each raises
            steps.callback(self._end_work)
            steps.callback(self._interrupt)
            steps.callback(relay.abandon)

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
            if self.has_task:
                self._end_work(held=held)

    async def _try(self, job: Job) -> None:
        """Try a request once, or conclude the try that the relay has begun."""
        workers = self._workers
        is_begun, self._is_begun = self._is_begun, False
        try:
            if is_begun:
                relay = self._relay
                assert relay is not None
                outcome = await workers.attempter.conclude_file(
                    job.download, relay.conclude, relay.begun_at, job.deadline, job.allowed
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

    def take_body(self, received: Received) -> Plain | None:
        """Have a body brought to the disk, and return the next request."""
        job, self._job = self._job, None
        self._is_begun = False
        assert job is not None
        workers = self._workers
        relay, pending_files = self._relay, workers.pending_files
        assert relay is not None
        try:
            PendingFile(workers, job, received, relay).begin_writing()
            if workers.permits.waiting and workers.batch_permits.must_give_way():
                workers.tell_feeder()
            elif pending_files.has_room:
                return self._next()
            else:
                pending_files.is_waited_for = True
        except BaseException as error:  # no task waits for this callback
            workers.on_error(error)
            return None
        self._end_work()
        return None

    def _next(self) -> Plain | None:
        """Return the next request, if the relay can go on with it; otherwise begin it, or end."""
        workers, relay = self._workers, self._relay
        assert relay is not None
        self._job, self._encoded = workers.next_for_relay(workers.clock())
        workers.call_dispatcher()
        if self._job is None:
            self._end_work()
            return None
        encoded = self._prepared()
        if encoded is not None and relay.may_follow(encoded):
            self._is_begun = True
            return encoded
        self._is_begun = encoded is not None and relay.begin(encoded)
        if not self._is_begun:
            self.relay_left()
        return None

    def relay_left(self) -> None:
        """Go on in a task."""
        self.made_at = self._workers.clock()
        self._workers.need_task(self)

    def _interrupt(self) -> None:
        job, self._job = self._job, None
        if job is not None:
            self._workers.ledger.interrupt(job, self._workers.clock())

    def _end_work(self, *, held: bool = True) -> None:
        workers = self._workers
        relay, self._relay = self._relay, None  # first: `abandon` releases no permit twice
        assert relay is not None
        if held:
            workers.permits.release()
        workers.worker_ended(self)
        del relay.owner  # it refers to this worker
        workers.resting_relays.append(relay)
