"""Waiting until something has come true in this process, on whichever event loop runs."""

from __future__ import annotations

import inspect
import linecache
import time
from collections.abc import Callable

from tests import aio

SECONDS_TO_COME_TRUE = 30.0


async def until(condition: Callable[[], bool]) -> None:
    """
    Let the event loop run until something in this process has come true.

    Raises:
        AssertionError: It did not come true within 30 s of the system's clock.
    """
    # Not `asyncio.timeout()`: the loop's time may be virtual.
    limit = time.monotonic() + SECONDS_TO_COME_TRUE
    while not condition():
        assert time.monotonic() < limit, text_of(condition)
        await aio.sleep(0.001)


def text_of(condition: Callable[[], bool]) -> str:
    """Name what was waited for: where it is in the source, its first line, and what it sees."""
    code = condition.__code__
    line = linecache.getline(code.co_filename, code.co_firstlineno).strip()
    seen = inspect.getclosurevars(condition).nonlocals
    return f"never came true: {code.co_filename}:{code.co_firstlineno}: {line} ({seen})"
