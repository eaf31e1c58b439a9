"""
The clock that a batch runs by.

Monotonic seconds on the running event loop's own clock, so that a test which makes that clock
virtual (`asyncbatch.testing.FakeClock`, trio's `MockClock`) governs everything.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import anyio
import anyio.lowlevel

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
