"""
The ledger of a batch: enters each request that is read, and gives it its result.

Every request is entered here once and gets its result here once. Nothing here waits; `Workers` run
the requests.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from asyncbatch._batch._callbacks import Callbacks
from asyncbatch._batch._log import log_retry
from asyncbatch._batch._make_result import (
    attempt_of,
    built,
    host_down,
    is_unsent,
    not_started,
    paused,
    refused,
    rejected,
    result_of,
    skipped,
    too_late,
    unpaid,
)
from asyncbatch._batch._output import Output
from asyncbatch._batch._shared import Shared
from asyncbatch._batch._window import Window
from asyncbatch._files import Download, Files
from asyncbatch._lanes import callers_error
from asyncbatch._progress import FILES_SHOWN, FileProgress, Progress
from asyncbatch._runtime._event_loop import Clock, epoch_of
from asyncbatch._schedule import FINISH, Job, JobState, RetryAction, Schedule
from asyncbatch._schedule._host import Host
from asyncbatch._values._errors import FailureKind
from asyncbatch._values._host_key import HostKey, host_key_of, host_key_of_url, plain_prefix
from asyncbatch._values._outcome import Outcome
from asyncbatch._values._request import UNSET, Request, Unset, method_of
from asyncbatch._values._result import Failure, Result
from asyncbatch._values._retry import Retry
from asyncbatch._values._tries import is_repeatable

_HAS_RESULT: Any = object()
"""In place of the download of a request whose file is there, or that has been refused."""


class Ledger:
    """The requests of one batch, from being read to having a result."""

    def __init__(
        self,
        shared: Shared,
        schedule: Schedule,
        output: Output,
        progress_count: ProgressCount | None,
        clock: Clock,
        *,
        is_at_hand: bool,
        files: Files,
    ) -> None:
        self.files = files
        """Where the bodies of its requests go."""
        self.unfinished = 0
        """Number of requests read that have no result yet."""
        self.on_retry: Callable[[Job], object]
        """Called with a request that will be tried again; set by the dispatcher."""
        self.window = Window(shared.window)
        """Decides how many requests may be read that have no result yet."""
        self.batch_timeout = 0.0
        """Seconds for the whole batch, if it has a time limit; for messages."""
        self._shared = shared
        self._hosts = shared.hosts
        self._lane = shared.attempter.lane
        self._schedule = schedule
        self._progress_count = progress_count
        self._put_all = output.put_all
        self.publish: Callable[[Result], object] = output.put
        """Hands a result over. `_finish` or `succeeded` do the rest of the bookkeeping."""
        if progress_count is not None:
            self.publish = functools.partial(_count_and_put, progress_count, output)
        self._clock = clock
        self.epoch = epoch_of(clock)
        """The wall time, in seconds since 1970, at which the clock of the batch shows 0."""
        self._slots = shared.slots
        # For an input that is at hand, requests wait from the beginning of the batch: `queued`
        # counts the time since then in which no slot was free. None for any other input.
        self.full_before = shared.slots.full_at(clock()) if is_at_hand else None
        self._callbacks = Callbacks(clock, shared.stalls)
        # The last origin that was read from a URL, and the beginning that all plain URLs of that
        # origin have; `()` while that is not known.
        self._origin: HostKey | None = None
        self._prefix: str | tuple[()] = ()
        # Requests that were cancelled during an attempt.
        self._interrupted: list[Job] = []

    def enter(
        self,
        item: Any,
        index: int,
        now: float,
        origin: HostKey | None = None,
        *,
        is_beyond: bool = False,
    ) -> None:
        """
        Add `item` to the schedule, or give it a result at once if it cannot be sent.

        Args:
            item: The request, as it was read.
            index: Its position in the input.
            now: The current time.
            origin: Its origin, if it is known already.
            is_beyond: Whether it was read beyond the size of the window.
        """
        self.unfinished += 1
        if origin is None:
            try:
                origin = self._origin_of(item)
            except Exception as error:
                self._finish_request(rejected(item, index, error, self._lane))
                return
        download = None
        if self.files.to is not None or (type(item) is not str and _names_file(item)):
            download = self._download_of(item, index)
            if download is _HAS_RESULT:
                return
        if type(item) is str:
            job = Job(item, index, self._hosts.get(origin))
            job.allowed = self._shared.deadline
        else:
            job = self._job_of(item, index, self._hosts.get(origin))
        job.download = download
        if self.full_before is not None:
            since = self._slots.full_since  # as in `Slots.full_at`, without the call
            seconds = self._slots.full_seconds - self.full_before
            job.queued = seconds if since is None else seconds + now - since
        if is_beyond:
            job.weight = self.window.hold(item)
        self._schedule.add(job, now)

    def start(self, url: str, index: int, now: float, origin: HostKey) -> Job | None:
        """
        Enter a URL as `enter` does, and start it if its host accepts it.

        Returns:
            `None` if it has been added to the schedule instead, or has its result.
        """
        self.unfinished += 1
        download = None
        if self.files.to is not None:
            download = self._download_of(url, index)
            if download is _HAS_RESULT:
                return None
        job = Job(url, index, self._hosts.get(origin))
        job.download = download
        job.allowed = allowed = self._shared.deadline
        if self.full_before is not None:
            since = self._slots.full_since  # as in `Slots.full_at`, without the call
            seconds = self._slots.full_seconds - self.full_before
            job.queued = seconds if since is None else seconds + now - since
        if not self._schedule.start(job, now):
            self._schedule.add(job, now)
            return None
        if allowed is not None:
            job.deadline = now + allowed
        return job

    def _download_of(self, item: Any, index: int) -> Any:
        """Return what receives the body of a request; `_HAS_RESULT` if nothing is to be sent."""
        try:
            download = self.files.download_of(item if type(item) is str else Request.of(item))
        except ValueError as error:
            self._finish_request(rejected(item, index, error, self._lane))
            return _HAS_RESULT
        if download is None:
            return None
        if self._shared.check is not None:
            download.examine = functools.partial(self._callbacks.examine, self._shared.check)
        found = download.found_nowait()
        if found is None:
            return download
        self._finish_request(skipped(item, index, found, self._lane))
        return _HAS_RESULT

    def _origin_of(self, item: Any) -> HostKey:
        """Return the origin of a request; a URL that begins as the last one is not parsed."""
        if type(item) is not str:
            return host_key_of(item, self._lane.locate)
        last = self._origin
        if last is not None and item.startswith(self._prefix):
            return last
        origin = self._origin = host_key_of(item, self._lane.locate)
        self._prefix = (plain_prefix(item) or ()) if origin == last else ()
        return origin

    def _job_of(self, item: Any, index: int, host: Host) -> Job:
        job = Job(item, index, host, method_of(item))
        job.allowed = self._shared.deadline
        if isinstance(item, Request):
            if not isinstance(item.deadline, Unset):
                job.allowed = item.deadline
            job.retry = item.retry
        return job

    def pass_on(self, result: Result) -> None:
        """Hand over the result of an item that came with one."""
        self.publish(result)

    def pass_on_all(self, results: Sequence[Result]) -> None:
        """Hand over the results of several items that came with them."""
        if self._progress_count is None:
            self._put_all(results)
            return
        for result in results:
            self.publish(result)

    def settle(self, job: Job, outcome: Outcome, now: float) -> None:
        """Let `job` be tried again, or give it its result, as the schedule decides."""
        job.queued += outcome.queued
        if outcome.saved is not None and outcome.status_code is None:
            job.discount_try()  # its file was there: nothing was sent
        elif outcome.kind is FailureKind.invalid_request and is_unsent(outcome):
            job.discount_try()
        # A body in a file has been examined before the file got its name.
        check = None if outcome.saved is not None else self._shared.check
        if outcome.kind is None and check is not None:
            error = self._callbacks.examine(check, built(job.request, outcome))
            if error is not None:
                self._refuse(outcome, error)
            now = self._time_after(job, now)
        if outcome.kind is not None:
            if not is_repeatable(job.request):
                outcome.permanent = outcome.is_spent = True
            if getattr(outcome.response, "history", None):
                self._schedule.overhear(host_key_of_url(outcome.response.url), job, outcome, now)
            elif outcome.target_silent:
                target = host_key_of_url(outcome.url)
                self._schedule.overhear(target, job, outcome.of_target(), now)
            now = self._ask(job, outcome, now)
        decision = self._schedule.done(job, outcome, now)
        if decision is not FINISH:
            if decision.action is RetryAction.RETRY:
                self.on_retry(job)
                self._note_retry(job, outcome, decision.delay)
                return
            if decision.action is RetryAction.OUT_OF_BUDGET:
                self._finish_request(unpaid(job, outcome, now, self._lane, self.epoch), job)
                return
            outcome = refused(job, outcome, decision, self._lane.binding)
        self._finish_request(result_of(job, outcome, now, self._lane, self.epoch), job)

    def _ask(self, job: Job, outcome: Outcome, now: float) -> float:
        """Call `Retry.when` with a failure, if there is one; return the time afterwards."""
        retry = self._schedule.policy_for(job)
        if not isinstance(retry, Retry) or retry.when is None:
            return now
        if outcome.local or outcome.is_spent:
            return now
        if job.attempts >= retry.attempts:
            return now
        failure = result_of(job, outcome, now, self._lane, self.epoch)
        assert isinstance(failure, Failure)
        answer = self._callbacks.ask(retry.when, failure)
        if isinstance(answer, Exception):
            self._refuse(outcome, answer)
            outcome.wish = False
        else:
            outcome.wish = answer
        return self._time_after(job, now)

    def _refuse(self, outcome: Outcome, error: Exception) -> None:
        outcome.kind = FailureKind.callback
        outcome.error = callers_error(error)

    def _time_after(self, job: Job, before: float) -> float:
        """Return the time after code of the caller, whose time `job` does not pay for."""
        now = self._clock()
        assert job.first_started_at is not None
        job.first_started_at += now - before
        if job.deadline is not None:
            job.deadline += now - before
        return now

    def succeeded(self, job: Job, started_at: float, now: float) -> None:
        """Record a success that is published already, if no other request replaces it."""
        self.unfinished -= 1
        self._schedule.succeeded(job, started_at, now)

    def saved(self, job: Job, now: float) -> None:
        """Record a success that is published already, whose body had been received before."""
        self.unfinished -= 1
        self._schedule.saved(job, now)

    def settle_unsent(self, job: Job, now: float) -> None:
        """Give `job` its result if its host, its deadline or its batch kept it from being sent."""
        binding = self._lane.binding
        if job.state is JobState.LATE:
            self.time_out(job, self.batch_timeout, now)
            return
        if job.state is JobState.HOST_DOWN:
            outcome = host_down(job, binding)
        elif job.state is JobState.PAUSED:
            outcome = paused(job, now, binding)
        else:
            outcome = too_late("deadline", job.allowed or 0.0, binding)
        self._finish_request(result_of(job, outcome, now, self._lane, self.epoch), job)

    def interrupt(self, job: Job, now: float) -> None:
        """Record that the attempt of `job` was cancelled."""
        self._schedule.release(job, now)
        self._interrupted.append(job)

    def interrupt_file(self, job: Job, now: float) -> None:
        """Record that a received body of `job` was given up."""
        self._schedule.saved(job, now)
        self._interrupted.append(job)

    def withdraw_unfinished(self, now: float) -> list[Job]:
        """Return all requests without a result, in input order; none of them starts again."""
        jobs = [*self._interrupted, *self._schedule.close(now)]
        self._interrupted.clear()
        return sorted(jobs, key=lambda job: job.index)

    def time_out(self, job: Job, batch_timeout: float, now: float) -> None:
        """Give `job` its result at the time limit of the batch."""
        if not job.attempts:
            self._finish_request(
                not_started(job.request, job.index, batch_timeout, self._lane), job
            )
            return
        outcome = too_late("batch_timeout", batch_timeout, self._lane.binding)
        self._finish_request(result_of(job, outcome, now, self._lane, self.epoch), job)

    def reject_unread(self, item: Any, index: int, batch_timeout: float) -> None:
        """Enter `item`, read after the time limit of the batch, and give it its result."""
        self.unfinished += 1
        self._finish_request(not_started(item, index, batch_timeout, self._lane))

    def let_go(self, job: Job) -> None:
        """Stop counting the bytes of a request beyond the size of the window."""
        self.window.let_go(job.weight)
        job.weight = 0

    def _note_retry(self, job: Job, outcome: Outcome, delay: float) -> None:
        log_retry(job, outcome, delay)
        if outcome.local:
            return
        if self._progress_count is not None:
            self._progress_count.retries += 1
        if job.history is None:
            job.history = []
        job.history.append(attempt_of(job, outcome, delay))

    def _finish_request(self, result: Result, job: Job | None = None) -> None:
        self.unfinished -= 1
        if job is not None and job.weight:
            self.let_go(job)
        self.publish(result)


def _names_file(item: object) -> bool:
    """Whether a request says where its body goes, or what it must be."""
    return isinstance(item, Request) and not (item.to is UNSET and item.checksum is None)


def _count_and_put(progress_count: ProgressCount, output: Output, result: Result) -> None:
    if not output.has_left:
        progress_count.add(result)
    output.put(result)


class ProgressCount:
    """The running count of the results of a batch, for its progress report."""

    def __init__(self, total: int | None) -> None:
        self._total = total
        self._succeeded = 0
        self._failed = 0
        self._bytes = 0
        self.retries = 0
        """Number of tries beyond the first; the batch counts them."""

    def add(self, result: Result) -> None:
        """Count `result`."""
        if result.ok:
            self._succeeded += 1
        else:
            self._failed += 1
        if result.attempts:  # otherwise its file was there before
            self._bytes += result.size

    def progress(
        self,
        *,
        in_flight: int,
        elapsed: float,
        hosts: tuple[str, ...] = (),
        files: Sequence[Download] = (),
    ) -> Progress:
        """Return the count so far; `files` are those under way."""
        return Progress(
            total=self._total,
            succeeded=self._succeeded,
            failed=self._failed,
            retries=self.retries,
            in_flight=in_flight,
            bytes=self._bytes + sum(each.received for each in files),
            elapsed=elapsed,
            hosts=hosts,
            files=tuple(map(_progress_of, files[:FILES_SHOWN])),
        )


def _progress_of(file: Download) -> FileProgress:
    return FileProgress(path=file.path, received=file.received, size=file.length, rate=file.rate)
