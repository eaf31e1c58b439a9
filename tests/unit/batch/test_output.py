"""`Collected` and `Delivered`: where results go, and how many may wait there."""

from __future__ import annotations

from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
from anyio import to_thread

from asyncbatch._batch._output import Collected, Delivered
from tests.samples import success


def test_collected_results_come_in_the_order_of_the_input():
    """In whatever order they were put in; there is always room."""
    output = Collected()
    for index in (2, 0, 1):
        output.put(success(index))

    assert [result.index for result in output.in_order()] == [0, 1, 2]
    assert output.may_take(10**9)
    assert output.may_start(10**9)


def test_delivered_results_count_against_the_backlog():
    """Those under way and those that wait together stay below it."""
    output = Delivered(ordered=False, backlog=3)
    output.put(success(0))

    assert output.may_start(1)
    assert not output.may_start(2)
    assert output.may_take(10**9)


def test_results_ahead_of_their_turn_count_against_an_ordered_backlog():
    """What was read and not consumed stays below it, wherever it is."""
    output = Delivered(ordered=True, backlog=4)
    output.put(success(0))
    output.put(success(2))

    assert output.may_take(1)
    assert not output.may_take(2)
    assert output.may_start(10**9)


@pytest.mark.parametrize("ordered", [False, True])
async def test_several_results_are_taken_at_once(ordered: bool):
    """As many as there is room for, in their order; the refused one is told of new room."""
    calls = []
    output = Delivered(ordered=ordered, backlog=5)
    output.on_room = lambda: calls.append(1)
    rooms = [output.room(1, 1)]
    output.put_all([success(index) for index in range(3)])
    rooms += [output.room(1, 1), output.room(2, 2)]

    assert rooms == [4, 1, 0]
    assert [(await anext(output)).index for _ in range(3)] == [0, 1, 2]
    assert calls == [1]
    output.consumer_left()
    output.put_all([success(3)])
    with pytest.raises(RuntimeError, match="the stream has been left"):
        output.take_ready()


def test_all_results_are_kept():
    """There is room for any number of them."""
    output = Collected()
    output.put_all([success(1), success(0)])

    assert output.room(10**9, 10**9) > 10**9
    assert [result.index for result in output.in_order()] == [0, 1]


async def test_room_is_told_once_to_those_who_were_refused():
    """Whoever was told to wait hears of the next result that is consumed, and of no further one."""
    calls = []
    output = Delivered(ordered=False, backlog=2)
    output.on_room = lambda: calls.append(1)
    for index in range(2):
        output.put(success(index))

    assert not output.may_start(0)
    await anext(output)
    await anext(output)
    assert calls == [1]


def test_what_is_ready_is_taken_without_a_wait():
    """And nothing else; the error of the input comes behind the last result, once."""
    output = Delivered(ordered=False, backlog=10)
    output.put(success(0))
    output.put(success(1))
    output.close(LookupError("input"))

    taken = [output.take_ready(), output.take_ready()]
    assert [result.index for result in taken if result is not None] == [0, 1]
    assert output.summary().total == 2
    with pytest.raises(LookupError, match="input"):
        output.take_ready()
    assert output.take_ready() is None


async def test_an_ordered_output_waits_for_the_first():
    """Results behind a missing one are held back."""
    output = Delivered(ordered=True, backlog=10)
    output.put(success(1))
    with anyio.move_on_after(0) as scope:
        await anext(output)
    output.put(success(0))
    output.close()

    assert scope.cancelled_caught
    assert [result.index async for result in output] == [0, 1]


async def test_the_error_comes_behind_the_last_result_and_once():
    """After it the output has ended."""
    output = Delivered(ordered=False, backlog=10)
    output.put(success(0))
    output.close(LookupError("gone"))

    assert (await anext(output)).index == 0
    with pytest.raises(LookupError, match="gone"):
        await anext(output)
    with pytest.raises(StopAsyncIteration):
        await anext(output)


async def test_an_output_that_was_left_takes_nothing_more():
    """Neither results nor an end that would look like the real one."""
    output = Delivered(ordered=False, backlog=10)
    output.put(success(0))
    output.consumer_left()
    output.put(success(1))
    output.close()

    for _ in range(2):
        with pytest.raises(RuntimeError, match="the stream has been left"):
            await anext(output)


