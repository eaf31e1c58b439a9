"""
What is asked of the running event loop, and what can be told it from outside.

Its clock is the one that a batch runs by: monotonic seconds on the loop's own clock, so that a test
which makes that clock virtual (`asyncbatch.testing.FakeClock`, trio's `MockClock`) governs
everything.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import anyio
import anyio.lowlevel
from anyio.lowlevel import EventLoopToken

Clock = Callable[[], float]


def running_clock() -> Clock:
    """Return a cheap function that reads the running event loop's clock, in seconds."""
    loop = anyio.lowlevel.current_token().native_token
    loop_time: Clock | None = getattr(loop, "time", None)
    if loop_time is None:
        return anyio.current_time
    if "time" in getattr(loop, "__dict__", ()):
        return loop_time  # made virtual
    # What asyncio's own clock reads, without a method call around it. uvloop's counts from the same
    # origin, but in milliseconds, and moves on once per turn of its loop.
    return time.monotonic


def call_soon(loop: EventLoopToken | None, function: Callable[[], object]) -> None:
    """Have `function` called by a loop, from any thread; one that has ended does not."""
    native: Any = None if loop is None else loop.native_token
    call = getattr(native, "call_soon_threadsafe", None) or getattr(native, "run_sync_soon", None)
    if call is not None:
        with suppress(RuntimeError):  # of asyncio and trio alike, for a loop that has ended
            call(function)


def is_running(loop: EventLoopToken | None) -> bool:
    """Whether a loop is known to run; trio's do not tell."""
    native: Any = None if loop is None else loop.native_token
    ask = getattr(native, "is_running", None)
    return ask is not None and bool(ask())


def is_in_task() -> bool:
    """Say whether a task runs: what is thrown away, or closed at the end of its loop, has none."""
    try:
        anyio.get_current_task()
    except Exception:
        return False
    return True
