"""`history`: what was tried before, one entry for each attempt but the last, however it ended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest

import asyncbatch
from asyncbatch import FailureKind, Fetcher, Retry
from asyncbatch.testing import FakeClock

# Time is virtual, which takes a loop of asyncio's own.
pytestmark = pytest.mark.parametrize("anyio_backend", ["asyncio"])

URL = "http://a.test/"


async def fetch(
    answer: Callable[[int], Any],
    *urls: str,
    batch_timeout: float | None = None,
    **options: Any,
) -> list[asyncbatch.Result]:
    """
    Fetch URLs in virtual time.

    `answer` says for the number of a try, from 0 on, what comes of it: a status, an exception, the
    seconds that it takes and then succeeds, or a response.
    """
    tries = 0

    async def handle(request: httpx.Request) -> httpx.Response:
        nonlocal tries
        outcome = answer(tries)
        tries += 1
        if isinstance(outcome, Exception):
            raise outcome
        if isinstance(outcome, float):
            await asyncio.sleep(outcome)
            outcome = 200
        return outcome if isinstance(outcome, httpx.Response) else httpx.Response(outcome)

    settings: dict[str, Any] = {"retry": Retry(attempts=5, backoff=1), **options}
    with FakeClock():
        async with Fetcher(transport=httpx.MockTransport(handle), **settings) as fetcher:
            return [*await fetcher.fetch_many(urls or [URL], batch_timeout=batch_timeout)]


def later(seconds: int, status: int = 429) -> httpx.Response:
    return httpx.Response(status, headers={"retry-after": str(seconds)})


async def test_each_failed_attempt_leaves_an_entry(anyio_backend: str) -> None:
    """With its status or its error, in their order, and the wait behind it."""
    answers = [later(7), httpx.ReadError("reset"), httpx.Response(500), 0.0]

    (result,) = await fetch(answers.__getitem__)

    assert result.ok
    assert result.attempts == 4
    assert [attempt.status_code for attempt in result.history] == [429, None, 500]
    errors = [type(attempt.error) for attempt in result.history]
    assert errors == [httpx.HTTPStatusError, httpx.ReadError, httpx.HTTPStatusError]
    assert result.history[0].delay == 7
    assert all(0 <= attempt.delay <= 2 * n for n, attempt in enumerate(result.history[1:], 1))


async def test_the_last_attempt_is_no_part_of_it(anyio_backend: str) -> None:
    """Its error is the result's."""
    (result,) = await fetch([500, 502, 503].__getitem__, retry=Retry(attempts=3, backoff=0))

    assert result.attempts == 3
    assert [attempt.status_code for attempt in result.history] == [500, 502]
    assert result.status_code == 503


async def test_it_is_empty_where_nothing_was_tried_again(anyio_backend: str) -> None:
    """For successes and failures alike."""
    results = [*await fetch(lambda _: 200), *await fetch(lambda _: 404)]

    assert [(result.attempts, result.history) for result in results] == [(1, ()), (1, ())]


async def test_a_batch_that_ends_between_two_tries(anyio_backend: str) -> None:
    """What the last of them failed with is the cause of the result's error."""
    waits = iter([1, 30])
    retry = Retry(attempts=5, when=lambda _: next(waits))

    (result,) = await fetch([500, 502].__getitem__, batch_timeout=20, retry=retry)

    assert result.kind == FailureKind.timeout
    assert result.attempts == 2
    assert [attempt.status_code for attempt in result.history] == [500]
    cause = result.error.__cause__ if result.error else None
    assert isinstance(cause, httpx.HTTPStatusError)
    assert cause.response.status_code == 502


async def test_a_batch_that_ends_within_a_try(anyio_backend: str) -> None:
    """That one counts as an attempt."""
    (result,) = await fetch([500, 1000.0].__getitem__, batch_timeout=20)

    assert result.kind == FailureKind.timeout
    assert result.attempts == 2
    assert [attempt.status_code for attempt in result.history] == [500]


async def test_a_pause_that_leaves_no_time_for_another_try(anyio_backend: str) -> None:
    """Another request's refusal has the host paused for longer than the deadline."""
    answers = [500, later(30), 200, 200]

    results = await fetch(answers.__getitem__, f"{URL}1", f"{URL}2", concurrency=1, deadline=10)

    first = results[0]
    assert first.kind == FailureKind.retry_after
    assert (first.attempts, first.history) == (1, ())
    assert first.error is not None
    assert isinstance(first.error.__cause__, httpx.HTTPStatusError)


async def test_a_host_that_is_given_up_between_two_tries(anyio_backend: str) -> None:
    """Each request has as many entries as attempts but one, whatever hit it."""
    urls = [f"{URL}{number}" for number in range(8)]

    results = await fetch(
        lambda _: httpx.ConnectError("refused"), *urls, concurrency=2, give_up_host_after=5
    )

    assert {result.kind for result in results} >= {FailureKind.host_down}
    assert any(result.attempts for result in results if result.kind == FailureKind.host_down)
    for result in results:
        assert len(result.history) == max(0, result.attempts - 1)


async def test_a_failure_of_our_own_side_is_no_attempt(anyio_backend: str) -> None:
    """Neither here nor there."""
    answers = [500, httpx.PoolTimeout("full"), httpx.PoolTimeout("full"), 502, 0.0]

    (result,) = await fetch(answers.__getitem__)

    assert result.ok
    assert result.attempts == 3
    assert [attempt.status_code for attempt in result.history] == [500, 502]


async def test_a_failure_of_our_own_side_that_has_no_time_left(anyio_backend: str) -> None:
    """It had been tried once before that."""

    def answer(number: int) -> Any:
        return httpx.PoolTimeout("full") if number else 500

    (result,) = await fetch(answer, batch_timeout=3)

    assert not result.ok
    assert len(result.history) == max(0, result.attempts - 1)
