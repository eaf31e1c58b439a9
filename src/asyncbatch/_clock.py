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
    if type(loop).__module__.partition(".")[0] == "uvloop":
        # uvloop's own clock ticks in milliseconds, and once per turn of its loop. Both count from
        # the same origin.
        return time.monotonic
    return loop_time
