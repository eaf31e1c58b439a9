"""One try: which limit counts, and how a response is judged."""

from __future__ import annotations

from typing import Any

import anyio
import httpx
import pytest

from asyncbatch import DeadlineExceeded, FailureKind, Request
from asyncbatch._batch._attempt import Attempter
from asyncbatch._lanes import ClientLane, binding_of
from asyncbatch._values._outcome import Outcome
from asyncbatch._values._result import status_error
from asyncbatch._values._timeouts import TimeLimits


async def run(answer: Any, item: Any = "http://me:secret@x.test/", **options: Any) -> Outcome:
    """Try `item` once on a transport that answers as told."""
    settings = {"total": 5.0, "deadline": None, "left": None} | options
    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
        lane = ClientLane(
            client, binding_of(client), max_body=100, follow_redirects=True, max_redirects=5
        )
        attempter = Attempter(lane, TimeLimits(settings["total"], 5.0))
        left = settings["left"]
        at = None if left is None else anyio.current_time() + left
        return await attempter.run(
            item, deadline_at=at, clock=anyio.current_time, allowed=settings["deadline"]
        )


async def hang(_: httpx.Request) -> httpx.Response:
    await anyio.sleep_forever()
    raise AssertionError


async def test_a_status_below_400_is_no_failure() -> None:
    """A redirect without a location included."""
    outcome = await run(lambda _: httpx.Response(302))

    assert outcome.kind is None
    assert outcome.error is None


async def test_a_retry_after_date_counts_from_the_responses_own_date() -> None:
    """And from its `Age`: the time of the machine that we run on does not matter."""
    dates = {
        "date": "Sun, 06 Nov 1994 08:49:37 GMT",
        "age": "100",
        "retry-after": "Sun, 06 Nov 1994 11:36:17 GMT",
    }

    outcome = await run(lambda _: httpx.Response(503, headers=dates))

    assert outcome.retry_after == 9900


@pytest.mark.parametrize("status", [400, 404, 503, 600, 999])
async def test_a_status_from_400_on_is_a_failure_without_secrets(status: int) -> None:
    """In httpx's words, but for the password of the URL, and without a frame."""
    outcome = await run(lambda _: httpx.Response(status, headers={"retry-after": "7"}))

    assert outcome.kind == FailureKind.status
    assert outcome.retry_after == 7
    assert outcome.error is None
    error = status_error(outcome.response)
    assert isinstance(error, httpx.HTTPStatusError)
    assert error.response is outcome.response
    assert str(status) in str(error)
    assert "secret" not in str(error)
    assert error.__traceback__ is None
    assert error.__context__ is None


async def test_the_deadline_counts_where_it_comes_first() -> None:
    """The error names the option with which it was set."""
    outcome = await run(hang, deadline=60.0, left=0.01)

    assert outcome.kind == FailureKind.timeout
    assert isinstance(outcome.error, DeadlineExceeded)
    assert outcome.error.option == "deadline"
    assert outcome.error.seconds == 60


async def test_the_time_limit_counts_where_it_comes_first() -> None:
    """Although there is a deadline too."""
    outcome = await run(hang, total=0.01, deadline=60.0, left=60.0)

    assert type(outcome.error).__name__ == "AttemptTimeout"


async def connect_for_ever(request: httpx.Request) -> httpx.Response:
    """Tell what httpcore tells as it connects, and come to no end."""
    await request.extensions["trace"]("connection.connect_tcp.started", {})
    await anyio.sleep_forever()
    raise AssertionError


@pytest.mark.parametrize(("least", "counts"), [(1.0, False), (0.01, True)])
async def test_a_deadline_that_leaves_no_time_to_connect_says_nothing_about_the_host(
    monkeypatch: pytest.MonkeyPatch, least: float, counts: bool
) -> None:
    """One that leaves enough does."""
    monkeypatch.setattr("asyncbatch._batch._attempt.LEAST_TO_ANSWER", least)

    outcome = await run(connect_for_ever, deadline=60.0, left=0.02)

    assert isinstance(outcome.error, DeadlineExceeded)
    assert outcome.connect_failed == counts


async def test_a_time_limit_that_cuts_connecting_off_says_something_about_the_host() -> None:
    """It is the same for every request."""
    outcome = await run(connect_for_ever, total=0.01)

    assert outcome.connect_failed


async def test_a_deadline_that_has_passed_ends_the_try_at_once() -> None:
    """As a time-out, not as a mistake in the arguments."""
    outcome = await run(hang, deadline=1.0, left=-1.0)

    assert isinstance(outcome.error, DeadlineExceeded)


async def test_a_time_limit_that_is_none_makes_an_invalid_request() -> None:
    """The mistake of one request is its own result."""
    timeout: Any = "soon"
    outcome = await run(hang, Request("http://x.test/", timeout=timeout))

    assert outcome.kind == FailureKind.invalid_request
    assert isinstance(outcome.error, TypeError)
