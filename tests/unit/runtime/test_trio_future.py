"""Futures and tasks on trio, used as asyncio's are."""

from __future__ import annotations

import contextvars
import inspect
from typing import Any

import pytest
import trio
import trio.testing

from asyncbatch._runtime._trio_loop import TrioLoop, running_trio_loop
from tests.unit.runtime.on_trio import run, turns

NAME = contextvars.ContextVar("NAME", default="nobody")


def test_a_future_wakes_all_that_wait_for_it() -> None:
    """With its result, or with what it failed of; once it is done, at once."""

    async def main(loop: TrioLoop) -> None:
        future, failed = loop.create_future(), loop.create_future()
        found: list[Any] = []
        called: list[Any] = []
        future.add_done_callback(called.append)

        async def wait() -> None:
            found.append(await future)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            nursery.start_soon(wait)
            await turns()
            assert not future.done()
            future.set_result(7)
        failed.set_exception(KeyError("x"))
        future.add_done_callback(called.append)
        await turns()

        assert found == [7, 7]
        assert called == [future, future]
        assert await future == 7
        assert isinstance(failed.exception(), KeyError)
        with pytest.raises(KeyError):
            await failed
        assert not future.cancel()

    run(main)


def test_who_waits_for_a_future_and_is_cancelled_cancels_it() -> None:
    """As on asyncio; `wait` takes it from nobody else."""

    async def main(loop: TrioLoop) -> None:
        awaited, waited = loop.create_future(), loop.create_future()
        with trio.move_on_after(1.0):
            await awaited
        with trio.move_on_after(1.0):
            await waited.wait()

        assert awaited.cancelled()
        assert not waited.done()
        with pytest.raises(RuntimeError, match="given up"):
            awaited.result()

    run(main)


def test_a_callback_of_a_future_can_be_taken_back() -> None:
    """As often as it was given."""

    async def main(loop: TrioLoop) -> None:
        future = loop.create_future()
        for _ in range(2):
            future.add_done_callback(print)
        assert future.remove_done_callback(print) == 2
        assert future.remove_done_callback(print) == 0
        assert future.get_loop() is loop

    run(main)


def test_a_coroutine_runs_by_itself() -> None:
    """Its result, its exception or its cancellation is there when it has ended."""

    async def main(loop: TrioLoop) -> None:
        async def succeed() -> int:
            await trio.sleep(1.0)
            assert task.is_current
            return 7

        async def fail() -> None:
            raise KeyError("x")

        async def hang() -> None:
            await trio.sleep_forever()

        task, failing = loop.create_task(succeed()), loop.create_task(fail())
        hanging, unborn = loop.create_task(hang()), loop.create_task(fail())
        assert unborn.cancel()
        assert not task.is_current
        assert await task == 7
        with pytest.raises(KeyError):
            await failing
        assert hanging.cancel()
        assert not hanging.done()
        await turns()
        assert hanging.cancelled()
        assert unborn.cancelled()
        assert not hanging.cancel()

    run(main)


def test_what_a_future_calls_is_called_before_those_who_wait_go_on() -> None:
    """So that they find what it notes."""
    steps: list[str] = []

    async def main() -> None:
        loop = running_trio_loop()
        future = loop.create_future()
        future.add_done_callback(lambda _: steps.append("called"))
        loop.call_soon(future.set_result, None)
        await future
        steps.append("went on")

    trio.run(main)

    assert steps == ["called", "went on"]


def test_a_task_has_the_context_of_who_begins_it_and_ends_when_it_is_cancelled() -> None:
    """One that is cancelled before its first step is never entered."""
    seen: list[str] = []

    async def work() -> None:
        seen.append(NAME.get())
        await trio.sleep_forever()

    async def main() -> list[bool]:
        loop = running_trio_loop()
        NAME.set("a task")
        begun, not_begun = loop.create_task(work()), loop.create_task(work())
        not_begun.cancel()
        await trio.testing.wait_all_tasks_blocked()
        begun.cancel()
        await begun.wait()
        return [begun.cancelled(), not_begun.cancelled()]

    assert trio.run(main) == [True, True]

    assert seen == ["a task"]


@pytest.mark.parametrize("error", [ValueError("broken"), SystemExit(3)])
def test_what_a_task_raises_is_for_who_awaits_it(error: BaseException) -> None:
    """Not for the run."""

    async def work() -> None:
        raise error

    async def main() -> None:
        await running_trio_loop().create_task(work())

    with pytest.raises(type(error)) as caught:
        trio.run(main)

    assert caught.value is error


def test_a_coroutine_that_cannot_begin_is_closed() -> None:
    """Here as the run is over: it would be reported as never awaited."""

    async def main(loop: TrioLoop) -> TrioLoop:
        return loop

    coroutine = turns()
    with pytest.raises(RuntimeError, match="async context"):
        run(main).create_task(coroutine)

    assert inspect.getcoroutinestate(coroutine) == inspect.CORO_CLOSED


def test_a_task_that_the_end_of_the_run_cancels_is_cancelled() -> None:
    """It has not failed, and what it has taken is given back."""
    given_back: list[str] = []

    async def hang() -> None:
        try:
            await trio.sleep_forever()
        finally:
            given_back.append("all")

    async def main(loop: TrioLoop) -> Any:
        task = loop.create_task(hang())
        await turns()
        return task

    task = run(main)

    assert (task.cancelled(), task.exception()) == (True, None)
    assert given_back == ["all"]
