"""
Makes the `Result` of a request from its job and its last outcome.

Builds values only; all decisions are made before.
"""

from __future__ import annotations

from typing import Any, cast

import attrs

from asyncbatch._lanes import Binding, Lane, ResponseBuilder
from asyncbatch._schedule import Job, RetryDecision
from asyncbatch._values._errors import (
    DeadlineExceeded,
    FailureKind,
    HostDown,
    HostPaused,
    NotStarted,
    RetryAfterTooLong,
    add_note,
)
from asyncbatch._values._outcome import NO_TIMING, Outcome
from asyncbatch._values._result import Failure, Result, Success, status_error, success
from asyncbatch._values._sink import Saved
from asyncbatch._values._timing import Attempt, Course, timing_of

_UNPAID = "not tried again: the retry budget of its host was used up"


def is_unsent(outcome: Outcome) -> bool:
    """Whether a try ended before it came to the network."""
    return not any(True for _ in timing_of(outcome.timing).phases())


def attempt_of(job: Job, outcome: Outcome, delay: float) -> Attempt:
    """Return the history entry of a try that is followed by another."""
    return Attempt(
        status_code=outcome.status_code,
        error=outcome.error or status_error(built(job.request, outcome)),
        timing=timing_of(outcome.timing, queued=job.queued, throttled=job.throttled),
        delay=delay,
    )


def result_of(job: Job, outcome: Outcome, now: float, lane: Lane, epoch: float) -> Result:
    """
    Return the result of `job` with its last outcome.

    Args:
        job: The request.
        outcome: The outcome of its last try.
        now: The current time.
        lane: The lane that sent it.
        epoch: The wall time, in seconds since 1970, at which the clock of the batch shows 0.
    """
    if outcome.kind is None:
        if outcome.saved is None:
            return success_of(job, outcome, now, epoch)
        if outcome.response is None:
            return skipped(job.request, job.index, outcome.saved, lane)
        return saved(success_of(job, outcome, now, epoch), outcome.saved)
    started_at = job.first_started_at
    history = () if job.history is None else tuple(job.history)
    if history and len(history) == job.attempts:
        # It ended between two tries: the last one is part of the result, not of its history.
        *earlier, last = history
        history = tuple(earlier)
        outcome.timing = last.timing
        assert outcome.error is not None
        outcome.error.__cause__ = last.error
    url = outcome.url
    if url is None and outcome.response is None:
        url = url_of(job.request, lane)
    return Failure(
        index=job.index,
        item=job.request,
        url=url,
        # If it turned out to be invalid before anything was sent, it has no beginning.
        elapsed=0.0 if started_at is None or not job.attempts else now - started_at,
        attempts=job.attempts,
        history=history,
        queued=job.queued,
        throttled=job.throttled,
        network=outcome.timing,
        error=outcome.error,
        kind=outcome.kind,
        content=outcome.content,
        response=outcome.response,
        started=_wall_time(job, epoch),
    )


def unpaid(job: Job, outcome: Outcome, now: float, lane: Lane, epoch: float) -> Failure:
    """Return the result of `job`, which was not tried again for lack of retry budget."""
    if outcome.error is None:
        outcome.error = status_error(built(job.request, outcome))
    if _UNPAID not in getattr(outcome.error, "__notes__", ()):  # it may be raised again and again
        add_note(outcome.error, _UNPAID)
    failure = result_of(job, outcome, now, lane, epoch)
    assert isinstance(failure, Failure)
    return attrs.evolve(failure, out_of_budget=True)


def built(item: object, outcome: Outcome) -> Any:
    """Return the response, and build it first if necessary."""
    if isinstance(outcome.response, ResponseBuilder):
        course = cast("Course", outcome.timing)
        outcome.response = outcome.response.build(item, outcome.content, course)
    return outcome.response


def success_of(job: Job, outcome: Outcome, now: float, epoch: float) -> Success:
    """Return the result of `job` with a good response."""
    return _success(job, outcome.timing, outcome.content, outcome.response, now, epoch)


def _success(
    job: Job, timing: Any, content: bytes, response: Any, now: float, epoch: float
) -> Success:
    started_at = job.first_started_at
    return success(
        job.index,
        job.request,
        0.0 if started_at is None else now - started_at,
        job.attempts,
        () if job.history is None else tuple(job.history),
        job.queued,
        job.throttled,
        timing,
        content,
        response,
        _wall_time(job, epoch),
    )


