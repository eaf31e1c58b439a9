"""What stands in for an event loop on trio, called as asyncio's is."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
import trio.testing

from asyncbatch._runtime._trio_loop import MOST_CANCELLED, TrioLoop, running_trio_loop


def run(function: Callable[[TrioLoop], Awaitable[Any]]) -> Any:
    """Run a test on trio, whose clock jumps over every wait."""

    async def main() -> Any:
        return await function(running_trio_loop())

    return trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await trio.lowlevel.checkpoint()


def test_there_is_one_loop_for_each_run() -> None:
    """It is closed when that is over."""

    async def main(loop: TrioLoop) -> TrioLoop:
        assert running_trio_loop() is loop
        assert loop.is_virtual
        assert not loop.is_closed()
        return loop

    first, second = run(main), run(main)

    assert first is not second
    assert first.is_closed()
    with pytest.raises(RuntimeError):
        first.call_soon_threadsafe(print)


def test_callbacks_are_called_in_order_and_not_at_once() -> None:
    """What one of them adds comes in the next turn."""

    async def main(loop: TrioLoop) -> None:
        called: list[int] = []
        loop.call_soon(called.append, 1)
        loop.call_soon(lambda: loop.call_soon(called.append, 3))
        loop.call_soon(called.append, 2)
        assert called == []
        await turns()
        assert called == [1, 2, 3]
        loop.call_soon(called.append, 4)
        await turns()
        assert called == [1, 2, 3, 4]

    run(main)


def test_a_callback_that_raises_stops_no_other(caplog: pytest.LogCaptureFixture) -> None:
    """It is logged: in a system task it would crash trio."""

    async def main(loop: TrioLoop) -> None:
        called: list[int] = []

        def fail() -> None:
            raise KeyError("x")

        loop.call_soon(fail)
        loop.call_soon(called.append, 1)
        await turns()
        assert called == [1]

    with caplog.at_level(logging.ERROR, "asyncbatch"):
        run(main)

    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [KeyError]


def test_timers_go_off_in_order_of_time() -> None:
    """Those of one time in the order in which they were set; cancelled ones do not."""

    async def main(loop: TrioLoop) -> None:
        called: list[tuple[str, float]] = []
        begun = loop.time()

        def note(name: str) -> None:
            called.append((name, loop.time() - begun))

        loop.call_later(2.0, note, "late")
        loop.call_later(1.0, note, "first")
        cancelled = loop.call_later(1.0, note, "cancelled")
        loop.call_at(begun + 1.0, note, "second")
        cancelled.cancel()
        cancelled.cancel()
        await trio.sleep(3.0)
        assert [name for name, _ in called] == ["first", "second", "late"]
        assert [seconds for _, seconds in called] == [pytest.approx(s) for s in (1.0, 1.0, 2.0)]

    run(main)


def test_cancelled_timers_do_not_pile_up() -> None:
    """A far deadline that is set and cancelled for each request takes no memory."""

    async def main(loop: TrioLoop) -> None:
        for _ in range(20 * MOST_CANCELLED):
            loop.call_later(1000.0, print).cancel()
        assert len(loop._timers) <= 2 * MOST_CANCELLED
        await turns()

    run(main)


def test_other_threads_may_call() -> None:
    """In one of the next turns."""

    async def main(loop: TrioLoop) -> None:
        called = trio.Event()
        thread = threading.Thread(target=loop.call_soon_threadsafe, args=[called.set])
        thread.start()
        await called.wait()
        thread.join()

    run(main)


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


@pytest.mark.parametrize("kind", ["reader", "writer"])
def test_a_descriptor_is_watched_until_it_is_not(kind: str) -> None:
    """Whenever it is ready."""

    async def main(loop: TrioLoop) -> None:
        ours, peer = socket.socketpair()
        called = 0
        ready = trio.Event()

        def note() -> None:
            nonlocal called
            called += 1
            if called == 2:
                getattr(loop, f"remove_{kind}")(ours.fileno())
                ready.set()

        with ours, peer:
            peer.send(b"x")
            getattr(loop, f"add_{kind}")(ours.fileno(), note)
            await ready.wait()
            await turns()
            assert called == 2
            assert not getattr(loop, f"remove_{kind}")(ours.fileno())

    run(main)


def test_what_has_to_be_closed_is_closed_where_the_run_ends_first() -> None:
    """Unless that is not needed any more."""
    closed: list[str] = []

    def close() -> None:
        closed.append("closed")

    def forgotten() -> None:
        closed.append("forgotten")

    async def main(loop: TrioLoop) -> None:
        loop.call_at_end(close)
        loop.call_at_end(forgotten)
        loop.forget_at_end(forgotten)
        await turns()
        assert closed == []

    run(main)

    assert closed == ["closed"]
