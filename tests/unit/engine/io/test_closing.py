"""What closing a pool waits for, and for how long."""

from __future__ import annotations

import anyio
import pytest

from asyncbatch._engine._event_loop import running_loop
from asyncbatch._engine.io import _closing
from asyncbatch._engine.io._closing import Closing
from tests.transports import settle


async def test_transports_that_are_open_are_waited_for() -> None:
    """Until the last of them is lost; each may be lost more than once."""
    closing, ended = Closing(running_loop()), anyio.Event()
    one, other = object(), object()
    closing.transport_opened(one)
    closing.transport_opened(other)

    async def wait() -> None:
        await closing.wait_until_ended()
        ended.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await settle()
        closing.transport_lost(one)
        closing.transport_lost(one)
        await settle()
        assert not ended.is_set()
        closing.transport_lost(other)
        await ended.wait()


async def test_tasks_that_run_are_waited_for() -> None:
    """All of them; with nothing to wait for, nobody waits."""
    closing = Closing(running_loop())
    await closing.wait_until_ended()
    go, done = anyio.Event(), []

    async def work(number: int) -> None:
        await go.wait()
        done.append(number)

    for number in range(2):
        closing.start_task(work(number))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(closing.wait_until_ended)
        await settle()
        go.set()

    assert sorted(done) == [0, 1]


async def test_a_wait_for_what_does_not_end_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A task that hangs, and a transport that the loop keeps."""
    monkeypatch.setattr(_closing, "CLOSE_SECONDS", 0.02)
    closing = Closing(running_loop())
    closing.transport_opened(object())

    async def hang() -> None:
        await anyio.sleep_forever()

    task = closing.start_task(hang())
    with anyio.fail_after(20):
        await closing.wait_until_ended()

    assert not task.done()
    task.cancel()
    await settle()
