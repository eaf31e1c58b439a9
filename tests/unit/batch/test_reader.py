"""When a batch reads its input, and how far."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import anyio
import attrs
import pytest

from asyncbatch import Success
from asyncbatch._batch import Batch
from asyncbatch._batch._input import END, Input, Settled
from asyncbatch._batch._output import Delivered
from asyncbatch._runtime._stalls import LEAST
from tests.samples import success
from tests.transports import settle, urls
from tests.unit.batch.one_batch import OneBatch, sharing

pytestmark = pytest.mark.any_loop


async def test_an_input_is_read_one_by_one() -> None:
    """It is finished when all that was read has its result."""
    async with sharing() as shared:
        one = OneBatch(shared, urls(2))
        assert one.reader.read(0.0)
        assert one.ledger.unfinished == 1
        assert one.reader.read(0.0)
        assert not one.reader.read(0.0)
        assert not one.reader.is_finished
        await one.batch.run()

        assert one.reader.is_finished


async def test_what_cannot_be_sent_is_read_all_the_same() -> None:
    """Its result is there at once."""
    async with sharing() as shared:
        one = OneBatch(shared, ["no url"])

        assert one.reader.read(0.0)
        assert one.ledger.unfinished == 0
        assert len(one.results) == 1


async def test_no_more_is_read_than_there_is_room_for() -> None:
    """And there is room again when something has ended."""
    async with sharing(concurrency=1) as shared:
        one = OneBatch(attrs.evolve(shared, window=10), urls(200))
        while one.reader.read(0.0):
            pass
        taken = one.ledger.unfinished
        assert 10 <= taken < 200
        assert not one.reader.has_room_again()
        for _ in range(taken):
            job = one.start()
            one.ledger.interrupt(job, 0.0)
            one.ledger.time_out(job, 1.0, 0.0)

        assert one.reader.has_room_again()
        assert one.reader.read(0.0)


async def test_where_the_output_has_no_room_nothing_is_read() -> None:
    """A consumer that is slow holds the input back."""
    async with sharing() as shared:
        one = OneBatch(shared, urls(5))
        one.reader._output = Delivered(ordered=True, backlog=0)

        assert not one.reader.read(0.0)
        assert one.ledger.unfinished == 0


async def test_the_time_of_the_callers_code_counts_for_nobody() -> None:
    """Time that an item took to be made is taken out of all accounts."""
    now = 5.0
    taken_out: list[tuple[float, float]] = []

    def requests() -> Iterator[str]:
        nonlocal now
        for url in urls(2):
            now += 10 * LEAST
            yield url

    async with sharing() as shared:
        one = OneBatch(shared, requests())
        one.reader._clock = lambda: now
        member = lambda seconds, before: taken_out.append((seconds, before))  # noqa: E731
        shared.stalls.join(member)
        one.reader.read_timed()
        shared.stalls.leave(member)

    assert taken_out == [(pytest.approx(10 * LEAST), 5.0)]


async def test_an_async_input_is_read_ahead() -> None:
    """As far as there is something to start, and then no further."""
    read: list[str] = []

    async def requests() -> AsyncIterator[str]:
        for url in urls(50):
            read.append(url)
            yield url

    async with sharing(concurrency=3) as shared:
        one = OneBatch(shared, requests())
        assert one.reader.is_fed
        assert not one.reader.read(0.0)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(one.reader.feed)
            await settle()
            assert 3 <= len(read) < 10
            before = len(read)
            one.start()
            one.start()
            one.reader.notify()
            await settle()
            assert len(read) > before
            tasks.cancel_scope.cancel()
        await one.batch._source.aclose()


class SettledInput(Input):
    """An input of which each item has its result, and needs no waiting but for the first."""

    is_async = is_ahead = True  # type: ignore[assignment]

    def __init__(self, count: int) -> None:
        super().__init__([])
        self.left = [success(number) for number in range(count)]

    def read(self) -> object:
        self.exhausted = not self.left
        return (self.left[0].index, Settled(self.left.pop(0))) if self.left else END

    def take_settled(self, most: int) -> list[Success]:
        taken, self.left = self.left[:most], self.left[most:]
        return taken


@pytest.mark.parametrize("ordered", [False, True])
async def test_results_that_come_with_requests_wait_for_room(ordered: bool) -> None:
    """They are passed on together, and no more of them than may wait for the consumer."""
    output = Delivered(ordered=ordered, backlog=10)
    async with sharing() as shared:
        source = SettledInput(25)
        batch = Batch(shared, source, output)
        output.on_room = batch.notify
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(batch._reader.feed)
            await settle()
            assert len(source.left) == 15
            taken = [await anext(output) for _ in range(4)]
            await settle()
            assert len(source.left) == 11
            tasks.cancel_scope.cancel()

    assert [result.index for result in taken] == list(range(4))
