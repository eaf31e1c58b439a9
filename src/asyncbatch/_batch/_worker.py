"""
`Worker`: holds a permit of a batch, and tries one request after another.

If the lane allows it, a relay does the work of a worker in the callbacks that receive the
responses. A worker has a task only while its requests take more than that, because starting a task
costs as much as four requests.
"""

from __future__ import annotations

import contextlib
from typing import Any, cast

from asyncbatch._batch._attempt import has_own_limits
from asyncbatch._batch._input import END, Input
from asyncbatch._batch._worker_watch import WorkerWatch
from asyncbatch._batch._workers import Announce, Workers, take_out_of
from asyncbatch._lanes import MOST_RESTING, Encoded, Relay, can_relay
from asyncbatch._runtime._stalls import LATE, LEAST
from asyncbatch._schedule import Job, JobState
from asyncbatch._values._request import UNSET, Request, Unset, method_of
from asyncbatch._values._result import Success, draft
from asyncbatch._values._retry_policy import IDEMPOTENT
from asyncbatch._values._timing import Course, Timing

_START = JobState.START


class Worker:
    """
    Holds a permit and tries one request after another.

    Attributes:
        has_task: whether it has a task of its own, which ends with it.
        made_at: when its task was started, before its first request; 0.0 if that was begun earlier.
    """

    __slots__ = (
        "_encode",
        "_encoded",
        "_is_relaying",
        "_job",
        "_limits",
        "_relay",
        "_watch",
        "_workers",
        "has_task",
        "made_at",
    )

    def __init__(
        self, workers: Workers, job: Job | None = None, encoded: Encoded | Unset | None = UNSET
    ) -> None:
        self._workers = workers
        # The request that is being tried, or tried next; the schedule has started it.
        self._job = job
        self._encode = workers.encode
        self._limits = workers.limits
        # The first request, where it was encoded before there was a task.
        self._encoded = encoded
        self.has_task = False
        self.made_at = 0.0
        # The first request has been begun by the relay, and no task has waited for that.
        self._is_relaying = False
        # Tells of each request that is sent, if there is a listener.
        self._watch: WorkerWatch | None = None
        # None at the end: the relay refers to this, and both would wait for the garbage collector.
        self._relay: Relay | None = None
        relays = workers.relays
        if relays is not None:
            if relays.resting:
                self._relay = relay = relays.resting.pop()
                relay.owner = self
                relay.follows_redirects = True
            else:
                self._relay = relays.new(self)

    def begin_by_relay(self) -> bool:
        """Begin the first request without a task, if it can go so; say whether it was begun."""
        job, relay = self._job, self._relay
        assert job is not None
        encoded = self._encoded
        if type(encoded) is tuple and relay is not None:  # a plain URL, which announces nothing
            is_usual = job.host.limits is None
        else:
            is_usual = relay is not None and _is_usual(job, self._workers.announce)
        if not is_usual:
            self._encoded = UNSET  # it is encoded again, with the limits of its own
            return False
        assert relay is not None
        if encoded is UNSET:
            self._encoded = encoded = self._encode(job.request, self._limits)
        if job.deadline is not None:
            relay.deadline_at = job.deadline
        if self._watch is not None:
            self._watch.count_sent(job)
        if not relay.begin(encoded, True):
            return False
        self._workers.last_at_work = job
        self._is_relaying = True
        return True

    def relay_stopped(self, is_at_end: bool) -> None:
        """End, or go on in a task if something is left that takes one."""
        workers = self._workers
        if self._job is not None or not is_at_end:
            workers.need_task(self)
            return
        relay, self._relay = self._relay, None  # first: `abandon` releases no permit twice
        assert relay is not None
        workers.permits.release()
        workers.worker_ended(self)
        assert workers.relays is not None
        if len(workers.relays.resting) < MOST_RESTING:
            del relay.owner  # it refers to this worker, and so to the whole batch
            workers.relays.resting.append(relay)

    def abandon(self) -> None:
        """Give up the request in flight, at the end of the batch."""
        relay = self._relay
        if relay is None:  # an error has interrupted its end
            return
        with contextlib.ExitStack() as steps:  # whatever each raises
            steps.callback(self._workers.worker_ended, self)
            steps.callback(self._workers.permits.release)
            steps.callback(self._interrupt)
            steps.callback(relay.abandon)
        self._relay = None

    async def work(self) -> None:
        """Try one request after another until there is none; then release the permit."""
        workers = self._workers
        permits = workers.permits
        held = True
        late = 0.0 if self._is_relaying else workers.clock() - self.made_at
        if late >= LATE:
            # The loop was blocked before this task began: the first request must not pay for it.
            self.take_out(late, self.made_at)
        try:
            if self._job is None and self._relay is not None:
                # Between two requests: the search for the next one has raised.
                await self._relay.wait()
            while (job := self._job) is not None:
                await self._try(job)
                if self._job is not None:
                    continue
                if permits.waiting and workers.batch_permits.must_give_way():
                    permits.release()
                    held = False
                    await permits.acquire()
                    held = True
                elif workers.has_had_its_slice(job):
                    await workers.slice.let_others_run()
                self._job = workers.next_job(workers.clock())
                workers.call_dispatcher()
        finally:
            if held:
                permits.release()
            workers.worker_ended(self)
            self._relay = None

    async def relay_alone(self, encoded: Encoded) -> bool:
        """
        Try the only request by relay, if it may start now.

        Returns:
            Whether it was started, and something is left for `work_alone`.
        """
        workers, relay = self._workers, self._relay
        assert relay is not None
        job = self._job = workers.next_job(workers.clock())
        if job is None:
            return False
        if not _is_usual(job, workers.announce):
            return True  # it is encoded again, with the limits of its own
        if self._watch is not None:
            encoded = self._watch.with_fields(encoded, self._limits)
        self._encoded = encoded
        if job.deadline is not None:
            relay.deadline_at = job.deadline
        if self._watch is not None:
            self._watch.count_sent(job)
        if not relay.begin(encoded):
            return True
        workers.last_at_work = job
        self._encoded = UNSET
        try:
            self._is_relaying = await relay.wait()
        except BaseException:
            self._interrupt()
            raise
        return self._is_relaying

    def give_up(self, error: BaseException) -> None:
        """Give up the request of `relay_alone`, and raise `error` from it."""
        if self._relay is not None:
            self._relay.give_up(error)

    async def work_alone(self) -> None:
        """Try one request after another until none can start."""
        workers = self._workers
        while (job := self._job or workers.next_job(workers.clock())) is not None:
            self._job = job
            await self._try(job)

    def take_out(self, seconds: float, before: float) -> None:
        """Take the time of a blocked loop out of the request that is being tried."""
        take_out_of(self._job, seconds, before)

    async def _try(self, job: Job) -> None:
        """Try a request once, and by relay those after it; `_job` is one left untried, if any."""
        workers, relay = self._workers, self._relay
        watch = None if self._watch is None else self._watch.watch
        is_relaying, self._is_relaying = self._is_relaying, False
        if not is_relaying:
            workers.last_at_work = job
            if self._watch is not None:
                self._watch.count_sent(job)
        try:
            encoded, self._encoded = self._encoded, UNSET
            if not is_relaying and relay is not None and _is_usual(job, workers.announce):
                if isinstance(encoded, Unset):
                    encoded = self._encode(job.request, self._limits)
                if job.deadline is not None:
                    relay.deadline_at = job.deadline
                is_relaying = relay.begin(encoded)
            if is_relaying:
                assert relay is not None
                if not await relay.wait():
                    return
                assert self._job is not None
                job = self._job
                outcome = await workers.attempter.conclude(relay, job.deadline, job.allowed, watch)
            else:
                if workers.announce is not None and job.method not in IDEMPOTENT:
                    await workers.announce(job)
                outcome = await workers.attempter.run(
                    job.request,
                    deadline_at=job.deadline,
                    clock=workers.clock,
                    allowed=job.allowed,
                    limits=job.host.limits,
                    encoded=encoded,
                    download=job.download,
                    watch=watch,
                )
            if self._watch is not None:
                self._watch.tell_of_outcome(job, outcome)
            if outcome.kind is None and relay is not None and _is_usual(job, workers.announce):
                job.queued += outcome.queued
                encoded = self.take_response(
                    outcome.response,
                    outcome.content,
                    outcome.timing,
                    workers.clock(),
                    outcome.started_at,
                )
                self._encoded = UNSET if encoded is None else encoded
                return
        except BaseException:
            self._interrupt()
            raise
        ended, self._job = self._job, None
        assert ended is not None
        workers.ledger.settle(ended, outcome, workers.clock())
        workers.tell_feeder()

    def _interrupt(self) -> None:
        job, self._job = self._job, None
        if self._watch is not None and job is not None:
            abandoned = None if self._relay is None else self._relay.abandoned
            limit = self._workers.limit
            is_late = limit is not None and limit.has_come
            self._watch.tell_of_cut(job, abandoned, is_late=is_late)
        # An error may have hit a relay between two requests.
        if job is not None and job.state is _START:
            self._workers.ledger.interrupt(job, self._workers.clock())

    def take_response(
        self,
        response_builder: Any,
        content: bytes,
        course: Course | Timing,
        now: float,
        started_at: float | None = None,
    ) -> Encoded | None:
        """
        Record the result of a request, and return the next one, if the relay can send it.

        A task calls it too, with a response and the time when its try was started. The next request
        may then be one that the relay cannot send.
        """
        workers = self._workers
        job: Any = self._job
        is_relay = started_at is None
        ledger = workers.ledger
        if job.weight:
            ledger.let_go(job)
        history = job.history
        # The same as `success_of`, without the calls.
        result = draft()
        result.index = job.index
        result._item = job.request
        result._url = result._saved = None
        result.elapsed = now - job.first_started_at
        result.attempts = job.attempts
        result.history = () if history is None else tuple(history)
        result._queued = job.queued
        result._throttled = job.throttled
        result._network = course
        result._content = content
        result._answer = response_builder
        result._started = ledger.epoch + job.first_started_at
        result.from_journal = False
        result.__class__ = Success
        publish = ledger.publish
        publish(result)
        gives_way = workers.permits.waiting and workers.batch_permits.must_give_way()
        source = workers.reader.source
        if source.is_at_hand and not gives_way:
            encoded = self._replace(job, source, now, is_relay)
            if encoded is not None:
                return encoded
        # Reading the input may have taken any time.
        now = workers.clock()
        if started_at is None:
            started_at = cast("Course", course)[0]
        ledger.succeeded(job, started_at, now)
        self._job = None
        if gives_way:
            workers.tell_feeder()
            return None
        self._job = job = workers.next_job(now)
        if job is None:  # this worker looks again, or ends and wakes the dispatcher
            return None
        workers.call_dispatcher()
        if not is_relay or not _is_usual(job, workers.announce):
            return None
        encoded = self._encode(job.request, self._limits)
        if encoded is None or not (isinstance(encoded, tuple) or can_relay(encoded)):
            return None
        workers.last_at_work = job
        if job.deadline is not None:
            assert self._relay is not None
            self._relay.deadline_at = job.deadline
        return encoded

    # None keyword-only: CPython 3.11 specialises no call of a function that has such arguments.
    def _replace(self, done: Job, source: Input, now: float, is_relay: bool) -> Encoded | None:
        """
        Replace a request that has succeeded by the next one of the input, if that may start now.

        This is the common case: no permit is waited for, and the next request is for the same host,
        which accepts it. Then no queue and no count changes. Else, return `None`; `next_job` then
        decides.
        """
        workers = self._workers
        schedule = workers.schedule
        if schedule.pending or not done.host.steady:
            return None
        output = workers.output
        if output.is_bounded and not output.may_go_on(
            workers.ledger.unfinished - 1, schedule.in_flight - 1
        ):
            return None
        take = source.take
        if take is not None:
            numbered = take()
        else:
            # As `Reader.read_timed`, without the call.
            clock = workers.clock
            begun = clock()
            numbered = source.read()
            now = clock()
            if now - begun >= LEAST:
                workers.stalls.take_out(now - begun, begun)
        if numbered is END:
            return None
        index, item = numbered
        ledger, key = workers.ledger, None
        encoded: Encoded | None = None
        is_text = type(item) is str
        if is_text or not has_own_limits(item):
            encode = self._encode
            encoded = encode(item, self._limits)
        if encoded is not None:
            if isinstance(encoded, tuple):
                key, may_go = encoded[2].key, True
            else:
                key = encoded.key
                may_go = not is_relay or (can_relay(encoded) and not workers.must_announce(item))
            if may_go and schedule.replace(done, item, index, key, now):
                if is_text:
                    done.method, done.retry = "GET", UNSET
                else:
                    done.method = method_of(item)
                    done.retry = item.retry if isinstance(item, Request) else UNSET
                before = ledger.full_before
                if before is not None:
                    # The same as in `Ledger.enter`, without the call.
                    slots = workers.slots
                    since = slots.full_since
                    seconds = slots.full_seconds - before
                    done.queued = seconds + (now - since) if since else seconds
                workers.last_at_work = done
                if workers.has_deadline:
                    assert self._relay is not None
                    assert done.allowed is not None
                    self._relay.deadline_at = done.deadline = now + done.allowed
                return encoded
        ledger.enter(item, index, now, key)
        return None


