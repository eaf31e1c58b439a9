"""What a proxy sends, for a task that waits for it."""

from __future__ import annotations

import anyio
import pytest

from asyncbatch._engine._event_loop import running_loop
from asyncbatch._engine.io._replies import Replies
from tests.transports import settle


async def test_what_has_come_is_returned_at_once() -> None:
    """All of it, and once."""
    replies = Replies(running_loop())
    replies.received(b"one")
    replies.received(memoryview(b"two"))
    assert replies.has_more

    assert await replies.receive() == b"onetwo"
    assert not replies.has_more
    assert not replies.has_ended


@pytest.mark.parametrize("end", ["eof_received", "cut_off", "connection_lost"])
async def test_who_waits_is_woken_by_what_comes_and_by_the_end(end: str) -> None:
    """Behind the end there is nothing, however often it is asked for."""
    replies, found = Replies(running_loop()), list[bytes]()

    async def read() -> None:
        found.extend([await replies.receive() for _ in range(3)])

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(read)
        await settle()
        replies.received(b"one")
        await settle()
        getattr(replies, end)(*([] if end == "eof_received" else [None]))

    assert found == [b"one", b"", b""]
    assert replies.has_ended


async def test_what_the_connection_has_broken_of_is_raised_behind_what_came() -> None:
    """The first error counts."""
    replies, error = Replies(running_loop()), ConnectionResetError()
    replies.received(b"one")
    replies.cut_off(error)
    replies.connection_lost(OSError())

    assert await replies.receive() == b"one"
    with pytest.raises(ConnectionResetError) as caught:
        await replies.receive()
    assert caught.value is error


async def test_a_wait_can_be_given_up() -> None:
    """The next one gets what comes then; a proxy that is slow to read holds nobody up."""
    replies = Replies(running_loop())
    with anyio.move_on_after(0.01):
        await replies.receive()
    replies.pause_writing()
    replies.received(b"one")
    replies.resume_writing()

    assert await replies.receive() == b"one"
