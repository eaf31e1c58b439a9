"""
Access to the running event loop: its clock, its state, and calls into it from other threads.

All times of a batch are on the loop's clock, in monotonic seconds, so that a test can make them all
virtual (`asyncbatch.testing.FakeClock`, trio's `MockClock`).
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel
from anyio.lowlevel import EventLoopToken

if TYPE_CHECKING:
    from asyncbatch._runtime._trio_loop import TrioLoop

Clock = Callable[[], float]


def running_clock() -> Clock:
    """Return a cheap function that reads the running event loop's clock, in seconds."""
    return clock_of(running_loop())


def clock_of(loop: object) -> Clock:
    """Return a cheap function that reads the clock of the running event loop, in seconds."""
    if is_virtual(loop):
        native = anyio.lowlevel.current_token().native_token
        loop_time: Clock = getattr(native, "time", anyio.current_time)
        return loop_time
    # trio's clock has another origin, but no time of a batch is compared with it.
    # The same as asyncio's own clock, without a method call. uvloop's clock has the same origin,
    # but a resolution of milliseconds, and moves once per turn of its loop.
    return time.monotonic


def epoch_of(clock: Clock) -> float:
    """Return the wall time, in seconds since 1970, at which `clock` shows 0."""
    return time.time() - clock()


def runs_on_trio() -> bool:
    """
    Whether the running task is a task of trio.

    It asks sniffio, which trio depends on: trio may run as a guest in an event loop of asyncio, or
    the other way round.
    """
    sniffio = sys.modules.get("sniffio")
    return getattr(getattr(sniffio, "thread_local", None), "name", None) == "trio"


def trio_loop() -> TrioLoop | None:
    """Return the substitute for an event loop if trio runs, otherwise `None`."""
    if not runs_on_trio():
        return None
    from asyncbatch._runtime._trio_loop import running_trio_loop

    return running_trio_loop()


def running_loop() -> Any:
    """
    Return the event loop of the running task, or its substitute on trio.

    Raises:
        RuntimeError: There is none.
    """
    # `anyio.lowlevel.current_token` takes nine calls, and each `fetch` asks.
    return trio_loop() or asyncio.get_running_loop()


def is_virtual(loop: object) -> bool:
    """
    Whether the time of an event loop is virtual.

    On asyncio, `asyncbatch.testing.FakeClock` makes it so. On trio, every clock but trio's own is.
    """
    return "time" in getattr(loop, "__dict__", ()) or bool(getattr(loop, "is_virtual", False))


def call_soon(loop: EventLoopToken | None, function: Callable[[], object]) -> None:
    """Have a loop call `function`, unless it has ended; from any thread."""
    native: Any = None if loop is None else loop.native_token
    call = getattr(native, "call_soon_threadsafe", None) or getattr(native, "run_sync_soon", None)
    if call is not None:
        with suppress(RuntimeError):  # raised by asyncio and trio for a loop that has ended
            call(function)


def is_running(loop: EventLoopToken | None) -> bool:
    """Whether a loop runs; from any thread."""
    native: Any = None if loop is None else loop.native_token
    if hasattr(native, "is_running"):
        return bool(native.is_running())
    call = getattr(native, "run_sync_soon", None)
    if call is None:
        return False
    try:
        call(_nothing)  # trio tells in no other way
    except RuntimeError:
        return False
    return True


def is_in_task() -> bool:
    """Whether a task runs; none does when a coroutine is dropped, or closed with its loop."""
    try:
        anyio.get_current_task()
    except Exception:
        return False
    return True


def _nothing() -> None:
    """Take the place of a callback."""
