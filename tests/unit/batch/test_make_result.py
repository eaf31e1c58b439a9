"""Results, made of a job and its last outcome."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import httpx

from asyncbatch import (
    DeadlineExceeded,
    FailureKind,
    HostDown,
    HostPaused,
    NotStarted,
    Retry,
    RetryAfterTooLong,
)
from asyncbatch._batch._make_result import (
    attempt_of,
    host_down,
    not_started,
    paused,
    refused,
    rejected,
    result_of,
    success_of,
    too_late,
    unpaid,
    url_of,
)
from asyncbatch._lanes import binding_of
from asyncbatch._schedule import Job, RetryAction, RetryDecision
from asyncbatch._values._outcome import Outcome
from asyncbatch._values._timing import Timing
from tests.simulation import new_hosts
from tests.simulation import refused as refusal

URL = "http://a.test:80/x"


def locate(item: Any) -> httpx.URL:
    return httpx.URL(item)


BINDING = binding_of(httpx.AsyncClient())
LANE: Any = SimpleNamespace(binding=BINDING, locate=locate)


def job(**given: Any) -> Any:
    """Return a job that was first started at the time 5."""
    made: Any = Job(URL, 3, new_hosts().get(("http", "a.test", 80)))
    made.attempts, made.first_started_at, made.queued, made.throttled = 1, 5.0, 0.25, 0.5
    for name, value in given.items():
        setattr(made, name, value)
    return made


def outcome(status: int | None = None, **given: Any) -> Outcome:
    if status is not None:
        response = httpx.Response(status, request=httpx.Request("GET", URL))
        given = {"response": response, "status_code": status, **given}
    return Outcome(timing=Timing(wait=1.0), **given)


def test_a_success_has_its_times_and_its_place() -> None:
    """Its waits with us, those on the network, and all of it together."""
    result = success_of(job(), outcome(200, content=b"x"), 9.0, 1000.0)

    assert (result.ok, result.index, result.elapsed, result.attempts) == (True, 3, 4.0, 1)
    assert result.timing == Timing(queued=0.25, throttled=0.5, wait=1.0)
    assert result.started == datetime.fromtimestamp(1005.0, UTC)
    assert type(result_of(job(), outcome(200), 9.0, LANE, 1000.0)) is type(result)


def test_a_failure_names_where_it_ended() -> None:
    """Or where it was to go, if it never got there."""
    error = httpx.ReadError("x")
    there = outcome(kind=FailureKind.protocol, error=error, url=httpx.URL("http://b.test/"))
    nowhere = outcome(kind=FailureKind.protocol, error=error)

    assert str(result_of(job(), there, 9.0, LANE, 1000.0).url) == "http://b.test/"
    assert result_of(job(), nowhere, 9.0, LANE, 1000.0).url == URL.replace(":80", "")
    assert url_of(5, LANE) is None


def test_what_ended_between_two_tries_has_the_last_one_as_its_own() -> None:
    """In its timing and as the cause, and not in its history."""
    tries = [outcome(kind=FailureKind.connect, error=httpx.ConnectError(str(n))) for n in range(2)]
    given = job(attempts=2)
    given.history = [attempt_of(given, each, 1.0) for each in tries]
    result: Any = result_of(given, too_late("deadline", 3.0, BINDING), 9.0, LANE, 1000.0)

    assert [attempt.error for attempt in result.history] == [tries[0].error]
    assert result.error.__cause__ is tries[1].error
    assert result.timing.wait == 1.0


def test_a_try_in_the_history_has_its_status_as_its_error() -> None:
    """And its wait."""
    attempt = attempt_of(job(), outcome(503, kind=FailureKind.status), 2.0)

    assert (attempt.status_code, attempt.delay) == (503, 2.0)
    assert isinstance(attempt.error, httpx.HTTPStatusError)


def test_what_was_not_tried_again_for_want_of_budget_says_so_once() -> None:
    """The caller may raise the same error again and again."""
    error = httpx.ReadError("x")
    for _ in range(2):
        result = unpaid(job(), outcome(kind=FailureKind.protocol, error=error), 9.0, LANE, 1000.0)
        assert result.out_of_budget
    assert len(error.__notes__) == 1
    status = unpaid(job(), outcome(500, kind=FailureKind.status), 9.0, LANE, 1000.0)
    assert isinstance(status.error, httpx.HTTPStatusError)


def test_what_was_never_sent_has_no_tries() -> None:
    """For want of time, or because it cannot be."""
    late = not_started(URL, 3, 7.0, LANE)
    wrong = rejected(5, 4, TypeError("no request"), LANE)

    assert (late.kind, late.attempts, late.elapsed) == (FailureKind.not_started, 0, 0.0)
    assert isinstance(late.error, NotStarted)
    assert (wrong.kind, wrong.index, wrong.url) == (FailureKind.invalid_request, 4, None)


def test_each_reason_not_to_send_has_an_error_of_its_own() -> None:
    """With the host, and with the time that it would have taken."""
    given = job(allowed=5.0)
    given.host.overhear(refusal(retry_after=30.0), 0.0, Retry())
    down, pause = host_down(given, BINDING), paused(given, 10.0, BINDING)
    given.deadline = 12.0
    before = paused(given, 10.0, BINDING)

    assert isinstance(down.error, HostDown)
    assert "http://a.test:80" in str(down.error)
    assert isinstance(pause.error, HostPaused)
    assert isinstance(before.error, HostPaused)
    assert (pause.error.seconds, pause.error.limit, before.error.limit) == (20.0, 5.0, 2.0)
    assert isinstance(too_late("deadline", 3.0, BINDING).error, DeadlineExceeded)


def test_a_wait_that_is_too_long_keeps_its_response() -> None:
    """And what says so."""
    decision = RetryDecision(RetryAction.RETRY_AFTER_TOO_LONG, limit=60.0)
    found = refused(job(), outcome(503, retry_after=99.0), decision, BINDING)

    assert found.kind == FailureKind.retry_after
    assert isinstance(found.error, RetryAfterTooLong)
    assert found.error.response.status_code == 503
