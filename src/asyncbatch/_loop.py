"""
What can be asked and told of an event loop, mostly by whoever does not run in it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import anyio
from anyio.lowlevel import EventLoopToken


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
