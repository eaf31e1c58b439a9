"""What the workers of a batch share: how they find the next request, and what they are told."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from asyncbatch import Fetcher, Folder, Request
from asyncbatch._batch._workers import Workers
from asyncbatch._files import Files
from asyncbatch._schedule import Job
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


def state_of(job: Job) -> dict[str, Any]:
    """Return all that a job is told and counts, with the name of its host."""
    state = {name: getattr(job, name, None) for name in Job.__slots__}
    del state["queue"]
    state["host"] = state["host"].key
    return state


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize(
    "options",
    [{}, {"deadline": 5.0}, {"retry": None}, {"per_host": 2}, {"concurrency": 3}],
    ids=["usual", "deadline", "no retry", "cap", "few slots"],
)
async def test_a_request_that_is_started_at_once_is_as_one_that_is_entered_and_found(
    options: dict[str, Any], seed: int
) -> None:
    """Over inputs and states of any kind, both find the same requests and leave the same counts."""
    draw = random.Random(seed)
    kinds = ["http://a.test/", "http://a.test/x?y", "http://b.test/", "no://", "http://c.test/#f"]
    requests: list[Any] = draw.choices(kinds, [9, 3, 3, 1, 1], k=60)
    requests[draw.randrange(60)] = Request("http://a.test/", deadline=1.0)
    bound = draw.choice([None, 4])

    async with Fetcher(**options) as fetcher, Fetcher(**options) as other:
        ones = [OneBatch(each._shared, requests, bound=bound) for each in (fetcher, other)]
        for one in ones:
            one.shared.attempter.lane.begin_batch(one.clock)
        at_once, found = map(workers_of, ones)
        now = 1000.0
        at_once.clock = found.clock = lambda: now
        for each in (at_once, found):
            each.ledger.full_before = 0.0
        in_flight: list[tuple[Job, Job]] = []
        encoded_count = 0
        for _ in range(150):
            now += draw.choice([0.0, 0.001, 0.5])
            if in_flight and draw.random() < 0.5:
                pair = in_flight.pop(draw.randrange(len(in_flight)))
                for workers, job in zip((at_once, found), pair, strict=True):
                    workers.ledger.succeeded(job, now, now)
            job, encoded = at_once.next_for_relay(now)
            same = found.next_job(now)
            assert (job is None) == (same is None)
            if job is not None and same is not None:
                assert state_of(job) == state_of(same)
                in_flight.append((job, same))
            if isinstance(encoded, tuple):
                assert job is not None
                assert encoded == at_once.encode_url(job.request)
                encoded_count += 1
            for name in ("pending", "in_flight", "wake_at"):
                assert getattr(at_once.schedule, name) == getattr(found.schedule, name)
            assert at_once.ledger.unfinished == found.ledger.unfinished
            assert at_once.reader.is_finished == found.reader.is_finished
        assert [result.url for result in ones[0].results] == [
            result.url for result in ones[1].results
        ]

    assert encoded_count or "per_host" in options


@pytest.mark.parametrize("exists", ["skip", "overwrite"])
async def test_a_url_of_a_file_that_is_started_at_once_is_as_one_that_is_entered_and_found(
    tmp_path: Path, exists: Any
) -> None:
    """Those of files that are there, or that another one has, get the same result in both ways."""
    (tmp_path / "there").write_bytes(b"old")
    names = ["a", "there", "b", "a", "c?1", "c?2", "d", "e", "f"]
    urls = [f"http://a.test/{name}" for name in names]
    async with Fetcher() as fetcher:
        ones = []
        for _ in range(2):
            files = Files(Folder(tmp_path, exists=exists))
            ones.append(OneBatch(fetcher._shared, urls, files=files))
        ones[0].shared.attempter.lane.begin_batch(ones[0].clock)
        at_once, found = map(workers_of, ones)
        now = 1000.0
        at_once.clock = found.clock = lambda: now
        for each in (at_once, found):
            each.ledger.full_before = 0.0
        count = 0
        in_flight: list[tuple[Job, Job]] = []
        while True:
            job, encoded = at_once.next_for_relay(now)
            same = found.next_job(now)
            assert (job is None) == (same is None)
            assert at_once.ledger.unfinished == found.ledger.unfinished
            if job is None or same is None:
                break
            ours, theirs = state_of(job), state_of(same)
            assert ours.pop("download").path == theirs.pop("download").path
            assert ours == theirs
            if isinstance(encoded, tuple):
                assert encoded == at_once.encode_for_file(job.request)
                count += 1
            in_flight.append((job, same))
            if len(in_flight) > 1:  # one remains, so that the batch knows the host
                for workers, done in zip((at_once, found), in_flight.pop(0), strict=True):
                    workers.ledger.succeeded(done, now, now)

    results, others = ([(each.index, each.kind, each.path) for each in one.results] for one in ones)
    assert results == others
    assert [index for index, _, _ in results] == ([1, 3, 5] if exists == "skip" else [3, 5])
    assert count > 0


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
        workers.worker_ended(worker)

        assert not workers.members
        assert workers.changed.is_set()
        assert not workers.is_asleep


async def test_a_worker_that_ends_wakes_no_dispatcher_that_would_find_nothing_to_do() -> None:
    """While others are at work, nothing waits, and the input is at its end."""
    async with sharing() as shared:
        one = OneBatch(shared, ["http://a.test/", "http://b.test/"])
        workers = workers_of(one)
        worker: Any = object()
        jobs: list[Any] = []
        while len(jobs) < 2:
            if (job := workers.next_job(one.clock())) is None:
                await workers.slice.let_others_run()  # on a slow machine, its slice is over
            else:
                jobs.append(job)

        workers.is_asleep = True
        workers.worker_ended(worker)  # it may read on
        assert not workers.is_asleep

        assert workers.next_job(one.clock()) is None
        workers.is_asleep = True
        workers.worker_ended(worker)
        assert workers.is_asleep

        workers.batch_permits.is_in_line = True
        workers.worker_ended(worker)  # it must leave the line
        assert not workers.is_asleep
        workers.batch_permits.is_in_line = False

        one.ledger.enter("http://a.test/", 2, one.clock())
        workers.is_asleep = True
        workers.worker_ended(worker)  # one waits for its slot
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
