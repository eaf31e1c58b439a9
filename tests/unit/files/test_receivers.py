"""`Receivers`: threads that a disk may hold up."""

from __future__ import annotations

import threading
from collections.abc import Callable

import anyio
import pytest

from asyncbatch._files import _receivers
from asyncbatch._files._receivers import Receivers
from asyncbatch._runtime._threads import Threads


class HeldUp:
    """Calls that hold up their threads, until `go_on`."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.go_on = threading.Event()

    def __call__(self) -> str:
        self.begun.set()
        self.go_on.wait(20)
        return "went on"


async def until_begun(held_up: HeldUp) -> None:
    while not held_up.begun.is_set():  # noqa: ASYNC110  # set by a thread
        await anyio.sleep(0.001)


async def test_a_function_is_called_in_a_thread() -> None:
    """Its value is returned, and its error raised."""
    receivers = Receivers(Threads("asyncbatch-test", 1), 20)

    assert await receivers.call(threading.get_ident) != threading.get_ident()
    with pytest.raises(ZeroDivisionError):
        await receivers.call(lambda: 1 // 0)


async def test_nothing_is_called_while_all_threads_are_held_up() -> None:
    """Who calls is told so after the wait, and the next one at once; one free thread suffices."""
    receivers = Receivers(Threads("asyncbatch-test", 2), 0.01)
    first, second = HeldUp(), HeldUp()
    values: list[str | None] = []
    called: list[int] = []

    async def hold_up(held_up: HeldUp) -> None:
        values.append(await receivers.call(held_up))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(hold_up, first)
        tasks.start_soon(hold_up, second)
        await until_begun(first)
        await until_begun(second)
        waited = await receivers.call(lambda: called.append(1))
        await anyio.sleep(0.05)  # those that hang look for free threads several times
        receivers._wait = 1000.0
        with anyio.move_on_after(20) as limit:
            at_once = await receivers.call(lambda: called.append(2))
        assert not limit.cancelled_caught
        receivers._wait = 0.01
        first.go_on.set()
        while not values:  # noqa: ASYNC110  # set by a thread
            await anyio.sleep(0.001)
        # The thread may not have ended its call quite.
        while await receivers.call(lambda: 3) is None:  # noqa: ASYNC110
            await anyio.sleep(0.001)
        second.go_on.set()

    assert waited is at_once is None
    assert called == []
    assert values == ["went on", "went on"]


async def test_a_long_call_waits_for_its_value() -> None:
    """However long it takes, once it has begun."""
    receivers = Receivers(Threads("asyncbatch-test", 1), 0.001)
    held_up = HeldUp()
    values: list[str | None] = []

    async def hold_up() -> None:
        values.append(await receivers.call(held_up))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(hold_up)
        await until_begun(held_up)
        await anyio.sleep(0.01)
        before = list(values)
        held_up.go_on.set()

    assert before == []
    assert values == ["went on"]


class LateThreads:
    """Threads of which one takes a call at the last moment before it is withdrawn."""

    def __init__(self) -> None:
        self.function: Callable[[], None] | None = None

    def start(self, function: Callable[[], None]) -> None:
        self.function = function

    def take(self) -> float:
        function, self.function = self.function, None
        if function is not None:
            function()
        return 1000.0


async def test_a_call_that_is_taken_before_it_is_withdrawn_returns_its_value(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And the threads do not count as held up."""
    threads = LateThreads()
    # It looks at the time between its last look at the call and its withdrawal.
    monkeypatch.setattr(_receivers, "monotonic", threads.take)
    receivers = Receivers(threads, 0.0)  # type: ignore[arg-type]  # a fake

    assert [await receivers.call(lambda: number) for number in (1, 2)] == [1, 2]  # noqa: B023
