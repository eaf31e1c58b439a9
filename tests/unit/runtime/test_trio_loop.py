"""What stands in for an event loop on trio, called as asyncio's is."""

from __future__ import annotations

import contextvars
import errno
import gc
import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import trio
import trio.testing

from asyncbatch._runtime._event_loop import running_clock
from asyncbatch._runtime._trio_loop import MOST_CANCELLED, TrioLoop, running_trio_loop
from tests.unit.runtime.on_trio import run, turns


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


def system_tasks() -> list[str]:
    """Return the names of the loop's tasks that run."""
    root = trio.lowlevel.current_root_task()
    assert root is not None
    tasks = [task for nursery in root.child_nurseries for task in nursery.child_tasks]
    inner = [
        each for task in tasks for nursery in task.child_nurseries for each in nursery.child_tasks
    ]
    return [task.name for task in (*tasks, *inner) if task.name.startswith("asyncbatch")]


def test_one_task_sees_to_all_timers() -> None:
    """However many are set before it takes its first step."""

    async def main(loop: TrioLoop) -> None:
        called: list[int] = []
        for number in range(3):
            loop.call_later(number, called.append, number)
        assert len(system_tasks()) == 1
        await trio.sleep(5)
        assert called == [0, 1, 2]

    run(main)


def test_the_task_ends_with_the_last_timer() -> None:
    """One that is cancelled does not keep it until its time."""

    async def main(loop: TrioLoop) -> None:
        timers = [loop.call_later(1000, print) for _ in range(3)]
        await turns()
        for timer in timers:
            timer.cancel()
        await turns()
        assert system_tasks() == []
        assert trio.current_time() < 1000

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


NAME = contextvars.ContextVar("NAME", default="nobody")


@contextmanager
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Open two sockets that are connected to one another."""
    ours, peer = socket.socketpair()
    ours.setblocking(False)
    with ours, peer:
        yield ours, peer


def test_a_call_sees_the_context_of_the_run() -> None:
    """Not that of the task that has asked for it, as another task may do so next."""
    seen: list[str] = []

    async def main() -> None:
        NAME.set("a task")
        running_trio_loop().call_soon(lambda: seen.append(NAME.get()))
        await trio.testing.wait_all_tasks_blocked()

    trio.run(main)

    assert seen == ["nobody"]


@pytest.mark.parametrize("error", [ValueError("broken"), SystemExit(3), KeyboardInterrupt()])
def test_a_call_that_raises_is_reported_and_stops_no_other(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    """Raised in a task of trio's system, it would end the run with a TrioInternalError."""
    calls: list[str] = []

    def fail() -> None:
        raise error

    async def main() -> str:
        loop = running_trio_loop()
        loop.call_soon(fail)
        loop.call_later(0, fail)
        loop.call_soon_threadsafe(fail)
        loop.call_soon(calls.append, "next")
        await trio.testing.wait_all_tasks_blocked(0.01)
        return "ended"

    assert trio.run(main) == "ended"

    assert calls == ["next"]
    assert [record.exc_info[1] for record in caplog.records if record.exc_info] == [error] * 3


class Late(socket.socket):
    """Is not connected at once, and then refused, as by a machine that is far away."""

    def connect(self, _: Any) -> None:
        raise BlockingIOError(errno.EAGAIN, "not yet")

    def getsockopt(self, *_: Any) -> Any:
        return errno.ECONNREFUSED


@pytest.mark.parametrize(
    ("family", "error"),
    [
        (socket.AF_INET, ConnectionRefusedError),
        pytest.param(
            getattr(socket, "AF_UNIX", None),
            BlockingIOError,
            marks=pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no Unix sockets"),
        ),
    ],
)
def test_a_connection_that_is_refused_later_is_an_error(family: int, error: type[OSError]) -> None:
    """Of a Unix socket it is one at once: there, no connect goes on."""

    async def main(loop: TrioLoop) -> None:
        with Late(family) as sock:
            sock.setblocking(False)
            with pytest.raises(error):
                await loop.sock_connect(sock, "where")

    run(main)


def test_a_number_that_is_used_again_is_watched_anew() -> None:
    """A descriptor is closed as soon as it is removed, and the next one gets its number."""
    received: list[bytes] = []

    async def main() -> None:
        loop = running_trio_loop()
        for content in (b"a", b"b"):
            with pair() as (ours, peer):
                fd = ours.fileno()
                loop.add_reader(fd, lambda ours=ours: received.append(ours.recv(9)))
                peer.send(content)
                await trio.testing.wait_all_tasks_blocked(0.01)
                loop.remove_reader(fd)

    trio.run(main)

    assert received == [b"a", b"b"]


def test_a_closed_socket_is_refused_and_the_run_goes_on() -> None:
    """Its number is -1. asyncio refuses it too; raised in a system task, it would end the run."""

    async def main() -> None:
        loop = running_trio_loop()
        for watch in (loop.add_reader, loop.add_writer):
            with pytest.raises(ValueError, match="a socket that is closed cannot be watched"):
                watch(-1, print)
        await trio.testing.wait_all_tasks_blocked()

    trio.run(main)


def test_the_task_of_the_callbacks_goes_with_what_is_to_be_closed() -> None:
    """What was forgotten is not, and the task that waits for that end goes with the last one."""
    closed: list[str] = []

    async def main() -> None:
        loop = running_trio_loop()
        before = trio.lowlevel.current_statistics().tasks_living

        def forgotten() -> None:
            closed.append("forgotten")

        loop.call_at_end(forgotten)
        loop.forget_at_end(forgotten)
        await trio.testing.wait_all_tasks_blocked()
        assert trio.lowlevel.current_statistics().tasks_living == before

        loop.call_at_end(lambda: closed.append("kept"))

    trio.run(main)
    gc.collect()

    assert closed == ["kept"]


def test_a_batch_runs_by_the_monotonic_clock_unless_time_is_virtual() -> None:
    """Trio's own clock counts from anywhere, and the engine by the monotonic one."""

    async def clock() -> Any:
        return running_clock()

    assert trio.run(clock).__name__ == "monotonic"
    assert trio.run(clock, clock=trio.testing.MockClock()).__name__ == "current_time"


@pytest.mark.parametrize("reason", ["busy", "closed", "none"])
def test_a_descriptor_that_cannot_be_watched_is_reported(
    reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is watched by another task, is closed before it is removed, or is none at all."""

    async def main(loop: TrioLoop) -> None:
        async with trio.open_nursery() as nursery:
            with pair() as (ours, _):
                if reason == "busy":
                    nursery.start_soon(trio.lowlevel.wait_readable, ours.fileno())
                    await turns()
                fd = 2**30 if reason == "none" else ours.fileno()
                loop.add_reader(fd, print)
                await turns()
                if reason == "closed":
                    trio.lowlevel.notify_closing(ours)
                    await turns()
                nursery.cancel_scope.cancel()
        assert system_tasks() == []

    run(main)

    assert [record.message for record in caplog.records] == ["a descriptor cannot be watched"]


def test_after_the_end_nothing_is_called_any_more() -> None:
    """What a task asks for then would begin the calls anew, and close what is closed already."""
    called: list[str] = []

    async def end(loop: TrioLoop) -> None:
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await turns()
                loop.call_soon(called.append, "late")
                await turns()

    async def main(loop: TrioLoop) -> None:
        loop.create_task(end(loop))
        loop.call_at_end(lambda: called.append("closed"))
        await turns()

    run(main)

    assert called == ["closed"]