async def test_an_output_that_was_left_is_written_to_no_file(tmp_path: Path):
    """However often it is tried: the rest of the results is not there."""
    output = Delivered(ordered=False, backlog=10)
    output.put(success(0))
    output.consumer_left()

    for write in (output.to_jsonl, output.to_jsonl):
        with pytest.raises(RuntimeError, match="the stream has been left"):
            await write(tmp_path / "table")
    assert await to_thread.run_sync(lambda: list(tmp_path.iterdir())) == []


async def read_to_the_end(output: Delivered) -> None:
    """Take every result, as a loop over the stream does."""
    async for _ in output:
        pass


@pytest.mark.parametrize("taken", [0, 1])
async def test_what_was_read_to_its_end_is_written_to_no_file(tmp_path: Path, taken: int):
    """The table would be empty, and look like that of all results; the summary has them."""
    path = tmp_path / "table"
    output = Delivered(ordered=False, backlog=10)
    for index in range(taken):
        output.put(success(index))
    output.close()
    await read_to_the_end(output)
    await to_thread.run_sync(path.write_text, "earlier")

    for write in (output.to_jsonl, output.to_parquet, output.to_har, output.to_jsonl):
        with pytest.raises(RuntimeError, match="has ended, and keeps no results; write it before"):
            await write(path)
    output.consumer_left()
    with pytest.raises(RuntimeError, match="has ended"):
        await output.to_jsonl(path)
    assert await to_thread.run_sync(path.read_text) == "earlier"
    assert output.summary().total == taken


async def test_what_was_written_is_not_written_again(tmp_path: Path):
    """The second table would be empty."""
    output = Delivered(ordered=False, backlog=10)
    output.put(success(0))
    output.close()

    await output.to_jsonl(tmp_path / "first")
    with pytest.raises(RuntimeError, match="the stream has ended"):
        await output.to_jsonl(tmp_path / "second")

    assert [path.name for path in await to_thread.run_sync(lambda: [*tmp_path.iterdir()])] == [
        "first"
    ]


async def test_results_without_requests_are_an_empty_table(tmp_path: Path):
    """And so is what is left of results that were all taken before their end was seen."""
    path = tmp_path / "table"
    for taken in range(2):
        output = Delivered(ordered=False, backlog=10)
        for index in range(taken):
            output.put(success(index))
            await anext(output)
        output.close()

        await output.to_jsonl(path)

        assert await to_thread.run_sync(path.read_bytes) == b""


@pytest.mark.parametrize("writes", [False, True])
async def test_what_an_input_ended_with_an_error_is_written_to_no_file(
    tmp_path: Path, writes: bool
):
    """Whether the error was raised by reading or by writing; it is raised once."""
    output = Delivered(ordered=False, backlog=10)
    output.put(success(0))
    output.close(LookupError("gone"))

    with pytest.raises(LookupError, match="gone"):
        await (output.to_jsonl(tmp_path / "table") if writes else read_to_the_end(output))
    for _ in range(2):
        with pytest.raises(RuntimeError, match="the stream has ended"):
            await output.to_jsonl(tmp_path / "table")

    assert await to_thread.run_sync(lambda: list(tmp_path.iterdir())) == []


async def test_results_that_were_lost_with_a_file_make_no_later_one_look_whole(tmp_path: Path):
    """They can still be read; a file that could not even be begun has lost none."""
    output = Delivered(ordered=False, backlog=10)
    for index in range(3):
        output.put(success(index))

    with pytest.raises(FileNotFoundError):
        await output.to_jsonl(tmp_path / "nowhere" / "table")
    with anyio.CancelScope() as scope:
        await interrupted(output, tmp_path / "table", scope)
    output.put(success(3))
    output.close()
    with pytest.raises(RuntimeError, match="results of the stream were lost"):
        await output.to_jsonl(tmp_path / "table")

    assert [result.index async for result in output] == [3]


async def interrupted(output: Delivered, path: Path, scope: anyio.CancelScope) -> None:
    """Cancel writing once the results that there are have been taken."""

    async def cancel() -> None:
        while output.summary().total < 3:
            await anyio.lowlevel.checkpoint()
        scope.cancel()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(cancel)
        await output.to_jsonl(path)
