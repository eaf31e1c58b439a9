"""Each request is entered once, and gets its result once."""

from __future__ import annotations

from typing import Any

import attrs
import httpx
import pytest

from asyncbatch import FailureKind, Request, Retry
from asyncbatch._batch._ledger import ProgressCount, _count_and_put
from asyncbatch._batch._output import Delivered
from asyncbatch._schedule import JobState
from asyncbatch._values._outcome import Outcome
from tests.samples import success
from tests.unit.batch.one_batch import OneBatch, sharing

pytestmark = pytest.mark.any_loop

URL = "http://a.test/"


def answered(status: int = 200, **more: Any) -> Outcome:
    """Return an outcome with a response."""
    response = httpx.Response(status, request=httpx.Request("GET", URL))
    kind = FailureKind.status if status >= 400 else None
    return Outcome(response=response, status_code=status, kind=kind, **more)


def broken(**more: Any) -> Outcome:
    return Outcome(kind=FailureKind.protocol, error=httpx.ReadError("x"), heard=False, **more)


async def begun(one: OneBatch, item: Any = URL) -> Any:
    """Enter a request, and start it."""
    one.ledger.enter(item, one.ledger.unfinished, one.clock())
    return one.start()


async def test_a_good_response_is_a_success() -> None:
    """With what was waited for it."""
    async with sharing() as shared:
        one = OneBatch(shared, ())
        job = await begun(one)
        one.ledger.settle(job, answered(queued=2.0), one.clock())

        (result,) = one.results
        assert (result.ok, result.attempts, one.ledger.unfinished) == (True, 1, 0)
        assert result.timing.queued >= 2.0


async def test_a_failure_is_tried_again_as_the_schedule_decides() -> None:
    """Each try is in the history; the batch is told of it."""
    async with sharing(retry=Retry(attempts=2, backoff=0)) as shared:
        one = OneBatch(shared, ())
        noted: list[Any] = []
        one.ledger.on_retry = noted.append
        job = await begun(one)
        one.ledger.settle(job, broken(), one.clock())
        assert (noted, one.results, one.ledger.unfinished) == ([job], [], 1)
        again = one.start()
        one.ledger.settle(again, answered(503), one.clock())

        (result,) = one.results
        assert (result.kind, result.attempts, result.status_code) == (FailureKind.status, 2, 503)
        assert [type(attempt.error) for attempt in result.history] == [httpx.ReadError]


async def test_a_failure_on_our_own_side_is_in_no_history() -> None:
    """It was no try."""
    async with sharing() as shared:
        one = OneBatch(shared, ())
        job = await begun(one)
        one.ledger.settle(job, broken(local=True), one.clock())

        assert job.history is None
        assert job.attempts == 0
        for withdrawn in one.ledger.withdraw_unfinished(one.clock()):
            one.ledger.time_out(withdrawn, 1.0, one.clock())


async def test_what_is_not_paid_from_the_budget_says_so() -> None:
    """The response is a failure, with a note."""
    async with sharing(retry=Retry(budget=0.0)) as shared:
        one = OneBatch(shared, ())
        jobs = [await begun(one, f"{URL}{n}") for n in range(1)]
        host = jobs[0].host
        while host.budget.spend(one.clock()):
            pass
        one.ledger.settle(jobs[0], answered(500), one.clock())

        (result,) = one.results
        assert result.out_of_budget
        assert "budget" in result.error.__notes__[0]


async def test_a_longer_wait_than_is_allowed_is_a_failure_of_its_own() -> None:
    """With what was asked for."""
    async with sharing() as shared:
        one = OneBatch(shared, ())
        job = await begun(one)
        one.ledger.settle(job, answered(503, retry_after=99.0), one.clock())

        (result,) = one.results
        assert result.kind == FailureKind.retry_after
        assert result.status_code == 503


async def test_a_check_may_refuse_a_response() -> None:
    """Only a good one is checked."""
    seen: list[int] = []

    def check(response: Any) -> None:
        seen.append(response.status_code)
        raise ValueError("empty")

    async with sharing(check=check, retry=None) as shared:
        one = OneBatch(shared, ())
        for status in (200, 404):
            job = await begun(one)
            one.ledger.settle(job, answered(status), one.clock())

        kinds = {result.kind for result in one.results}
        assert kinds == {FailureKind.callback, FailureKind.status}
        assert seen == [200]


@pytest.mark.parametrize(("answer", "tries"), [(True, 3), (False, 1), (None, 1)])
async def test_when_decides_on_a_failure(answer: Any, tries: int) -> None:
    """Also on one that the rest of the policy does not try again."""
    retry = Retry(attempts=3, backoff=0, when=lambda _: answer)
    async with sharing(retry=retry) as shared:
        one = OneBatch(shared, ())
        job = await begun(one)
        while True:
            one.ledger.settle(job, answered(404), one.clock())
            if one.results:
                break
            job = one.start()

        assert one.results[0].attempts == tries


