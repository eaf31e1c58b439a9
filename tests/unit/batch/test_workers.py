"""What the workers of a batch share: how they find the next request, and what they are told."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from asyncbatch._batch._workers import Workers
from tests.unit.batch.one_batch import OneBatch, sharing


def workers_of(one: OneBatch) -> Workers:
    """Return the workers of a batch."""
    return one.batch._workers


def endless(url: str) -> Iterator[str]:
    """Yield one URL again and again."""
    return itertools.repeat(url)


async def test_the_input_is_read_only_as_far_as_needed_to_find_a_request() -> None:
    """One item for each request, after those that cannot be sent."""
    async with sharing() as shared:
        one = OneBatch(shared, itertools.chain(["no://"], endless("http://a.test/")))
        workers, now = workers_of(one), one.clock()
        workers.clock = lambda: now  # else the time slice may be over after the first item
        job = workers.next_job(now)

        assert job is not None
        assert (job.index, one.reader.source.read_count) == (1, 2)
        assert [result.index for result in one.results] == [0]


async def test_a_search_ends_with_the_time_slice() -> None:
    """Items that cannot be sent do not hold up the event loop."""
    async with sharing() as shared:
        one = OneBatch(shared, endless("no://"))
        workers = workers_of(one)
        workers.clock = itertools.count(1000.0).__next__

        assert workers.next_job(0.0) is None
        assert workers.is_cut_short
        assert len(one.results) == 1


async def test_a_worker_that_ends_is_none_of_them_and_wakes_the_dispatcher() -> None:
    """The dispatcher finds out whether that was the last one."""
    async with sharing() as shared:
        workers = workers_of(OneBatch(shared, ()))
        worker: Any = object()
        workers.members.add(worker)
        workers.is_asleep = True
        workers.leave(worker)

        assert not workers.members
        assert workers.changed.is_set()
        assert not workers.is_asleep


async def test_a_blocked_loop_is_taken_out_of_all_that_wait_and_of_all_in_flight() -> None:
    """Workers know what is in flight, and the schedule what is not."""
    taken: list[tuple[float, float]] = []

    class Noted:
        def take_out(self, seconds: float, before: float) -> None:
            taken.append((seconds, before))

    async with sharing() as shared:
        one = OneBatch(shared, ())
        one.ledger.enter("http://a.test/", 0, 1.0)
        worker: Any = Noted()
        workers_of(one).members.add(worker)
        workers_of(one).take_out(5.0, 2.0)

        assert taken == [(5.0, 2.0)]
        assert one.start().since == 6.0