class WatchedWorker(Worker):
    """Tells the listener of the batch of each request that it sends."""

    __slots__ = ()

    def __init__(
        self, workers: Workers, job: Job | None = None, encoded: Encoded | Unset | None = UNSET
    ) -> None:
        super().__init__(workers, job, encoded)
        assert workers.listener is not None
        self._watch = WorkerWatch(workers.listener, workers.attempter.lane, workers.clock)
        self._encode = self._watch.encode
        if self._relay is not None:
            # `DirectLane` tells the watch of each hop.
            self._relay.follows_redirects = False

    def take_response(
        self,
        response_builder: Any,
        content: bytes,
        course: Course | Timing,
        now: float,
        started_at: float | None = None,
    ) -> Encoded | None:
        """Tell of a response that the relay has received, and do what `Worker` does."""
        take = super().take_response
        if started_at is not None:  # its task has told of the outcome
            return take(response_builder, content, course, now, started_at)
        job, watch = self._job, self._watch
        assert job is not None
        assert watch is not None
        watch.tell_of_response(job, response_builder, cast("Course", course))
        encoded = take(response_builder, content, course, now)
        if encoded is not None:
            assert self._job is not None
            watch.count_sent(self._job)
        return encoded


def _is_usual(job: Job, announce: Announce | None) -> bool:
    """Whether a job has the limits of the fetcher, as a relay requires."""
    if job.host.limits is not None:
        return False
    if announce is not None and job.method not in IDEMPOTENT:
        return False
    return type(job.request) is str or not has_own_limits(job.request)