async def test_a_when_that_raises_ends_the_request() -> None:
    """As a failure of the caller's code."""

    def when(_: Any) -> None:
        raise KeyError("x")

    async with sharing(retry=Retry(when=when)) as shared:
        one = OneBatch(shared, ())
        job = await begun(one)
        one.ledger.settle(job, answered(500), one.clock())

        assert one.results[0].kind == FailureKind.callback
        assert isinstance(one.results[0].error, KeyError)


@pytest.mark.parametrize(
    ("state", "kind"),
    [
        (JobState.HOST_DOWN, FailureKind.host_down),
        (JobState.PAUSED, FailureKind.retry_after),
        (JobState.EXPIRED, FailureKind.timeout),
        (JobState.LATE, FailureKind.not_started),
    ],
)
async def test_what_was_kept_from_being_sent_has_its_own_kind(state: Any, kind: Any) -> None:
    """By what kept it."""
    async with sharing() as shared:
        one = OneBatch(shared, ())
        one.ledger.enter(URL, 0, one.clock())
        (job,) = one.ledger.withdraw_unfinished(one.clock())
        job.state, job.allowed = state, 5.0
        one.ledger.settle_unsent(job, one.clock())

        (result,) = one.results
        assert (result.kind, result.attempts) == (kind, 0)


async def test_what_has_no_result_is_withdrawn_in_input_order() -> None:
    """What was cancelled in flight, too; and then nothing starts."""
    async with sharing() as shared:
        one = OneBatch(shared, ())
        for index in range(4):
            one.ledger.enter(f"{URL}{index}", index, one.clock())
        first, second = one.start(), one.start()
        one.ledger.interrupt(second, one.clock())
        one.ledger.interrupt(first, one.clock())
        jobs = one.ledger.withdraw_unfinished(one.clock())

        assert [job.index for job in jobs] == [0, 1, 2, 3]
        for job in jobs:
            one.ledger.time_out(job, 2.0, one.clock())
        timeout, not_started = FailureKind.timeout, FailureKind.not_started
        assert [result.kind for result in one.results] == [timeout] * 2 + [not_started] * 2


async def test_options_of_a_request_come_before_those_of_all() -> None:
    """Its deadline and its policy."""
    async with sharing(deadline=7.0) as shared:
        one = OneBatch(shared, ())
        own = await begun(one, Request(URL, deadline=3.0, retry=None))
        usual = await begun(one, Request(URL))

        assert (own.allowed, own.retry, usual.allowed) == (3.0, None, 7.0)
        for job in (own, usual):
            one.ledger.settle(job, broken(), one.clock())
            if job is usual:
                for left in one.ledger.withdraw_unfinished(one.clock()):
                    one.ledger.time_out(left, 1.0, one.clock())


async def test_an_item_that_was_never_read_gets_its_result() -> None:
    """After the time limit of the batch."""
    async with sharing() as shared:
        one = OneBatch(shared, ())
        one.ledger.reject_unread(URL, 0, 2.0)

        assert one.results[0].kind == FailureKind.not_started
        assert one.ledger.unfinished == 0


def test_outcomes_of_these_tests_are_as_lanes_make_them() -> None:
    """So that the tests do not hold for want of one."""
    assert attrs.evolve(answered(), kind=None).is_answer
    assert broken().is_silent


@pytest.mark.parametrize(("requests", "queued"), [([URL], 5.0), (iter([URL]), 0.0)])
async def test_a_request_has_queued_since_it_was_at_hand(requests: Any, queued: float) -> None:
    """An iterator may have made it just before it was read."""
    async with sharing() as shared:
        one = OneBatch(shared, requests)
        host = (await begun(one)).host
        shared.slots.full_seconds += 5.0
        job = one.ledger.start(URL, 1, one.clock(), host.key)

        assert job is not None
        assert job.queued == pytest.approx(queued)


@pytest.mark.parametrize("progress", [False, lambda progress: None])
async def test_results_that_come_with_their_requests_are_handed_over(progress: Any) -> None:
    """Together; a progress report counts each."""
    async with sharing(progress=progress) as shared:
        one = OneBatch(shared, ())
        one.ledger.pass_on_all([success(0), success(1)])

        assert [result.index for result in one.results] == [0, 1]
        count = one.batch._progress_count
        assert count is None or count.progress(in_flight=0, elapsed=1.0).succeeded == 2


@pytest.mark.parametrize("has_left", [False, True])
def test_a_result_that_is_dropped_does_not_count_as_done(has_left: bool) -> None:
    """As those of a stream that was left."""
    count, output = ProgressCount(None), Delivered(ordered=False, backlog=1)
    if has_left:
        output.consumer_left()
    _count_and_put(count, output, success(0))

    assert count.progress(in_flight=0, elapsed=1.0).succeeded == (0 if has_left else 1)
