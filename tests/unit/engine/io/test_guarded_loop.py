"""A loop whose callbacks' errors are reported."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from asyncbatch._engine._event_loop import running_loop
from asyncbatch._engine.io._guarded_loop import GuardedLoop
from asyncbatch._engine.io._readiness import LoopWatch
from asyncbatch.testing import FakeClock
from tests.waiting import until


def fail(*args: object) -> None:
    raise KeyError(*args)


async def test_the_error_of_each_callback_is_reported() -> None:
    """At once, in the next turn, from another thread, after a time, and of a socket."""
    errors: list[BaseException] = []
    guarded = GuardedLoop(running_loop(), errors.append)
    guarded.call(fail, "at once")
    guarded.call_soon(fail, "soon")
    guarded.call_soon_threadsafe(fail, "safe")
    guarded.call_later(0.0, fail, "later")
    guarded.call_exception_handler({"message": "", "exception": KeyError("caught")})
    ours, peer = socket.socketpair()
    with ours, peer:

        def write() -> None:
            guarded.remove_writer(ours.fileno())
            fail("writer")

        ours.setblocking(False)
        guarded.add_writer(ours.fileno(), write)
        await until(lambda: len(errors) == 6)

    assert {error.args[0] for error in errors} == {
        "at once", "soon", "safe", "later", "caught", "writer"
    }  # fmt: skip


async def test_a_socket_of_a_loop_watch_reports_its_error() -> None:
    """It has no epoll, which would report it."""
    errors: list[BaseException] = []
    watch = LoopWatch(GuardedLoop(running_loop(), errors.append))
    ours, peer = socket.socketpair()
    with ours, peer:

        def read() -> None:
            watch.remove(ours.fileno())
            raise MemoryError

        ours.setblocking(False)
        watch.add(ours.fileno(), read)
        peer.send(b"x")
        await until(lambda: bool(errors))

    assert isinstance(errors[0], MemoryError)


@pytest.mark.asyncio_only
async def test_an_exit_is_left_to_asyncio() -> None:
    """Which ends the loop with it."""
    errors: list[BaseException] = []
    loop: Any = running_loop()
    guarded = GuardedLoop(loop, errors.append)

    def leave() -> None:
        raise SystemExit

    with pytest.raises(SystemExit):
        guarded.call(leave)
    assert not errors


@pytest.mark.any_loop
@pytest.mark.asyncio_only
async def test_virtual_time_shows_through() -> None:
    """Such a loop is never blocked."""
    guarded = GuardedLoop(running_loop(), print)
    before = guarded.is_virtual
    with FakeClock():
        assert (before, guarded.is_virtual) == (False, True)