def _wall_time(job: Job, epoch: float) -> float:
    """Return when `job` was tried first, in seconds since 1970; 0.0 if it was not."""
    started_at = job.first_started_at
    return 0.0 if started_at is None or not job.attempts else epoch + started_at


def saved(result: Success, file: Saved) -> Success:
    """Return `result`, with the file that its body is in."""
    object.__setattr__(result, "_saved", file.plain())
    return result


def saved_of(
    job: Job,
    response_builder: ResponseBuilder,
    course: Course,
    file: Saved,
    now: float,
    epoch: float,
) -> Success:
    """Return the result of `job` with a good response whose body has gone to a file at once."""
    started_at = job.first_started_at
    assert started_at is not None
    return success(
        job.index,
        job.request,
        now - started_at,
        job.attempts,
        () if job.history is None else tuple(job.history),
        job.queued,
        job.throttled,
        course,
        b"",
        response_builder,
        epoch + started_at,
        False,
        (file.path, file.size, file.resumed_from),
    )


def skipped(item: object, index: int, file: Saved, lane: Lane) -> Success:
    """Return the result of a request whose file was there, so that nothing was sent."""
    return Success(**_unsent_fields(item, index, lane), saved=file.plain())


def rejected(item: object, index: int, error: Exception, lane: Lane) -> Failure:
    """Return the result of an item that cannot be sent."""
    return _unsent(item, index, error, FailureKind.invalid_request, lane)


def not_started(item: object, index: int, batch_timeout: float, lane: Lane) -> Failure:
    """Return the result of a request that was not sent before the time limit of the batch."""
    error = lane.binding.error(NotStarted)(batch_timeout)
    return _unsent(item, index, error, FailureKind.not_started, lane)


def _unsent(item: object, index: int, error: Exception, kind: FailureKind, lane: Lane) -> Failure:
    return Failure(**_unsent_fields(item, index, lane), error=error, kind=kind)


def _unsent_fields(item: object, index: int, lane: Lane) -> dict[str, Any]:
    """Return the fields of a result for which nothing was sent."""
    return {
        "index": index,
        "item": item,
        "url": url_of(item, lane),
        "elapsed": 0.0,
        "attempts": 0,
        "history": (),
        "queued": 0.0,
        "throttled": 0.0,
        "network": NO_TIMING,
        "response": None,
    }


def host_down(job: Job, binding: Binding) -> Outcome:
    """Return the outcome of a request that was not sent because its host is down."""
    error = binding.error(HostDown)(_origin_of(job))
    return Outcome(kind=FailureKind.host_down, error=error)


def paused(job: Job, now: float, binding: Binding) -> Outcome:
    """Return the outcome of a request whose host is paused for longer than it may wait."""
    left = job.allowed or 0.0 if job.deadline is None else max(0.0, job.deadline - now)
    seconds = job.host.paused_until - now
    error = binding.error(HostPaused)(_origin_of(job), seconds=seconds, limit=left)
    return Outcome(kind=FailureKind.retry_after, error=error)


def _origin_of(job: Job) -> str:
    return "{}://{}:{}".format(*job.host.key)  # type: ignore[misc]  # a HostKey


def too_late(option: str, seconds: float, binding: Binding) -> Outcome:
    """Return the outcome of a request whose time limit passed between two tries."""
    error = binding.error(DeadlineExceeded)(option, seconds)
    return Outcome(kind=FailureKind.timeout, error=error)


def refused(job: Job, outcome: Outcome, decision: RetryDecision, binding: Binding) -> Outcome:
    """Return `outcome` as that of a server that asks for too long a wait."""
    response = built(job.request, outcome)
    assert outcome.retry_after is not None
    error = binding.error(RetryAfterTooLong)(
        outcome.retry_after,
        limit=decision.limit,
        option=decision.option,
        request=response.request,
        response=response,
    )
    return attrs.evolve(outcome, kind=FailureKind.retry_after, error=error)


def url_of(item: object, lane: Lane) -> Any:
    """Return the URL of `item`, `None` if it cannot be fetched."""
    try:
        return lane.locate(item)
    except Exception:
        return None
