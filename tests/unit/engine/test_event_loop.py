"""The few things that the engine asks of an event loop, on asyncio and on trio."""

from __future__ import annotations

import anyio
import pytest

from asyncbatch._engine._event_loop import (
    call_at_end,
    cancelled_class,
    first_done,
    forget_at_end,
    is_current,
    running_loop,
    shielded,
)
from tests.transports import settle


async def hang() -> None:
    await anyio.sleep_forever()


def test_without_a_loop_there_is_none() -> None:
    """As in a script."""
    with pytest.raises(RuntimeError):
        running_loop()


async def test_the_loop_is_the_one_that_runs() -> None:
    """It stays the same, and knows that it is open."""
    loop = running_loop()

    assert running_loop() is loop
    assert not loop.is_closed()
    assert cancelled_class() is anyio.get_cancelled_exc_class()


async def test_a_task_knows_whether_it_is_the_one_that_runs() -> None:
    """From inside and from outside."""
    loop, told = running_loop(), []

    async def ask() -> None:
        told.append(is_current(task))

    task = loop.create_task(ask())
    assert not is_current(task)
    await task

    assert told == [True]


async def test_who_gives_up_waiting_takes_a_shielded_future_from_nobody() -> None:
    """A look-up that several wait for goes on."""
    future = running_loop().create_future()
    with anyio.move_on_after(0.01):
        await shielded(future)
    assert not future.done()
    future.set_result(7)

    assert await shielded(future) == 7


async def test_the_first_of_several_is_waited_for() -> None:
    """Those that are done come back; the others go on."""
    loop = running_loop()

    async def succeed() -> int:
        return 7

    slow, fast = loop.create_task(hang()), loop.create_task(succeed())
    assert await first_done([slow, fast]) == [fast]
    assert await first_done([slow, fast], 60.0) == [fast]
    assert not slow.done()
    slow.cancel()
    await settle()

    assert slow.cancelled()


async def test_a_wait_for_the_first_has_a_limit() -> None:
    """Then none is done."""
    slow = running_loop().create_task(hang())

    assert await first_done([slow], 0.01) == []
    slow.cancel()
    await settle()


async def test_what_is_called_at_the_end_can_be_taken_back() -> None:
    """On asyncio there is no end that anybody is told of."""
    called: list[int] = []

    def note() -> None:
        called.append(1)

    loop = running_loop()
    call_at_end(loop, note)
    forget_at_end(loop, note)
    await settle()

    assert called == []
