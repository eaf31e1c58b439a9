"""`JournaledInput`: requests are looked up some ahead, together, and what is served is skipped."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import anyio
import pytest

from asyncbatch import Request, Result
from asyncbatch._batch._input import END, Input, Settled
from asyncbatch._journal import _input
from asyncbatch._journal._input import AHEAD, AHEAD_IN_MEMORY, AHEAD_SERVED, JournaledInput
from asyncbatch._journal._lookup import Answer, Answers, Asked
from tests.samples import success

pytestmark = pytest.mark.any_loop


class FakeOutput:
    """Keeps what the results of the requests that are sent will be written by."""

    def __init__(self) -> None:
        self.keys: dict[int, bytes] = {}


class FakeJournal:
    """Has the results of some requests, and notes how many are looked up together."""

    def __init__(self, *served: int, at_once: int = 1000) -> None:
        self.served = set(served)
        self.at_once = at_once
        self.output = FakeOutput()
        self.has_keys = False
        self.is_closed = False
        self.sizes: list[int] = []
        self.steps: list[str] = []

    def key_of(self, item: object) -> Any:
        return None

    async def look_up(self, asked: Sequence[Asked]) -> Answers:
        self.sizes.append(len(asked))
        asked = asked[: self.at_once]
        count = next((n for n, one in enumerate(asked) if one[0] not in self.served), len(asked))
        served: list[Result] = [success(one[0], from_journal=True) for one in asked[:count]]
        others: list[Answer] = [
            (
                b"%d" % index,
                success(index, from_journal=True) if index in self.served else None,
            )
            for index, _, _ in asked[count:]
        ]
        return Answers(served, others)

    async def flush(self) -> None:
        self.steps.append("flush")

    async def close(self) -> None:
        self.is_closed = True
        self.steps.append("close")


def made(requests: Any, journal: FakeJournal) -> JournaledInput:
    return JournaledInput(Input(requests), journal)  # type: ignore[arg-type]  # a fake


async def read_all(source: JournaledInput) -> list[tuple[int, Any]]:
    items: list[tuple[int, Any]] = []
    while (numbered := await source.read_async()) is not END:
        items.append(numbered)
    return items


def urls(count: int) -> list[str]:
    return [f"http://host.test/{number}" for number in range(count)]


async def test_what_the_journal_has_comes_with_its_result() -> None:
    """The others come as they are, with a key for their results."""
    journal = FakeJournal(1)
    source = made(urls(3), journal)

    items = await read_all(source)

    assert [index for index, _ in items] == [0, 1, 2]
    assert [type(item) for _, item in items] == [str, Settled, str]
    assert journal.output.keys == {0: b"0", 2: b"2"}
    assert source.exhausted


async def test_results_that_were_looked_up_are_taken_together() -> None:
    """Only those that are next: the order of the input stays."""
    source = made(urls(6), FakeJournal(0, 1, 2, 3, 5))
    assert not source.take_settled(9)
    assert not source.is_ahead
    index, first = await source.read_async()

    assert (index, type(first), first.result.index) == (0, Settled, 0)
    assert source.is_ahead
    assert [result.index for result in source.take_settled(2)] == [1, 2]
    assert [result.index for result in source.take_settled(9)] == [3]
    assert not source.take_settled(9)
    assert source.read() == (4, "http://host.test/4")
    index, last = source.read()
    assert (index, type(last), last.result.index) == (5, Settled, 5)
    assert not source.is_ahead


async def test_a_slow_input_is_looked_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first requests do not wait for the others; nor where their keys are slow."""
    monkeypatch.setattr(_input, "READ_SECONDS", 0.0)
    plain, keyed = FakeJournal(), FakeJournal()
    keyed.has_keys = True

    await read_all(made((url for url in urls(3)), plain))
    await read_all(made([Request(url) for url in urls(3)], keyed))

    assert plain.sizes == keyed.sizes == [1, 1, 1]


async def test_more_are_looked_up_together_while_all_are_served() -> None:
    """Each look-up is a change of threads; as soon as one is sent, there are few again."""
    count = 10 * AHEAD
    journal = FakeJournal(*range(count - 1))

    await read_all(made((url for url in urls(count)), journal))

    assert journal.sizes[0] <= AHEAD
    assert max(journal.sizes) <= AHEAD_SERVED
    assert sum(journal.sizes) == count


async def test_a_list_is_looked_up_in_larger_parts() -> None:
    """Reading it runs no code of the caller."""
    journal = FakeJournal()

    await read_all(made(urls(2 * AHEAD_IN_MEMORY), journal))

    assert journal.sizes[0] > AHEAD


async def test_what_is_not_answered_is_asked_for_again() -> None:
    """As where bodies are large."""
    journal = FakeJournal(*range(5), at_once=2)

    items = await read_all(made(urls(5), journal))

    assert [index for index, _ in items] == [0, 1, 2, 3, 4]
    assert journal.sizes == [5, 3, 1]


async def test_what_was_not_looked_up_is_read_as_it_is() -> None:
    """As by a batch that ends and gives each further request its result."""
    source = made(urls(4), FakeJournal(0, 1, 2, 3, at_once=2))
    await source.read_async()

    rest = []
    while (numbered := source.read()) is not END:
        rest.append(numbered)

    assert [index for index, _ in rest] == [1, 2, 3]
    assert [type(item) for _, item in rest] == [Settled, str, str]
    assert source.exhausted


async def test_an_error_of_the_input_comes_after_what_it_gave() -> None:
    """Nothing that was read is lost."""

    def broken() -> Iterator[str]:
        yield "http://host.test/0"
        raise ZeroDivisionError

    source = made(broken(), FakeJournal())

    items = await read_all(source)

    assert [index for index, _ in items] == [0]
    assert isinstance(source.error, ZeroDivisionError)


async def test_an_async_input_is_read_ahead_by_a_task() -> None:
    """Up to as many as are looked up together; it waits for room after that."""
    given: list[str] = []

    async def slowly() -> AsyncIterator[str]:
        for url in urls(3 * AHEAD):
            await anyio.lowlevel.checkpoint()
            given.append(url)
            yield url

    journal = FakeJournal()
    source = made(slowly(), journal)
    pump = source.pump
    assert pump is not None

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(pump)
        await anyio.wait_all_tasks_blocked()
        ahead = len(given)
        items = await read_all(source)

    assert ahead <= AHEAD + 1
    assert [index for index, _ in items] == list(range(3 * AHEAD))


async def test_closing_waits_for_what_is_being_written() -> None:
    """And is done once."""
    journal = FakeJournal()
    source = made(urls(1), journal)

    await source.aclose()
    await source.aclose()

    assert journal.steps == ["flush", "close"]
